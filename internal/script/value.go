package script

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

// value reads an expected value of a type.
func (l *loader) value(n *pipeline.Node, t event.Type, name string) (event.Value, bool) {
	switch {
	case n.Kind == pipeline.Nothing:
		return event.Value{}, true
	case n.Kind == pipeline.Sequence && t.Kind == event.List:
		var out []byte
		for _, item := range n.Items {
			v, ok := l.value(item, *t.Elem, name)
			if !ok {
				return event.Value{}, false
			}
			out = event.AppendValue(out, v)
		}
		return event.Value{Kind: event.List, Str: string(out)}, true
	case n.Kind == pipeline.Mapping && t.Kind == event.Map:
		var out []byte
		for _, f := range n.Fields {
			v, ok := l.value(f.Value, *t.Elem, name)
			if !ok {
				return event.Value{}, false
			}
			out = event.AppendValue(event.AppendValue(out, event.StringOf(f.Key.Text)), v)
		}
		return event.Value{Kind: event.Map, Str: string(out)}, true
	case n.Kind == pipeline.Scalar && t.Kind == event.Timestamp:
		at, ok := l.instant(n)
		return event.TimestampOf(at), ok
	case n.Kind == pipeline.Scalar:
		t.Nullable = false // null is no text
		v, err := stream.ReadText(n.Text, t)
		if err != nil {
			l.fail(n, "", "%s: %v", name, err)
			return v, false
		}
		return v, true
	}
	l.fail(n, "", "%s is %s, and must be a %s", name, n.Kind, t)
	return event.Value{}, false
}

// tolerance is how far a double may be off: the larger of an amount and a part of what is expected.
type tolerance struct{ absolute, relative float64 }

// readTolerance reads a number, a percentage, or a mapping of them by feature.
func (l *loader) readTolerance(n *pipeline.Node, q *question) map[string]tolerance {
	if n == nil {
		return nil
	}
	out := map[string]tolerance{}
	read := func(name string, n *pipeline.Node) {
		text, percent := strings.CutSuffix(n.Text, "%")
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || n.Kind != pipeline.Scalar || f < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
			l.fail(n, "write a number, like 0.001, or a part of what is expected, like 1%", "%q is no tolerance", nodeText(n))
			return
		}
		if percent {
			out[name] = tolerance{relative: f / 100}
		} else {
			out[name] = tolerance{absolute: f}
		}
	}
	if n.Kind != pipeline.Mapping {
		read("", n)
		return out
	}
	l.unique(n, "feature")
	for _, f := range n.Fields {
		if columnOf(q, f.Key.Text) < 0 {
			var names []string
			for _, c := range q.columns.Columns {
				names = append(names, c.Name)
			}
			l.unknownColumn(cell{f.Key.Text, f.Key, f.Value}, "tolerance", "features", names)
			continue
		}
		read(f.Key.Text, f.Value)
	}
	return out
}

func (q *question) toleranceOf(name string) tolerance {
	if t, ok := q.tolerance[name]; ok {
		return t
	}
	return q.tolerance[""]
}

// same tells whether two values are equal: to the bit, but for doubles within a tolerance; maps whatever
// the order of their keys.
func same(got, want event.Value, tol tolerance) bool {
	if got.Kind != want.Kind {
		return false
	}
	switch got.Kind {
	case event.Double:
		x, y := got.Double(), want.Double()
		if event.Compare(got, want) == 0 {
			return true
		}
		return math.Abs(x-y) <= max(tol.absolute, tol.relative*math.Abs(y))
	case event.List:
		x, y := elements(got), elements(want)
		return slices.EqualFunc(x, y, func(a, b event.Value) bool { return same(a, b, tol) })
	case event.Map:
		x, y := pairs(got), pairs(want)
		return slices.EqualFunc(x, y, func(a, b [2]event.Value) bool {
			return same(a[0], b[0], tolerance{}) && same(a[1], b[1], tol)
		})
	}
	return event.Compare(got, want) == 0
}

func elements(v event.Value) (out []event.Value) {
	_ = event.EachElem(v.Str, func(_ int, e event.Value) error { // the store made it
		out = append(out, e)
		return nil
	})
	return out
}

// pairs are a map's keys and values, by key.
func pairs(v event.Value) (out [][2]event.Value) {
	for i, e := range elements(v) {
		if i%2 == 0 {
			out = append(out, [2]event.Value{e})
		} else {
			out[len(out)-1][1] = e
		}
	}
	slices.SortStableFunc(out, func(a, b [2]event.Value) int { return event.Compare(a[0], b[0]) })
	return out
}

// show writes a value as a test file does.
func show(v event.Value) string {
	switch v.Kind {
	case event.Null:
		return "null"
	case event.String:
		if v.Str == "" || v.Str == "null" || strings.TrimSpace(v.Str) != v.Str {
			return strconv.Quote(v.Str)
		}
		return v.Str
	case event.List:
		var parts []string
		for _, e := range elements(v) {
			parts = append(parts, show(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case event.Map:
		var parts []string
		for _, p := range pairs(v) {
			parts = append(parts, show(p[0])+": "+show(p[1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return v.String()
}

func showTime(t event.Time) string {
	if t == event.MinTime {
		return "null"
	}
	return t.String()
}
