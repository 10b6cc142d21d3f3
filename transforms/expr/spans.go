package expr

import (
	"math"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/window"
)

func spanFunctions() []function {
	return []function{
		def(2, 3, compileTrunc, "date_trunc(unit string, t, zone? string) same",
			"The beginning of the millisecond, second, minute, hour, day, week (Monday), month, quarter or year that t lies in; the unit is a literal. Days and longer units begin as calendar windows do: at the first instant of their first date, whatever clocks skip or repeat; an hour where the clock of that hour's offset showed it.",
			`date_trunc("month", "2013-07-04T23:30:00Z")`, "2013-07-01T00:00:00.000000Z",
			`date_trunc("day", "2013-07-04T23:30:00Z", "America/New_York")`, "2013-07-04T04:00:00.000000Z"),
		def(2, 2, compileAdd, "date_add(t, d) same",
			`t and a duration: a literal like "36h" or "-1d12h" (units us, ms, s, m, h, d of 24 hours, w), or a number of seconds. A date takes a literal of whole days. Null outside the range.`,
			`date_add("2013-07-04T23:30:00Z", "-1d12h")`, "2013-07-03T11:30:00.000000Z", `date_add(date("2013-12-30"), "2d")`, "2014-01-01",
			`date_add("2013-07-04T23:30:00Z", 1.5)`, "2013-07-04T23:30:01.500000Z"),
		def(2, 2, compileBetween, "seconds_between(a, b) double", "Seconds from a to b, two timestamps or two local timestamps, to the microsecond; negative if b is before a.",
			`seconds_between(timestamp("2013-07-04T23:30:00Z"), "2013-07-05T00:00:00Z")`, "1800"),
		def(2, 2, compileBetween, "days_between(a, b) double", "Days of 24 hours from a to b, two timestamps, local timestamps or dates; negative if b is before a.",
			`days_between(date("2013-07-04"), "2013-08-04")`, "31"),
		def(1, 1, compileUnix, "unix_seconds(t timestamp) long", "Whole seconds since 1970-01-01T00:00:00Z, rounded down.", `unix_seconds("2013-07-04T23:30:00Z")`, "1372980600"),
		def(1, 1, compileUnix, "unix_millis(t timestamp) long", "Milliseconds, as unix_seconds.", `unix_millis("1969-12-31T23:59:59.9999Z")`, "-1"),
		def(1, 1, compileUnix, "unix_micros(t timestamp) long", "Microseconds, as unix_seconds.", `unix_micros("1970-01-01T00:00:01Z")`, "1000000"),
		def(1, 1, compileOfUnix, "timestamp_seconds(n number) timestamp", "The instant so many seconds after 1970-01-01T00:00:00Z, rounded down to microseconds; null outside the range.", "timestamp_seconds(1372980600.5)", "2013-07-04T23:30:00.500000Z"),
		def(1, 1, compileOfUnix, "timestamp_millis(n number) timestamp", "Milliseconds, as timestamp_seconds.", "timestamp_millis(1372980600500)", "2013-07-04T23:30:00.500000Z"),
		def(1, 1, compileOfUnix, "timestamp_micros(n number) timestamp", "Microseconds, as timestamp_seconds.", "timestamp_micros(-1)", "1969-12-31T23:59:59.999999Z"),
	}
}

// truncs are the units of date_trunc.
var (
	truncUnits = []string{"millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"}
	truncSizes = []int64{1000, secondMicros, minuteMicros, hourMicros}
)

// floorDate is the first day of the unit that a day lies in.
func floorDate(unit int, days int64) int64 {
	switch truncUnits[unit] {
	case "week":
		return days - weekday(days) + 1
	case "month", "quarter", "year":
		y, m, _ := civil(days)
		switch truncUnits[unit] {
		case "quarter":
			m = (m-1)/3*3 + 1
		case "year":
			m = 1
		}
		return daysOf(y, m, 1)
	}
	return days
}

// longest are the most days of a unit, from day on.
var longest = [...]int64{1, 7, 31, 92, 366}

// nextDate is the first day of the unit behind the one that begins on a day.
func nextDate(unit int, days int64) int64 {
	return floorDate(unit, days+longest[unit-len(truncSizes)])
}

func compileTrunc(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	unit, err := choice(c, args[0], "a unit of date_trunc", truncUnits, func(i int) int { return i })
	if err != nil {
		return code{}, err
	}
	x, err := c.instantArg(name, args[1], true, unit < len(truncSizes))
	if err != nil {
		return code{}, err
	}
	show, texts, err := c.zoneArg(n, x, args[2:])
	if err != nil {
		return code{}, err
	}
	r := result(x.t.Kind, name, append([]code{args[0].code}, texts...)...)
	switch {
	case x.t.Kind == event.Date:
		r.i = map1(x.i, func(days int64) int64 { return floorDate(unit, days) })
	case unit < len(truncSizes):
		size := event.Duration(truncSizes[unit])
		r.i = map1(x.i, func(t int64) int64 {
			local := show.local(t)
			past := local - int64(window.Floor(event.Time(local), size))
			return int64(event.Time(t).Add(event.Duration(-past)))
		})
	default:
		r.i = map1(x.i, func(t int64) int64 { return floorDay(show, unit, t) })
	}
	return show.fold(r, x), nil
}

// floorDay is the first instant of the day, week, month, quarter or year that t lies in.
func floorDay(show *clock, unit int, t int64) int64 {
	local := show.local(t)
	days := floorDate(unit, floorDiv(local, dayMicros))
	if days < math.MinInt64/dayMicros {
		return math.MinInt64
	}
	midnight := days * dayMicros
	if show == nil {
		return midnight
	}
	// Where one offset has held since long before that midnight, the clock showed it once.
	offset, since := show.at(t)
	start := int64(event.Time(midnight).Add(event.Duration(-offset)))
	if since < start-26*hourMicros || midnight < minWritten+2*dayMicros || midnight > maxWritten-2*dayMicros {
		return start
	}
	begin := func(days int64) int64 {
		y, m, d := civil(days)
		return int64(window.StartOfDate(int(y), time.Month(m), int(d), show.zone))
	}
	// A clock that is set back over midnight shows a date again after the next one has begun.
	if next := begin(nextDate(unit, days)); next <= t {
		return next
	}
	return begin(days)
}

func compileAdd(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	x, err := c.instantArg(name, args[0], true, false)
	if err != nil {
		return code{}, err
	}
	d := args[1]
	r := nullable(x.t.Kind, name, x, d.code)
	switch {
	case d.t.Kind == event.String:
		span, err := c.duration(d)
		if err != nil {
			return code{}, err
		}
		if x.t.Kind == event.Date {
			if span%dayMicros != 0 {
				return code{}, c.fail(d.at, "a date takes whole days", `write "1d", or a timestamp`)
			}
			r.i = try1(x.i, func(days int64) (int64, bool) {
				days, ok := addLong(days, span/dayMicros)
				return days, ok && days == int64(int32(days))
			})
			break
		}
		r.i = try1(x.i, func(t int64) (int64, bool) { return addLong(t, span) })
	case x.t.Kind == event.Date:
		return code{}, c.fail(d.at, "a date takes a duration of whole days, not "+d.describe(), `write "1d"`)
	case d.t.Kind == event.Long:
		r.i = try2(x.i, d.i, func(t, seconds int64) (int64, bool) {
			span, ok := mulLong(seconds, secondMicros)
			if !ok {
				return 0, false
			}
			return addLong(t, span)
		})
	case d.t.Kind == event.Double:
		r.i = try2(x.i, d.f, func(t int64, seconds float64) (int64, bool) {
			span := math.Round(float64(seconds * 1e6))
			if !(span >= -1<<63 && span < 1<<63) {
				return 0, false
			}
			return addLong(t, int64(span))
		})
	default:
		return code{}, c.wrong(name, d, "a duration or a number of seconds")
	}
	return fold(r, x, d.code), nil
}

// duration reads a literal like "-1d12h".
func (c *compiler) duration(o operand) (int64, error) {
	text, err := c.text(o, "the duration", `write "36h", or a number of seconds`)
	if err != nil {
		return 0, err
	}
	body, negative := strings.CutPrefix(text, "-")
	d, err := event.ParseDuration(body)
	if err != nil {
		return 0, c.fail(o.at, `"`+text+`" is not a duration`, `write it like "36h" or "-1d12h"; the units are us, ms, s, m, h, d and w`)
	}
	if negative {
		d = -d
	}
	return int64(d), nil
}

func compileBetween(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	days := name == "days_between"
	for i, a := range args {
		if other := args[1-i]; a.konst && a.t.Kind == event.String && other.konst && other.t.Kind == event.String {
			x, err := c.instantArg(name, a, true, !days)
			if err != nil {
				return code{}, err
			}
			args[i].code = x
		}
	}
	what := " takes two timestamps, not values"
	if days {
		what = " takes two timestamps or dates, not values"
	}
	xs, t, err := c.unify(n, args, name+what)
	if err != nil {
		return code{}, err
	}
	a, b := xs[0], xs[1]
	r := result(event.Double, name, a, b)
	per := float64(secondMicros)
	switch {
	case t.Kind == event.Timestamp || t.Kind == event.LocalTimestamp:
		if days {
			per = float64(dayMicros)
		}
		r.f = try2(a.i, b.i, func(from, to int64) (float64, bool) {
			return float64(event.Time(to).Sub(event.Time(from))) / per, true
		})
	case t.Kind == event.Date && days:
		r.f = try2(a.i, b.i, func(from, to int64) (float64, bool) { return float64(to - from), true })
	case days:
		return code{}, c.wrong(name, args[0], "two timestamps or dates")
	default:
		return code{}, c.wrong(name, args[0], "two timestamps")
	}
	return fold(r, a, b), nil
}

// unixUnits are the microseconds that unix_… and timestamp_… count.
var unixUnits = map[string]int64{"seconds": secondMicros, "millis": 1000, "micros": 1}

func unixUnit(name string) int64 { return unixUnits[name[strings.LastIndexByte(name, '_')+1:]] }

func compileUnix(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x, err := c.instantArg(name, args[0], true, true)
	if err != nil {
		return code{}, err
	}
	if x.t.Kind != event.Timestamp {
		return code{}, c.wrong(name, args[0], "a timestamp")
	}
	unit := unixUnit(name)
	r := result(event.Long, name, x)
	r.i = map1(x.i, func(t int64) int64 { return floorDiv(t, unit) })
	return fold(r, x), nil
}

func compileOfUnix(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x, unit := args[0].code, unixUnit(name)
	r := nullable(event.Timestamp, name, x)
	switch x.t.Kind {
	case event.Long:
		r.t.Nullable = x.t.Nullable || unit > 1
		r.i = try1(x.i, func(n int64) (int64, bool) { return mulLong(n, unit) })
	case event.Double:
		r.i = try1(x.f, func(v float64) (int64, bool) {
			v = math.Floor(float64(v * float64(unit)))
			return int64(v), v >= -1<<63 && v < 1<<63
		})
	default:
		return code{}, c.wrong(name, args[0], "a long or a double")
	}
	return fold(r, x), nil
}
