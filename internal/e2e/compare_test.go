package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// world is what must be true once every record is read.
type world struct {
	plan  *pipeline.Plan
	file  string
	views map[string]*truth
	reads map[string]int // records by source
}

// truth is what a view must know, its rows by entity.
type truth struct {
	oracle.Ingested
	byKey  map[string][]oracle.Row
	latest event.Time // newest accepted event time of its source
	known  map[string][]oracle.Answer
}

func keyOf(key []event.Value) string {
	var b []byte
	for _, k := range key {
		b = event.AppendValue(b, k)
	}
	return string(b)
}

func newWorld(plan *pipeline.Plan, file string, logs map[string][]placed) *world {
	w := &world{plan: plan, file: file, views: map[string]*truth{}, reads: map[string]int{}}
	for _, src := range plan.Sources {
		var views []*pipeline.View
		for _, v := range plan.Views {
			if v.Source == src {
				views = append(views, v)
			}
		}
		w.reads[src.Name] = len(logs[src.Name])
		for _, in := range oracle.Ingest(src, views, rows(src, logs[src.Name])) {
			tr := &truth{Ingested: in, byKey: map[string][]oracle.Row{}, latest: event.MinTime, known: map[string][]oracle.Answer{}}
			for _, r := range in.Rows {
				tr.byKey[keyOf(r.Key)] = append(tr.byKey[keyOf(r.Key)], r)
			}
			for _, wm := range in.Watermarks {
				tr.latest = max(tr.latest, wm)
			}
			w.views[in.View.Name] = tr
		}
	}
	return w
}

// wait waits until the server has read everything and is ready.
func (w *world) wait(t *testing.T, s *server) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		select {
		case err := <-s.done:
			t.Fatalf("penstock ended: %v\n%s", err, s.log)
		default:
		}
		m, err := s.metrics()
		if err != nil {
			return err
		}
		for name, n := range w.reads {
			if got := m[fmt.Sprintf("penstock_records_read_total{source=%q}", name)]; got != float64(n) {
				return fmt.Errorf("%v of %d records of %s are read", got, n, name)
			}
		}
		code, body, err := s.get("/readyz")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("readyz: %d %s", code, body)
		}
		return err
	})
}

// counters compares the counts of every view with the oracle's; they add up to the records read.
func (w *world) counters(t *testing.T, s *server) {
	t.Helper()
	m, err := s.metrics()
	if err != nil {
		t.Fatal(err)
	}
	for name, tr := range w.views {
		src, sum := tr.View.Source.Name, 0.0
		for _, outcome := range []string{"applied", "filtered", "duplicate", "late", "dead"} {
			got, ok := m[fmt.Sprintf("penstock_records_total{outcome=%q,source=%q,view=%q}", outcome, src, name)]
			if !ok {
				t.Errorf("view %s: no metric of %s", name, outcome)
			}
			if got != float64(tr.Counts[outcome]) {
				t.Errorf("view %s: %v records are %s, want %d", name, got, outcome, tr.Counts[outcome])
			}
			sum += got
		}
		if read := m[fmt.Sprintf("penstock_records_read_total{source=%q}", src)]; sum != read || read != float64(w.reads[src]) {
			t.Errorf("view %s: outcomes add up to %v, %v records are read of %d", name, sum, read, w.reads[src])
		}
	}
}

// table is something that can be asked for: a view or a set.
type table struct {
	w    *world
	view *truth
	set  *pipeline.Set
}

func (w *world) tables() []table {
	var out []table
	for _, v := range w.plan.Views {
		out = append(out, table{w: w, view: w.views[v.Name]})
	}
	for _, s := range w.plan.Sets {
		out = append(out, table{w: w, set: s})
	}
	return out
}

func (q table) name() string {
	if q.set != nil {
		return q.set.Name
	}
	return q.view.View.Name
}

func (q table) keys() []pipeline.Column {
	if q.set != nil {
		return q.set.Keys
	}
	return q.view.View.Entity.Keys
}

func (q table) columns() []string {
	var out []string
	if q.set != nil {
		for _, f := range q.set.Features {
			out = append(out, f.Name)
		}
		return out
	}
	for _, f := range q.view.View.Features {
		out = append(out, f.Name)
	}
	return out
}

func (q table) latest() event.Time {
	if q.set == nil {
		return q.view.latest + 1
	}
	newest := event.MinTime
	for _, f := range q.set.Features {
		if f.Ref != nil {
			newest = max(newest, q.w.views[f.Ref.View.Name].latest)
		}
		for _, d := range f.Deps {
			if d.Ref != nil {
				newest = max(newest, q.w.views[d.Ref.View.Name].latest)
			}
		}
	}
	return newest + 1
}

// question is one row to answer.
type question struct {
	key     []event.Value
	request []event.Value
	at      event.Time
}

// ask makes a random question: known and unknown entities, instants anywhere, at events, at the edges of
// windows behind them, and before history.
func (q table) ask(rng *rand.Rand) question {
	var x question
	for _, k := range q.keys() {
		switch k.Name {
		case "user":
			x.key = append(x.key, event.StringOf(pick(rng, append([]string{"nobody"}, users...))))
		case "merchant":
			x.key = append(x.key, event.StringOf(pick(rng, append([]string{"nothing"}, merchants...))))
		case "shard":
			x.key = append(x.key, event.LongOf(rng.Int64N(6)-2))
		case "kind":
			x.key = append(x.key, event.StringOf(pick(rng, []string{"web", "shop", "phone"})))
		default:
			panic(k.Name)
		}
	}
	if q.set != nil {
		x.request = []event.Value{event.DoubleOf(pick(rng, []float64{0, 1, 2.5, 1e300})), event.StringOf(pick(rng, []string{"x", "y"}))}
	}
	x.at = event.Time(firstInstant - hour + rng.Int64N(spanOfEvents+26*hour))
	switch rng.IntN(8) {
	case 0:
		x.at -= event.Time(rng.Int64N(100 * 24 * hour))
	case 1, 2, 3:
		view := q.view
		if q.set != nil {
			view = q.w.views["v0"]
		}
		if len(view.Rows) == 0 {
			break
		}
		row := view.Rows[rng.IntN(len(view.Rows))]
		copy(x.key, row.Key)
		x.at = row.Time.Add(pick(rng, []event.Duration{0, 1, event.Second, event.Minute, event.Hour, event.Hour + 1, event.Day}))
	}
	return x
}

// answer is what a row must be.
func (q table) answer(x question, served bool) []oracle.Answer {
	if q.set == nil {
		return q.view.read(x.key, x.at, served)
	}
	return q.setAnswer(x, served)
}

func (tr *truth) read(key []event.Value, at event.Time, served bool) []oracle.Answer {
	// The same questions are asked of many answers.
	k := fmt.Sprint(keyOf(key), " ", int64(at), served)
	a, ok := tr.known[k]
	if !ok {
		a = oracle.Read(tr.View, tr.byKey[keyOf(key)], key, at, served, tr.Horizon)
		tr.known[k] = a
	}
	return a
}

// setAnswer evaluates a set from the answers of its views.
func (q table) setAnswer(x question, served bool) []oracle.Answer {
	read := func(f *pipeline.Feature) oracle.Answer {
		var key []event.Value
		for _, k := range f.View.Entity.Keys {
			for i, have := range q.set.Keys {
				if have.Name == k.Name {
					key = append(key, x.key[i])
				}
			}
		}
		all := q.w.views[f.View.Name].read(key, x.at, served)
		for i, g := range f.View.Features {
			if g == f {
				return all[i]
			}
		}
		panic(f.Name)
	}
	var out []oracle.Answer
	for _, f := range q.set.Features {
		if f.Ref != nil {
			a := read(f.Ref)
			if a.Value.IsNull() && a.Status != oracle.BeforeHistory {
				a.Value = f.Default
			}
			out = append(out, a)
			continue
		}
		row := append([]event.Value{}, x.request...)
		a := oracle.Answer{Status: oracle.Present, EventTime: event.MinTime}
		unseen, before := len(f.Deps) > 0, false
		for _, d := range f.Deps {
			var in oracle.Answer
			if d.Ref != nil {
				in = read(d.Ref)
			} else {
				in = out[d.Earlier]
			}
			row = append(row, in.Value)
			a.EventTime = max(a.EventTime, in.EventTime)
			unseen = unseen && in.Status == oracle.NotFound
			before = before || in.Status == oracle.BeforeHistory
		}
		a.Value = f.Expr.Eval(row)
		switch {
		case before:
			a.Value, a.Status = event.Value{}, oracle.BeforeHistory
		case a.Value.IsNull():
			a.Value, a.Status = f.Default, oracle.Null
			if unseen {
				a.Status = oracle.NotFound
			}
		}
		out = append(out, a)
	}
	return out
}

// sameText tells whether text is how v is written in CSV.
func sameText(text string, v event.Value) bool {
	if v.Kind != event.Double {
		return text == v.String()
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && (f == v.Double() && math.Signbit(f) == math.Signbit(v.Double()) || math.IsNaN(f) && math.IsNaN(v.Double()))
}

// sameJSON tells whether raw is how v is written in answers.
func sameJSON(raw json.RawMessage, v event.Value) bool {
	switch v.Kind {
	case event.Null:
		return string(raw) == "null"
	case event.Bool, event.Long:
		return string(raw) == v.String()
	case event.Double:
		text := string(raw)
		if math.IsNaN(v.Double()) || math.IsInf(v.Double(), 0) {
			return text == strconv.Quote(v.String())
		}
		return sameText(text, v)
	}
	var s string
	return json.Unmarshal(raw, &s) == nil && s == v.String()
}

func jsonKey(v event.Value) any {
	if v.Kind == event.Long {
		return v.Long()
	}
	if v.Kind == event.Double {
		return v.Double()
	}
	return v.Str
}

// lookups asks each view and set at random instants and at the latest, and compares every value, status
// and event time.
func (w *world) lookups(t *testing.T, s *server, rng *rand.Rand, instants int) {
	t.Helper()
	for _, q := range w.tables() {
		for i := range instants {
			var list []question
			for range 8 {
				list = append(list, q.ask(rng))
			}
			asOf, want := list[0].at.String(), list[0].at
			if i == 0 {
				asOf, want = "latest", q.latest()
			}
			for k := range list {
				list[k].at = want
			}
			q.compare(t, s, asOf, list)
			if t.Failed() {
				return
			}
		}
	}
}

func (q table) compare(t *testing.T, s *server, asOf string, list []question) {
	t.Helper()
	body := map[string]any{"as_of": asOf}
	if q.set != nil {
		body["set"] = q.set.Name
	} else {
		body["view"] = q.view.View.Name
	}
	var entities, request []any
	for _, x := range list {
		e := map[string]any{}
		for i, k := range q.keys() {
			e[k.Name] = jsonKey(x.key[i])
		}
		entities = append(entities, e)
		if q.set != nil {
			r := map[string]any{}
			for i, c := range q.set.Request {
				r[c.Name] = jsonKey(x.request[i])
			}
			request = append(request, r)
		}
	}
	body["entities"] = entities
	if request != nil {
		body["request"] = request
	}
	code, raw, err := s.post("/v1/features", body)
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d %s %v", q.name(), code, raw, err)
	}
	var got struct {
		Features []string
		Rows     []struct {
			Values    []json.RawMessage
			Status    []string
			EventTime []*string `json:"event_time"`
		}
		AsOf string `json:"as_of"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	if got.AsOf != list[0].at.String() || strings.Join(got.Features, " ") != strings.Join(q.columns(), " ") || len(got.Rows) != len(list) {
		t.Fatalf("%s as of %s: got as of %s, want %s; features %v, want %v", q.name(), asOf, got.AsOf, list[0].at, got.Features, q.columns())
	}
	for k, x := range list {
		for i, want := range q.answer(x, false) {
			row := got.Rows[k]
			at := "null"
			if row.EventTime[i] != nil {
				at = *row.EventTime[i]
			}
			wantAt := "null"
			if want.EventTime != event.MinTime {
				wantAt = want.EventTime.String()
			}
			if !sameJSON(row.Values[i], want.Value) || row.Status[i] != want.Status || at != wantAt {
				t.Errorf("%s.%s of %v as of %s: got %s %s %s, want %s %s %s", q.name(), q.columns()[i], x.key, x.at,
					row.Values[i], row.Status[i], at, want.Value, want.Status, wantAt)
			}
		}
	}
}

// spine is a table of questions as a CSV file, with columns of the user's own.
type spine struct {
	table
	path string
	list []question
}

func (w *world) spines(t *testing.T, rng *rand.Rand, rows int) []spine {
	t.Helper()
	dir := t.TempDir()
	var out []spine
	for _, q := range w.tables() {
		sp := spine{table: q, path: filepath.Join(dir, q.name()+".csv")}
		var b bytes.Buffer
		cw := csv.NewWriter(&b)
		_ = cw.Write(sp.header())
		for i := range rows {
			x := q.ask(rng)
			if i > 0 && rng.IntN(10) == 0 {
				x = sp.list[rng.IntN(i)] // a duplicate
			}
			sp.list = append(sp.list, x)
			_ = cw.Write(sp.cells(i))
		}
		cw.Flush()
		if err := os.WriteFile(sp.path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out = append(out, sp)
	}
	return out
}

func (sp spine) header() []string {
	h := []string{"my,label"}
	for _, k := range sp.keys() {
		h = append(h, k.Name)
	}
	h = append(h, "event_time")
	if sp.set != nil {
		for _, c := range sp.set.Request {
			h = append(h, c.Name)
		}
	}
	return h
}

func (sp spine) cells(i int) []string {
	x := sp.list[i]
	c := []string{pick(rand.New(rand.NewPCG(uint64(i), 0)), notes)}
	for _, k := range x.key {
		c = append(c, k.String())
	}
	c = append(c, x.at.String())
	for _, r := range x.request {
		c = append(c, r.String())
	}
	return c
}

func (sp spine) args(where ...string) []string {
	args := []string{"export", sp.w.file, "--spine", sp.path}
	if sp.set != nil {
		args = append(args, "--set", sp.set.Name)
	} else {
		args = append(args, "--view", sp.view.View.Name)
	}
	return append(args, where...)
}

// exports writes every spine's CSV and Parquet, as of and as served, into dir, and compares each cell.
// where is --state DIR or --server URL.
func exports(t *testing.T, spines []spine, dir string, where ...string) {
	t.Helper()
	for _, sp := range spines {
		for _, served := range []bool{false, true} {
			name, extra := sp.name(), []string{"--with-status"}
			if served {
				name, extra = name+"-served", append(extra, "--as-served")
			}
			for _, ext := range []string{".csv", ".parquet"} {
				out := filepath.Join(dir, name+ext)
				code, _, stderr := penstock(t, append(sp.args(where...), append(extra, "--out", out)...)...)
				if code != 0 {
					t.Fatalf("export %s: exit code %d\n%s", name, code, stderr)
				}
			}
			sp.check(t, filepath.Join(dir, name+".csv"), served)
			sp.checkParquet(t, filepath.Join(dir, name+".parquet"), served)
		}
	}
}

// check compares an exported CSV with the oracle, cell by cell.
func (sp spine) check(t *testing.T, path string, served bool) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	want := append(sp.header(), sp.columns()...)
	for _, c := range sp.columns() {
		want = append(want, c+"__status")
	}
	if strings.Join(got[0], "|") != strings.Join(want, "|") || len(got) != len(sp.list)+1 {
		t.Fatalf("%s: %d rows with columns %v, want %d with %v", path, len(got)-1, got[0], len(sp.list), want)
	}
	before := len(sp.header())
	for i, x := range sp.list {
		row := got[i+1]
		if carried := strings.Join(row[:before], "|"); carried != strings.Join(sp.cells(i), "|") {
			t.Fatalf("%s: row %d carries %q, want %q", path, i+1, carried, sp.cells(i))
		}
		answers := sp.answer(x, served)
		for k, a := range answers {
			value, status := row[before+k], row[before+len(answers)+k]
			if !sameText(value, a.Value) || status != a.Status {
				t.Errorf("%s: row %d, %s of %v as of %s (as served: %v): got %q %s, want %q %s", filepath.Base(path), i+1,
					sp.columns()[k], x.key, x.at, served, value, status, a.Value, a.Status)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// sameFiles checks that every file of one folder has the same bytes in the other.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	list, err := os.ReadDir(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".manifest.json") {
			continue // tells the watermarks of its cut, which idle partitions move by the clock
		}
		x, err := os.ReadFile(filepath.Join(a, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s differs between two exports of the same events", e.Name())
		}
	}
	if len(list) == 0 {
		t.Error("there are no exports to compare")
	}
}
