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
	plane, at int
	arrived   *agg.Partial
	all       *agg.Partial
	waiting   waitingRows
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

func newGrownWindow(plane, at int, layout *agg.Layout, groups []int) *grownWindow {
	return &grownWindow{plane: plane, at: at, arrived: agg.NewPartial(layout, groups), all: agg.NewPartial(layout, groups)}
}

// begin starts with what lies before all other windows: by what was trimmed, and by the archive's summaries as
// far as they do.
func (g *grownWindow) begin(s *slider, sc *viewScan) error {
	g.arrived.Reset()
	g.all.Reset()
	g.waiting = g.waiting[:0]
	if root := sc.index.root; root != nil && root.base != nil {
		if err := g.arrived.MergeEncoded(root.base.sum); err != nil {
			return fmt.Errorf("merge what was trimmed: %w", err)
		}
	}
	leaves := sc.index.leaves
	for ; s.leaf < len(leaves); s.leaf++ {
		l := &leaves[s.leaf]
		if l.maxT >= s.from || l.part || l.entry.sum == nil || l.maxArrival > sc.asOf || !g.arrived.Holds(l.entry.sum) {
			return nil
		}
		if err := g.arrived.MergeEncoded(l.entry.sum); err != nil {
			return fmt.Errorf("merge block %d: %w", l.id, err)
		}
		s.newest, s.latest = l.maxT, max(s.latest, l.maxArrival)
	}
	return nil
}

// holds tells whether all that it needs of what was trimmed is there.
func (g *grownWindow) holds(base *entry) bool { return g.arrived.Holds(base.sum) }

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
