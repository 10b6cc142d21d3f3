package script

import (
	"context"
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

// line is one event that a failure shows.
type line struct {
	at   event.Time
	text string
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
	var lines []line
	for _, h := range m.log {
		if h.record == nil {
			continue
		}
		if x, ok := m.eventOf(q, f.View, r, h.record, start, end); ok {
			lines = append(lines, x)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(max(min(a.at.Sub(b.at), 1), -1)) })
	out := []string{fmt.Sprintf("%s.%s: %s: events %s: %d", f.View.Name, f.Name, f.Doc, what, len(lines))}
	if len(lines) > maxShown {
		out = append(out, fmt.Sprintf("  … %d earlier ones", len(lines)-maxShown))
		lines = lines[len(lines)-maxShown:]
	}
	for _, x := range lines {
		out = append(out, "  "+x.text)
	}
	return out
}

// eventOf shows a record if it is one of the entity within the instants.
func (m *machine) eventOf(q *question, v *pipeline.View, r *answerRow, rec *record, start, end event.Time) (line, bool) {
	src := m.plan.Sources[rec.source]
	if v.Source != src {
		return line{}, false
	}
	slots, reason := m.feeds[rec.source].Columns(context.Background(), rec.Value)
	if reason != "" {
		return line{}, false
	}
	at, ok := feature.EventTime(src, slots)
	if !ok || at < start || at >= end {
		return line{}, false
	}
	row := slices.Clone(slots)
	for _, c := range v.Computed {
		row = append(row, c.Eval(row))
	}
	for i, k := range v.Keys {
		name := v.Entity.Keys[i].Name
		j := slices.IndexFunc(q.columns.Keys, func(c pipeline.Column) bool { return c.Name == name })
		if j < 0 || event.Compare(row[k], r.keys[j]) != 0 {
			return line{}, false
		}
	}
	text := fmt.Sprintf("line %d  %d@%d  %s", rec.line, rec.Partition, rec.Offset, at)
	if rec.Arrival != at {
		text += " arrived " + rec.Arrival.String()
	}
	text += "  {" + rec.text + "}"
	if v.Where != nil && !v.Where.Eval(row).Bool() {
		text += "  filtered by the view's where"
	}
	return line{at, text}, true
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
