package expr

import (
	"math"
	"sort"
	"sync"
	"time"

	"github.com/penstock-ml/penstock/event"
)

const (
	secondMicros = int64(event.Second)
	minuteMicros = int64(event.Minute)
	hourMicros   = int64(event.Hour)
	dayMicros    = int64(event.Day)

	// Instants that four digits of a year can write: [minWritten, maxWritten).
	minWritten = -62167219200 * secondMicros // 0000-01-01
	maxWritten = 253402300800 * secondMicros // 10000-01-01
)

// floorDiv is a/b rounded down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// civil is the date of a day counted from 1970-01-01, in the Gregorian calendar without an end (H. Hinnant,
// "chrono-compatible low-level date algorithms").
func civil(days int64) (year, month, day int64) {
	z := days + 719468 // from 0000-03-01
	era := floorDiv(z, 146097)
	ofEra := z - era*146097
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	dayOfYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100) // from 1 March
	shifted := (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*shifted+2)/5 + 1
	year, month = yearOfEra+era*400, shifted+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

// daysOf is the day of a date; the inverse of civil.
func daysOf(year, month, day int64) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	era := floorDiv(year, 400)
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

// weekday is 1 (Monday) to 7 (Sunday).
func weekday(days int64) int64 {
	days = days%7 + 3 // 1970-01-01 was a Thursday
	return days - 7*floorDiv(days, 7) + 1
}

// isoWeek is the week of ISO 8601 and the year it belongs to: that of its Thursday.
func isoWeek(days int64) (year, week int64) {
	thursday := days - weekday(days) + 4
	year, _, _ = civil(thursday)
	return year, (thursday-daysOf(year, 1, 1))/7 + 1
}

// clock tells the offset from UTC in one zone. It holds the changes of many years, for the zone's rules are
// slow to ask.
type clock struct {
	zone    *time.Location
	starts  []int64 // when the offsets begin; the first is the beginning of what is held
	offsets []int64
	end     int64
}

// What clocks hold.
var (
	clockFrom = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	clockTo   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	clocks    sync.Map // *time.Location → *clock
)

// clockOf returns the clock of a zone; nil, for UTC, is the clock that shows UTC.
func clockOf(zone *time.Location) *clock {
	if zone == nil {
		return nil
	}
	if c, ok := clocks.Load(zone); ok {
		return c.(*clock)
	}
	c := &clock{zone: zone}
	for t := clockFrom; t.Before(clockTo); {
		_, seconds := t.In(zone).Zone()
		offset := int64(seconds) * secondMicros
		if n := len(c.offsets); n == 0 || c.offsets[n-1] != offset {
			c.starts, c.offsets = append(c.starts, t.UnixMicro()), append(c.offsets, offset)
		}
		_, end := t.In(zone).ZoneBounds()
		if end.IsZero() {
			break
		}
		if !end.After(t) { // on the last day of a leap year, rules without a list of changes end at its beginning
			end = time.Date(t.UTC().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		t = end
	}
	c.end = clockTo.UnixMicro()
	clocks.Store(zone, c)
	return c
}

// at is the offset at an instant and since when it holds, as far back as that is known.
func (c *clock) at(t int64) (offset, since int64) {
	if c == nil {
		return 0, math.MinInt64
	}
	if t < c.starts[0] || t >= c.end {
		start, _ := time.UnixMicro(t).In(c.zone).ZoneBounds()
		_, seconds := time.UnixMicro(t).In(c.zone).Zone()
		since = math.MinInt64
		if !start.IsZero() {
			since = start.UnixMicro()
		}
		return int64(seconds) * secondMicros, since
	}
	i := sort.Search(len(c.starts), func(i int) bool { return c.starts[i] > t }) - 1
	return c.offsets[i], c.starts[i]
}

// local is what the clock shows at an instant, in microseconds of a clock of UTC; saturating.
func (c *clock) local(t int64) int64 {
	if c == nil {
		return t
	}
	offset, _ := c.at(t)
	return int64(event.Time(t).Add(event.Duration(offset)))
}

// instant is the first instant at which the clock shows local, or would have without the change that makes
// it skip that.
func (c *clock) instant(local int64) int64 {
	if c == nil {
		return local
	}
	back := func(offset int64) int64 { return int64(event.Time(local).Add(event.Duration(-offset))) }
	before, _ := c.at(int64(event.Time(local).Add(-event.Day)))
	after, _ := c.at(int64(event.Time(local).Add(event.Day)))
	first := back(before)
	if o, _ := c.at(first); o == before || before == after {
		return first
	}
	if second := back(after); second != first {
		if o, _ := c.at(second); o == after {
			return second
		}
	}
	return first
}
