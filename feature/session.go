package feature

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/window"
)

// sessionScan finds one session of an entity's rows: it is shown spans of rows from the latest to the
// earliest, by their last row, until the session is complete.
type sessionScan struct {
	gap    event.Duration
	closed bool
	asOf   event.Time
	lo, hi event.Time // of the session under way
	any    bool
	done   bool
}

// add shows rows that span [from, to] without a gap longer than the session's between them.
func (s *sessionScan) add(from, to event.Time) {
	switch {
	case s.done:
	case !s.any:
		s.any, s.lo, s.hi = true, from, to
	case s.lo.Sub(to) <= s.gap:
		s.lo = min(s.lo, from)
	case s.complete():
		s.done = true
	default: // still open: the one before it is the last closed one
		s.lo, s.hi = from, to
	}
}

// complete tells whether the session under way is the one asked for, if nothing joins it.
func (s *sessionScan) complete() bool { return !s.closed || s.asOf.Sub(s.hi) > s.gap }

// session finds where a session window lies; start is not before end if there is none. times are the
// rows of the head, from the latest to the earliest.
func (r *Reader) session(sc *viewScan, w window.Spec, times []event.Time, root *node) (start, end event.Time, err error) {
	s := &sessionScan{gap: w.Size, closed: w.Closed, asOf: sc.asOf}
	if root != nil {
		if times, err = r.scanSession(sc, s, times, root); err != nil {
			return 0, 0, err
		}
	}
	for _, t := range times {
		s.add(t, t)
	}
	if !s.any || !s.done && !s.complete() {
		return 0, 0, nil
	}
	return s.lo, s.hi + 1, nil
}

// scanSession shows s the rows below n, and those of the head at their places among them; it returns
// what is left of these.
func (r *Reader) scanSession(sc *viewScan, s *sessionScan, times []event.Time, n *node) ([]event.Time, error) {
	for i := len(n.entries) - 1; i >= 0 && !s.done; i-- {
		e := &n.entries[i]
		if e.minT >= sc.asOf {
			continue
		}
		if e.maxT < sc.asOf && e.gap <= s.gap && sc.usable(e) {
			times = s.before(times, e.maxT)
			s.add(e.minT, e.maxT)
			continue
		}
		if n.level > 0 {
			child, err := r.node(e)
			if err != nil {
				return nil, err
			}
			if times, err = r.scanSession(sc, s, times, child); err != nil {
				return nil, err
			}
			continue
		}
		var err error
		if times, err = r.scanLeafSession(sc, s, times, e); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// before shows s the head's rows that are later than t.
func (s *sessionScan) before(times []event.Time, t event.Time) []event.Time {
	for len(times) > 0 && times[0] > t {
		s.add(times[0], times[0])
		times = times[1:]
	}
	return times
}

func (r *Reader) scanLeafSession(sc *viewScan, s *sessionScan, times []event.Time, e *entry) ([]event.Time, error) {
	b, err := r.leaf(e.id, false)
	if err != nil {
		return nil, err
	}
	sc.times = sc.times[:0]
	for len(b) > 0 {
		if b, err = sc.q.v.c.next(b, &sc.row); err != nil {
			return nil, fmt.Errorf("read block %d: %w", e.id, err)
		}
		if sc.counts() {
			sc.times = append(sc.times, sc.row.Time)
		}
	}
	slices.Reverse(sc.times)
	for _, t := range sc.times {
		times = s.before(times, t)
		s.add(t, t)
	}
	return times, nil
}

// headTimes lists the head's rows of the past that is asked for, from the latest to the earliest.
func (sc *viewScan) headTimes(rows []byte) ([]event.Time, error) {
	times := []event.Time{}
	for len(rows) > 0 {
		var err error
		if rows, err = sc.q.v.c.next(rows, &sc.row); err != nil {
			return nil, err
		}
		if sc.counts() {
			times = append(times, sc.row.Time)
		}
	}
	slices.SortFunc(times, func(a, b event.Time) int { return cmp.Compare(b, a) })
	return times, nil
}
