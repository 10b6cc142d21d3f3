package expr

import (
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// zoneDoc stands behind the first function that takes a zone.
const zoneDoc = ` In a zone such as "America/New_York", a literal; UTC without one. What has no zone of its own (local timestamps, dates, times) takes none.`

func timeFunctions() []function {
	const example = `"2013-07-04T23:30:05Z"`
	field := func(name, doc, zoned string, examples ...string) function {
		return def(1, 2, compileField, name+"(t, zone? string) "+zoned, doc, examples...)
	}
	list := []function{
		field("year", "The year."+zoneDoc, "long", "year("+example+")", "2013"),
		field("quarter", "The quarter, 1 to 4.", "long", "quarter("+example+")", "3"),
		field("month", "The month, 1 to 12.", "long", "month("+example+")", "7"),
		field("day", "The day of the month, 1 to 31.", "long", "day("+example+`, "Asia/Kolkata")`, "5"),
		field("hour", "The hour of the day, 0 to 23.", "long", "hour("+example+`, "America/New_York")`, "19"),
		field("minute", "The minute of the hour, 0 to 59.", "long", "minute("+example+`, "Asia/Kolkata")`, "0"),
		field("second", "The second of the minute, 0 to 59.", "long", "second("+example+")", "5"),
		field("day_of_week", "The day of the week, 1 (Monday) to 7 (Sunday).", "long", "day_of_week("+example+")", "4"),
		field("day_of_year", "The day of the year, 1 to 366.", "long", "day_of_year("+example+")", "185"),
		field("week", "The week of ISO 8601, 1 to 53: it begins on Monday, and the first has the year's first Thursday.", "long", `week("2021-01-03T00:00:00Z")`, "53"),
		field("iso_year", "The year that the ISO week belongs to.", "long", `iso_year("2021-01-03T00:00:00Z")`, "2020"),
		field("is_weekend", "Whether it is Saturday or Sunday.", "boolean", `is_weekend(date("2013-07-06"))`, "true"),
	}
	return append(append(list, spanFunctions()...), formatFunctions()...)
}

// field is a part of a date or of a time of day.
type field struct {
	date, time bool // which of the two it needs
	of         func(days, micros int64) int64
}

// fields by name. Micros are those of the day.
var fields = map[string]field{
	"year":        {date: true, of: func(d, _ int64) int64 { y, _, _ := civil(d); return y }},
	"quarter":     {date: true, of: func(d, _ int64) int64 { _, m, _ := civil(d); return (m + 2) / 3 }},
	"month":       {date: true, of: func(d, _ int64) int64 { _, m, _ := civil(d); return m }},
	"day":         {date: true, of: func(d, _ int64) int64 { _, _, day := civil(d); return day }},
	"hour":        {time: true, of: func(_, t int64) int64 { return t / hourMicros }},
	"minute":      {time: true, of: func(_, t int64) int64 { return t / minuteMicros % 60 }},
	"second":      {time: true, of: func(_, t int64) int64 { return t / secondMicros % 60 }},
	"day_of_week": {date: true, of: func(d, _ int64) int64 { return weekday(d) }},
	"day_of_year": {date: true, of: func(d, _ int64) int64 { y, _, _ := civil(d); return d - daysOf(y, 1, 1) + 1 }},
	"week":        {date: true, of: func(d, _ int64) int64 { _, w := isoWeek(d); return w }},
	"iso_year":    {date: true, of: func(d, _ int64) int64 { y, _ := isoWeek(d); return y }},
	"is_weekend":  {date: true, of: func(d, _ int64) int64 { return bit(weekday(d) >= 6) }},
}

// compileField compiles a part of a date or time.
func compileField(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	f := fields[name]
	x, err := c.instantArg(name, args[0], f.date, f.time)
	if err != nil {
		return code{}, err
	}
	show, texts, err := c.zoneArg(n, x, args[1:])
	if err != nil {
		return code{}, err
	}
	r := result(event.Long, name, texts...)
	of := f.of
	switch x.t.Kind {
	case event.Date:
		r.i = map1(x.i, func(days int64) int64 { return of(days, 0) })
	case event.TimeOfDay:
		r.i = map1(x.i, func(micros int64) int64 { return of(0, micros-dayMicros*floorDiv(micros, dayMicros)) })
	default:
		r.i = map1(x.i, func(t int64) int64 {
			t = show.local(t)
			days := floorDiv(t, dayMicros)
			return of(days, t-days*dayMicros)
		})
	}
	if name == "is_weekend" {
		r.t.Kind, r.b = event.Bool, map1(r.i, func(b int64) bool { return b != 0 })
	}
	return show.fold(r, x), nil
}

// instantArg is an argument that has a date, or a time, or both; a literal is read by its form.
func (c *compiler) instantArg(name string, o operand, date, clockTime bool) (code, error) {
	want := "a timestamp"
	switch {
	case date && !clockTime:
		want = "a timestamp or a date"
	case clockTime && !date:
		want = "a timestamp or a time"
	}
	x := o.code
	if o.konst && o.t.Kind == event.String {
		kind := event.Timestamp
		for _, k := range []event.Kind{event.LocalTimestamp, event.Date, event.TimeOfDay} {
			if _, ok := readInstant(k, o.val.Str); ok {
				kind = k
			}
		}
		var err error
		if x, err = c.instant(o, kind); err != nil {
			return code{}, err
		}
		o.code = x
	}
	switch x.t.Kind {
	case event.Timestamp, event.LocalTimestamp:
		return x, nil
	case event.Date:
		if !clockTime {
			return x, nil
		}
	case event.TimeOfDay:
		if !date {
			return x, nil
		}
	}
	return code{}, c.wrong(name, o, want)
}

// zoneArg opens the zone that an argument behind x may name: its clock, and what is written in the
// canonical text.
func (c *compiler) zoneArg(n ast.Node, x code, args []operand) (show *clock, texts []code, err error) {
	texts = []code{x}
	if len(args) == 0 {
		return nil, texts, nil
	}
	name, err := c.text(args[0], "the zone", `write "America/New_York"`)
	if err != nil {
		return nil, nil, err
	}
	if x.t.Kind != event.Timestamp {
		return nil, nil, c.fail(n, "a "+x.describe()+" has no zone", "leave the zone out")
	}
	zone, err := c.zone(args[0], name)
	if err != nil || zone == nil {
		return nil, texts, err
	}
	return clockOf(zone), append(texts, args[0].code), nil
}

// fold is fold of what the clock took part in: only UTC's, as the canonical text must go on naming the zone.
func (c *clock) fold(r code, operands ...code) code {
	if c != nil {
		return r
	}
	return fold(r, operands...)
}

// zone opens the zone that o names; nil is UTC.
func (c *compiler) zone(o operand, name string) (*time.Location, error) {
	zone, err := openZone(name)
	if err != nil {
		return nil, c.at(o, err)
	}
	c.zoned = c.zoned || zone != nil
	return zone, nil
}
