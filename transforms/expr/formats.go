package expr

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

func formatFunctions() []function {
	return []function{
		def(2, 3, compileStrftime, "strftime(t, format string, zone? string) string",
			`A timestamp, local timestamp or date in a form, a literal: %Y %m %d %H %M %S, %f (six digits), %j (day of the year), %y, %I and %p (12 hours), %a %A (weekday), %b %B (month), %u (1 to 7), %G %V (ISO week), %F (%Y-%m-%d), %T (%H:%M:%S), %z (+hhmm), %s (unix seconds), %%. Names are English. Null outside the years 0 to 9999.`,
			`strftime("2013-07-04T23:30:05Z", "%a %d %b %Y, %I:%M %p")`, "Thu 04 Jul 2013, 11:30 PM",
			`strftime("2013-07-04T23:30:05Z", "%F %T%z", "Asia/Kolkata")`, "2013-07-05 05:00:05+0530"),
		def(2, 3, compileStrptime, "strptime(s string, format string, zone? string) timestamp",
			`Reads what strftime writes with %Y %y %m %d %H %M %S %f %j %I %p %b %B %F %T %z %s %% (numbers with or without leading zeros, names in any case, %f of one to six digits, %y 69 to 99 as 1969 to 1999). The format must tell a date. Without %z the string is of the zone, UTC without one. Null if it does not fit.`,
			`strptime("4/7/2013 19:30", "%d/%m/%Y %H:%M", "America/New_York")`, "2013-07-04T23:30:00.000000Z",
			`strptime("2013-02-30", "%Y-%m-%d")`, ""),
	}
}

const (
	writeVerbs = "YmdHMSfjyIpaAbBuGVFTzs%"
	readVerbs  = "YmdHMSfjyIpbBFTzs%"
)

// verbs reads a format: text between verbs is a verb of 0 with the text.
type verb struct {
	is   byte
	text string
}

func (c *compiler) verbs(o operand, known string) ([]verb, error) {
	hint := `write it like "%Y-%m-%d %H:%M:%S"`
	text, err := c.text(o, "the format", hint)
	if err != nil {
		return nil, err
	}
	var out []verb
	for text != "" {
		before, rest, found := strings.Cut(text, "%")
		if before != "" {
			out = append(out, verb{text: before})
		}
		if !found {
			break
		}
		if rest == "" || !strings.Contains(known, rest[:1]) {
			return nil, c.fail(o.at, fmt.Sprintf("%%%.1s is not known here", rest), "known are %"+strings.Join(strings.Split(known, ""), " %"))
		}
		switch rest[0] {
		case '%':
			out = append(out, verb{text: "%"})
		case 'F':
			out = append(out, verb{is: 'Y'}, verb{text: "-"}, verb{is: 'm'}, verb{text: "-"}, verb{is: 'd'})
		case 'T':
			out = append(out, verb{is: 'H'}, verb{text: ":"}, verb{is: 'M'}, verb{text: ":"}, verb{is: 'S'})
		default:
			out = append(out, verb{is: rest[0]})
		}
		text = rest[1:]
	}
	return out, nil
}

var (
	weekdayNames = [...]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	monthNames   = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
)

func compileStrftime(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	x, err := c.instantArg(name, args[0], true, false)
	if err != nil {
		return code{}, err
	}
	form, err := c.verbs(args[1], writeVerbs)
	if err != nil {
		return code{}, err
	}
	for _, v := range form {
		if (v.is == 'z' || v.is == 's') && x.t.Kind != event.Timestamp {
			return code{}, c.fail(args[1].at, fmt.Sprintf("a %s has no %%%c", x.describe(), v.is), "only a timestamp has a zone")
		}
	}
	show, texts, err := c.zoneArg(n, x, args[2:])
	if err != nil {
		return code{}, err
	}
	texts = append([]code{x, args[1].code}, texts[1:]...)
	r := nullable(event.String, name, texts...)
	dates := x.t.Kind == event.Date
	r.s = try1(x.i, func(t int64) (string, bool) {
		if dates {
			if t < minWritten/dayMicros || t >= maxWritten/dayMicros {
				return "", false
			}
			t *= dayMicros
		}
		local := show.local(t)
		if local < minWritten || local >= maxWritten {
			return "", false
		}
		var scratch [64]byte
		return string(appendTime(scratch[:0], form, t, local)), true
	})
	return show.fold(r, x), nil
}

// appendTime writes an instant and what the clock shows then.
func appendTime(out []byte, form []verb, t, local int64) []byte {
	days := floorDiv(local, dayMicros)
	micros := local - days*dayMicros
	year, month, day := civil(days)
	for _, v := range form {
		switch v.is {
		case 0:
			out = append(out, v.text...)
		case 'Y':
			out = appendPadded(out, year, 4)
		case 'y':
			out = appendPadded(out, year%100, 2)
		case 'm':
			out = appendPadded(out, month, 2)
		case 'd':
			out = appendPadded(out, day, 2)
		case 'H':
			out = appendPadded(out, micros/hourMicros, 2)
		case 'I':
			out = appendPadded(out, (micros/hourMicros+11)%12+1, 2)
		case 'p':
			out = append(out, [2]string{"AM", "PM"}[micros/hourMicros/12]...)
		case 'M':
			out = appendPadded(out, micros/minuteMicros%60, 2)
		case 'S':
			out = appendPadded(out, micros/secondMicros%60, 2)
		case 'f':
			out = appendPadded(out, micros%secondMicros, 6)
		case 'j':
			out = appendPadded(out, days-daysOf(year, 1, 1)+1, 3)
		case 'a':
			out = append(out, weekdayNames[weekday(days)-1][:3]...)
		case 'A':
			out = append(out, weekdayNames[weekday(days)-1]...)
		case 'b':
			out = append(out, monthNames[month-1][:3]...)
		case 'B':
			out = append(out, monthNames[month-1]...)
		case 'u':
			out = appendPadded(out, weekday(days), 1)
		case 'G':
			y, _ := isoWeek(days)
			out = appendPadded(out, y, 4)
		case 'V':
			_, w := isoWeek(days)
			out = appendPadded(out, w, 2)
		case 's':
			out = appendPadded(out, floorDiv(t, secondMicros), 1)
		case 'z':
			out = appendZone(out, (local-t)/secondMicros)
		}
	}
	return out
}

func appendZone(out []byte, seconds int64) []byte {
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	out = appendPadded(append(out, sign), seconds/3600, 2)
	out = appendPadded(out, seconds/60%60, 2)
	if seconds%60 != 0 { // before zones were made even
		out = appendPadded(out, seconds%60, 2)
	}
	return out
}

func compileStrptime(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.String, event.String); err != nil {
		return code{}, err
	}
	form, err := c.verbs(args[1], readVerbs)
	if err != nil {
		return code{}, err
	}
	has := map[byte]bool{}
	for _, v := range form {
		has[v.is] = true
	}
	year := has['Y'] || has['y']
	if !has['s'] && !(year && (has['j'] || (has['m'] || has['b'] || has['B']) && has['d'])) {
		return code{}, c.fail(args[1].at, "the format tells no date", "it needs %Y, %m and %d")
	}
	if has['I'] != has['p'] {
		return code{}, c.fail(args[1].at, "%I and %p go together", "write %H for 24 hours")
	}
	x := args[0].code
	texts := codes(args[:2])
	var show *clock
	if len(args) == 3 {
		zone, err := c.text(args[2], "the zone", `write "America/New_York"`)
		if err != nil {
			return code{}, err
		}
		loc, err := c.zone(args[2], zone)
		if err != nil {
			return code{}, err
		}
		if show = clockOf(loc); show != nil {
			texts = append(texts, args[2].code)
		}
	}
	r := nullable(event.Timestamp, name, texts...)
	r.i = try1(x.s, func(s string) (int64, bool) {
		p := reading{year: 1970, month: 1, day: 1, hour12: -1, ofYear: -1, zone: -1 << 62, unix: -1 << 62}
		for _, v := range form {
			var ok bool
			if s, ok = p.read(v, s); !ok {
				return 0, false
			}
		}
		if s != "" {
			return 0, false
		}
		return p.instant(show)
	})
	return show.fold(r, x), nil
}
