package script

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
)

// tableStep makes an export that the pipeline declares, and compares its rows, which may come in any order.
type tableStep struct {
	node   *pipeline.Node
	export string
	rows   []tableRow
	left   map[string]int64 // by what rows are left out; nil: not compared
}

func (s *tableStep) at() *pipeline.Node { return s.node }

// tableRow is what is expected of one row; columns that it does not name are not compared.
type tableRow struct {
	node  *pipeline.Node
	cells []tableCell
}

type tableCell struct{ name, text string }

// leftOut are the keys of what rows are left out by.
var leftOut = []string{"gap", "sampled", "unripe", "neutral", "rebalanced"}

func (l *loader) readTable(key, n *pipeline.Node) step {
	if !l.keys(n, "table", []string{"export", "rows", "left_out"}) {
		return nil
	}
	name := n.Get("export")
	var names []string
	for _, x := range l.plan.Exports {
		names = append(names, x.Name)
	}
	if name == nil || l.plan.Export(name.Text) == nil {
		at := key
		if name != nil {
			at = name
		}
		l.fail(at, diag.Suggest(nodeText(at), "exports", names), "table: name an export of the pipeline")
		return nil
	}
	s := &tableStep{node: key, export: name.Text}
	types := l.tableTypes(l.plan.Export(name.Text))
	rows, _ := l.rows(n.Get("rows"), "rows")
	if n.Get("rows") == nil {
		l.fail(key, "add rows: | with some of the table's columns; rows: [] for none", "the table has no rows")
	}
	for _, r := range rows {
		row := tableRow{node: r.node}
		for _, c := range r.cells {
			t, ok := types[c.name]
			if !ok {
				t = event.Type{Kind: event.String} // of a spine's file
			}
			v, ok := l.value(c.value, t, c.name)
			if t.Kind == event.Timestamp && c.value.Kind == pipeline.Scalar {
				var at event.Time
				at, ok = l.instant(c.value)
				v = event.TimestampOf(at)
			}
			if ok {
				row.cells = append(row.cells, tableCell{c.name, v.String()})
			}
		}
		s.rows = append(s.rows, row)
	}
	l.readLeftOut(n.Get("left_out"), s)
	return s
}

func (l *loader) readLeftOut(n *pipeline.Node, s *tableStep) {
	if n == nil || !l.keys(n, "left_out", leftOut) {
		return
	}
	s.left = map[string]int64{}
	for _, f := range n.Fields {
		count, err := strconv.ParseInt(f.Value.Text, 10, 64)
		if err != nil {
			l.fail(f.Value, "", "left_out: %q is no number of rows", nodeText(f.Value))
		}
		s.left[f.Key.Text] = count
	}
}

// tableTypes are the types of a table's columns, as far as the pipeline tells them.
func (l *loader) tableTypes(x *pipeline.Export) map[string]event.Type {
	types := map[string]event.Type{pipeline.WeightColumn: {Kind: event.Double}, pipeline.SplitColumn: {Kind: event.String}}
	for _, c := range x.Spine.Columns {
		types[c.Name] = c.Type
	}
	for _, lb := range x.Labels {
		types[lb.Name] = lb.Type
		types[lb.Name+pipeline.RipeSuffix] = event.Type{Kind: event.Bool}
	}
	sel, err := l.store.Select(feature.Selection{Set: x.Set, View: x.View, Features: x.Features})
	if err != nil {
		return types
	}
	for _, c := range sel.Columns {
		types[c.Name] = c.Type
	}
	return types
}

func (s *tableStep) run(ctx context.Context, m *machine) error {
	dir, err := os.MkdirTemp("", "penstock-test-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := filepath.Join(dir, "out.csv")
	rep, err := export.FromStore(ctx, m.store, export.Request{Export: s.export, Out: out, Workers: 1})
	if err != nil {
		return fmt.Errorf("export %s: %s", s.export, strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	}
	var table [][]string
	for _, path := range outputs(rep, out) {
		rows, err := readCSV(path)
		if err != nil {
			return fmt.Errorf("read the table: %w", err)
		}
		if table != nil {
			rows = rows[1:]
		}
		table = append(table, rows...)
	}
	s.compare(m, table)
	for _, name := range leftOut {
		if want, got := s.left[name], leftBy(rep.LeftOut, name); s.left != nil && got != want {
			m.fail(s.node, "export %s: %d rows are left out as %s, expected %d", s.export, got, name, want)
		}
	}
	return nil
}

// outputs are the files of a table: one, or one for each part of a split.
func outputs(rep *export.Report, out string) (paths []string) {
	for _, p := range rep.Parts {
		if p.Out != "" {
			paths = append(paths, p.Out)
		}
	}
	if len(paths) == 0 {
		return []string{out}
	}
	return paths
}

func readCSV(path string) ([][]string, error) {
	f, err := os.Open(path) //nolint:gosec // in a folder of our own
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return csv.NewReader(f).ReadAll()
}

func leftBy(n *export.LeftOut, name string) int64 {
	return map[string]int64{"gap": n.Gap, "sampled": n.Sampled, "unripe": n.Unripe, "neutral": n.Neutral, "rebalanced": n.Rebalanced}[name]
}

// compare finds an expected row for each row of the table. Rows that name more columns are looked for first.
func (s *tableStep) compare(m *machine, table [][]string) {
	head, rows := table[0], table[1:]
	want := slices.Clone(s.rows)
	slices.SortStableFunc(want, func(a, b tableRow) int { return len(b.cells) - len(a.cells) })
	for _, w := range want {
		missing := ""
		for _, c := range w.cells {
			if !slices.Contains(head, c.name) {
				missing = c.name
			}
		}
		if missing != "" {
			m.fail(w.node, "export %s has no column %q: its columns are %s", s.export, missing, strings.Join(head, ", "))
			return
		}
		i := slices.IndexFunc(rows, func(row []string) bool {
			return !slices.ContainsFunc(w.cells, func(c tableCell) bool { return row[slices.Index(head, c.name)] != c.text })
		})
		if i < 0 {
			m.fail(w.node, "export %s has no row that is %s; left are %s", s.export, w.text(), s.rest(head, rows))
			continue
		}
		rows = slices.Delete(slices.Clone(rows), i, i+1)
	}
	if len(s.rows) != len(table)-1 {
		m.fail(s.node, "export %s has %d rows, expected %d; left are %s", s.export, len(table)-1, len(s.rows), s.rest(head, rows))
	}
}

func (r tableRow) text() string {
	parts := make([]string, 0, len(r.cells))
	for _, c := range r.cells {
		parts = append(parts, c.name+" "+orNull(c.text))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// rest writes the rows that nothing expected, by the columns that any expectation names.
func (s *tableStep) rest(head []string, rows [][]string) string {
	const most = 5
	var out []string
	for _, row := range rows[:min(most, len(rows))] {
		r := tableRow{}
		for i, name := range head {
			if slices.ContainsFunc(s.rows, func(w tableRow) bool {
				return slices.ContainsFunc(w.cells, func(c tableCell) bool { return c.name == name })
			}) || len(s.rows) == 0 {
				r.cells = append(r.cells, tableCell{name, row[i]})
			}
		}
		out = append(out, r.text())
	}
	if len(rows) == 0 {
		return "none"
	}
	if len(rows) > most {
		out = append(out, fmt.Sprintf("and %d more", len(rows)-most))
	}
	return strings.Join(out, ", ")
}
