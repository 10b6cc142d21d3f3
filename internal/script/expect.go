package script

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
)

// question is what of the pipeline is asked for, and how answers are compared.
type question struct {
	node      *pipeline.Node
	sel       feature.Selection
	columns   *feature.Selector // of an empty store: names and types
	asServed  bool
	tolerance map[string]tolerance // by answer; "" for all
}

// expect is a step that compares features with what is expected.
type expect struct {
	question
	rows []answerRow
}

// answerRow is one entity at one instant.
type answerRow struct {
	node          *pipeline.Node
	as            event.Time
	latest        bool
	keys, request []event.Value
	cells         []answerCell
}

// answerCell is one thing expected of one feature.
type answerCell struct {
	column int // of the selector
	kind   string
	node   *pipeline.Node
	value  event.Value
	status string
	time   event.Time // MinTime: none
}

// Suffixes of columns beside a feature's own.
const (
	statusSuffix = "__status"
	timeSuffix   = "__event_time"
)

func (q *question) at() *pipeline.Node { return q.node }

// questionKeys are the keys that expectations and exports share.
var questionKeys = []string{"view", "set", "features", "as_served", "tolerance", "rows"}

var expectKeys = append(slices.Clone(questionKeys), "as_of", "entity", "request", "values", "status", "event_time")

func (l *loader) readExpect(key, n *pipeline.Node) step {
	if !l.keys(n, "expect", expectKeys) {
		return nil
	}
	e := &expect{question: question{node: key}}
	if !l.readQuestion(n, &e.question) {
		return nil
	}
	asOf := n.Get("as_of")
	if rows := n.Get("rows"); rows != nil {
		for _, other := range []string{"entity", "request", "values", "status", "event_time"} {
			if k := n.Get(other); k != nil {
				l.fail(keyOf(n, other), "make it a column of rows", "expect has rows and %s", other)
			}
		}
		list, _ := l.rows(rows, "rows")
		for i := range list {
			e.rows = append(e.rows, l.answerRow(&e.question, &list[i], asOf))
		}
		return e
	}
	if n.Get("values") == nil && n.Get("status") == nil && n.Get("event_time") == nil {
		l.fail(key, "add values: {NAME: VALUE}, or rows with a column for each", "nothing is expected")
		return nil
	}
	r := l.single(n, &e.question)
	e.rows = append(e.rows, l.answerRow(&e.question, &r, asOf))
	return e
}

// single turns the form for one entity into a row.
func (l *loader) single(n *pipeline.Node, q *question) row {
	r := row{node: q.node}
	add := func(key, suffix string) {
		v := n.Get(key)
		if v == nil {
			return
		}
		if v.Kind == pipeline.Scalar && suffix == statusSuffix { // one word for all
			for _, c := range q.columns.Columns {
				r.cells = append(r.cells, cell{c.Name + suffix, v, v})
			}
			return
		}
		if v.Kind != pipeline.Mapping {
			l.fail(v, "write {NAME: VALUE}", "%s must be a mapping, not %s", key, v.Kind)
			return
		}
		l.unique(v, "key")
		for _, f := range v.Fields {
			r.cells = append(r.cells, cell{f.Key.Text + suffix, f.Key, f.Value})
		}
	}
	add("entity", "")
	add("request", "")
	add("values", "")
	add("status", statusSuffix)
	add("event_time", timeSuffix)
	return r
}

// readQuestion reads view, set, features, as_served and tolerance.
func (l *loader) readQuestion(n *pipeline.Node, q *question) bool {
	for _, f := range n.Fields {
		switch f.Key.Text {
		case "view":
			q.sel.View = f.Value.Text
		case "set":
			q.sel.Set = f.Value.Text
		case "features":
			q.sel.Features = texts(f.Value)
		case "as_served":
			q.asServed = f.Value.Text == "true"
			if f.Value.Text != "true" && f.Value.Text != "false" {
				l.fail(f.Value, "", "as_served must be true or false")
			}
		}
	}
	var err error
	if q.columns, err = l.store.Select(q.sel); err != nil {
		l.selectError(n, q.node, err)
		return false
	}
	q.tolerance = l.readTolerance(n.Get("tolerance"), q)
	return true
}

// texts are the texts of a list, or of one scalar.
func texts(n *pipeline.Node) (out []string) {
	if n.Kind == pipeline.Scalar {
		return []string{n.Text}
	}
	for _, item := range n.Items {
		out = append(out, item.Text)
	}
	return out
}

// selectError places what a store says of a selection.
func (l *loader) selectError(n, at *pipeline.Node, err error) {
	var e *feature.SelectError
	if !errors.As(err, &e) {
		l.fail(at, "", "%v", err)
		return
	}
	name, index, _ := strings.Cut(strings.TrimSuffix(e.At, "]"), "[")
	if v := n.Get(name); v != nil {
		at = v
		i := 0
		if _, err := fmt.Sscanf(index, "%d", &i); err == nil && i < len(v.Items) {
			at = v.Items[i]
		}
	}
	l.fail(at, e.Hint, "%s", e.Message)
}

func (l *loader) answerRow(q *question, r *row, asOf *pipeline.Node) answerRow {
	out := answerRow{node: r.node}
	if at := r.get("as_of"); at != nil {
		asOf = at
	}
	switch {
	case asOf == nil:
		l.fail(r.node, "add as_of: an instant, or latest", "nothing says as of when")
	case asOf.Text == "latest":
		out.latest = true
	default:
		out.as, _ = l.instant(asOf)
	}
	out.keys = l.inputs(q.columns.Keys, r, "key")
	out.request = l.inputs(q.columns.Request, r, "request column")
	for _, c := range r.cells {
		if c.name == "as_of" || isInput(q, c.name) {
			continue
		}
		l.expected(q, &out, c)
	}
	return out
}

func isInput(q *question, name string) bool {
	is := func(c pipeline.Column) bool { return c.Name == name }
	return slices.ContainsFunc(q.columns.Keys, is) || slices.ContainsFunc(q.columns.Request, is)
}

// inputs reads what a question is asked with.
func (l *loader) inputs(columns []pipeline.Column, r *row, what string) []event.Value {
	out := make([]event.Value, len(columns))
	for i, c := range columns {
		n := r.get(c.Name)
		if n == nil {
			if !c.Type.Nullable {
				l.fail(r.node, "", "%s %q is missing", what, c.Name)
			}
			continue
		}
		out[i], _ = l.value(n, c.Type, c.Name)
		if out[i].IsNull() && !c.Type.Nullable && n.Kind == pipeline.Nothing {
			l.fail(n, "", "%s %q is null", what, c.Name)
		}
	}
	return out
}

// statuses are the words for a value's status.
var statuses = []string{"present", "null", "expired", "not_found", "before_history", "incomplete"}

// expected reads one thing that is expected of a feature.
func (l *loader) expected(q *question, out *answerRow, c cell) {
	name, kind := c.name, ""
	for _, suffix := range []string{statusSuffix, timeSuffix} {
		if rest, ok := strings.CutSuffix(name, suffix); ok && columnOf(q, name) < 0 {
			name, kind = rest, suffix
		}
	}
	x := answerCell{column: columnOf(q, name), kind: kind, node: c.value, time: event.MinTime}
	if x.column < 0 {
		c.name = name
		var names []string
		for _, col := range q.columns.Columns {
			names = append(names, col.Name)
		}
		l.unknownColumn(c, "expect", "features", names)
		return
	}
	ok := true
	switch {
	case kind == statusSuffix:
		if x.status = nodeText(c.value); !contains(statuses, x.status) {
			l.fail(c.value, diag.Suggest(x.status, "statuses", statuses), "%q is not a status", x.status)
			ok = false
		}
	case kind == timeSuffix && c.value.Kind == pipeline.Nothing:
	case kind == timeSuffix:
		x.time, ok = l.instant(c.value)
	default:
		x.value, ok = l.value(c.value, q.columns.Columns[x.column].Type, name)
	}
	if ok {
		out.cells = append(out.cells, x)
	}
}

func columnOf(q *question, name string) int {
	return slices.IndexFunc(q.columns.Columns, func(c feature.SelectorColumn) bool { return c.Name == name })
}

// run reads every row as a look-up does: the newest state, memory first.
func (e *expect) run(ctx context.Context, m *machine) error {
	sel, err := m.store.Select(e.sel)
	if err != nil {
		return err
	}
	for i := range e.rows {
		r := &e.rows[i]
		as := r.as
		if r.latest {
			as = m.store.Latest(sel)
		}
		if err := m.reader.Read(ctx, sel, r.keys, r.request, feature.Instant{AsOf: as, AsServed: e.asServed}, &m.vector); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		for j := range r.cells {
			e.compare(m, r, &r.cells[j], as)
		}
	}
	return nil
}

// compare reports a cell that is not as expected.
func (e *expect) compare(m *machine, r *answerRow, c *answerCell, as event.Time) {
	col := &e.columns.Columns[c.column]
	v, st, t := m.vector.Values[c.column], m.vector.Status[c.column], m.vector.EventTime[c.column]
	var got, want, what string
	switch c.kind {
	case statusSuffix:
		got, want, what = st.String(), c.status, "status of "
	case timeSuffix:
		got, want, what = showTime(t), showTime(c.time), "event time of "
	default:
		if same(v, c.value, e.toleranceOf(col.Name)) {
			return
		}
		got, want = show(v), show(c.value)
		if got == want { // of another kind, or beyond what is shown
			got, want = got+" ("+v.Kind.String()+")", want+" ("+c.value.Kind.String()+")"
		}
		got += " (" + st.String() + ")"
	}
	if c.kind != "" && got == want {
		return
	}
	served := ""
	if e.asServed {
		served = " as served"
	}
	f := m.failure(c.node, "%s%s of %s as of %s%s is %s, expected %s", what, col.Name, e.entity(r), as, served, got, want)
	f.Feature, f.Got, f.Want = col.Name, got, want
	f.Rows = m.explain(&e.question, c.column, r, as)
	m.failures = append(m.failures, f)
}

// entity names the entity of a row.
func (q *question) entity(r *answerRow) string {
	var parts []string
	for i, k := range q.columns.Keys {
		parts = append(parts, k.Name+"="+show(r.keys[i]))
	}
	return strings.Join(parts, ", ")
}
