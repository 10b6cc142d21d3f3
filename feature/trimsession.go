package feature

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/window"
)

// A session may begin long before the rows that windows with a bound need. Any past from the horizon on has the rows
// that lie before it and had arrived by then, those that arrived later perhaps, and ones that are still to come:
// none of these is older than t.old, but for a partition that was idle and comes back, whose rows are no longer
// joined with what was trimmed. So a session's rows are found in chains of all rows.
//
//   - The session of the last event is that of the newest row that had arrived, or a later one: rows stay from the
//     beginning of its chain on. What comes at t.old or later may join what lies up to a gap before it.
//   - The last closed session is the newest chain with a row that had arrived which nothing to come can join, or a
//     later one.
//
// Without such a row, all stay.

// sessionSpecs lists the session windows of a view.
func sessionSpecs(v *pipeline.View) (specs []window.Spec) {
	for _, f := range v.Features {
		if f.Window.Kind == window.Session && !slices.Contains(specs, f.Window) {
			specs = append(specs, f.Window)
		}
	}
	return specs
}

// spanRow is a row of a head as chains see it.
type spanRow struct {
	at      event.Time
	arrived bool // by the horizon
}

// chainWalk shows the rows of an entity, from the latest to the earliest, as spans without a gap.
type chainWalk struct {
	t     *trimmer
	gap   event.Duration
	below event.Time // rows before it
	rows  []spanRow  // of the head, from the latest to the earliest
	show  func(from, to event.Time, arrived bool) (more bool)
	done  bool
}

// findSessions keeps the rows that session windows need.
func (t *trimmer) findSessions(specs []window.Spec, root *node, rows []byte) error {
	if len(specs) == 0 {
		return nil
	}
	var head []spanRow
	for b := rows; len(b) > 0; {
		row, at, arrival, err := splitTimes(b)
		if err != nil {
			return err
		}
		b = b[len(row):]
		head = append(head, spanRow{at, arrival <= t.horizon})
	}
	slices.SortFunc(head, func(a, b spanRow) int { return cmp.Compare(b.at, a.at) })
	old := t.old
	for _, s := range specs {
		w := &chainWalk{t: t, gap: s.Size, rows: head}
		find := w.last
		if s.Closed {
			find = w.closed
		}
		from, err := find(root)
		if err != nil {
			return err
		}
		old = min(old, from)
	}
	t.old = old
	return nil
}

// last is from where on rows stay for the session of the last event.
func (w *chainWalk) last(root *node) (event.Time, error) {
	// The chain of the newest row that had arrived: others may lie in it before that one is met.
	lo, found := event.MaxTime, false
	err := w.walk(root, w.t.horizon, func(from, to event.Time, arrived bool) bool {
		if lo != event.MaxTime && lo.Sub(to) > w.gap {
			if found {
				return false
			}
			lo = event.MaxTime
		}
		lo, found = min(lo, from), found || arrived
		return true
	})
	if err != nil || !found {
		return event.MinTime, err
	}
	if lo < w.t.old {
		return lo, nil
	}
	return w.before(root, func(event.Time, event.Time, bool) bool { return false })
}

// closed is from where on rows stay for the last closed session.
func (w *chainWalk) closed(root *node) (event.Time, error) {
	lo, found := event.MaxTime, false
	_, err := w.before(root, func(from, to event.Time, arrived bool) bool {
		if lo != event.MaxTime && lo.Sub(to) > w.gap {
			if found {
				return false
			}
			lo = event.MaxTime
		}
		lo, found = min(lo, from), found || arrived
		return true
	})
	if err != nil || !found {
		return event.MinTime, err
	}
	return lo, nil
}

// before is the beginning of what a row at t.old would join; what lies before that is shown.
func (w *chainWalk) before(root *node, show func(from, to event.Time, arrived bool) bool) (event.Time, error) {
	lo, joined := w.t.old, true
	err := w.walk(root, w.t.old, func(from, to event.Time, arrived bool) bool {
		if joined = joined && lo.Sub(to) <= w.gap; joined {
			lo = min(lo, from)
			return true
		}
		return show(from, to, arrived)
	})
	return lo, err
}

// walk shows the rows before an instant, as long as show wants more.
func (w *chainWalk) walk(root *node, below event.Time, show func(from, to event.Time, arrived bool) bool) error {
	w.below, w.show, w.done = below, show, false
	all := w.rows
	defer func() { w.rows = all }()
	for len(w.rows) > 0 && w.rows[0].at >= below {
		w.rows = w.rows[1:]
	}
	if root != nil {
		if err := w.node(root); err != nil {
			return err
		}
	}
	w.head(event.MinTime)
	return nil
}

// head shows the rows of the head that are not before an instant.
func (w *chainWalk) head(from event.Time) {
	for len(w.rows) > 0 && w.rows[0].at >= from && !w.done {
		w.done = !w.show(w.rows[0].at, w.rows[0].at, w.rows[0].arrived)
		w.rows = w.rows[1:]
	}
}

func (w *chainWalk) node(n *node) error {
	for i := len(n.entries) - 1; i >= 0 && !w.done; i-- {
		e := &n.entries[i]
		if e.minT >= w.below {
			continue
		}
		if e.maxT < w.below && e.gap <= w.gap && e.maxArrival <= w.t.horizon {
			if w.head(e.maxT); !w.done {
				w.done = !w.show(e.minT, e.maxT, true)
			}
			continue
		}
		if n.level > 0 {
			if err := w.t.under(e, w.node); err != nil {
				return err
			}
			continue
		}
		if err := w.leaf(e); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
	}
	return nil
}

func (w *chainWalk) leaf(e *entry) error {
	b, err := w.t.leaf(e)
	if err != nil {
		return err
	}
	list, err := splitRows(nil, b)
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0 && !w.done; i-- {
		_, at, arrival, err := splitTimes(list[i].b)
		if err != nil {
			return err
		}
		if at >= w.below {
			continue
		}
		if w.head(at); !w.done {
			w.done = !w.show(at, at, arrival <= w.t.horizon)
		}
	}
	return nil
}
