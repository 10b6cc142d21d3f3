package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

// TestExports: exports that random pipelines declare, with labels, spines of every kind, samples and splits, hold what
// is made row by row from the raw events; and their bytes do not depend on how the events were counted.
func TestExports(t *testing.T) {
	n := 6
	switch {
	case testing.Short():
		n = 2
	case os.Getenv("PENSTOCK_FULL") != "":
		n = 150
	}
	had := map[string]bool{}
	happened := map[string]int64{}
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { maps.Copy(had, exportCase(t, seed, happened).Has) })
	}
	t.Logf("what happened: %v", happened)
	if n < 150 || os.Getenv("PENSTOCK_SEED") != "" || t.Failed() {
		return
	}
	for _, what := range NeededOfExports() {
		if !had[what] {
			t.Errorf("no export had this: %s", what)
		}
	}
	for _, what := range []string{"rows", "gap", "sampled", "unripe", "neutral", "rebalanced", "labels before history", "differ", "null labels"} {
		if happened[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
}

func exportCase(t *testing.T, seed uint64, happened map[string]int64) *Case {
	rng := rand.New(rand.NewPCG(seed, 12))
	t.Logf("PENSTOCK_SEED=%d replays this", seed)
	dir := t.TempDir()
	c, err := Random(rng, dir, Options{
		Pairs: pairsOf(seed)[:6], Kinds: KindsOf(seed), Small: true, Exports: 4,
		Order: rng.IntN(2) == 0, Brief: [2]bool{rng.IntN(4) == 0, rng.IntN(4) == 0},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log(c.Text)
		}
	}()
	records := Records(rng, c.Plan, Stream{
		Records: pick(rng, []int{40, 200, 400}), Partitions: 1 + rng.IntN(3), Users: 4, Copies: pick(rng, []float64{0, 0.1, 0.5}), Tame: rng.IntN(3) == 0,
	})
	whole := oracle.IngestAll(c.Plan, records)
	want := map[string]*Table{}
	for _, x := range c.Plan.Exports {
		var columns []pipeline.Column
		var rows []SpineRow
		if x.Spine.File != "" {
			columns, rows = fileSpine(rng, whole, x)
			writeRows(t, filepath.Join(dir, x.Spine.File), columns, rows)
		} else {
			columns, rows = StoredSpine(whole, x)
		}
		want[x.Name] = Tabulate(whole, x, columns, rows)
	}
	runs := []Run{
		{Shards: 1, Batch: 1 << 20},
		{Shards: pick(rng, []int{2, 8}), Batch: pick(rng, []int{5, 100}), Restarts: rng.IntN(3), Flushes: true, Sweeps: rng.IntN(2) == 0},
	}
	var first map[string][]byte
	for i, run := range runs {
		files := tablesOf(t, rng, run, c, records, filepath.Join(dir, fmt.Sprint("run", i)), func(x *pipeline.Export, r *export.Report, read func(int) [][]column) {
			if err := agree(x, want[x.Name], r, read); err != nil {
				t.Errorf("run %d: export %s: %v", i, x.Name, err)
			}
			if i == 0 {
				notice(happened, r)
			}
		})
		if first == nil {
			first = files
		}
		for name, b := range files {
			if !bytes.Equal(b, first[name]) {
				t.Errorf("run %d: %s has other bytes", i, name)
			}
		}
		if t.Failed() {
			break
		}
	}
	return c
}

// notice adds up what came up in tables.
func notice(happened map[string]int64, r *export.Report) {
	happened["rows"] += r.Rows
	happened["differ"] += r.Differ
	happened["gap"] += r.LeftOut.Gap
	happened["sampled"] += r.LeftOut.Sampled
	happened["unripe"] += r.LeftOut.Unripe
	happened["neutral"] += r.LeftOut.Neutral
	happened["rebalanced"] += r.LeftOut.Rebalanced
	for _, l := range r.Labels {
		happened["labels before history"] += l.BeforeHistory
		happened["null labels"] += l.Nulls
	}
}

// tablesOf counts the records as run says, makes every export, and shows each to look with a way to read its files.
func tablesOf(t *testing.T, rng *rand.Rand, run Run, c *Case, records []oracle.Record, dir string, look func(x *pipeline.Export, r *export.Report, read func(int) [][]column)) map[string][]byte {
	t.Helper()
	ctx := t.Context()
	s, st, err := run.Count(ctx, rng, &Memory{}, c.Plan, records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, x := range c.Plan.Exports {
		r, err := export.FromStore(ctx, s, export.Request{
			Export: x.Name, Out: filepath.Join(dir, x.Name+".out.jsonl"), Memory: pick(rng, []int64{0, 1}), Workers: 1 + rng.IntN(3),
		})
		if err != nil {
			t.Fatalf("export %s: %v", x.Name, err)
		}
		parts := []string{"out"}
		if x.Split != nil && x.Split.Files {
			parts = nil
			for _, p := range x.Split.Parts {
				parts = append(parts, "out."+p.Name)
			}
		}
		for _, p := range parts {
			name := x.Name + "." + p + ".jsonl"
			if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		look(x, r, func(part int) [][]column { return readRows(t, files[x.Name+"."+parts[part]+".jsonl"]) })
	}
	if err := errors.Join(s.Close(ctx), st.Close()); err != nil {
		t.Fatal(err)
	}
	return files
}

// column is a cell of a line of JSON.
type column struct {
	name string
	raw  string
}

func readRows(t *testing.T, b []byte) (rows [][]column) {
	t.Helper()
	for line := range bytes.Lines(b) {
		d := json.NewDecoder(bytes.NewReader(line))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
		var row []column
		for d.More() {
			name, err := d.Token()
			var raw json.RawMessage
			if err == nil {
				err = d.Decode(&raw)
			}
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			row = append(row, column{name.(string), string(raw)})
		}
		rows = append(rows, row)
	}
	return rows
}

// agree compares the files and the report of an export with the table that it must be.
func agree(x *pipeline.Export, want *Table, r *export.Report, read func(int) [][]column) error {
	if got := Left(*r.LeftOut); got != want.Left || r.SpineRows != want.Seen || r.Rows != int64(len(want.Rows)) {
		return fmt.Errorf("%d rows of %d, left out %+v; want %d of %d, %+v", r.Rows, r.SpineRows, got, len(want.Rows), want.Seen, want.Left)
	}
	for i, n := range want.Differ {
		if n >= 0 && r.Features[i].Differ != n {
			return fmt.Errorf("%d cells of %s differ between the pasts, want %d", r.Features[i].Differ, r.Features[i].Name, n)
		}
	}
	parts := 1
	if x.Split != nil {
		parts = len(x.Split.Parts)
	}
	if x.Split == nil || !x.Split.Files {
		if err := sameRows(want, want.Rows, read(0)); err != nil {
			return err
		}
	}
	for p := range parts {
		rows := slices.DeleteFunc(slices.Clone(want.Rows), func(r TableRow) bool { return r.Part != p })
		if x.Split != nil && r.Parts[p].Rows != int64(len(rows)) {
			return fmt.Errorf("part %s has %d rows, want %d", r.Parts[p].Name, r.Parts[p].Rows, len(rows))
		}
		if x.Split != nil && x.Split.Files {
			if err := sameRows(want, rows, read(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameRows compares rows in order; groups may come in any.
func sameRows(want *Table, rows []TableRow, got [][]column) error {
	if len(got) != len(rows) {
		return fmt.Errorf("a file has %d rows, want %d", len(got), len(rows))
	}
	groups := map[string][]TableRow{}
	for _, r := range rows {
		groups[r.Group] = append(groups[r.Group], r)
	}
	for i := 0; i < len(got); {
		group := groupOf(want, groups, got[i])
		list := groups[group]
		if list == nil {
			return fmt.Errorf("row %d: no rows are left that it may be one of: %v", i+1, got[i])
		}
		delete(groups, group)
		for k := range list {
			if i+k >= len(got) {
				return fmt.Errorf("rows of %s are missing", group)
			}
			if err := sameRow(want, &list[k], got[i+k]); err != nil {
				return fmt.Errorf("row %d: %w", i+k+1, err)
			}
		}
		i += len(list)
	}
	return nil
}

// groupOf finds the group that a row is the first of: the one whose first row has the same cells of the spine.
func groupOf(want *Table, groups map[string][]TableRow, row []column) string {
	if _, ok := groups[""]; ok {
		return "" // the rows of a file
	}
	for g, list := range groups {
		same := true
		for i, c := range list[0].Cells {
			same = same && (c.Answer != nil || c.Any || c.Status || i < len(row) && string(event.AppendJSON(nil, c.Value)) == row[i].raw)
		}
		if same {
			return g
		}
	}
	return "none"
}

// sameRow compares every cell; and the canaries, which tell when the newest event was that a feature saw, and the
// first that a label saw, with the instant.
func sameRow(want *Table, r *TableRow, got []column) error {
	if len(got) != len(want.Columns) {
		return fmt.Errorf("%d columns, want %d: %v", len(got), len(want.Columns), want.Columns)
	}
	for i, c := range got {
		if c.name != want.Columns[i] {
			return fmt.Errorf("column %d is %s, want %s", i+1, c.name, want.Columns[i])
		}
		if err := sameCell(&r.Cells[i], c.raw); err != nil {
			return fmt.Errorf("%s as of %s (%v): %w", c.name, r.At, got[:4], err)
		}
		if c.name != "canary" && c.name != "canary_ahead" || c.raw == "null" {
			continue
		}
		seen, err := event.ParseTime(strings.Trim(c.raw, `"`))
		if err != nil {
			return err
		}
		if ahead := c.name == "canary_ahead"; ahead != (seen >= r.At) {
			return fmt.Errorf("%s as of %s saw %s", c.name, r.At, seen)
		}
	}
	return nil
}

func sameCell(want *Cell, raw string) error {
	switch {
	case want.Any && (want.Answer == nil || want.Answer.Status == oracle.Present || want.Answer.Status == oracle.Null):
		return nil
	case want.Status:
		if !want.Answer.AgreesStatus(strings.Trim(raw, `"`)) {
			return fmt.Errorf("status %s, want %s", raw, want.Answer.Status)
		}
		return nil
	}
	text := string(event.AppendJSON(nil, want.Value))
	if text == raw {
		return nil
	}
	if want.Answer != nil && !want.Answer.Exact() {
		got, err := fromJSON([]byte(raw), want.Type)
		if err != nil {
			return err
		}
		if want.Answer.Agrees(got) {
			return nil
		}
	}
	return fmt.Errorf("%s, want %s", raw, text)
}

// fromJSON reads a value of a type from JSON as tables have it.
func fromJSON(raw []byte, t event.Type) (event.Value, error) {
	if string(raw) == "null" {
		return event.Value{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	var elems []event.Value
	switch t.Kind {
	case event.List, event.Map:
		if _, err := d.Token(); err != nil {
			return event.Value{}, err
		}
		for d.More() {
			if t.Kind == event.Map {
				key, err := d.Token()
				if err != nil {
					return event.Value{}, err
				}
				elems = append(elems, event.StringOf(key.(string)))
			}
			var one json.RawMessage
			if err := d.Decode(&one); err != nil {
				return event.Value{}, err
			}
			v, err := fromJSON(one, *t.Elem)
			if err != nil {
				return event.Value{}, err
			}
			elems = append(elems, v)
		}
		return event.Value{Kind: t.Kind, Str: string(event.AppendList(nil, elems...))}, nil
	case event.Timestamp:
		at, err := event.ParseTime(strings.Trim(string(raw), `"`))
		return event.TimestampOf(at), err
	}
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return event.Value{}, err
		}
	}
	v, err := stream.ReadText(text, t)
	return v.Clone(), err
}

// fileSpine makes the rows of a file: of entities that exist or not, at instants where something is to be seen, in no
// order, some twice, with columns that are only carried.
func fileSpine(rng *rand.Rand, w *oracle.Whole, x *pipeline.Export) (columns []pipeline.Column, rows []SpineRow) {
	columns = append(columns, x.Keys...)
	columns = append(columns, pipeline.Column{Name: "at", Type: event.Type{Kind: event.Timestamp}}, pipeline.Column{Name: "tag", Type: nullable(event.String)}, pipeline.Column{Name: "num", Type: nullable(event.Long)})
	if x.Set != "" {
		columns = append(columns, w.Plan.Set(x.Set).Request...)
	}
	rng.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	for i := range 70 {
		if i > 0 && rng.IntN(10) == 0 {
			rows = append(rows, pick(rng, rows))
			continue
		}
		keys := map[string]event.Value{}
		at := event.Time(0)
		for _, v := range w.Views {
			q := questions(rng, v, 1)[0]
			if at == 0 || rng.IntN(2) == 0 {
				at = q.AsOf
			}
			for k, c := range v.View.Entity.Keys {
				if _, ok := keys[c.Name]; !ok || rng.IntN(2) == 0 {
					keys[c.Name] = q.Key[k]
				}
			}
		}
		for _, l := range x.Labels {
			if rng.IntN(3) == 0 {
				at = at.Add(-pick(rng, []event.Duration{l.From, l.To}))
			}
		}
		at = max(at, event.FromGo(event.Time(0).Go().AddDate(-1960, 0, 0))) // a year that text can say
		row := SpineRow{At: at}
		for _, c := range columns {
			switch v, ok := keys[c.Name]; {
			case c.Name == "at":
				row.Values = append(row.Values, event.TimestampOf(at))
			case c.Name == "tag":
				row.Values = append(row.Values, event.StringOf(pick(rng, []string{"", "a", "ü", "0"})))
			case c.Name == "amount":
				row.Values = append(row.Values, pick(rng, []event.Value{{}, event.DoubleOf(1.5), event.DoubleOf(-2.25)}))
			case !ok && c.Name == "num" && i > 0 && rng.IntN(4) == 0:
				row.Values = append(row.Values, event.Value{})
			case c.Name == "num":
				row.Values = append(row.Values, event.LongOf(rng.Int64N(9)))
			default:
				row.Values = append(row.Values, v)
			}
		}
		rows = append(rows, row)
	}
	return columns, rows
}

func writeRows(t *testing.T, path string, columns []pipeline.Column, rows []SpineRow) {
	t.Helper()
	var b bytes.Buffer
	for _, r := range rows {
		for i, c := range columns {
			b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
			b.Write(event.AppendJSON(append(event.AppendJSONString(nil, c.Name), ':'), r.Values[i]))
		}
		b.WriteString("}\n")
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
