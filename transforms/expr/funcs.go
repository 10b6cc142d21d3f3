package expr

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

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

func compileRounding(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := code{t: x.t, text: called(name, x)}
	switch x.t.Kind {
	case event.Long:
		r.i = x.i
	case event.Double:
		f := map[string]func(float64) float64{"floor": math.Floor, "ceil": math.Ceil, "round": math.Round}[name]
		r.f = map1(x.f, func(v float64) float64 { return f(v) + 0 })
	default:
		return code{}, c.wrong(name, args[0], "a long or a double")
	}
	return fold(r, x), nil
}

func compileExtreme(c *compiler, n ast.Node, name string, args []operand) (code, error) {
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

func compileCoalesce(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	x, err := c.choose(n, args, name)
	if err == nil && x.isNil() {
		return nilCode(), nil
	}
	return x, err
}

func compileLong(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := code{t: event.Type{Kind: event.Long, Nullable: true}, text: called(name, x)}
	switch x.t.Kind {
	case event.Long:
		return x, nil
	case event.Bool:
		r.t.Nullable = x.t.Nullable
		r.i = map1(x.b, bit)
	case event.Double:
		r.i = try1(x.f, func(v float64) (int64, bool) {
			if !(v >= -1<<63 && v < 1<<63) {
				return 0, false
			}
			return int64(v), true
		})
	case event.Decimal:
		r.i = try1(x.v, decimalLong)
	case event.String:
		r.i = try1(x.s, func(s string) (int64, bool) {
			n, err := strconv.ParseInt(s, 10, 64)
			return n, err == nil
		})
	default:
		return code{}, c.wrong(name, args[0], "a number, a string or a boolean")
	}
	return c.converted(r, args[0])
}

// converted folds a conversion; a constant that has none is a mistake.
func (c *compiler) converted(r code, arg operand) (code, error) {
	out := fold(r, arg.code)
	if arg.konst && !out.konst {
		return code{}, c.fail(arg.at, arg.text+" is no "+r.describe(), "")
	}
	return out, nil
}

func compileDouble(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := code{t: event.Type{Kind: event.Double, Nullable: x.t.Nullable}, text: called(name, x)}
	switch x.t.Kind {
	case event.Double:
		return x, nil
	case event.Long, event.Decimal:
		r.f = toDouble(x).f
	case event.Bool:
		r.f = map1(x.b, func(b bool) float64 { return float64(bit(b)) })
	case event.String:
		r.t.Nullable = true
		r.f = try1(x.s, parseDouble)
	default:
		return code{}, c.wrong(name, args[0], "a number, a string or a boolean")
	}
	return c.converted(r, args[0])
}

// parseDouble reads a decimal number, NaN, Infinity or -Infinity; beyond the range of doubles it is
// an infinity.
func parseDouble(s string) (float64, bool) {
	switch s {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	if strings.Trim(s, "0123456789+-.eE") != "" || strings.ContainsAny(s, "_xX") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f + 0, true
}

func compileString(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := code{t: event.Type{Kind: event.String, Nullable: x.t.Nullable}, text: called(name, x)}
	switch x.t.Kind {
	case event.String:
		return x, nil
	case event.List, event.Map, event.Null:
		return code{}, c.wrong(name, args[0], "a single value")
	case event.Bytes:
		r.t.Nullable = true
		r.s = try1(x.s, func(s string) (string, bool) {
			if len(s) > MaxString/4*3 {
				return "", false
			}
			return event.Value{Kind: event.Bytes, Str: s}.String(), true
		})
	case event.Decimal:
		r.t.Nullable = true
		r.s = try1(x.v, func(v event.Value) (string, bool) {
			if len(v.Str) > MaxString/4 {
				return "", false
			}
			return v.String(), true
		})
	default:
		eval := x.evaluator()
		r.s = func(row []event.Value) (string, bool) {
			v := eval(row)
			if v.IsNull() {
				return "", false
			}
			return v.String(), true
		}
	}
	return fold(r, x), nil
}

func compileCase(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	if x.t.Kind != event.String {
		return code{}, c.wrong(name, args[0], "a string")
	}
	r := code{t: x.t, text: called(name, x)}
	if name == "trim" {
		r.s = map1(x.s, strings.TrimSpace)
		return fold(r, x), nil
	}
	f := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper}[name]
	r.t.Nullable = true
	r.s = try1(x.s, func(s string) (string, bool) {
		if len(s) > MaxString {
			return "", false
		}
		s = f(s)
		return s, len(s) <= MaxString
	})
	return fold(r, x), nil
}

func compileLen(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := code{t: event.Type{Kind: event.Long, Nullable: x.t.Nullable}, text: called(name, x)}
	var f func(string) int
	switch x.t.Kind {
	case event.String:
		f = utf8.RuneCountInString
	case event.Bytes:
		f = func(s string) int { return len(s) }
	case event.List:
		f = count
	case event.Map:
		f = func(s string) int { return count(s) / 2 }
	default:
		return code{}, c.wrong(name, args[0], "a string, bytes, an array or a map")
	}
	r.i = map1(x.s, func(s string) int64 { return int64(f(s)) })
	return fold(r, x), nil
}

const (
	hourMicros = int64(event.Hour)
	dayMicros  = int64(event.Day)
)

// floorDiv is a/b rounded down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func compileHour(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	switch args[0].t.Kind {
	case event.Timestamp, event.LocalTimestamp, event.TimeOfDay:
	default:
		return code{}, c.wrong(name, args[0], "a timestamp or a time")
	}
	return c.calendar(n, name, args,
		func(micros int64) int64 { return floorDiv(micros, hourMicros) - 24*floorDiv(micros, dayMicros) },
		func(t time.Time) int64 { return int64(t.Hour()) })
}

func compileDayOfWeek(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	weekday := func(days int64) int64 { return days + 3 - 7*floorDiv(days+3, 7) + 1 } // 1970-01-01: Thursday
	ofMicros := func(micros int64) int64 { return weekday(floorDiv(micros, dayMicros)) }
	switch args[0].t.Kind {
	case event.Timestamp, event.LocalTimestamp:
	case event.Date:
		ofMicros = func(days int64) int64 { return weekday(days % 7) }
	default:
		return code{}, c.wrong(name, args[0], "a timestamp or a date")
	}
	return c.calendar(n, name, args, ofMicros, func(t time.Time) int64 { return (int64(t.Weekday())+6)%7 + 1 })
}

// calendar compiles a field of the calendar, of UTC or of the zone that the second argument names.
func (c *compiler) calendar(n ast.Node, name string, args []operand, utc func(int64) int64, zoned func(time.Time) int64) (code, error) {
	x := args[0].code
	r := code{t: event.Type{Kind: event.Long, Nullable: x.t.Nullable}}
	if len(args) == 1 {
		r.text = called(name, x)
		r.i = map1(x.i, utc)
		return fold(r, x), nil
	}
	z := args[1]
	if !z.konst || z.t.Kind != event.String {
		return code{}, c.fail(z.at, "the zone is a string literal", `write "America/New_York"`)
	}
	if x.t.Kind != event.Timestamp {
		return code{}, c.fail(n, "a "+x.describe()+" has no zone", "leave the zone out")
	}
	loc, err := openZone(z.val.Str)
	if err != nil {
		hint := ""
		if e := (*Error)(nil); errors.As(err, &e) {
			hint = e.Hint
		}
		return code{}, c.fail(z.at, err.Error(), hint)
	}
	if loc == nil {
		return c.calendar(n, name, args[:1], utc, zoned)
	}
	c.zoned = true
	r.text = called(name, x, z.code)
	r.i = map1(x.i, func(micros int64) int64 { return zoned(time.UnixMicro(micros).In(loc)) })
	return r, nil
}

func compileSeconds(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	xs, t, err := c.unify(n, args, name+" takes two timestamps, not values")
	if err != nil {
		return code{}, err
	}
	if t.Kind != event.Timestamp && t.Kind != event.LocalTimestamp {
		return code{}, c.wrong(name, args[0], "two timestamps")
	}
	a, b := xs[0], xs[1]
	r := code{t: event.Type{Kind: event.Double, Nullable: a.t.Nullable || b.t.Nullable}, text: called(name, a, b)}
	r.f = try2(a.i, b.i, func(from, to int64) (float64, bool) {
		return float64(event.Time(to).Sub(event.Time(from))) / 1e6, true
	})
	return fold(r, a, b), nil
}
