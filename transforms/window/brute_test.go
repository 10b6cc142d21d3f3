package window

import (
	"math/big"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/zone"
)

// zones with what is odd about them: changes at 2:00, at 1:00 UTC, at midnight, none, a missing date, a
// change on the last Thursday, one minute past midnight, half an hour, the far ends of the date line, a
// date that was there twice.
var zones = []string{
	"UTC", "America/New_York", "Europe/Lisbon", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "Africa/Cairo",
	"America/St_Johns", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/Havana",
	"Asia/Gaza", "America/Sitka", "Asia/Manila", "Africa/Monrovia", "Asia/Tehran", "Atlantic/Azores",
}

func load(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := zone.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// beginnings lists the first instants of all units within [from, to), found by reading the clock of the
// zone every hour, every minute of an hour in which the date or the offset changes, every second of a minute
// in which the unit does, and noting each unit that is later than all before.
func beginnings(u Unit, z *time.Location, from, to time.Time) (out []event.Time) {
	number := func(x time.Time) int64 { // of the unit, ascending
		y, m, d := x.In(z).Date()
		days := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
		switch u {
		case Week:
			return floorDiv(days+3, 7) // 1970-01-01 was a Thursday
		case Month:
			return int64(y)*12 + int64(m)
		}
		return days
	}
	offset := func(x time.Time) int {
		_, n := x.In(z).Zone()
		return n
	}
	last := number(from)
	for x := from; x.Before(to); x = x.Add(time.Minute) {
		for y := x.Add(time.Hour); number(x) == last && number(y) == last && offset(x) == offset(y); y = y.Add(time.Hour) {
			x = y
		}
		if number(x) <= last {
			continue
		}
		y := x.Add(-time.Minute)
		for number(y) <= last {
			y = y.Add(time.Second)
		}
		last = number(y)
		out = append(out, event.FromGo(y))
	}
	return out
}

func floorDiv(a, b int64) int64 {
	q, _ := new(big.Int).DivMod(big.NewInt(a), big.NewInt(b), new(big.Int))
	return q.Int64()
}

// TestCalendarAgainstTheClock: every calendar window, as of instants in and around the changes of zones, is
// that between the beginnings that the zone's clock shows.
func TestCalendarAgainstTheClock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	spans := map[string][]time.Time{}
	for _, name := range zones {
		// A year of today, one before 1970, one of summer and one of war time, and what follows odd changes.
		spans[name] = []time.Time{
			time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1942, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(1996, 3, 1, 0, 0, 0, 0, time.UTC),
		}
	}
	spans["Pacific/Apia"] = append(spans["Pacific/Apia"], time.Date(2011, 9, 1, 0, 0, 0, 0, time.UTC))
	spans["America/Sitka"] = append(spans["America/Sitka"], time.Date(1867, 7, 1, 0, 0, 0, 0, time.UTC))
	spans["Asia/Manila"] = append(spans["Asia/Manila"], time.Date(1844, 10, 1, 0, 0, 0, 0, time.UTC))
	spans["America/Sao_Paulo"] = append(spans["America/Sao_Paulo"], time.Date(2017, 9, 1, 0, 0, 0, 0, time.UTC))
	spans["America/St_Johns"] = append(spans["America/St_Johns"], time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC))
	months := 14
	if os.Getenv("PENSTOCK_FULL") == "" {
		months = 5
	}
	for _, name := range zones {
		z := load(t, name)
		for _, from := range spans[name] {
			for u := Day; u <= Month; u++ {
				checkCalendar(t, r, u, z, from, from.AddDate(0, months, 0))
			}
		}
	}
}

func checkCalendar(t *testing.T, r *rand.Rand, u Unit, z *time.Location, from, to time.Time) {
	t.Helper()
	begins := beginnings(u, z, from, to)
	if len(begins) < 3 {
		t.Fatalf("%d of unit %s begin in %s within %s and %s", len(begins), u, z, from, to)
	}
	last, current := Spec{Kind: Calendar, Unit: u, Zone: z}, Spec{Kind: Calendar, Unit: u, Zone: z, Current: true}
	for i := 1; i+1 < len(begins); i++ {
		before, begin, next := begins[i-1], begins[i], begins[i+1]
		for k := range 6 {
			at := []event.Time{begin, begin + 1, next - 1, 0, 0, 0}[k]
			if k > 2 {
				at = begin + event.Time(r.Int64N(int64(next-begin)))
			}
			if start, end := last.Range(at); start != before || end != begin {
				t.Fatalf("%s as of %s is [%s, %s), want [%s, %s)", last, at, start, end, before, begin)
			}
			if start, end := current.Range(at); start != begin || end != at {
				t.Fatalf("%s as of %s is [%s, %s), want [%s, %s)", current, at, start, end, begin, at)
			}
			for _, s := range []Spec{last, current} {
				start, _ := s.Range(at)
				if d, ok := s.Reach(); !ok || at.Sub(start) > d && from.Year() >= 1900 {
					t.Fatalf("%s as of %s reaches back to %s, and says at most %s", s, at, start, d)
				}
			}
		}
	}
}

// kinds makes a random window of each kind of plain arithmetic.
func kinds(r *rand.Rand, most event.Duration) []Spec {
	d := func() event.Duration { return 1 + event.Duration(r.Int64N(int64(most))) }
	a, b := d(), d()
	return []Spec{
		{Kind: Rolling, Size: d()},
		{Kind: Tumbling, Size: d()},
		{Kind: Tumbling, Size: d(), Current: true},
		{Kind: Hopping, Size: d(), Every: d()},
		{Kind: Offset, From: max(a, b) + 1, To: min(a, b)},
	}
}

// TestRangeAgainstIntegers: windows of plain arithmetic over small numbers hold exactly those instants that
// their definitions name, one by one.
func TestRangeAgainstIntegers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		at := event.Time(r.Int64N(60) - 30)
		for _, s := range kinds(r, 12) {
			start, end := s.Range(at)
			for x := at - 60; x < at+20; x++ {
				if got, want := x >= start && x < end, holds(s, x, at); got != want {
					t.Fatalf("%s as of %d is [%d, %d), and %d in it is %v", s, at, start, end, x, want)
				}
			}
			if d, ok := s.Reach(); !ok || at.Sub(start) > d {
				t.Fatalf("%s as of %d reaches back to %d, and says at most %d", s, at, start, d)
			}
		}
	}
}

// holds is the definition of each window.
func holds(s Spec, x, at event.Time) bool {
	n := func(x event.Time, d event.Duration) int64 { return floorDiv(int64(x), int64(d)) }
	switch s.Kind {
	case Rolling:
		return x < at && at-x <= event.Time(s.Size)
	case Tumbling:
		if s.Current {
			return n(x, s.Size) == n(at, s.Size) && x < at
		}
		return n(x, s.Size) == n(at, s.Size)-1
	case Hopping: // the span that ends at the last hop
		end := event.Time(n(at, s.Every)) * event.Time(s.Every)
		return x < end && end-x <= event.Time(s.Size)
	}
	return at-x <= event.Time(s.From) && at-x > event.Time(s.To)
}

// TestRangeAtTheEndsOfTime: nothing wraps around.
func TestRangeAtTheEndsOfTime(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	ny := load(t, "America/New_York")
	for range 2000 {
		for _, at := range []event.Time{
			event.MinTime, event.MinTime + 1, event.MinTime + event.Time(r.Int64N(1<<62)), event.MaxTime, event.MaxTime - 1,
			event.MaxTime - event.Time(r.Int64N(1<<62)), event.Time(r.Uint64()),
		} {
			specs := append(kinds(r, 1<<62), kinds(r, event.Day)...)
			for u := Day; u <= Month; u++ {
				specs = append(specs, Spec{Kind: Calendar, Unit: u, Zone: ny}, Spec{Kind: Calendar, Unit: u, Zone: ny, Current: true})
			}
			for _, s := range specs {
				start, end := s.Range(at)
				if start > end || end > at {
					t.Fatalf("%s as of %d is [%d, %d)", s, at, start, end)
				}
				if d, ok := s.Reach(); !ok || d < 0 || at.Sub(start) > d {
					t.Fatalf("%s as of %d reaches back to %d, and says at most %d", s, at, start, d)
				}
			}
		}
	}
}

// TestCalendarMovesForward: as time goes on, windows never move back, in every zone there is.
func TestCalendarMovesForward(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	names := zone.Names()
	if testing.Short() {
		names = zones
	}
	for _, name := range names {
		s := Spec{Kind: Calendar, Unit: Unit(1 + r.IntN(3)), Zone: load(t, name)}
		at := event.FromGo(time.Date(1850+r.IntN(190), 1, 1, 0, 0, 0, 0, time.UTC))
		start, end := s.Range(at)
		for range 300 {
			at += 1 + event.Time(r.Int64N(int64(3*event.Day)))
			a, b := s.Range(at)
			if a < start || b < end || a >= b {
				t.Fatalf("%s as of %s is [%s, %s), and was [%s, %s) before", s, at, a, b, start, end)
			}
			start, end = a, b
		}
	}
}

func TestReachOfTheRest(t *testing.T) {
	for _, s := range []Spec{{Kind: Lifetime}, {Kind: LastN, N: 3}, {Kind: Session, Size: 5}, {Kind: Session, Size: 5, Closed: true}} {
		if d, ok := s.Reach(); ok || d != 0 {
			t.Errorf("%s reaches %s %v", s, d, ok)
		}
		if start, end := s.Range(7); start != event.MinTime || end != 7 {
			t.Errorf("%s as of 7 is [%d, %d)", s, start, end)
		}
	}
}

func FuzzRange(f *testing.F) {
	f.Add(int64(0), int64(3600e6), int64(60e6), uint8(0))
	f.Fuzz(func(t *testing.T, at, size, every int64, kind uint8) {
		if size <= 0 || every <= 0 {
			t.Skip()
		}
		z := load(t, zones[int(kind/6)%len(zones)])
		a, b := event.Duration(size), event.Duration(every)
		s := []Spec{
			{Kind: Rolling, Size: a},
			{Kind: Tumbling, Size: a, Current: kind%2 == 1},
			{Kind: Hopping, Size: a, Every: b},
			{Kind: Offset, From: max(a, b), To: min(a, b) - 1},
			{Kind: Calendar, Unit: Unit(1 + size%3), Zone: z},
			{Kind: Calendar, Unit: Unit(1 + size%3), Zone: z, Current: true},
		}[kind%6]
		start, end := s.Range(event.Time(at))
		if start > end || end > event.Time(at) {
			t.Fatalf("%s as of %d is [%d, %d)", s, at, start, end)
		}
		if d, ok := s.Reach(); !ok || event.Time(at).Sub(start) > d && (s.Kind != Calendar || event.Time(at).Go().Year() >= 1900) {
			t.Fatalf("%s as of %d reaches back to %d, and says at most %d", s, at, start, d)
		}
		if s.Kind == Calendar && start > minCalendar && at < int64(maxCalendar) && !s.Current {
			// The window as of its own end is itself.
			if a, b := s.Range(end); a != start || b != end {
				t.Fatalf("%s as of %d is [%d, %d), and as of its end [%d, %d)", s, at, start, end, a, b)
			}
		}
	})
}
