package expr

import (
	"strconv"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

func conversionFunctions() []function {
	return []function{
		def(1, 1, compileLong, "long(x) long", "Also int. A double or decimal cut towards zero, a string of decimal digits, a boolean as 0 or 1; null where there is no such long.",
			`long("42")`, "42", "long(-2.9)", "-2", "long(name)", ""),
		def(1, 1, compileDouble, "double(x) double", `Also float. The nearest double of a long or decimal, a string such as "1.5", "1e9", "NaN" or "-Infinity", a boolean as 0 or 1; null for other strings, and those beyond the range of doubles.`,
			`double("1e3")`, "1000", "double(7) / 2", "3.5"),
		def(1, 1, compileBoolean, "boolean(x) boolean", "Also bool. Of a string: true, t, yes, y, on and 1, or false, f, no, n, off and 0, in any case, else null. Of a number: whether it is not 0; null of NaN.",
			`boolean("Yes")`, "true", "boolean(0)", "false", "boolean(name)", ""),
		def(1, 1, compileString, "string(x) string", "The value as exports write it: timestamps as RFC 3339 with six digits, bytes as base64. Arrays and maps have none.",
			"string(1.50)", "1.5", `string(timestamp("2013-07-04T23:30:00Z"))`, "2013-07-04T23:30:00.000000Z"),
		def(1, 2, compileInstant(event.Timestamp), "timestamp(x, zone? string) timestamp",
			"Of a string in the form of RFC 3339 with a zone, else null. Of a local timestamp in a zone (UTC without one): the first instant at which clocks there show it, or, where they skip it, would have shown it.",
			`timestamp("2013-07-04T19:30:00-04:00")`, "2013-07-04T23:30:00.000000Z", "timestamp(name)", "",
			`timestamp(local_timestamp("2013-07-04T19:30:00"), "America/New_York")`, "2013-07-04T23:30:00.000000Z"),
		def(1, 2, compileInstant(event.LocalTimestamp), "local_timestamp(x, zone? string) local timestamp",
			`What a clock shows: of a timestamp in a zone (UTC without one), of a string like "2013-07-04T23:30:00", of a date: its midnight.`,
			`local_timestamp("2013-07-04T23:30:00Z", "America/New_York")`, "2013-07-04T19:30:00.000000"),
		def(1, 2, compileInstant(event.Date), "date(x, zone? string) date",
			`The date of a timestamp in a zone (UTC without one), of a local timestamp, or of a string like "2013-07-04".`,
			`date("2013-07-04T23:30:00Z", "Asia/Kolkata")`, "2013-07-05"),
		def(1, 2, compileInstant(event.TimeOfDay), "time(x, zone? string) time",
			`The time of day of a timestamp in a zone (UTC without one), of a local timestamp, or of a string like "23:30:00".`,
			`time("2013-07-04T23:30:00Z", "Asia/Kolkata")`, "05:00:00.000000"),
	}
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
		r.f = try1(x.s, event.ParseDouble)
	default:
		return code{}, c.wrong(name, args[0], "a number, a string or a boolean")
	}
	return c.converted(r, args[0])
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

// truths are the words that boolean reads, in lower case.
var truths = map[string]bool{
	"true": true, "t": true, "yes": true, "y": true, "on": true, "1": true,
	"false": false, "f": false, "no": false, "n": false, "off": false, "0": false,
}

func compileBoolean(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := nullable(event.Bool, name, x)
	switch x.t.Kind {
	case event.Bool:
		return x, nil
	case event.String:
		r.b = try1(x.s, func(s string) (bool, bool) {
			var low [5]byte
			if len(s) > len(low) {
				return false, false
			}
			for i := range len(s) {
				low[i] = s[i]
				if 'A' <= s[i] && s[i] <= 'Z' {
					low[i] += 'a' - 'A'
				}
			}
			truth, known := truths[string(low[:len(s)])]
			return truth, known
		})
	case event.Long, event.Double, event.Decimal:
		r.b = try1(toDouble(x).f, func(f float64) (bool, bool) { return f != 0, f == f })
		if x.t.Kind != event.Double {
			r.t.Nullable = x.t.Nullable
		}
	default:
		return code{}, c.wrong(name, args[0], "a string or a number")
	}
	return c.converted(r, args[0])
}
