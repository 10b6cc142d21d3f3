package script

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// shownRow is a row of a view that a failure shows, whether it counts or not.
type shownRow struct {
	event.Row // without Values
	rec       *record
	of        int         // how many rows the record has
	id        event.Value // by which copies are told
	why       string      // why it does not count; empty if nothing is known against it
}

// mark notes why a row does not count, unless something else was before.
func (x *shownRow) mark(is bool, why string) {
	if is && x.why == "" {
		x.why = why
	}
}

func (x *shownRow) text() string {
	text := fmt.Sprintf("line %d  %d@%d", x.rec.line, x.rec.Partition, x.rec.Offset)
	if x.of > 1 {
		text += fmt.Sprintf(" element %d", x.Pos.Index)
	}
	text += "  " + x.Time.String()
	if x.Arrival != x.Time {
		text += " arrived " + x.Arrival.String()
	}
	text += "  {" + x.rec.text + "}"
	if x.why != "" {
		text += "  " + x.why
	}
	return text
}

// rowsOf are the rows of all records so far that are of the entity asked for, in tie order.
func (m *machine) rowsOf(q *question, v *pipeline.View, r *answerRow) []shownRow {
	var rows []shownRow
	for _, h := range m.log {
		if h.record == nil {
			continue
		}
		for _, b := range v.Branches() {
			if b.Source == m.plan.Sources[h.record.source] {
				rows = append(rows, m.rowsIn(q, v, b, r, h.record)...)
			}
		}
	}
	slices.SortStableFunc(rows, func(x, y shownRow) int { return x.Compare(&y.Row) })
	return rows
}

// rowsIn are the rows of one record that are of the entity asked for.
func (m *machine) rowsIn(q *question, v *pipeline.View, b *pipeline.Branch, r *answerRow, rec *record) []shownRow {
	slots, reason := m.feeds[rec.source].Columns(context.Background(), rec.Value)
	if reason != "" {
		return nil
	}
	slots = slices.Clone(slots)
	at, ok := feature.EventTime(b.Source, slots)
	if !ok {
		return nil
	}
	n := 1
	var elems [][]event.Value
	for i, slot := range b.Flatten {
		var list []event.Value
		_ = event.EachElem(slots[slot].Str, func(_ int, e event.Value) error {
			list = append(list, e)
			return nil
		})
		if i > 0 && len(list) != n {
			return nil // a dead letter
		}
		n, elems = len(list), append(elems, list)
	}
	dead := m.deadOf(rec, v)
	var rows []shownRow
	for i := range n {
		row := slices.Clone(slots)
		for j, slot := range b.Flatten {
			row[slot] = elems[j][i]
		}
		for _, c := range b.Computed {
			row = append(row, c.Eval(row))
		}
		if !isEntity(q, v, b, r, row) {
			continue
		}
		x := shownRow{rec: rec, of: n, Row: event.Row{
			Time: at, Arrival: rec.Arrival,
			Pos: event.Position{Source: b.Source.Index, Partition: rec.Partition, Offset: rec.Offset, Index: int32(i)},
		}}
		if b.Source.File != nil {
			x.Arrival = at.Add(b.Source.ArrivalLag)
		}
		if b.Source.Order >= 0 {
			x.Order = row[b.Source.Order].Clone()
		}
		for i, p := range b.Filters {
			if p.Eval(row).Bool() {
				x.Pass |= 1 << i
			}
		}
		if v.Dedupe != nil {
			if in := &b.Inputs[v.Dedupe.Input]; in.Program != nil {
				x.id = in.Program.Eval(row).Clone()
			} else {
				x.id = row[in.Slot].Clone()
			}
		}
		x.mark(b.Where != nil && !b.Where.Eval(row).Bool(), "filtered by the view")
		x.mark(dead != "", dead)
		rows = append(rows, x)
	}
	return rows
}

// isEntity tells whether a row is of the entity asked for.
func isEntity(q *question, v *pipeline.View, b *pipeline.Branch, r *answerRow, row []event.Value) bool {
	for i, k := range b.Keys {
		name := v.Entity.Keys[i].Name
		j := slices.IndexFunc(q.columns.Keys, func(c pipeline.Column) bool { return c.Name == name })
		if j < 0 || event.Compare(row[k], r.keys[j]) != 0 {
			return false
		}
	}
	return true
}

// deadOf says why a record is a dead letter for v; empty if it is none.
func (m *machine) deadOf(rec *record, v *pipeline.View) string {
	m.dead.mu.Lock()
	defer m.dead.mu.Unlock()
	for i := range m.dead.list {
		d := &m.dead.list[i]
		if d.Source == m.plan.Sources[rec.source].Name && d.Partition == rec.Partition && d.Offset == rec.Offset && (d.View == "" || d.View == v.Name) {
			if d.Reason == "late" {
				return "late"
			}
			return "dead letter: " + d.Reason
		}
	}
	return ""
}

// markCopies marks the rows that are copies of others. rows are in tie order; what does not count displaces none.
func markCopies(v *pipeline.View, rows []shownRow) {
	if v.Dedupe == nil {
		return
	}
	kept := map[event.Value]*shownRow{} // the last one of an id
	for i := range rows {
		x := &rows[i]
		if x.why != "" || x.id.IsNull() {
			continue
		}
		if k := kept[x.id]; k != nil && x.Time.Sub(k.Time) <= v.Dedupe.Within {
			x.mark(true, fmt.Sprintf("duplicate of line %d", k.rec.line))
			continue
		}
		kept[x.id] = x
	}
}
