package agg

import "github.com/penstock-ml/penstock/event"

// extra holds what few groups ask of a row, and what few keep of it.
type extra struct {
	of     *Group
	second event.Value // of the row at hand; null if there is none
	oldest event.Time
	moments
}

// admits tells whether all that a row counts by, but its input, is there; it notes the second input.
func (x *extra) admits(v *event.Value, r *event.Row) bool {
	of := x.of
	if of.Keeps.Dim != 0 && (v.Kind != event.List || elements(v.Str) != of.Keeps.Dim) {
		return false
	}
	if of.By != 0 {
		if _, ok := inputOf(r, of.By, of.ByType); !ok {
			return false
		}
	}
	if of.Second == 0 {
		return true
	}
	ok := false
	x.second, ok = inputOf(r, of.Second, of.SecondType)
	return ok
}

// inputOf is input n, counted from 1, of a row; ok is false if it is null or not of type t.
func inputOf(r *event.Row, n int, t event.Type) (v event.Value, ok bool) {
	if n > len(r.Values) {
		return event.Value{}, false
	}
	v = r.Values[n-1]
	return v, v.Kind == t.Kind && v.Kind != event.Null && (v.Kind != event.Decimal || v.Num == uint64(t.Scale))
}

// elements counts the elements of an encoded list; -1 if it is none.
func elements(s string) int {
	n := 0
	for ; s != ""; n++ {
		var err error
		if _, s, err = event.DecodeValue(s); err != nil {
			return -1
		}
	}
	return n
}

// addMore adds to what few groups keep; false if the row does not count.
func (g *group) addMore(v *event.Value, r *event.Row) bool {
	second := event.Value{}
	if x := g.extra; x != nil {
		if !x.admits(v, r) {
			return false
		}
		second = x.second
		x.oldest = min(x.oldest, r.Time)
		if g.parts&(PartCubes|PartFourths) != 0 {
			x.moments.add(v, g.parts, false)
		}
	}
	if g.keep != nil {
		g.keep.add(*v, second, r)
	}
	return true
}
