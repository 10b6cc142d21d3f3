package expr

import (
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// instantForms are how literals of instants are written.
var instantForms = map[event.Kind]string{
	event.Timestamp:      `"2013-01-05T10:00:00Z", with a zone`,
	event.LocalTimestamp: `"2013-01-05T10:00:00", without a zone`,
	event.Date:           `"2013-01-05"`,
	event.TimeOfDay:      `"15:04:05"`,
}

// maxInstant is the longest text of an instant that is read, in bytes.
const maxInstant = 64

// readInstant reads a timestamp, date or time of a kind.
func readInstant(kind event.Kind, s string) (int64, bool) {
	if len(s) > maxInstant {
		return 0, false
	}
	layout := "2006-01-02T15:04:05"
	switch kind {
	case event.Timestamp:
		t, err := event.ParseTime(s)
		return int64(t), err == nil
	case event.Date:
		layout = time.DateOnly
	case event.TimeOfDay:
		layout = time.TimeOnly
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return 0, false
	}
	switch kind {
	case event.Date:
		return t.Unix() / 86400, true // midnight: no remainder
	case event.TimeOfDay:
		seconds := (t.Hour()*60+t.Minute())*60 + t.Second()
		return int64(seconds)*secondMicros + int64(t.Nanosecond()/1000), true
	}
	return int64(event.FromGo(t)), true
}

// instant reads a string literal as a timestamp, date or time.
func (c *compiler) instant(o operand, kind event.Kind) (code, error) {
	n, ok := readInstant(kind, o.val.Str)
	if !ok {
		return code{}, c.fail(o.at, `"`+o.val.Str+`" is not a `+kind.String(), "write it like "+instantForms[kind])
	}
	return constant(event.Value{Kind: kind, Num: uint64(n)}, event.Type{Kind: kind}), nil
}

// compileInstant compiles timestamp, local_timestamp, date and time: what a string tells, or what a clock
// shows of an instant.
func compileInstant(to event.Kind) compileFunc {
	return func(c *compiler, n ast.Node, name string, args []operand) (code, error) {
		x := args[0].code
		if x.t.Kind == event.String && len(args) == 2 && to != event.Timestamp {
			var err error // a literal of an instant, to be shown in a zone
			if x, err = c.instantArg(name, args[0], true, false); err != nil {
				return code{}, err
			}
		}
		if x.t.Kind == to && len(args) == 1 {
			return x, nil
		}
		if x.t.Kind == event.String {
			if len(args) == 2 {
				return code{}, c.fail(n, "a string names its zone itself", `write strptime(s, format, zone) for another form`)
			}
			r := nullable(to, name, x)
			r.i = try1(x.s, func(s string) (int64, bool) { return readInstant(to, s) })
			return c.converted(r, args[0])
		}
		if to == event.Timestamp {
			return c.ofLocal(name, x, args)
		}
		ok := x.t.Kind == event.Timestamp || x.t.Kind == event.LocalTimestamp ||
			x.t.Kind == event.Date && to == event.LocalTimestamp
		if !ok {
			return code{}, c.wrong(name, args[0], "a string or a timestamp")
		}
		show, texts, err := c.zoneArg(n, x, args[1:])
		if err != nil {
			return code{}, err
		}
		r := result(to, name, texts...)
		switch {
		case to == event.LocalTimestamp && x.t.Kind == event.Date:
			r.t.Nullable = true
			r.i = try1(x.i, func(days int64) (int64, bool) { return mulLong(days, dayMicros) })
		case to == event.LocalTimestamp:
			r.i = map1(x.i, show.local)
		case to == event.Date:
			r.i = map1(x.i, func(t int64) int64 { return floorDiv(show.local(t), dayMicros) })
		default:
			r.i = map1(x.i, func(t int64) int64 {
				t = show.local(t)
				return t - dayMicros*floorDiv(t, dayMicros)
			})
		}
		return show.fold(r, x), nil
	}
}

// ofLocal compiles timestamp of what a clock shows.
func (c *compiler) ofLocal(name string, x code, args []operand) (code, error) {
	if x.t.Kind != event.LocalTimestamp {
		hint := ""
		if x.t.Kind == event.Long || x.t.Kind == event.Double {
			hint = "write timestamp_seconds(" + x.text + "), timestamp_millis or timestamp_micros"
		}
		return code{}, c.fail(args[0].at, name+" takes a string or a local timestamp, not "+x.describe(), hint)
	}
	texts := []code{x}
	var show *clock
	if len(args) == 2 {
		zone, err := c.text(args[1], "the zone", `write "America/New_York"`)
		if err != nil {
			return code{}, err
		}
		loc, err := c.zone(args[1], zone)
		if err != nil {
			return code{}, err
		}
		if show = clockOf(loc); show != nil {
			texts = append(texts, args[1].code)
		}
	}
	r := result(event.Timestamp, name, texts...)
	r.i = map1(x.i, show.instant)
	return show.fold(r, x), nil
}
