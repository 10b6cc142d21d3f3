package oracle

import (
	"math"

	"github.com/penstock-ml/penstock/event"
)

// result is the answer of an aggregate, and how far another computation of it may be off.
type result struct {
	value  event.Value
	newest event.Time // of the rows counted; MinTime over none
	n      int        // rows counted
	// Of a number that cannot be exact: all within [low, high] is right.
	near      bool
	low, high float64
	any       bool     // nothing but the kind is known, and null is possible
	parts     []result // of a list or a map that holds such numbers: key, value, key, value … for a map
}

func exact(v event.Value) result { return result{value: v} }

// around is a double that may be off by slack.
func around(f, slack float64) result {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return exact(event.DoubleOf(f))
	}
	return result{value: event.DoubleOf(f), near: true, low: f - slack, high: f + slack}
}

// vague tells whether anything in r may be off.
func (r result) vague() bool {
	if r.near || r.any {
		return true
	}
	for _, p := range r.parts {
		if p.vague() {
			return true
		}
	}
	return false
}

// agrees tells whether got is a right answer.
func (r result) agrees(got event.Value) bool {
	switch {
	case !r.vague():
		return got == r.value
	case r.any:
		return got.IsNull() || got.Kind == r.value.Kind || r.value.IsNull()
	case got.Kind != r.value.Kind:
		return false
	case r.near:
		f := got.Double()
		if got.Kind == event.Long {
			f = float64(got.Long())
		}
		return f >= r.low && f <= r.high
	}
	elems, ok := elements(got)
	if !ok || len(elems) != len(r.parts) {
		return false
	}
	for i, p := range r.parts {
		if !p.agrees(elems[i]) {
			return false
		}
	}
	return true
}

// elements takes a list or map apart.
func elements(v event.Value) (out []event.Value, ok bool) {
	err := event.EachElem(v.Str, func(_ int, e event.Value) error {
		out = append(out, e.Clone())
		return nil
	})
	return out, err == nil
}

// join makes a list or a map of its parts.
func join(kind event.Kind, parts []result) result {
	r := result{value: event.Value{Kind: kind}, parts: parts}
	var b []byte
	for _, p := range parts {
		b = event.AppendList(b, p.value)
	}
	r.value.Str = string(b)
	return r
}

// listOf is a list of exact values.
func listOf(values []event.Value) result {
	var b []byte
	for _, v := range values {
		b = event.AppendList(b, tidy(v))
	}
	return exact(event.Value{Kind: event.List, Str: string(b)})
}
