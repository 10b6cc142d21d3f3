package expr

import (
	"fmt"
	"math"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// in compiles x in [a, b], x in lo..hi, x in array and key in map.
func (c *compiler) in(n *ast.BinaryNode) (code, error) {
	l, err := c.expr(n.Left)
	if err != nil {
		return code{}, err
	}
	if l.isNil() {
		return code{}, c.fail(n.Left, "nil is in nothing", "write x == nil")
	}
	x := operand{l, n.Left}
	switch r := n.Right.(type) {
	case *ast.ArrayNode:
		return c.inLiteral(n, x, r)
	case *ast.BinaryNode:
		if r.Operator == ".." {
			return c.inRange(n, x, r)
		}
	}
	r, err := c.expr(n.Right)
	if err != nil {
		return code{}, err
	}
	switch r.t.Kind {
	case event.Map:
		if l.t.Kind != event.String {
			return code{}, c.fail(n, "the keys of a map are strings, not "+l.describe(), "")
		}
		out := boolCode(l, r, "in")
		out.b = try2(r.s, l.s, func(s, key string) (bool, bool) { _, found := entry(s, key); return found, true })
		return out, nil
	case event.List:
		return c.inList(n, x, r)
	}
	return code{}, c.fail(n.Right, "in wants an array, a map or a range, not "+r.describe(), `write x in ["a", "b"]`)
}

// boolCode is the shell of a condition on two operands.
func boolCode(l, r code, op string) code {
	return code{
		t:    event.Type{Kind: event.Bool, Nullable: l.t.Nullable || r.t.Nullable},
		text: "(" + l.text + " " + op + " " + r.text + ")",
	}
}

// smallSet is up to how many members are compared one by one.
const smallSet = 8

// inLiteral compiles membership in constants.
func (c *compiler) inLiteral(n *ast.BinaryNode, x operand, list *ast.ArrayNode) (code, error) {
	var members []event.Value
	var texts []string
	for _, k := range list.Nodes {
		e, err := c.expr(k)
		if err != nil {
			return code{}, err
		}
		if e.isNil() {
			return code{}, c.fail(k, "nil is no member of an array", "write x == nil or x in …")
		}
		if !e.konst {
			return code{}, c.fail(k, "an array behind in holds constants only", "write x == a or x == b")
		}
		o := operand{e, k}
		if _, o, err = c.align(x, o); err != nil {
			return code{}, err
		}
		numbers := x.t.Kind != event.Decimal && x.t.Numeric() && (o.t.Kind == event.Long || o.t.Kind == event.Double)
		if o.t.Kind != x.t.Kind && !numbers {
			return code{}, c.fail(k, fmt.Sprintf("%s cannot be a member: %s is %s", o.describe(), x.text, x.describe()), compareHint(x.code, o.code))
		}
		members, texts = append(members, o.val), append(texts, o.text)
	}
	out := code{t: event.Type{Kind: event.Bool, Nullable: x.t.Nullable}}
	out.text = "(" + x.text + " in [" + strings.Join(texts, ", ") + "])"
	switch classOf(x.t.Kind) {
	case boolClass:
		set := longs(members)
		out.b = member(map1(x.b, bit), set)
	case intClass:
		out.b = member(x.i, longs(members))
	case floatClass:
		out.b = memberDouble(x.f, members)
	case strClass:
		set := make([]string, len(members))
		for i, m := range members {
			set[i] = m.Str
		}
		out.b = member(x.s, set)
		if x.slot > 0 && len(set) <= smallSet {
			out.b = memberColumn(x.slot-1, x.t.Kind, set)
		}
	case valueClass:
		out.b = map1(x.v, func(v event.Value) bool {
			for _, m := range members {
				if event.Compare(v, m) == 0 {
					return true
				}
			}
			return false
		})
	}
	return fold(out, x.code), nil
}

// longs are the members that a long can equal.
func longs(members []event.Value) []int64 {
	var set []int64
	for _, m := range members {
		if m.Kind != event.Double {
			set = append(set, m.Long())
		} else if f := m.Double(); f >= -1<<63 && f < 1<<63 && f == math.Trunc(f) {
			set = append(set, int64(f))
		}
	}
	return set
}

// member tells whether a is in set.
func member[T int64 | string](a fn[T], set []T) fn[bool] {
	if len(set) <= smallSet {
		return func(row []event.Value) (bool, bool) {
			x, ok := a(row)
			if !ok {
				return false, false
			}
			for _, m := range set {
				if m == x {
					return true, true
				}
			}
			return false, true
		}
	}
	all := make(map[T]struct{}, len(set))
	for _, m := range set {
		all[m] = struct{}{}
	}
	return map1(a, func(x T) bool { _, found := all[x]; return found })
}

// memberColumn is member of a small set for a column of strings or bytes, in one closure.
func memberColumn(slot int, kind event.Kind, set []string) fn[bool] {
	return func(row []event.Value) (bool, bool) {
		v := &row[slot]
		for _, m := range set {
			if m == v.Str {
				return true, v.Kind == kind
			}
		}
		return false, v.Kind == kind
	}
}

// memberDouble tells whether a is among members, doubles or longs.
func memberDouble(a fn[float64], members []event.Value) fn[bool] {
	all := make(map[float64]struct{}, len(members))
	for _, m := range members {
		if m.Kind == event.Double { // a long that align left as it is equals no double
			all[m.Double()] = struct{}{}
		}
	}
	return map1(a, func(x float64) bool { _, found := all[x]; return found })
}

// inRange compiles x in lo..hi, both ends included.
func (c *compiler) inRange(n *ast.BinaryNode, x operand, r *ast.BinaryNode) (code, error) {
	lo, err := c.expr(r.Left)
	if err != nil {
		return code{}, err
	}
	hi, err := c.expr(r.Right)
	if err != nil {
		return code{}, err
	}
	for _, o := range []operand{x, {lo, r.Left}, {hi, r.Right}} {
		if o.t.Kind != event.Long {
			return code{}, c.fail(o.at, "a range is of longs, not of "+o.describe(), "write x >= a and x <= b")
		}
	}
	out := code{t: event.Type{Kind: event.Bool, Nullable: x.t.Nullable || lo.t.Nullable || hi.t.Nullable}}
	out.text = "(" + x.text + " in " + lo.text + ".." + hi.text + ")"
	a, from, to := x.i, lo.i, hi.i
	out.b = func(row []event.Value) (bool, bool) {
		v, ok := a(row)
		if !ok {
			return false, false
		}
		l, lok := from(row)
		h, hok := to(row)
		if lok && v < l || hok && v > h {
			return false, true // the other end cannot change it
		}
		return true, lok && hok
	}
	return fold(out, x.code, lo, hi), nil
}

// inList compiles membership in an array of the row. As in SQL, an array without x but with a null
// gives null.
func (c *compiler) inList(n *ast.BinaryNode, x operand, r code) (code, error) {
	if r.t.Elem == nil {
		return code{}, c.fail(n.Right, "the elements of "+r.text+" have no type that expressions know", "")
	}
	elem := *r.t.Elem
	if x.konst && written(elem.Kind) && x.t.Kind == event.String {
		at, err := c.instant(x, elem.Kind)
		if err != nil {
			return code{}, err
		}
		x.code = at
	}
	numbers := (x.t.Kind == event.Long || x.t.Kind == event.Double) && (elem.Kind == event.Long || elem.Kind == event.Double)
	if x.t.Kind != elem.Kind && !numbers || elem.Kind == event.List || elem.Kind == event.Map {
		return code{}, c.fail(n, fmt.Sprintf("%s cannot be an element of %s", x.describe(), r.describe()), "")
	}
	out := boolCode(x.code, r, "in")
	out.t.Nullable = out.t.Nullable || elem.Nullable
	want, list, kind := x.evaluator(), r.s, elem.Kind
	out.b = func(row []event.Value) (bool, bool) {
		v := want(row)
		s, ok := list(row)
		if !ok || v.IsNull() {
			return false, false
		}
		null := false
		for s != "" {
			e, rest, err := event.DecodeValue(s)
			if err != nil {
				return false, false
			}
			if s = rest; e.Kind != kind || kind == event.Decimal && int32(e.Num) != elem.Scale {
				null = true
			} else if equal(v, e) {
				return true, true
			}
		}
		return false, !null
	}
	return out, nil
}

// equal tells whether two values are one; NaN equals nothing, a long and a double go exactly.
func equal(a, b event.Value) bool {
	switch {
	case a.Kind == event.Double && b.Kind == event.Double:
		return a.Double() == b.Double()
	case a.Kind == event.Long && b.Kind == event.Double:
		return b.Double() == b.Double() && exactly(a.Long(), b.Double())
	case a.Kind == event.Double && b.Kind == event.Long:
		return a.Double() == a.Double() && exactly(b.Long(), a.Double())
	case a.Kind == event.Decimal:
		return b.Kind == event.Decimal && event.Compare(a, b) == 0
	}
	return a == b
}

// element is element i of an encoded array; from the end if i is negative; null outside.
func element(s string, i int64) event.Value {
	if i < 0 {
		i += int64(count(s))
		if i < 0 {
			return event.Value{}
		}
	}
	for ; s != ""; i-- {
		v, rest, err := event.DecodeValue(s)
		if err != nil {
			return event.Value{}
		}
		if i == 0 {
			return v
		}
		s = rest
	}
	return event.Value{}
}

// entry is the value of key in an encoded map: the last one, if there are several.
func entry(s, key string) (v event.Value, found bool) {
	for s != "" {
		k, rest, err := event.DecodeValue(s)
		if err != nil {
			return event.Value{}, false
		}
		e, rest, err := event.DecodeValue(rest)
		if err != nil {
			return event.Value{}, false
		}
		if s = rest; k.Kind == event.String && k.Str == key {
			v, found = e, true
		}
	}
	return v, found
}

// count is the number of values in an encoding; what is corrupt ends it.
func count(s string) (n int) {
	for s != "" {
		_, rest, err := event.DecodeValue(s)
		if err != nil {
			return n
		}
		s = rest
		n++
	}
	return n
}
