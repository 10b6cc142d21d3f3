package verify

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

// TableConfig says which table is compared, and how it was exported.
type TableConfig struct {
	Path   string
	Time   string // the column of the instant; empty: event_time
	Served bool   // it was exported as served
	Rows   int    // how many rows are compared, chosen by Seed; 0: 1,000
	Seed   uint64
}

// tableRow is a row that was chosen.
type tableRow struct {
	number int64
	q      Question
	cells  []event.Value // by column of the selection
	status []string      // so; empty: the table does not tell
}

// Table compares the cells of an exported table with the truth. The past is that of the truth's cut: what was
// counted since the table was made shows as a difference.
func Table(ctx context.Context, cut Past, t *Truth, sel feature.Selection, cfg TableConfig) (*Report, error) {
	selector, err := cut.Select(sel)
	if err != nil {
		return nil, err
	}
	cols := Columns(t.Plan, sel)
	table, err := export.OpenTable(cfg.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = table.Close() }()
	rows, err := chooseRows(table, selector, cols, cfg)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", cfg.Path, err)
	}
	// Rows of one entity together: its rows are read once.
	slices.SortFunc(rows, func(a, b tableRow) int { return strings.Compare(keyText(a.q.Keys), keyText(b.q.Keys)) })
	questions := make([]*Question, len(rows))
	for i := range rows {
		questions[i] = &rows[i].q
	}
	if err := t.ahead(cols, questions); err != nil {
		return nil, err
	}
	rep := &Report{}
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r := &rows[i]
		want, err := t.Answer(cols, &r.q)
		if err != nil {
			return nil, err
		}
		rep.Questions++
		for j := range cols {
			status := want[j].Status
			if r.status != nil && r.status[j] != "" && r.status[j] != "incomplete" {
				status = r.status[j]
			}
			if want[j].Unknown {
				rep.Unknown++
				continue
			}
			rep.Cells++
			if sameCell(r.cells[j], &want[j], selector.Columns[j].Type) && status == want[j].Status {
				continue
			}
			rep.add(&Difference{
				Feature: cols[j].Name, Question: r.q, Want: want[j],
				Text: fmt.Sprintf("%s in row %d of %s", event.AppendJSON(nil, r.cells[j].Clone()), r.number, cfg.Path),
			})
		}
	}
	return rep, nil
}

// tableColumns are where a table has what is needed; -1: nowhere.
type tableColumns struct {
	time                         int
	keys, request, cells, status []int
}

func findColumns(table *export.Table, sel *feature.Selector, cols []Column, cfg TableConfig) (x tableColumns, err error) {
	find := func(name string) int {
		return slices.IndexFunc(table.Columns, func(c pipeline.Column) bool { return c.Name == name })
	}
	need := func(name, what string) int {
		i := find(name)
		if i < 0 && err == nil {
			err = fmt.Errorf("it has no column %q, %s", name, what)
		}
		return i
	}
	instant := cfg.Time
	if instant == "" {
		instant = "event_time"
	}
	x.time = need(instant, "the instant of its rows (--spine-time names another)")
	for _, c := range sel.Keys {
		x.keys = append(x.keys, need(c.Name, "a key"))
	}
	for _, c := range sel.Request {
		x.request = append(x.request, need(c.Name, "a request column"))
	}
	for _, c := range cols {
		i := need(c.Name, "a feature of what is compared")
		if i >= 0 && table.Nested(i) && err == nil {
			err = fmt.Errorf("column %q holds lists or maps of Parquet, which cannot be compared: export it as CSV, JSONL or Arrow", c.Name)
		}
		x.cells = append(x.cells, i)
		x.status = append(x.status, find(c.Name+"__status"))
	}
	return x, err
}

// chooseRows reads the table and keeps some rows, each as likely as any other.
func chooseRows(table *export.Table, sel *feature.Selector, cols []Column, cfg TableConfig) ([]tableRow, error) {
	at, err := findColumns(table, sel, cols, cfg)
	if err != nil {
		return nil, err
	}
	most := cfg.Rows
	if most <= 0 {
		most = 1000
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 2))
	var chosen []tableRow
	err = table.Each(func(n int64, values []event.Value) error {
		place := len(chosen)
		if place == most {
			if i := rng.Int64N(n); i < int64(most) {
				place = int(i)
			} else {
				return nil
			}
		} else {
			chosen = append(chosen, tableRow{})
		}
		r := tableRow{number: n, q: Question{Names: sel.Keys, Served: cfg.Served}}
		instant, err := typed(values[at.time], event.Type{Kind: event.Timestamp})
		if err != nil {
			return fmt.Errorf("row %d: %w", n, err)
		}
		r.q.AsOf = instant.Time()
		if r.q.Keys, err = typedAll(values, at.keys, sel.Keys); err == nil {
			r.q.Request, err = typedAll(values, at.request, sel.Request)
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", n, err)
		}
		for j := range cols {
			r.cells = append(r.cells, values[at.cells[j]].Clone())
			status := ""
			if at.status[j] >= 0 {
				status = values[at.status[j]].Clone().Str
			}
			r.status = append(r.status, status)
		}
		chosen[place] = r
		return nil
	})
	return chosen, err
}

func typedAll(values []event.Value, at []int, cols []pipeline.Column) (out []event.Value, err error) {
	for i, c := range cols {
		v, err := typed(values[at[i]], c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// typed reads a value of a table as one of a type: text is parsed.
func typed(v event.Value, t event.Type) (event.Value, error) {
	switch {
	case v.IsNull() || v.Kind == t.Kind:
		return v.Clone(), nil
	case v.Kind == event.Long && t.Kind == event.Double:
		return event.DoubleOf(float64(v.Long())), nil
	case v.Kind != event.String:
		return event.Value{}, fmt.Errorf("%s is a %s, not a %s", v.String(), event.Type{Kind: v.Kind}, t)
	case v.Str == "" && t.Kind != event.String && t.Kind != event.Bytes:
		return event.Value{}, nil
	case t.Kind == event.Timestamp:
		at, err := event.ReadTime(v.Str)
		return event.TimestampOf(at), err
	case t.Kind == event.Bytes:
		b, err := base64.StdEncoding.DecodeString(v.Str)
		return event.BytesOf(b), err
	}
	x, err := stream.ReadText(v.Str, t)
	return x.Clone(), err
}

// sameCell tells whether a value of a file is the one that is wanted: as it is, or as the file's format writes it.
func sameCell(got event.Value, want *Cell, t event.Type) bool {
	w := want.Value
	if got.IsNull() || got.Kind == event.String && got.Str == "" {
		return w.IsNull() || w.Kind == event.String && w.Str == ""
	}
	if got.Kind == w.Kind && want.Agrees(got) {
		return true
	}
	if got.Kind == event.String {
		if got.Str == w.String() || got.Str == string(event.AppendJSON(nil, w)) {
			return true
		}
	}
	x, err := typed(got, t)
	return err == nil && want.Agrees(x)
}
