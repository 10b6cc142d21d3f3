// Package window computes which instants a window covers. Pure: no clocks, no I/O.
package window

import (
	"fmt"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// Kind is a kind of window. The numbers are part of a view's version: only append.
type Kind uint8

// The kinds of windows.
const (
	Lifetime Kind = iota + 1 // (-inf, T)
	Rolling                  // [T-Size, T)
	LastN                    // the N latest rows before T
	Tumbling                 // the last complete [k·Size, (k+1)·Size) as of T, aligned to 1970-01-01T00:00Z
	Hopping                  // the last complete span of Size that ends at a multiple of Every
	Session                  // rows at most Size apart: the session of the last row before T
	Calendar                 // the last complete Unit of a zone's calendar
	Offset                   // [T-From, T-To)
)

// Unit is a span of the calendar.
type Unit uint8

// The units of the calendar. Weeks are ISO weeks: they begin on Monday.
const (
	Day Unit = iota + 1
	Week
	Month
)

var unitNames = [...]string{"", "day", "week", "month"}

// String is the name that users write.
func (u Unit) String() string { return unitNames[u] }

// Spec is one window as declared. Equal windows are equal Specs.
type Spec struct {
	Kind    Kind
	Size    event.Duration // of Rolling, Tumbling, Hopping; the gap of Session
	Every   event.Duration // of Hopping
	From    event.Duration // of Offset: begins this long before T
	To      event.Duration // of Offset: ends this long before T
	N       int            // of LastN
	Unit    Unit           // of Calendar
	Zone    *time.Location // of Calendar; from zone.Load
	Current bool           // Tumbling, Calendar: the one still filling, up to T
	Closed  bool           // Session: the last one whose gap has passed by T
}

// Range returns the half-open interval [start, end) that the window covers as of t. A LastN covers
// all that is before t: it takes the latest N of it; so does a Session, whose rows decide.
func (s Spec) Range(t event.Time) (start, end event.Time) {
	switch s.Kind {
	case Rolling:
		return t.Add(-s.Size), t
	case Tumbling:
		floor := Floor(t, s.Size)
		if s.Current {
			return floor, t
		}
		return floor.Add(-s.Size), floor
	case Hopping:
		end = Floor(t, s.Every)
		return end.Add(-s.Size), end
	case Calendar:
		floor := s.Unit.floor(t, s.Zone)
		if s.Current {
			return floor, t
		}
		return s.Unit.floor(floor.Add(-1), s.Zone), floor
	case Offset:
		return t.Add(-s.From), t.Add(-s.To)
	}
	return event.MinTime, t
}

// Reach is how far before the instant asked for the window looks at most; ok is false if without bound.
func (s Spec) Reach() (d event.Duration, ok bool) {
	switch s.Kind {
	case Rolling:
		return s.Size, true
	case Tumbling:
		if s.Current {
			return s.Size, true
		}
		return addSpans(s.Size, s.Size), true
	case Hopping:
		return addSpans(s.Size, s.Every), true
	case Calendar:
		// The longest there is, and two hours of a zone's changes in each. (Alaska's day of 48 hours in 1867, and
		// Manila's missing one before, are older than any event.)
		d = [...]event.Duration{0, event.Day, event.Week, 31 * event.Day}[s.Unit] + 2*event.Hour
		if s.Current {
			return d, true
		}
		return 2 * d, true
	case Offset:
		return s.From, true
	}
	return 0, false
}

func addSpans(a, b event.Duration) event.Duration { return event.Time(a).Add(b).Sub(0) }

// Aligned tells whether the window's spans follow one another by the clock alone, so that a longer
// window can be cut into them: Tumbling, Hopping and Calendar.
func (s Spec) Aligned() bool {
	return s.Kind == Tumbling || s.Kind == Hopping || s.Kind == Calendar
}

// Floor is the greatest multiple of size at or before t.
func Floor(t event.Time, size event.Duration) event.Time {
	r := t % event.Time(size)
	if r < 0 {
		r += event.Time(size)
	}
	if t < event.MinTime+r {
		return event.MinTime
	}
	return t - r
}

// floor is the beginning of the unit that t lies in, in a zone: the greatest one at or before t.
func (u Unit) floor(t event.Time, zone *time.Location) event.Time {
	if t < minCalendar || t > maxCalendar {
		return Floor(t, event.Day) // where RFC 3339 cannot write a year, every unit is a day of UTC
	}
	year, month, day := t.Go().In(zone).Date()
	switch u {
	case Week:
		weekday := time.Date(year, month, day, 12, 0, 0, 0, time.UTC).Weekday()
		day -= (int(weekday) + 6) % 7
	case Month:
		day = 1
	}
	// A clock that is set back over midnight shows a date again after the next one has begun.
	next := [...]int{0, 1, 7, 0}[u]
	if u == Month {
		month++
	}
	if begin := StartOfDate(year, month, day+next, zone); begin <= t {
		return begin
	}
	if u == Month {
		month--
	}
	return StartOfDate(year, month, day, zone)
}

// The calendar reaches as far as RFC 3339 can write, years 0 to 9999, and a bit of slack for zones.
var (
	minCalendar = event.FromGo(time.Date(0, 1, 3, 0, 0, 0, 0, time.UTC))
	maxCalendar = event.FromGo(time.Date(9999, 12, 29, 0, 0, 0, 0, time.UTC))
)

// StartOfDate is the first instant whose date in the zone is the one given or a later one. A change of the
// clock may skip midnight, repeat it, or skip the whole date.
func StartOfDate(year int, month time.Month, day int, zone *time.Location) event.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	// No zone is further than this from UTC. From there, look at each span of a constant offset.
	for x := midnight.Add(-36 * time.Hour); ; {
		local := x.In(zone)
		_, offset := local.Zone()
		begin := midnight.Add(-time.Duration(offset) * time.Second)
		if begin.Before(x) {
			begin = x // the change itself skipped midnight
		}
		_, end := local.ZoneBounds()
		if !end.IsZero() && !end.After(x) {
			// Where the standard library applies the rule behind a zone's table, leap years end a day early.
			end = x.Truncate(24 * time.Hour).Add(24 * time.Hour)
		}
		if end.IsZero() || begin.Before(end) {
			return event.FromGo(begin)
		}
		x = end
	}
}

// String is the form that users read: "1h", "lifetime", "last 10", "tumbling 1h".
func (s Spec) String() string {
	text := "lifetime"
	switch s.Kind {
	case Rolling:
		text = s.Size.String()
	case LastN:
		text = fmt.Sprintf("last %d", s.N)
	case Tumbling:
		text = "tumbling " + s.Size.String()
	case Hopping:
		text = "hopping " + s.Size.String() + " every " + s.Every.String()
	case Session:
		text = "session " + s.Size.String()
	case Calendar:
		text = "calendar " + s.Unit.String() + " in " + s.Zone.String()
	case Offset:
		text = "from " + s.From.String() + " to " + s.To.String()
	}
	if s.Current {
		text += " current"
	}
	if s.Closed {
		text += " closed"
	}
	return text
}
