package oracle

import (
	"cmp"
	"math/big"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/window"
)

// span is the half-open interval of time [start, end) that a window covers; start is nil for one without
// bound. Big integers do not overflow at the ends of time.
type span struct{ start, end *big.Int }

func instant(t event.Time) *big.Int { return big.NewInt(int64(t)) }

func plus(a *big.Int, d event.Duration) *big.Int { return new(big.Int).Add(a, big.NewInt(int64(d))) }

func minus(a *big.Int, d event.Duration) *big.Int { return new(big.Int).Sub(a, big.NewInt(int64(d))) }

// aligned is the greatest multiple of d at or before t.
func aligned(t *big.Int, d event.Duration) *big.Int {
	n := big.NewInt(int64(d))
	return n.Mul(n, new(big.Int).Div(t, n)) // Euclidean: floors
}

func (s span) holds(t event.Time) bool {
	return (s.start == nil || compare(t, s.start) >= 0) && compare(t, s.end) < 0
}

// compare compares an instant with a number that may lie beyond all instants.
func compare(t event.Time, n *big.Int) int {
	if n.IsInt64() {
		return cmp.Compare(int64(t), n.Int64())
	}
	return -n.Sign()
}

// spanOf is the time that w covers as of t; of LastN and Session all before it, from which rowsIn picks.
func spanOf(w window.Spec, t event.Time) span {
	now := instant(t)
	switch w.Kind {
	case window.Rolling:
		return span{minus(now, w.Size), now}
	case window.Tumbling:
		begin := aligned(now, w.Size)
		if w.Current {
			return span{begin, now}
		}
		return span{minus(begin, w.Size), begin}
	case window.Hopping:
		end := aligned(now, w.Every)
		return span{minus(end, w.Size), end}
	case window.Calendar:
		begin := unitBegin(w.Unit, w.Zone, t)
		if w.Current {
			return span{instant(begin), now}
		}
		return span{instant(unitBegin(w.Unit, w.Zone, begin-1)), instant(begin)}
	case window.Offset:
		return span{minus(now, w.From), minus(now, w.To)}
	case window.Lifetime, window.LastN, window.Session:
		return span{nil, now}
	}
	panic("oracle: unknown kind of window")
}

// rowsIn picks the rows, which are in tie order and before asOf, that w covers. For LastN only those rows
// exist that pass the filter; sessions are made of all.
func rowsIn(w window.Spec, filter int, past []Row, asOf event.Time) []Row {
	var in []Row
	s := spanOf(w, asOf)
	for _, r := range past {
		if s.holds(r.Time) && (w.Kind != window.LastN || filter < 0 || passes(r, filter)) {
			in = append(in, r)
		}
	}
	switch w.Kind {
	case window.LastN:
		return in[max(0, len(in)-w.N):]
	case window.Session:
		return session(w, in, asOf)
	}
	return in
}

// session cuts rows into runs whose neighbours are at most the gap apart, and takes the last run, or the
// last one that no row from asOf on can still join.
func session(w window.Spec, rows []Row, asOf event.Time) []Row {
	var runs [][]Row
	for i, r := range rows {
		if i == 0 || apart(rows[i-1].Time, r.Time, w.Size) {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], r)
	}
	if n := len(runs); w.Closed && n > 0 {
		last := runs[n-1]
		if !apart(last[len(last)-1].Time, asOf, w.Size) {
			runs = runs[:n-1]
		}
	}
	if len(runs) == 0 {
		return nil
	}
	return runs[len(runs)-1]
}

// apart tells whether b is more than gap after a.
func apart(a, b event.Time, gap event.Duration) bool {
	return b > a && uint64(b)-uint64(a) > uint64(gap) // the difference of two int64 fits
}

// unitBegin is the beginning of the calendar unit that t lies in: units begin where their first date does.
// Where RFC 3339 cannot write a year (and some days beside), every unit is a day of UTC.
func unitBegin(u window.Unit, zone *time.Location, t event.Time) event.Time {
	first, last := time.Date(0, 1, 3, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 29, 0, 0, 0, 0, time.UTC)
	if t.Go().Before(first) || t.Go().After(last) {
		day := t / event.Time(event.Day)
		if t < 0 && t%event.Time(event.Day) != 0 {
			day--
		}
		if day < event.MinTime/event.Time(event.Day) {
			return event.MinTime
		}
		return day * event.Time(event.Day)
	}
	year, month, day := t.Go().In(zone).Date()
	// Where a clock is set back over midnight, a date may begin twice: so the next unit may have begun.
	for _, step := range []int{1, 0, -1} {
		date := time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
		switch u {
		case window.Day:
			date = date.AddDate(0, 0, step)
		case window.Week:
			for date.Weekday() != time.Monday {
				date = date.AddDate(0, 0, -1)
			}
			date = date.AddDate(0, 0, 7*step)
		case window.Month:
			date = time.Date(year, month+time.Month(step), 1, 12, 0, 0, 0, time.UTC)
		}
		if begin := dateBegin(zone, date); begin <= t {
			return begin
		}
	}
	panic("oracle: no unit of the calendar begins before " + t.String())
}

type dateKey struct {
	zone *time.Location
	unix int64
}

// dates remembers what dateBegin found.
var dates = newMemo[dateKey, event.Time]()

// dateBegin is the first instant at which the calendar of the zone shows the date of noon (in UTC) or a
// later one, found by looking at every minute around it, and then at every second.
func dateBegin(zone *time.Location, noon time.Time) event.Time {
	return dates.get(dateKey{zone, noon.Unix()}, func() event.Time {
		reached := func(x time.Time) bool {
			y, m, d := x.In(zone).Date()
			return !time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Before(noon)
		}
		x := noon.Add(-40 * time.Hour)
		for !reached(x) {
			x = x.Add(time.Minute)
		}
		for x = x.Add(-time.Minute); !reached(x); x = x.Add(time.Second) {
		}
		return event.FromGo(x)
	})
}
