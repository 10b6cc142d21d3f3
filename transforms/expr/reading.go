package expr

import (
	"strings"
)

// reading gathers what strptime finds in a string.
type reading struct {
	year, month, day, ofYear     int64 // ofYear -1: not told
	hour, minute, second, micros int64
	hour12, afternoon            int64 // hour12 -1: not told
	zone, unix                   int64 // seconds; below -1<<60: not told
}

// number reads up to max digits, one at least.
func number(s string, max int) (n int64, width int, rest string, ok bool) {
	for width < len(s) && width < max && s[width] >= '0' && s[width] <= '9' {
		n = 10*n + int64(s[width]-'0')
		width++
	}
	return n, width, s[width:], width > 0
}

// read takes one verb off the head of s.
func (p *reading) read(v verb, s string) (rest string, ok bool) {
	within := func(into *int64, digits int, least, most int64) (string, bool) {
		n, _, rest, ok := number(s, digits)
		*into = n
		return rest, ok && n >= least && n <= most
	}
	switch v.is {
	case 0:
		return strings.CutPrefix(s, v.text)
	case 'Y':
		n, width, rest, ok := number(s, 4)
		p.year = n
		return rest, ok && width == 4
	case 'y':
		rest, ok := within(&p.year, 2, 0, 99)
		if p.year += 1900; p.year < 1969 {
			p.year += 100
		}
		return rest, ok
	case 'm':
		return within(&p.month, 2, 1, 12)
	case 'd':
		return within(&p.day, 2, 1, 31)
	case 'j':
		return within(&p.ofYear, 3, 1, 366)
	case 'H':
		return within(&p.hour, 2, 0, 23)
	case 'I':
		return within(&p.hour12, 2, 1, 12)
	case 'M':
		return within(&p.minute, 2, 0, 59)
	case 'S':
		return within(&p.second, 2, 0, 59)
	case 'f':
		n, width, rest, ok := number(s, 6)
		for ; width < 6; width++ {
			n *= 10
		}
		p.micros = n
		return rest, ok
	case 'p':
		rest, half, ok := word(s, []string{"AM", "PM"}, 2)
		p.afternoon = half
		return rest, ok
	case 'b':
		rest, month, ok := word(s, monthNames[:], 3)
		p.month = month + 1
		return rest, ok
	case 'B':
		rest, month, ok := word(s, monthNames[:], 0)
		p.month = month + 1
		return rest, ok
	case 'z':
		return p.readZone(s)
	}
	return p.readUnix(s) // 's'
}

// word takes one of names, in any case, off s: its first width letters, or all of it.
func word(s string, names []string, width int) (rest string, i int64, ok bool) {
	for i, name := range names {
		if width > 0 {
			name = name[:width]
		}
		if len(s) >= len(name) && strings.EqualFold(s[:len(name)], name) {
			return s[len(name):], int64(i), true
		}
	}
	return s, 0, false
}

// readZone reads Z, +hh, +hhmm or +hh:mm.
func (p *reading) readZone(s string) (rest string, ok bool) {
	if rest, ok := strings.CutPrefix(s, "Z"); ok {
		p.zone = 0
		return rest, true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		return s, false
	}
	hours, width, rest, _ := number(s[1:], 2)
	if width != 2 || hours > 23 {
		return s, false
	}
	p.zone = hours * 3600
	if minutes, width, behind, _ := number(strings.TrimPrefix(rest, ":"), 2); width == 2 && minutes < 60 {
		p.zone, rest = p.zone+minutes*60, behind
	}
	if s[0] == '-' {
		p.zone = -p.zone
	}
	return rest, true
}

// readUnix reads seconds since 1970, with a sign.
func (p *reading) readUnix(s string) (rest string, ok bool) {
	body, negative := strings.CutPrefix(s, "-")
	n, _, rest, ok := number(body, 12)
	if negative {
		n = -n
	}
	p.unix = n
	return rest, ok
}

// instant is the instant that was read; without a zone of its own, by the clock.
func (p *reading) instant(show *clock) (int64, bool) {
	if p.unix > -1<<60 {
		t := p.unix*secondMicros + p.micros
		return t, t >= minWritten && t < maxWritten
	}
	days := daysOf(p.year, p.month, p.day)
	if p.ofYear >= 0 {
		days = daysOf(p.year, 1, 1) + p.ofYear - 1
		if y, _, _ := civil(days); y != p.year {
			return 0, false
		}
	} else if _, m, _ := civil(days); m != p.month {
		return 0, false // 30 February
	}
	hour := p.hour
	if p.hour12 >= 0 {
		hour = p.hour12%12 + 12*p.afternoon
	}
	local := days*dayMicros + hour*hourMicros + p.minute*minuteMicros + p.second*secondMicros + p.micros
	var t int64
	if p.zone > -1<<60 {
		t = local - p.zone*secondMicros
	} else {
		t = show.instant(local)
	}
	return t, t >= minWritten && t < maxWritten
}
