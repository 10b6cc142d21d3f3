package script

import (
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/window"
)

// maxShown is how many events a failure shows.
const maxShown = 10

// explain lists the events that a feature of an entity could rest on as of an instant, newest last: for people,
// who then see which one is too many or missing. The verdict is the reader's alone.
func (m *machine) explain(q *question, column int, r *answerRow, as event.Time) []string {
	var out []string
	for _, f := range m.inputsOf(q, column) {
		out = append(out, m.explainFeature(q, f, r, as)...)
	}
	return out
}

// inputsOf are the views' features that an answer is made of.
func (m *machine) inputsOf(q *question, column int) []*pipeline.Feature {
	name := q.columns.Columns[column].Name
	if q.sel.View != "" {
		return []*pipeline.Feature{m.plan.View(q.sel.View).Feature(name)}
	}
	if q.sel.Set == "" {
		var out []*pipeline.Feature
		for _, v := range m.plan.Views {
			if f := v.Feature(name); f != nil && slices.Contains(q.sel.Features, v.Name+"."+name) {
				out = append(out, f)
			}
		}
		return out
	}
	set := m.plan.Set(q.sel.Set)
	i := slices.IndexFunc(set.Features, func(f *pipeline.SetFeature) bool { return f.Name == name })
	return setInputs(set, i, nil)
}

// setInputs collects what a feature of a set is computed from.
func setInputs(set *pipeline.Set, i int, out []*pipeline.Feature) []*pipeline.Feature {
	f := set.Features[i]
	add := func(ref *pipeline.Feature) {
		if ref != nil && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	add(f.Ref)
	for _, d := range f.Deps {
		if add(d.Ref); d.Ref == nil {
			out = setInputs(set, d.Earlier, out)
		}
	}
	return out
}

func (m *machine) explainFeature(q *question, f *pipeline.Feature, r *answerRow, as event.Time) []string {
	start, end := f.Window.Range(as)
	what := "before " + end.String()
	if start != event.MinTime {
		what = fmt.Sprintf("in [%s, %s)", start, end)
	}
	if f.Window.Kind == window.LastN || f.Window.Kind == window.Session {
		what += ", from which it takes " + f.Window.String()
	}
	rows := m.rowsOf(q, f.View, r)
	if q.asServed {
		for i := range rows {
			rows[i].mark(rows[i].Arrival > as, "had not arrived")
		}
	}
	markCopies(f.View, rows)
	rows = slices.DeleteFunc(rows, func(x shownRow) bool { return x.Time < start || x.Time >= end })
	without := 0
	for i := range rows {
		rows[i].mark(!passesAny(f, &rows[i].Row), "its where leaves it out")
		if rows[i].why != "" {
			without++
		}
	}
	head := fmt.Sprintf("%s.%s: %s: events %s: %d", f.View.Name, f.Name, f.Doc, what, len(rows))
	if without > 0 {
		head += fmt.Sprintf(", %d of them left out", without)
	}
	out := []string{head}
	if len(rows) > maxShown {
		out = append(out, fmt.Sprintf("  … %d earlier ones", len(rows)-maxShown))
		rows = rows[len(rows)-maxShown:]
	}
	for i := range rows {
		out = append(out, "  "+rows[i].text())
	}
	return out
}

// passesAny tells whether a row passes the condition of one of the groups that a feature reads. Conditions over
// other views are passed: their verdict is not known here.
func passesAny(f *pipeline.Feature, row *event.Row) bool {
	call := &f.Call
	if f.Inner != nil {
		call = &f.Inner.Call
	}
	return slices.ContainsFunc(call.Groups(nil), func(i int) bool {
		filter := f.View.Layout.Groups[i].Filter
		return filter < 0 || filter >= len(f.View.Filters) || row.Pass>>filter&1 != 0
	})
}

// lineOf shows the event that became a dead letter.
func (m *machine) lineOf(d *feature.DeadLetter) []string {
	for _, h := range m.log {
		rec := h.record
		if rec != nil && m.plan.Sources[rec.source].Name == d.Source && rec.Partition == d.Partition && rec.Offset == d.Offset {
			return []string{fmt.Sprintf("line %d: {%s}", rec.line, rec.text)}
		}
	}
	return nil
}
