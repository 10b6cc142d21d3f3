package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/transforms/agg"
)

// doc is one line that says what the feature is, with the error of what is not exact and what is answered
// beyond a bound.
func (d *featureDecl) doc(b *bound) string {
	text := d.aggregateDecl.what(b)
	if d.inner != nil {
		when := d.when() // "over the 1h before", "from 7d to 1d before"
		if rest, ok := strings.CutPrefix(when, "over "); ok {
			when = "within " + rest
		}
		text += " of each " + d.inner.window.String() + " that ends " + when
		if d.empty {
			text += ", those without events too"
			if in := d.feature.Inner; !in.Nothing.IsNull() {
				text += " as " + in.Nothing.String()
			}
		}
		if d.by != nil {
			text += ", by " + oneLine(d.by.column.text)
		}
	} else {
		text += " " + d.when()
	}
	if d.where != nil {
		text += ", where " + oneLine(d.where.text)
	}
	notes := append(d.notes(b), byNote(d.by)...)
	if len(notes) > 0 {
		text += "; " + strings.Join(notes, "; ")
	}
	return text
}

// when says over which events.
func (d *featureDecl) when() string {
	if d.label != nil {
		return d.label.label.windowDoc()
	}
	return windowDoc(d.window)
}

// what names the aggregate, its parameters and columns.
func (a *aggregateDecl) what(b *bound) string {
	text := a.fn.String() + a.paramsDoc(b)
	switch {
	case a.above != nil:
		text += " of (" + a.above.term(b.above) + ") to (" + a.below.term(b.below) + ")"
	case a.inner != nil:
		return text + " of (" + a.inner.term(b.inner) + ")"
	case a.star:
		text += " of events"
	default:
		var columns []string
		for _, n := range a.args {
			columns = append(columns, oneLine(n.text))
		}
		text += " of " + strings.Join(columns, " and ")
	}
	if a.by != nil {
		text += " by " + oneLine(a.by.column.text)
	}
	return text
}

// term is what with the condition of the aggregate's own.
func (a *aggregateDecl) term(b *bound) string {
	text := a.what(b)
	if a.where != nil {
		text += ", where " + oneLine(a.where.text)
	}
	return text
}

// paramsDoc writes the parameters of a function, those too that were not given.
func (a *aggregateDecl) paramsDoc(b *bound) string {
	var list []string
	add := func(name string, value any) { list = append(list, fmt.Sprintf("%s %v", name, value)) }
	keeps := b.needs.Keeps
	for _, name := range a.fn.Params() {
		switch name {
		case "k":
			add(name, b.call.K)
		case "n":
			add(name, b.call.K)
		case "distinct":
			if keeps.Distinct {
				list = append(list, name)
			}
		case "q":
			add(name, joinNumbers(b.call.Quantiles))
		case "per":
			add(name, b.call.Per)
		case "half_life":
			add(name, keeps.HalfLife)
		case "buckets":
			add(name, joinNumbers(a.params().Buckets))
		case "dim":
			if keeps.Dim > 0 {
				add(name, keeps.Dim)
			}
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "(" + strings.Join(list, ", ") + ")"
}

func joinNumbers(list []float64) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strings.Join(texts, " ")
}

// notes says what is not exact about an aggregate, and what is answered beyond its bounds.
func (a *aggregateDecl) notes(b *bound) []string {
	if a == nil {
		return nil
	}
	var notes []string
	if a.fn == agg.CollectList {
		notes = append(notes, fmt.Sprintf("the latest %d", b.call.K))
	}
	if text := a.fn.Error(a.params()); text != "" {
		notes = append(notes, text)
	}
	notes = append(notes, a.above.notes(b.above)...)
	notes = append(notes, a.below.notes(b.below)...)
	return append(notes, a.inner.notes(b.inner)...)
}

// byNote says which keys a map has.
func byNote(by *byDecl) []string {
	if by == nil {
		return nil
	}
	note := fmt.Sprintf("the %d keys with the most events", by.top)
	switch {
	case by.value:
		note = fmt.Sprintf("the %d keys with the greatest answers", by.top)
	case by.top == by.limit:
		note = fmt.Sprintf("at most %d keys", by.limit)
	}
	if by.rest != "" {
		note += fmt.Sprintf(", the others united as %q", by.rest)
	}
	if by.top < by.limit {
		note += fmt.Sprintf("; exact up to %d keys", by.limit)
	}
	return []string{note + ", beyond that those of least hash"}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
