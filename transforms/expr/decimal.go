package expr

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// Bounds of decimals: digits behind the point, and bytes of the integer that arithmetic may build.
const (
	maxScale    = 1000
	maxUnscaled = 1 << 10
)

// decimalArithmetic compiles + - * / where one side is a decimal: exact with decimals, longs and
// numeric literals; in doubles with a double and for /.
func (c *compiler) decimalArithmetic(n ast.Node, op string, l, r code) (code, error) {
	if op == "%" || op == "**" {
		return code{}, c.fail(n, "cannot compute "+l.describe()+" "+op+" "+r.describe(), "convert with double(…)")
	}
	x := code{text: "(" + l.text + " " + op + " " + r.text + ")"}
	nullable := l.t.Nullable || r.t.Nullable
	a, aok := asDecimal(l)
	b, bok := asDecimal(r)
	if op == "/" || !aok || !bok {
		x.t = event.Type{Kind: event.Double, Nullable: nullable}
		x.f = doubleOp(op, toDouble(l), toDouble(r))
		return fold(x, l, r), nil
	}
	scale := max(a.t.Scale, b.t.Scale)
	f := (*big.Int).Add
	switch op {
	case "-":
		f = (*big.Int).Sub
	case "*":
		scale, f = a.t.Scale+b.t.Scale, (*big.Int).Mul
	}
	if scale > maxScale {
		return code{}, c.fail(n, fmt.Sprintf("the product has %d digits behind the point", scale), "convert with double(…)")
	}
	if op != "*" {
		a, b = rescale(a, scale), rescale(b, scale)
	}
	x.t = event.Type{Kind: event.Decimal, Scale: scale, Nullable: true}
	x.v = try2(a.v, b.v, func(p, q event.Value) (event.Value, bool) {
		v := event.DecimalOf(f(new(big.Int), p.Unscaled(), q.Unscaled()), scale)
		return v, len(v.Str) <= maxUnscaled
	})
	return fold(x, l, r), nil
}

// asDecimal reads a decimal, a long or a numeric literal as a decimal.
func asDecimal(x code) (code, bool) {
	switch {
	case x.t.Kind == event.Decimal:
		return x, true
	case x.konst:
		if d, ok := decimalLiteral(x.val); ok {
			k := constant(d, event.Type{Kind: event.Decimal, Scale: int32(d.Num)})
			k.text = x.text
			return k, true
		}
	case x.t.Kind == event.Long:
		r := code{t: event.Type{Kind: event.Decimal, Nullable: x.t.Nullable}, text: x.text}
		r.v = map1(x.i, func(n int64) event.Value { return event.DecimalOf(big.NewInt(n), 0) })
		return r, true
	}
	return x, false
}

// rescale gives a decimal more digits behind the point.
func rescale(x code, scale int32) code {
	if x.t.Scale == scale {
		return x
	}
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-x.t.Scale)), nil)
	r := code{t: x.t, text: x.text, konst: x.konst}
	r.t.Scale = scale
	r.v = map1(x.v, func(v event.Value) event.Value {
		return event.DecimalOf(new(big.Int).Mul(v.Unscaled(), factor), scale)
	})
	if x.konst {
		r.val, _ = r.v(nil)
	}
	return r
}

// decimalSign compiles -x and abs(x).
func decimalSign(x code, text string, f func(z, x *big.Int) *big.Int) code {
	r := code{t: x.t, text: text}
	r.v = map1(x.v, func(v event.Value) event.Value {
		return event.DecimalOf(f(new(big.Int), v.Unscaled()), int32(v.Num))
	})
	return r
}

// decimalLiteral reads a numeric literal as the decimal that is written, digit by digit.
func decimalLiteral(v event.Value) (event.Value, bool) {
	switch v.Kind {
	case event.Decimal:
		return v, true
	case event.Long:
		return event.DecimalOf(big.NewInt(v.Long()), 0), true
	case event.Double:
	default:
		return event.Value{}, false
	}
	f := v.Double()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return event.Value{}, false
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	digits, scale := make([]byte, 0, len(text)), 0
	for i := 0; i < len(text); i++ {
		if text[i] == '.' {
			scale = len(text) - i - 1
			continue
		}
		digits = append(digits, text[i])
	}
	n, ok := new(big.Int).SetString(string(digits), 10)
	return event.DecimalOf(n, int32(scale)), ok && scale <= maxScale
}

// decimalDouble is the double nearest to a decimal.
func decimalDouble(v event.Value) float64 {
	text := v.Unscaled().String() + "e-" + strconv.Itoa(int(int32(v.Num)))
	f, _ := strconv.ParseFloat(text, 64) // out of range: ±Inf, which is nearest
	return f + 0
}

// decimalLong is a decimal cut towards zero; ok is false outside int64.
func decimalLong(v event.Value) (int64, bool) {
	n := v.Unscaled()
	n.Quo(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(int32(v.Num))), nil))
	return n.Int64(), n.IsInt64()
}
