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
	"github.com/penstock-ml/penstock/pipeline"
)

// exportStep exports a spine at a cut, as `penstock export` does, and compares the table.
type exportStep struct {
	question
	spine  [][]string // head and rows
	time   string     // the spine's time column
	rows   []answerRow
	differ int64 // cells that differ between the two pasts; -1: not compared
	status bool
}

var exportKeys = append(slices.Clone(questionKeys), "differ")

func (l *loader) readExport(key, n *pipeline.Node) step {
	if !l.keys(n, "export", exportKeys) {
		return nil
	}
	e := &exportStep{question: question{node: key}, differ: -1}
	if !l.readQuestion(n, &e.question) {
		return nil
	}
	if d := n.Get("differ"); d != nil {
		var err error
		if e.differ, err = strconv.ParseInt(d.Text, 10, 64); err != nil {
			l.fail(d, "", "%q is no number of cells", nodeText(d))
		}
	}
	if n.Get("rows") == nil {
		l.fail(key, "add rows: | with the spine's columns, then a column for each feature expected", "the export has no rows")
		return nil
	}
	rows, ok := l.rows(n.Get("rows"), "rows")
	if !ok {
		return nil
	}
	e.head(rows)
	for i := range rows {
		l.exportRow(e, &rows[i])
	}
	return e
}

// head collects the spine's columns: those of the rows that are no answers.
func (e *exportStep) head(rows []row) {
	var head []string
	for i := range rows {
		for _, c := range rows[i].cells {
			name := strings.TrimSuffix(c.name, statusSuffix)
			if columnOf(&e.question, name) >= 0 {
				e.status = e.status || name != c.name
			} else if !slices.Contains(head, c.name) {
				head = append(head, c.name)
			}
		}
	}
	e.time = "event_time"
	if slices.Contains(head, "as_of") {
		e.time = "as_of"
	}
	e.spine = append(e.spine, head)
}

func (l *loader) exportRow(e *exportStep, r *row) {
	out := answerRow{node: r.node}
	cells := make([]string, len(e.spine[0]))
	for _, c := range r.cells {
		i := slices.Index(e.spine[0], c.name)
		switch {
		case c.name == e.time:
			if at, ok := l.instant(c.value); ok {
				out.as, cells[i] = at, at.String()
			}
		case i >= 0 && c.value.Kind != pipeline.Nothing:
			cells[i] = nodeText(c.value)
		case i < 0:
			l.expected(&e.question, &out, c)
		}
	}
	if r.get(e.time) == nil {
		l.fail(r.node, "add a column event_time", "nothing says as of when")
	}
	out.keys = l.inputs(e.columns.Keys, r, "key")
	e.spine = append(e.spine, cells)
	e.rows = append(e.rows, out)
}

func (e *exportStep) run(ctx context.Context, m *machine) error {
	dir, err := os.MkdirTemp("", "penstock-test-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	spine, out := filepath.Join(dir, "spine.csv"), filepath.Join(dir, "out.csv")
	if err := writeCSV(spine, e.spine); err != nil {
		return fmt.Errorf("write the spine: %w", err)
	}
	rep, err := export.FromStore(ctx, m.store, export.Request{
		Selection: e.sel, Spine: spine, SpineTime: e.time, Out: out, AsServed: e.asServed, WithStatus: e.status, Workers: 1,
	})
	if err != nil {
		return fmt.Errorf("export: %s", strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	}
	f, err := os.Open(out) //nolint:gosec // written above
	if err != nil {
		return err
	}
	table, err := csv.NewReader(f).ReadAll()
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	if len(table) != len(e.spine) {
		m.fail(e.node, "the table has %d rows, the spine %d", len(table)-1, len(e.spine)-1)
		return nil
	}
	for i := range e.rows {
		e.compareRow(m, &e.rows[i], table[0], table[i+1])
	}
	if e.differ >= 0 && rep.Differ != e.differ {
		m.fail(e.node, "%d cells differ between as of and as served, expected %d", rep.Differ, e.differ)
	}
	return nil
}

// compareRow compares what is expected of one row; in CSV null and the empty text are one.
func (e *exportStep) compareRow(m *machine, r *answerRow, head, got []string) {
	for i := range r.cells {
		c := &r.cells[i]
		col := &e.columns.Columns[c.column]
		text := got[slices.Index(head, col.Name+c.kind)]
		want := c.value.String()
		if c.kind == statusSuffix {
			want = c.status
		}
		if text == want {
			continue
		}
		if x, err := strconv.ParseFloat(text, 64); err == nil && c.value.Kind == event.Double && same(event.DoubleOf(x), c.value, e.toleranceOf(col.Name)) {
			continue
		}
		f := m.failure(c.node, "exported %s of %s as of %s is %s, expected %s", col.Name+c.kind, e.entity(r), r.as, orNull(text), orNull(want))
		f.Feature, f.Got, f.Want = col.Name, orNull(text), orNull(want)
		f.Rows = m.explain(&e.question, c.column, r, r.as)
		m.failures = append(m.failures, f)
	}
}

func orNull(text string) string {
	if text == "" {
		return "null"
	}
	return text
}

func writeCSV(path string, rows [][]string) error {
	f, err := os.Create(path) //nolint:gosec // in a folder of our own
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	if err := w.WriteAll(rows); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
