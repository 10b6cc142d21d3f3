package feature

import (
	"container/heap"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// grownWindow is the lifetime of an entity, which rows enter and never leave. So any aggregate can be kept of it.
// What had arrived is kept; while some rows have not, what there is with them is kept beside it.
type grownWindow struct {
	features []*featureQuery // that are read of it
	arrived  *agg.Partial
	all      *agg.Partial
	waiting  waitingRows
}

// waitingRows are rows that have not arrived: a heap, the earliest to do so comes first.
type waitingRows []*event.Row

func (w waitingRows) Len() int           { return len(w) }
func (w waitingRows) Less(i, j int) bool { return w[i].Arrival < w[j].Arrival }
func (w waitingRows) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }

// Push and Pop are for container/heap.
func (w *waitingRows) Push(x any) { *w = append(*w, x.(*event.Row)) }

// Pop takes the last out.
func (w *waitingRows) Pop() any {
	n := len(*w) - 1
	x := (*w)[n]
	(*w)[n] = nil
	*w = (*w)[:n]
	return x
}

func newGrownWindow(features []*featureQuery, layout *agg.Layout, groups []int) *grownWindow {
	return &grownWindow{features: features, arrived: agg.NewPartial(layout, groups), all: agg.NewPartial(layout, groups)}
}

// begin starts with what lies before all other windows, at from: by what was trimmed, and by the archive's
// summaries as far as they do. It returns the first leaf whose rows are to be added.
func (g *grownWindow) begin(s *slider, sc *viewScan, from event.Time) (leaf int, err error) {
	g.arrived.Reset()
	g.all.Reset()
	g.waiting = g.waiting[:0]
	if root := sc.index.root; root != nil && root.base != nil {
		if err := g.arrived.MergeEncoded(root.base.sum); err != nil {
			return 0, fmt.Errorf("merge what was trimmed: %w", err)
		}
	}
	for leaf = range sc.index.leaves {
		l := &sc.index.leaves[leaf]
		if l.maxT >= from || l.part || l.entry.sum == nil || l.maxArrival > s.asOf || !g.arrived.Holds(l.entry.sum) {
			return leaf, nil
		}
		if err := g.arrived.MergeEncoded(l.entry.sum); err != nil {
			return 0, fmt.Errorf("merge block %d: %w", l.id, err)
		}
		s.newest, s.latest = max(s.newest, l.maxT), max(s.latest, l.maxArrival)
	}
	return len(sc.index.leaves), nil
}

// holds tells whether all that it needs of what was trimmed is there.
func (g *grownWindow) holds(base *entry) bool { return g.arrived.Holds(base.sum) }

// take takes in rows [from, to) of cols, which lie before asOf; the last of them arrived at latest. scratch has room for
// a row.
func (g *grownWindow) take(cols *agg.Columns, from, to int, latest, asOf event.Time, scratch *event.Row) {
	if len(g.waiting) == 0 && latest <= asOf { // as nearly always
		g.arrived.AddRows(cols, from, to, scratch)
		return
	}
	for row := from; row < to; row++ {
		cols.Row(row, scratch)
		g.add(scratch, asOf)
	}
}

// answer answers the features as of an instant, and as served if that is another past.
func (g *grownWindow) answer(x *runAnswers, k int, asOf event.Time, late bool) {
	for past := range x.pasts {
		if past == 1 && !late {
			return
		}
		p := g.partial(past == 1, asOf)
		for _, f := range g.features {
			x.pasts[past].set(f.slot, k, p.Answer(&f.Call, agg.At{AsOf: asOf, Start: event.MinTime, End: asOf}), x)
		}
	}
}

// add takes in a row before asOf.
func (g *grownWindow) add(row *event.Row, asOf event.Time) {
	g.arrive(asOf)
	if row.Arrival <= asOf {
		g.arrived.Add(row)
		if len(g.waiting) > 0 {
			g.all.Add(row)
		}
		return
	}
	if len(g.waiting) == 0 {
		g.all.Reset()
		g.all.Merge(g.arrived)
	}
	g.all.Add(row)
	late := *row // its text stays where it is
	late.Values = slices.Clone(row.Values)
	heap.Push(&g.waiting, &late)
}

// arrive takes in what has arrived meanwhile.
func (g *grownWindow) arrive(asOf event.Time) {
	for len(g.waiting) > 0 && g.waiting[0].Arrival <= asOf {
		g.arrived.Add(heap.Pop(&g.waiting).(*event.Row))
	}
}

// partial is what the window holds.
func (g *grownWindow) partial(served bool, asOf event.Time) *agg.Partial {
	g.arrive(asOf)
	if served || len(g.waiting) == 0 {
		return g.arrived
	}
	return g.all
}
