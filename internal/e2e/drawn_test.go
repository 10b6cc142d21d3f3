package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/internal/proof"
	"github.com/penstock-ml/penstock/pipeline"
)

// drawn is a pipeline that internal/proof draws (all aggregates, windows and kinds of views; labels and exports), with
// its events in topics of a broker.
type drawn struct {
	rng  *rand.Rand
	c    *proof.Case
	dir  string // of the pipeline file
	file string
	made map[string][]oracle.Record // by source, as they are produced
	logs map[string]*topicLog
}

func newDrawn(t *testing.T, rng *rand.Rand, seed uint64, records int) *drawn {
	t.Helper()
	const partitions = 2
	d := &drawn{rng: rng, dir: t.TempDir(), made: map[string][]oracle.Record{}, logs: map[string]*topicLog{}}
	brokers := embedded(t, partitions, "e", "g")
	var err error
	d.c, err = proof.Random(rng, d.dir, proof.Options{
		Pairs: proof.Pairs(seed)[:16], Kinds: proof.KindsOf(seed), Small: true, Exports: 3, Brokers: brokers, Order: rng.IntN(2) == 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.file = filepath.Join(d.dir, "p.yaml")
	if err := os.WriteFile(d.file, []byte(d.c.Text), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := map[string][]*record{}
	for _, r := range proof.Records(rng, d.c.Plan, proof.Stream{Records: records, Partitions: partitions, Users: 4, Copies: 0.1}) {
		src := d.c.Plan.Sources[r.Source]
		list := sent[src.Name]
		one := &record{id: len(list), partition: r.Partition, arrival: time.UnixMilli(int64(r.Arrival) / 1000), value: []byte{0, 0, 0, 0, 7, 0xff}}
		if r.Dead == "" {
			if one.value, err = framed(src, r); err != nil {
				t.Fatalf("encode event %d of %s: %v", len(list), src.Name, err)
			}
		}
		sent[src.Name], d.made[src.Name] = append(list, one), append(d.made[src.Name], r)
	}
	for name, list := range sent {
		d.logs[name] = newTopicLog(t, rng, brokers, name, list)
	}
	return d
}

// framed is an event in the Confluent wire format, encoded by a library that is not ours. Fields that the pipeline does
// not read are null.
func framed(src *pipeline.Source, r oracle.Record) ([]byte, error) {
	fields := map[string]any{"seq": int64(0)}
	for _, name := range strings.Fields("n s flag price day vec longs tags attrs items id user amount ts who cents at") {
		fields[name] = nil
	}
	var items []map[string]any
	for i, c := range src.Columns {
		inner, nested := strings.CutPrefix(c.Name, "items.")
		if !nested {
			fields[c.Name] = native(r.Slots[i])
			continue
		}
		if r.Slots[i].IsNull() {
			continue
		}
		for k, v := range native(r.Slots[i]).([]any) {
			if k == len(items) {
				items = append(items, map[string]any{"buyer": nil, "price": nil, "pieces": int64(0)})
			}
			items[k][inner] = v
		}
		list := []any{}
		for _, item := range items {
			list = append(list, item)
		}
		fields["items"] = list
	}
	return avro.MustParse(proof.SchemaOf(src.Name)).AppendEncode(binary.BigEndian.AppendUint32([]byte{0}, 7), fields)
}

// native is a value as Avro's libraries take it.
func native(v event.Value) any {
	switch v.Kind {
	case event.Null:
		return nil
	case event.Bool:
		return v.Bool()
	case event.Double:
		return v.Double()
	case event.Timestamp:
		return v.Time().Go()
	case event.Date:
		return time.Unix(v.Long()*24*60*60, 0).UTC()
	case event.Decimal:
		return new(big.Rat).SetFrac(v.Unscaled(), big.NewInt(100))
	case event.Long:
		return v.Long()
	case event.List, event.Map:
		elems := []any{}
		_ = event.EachElem(v.Str, func(_ int, e event.Value) error {
			elems = append(elems, native(e.Clone()))
			return nil
		})
		if v.Kind == event.List {
			return elems
		}
		m := map[string]any{}
		for i := 0; i < len(elems); i += 2 {
			m[elems[i].(string)] = elems[i+1]
		}
		return m
	}
	return v.Str
}

// produce sends a share of every topic's records.
func (d *drawn) produce(t *testing.T, from, to, of int) error {
	for _, src := range d.c.Plan.Sources {
		l := d.logs[src.Name]
		n := len(l.records)
		if err := l.produce(t.Context(), l.records[n*from/of:n*to/of]); err != nil {
			return err
		}
	}
	return nil
}

// whole reads the topics back and tells what must be true of them.
func (d *drawn) whole(t *testing.T) *oracle.Whole {
	t.Helper()
	var all []oracle.Record
	for name, l := range d.logs {
		for _, p := range l.read(t) {
			r := d.made[name][p.id]
			r.Partition, r.Offset, r.Arrival = p.partition, p.offset, event.FromGo(p.timestamp)
			all = append(all, r)
		}
	}
	return oracle.IngestAll(d.c.Plan, all)
}

// read waits until a process has read all, and has counted it as it should: copies are counted when they are flushed.
func (d *drawn) read(t *testing.T, w *oracle.Whole, s *server) {
	t.Helper()
	reads := &world{reads: map[string]int{}}
	for name, l := range d.logs {
		reads.reads[name] = len(l.records)
	}
	reads.wait(t, s)
	eventually(t, time.Minute, func() error {
		m, err := s.metrics()
		if err != nil {
			return err
		}
		for _, x := range w.Views {
			for i, b := range x.View.Branches() {
				for _, outcome := range []string{oracle.Applied, oracle.Filtered, oracle.Duplicate, oracle.Late, oracle.Dead} {
					got := m[fmt.Sprintf("penstock_records_total{outcome=%q,source=%q,view=%q}", outcome, b.Source.Name, x.View.Name)]
					if want := float64(x.Feeds[i].Counts[outcome]); got != want {
						return fmt.Errorf("view %s: %v records of %s are %s, want %v", x.View.Name, got, b.Source.Name, outcome, want)
					}
				}
			}
		}
		return nil
	})
}

// lookups asks every view, and compares values and statuses.
func (d *drawn) lookups(t *testing.T, w *oracle.Whole, s *server, n int) {
	t.Helper()
	for _, x := range w.Views {
		if x.View.Hidden {
			continue
		}
		for _, q := range proof.Questions(d.rng, x, n) {
			entity := map[string]json.RawMessage{}
			for i, k := range x.View.Entity.Keys {
				entity[k.Name] = event.AppendJSON(nil, q.Key[i])
			}
			q.AsOf = max(q.AsOf, event.FromGo(time.Date(10, 1, 1, 0, 0, 0, 0, time.UTC)))
			code, raw, err := s.post("/v1/features", map[string]any{"view": x.View.Name, "entities": []any{entity}, "as_of": q.AsOf.String()})
			if err != nil || code != http.StatusOK {
				t.Fatalf("%s: %d %s %v", q, code, raw, err)
			}
			var got struct {
				Rows []struct {
					Values []json.RawMessage
					Status []string
				}
			}
			if err := json.Unmarshal(raw, &got); err != nil || len(got.Rows) != 1 {
				t.Fatalf("%v: %s", err, raw)
			}
			for i, a := range w.Read(x, q.Key, q.AsOf, false) {
				f := x.View.Features[i]
				cell := proof.Cell{Value: a.Value, Type: f.Type, Answer: &a}
				if err := cell.Agrees(string(got.Rows[0].Values[i])); err != nil || !a.AgreesStatus(got.Rows[0].Status[i]) {
					t.Fatalf("%s.%s (%s) of %v as of %s: %v; status %s, want %s", x.View.Name, f.Name, f.Doc, q.Key, q.AsOf, err, got.Rows[0].Status[i], a.Status)
				}
			}
		}
	}
}

// tables makes every export that the pipeline declares, compares it with the table that it must be, and returns the
// bytes. where is --state DIR or --server URL.
func (d *drawn) tables(t *testing.T, want map[string]*proof.Table, where ...string) map[string][]byte {
	t.Helper()
	dir, files := t.TempDir(), map[string][]byte{}
	for _, x := range d.c.Plan.Exports {
		code, stdout, stderr := penstock(t, slices.Concat([]string{"export", d.file, "--export", x.Name, "--out", filepath.Join(dir, x.Name+".jsonl"), "--json"}, where)...)
		if code != 0 {
			t.Fatalf("export %s: exit code %d\n%s", x.Name, code, stderr)
		}
		var r export.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%v: %s", err, stdout)
		}
		err := want[x.Name].Agrees(x, &r, func(part int) ([]byte, error) {
			name := x.Name + ".jsonl"
			if x.Split != nil && x.Split.Files {
				name = x.Name + "." + x.Split.Parts[part].Name + ".jsonl"
			}
			b, err := os.ReadFile(filepath.Join(dir, name))
			files[name] = b
			return b, err
		})
		if err != nil {
			t.Fatalf("export %s: %v", x.Name, err)
		}
	}
	return files
}

// TestKillDrawn kills the real process while it reads the events of a pipeline that internal/proof draws, and compares
// counts, look-ups and training tables with the oracle.
func TestKillDrawn(t *testing.T) {
	beside(t)
	kills := killsFrom(t, drawnKills)
	n := seed(t)
	d := newDrawn(t, rand.New(rand.NewPCG(n, 9)), n, 300+10*kills)
	defer func() {
		if t.Failed() {
			t.Log(d.c.Text)
		}
	}()
	dir := filepath.Join(t.TempDir(), "state")
	k := &killer{rng: d.rng, died: map[string]int{}}
	for i := range kills {
		proc, point := k.launch(t, d.file, dir)
		if err := d.produce(t, i, i+1, kills+1); err != nil {
			t.Fatal(err)
		}
		k.end(t, proc, point)
	}
	k.check(t)
	proc := start(t, d.file, dir)
	if err := d.produce(t, kills, kills+1, kills+1); err != nil {
		t.Fatal(err)
	}
	w := d.whole(t)
	d.read(t, w, proc)
	d.lookups(t, w, proc, 12)
	want := map[string]*proof.Table{}
	for _, x := range d.c.Plan.Exports {
		if x.Spine.File == "" {
			columns, rows := proof.StoredSpine(w, x)
			want[x.Name] = proof.Tabulate(w, x, columns, rows)
			continue
		}
		columns, rows := proof.FileSpine(d.rng, w, x)
		if err := proof.WriteRows(filepath.Join(d.dir, x.Spine.File), columns, rows); err != nil {
			t.Fatal(err)
		}
		want[x.Name] = proof.Tabulate(w, x, columns, rows)
	}
	live := d.tables(t, want, "--server", proc.url)
	proc.stop(t)
	for name, b := range d.tables(t, want, "--state", dir) {
		if string(b) != string(live[name]) {
			t.Errorf("%s differs between the server and its directory", name)
		}
	}
}
