package feature

import (
	"fmt"
	"slices"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Last-N windows need rows however old they are: of the rows before the horizon that had arrived by then, the N
// latest that pass the filter. As of any instant from the horizon on there are these, and more.

// lastSpec is the most rows that last-N windows with one filter take.
type lastSpec struct{ n, filter int }

// lastSpecs lists those of a view; one whose rows have no other witness needs the newest one.
func lastSpecs(v *pipeline.View) (specs []lastSpec) {
	for _, f := range v.Features {
		if f.Window.Kind != window.LastN {
			continue
		}
		i := slices.IndexFunc(specs, func(s lastSpec) bool { return s.filter == f.Filter })
		if i < 0 {
			i = len(specs)
			specs = append(specs, lastSpec{filter: f.Filter})
		}
		specs[i].n = max(specs[i].n, f.Window.N)
	}
	if len(specs) > 0 && len(lifetimeGroups(v)) == 0 && specsAll(specs) == 0 {
		specs = append(specs, lastSpec{n: 1, filter: -1})
	}
	return specs
}

// specsAll is how many of the latest rows are needed, whatever filters they pass.
func specsAll(specs []lastSpec) int {
	for _, s := range specs {
		if s.filter < 0 {
			return s.n
		}
	}
	return 0
}

// lastNeed is what rows the last-N windows with one filter need: those that pass and are not before from.
type lastNeed struct {
	filter int
	from   event.Time
}

// findLast finds the rows that last-N windows need.
func (t *trimmer) findLast(specs []lastSpec, root *node, rows []byte) error {
	t.least = event.MaxTime
	if len(specs) == 0 || t.enough(specs, root, rows) {
		return nil
	}
	found := make([]lastRows, len(specs))
	for i, s := range specs {
		found[i] = lastRows{n: s.n, filter: s.filter}
	}
	if err := t.offer(found, rows); err != nil {
		return err
	}
	if root != nil {
		if err := t.offerBelow(found, root); err != nil {
			return err
		}
	}
	for i := range found {
		from, full := found[i].full()
		if !full {
			from = event.MinTime
		}
		t.lasts = append(t.lasts, lastNeed{found[i].filter, from})
		t.least = min(t.least, from)
	}
	return nil
}

// enough tells whether rows that no other window lets go are all that last-N windows need, by the entries alone.
func (t *trimmer) enough(specs []lastSpec, root *node, rows []byte) bool {
	n := int64(0)
	for b := rows; len(b) > 0; {
		row, at, arrival, err := splitTimes(b)
		if err != nil {
			return false // whoever reads them next tells
		}
		b = b[len(row):]
		if at >= t.old && at < t.horizon && arrival <= t.horizon {
			n++
		}
	}
	if root != nil {
		for i := range root.entries {
			if e := &root.entries[i]; e.minT >= t.old && e.maxT < t.horizon && e.maxArrival <= t.horizon {
				n += e.rows
			}
		}
	}
	return !slices.ContainsFunc(specs, func(s lastSpec) bool { return s.filter >= 0 || int64(s.n) > n })
}

// offer offers rows to last-N windows as of the horizon, as served.
func (t *trimmer) offer(found []lastRows, b []byte) error {
	for len(b) > 0 {
		line, at, arrival, err := splitTimes(b)
		if err != nil {
			return err
		}
		b = b[len(line):]
		if at >= t.horizon || arrival > t.horizon {
			continue
		}
		if _, err := t.w.c.next(line, &t.w.row); err != nil {
			return err
		}
		row := t.w.row
		row.Values = nil
		for i := range found {
			found[i].add(&row)
		}
	}
	return nil
}

// offerBelow offers the rows below n, newest first, as far as they may come in.
func (t *trimmer) offerBelow(found []lastRows, n *node) error {
	order := make([]int, len(n.entries))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool { return n.entries[order[i]].maxT > n.entries[order[j]].maxT })
	for _, i := range order {
		e := &n.entries[i]
		if e.minT >= t.horizon {
			continue
		}
		if !slices.ContainsFunc(found, func(l lastRows) bool { oldest, full := l.full(); return !full || e.maxT >= oldest }) {
			return nil
		}
		if n.level > 0 {
			if err := t.under(e, func(child *node) error { return t.offerBelow(found, child) }); err != nil {
				return err
			}
			continue
		}
		b, err := t.leaf(e)
		if err == nil {
			err = t.offer(found, b)
		}
		if err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
	}
	return nil
}

func (t *trimmer) leaf(e *entry) ([]byte, error) {
	b, err := t.w.get(e.id)
	if err != nil {
		return nil, err
	}
	return leafOf(b)
}

// lastWants tells whether a last-N window needs an encoded row.
func (t *trimmer) lastWants(row []byte, at event.Time) (bool, error) {
	if at < t.least {
		return false, nil
	}
	if _, err := t.w.c.next(row, &t.w.row); err != nil {
		return false, err
	}
	pass := t.w.row.Pass
	return slices.ContainsFunc(t.lasts, func(l lastNeed) bool {
		return at >= l.from && (l.filter < 0 || pass&(1<<l.filter) != 0)
	}), nil
}

// fewRows is how many rows a leaf has that is not read to see which of them may go.
const fewRows = 4

// leafPart lets those rows of a leaf go that no last-N window needs, if they are worth it.
func (t *trimmer) leafPart(kept []entry, e *entry) (_ []entry, cut bool, err error) {
	if e.rows <= fewRows {
		return append(kept, *e), false, nil
	}
	b, err := t.leaf(e)
	if err != nil {
		return nil, false, err
	}
	var rest []rowRef
	var gone []byte
	for len(b) > 0 {
		row, at, _, err := splitTimes(b)
		if err != nil {
			return nil, false, fmt.Errorf("read block %d: %w", e.id, err)
		}
		b = b[len(row):]
		wanted, err := t.lastWants(row, at)
		if err != nil {
			return nil, false, fmt.Errorf("read block %d: %w", e.id, err)
		}
		if wanted {
			rest = append(rest, rowRef{at, row})
		} else {
			gone = append(gone, row...)
		}
	}
	if (e.rows-int64(len(rest)))*4 < e.rows {
		return append(kept, *e), false, nil
	}
	if t.dry != nil {
		return kept, true, t.dry.rows(gone)
	}
	t.w.gone = append(t.w.gone, e.id)
	kept, err = t.w.writeLeaves(kept, rest, true)
	return kept, true, err
}
