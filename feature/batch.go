package feature

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// An export asks for the same entity at many instants, one after the other. So a cut's reader that meets an
// entity again lays an index over its rows: the leaves of its archive, and the rows of its head by time. Each
// segment of a plane is then united from few partials, which are made when they are first needed and kept as
// long as the entity is asked for, and only what the ends of a segment cut is read by its rows.
//
// Nothing here knows of windows, of what is aggregated, or of how a value is finished: a segment's partial is
// gathered another way than scanPlane does, and the laws of agg.Partial make it the same.

const (
	runRows     = 16       // rows of a leaf that are summed up together
	openLeaves  = 64       // leaves whose rows are kept
	indexBytes  = 32 << 20 // about what the partials of an index's leaves may take
	partialSize = 1 << 10  // about what a partial takes beside its structures
	rowsPerRead = 1 << 14  // rows of an archive for which one more read is waited for before it gets an index
)

// entityIndex is an index of the entity that a viewScan has read last.
type entityIndex struct {
	known  bool   // there is such an entity
	prefix []byte // its
	rows   []byte // of its head
	root   *node  // of its archive
	reads  int    // how often it was asked for, one read after the other

	heads  headWalk
	walked bool       // to the head, and so to leaves; what the reads of the entity before returned is no longer valid
	memory nodeMemory // of the head
	held   leafMemory

	laid, refused, built bool

	leaves []indexedLeaf // by time; one may begin where the one before ends
	sums   pyramid       // of leaves
	head   openLeaf      // the head's rows
	open   []int         // leaves that are open, the oldest first

	r     *Reader   // of the read under way
	sc    *viewScan // the same
	pl    *plane
	plane int
	part  int              // the segment
	pools [][]*agg.Partial // of each plane: partials to use again
	spare []*openLeaf
}

// indexedLeaf is a leaf of the archive.
type indexedLeaf struct {
	*entry
	part bool // some of its rows lie beyond the cut
	open *openLeaf
}

// openLeaf is the rows of a leaf, or of a head, by time: those within the cut.
type openLeaf struct {
	rows []rowRef
	runs pyramid // of each runRows of them
}

// entity finds the head of r.prefix as head does; of the entity that sc has read last it is at hand.
func (r *Reader) entity(sc *viewScan) (rows []byte, root *node, err error) {
	if r.cut == nil {
		return r.head()
	}
	ix := &sc.index
	r.index = ix
	if ix.known && bytes.Equal(ix.prefix, r.prefix) {
		ix.reads++
		return ix.rows, ix.root, nil
	}
	ix.forget()
	sc.slider.run = 0 // what slid was of another entity, whatever was expected
	if rows, root, err = r.walkedHead(ix); err != nil {
		return nil, nil, err
	}
	ix.known, ix.prefix, ix.rows, ix.root, ix.reads = true, append(ix.prefix[:0], r.prefix...), rows, root, 1
	return rows, root, nil
}

// forget empties ix for another entity.
func (ix *entityIndex) forget() {
	if ix.built {
		for _, i := range ix.open {
			ix.shut(i)
		}
		ix.open = ix.open[:0]
		ix.sums.clear(ix)
		ix.head.clear(ix)
	}
	ix.known, ix.laid, ix.built, ix.refused = false, false, false, false
	ix.rows, ix.root, ix.leaves = nil, nil, ix.leaves[:0]
}

// indexable tells whether the rows of a plane may be united in any order, from partials that are kept.
func (q *planeQuery) indexable() bool { return !q.ordered && !q.derived && q.inner == nil }

// scanIndexed counts the rows of the planes that an index suits; it tells whether there is one, and marks those
// planes as done.
func (r *Reader) scanIndexed(sc *viewScan) (bool, error) {
	ix := &sc.index
	if r.cut == nil || !ix.known || ix.refused || ix.reads < 2 || sc.trace != nil {
		return false, nil
	}
	if !ix.built {
		if !ix.worthwhile() {
			return false, nil
		}
		if err := ix.build(r, sc); err != nil || ix.refused {
			return false, err
		}
	}
	ix.r, ix.sc = r, sc
	for i := range sc.planes {
		pl := &sc.planes[i]
		if pl.done || !pl.q.indexable() {
			continue
		}
		pl.done = true
		ix.pl, ix.plane = pl, i
		for ix.part = range pl.parts {
			if !pl.covered[ix.part] {
				continue
			}
			if err := ix.gather(pl.bounds[ix.part], min(pl.bounds[ix.part+1], sc.asOf)); err != nil {
				return false, err
			}
		}
	}
	return true, ix.see()
}

// worthwhile tells whether the entity was asked for often enough: to list the leaves of a large archive costs as
// much as some reads.
func (ix *entityIndex) worthwhile() bool {
	rows := int64(0)
	if ix.root != nil {
		for i := range ix.root.entries {
			rows += ix.root.entries[i].rows
		}
	}
	return int64(ix.reads) >= 2+rows/rowsPerRead
}

// lay lists the leaves and sorts the head. Leaves that overlap are refused.
func (ix *entityIndex) lay(r *Reader, sc *viewScan) error {
	ix.r, ix.sc = r, sc
	if ix.laid || ix.refused {
		return nil
	}
	ix.leaves = ix.leaves[:0]
	if ix.root != nil {
		if err := ix.list(ix.root); err != nil {
			return err
		}
	}
	for i := range ix.leaves {
		l := &ix.leaves[i]
		l.part = !sc.within(l.offsets)
		ix.refused = ix.refused || i > 0 && l.minT < ix.leaves[i-1].maxT
	}
	if ix.refused {
		ix.leaves = ix.leaves[:0]
		return nil
	}
	var err error
	ix.head.rows, err = sc.sorted(ix.head.rows[:0], ix.rows, true)
	ix.laid = err == nil
	return err
}

// build makes room for sums of the leaves and of the head. An archive with too much to keep is refused.
func (ix *entityIndex) build(r *Reader, sc *viewScan) error {
	if err := ix.lay(r, sc); err != nil || ix.refused {
		return err
	}
	if len(ix.pools) == 0 {
		ix.pools = make([][]*agg.Partial, len(sc.planes))
	}
	size := 0
	for i := range ix.leaves {
		size += partialSize + 2*len(ix.leaves[i].sum)
	}
	if ix.refused = size > indexBytes; ix.refused {
		return nil
	}
	ix.built = true
	arrived := ix.sums.begin(len(ix.leaves))
	for i := range ix.leaves {
		l := &ix.leaves[i]
		arrived[i] = l.maxArrival
		if !l.part {
			continue
		}
		o, err := ix.opened(i)
		if err != nil {
			return err
		}
		arrived[i] = o.runs.arrived()
	}
	ix.sums.finish(len(ix.pools))
	return ix.head.lay(ix)
}

// list appends the leaves below n.
func (ix *entityIndex) list(n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if n.level == 0 {
			ix.leaves = append(ix.leaves, indexedLeaf{entry: e})
			continue
		}
		child, err := ix.r.node(e)
		if err != nil {
			return err
		}
		if err := ix.list(child); err != nil {
			return err
		}
	}
	return nil
}

// opened reads the rows of leaf i, and closes others if too many are open.
func (ix *entityIndex) opened(i int) (*openLeaf, error) {
	l := &ix.leaves[i]
	if l.open != nil {
		return l.open, nil
	}
	b, err := ix.r.leaf(l.id, true)
	if err != nil {
		return nil, err
	}
	if len(ix.open) >= openLeaves {
		ix.shut(ix.open[0])
		ix.open = append(ix.open[:0], ix.open[1:]...)
	}
	o := &openLeaf{}
	if n := len(ix.spare); n > 0 {
		o, ix.spare = ix.spare[n-1], ix.spare[:n-1]
	}
	if err := o.fill(ix, b, l.part); err != nil {
		return nil, fmt.Errorf("read block %d: %w", l.id, err)
	}
	l.open = o
	ix.open = append(ix.open, i)
	return o, nil
}

// shut lets the rows of leaf i go.
func (ix *entityIndex) shut(i int) {
	l := &ix.leaves[i]
	l.open.clear(ix)
	ix.spare = append(ix.spare, l.open)
	l.open = nil
}

// fill takes rows, without those beyond the cut if some may be.
func (o *openLeaf) fill(ix *entityIndex, b []byte, some bool) (err error) {
	if o.rows, err = ix.sc.sorted(o.rows[:0], b, some); err != nil {
		return err
	}
	return o.lay(ix)
}

// sorted appends rows by time, without those beyond the cut if some may be.
func (sc *viewScan) sorted(dst []rowRef, b []byte, some bool) ([]rowRef, error) {
	rows, err := splitRows(dst, b)
	if err != nil {
		return dst, err
	}
	if some {
		kept := rows[:0]
		for _, row := range rows {
			part, off, err := rowPosition(row.b)
			if err != nil {
				return dst, err
			}
			if off < sc.cut[part] {
				kept = append(kept, row)
			}
		}
		rows = kept
	}
	sortRows(rows)
	return rows, nil
}

// lay makes room for the sums of runs of rows.
func (o *openLeaf) lay(ix *entityIndex) error {
	arrived := o.runs.begin((len(o.rows) + runRows - 1) / runRows)
	for i := range arrived {
		arrived[i] = event.MinTime
	}
	for i, row := range o.rows {
		lag, w := binary.Varint(row.b[10:])
		if w <= 0 {
			return errCorruptRow
		}
		arrived[i/runRows] = max(arrived[i/runRows], row.t+event.Time(lag))
	}
	o.runs.finish(len(ix.pools))
	return nil
}

func (o *openLeaf) clear(ix *entityIndex) {
	o.runs.clear(ix)
	o.rows = o.rows[:0]
}

// gather unites what lies in [from, to) in the segment's partial.
func (ix *entityIndex) gather(from, to event.Time) error {
	if from >= to {
		return nil
	}
	if err := ix.head.gather(ix, from, to); err != nil {
		return err
	}
	leaves := ix.leaves
	i := sort.Search(len(leaves), func(i int) bool { return leaves[i].maxT >= from })
	j := i + sort.Search(len(leaves)-i, func(j int) bool { return leaves[i+j].minT >= to })
	for _, edge := range []*int{&i, &j} { // the first and the last may lie in it in part
		at := i
		if edge == &j {
			at = j - 1
		}
		if i >= j || leaves[at].minT >= from && leaves[at].maxT < to {
			continue
		}
		o, err := ix.opened(at)
		if err != nil {
			return err
		}
		if err := o.gather(ix, from, to); err != nil {
			return err
		}
		if edge == &i {
			i++
		} else {
			j--
		}
	}
	return ix.sums.unite(ix, ix, i, j)
}

// gather unites those of a leaf's rows that lie in [from, to).
func (o *openLeaf) gather(ix *entityIndex, from, to event.Time) error {
	i := sort.Search(len(o.rows), func(i int) bool { return o.rows[i].t >= from })
	j := i + sort.Search(len(o.rows)-i, func(j int) bool { return o.rows[i+j].t >= to })
	first, last := (i+runRows-1)/runRows, j/runRows
	if first >= last {
		return ix.pick(o.rows[i:j])
	}
	if err := ix.pick(o.rows[i : first*runRows]); err != nil {
		return err
	}
	if err := o.runs.unite(ix, o, first, last); err != nil {
		return err
	}
	return ix.pick(o.rows[last*runRows : j])
}

// pick counts rows one by one, those of the past that is asked for.
func (ix *entityIndex) pick(rows []rowRef) error {
	for _, row := range rows {
		if _, err := ix.sc.q.v.c.next(row.b, &ix.sc.row); err != nil {
			return err
		}
		if ix.sc.counts() {
			ix.pl.part(ix.part).Add(&ix.sc.row)
		}
	}
	return nil
}

// sumRows adds all of rows to p.
func (ix *entityIndex) sumRows(rows []rowRef, p *agg.Partial) error {
	for _, row := range rows {
		if _, err := ix.sc.q.v.c.next(row.b, &ix.sc.row); err != nil {
			return err
		}
		p.Add(&ix.sc.row)
	}
	return nil
}

// sum adds leaf i to p: by the archive's summary if it has one.
func (ix *entityIndex) sum(_ *entityIndex, i int, p *agg.Partial) error {
	l := &ix.leaves[i]
	if !l.part && l.entry.sum != nil && ix.pl.none.Holds(l.entry.sum) {
		if err := p.MergeEncoded(l.entry.sum); err != nil {
			return fmt.Errorf("merge block %d: %w", l.id, err)
		}
		return nil
	}
	o, err := ix.opened(i)
	if err != nil {
		return err
	}
	return ix.sumRows(o.rows, p)
}

// some counts those rows of leaf i that had arrived.
func (ix *entityIndex) some(_ *entityIndex, i int) error {
	o, err := ix.opened(i)
	if err != nil {
		return err
	}
	return o.runs.unite(ix, o, 0, (len(o.rows)+runRows-1)/runRows)
}

// run is the rows of run i.
func (o *openLeaf) run(i int) []rowRef { return o.rows[i*runRows : min((i+1)*runRows, len(o.rows))] }

// sum adds run i to p.
func (o *openLeaf) sum(ix *entityIndex, i int, p *agg.Partial) error { return ix.sumRows(o.run(i), p) }

// some counts those rows of run i that had arrived.
func (o *openLeaf) some(ix *entityIndex, i int) error { return ix.pick(o.run(i)) }

// gathered tells whether an index has told all that is asked for.
func (sc *viewScan) gathered() bool {
	for i := range sc.planes {
		if !sc.planes[i].done {
			return false
		}
	}
	return len(sc.lasts) == 0
}

// see tells the scan whether the entity is known: by a row in [since, asOf) of the past that is asked for.
func (ix *entityIndex) see() error {
	sc := ix.sc
	first := sort.Search(len(ix.leaves), func(i int) bool { return ix.leaves[i].maxT >= sc.since })
	for i := first; i < len(ix.leaves) && !sc.seen && ix.leaves[i].minT < sc.asOf; i++ {
		l := &ix.leaves[i]
		if !l.part && l.maxT < sc.asOf && ix.sums.levels[0].arrived[i] <= sc.arrived {
			sc.seen = true
			break
		}
		o, err := ix.opened(i)
		if err != nil {
			return err
		}
		if err := o.see(ix); err != nil {
			return err
		}
	}
	return ix.head.see(ix)
}

func (o *openLeaf) see(ix *entityIndex) error {
	sc := ix.sc
	first := sort.Search(len(o.rows), func(i int) bool { return o.rows[i].t >= sc.since })
	for _, row := range o.rows[first:] {
		if sc.seen || row.t >= sc.asOf {
			break
		}
		if _, err := sc.q.v.c.next(row.b, &sc.row); err != nil {
			return err
		}
		sc.seen = sc.counts()
	}
	return nil
}
