package expr

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// written tells whether constants of kind k are written as string literals.
func written(k event.Kind) bool {
	return k == event.Timestamp || k == event.LocalTimestamp || k == event.Date || k == event.TimeOfDay
}

// instant reads a string literal as a timestamp, date or time.
func (c *compiler) instant(o operand, kind event.Kind) (code, error) {
	s := o.val.Str
	v := event.Value{Kind: kind}
	bad := func(form string) (code, error) {
		return code{}, c.fail(o.at, fmt.Sprintf("%q is not a %s", s, kind), "write it like "+form)
	}
	switch kind {
	case event.Timestamp:
		t, err := event.ParseTime(s)
		if err != nil {
			return bad(`"2013-01-05T10:00:00Z", with a zone`)
		}
		v.Num = uint64(t)
	case event.LocalTimestamp:
		t, err := time.Parse("2006-01-02T15:04:05", s)
		if err != nil {
			return bad(`"2013-01-05T10:00:00", without a zone`)
		}
		v.Num = uint64(event.FromGo(t))
	case event.Date:
		t, err := time.Parse(time.DateOnly, s)
		if err != nil {
			return bad(`"2013-01-05"`)
		}
		v.Num = uint64(t.Unix() / 86400) // midnight: no remainder
	case event.TimeOfDay:
		t, err := time.Parse(time.TimeOnly, s)
		if err != nil {
			return bad(`"15:04:05"`)
		}
		seconds := (t.Hour()*60+t.Minute())*60 + t.Second()
		v.Num = uint64(seconds*1_000_000 + t.Nanosecond()/1000)
	}
	return constant(v, event.Type{Kind: kind}), nil
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
	switch {
	case a == b && a == event.Bool:
		x.b = ordered(op, map1(l.b, bit), map1(r.b, bit))
	case a == b && classOf(a) == intClass && r.konst:
		x.b = orderedConst(op, l.i, r.val.Long())
	case a == b && classOf(a) == intClass:
		x.b = ordered(op, l.i, r.i)
	case a == b && a == event.Double && r.konst:
		x.b = orderedConst(op, l.f, r.val.Double())
	case a == b && a == event.Double:
		x.b = ordered(op, l.f, r.f)
	case a == b && classOf(a) == strClass && r.konst:
		x.b = orderedConst(op, l.s, r.val.Str)
	case a == b && classOf(a) == strClass:
		x.b = ordered(op, l.s, r.s)
	case a == b:
		x.b = holds(op, l.v, r.v, event.Compare)
	case a == event.Long && b == event.Double:
		x.b = mixed(op, l.i, r.f)
	case a == event.Double && b == event.Long:
		x.b = mixed(mirrored[op], r.i, l.f)
	default:
		return x, c.fail(n, fmt.Sprintf("cannot compare %s with %s", l.describe(), r.describe()), compareHint(l.code, r.code))
	}
	return fold(x, l.code, r.code), nil
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

// ordered compares two of one kind; doubles as IEEE does.
func ordered[T int64 | float64 | string](op string, a, b fn[T]) fn[bool] {
	switch op {
	case "==":
		return try2(a, b, func(x, y T) (bool, bool) { return x == y, true })
	case "!=":
		return try2(a, b, func(x, y T) (bool, bool) { return x != y, true })
	case "<":
		return try2(a, b, func(x, y T) (bool, bool) { return x < y, true })
	case "<=":
		return try2(a, b, func(x, y T) (bool, bool) { return x <= y, true })
	case ">":
		return try2(a, b, func(x, y T) (bool, bool) { return x > y, true })
	}
	return try2(a, b, func(x, y T) (bool, bool) { return x >= y, true })
}

// orderedConst compares with a constant.
func orderedConst[T int64 | float64 | string](op string, a fn[T], y T) fn[bool] {
	switch op {
	case "==":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x == y, ok }
	case "!=":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x != y, ok }
	case "<":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x < y, ok }
	case "<=":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x <= y, ok }
	case ">":
		return func(row []event.Value) (bool, bool) { x, ok := a(row); return x > y, ok }
	}
	return func(row []event.Value) (bool, bool) { x, ok := a(row); return x >= y, ok }
}

// holds compares by a three-way comparison.
func holds[T any](op string, a, b fn[T], cmp func(T, T) int) fn[bool] {
	test := sign(op)
	return try2(a, b, func(x, y T) (bool, bool) { return test(cmp(x, y)), true })
}

// sign is the test of op on a three-way comparison.
func sign(op string) func(int) bool {
	switch op {
	case "==":
		return func(c int) bool { return c == 0 }
	case "!=":
		return func(c int) bool { return c != 0 }
	case "<":
		return func(c int) bool { return c < 0 }
	case "<=":
		return func(c int) bool { return c <= 0 }
	case ">":
		return func(c int) bool { return c > 0 }
	}
	return func(c int) bool { return c >= 0 }
}

// mixed compares a long with a double exactly.
func mixed(op string, a fn[int64], b fn[float64]) fn[bool] {
	test := sign(op)
	return try2(a, b, func(x int64, y float64) (bool, bool) {
		if math.IsNaN(y) {
			return op == "!=", true
		}
		return test(compareMixed(x, y)), true
	})
}

// compareMixed orders x and y, which is not NaN, by their exact values.
func compareMixed(x int64, y float64) int {
	switch {
	case y >= 1<<63:
		return -1
	case y < -1<<63:
		return 1
	}
	whole := int64(y) // towards zero
	switch {
	case x < whole:
		return -1
	case x > whole:
		return 1
	}
	switch part := y - math.Trunc(y); {
	case part > 0:
		return -1
	case part < 0:
		return 1
	}
	return 0
}

// exactly tells whether n and f are one number.
func exactly(n int64, f float64) bool { return compareMixed(n, f) == 0 }
