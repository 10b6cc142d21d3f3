package feature

import (
	"encoding/binary"
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Trimming drops the rows that no answer at or after the horizon needs. It goes by the view's limit (see
// limits): the horizon H is the limit less the view's history, and no window with a bound reaches back before
// the limit less Keep. What such windows do not see may still tell that the entity is known, so the newest row
// that had arrived by H stays as a witness, as long as it makes the entity known. A row that arrived after H
// stays too, since it may be the one that an as-served past knows. So what is known at an instant stays a
// function of the rows that were accepted, whenever they are trimmed.

// bounded tells whether all windows of a view have a bound.
func bounded(v *pipeline.View) bool {
	for _, f := range v.Features {
		if _, ok := f.Window.Reach(); !ok {
			return false
		}
	}
	return true
}

// trims tells whether rows of a view go at all.
func trims(v *pipeline.View) bool {
	for _, f := range v.Features {
		if f.Window.Kind == window.LastN && f.Filter >= len(v.Filters) {
			return false
		}
	}
	return true
}

// lifetimeGroups are the groups that the lifetime windows of a view read.
func lifetimeGroups(v *pipeline.View) (groups []int) {
	for _, f := range v.Features {
		if f.Window.Kind == window.Lifetime {
			groups = f.Call.Groups(groups)
		}
	}
	return groups
}

// since is the earliest instant at which a row makes its entity known as of asOf.
func (v *view) since(asOf event.Time) event.Time {
	if !v.bounded {
		return event.MinTime
	}
	return asOf.Add(-v.plan.Keep)
}

// trimmer is what may go from the heads of a view.
type trimmer struct {
	horizon event.Time // no instant before it is answered
	old     event.Time // no window with a bound reaches before it
	unknown event.Time // rows before it make nobody known

	w       *treeWriter
	reading uint64     // ids up to it are in the snapshot
	seen    event.Time // a row stays that had arrived by the horizon, and is as late as this
	lasts   []lastNeed
	least   event.Time // no last-N window needs a row before it
	dry     *folding   // not nil: what goes is folded, and nothing else is done
	gone    []byte     // the rows of the head that go
	spare   entry      // the latest leaf to go whose rows had all arrived by then; id 0: none

	// Of views with dedupe: the ids of rows that go, when these happened, and before when their copies lie.
	dedupe    *pipeline.Dedupe
	copies    map[event.Value]event.Time
	copiesEnd event.Time
}

// trimmer returns what may go by now; ok is false if nothing does.
func (v *view) trimmer() (t trimmer, ok bool) {
	limit := event.Time(v.limit.Load())
	if limit == event.MinTime || !v.trims {
		return t, false
	}
	t = trimmer{horizon: limit.Add(-v.plan.History), old: limit.Add(-v.plan.Keep), seen: event.MinTime, least: event.MaxTime, dedupe: v.plan.Dedupe}
	t.unknown = v.since(t.horizon)
	if !v.bounded {
		t.seen = event.MaxTime // a base, a last row or that of a session makes it known
	}
	return t, true
}

// stale tells that no row goes in a window whose latest is at t, and whose latest arrival is at arrival.
func (t *trimmer) stale(at, arrival event.Time) bool {
	return at < t.old && (arrival <= t.horizon || at < t.unknown)
}

// trimmable is the cheap test whether trim may find something, by a decoded head alone.
func (v *view) trimmable(root *node, rows []byte) bool {
	t, ok := v.trimmer()
	if !ok {
		return false
	}
	if root == nil && len(rows) == 0 {
		return true // it may be time to delete it
	}
	if v.fromStart {
		return t.mayBegin(v, root, rows)
	}
	if root != nil {
		for i := range root.entries {
			e := &root.entries[i]
			if t.stale(e.maxT, e.maxArrival) || root.level > 0 && e.minT < t.old {
				return true
			}
			t.keep(e)
		}
	}
	if n, err := countRows(rows); err == nil && root == nil && int(n) <= specsAll(v.lasts) {
		return false
	}
	rest, _, err := t.head(rows)
	return err != nil || worth(rows, rest) && (v.bounded || len(rows)-len(rest) > leastBase)
}

// leastBase is less than what any base takes.
const leastBase = 24

// worth tells whether a head should be written for the rows that go alone: not for less than a quarter.
func worth(rows, rest []byte) bool {
	return len(rest) < len(rows) && (len(rows)-len(rest))*4 >= len(rows)
}

// trim drops what no answer at or after the view's horizon needs from a captured head. It changes x.rows,
// x.n and x.archive, and adds to w.gone; changed tells that the head must be written; empty that nothing is left that
// anyone may ask for, so that the head may be deleted instead.
func (c *committer) trim(snap state.Snapshot, w *treeWriter, x *captured, v *view) (changed, empty bool, err error) {
	t, ok := v.trimmer()
	if !ok {
		return false, false, nil
	}
	w.snap, w.prefix, w.lastID = snap, string(x.key), x.lastID
	t.w, t.reading = w, x.lastID
	if v.fromStart {
		return t.trimStart(x, v)
	}
	if err := t.findSessions(v.sessions, x.root, x.rows); err != nil {
		return false, false, err
	}
	if err := t.findLast(v.lasts, x.root, x.rows); err != nil {
		return false, false, err
	}
	if w.fold != nil {
		changed, err := t.fold(x)
		return changed, false, err
	}
	root, cut, err := t.tree(x.root)
	if err != nil {
		return false, false, err
	}
	rest, n, err := t.head(x.rows)
	if err == nil && t.needsSpare() {
		rest, err = t.takeSpare(rest)
		n++
	}
	if err != nil {
		return false, false, err
	}
	if !cut && len(rest) > 0 && !worth(x.rows, rest) {
		return false, false, nil
	}
	changed = cut || len(rest) < len(x.rows)
	// Ids of blocks begin anew when a head is deleted: not while a reader may still hold its tree.
	if x.root == nil && len(rest) == 0 {
		empty = x.replayed(v)
	}
	x.rows, x.n, x.archive = rest, n, archive{root, w.lastID}
	return changed, empty, nil
}

// replayed tells that no replay comes to what x has counted.
func (x *captured) replayed(v *view) bool {
	for _, o := range x.counted {
		if o.next > v.restart(o.part) {
			return false
		}
	}
	return true
}

// keep notes what an entry that stays tells of the witness.
func (t *trimmer) keep(e *entry) {
	switch {
	case e.maxArrival > t.horizon || e.minT >= t.horizon:
	case e.maxT < t.horizon:
		t.seen = max(t.seen, e.maxT)
	default:
		t.seen = max(t.seen, e.minT)
	}
}

// tree returns what stays of the tree under root; cut tells that it is another one.
func (t *trimmer) tree(root *node) (_ *node, cut bool, err error) {
	if root == nil {
		return nil, false, nil
	}
	level := root.level
	entries, cut, err := t.below(level, root.entries)
	if err != nil || !cut || t.dry != nil {
		return root, cut, err
	}
	for level > 0 && len(entries) == 1 && entries[0].id <= t.reading { // a new one, in the next pass
		child, err := t.node(&entries[0])
		if err != nil {
			return nil, false, err
		}
		t.w.gone = append(t.w.gone, entries[0].id)
		level, entries = child.level, child.entries
	}
	if len(entries) == 0 {
		return nil, true, nil
	}
	return &node{level: level, entries: entries}, true, nil
}

// below returns what stays of entries.
func (t *trimmer) below(level int, entries []entry) (kept []entry, cut bool, err error) {
	for i := range entries {
		e := &entries[i]
		stale := t.stale(e.maxT, e.maxArrival)
		if stale && e.maxT < t.least {
			if err := t.drop(level, e); err != nil {
				return nil, false, err
			}
			cut = true
			continue
		}
		if stale && level == 0 {
			var less bool
			if kept, less, err = t.leafPart(kept, e); err != nil {
				return nil, false, err
			}
			cut = cut || less
			continue
		}
		copies := len(t.copies) > 0 && e.minT < t.copiesEnd
		if level == 0 && copies {
			var less bool
			if kept, less, err = t.leafCopies(kept, e); err != nil {
				return nil, false, err
			}
			cut = cut || less
			continue
		}
		if level > 0 && (e.minT < t.old || copies) {
			child, err := t.node(e)
			if err != nil {
				return nil, false, err
			}
			below, less, err := t.below(child.level, child.entries)
			if err != nil {
				return nil, false, err
			}
			if less {
				if cut = true; t.dry != nil {
					continue
				}
				t.w.gone = append(t.w.gone, e.id)
				if len(below) > 0 {
					n, err := t.w.writeNode(&node{level: child.level, entries: below})
					if err != nil {
						return nil, false, err
					}
					kept = append(kept, n)
				}
				continue
			}
		} else {
			t.keep(e)
		}
		kept = append(kept, *e)
	}
	return kept, cut, nil
}

// drop lists the blocks of an entry that goes; leaves are not read.
func (t *trimmer) drop(level int, e *entry) error {
	if t.dry != nil {
		return t.dry.below(level, e)
	}
	t.w.gone = append(t.w.gone, e.id)
	if level == 0 {
		if e.maxArrival <= t.horizon && (t.spare.id == 0 || e.maxT > t.spare.maxT) {
			t.spare = *e
		}
		return nil
	}
	child, err := t.node(e)
	if err != nil {
		return err
	}
	for i := range child.entries {
		if err := t.drop(child.level, &child.entries[i]); err != nil {
			return err
		}
	}
	return nil
}

// under lets visit look at the node below an entry.
func (t *trimmer) under(e *entry, visit func(*node) error) error {
	child, err := t.node(e)
	if err != nil {
		return err
	}
	return visit(child)
}

func (t *trimmer) node(e *entry) (*node, error) {
	b, err := t.w.get(e.id)
	if err != nil {
		return nil, err
	}
	n, err := decodeNode(b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	return n, nil
}

// head returns the rows that stay, and how many they are. The witness is among them, if none is later.
func (t *trimmer) head(rows []byte) (rest []byte, n int32, err error) {
	newest, stale := event.MinTime, 0
	for b := rows; len(b) > 0; {
		row, at, arrival, err := splitTimes(b)
		if err != nil {
			return nil, 0, err
		}
		b = b[len(row):]
		if at < t.horizon && arrival <= t.horizon {
			newest = max(newest, at)
		}
		goes, err := t.goes(row, at, arrival)
		if err != nil {
			return nil, 0, err
		}
		if goes {
			stale += len(row)
		}
		n++
	}
	needed := newest > t.seen && newest >= t.unknown
	t.seen = max(t.seen, newest)
	if stale == 0 {
		return rows, n, nil
	}
	rest, n = make([]byte, 0, len(rows)-stale), 0
	for b := rows; len(b) > 0; {
		row, at, arrival, _ := splitTimes(b)
		b = b[len(row):]
		if goes, _ := t.goes(row, at, arrival); goes {
			if !needed || at != newest || arrival > t.horizon {
				if t.dry != nil {
					t.gone = append(t.gone, row...)
				}
				continue
			}
			needed = false
		}
		rest = append(rest, row...)
		n++
	}
	return rest, n, nil
}

// goes tells whether no window needs an encoded row.
func (t *trimmer) goes(row []byte, at, arrival event.Time) (bool, error) {
	if !t.stale(at, arrival) {
		return false, nil
	}
	wanted, err := t.lastWants(row, at)
	return !wanted, err
}

// needsSpare tells that the witness is in a leaf that goes.
func (t *trimmer) needsSpare() bool {
	return t.spare.id != 0 && t.spare.maxT > t.seen && t.spare.maxT >= t.unknown
}

// takeSpare adds the last row of that leaf to those of the head.
func (t *trimmer) takeSpare(rest []byte) ([]byte, error) {
	b, err := t.w.get(t.spare.id)
	if err != nil {
		return nil, err
	}
	if b, err = leafOf(b); err != nil {
		return nil, fmt.Errorf("read block %d: %w", t.spare.id, err)
	}
	for len(b) > 0 {
		row, at, _, err := splitTimes(b)
		if err != nil {
			return nil, fmt.Errorf("read block %d: %w", t.spare.id, err)
		}
		b = b[len(row):]
		if at == t.spare.maxT {
			return append(rest[:len(rest):len(rest)], row...), nil
		}
	}
	return nil, fmt.Errorf("read block %d: %w", t.spare.id, errCorruptBlock)
}

// splitTimes returns the first row of b, with its length, and when it happened and arrived.
func splitTimes(b []byte) (row []byte, at, arrival event.Time, err error) {
	body, rest, err := splitRow(b)
	if err != nil {
		return nil, 0, 0, err
	}
	lag, w := binary.Varint(body[8:])
	if w <= 0 {
		return nil, 0, 0, errCorruptRow
	}
	at = rowTime(b)
	return b[:len(b)-len(rest)], at, at + event.Time(lag), nil
}
