package expr

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/elementary"
)

// arithmetic compiles + - * / % **.
func (c *compiler) arithmetic(n ast.Node, op string, l, r code) (code, error) {
	if op == "^" {
		op = "**"
	}
	if op == "+" && l.t.Kind == event.String && r.t.Kind == event.String {
		return concat(l, r), nil
	}
	if !l.t.Numeric() || !r.t.Numeric() {
		return code{}, c.fail(n, fmt.Sprintf("cannot compute %s %s %s", l.describe(), op, r.describe()), arithmeticHint(op, l, r))
	}
	if l.t.Kind == event.Decimal || r.t.Kind == event.Decimal {
		return c.decimalArithmetic(n, op, l, r)
	}
	x := code{text: "(" + l.text + " " + op + " " + r.text + ")"}
	nullable := l.t.Nullable || r.t.Nullable
	switch {
	case l.t.Kind == event.Long && r.t.Kind == event.Long && op != "/" && op != "**":
		x.t = event.Type{Kind: event.Long, Nullable: true}
		if op == "%" && r.konst && r.val.Long() != 0 {
			x.t.Nullable = nullable
		}
		x.i = longOp(op, l, r)
	default:
		x.t = event.Type{Kind: event.Double, Nullable: nullable || op == "%" && (!r.konst || toDouble(r).val.Double() == 0)}
		x.f = doubleOp(op, toDouble(l), toDouble(r))
	}
	r2 := fold(x, l, r)
	if l.konst && r.konst && !r2.konst {
		return code{}, c.fail(n, "this is null for every row", "it is outside the range of a long, or a division by zero")
	}
	return r2, nil
}

func arithmeticHint(op string, l, r code) string {
	switch {
	case l.isNil() || r.isNil():
		return "nil in arithmetic is nil; write x ?? 0 for a default"
	case l.t.Kind == event.Timestamp && r.t.Kind == event.Timestamp && op == "-":
		return "write seconds_between(" + r.text + ", " + l.text + ")"
	case op == "+" && (l.t.Kind == event.String || r.t.Kind == event.String):
		for _, x := range []code{l, r} {
			if x.t.Kind != event.String && x.t.Kind != event.List && x.t.Kind != event.Map {
				return "write string(" + x.text + ") to join strings"
			}
		}
	case l.t.Kind == event.Bool || r.t.Kind == event.Bool:
		return "write long(x) for 1 or 0"
	}
	return ""
}

// negate compiles -x.
func (c *compiler) negate(n *ast.UnaryNode, x code) (code, error) {
	r := code{t: x.t, text: "(-" + x.text + ")"}
	switch x.t.Kind {
	case event.Long:
		r.t.Nullable = true
		r.i = try1(x.i, func(v int64) (int64, bool) { return -v, v != math.MinInt64 })
	case event.Double:
		r.f = map1(x.f, func(v float64) float64 { return 0 - v })
	case event.Decimal:
		r = decimalSign(x, r.text, (*big.Int).Neg)
	default:
		return code{}, c.fail(n, "cannot write - before "+x.describe(), "")
	}
	return fold(r, x), nil
}

// longOp computes in longs; what does not fit is null.
func longOp(op string, l, r code) fn[int64] {
	switch op {
	case "+":
		return try2(l.i, r.i, addLong)
	case "-":
		return try2(l.i, r.i, func(x, y int64) (int64, bool) {
			d := x - y
			return d, (x >= 0) == (y >= 0) || (d >= 0) == (x >= 0)
		})
	case "*":
		return try2(l.i, r.i, mulLong)
	}
	return try2(l.i, r.i, func(x, y int64) (int64, bool) {
		if y == 0 {
			return 0, false
		}
		return x % y, true
	})
}

func addLong(x, y int64) (int64, bool) {
	s := x + y
	return s, (x >= 0) != (y >= 0) || (s >= 0) == (x >= 0)
}

func mulLong(x, y int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(x), uint64(y)) // unsigned: mend the high word for signs
	h := int64(hi)
	if x < 0 {
		h -= y
	}
	if y < 0 {
		h -= x
	}
	return int64(lo), h == int64(lo)>>63
}

// doubleOp computes in doubles. Each step is rounded by itself (nothing fuses), and a -0 becomes +0.
func doubleOp(op string, l, r code) fn[float64] {
	if r.konst && (op == "*" || op == "/") {
		a, y := l.f, r.val.Double()
		if op == "*" {
			if l.slot > 0 && l.t.Kind == event.Double {
				return scaled(l.slot-1, y)
			}
			return func(row []event.Value) (float64, bool) { x, ok := a(row); return float64(x*y) + 0, ok }
		}
		return func(row []event.Value) (float64, bool) { x, ok := a(row); return float64(x/y) + 0, ok }
	}
	switch op {
	case "+":
		return try2(l.f, r.f, func(x, y float64) (float64, bool) { return x + y, true })
	case "-":
		return try2(l.f, r.f, func(x, y float64) (float64, bool) { return x - y, true })
	case "*":
		return try2(l.f, r.f, func(x, y float64) (float64, bool) { return float64(x*y) + 0, true })
	case "/":
		return try2(l.f, r.f, func(x, y float64) (float64, bool) { return float64(x/y) + 0, true })
	case "%":
		return try2(l.f, r.f, func(x, y float64) (float64, bool) { return math.Mod(x, y) + 0, y != 0 })
	}
	return try2(l.f, r.f, func(x, y float64) (float64, bool) { return elementary.Pow(x, y) + 0, true })
}

// scaled multiplies a column of doubles: column and product in one closure.
func scaled(slot int, y float64) fn[float64] {
	return func(row []event.Value) (float64, bool) {
		v := &row[slot]
		return float64(math.Float64frombits(v.Num)*y) + 0, v.Kind == event.Double
	}
}

// toDouble converts a number to the nearest double.
func toDouble(x code) code {
	r := code{t: event.Type{Kind: event.Double, Nullable: x.t.Nullable}, text: x.text}
	switch x.t.Kind {
	case event.Double:
		return x
	case event.Long:
		r.f = map1(x.i, func(n int64) float64 { return float64(n) })
	case event.Decimal:
		r.f = map1(x.v, decimalDouble)
	}
	return fold(r, x)
}
