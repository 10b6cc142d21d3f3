package expr

import (
	"fmt"
	"strconv"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// written tells whether constants of kind k are written as string literals.
func written(k event.Kind) bool {
	return k == event.Timestamp || k == event.LocalTimestamp || k == event.Date || k == event.TimeOfDay
}

// compare compiles ==, !=, <, <=, > and >=.
func (c *compiler) compare(n ast.Node, op string, l, r operand) (code, error) {
	x := code{t: event.Type{Kind: event.Bool}}
	if l.isNil() || r.isNil() {
		return c.compareNil(n, op, l.code, r.code)
	}
	if l.konst && !r.konst { // constants to the right
		l, r, op = r, l, mirrored[op]
	}
	var err error
	if l, r, err = c.align(l, r); err != nil {
		return x, err
	}
	x.t.Nullable = l.t.Nullable || r.t.Nullable
	x.text = "(" + l.text + " " + op + " " + r.text + ")"
	a, b := l.t.Kind, r.t.Kind
	if a == event.List || a == event.Map {
		if a == b {
			return x, c.fail(n, "cannot compare two of "+a.String(), "compare elements, like x[0], or x == nil")
		}
	}
	if x.b = compareCode(op, l.code, r.code); x.b == nil {
		return x, c.fail(n, fmt.Sprintf("cannot compare %s with %s", l.describe(), r.describe()), compareHint(l.code, r.code))
	}
	return fold(x, l.code, r.code), nil
}

// compareCode is the closure of a comparison of what align aligned; nil if the kinds do not compare.
func compareCode(op string, l, r code) fn[bool] {
	a, b := l.t.Kind, r.t.Kind
	switch {
	case a == b && a == event.Bool:
		return ordered(op, map1(l.b, bit), map1(r.b, bit))
	case a == b && r.konst && l.slot > 0 && classOf(a) == intClass:
		return longColumn(op, l.slot-1, a, r.val.Long())
	case a == b && r.konst && l.slot > 0 && a == event.Double:
		return doubleColumn(op, l.slot-1, r.val.Double())
	case a == b && r.konst && l.slot > 0 && classOf(a) == strClass && (op == "==" || op == "!="):
		return stringColumn(op == "==", l.slot-1, a, r.val.Str)
	case a == b && classOf(a) == intClass && r.konst:
		return orderedConst(op, l.i, r.val.Long())
	case a == b && classOf(a) == intClass:
		return ordered(op, l.i, r.i)
	case a == b && a == event.Double && r.konst:
		return orderedConst(op, l.f, r.val.Double())
	case a == b && a == event.Double:
		return ordered(op, l.f, r.f)
	case a == b && classOf(a) == strClass && r.konst:
		return orderedConst(op, l.s, r.val.Str)
	case a == b && classOf(a) == strClass:
		return ordered(op, l.s, r.s)
	case a == b:
		return holds(op, l.v, r.v, event.Compare)
	case a == event.Long && b == event.Double:
		return mixed(op, l.i, r.f)
	case a == event.Double && b == event.Long:
		return mixed(mirrored[op], r.i, l.f)
	}
	return nil
}

// compareNil compiles x == nil and x != nil.
func (c *compiler) compareNil(n ast.Node, op string, l, r code) (code, error) {
	x := code{t: event.Type{Kind: event.Bool}}
	if op != "==" && op != "!=" {
		return x, c.fail(n, "nil is neither below nor above a value", "write x == nil or x != nil")
	}
	if l.isNil() {
		l, r = r, l
	}
	if l.isNil() {
		l = nilCode() // a column that only holds null is no more than nil
	}
	x.text = "(" + l.text + " " + op + " nil)"
	x.b = l.isNull()
	if op == "!=" {
		x.b = map1(x.b, func(null bool) bool { return !null })
	}
	return x, nil
}

// align converts literals so that both sides are of one kind, where their meaning allows it.
func (c *compiler) align(l, r operand) (operand, operand, error) {
	var err error
	for _, p := range [][2]*operand{{&l, &r}, {&r, &l}} {
		lit, other := p[0], p[1]
		if other.t.Kind == event.Decimal {
			if lit.t.Numeric() {
				lit.code, _ = asDecimal(lit.code)
			}
			continue
		}
		if !lit.konst {
			continue
		}
		switch {
		case lit.t.Kind == event.String && written(other.t.Kind):
			lit.code, err = c.instant(*lit, other.t.Kind)
			if err != nil {
				return l, r, err
			}
		case lit.t.Kind == event.Long && other.t.Kind == event.Double:
			if f := float64(lit.val.Long()); exactly(lit.val.Long(), f) {
				lit.code = doubleConst(f)
			}
		}
	}
	return l, r, nil
}

// compareHint helps where the two sides are of two kinds.
func compareHint(l, r code) string {
	for _, p := range [][2]code{{l, r}, {r, l}} {
		lit, other := p[0], p[1]
		if lit.konst && lit.t.Kind == event.String && other.t.Numeric() {
			if _, err := strconv.ParseFloat(lit.val.Str, 64); err == nil {
				return "write " + lit.val.Str + " without quotes"
			}
		}
		if lit.konst && other.t.Kind == event.String && lit.t.Kind != event.Bytes {
			return `write "` + lit.val.String() + `" with quotes`
		}
		if lit.t.Kind == event.Decimal && other.t.Kind == event.Double {
			return "write double(" + lit.text + ")"
		}
		if !lit.konst && !other.konst && lit.t.Kind == event.String && other.t.Numeric() {
			return "convert one side: " + other.t.Kind.String() + "(" + lit.text + ") or string(" + other.text + ")"
		}
	}
	return ""
}

var mirrored = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
