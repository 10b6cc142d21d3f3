package expr

import (
	"math"
	"math/big"
	"strconv"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/elementary"
)

func numberFunctions() []function {
	return []function{
		def(1, 1, compileAbs, "abs(x number) same", "The absolute value. The least long has none: null.",
			"abs(-3)", "3", "abs(-2.5)", "2.5"),
		def(1, 1, compileSign, "sign(x number) long", "-1, 0 or 1; null of NaN.",
			"sign(-2.5)", "-1"),
		def(1, 1, compileRounding, "floor(x number) same", "The largest whole number not above x.",
			"floor(-1.5)", "-2"),
		def(1, 1, compileRounding, "ceil(x number) same", "The smallest whole number not below x.",
			"ceil(1.2)", "2"),
		def(1, 1, compileRounding, "trunc(x number) same", "x without what is behind the point.",
			"trunc(-1.7)", "-1"),
		def(1, 2, compileRound, "round(x number, digits? long) same",
			"The nearest number of so many digits behind the point (0 without; negative: tens, hundreds …); halves go away from zero. A double counts as the number it is written as: round(2.675, 2) is 2.68. A long outside the range is null.",
			"round(2.5)", "3", "round(2.675, 2)", "2.68", "round(1250, -2)", "1300"),
		def(1, -1, compileExtreme, "min(a, b, …) same", "The least of values of one kind; null if any is null, NaN if any is NaN. Of one array: its least element, nulls aside; null of none.",
			"min(3, 1.5)", "1.5", `min(split("b,a,c", ","))`, "a"),
		def(1, -1, compileExtreme, "max(a, b, …) same", "The greatest of values of one kind, as min.",
			"max(3, 1.5)", "3", `max("a", "b")`, "b"),
		def(3, 3, compileClamp, "clamp(x, low, high) same", "x, but not below low and not above high: min(max(x, low), high).",
			"clamp(120, 0, 100)", "100"),
		def(2, 2, asBinary("%"), "mod(a number, b number) same", "a % b: the remainder, with the sign of a; null by zero.",
			"mod(7, 3)", "1", "mod(-7, 3)", "-1"),
		def(2, 2, asBinary("**"), "pow(x number, y number) double", "x ** y.",
			"pow(2, 10)", "1024", "pow(2, 0.5)", "1.4142135623730951"),
		def(1, 1, doubles1(math.Sqrt), "sqrt(x number) double", "The square root; NaN below zero.",
			"sqrt(2)", "1.4142135623730951", "sqrt(-1)", "NaN"),
		def(1, 1, doubles1(elementary.Exp), "exp(x number) double", "e to the x."+transcendental,
			"exp(1)", "2.718281828459045", "exp(1000)", "Infinity"),
		def(1, 1, doubles1(elementary.Log), "ln(x number) double", "The natural logarithm: -Infinity of 0, NaN below."+transcendental,
			"ln(10)", "2.302585092994046", "ln(0)", "-Infinity"),
		def(1, 1, doubles1(elementary.Log2), "log2(x number) double", "The logarithm to base 2."+transcendental,
			"log2(8)", "3"),
		def(1, 1, doubles1(elementary.Log10), "log10(x number) double", "The logarithm to base 10."+transcendental,
			"log10(1000)", "3"),
		def(1, 1, doubles1(elementary.Sin), "sin(x number) double", "The sine of x radians; NaN of an infinity. Within 1 unit in the last place, the same bits on every machine.",
			"sin(1)", "0.8414709848078965"),
		def(1, 1, doubles1(elementary.Cos), "cos(x number) double", "The cosine of x radians, as sin.",
			"cos(0)", "1"),
		def(1, 1, compileTest(func(x float64) bool { return x != x }), "is_nan(x number) boolean", "Whether x is NaN, which == never tells.",
			`is_nan(double("NaN"))`, "true"),
		def(1, 1, compileTest(func(x float64) bool { return x-x == 0 }), "is_finite(x number) boolean", "Whether x is neither NaN nor an infinity.",
			"is_finite(1.0 / 0)", "false"),
	}
}

const transcendental = " Within 0.51 units in the last place, the same bits on every machine."

func compileAbs(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := code{t: x.t, text: called(name, x)}
	switch x.t.Kind {
	case event.Long:
		r.t.Nullable = true
		r.i = try1(x.i, func(v int64) (int64, bool) { return max(v, -v), v != math.MinInt64 })
	case event.Double:
		r.f = map1(x.f, math.Abs)
	case event.Decimal:
		r = decimalSign(x, r.text, (*big.Int).Abs)
	default:
		return code{}, c.wrong(name, args[0], "a number")
	}
	return fold(r, x), nil
}

func compileSign(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := result(event.Long, name, x)
	switch x.t.Kind {
	case event.Long:
		r.i = map1(x.i, func(v int64) int64 { return bit(v > 0) - bit(v < 0) })
	case event.Double:
		r.t.Nullable = true
		r.i = try1(x.f, func(v float64) (int64, bool) { return bit(v > 0) - bit(v < 0), v == v })
	case event.Decimal:
		r.i = map1(x.v, func(v event.Value) int64 { return int64(v.Unscaled().Sign()) })
	default:
		return code{}, c.wrong(name, args[0], "a number")
	}
	return fold(r, x), nil
}

func compileRounding(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := code{t: x.t, text: called(name, x)}
	switch x.t.Kind {
	case event.Long:
		r.i = x.i
	case event.Double:
		f := map[string]func(float64) float64{"floor": math.Floor, "ceil": math.Ceil, "trunc": math.Trunc}[name]
		r.f = map1(x.f, func(v float64) float64 { return f(v) + 0 })
	case event.Decimal:
		scale := x.t.Scale
		r.v = map1(x.v, func(v event.Value) event.Value { return roundDecimal(v, scale, name) })
	default:
		return code{}, c.wrong(name, args[0], "a number")
	}
	return fold(r, x), nil
}

// roundDecimal makes the last digits digits zeros.
func roundDecimal(v event.Value, digits int32, how string) event.Value {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	n := v.Unscaled()
	whole, rest := new(big.Int).QuoRem(n, unit, new(big.Int))
	up := false // away from zero
	switch how {
	case "floor":
		up = n.Sign() < 0 && rest.Sign() != 0
	case "ceil":
		up = n.Sign() > 0 && rest.Sign() != 0
	case "round":
		up = rest.Abs(rest).Lsh(rest, 1).Cmp(unit) >= 0
	}
	if up {
		whole.Add(whole, big.NewInt(int64(n.Sign())))
	}
	return event.DecimalOf(whole.Mul(whole, unit), int32(v.Num))
}

func compileRound(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x, digits := args[0].code, longConst(0)
	if len(args) == 2 {
		digits = args[1].code
		if digits.t.Kind != event.Long {
			return code{}, c.wrong(name, args[1], "a long")
		}
	}
	whole := digits.konst && digits.val.Long() == 0
	r := code{t: x.t, text: called(name, codes(args)...)}
	r.t.Nullable = r.t.Nullable || digits.t.Nullable
	switch x.t.Kind {
	case event.Long:
		if whole {
			r.i = x.i
			break
		}
		r.t.Nullable = true
		r.i = try2(x.i, digits.i, roundLong)
	case event.Double:
		if whole {
			r.f = map1(x.f, func(v float64) float64 { return math.Round(v) + 0 })
			break
		}
		r.f = try2(x.f, digits.i, func(v float64, n int64) (float64, bool) { return roundDouble(v, n), true })
	case event.Decimal:
		scale := int64(x.t.Scale)
		r.t.Nullable = true
		r.v = try2(x.v, digits.i, func(v event.Value, n int64) (event.Value, bool) {
			if n >= scale || len(v.Str) > maxUnscaled {
				return v, n >= scale
			}
			// Beyond this all digits go, whatever they are.
			drop := min(scale-max(n, -1<<20), maxScale+4*maxUnscaled)
			w := roundDecimal(v, int32(drop), "round")
			return w, len(w.Str) <= maxUnscaled
		})
	default:
		return code{}, c.wrong(name, args[0], "a number")
	}
	return fold(r, x, digits), nil
}

// roundLong rounds to tens, hundreds … if n is negative.
func roundLong(v, n int64) (int64, bool) {
	if n >= 0 {
		return v, true
	}
	if n < -19 {
		return 0, true
	}
	unit := uint64(1)
	for range -n {
		unit *= 10
	}
	size := uint64(max(v, -v)) // of the least long too
	rest := size % unit
	size -= rest
	if rest >= unit-rest { // at least half; a sum could wrap
		size += unit
		if size < unit {
			return 0, false
		}
	}
	if v < 0 {
		return -int64(size), size <= 1<<63
	}
	return int64(size), size < 1<<63
}

// roundDouble rounds the shortest decimal that reads back as v to n digits behind the point.
func roundDouble(v float64, n int64) float64 {
	if v-v != 0 || v == 0 || n > 350 {
		return v
	}
	if n < -308 {
		return 0
	}
	var scratch [64]byte
	text := strconv.AppendFloat(scratch[:0], math.Abs(v), 'e', -1, 64) // d.ddde±dd
	e := len(text) - 1
	for text[e] != 'e' {
		e--
	}
	exponent := 0
	for _, d := range text[e+2:] {
		exponent = 10*exponent + int(d-'0')
	}
	if text[e+1] == '-' {
		exponent = -exponent
	}
	digits := text[:e]
	if e > 1 {
		digits = append(digits[:1], digits[2:]...) // without the point
	}
	keep := exponent + 1 + int(n) // of digits
	if keep >= len(digits) {
		return v
	}
	if keep < 0 {
		return 0
	}
	up := digits[keep] >= '5'
	digits = digits[:keep]
	for i := keep - 1; up && i >= 0; i-- {
		if up = digits[i] == '9'; up {
			digits[i] = '0'
		} else {
			digits[i]++
		}
	}
	var again [64]byte
	out := again[:0]
	if up {
		out = append(out, '1')
	}
	out = append(append(out, digits...), 'e')
	out = strconv.AppendInt(out, -n, 10)
	if keep == 0 && !up {
		return 0
	}
	f, err := strconv.ParseFloat(event.Alias(out), 64)
	if err != nil && !math.IsInf(f, 0) {
		return v
	}
	return math.Copysign(f, v)
}

func compileClamp(c *compiler, n ast.Node, _ string, args []operand) (code, error) {
	low, err := compileExtreme(c, n, "max", args[:2])
	if err != nil {
		return code{}, err
	}
	return compileExtreme(c, n, "min", []operand{{low, args[0].at}, args[2]})
}

// compileTest compiles a condition on a number.
func compileTest(f func(float64) bool) compileFunc {
	return func(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
		xs, err := c.numbers(name, args)
		if err != nil {
			return code{}, err
		}
		r := result(event.Bool, name, args[0].code)
		r.b = map1(xs[0].f, f)
		return fold(r, args[0].code), nil
	}
}

func compileExtreme(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	if len(args) == 1 && args[0].t.Kind == event.List {
		return c.extremeOf(name, args[0])
	}
	if len(args) == 1 {
		return code{}, c.fail(n, name+" takes an array, or 2 arguments or more", name+"(a, b, …)")
	}
	for _, a := range args {
		if a.isNil() {
			return code{}, c.fail(a.at, name+" with nil is nil", "leave it out")
		}
	}
	xs, t, err := c.unify(n, args, "the arguments of "+name+" are")
	if err != nil {
		return code{}, err
	}
	if !t.Ordered() {
		return code{}, c.wrong(name, args[0], "values that have an order")
	}
	r := xs[0]
	r.t.Nullable = false
	for _, x := range xs {
		r.t.Nullable = r.t.Nullable || x.t.Nullable
	}
	least := name == "min"
	for _, x := range xs[1:] {
		switch classOf(t.Kind) {
		case boolClass:
			r.b = try2(r.b, x.b, func(a, b bool) (bool, bool) { return least && a && b || !least && (a || b), true })
		case intClass:
			r.i = extreme(least, r.i, x.i)
		case floatClass:
			r.f = extreme(least, r.f, x.f)
		case strClass:
			r.s = extreme(least, r.s, x.s)
		case valueClass:
			r.v = try2(r.v, x.v, func(a, b event.Value) (event.Value, bool) {
				if (event.Compare(a, b) <= 0) == least {
					return a, true
				}
				return b, true
			})
		}
	}
	r.konst, r.slot, r.text = false, 0, called(name, xs...)
	return fold(r, xs...), nil
}

// extreme is the lesser or greater of two; NaN wins.
func extreme[T int64 | float64 | string](least bool, a, b fn[T]) fn[T] {
	if least {
		return try2(a, b, func(x, y T) (T, bool) { return min(x, y), true })
	}
	return try2(a, b, func(x, y T) (T, bool) { return max(x, y), true })
}
