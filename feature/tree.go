package feature

import (
	"errors"
	"fmt"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// The archive of an entity is a tree ordered by event time. Its leaves are blocks of rows; an entry
// sums a leaf or a node up: the span of time it covers, how far in each partition, and the partials of
// all of the view's groups. A range of time is answered from the entries that lie inside it and the
// rows of the leaves that it cuts, so every window edge is exact, no window costs anything when rows
// are written, and dense keys have fine spans where sparse ones have none (ARCHITECTURE.md, "A tree
// instead of tiles"). Blocks are immutable: a block that gets more rows is written under a new id and
// the old one deleted in the same commit. The root is part of the head.
//
// Rows of equal time may lie in either of two neighbouring leaves: partials carry what ties need.

const (
	leafRows  = 512
	leafBytes = 16 << 10
	nodeSlots = 32
	nodeBytes = 32 << 10

	maxSumGroup = 128
	maxNode     = 128 << 10 // of a node of a view with many groups
	maxSum      = 4 << 10   // of a summary, or maxSumGroup for each of its groups: what takes more is left out, and who needs it descends
)

// blockVersion is the first byte of every block and head.
const blockVersion = 2

var errCorruptBlock = errors.New("corrupt block")

// treeWriter adds rows to one entity's tree. New blocks go out by put as they are made, perhaps in
// earlier commits than the head that refers to them: until then nobody reads them, and after a crash
// their ids are given out again. What they replace is listed in gone and must be deleted in the
// commit of the head, not before.
type treeWriter struct {
	c       *codec
	sum     *agg.Partial // all groups of the view
	groups  int          // how many
	ordered bool         // some group takes rows in tie order only
	bare    bool         // no summaries: which rows count is not known
	fold    *agg.Partial // of the groups of lifetime windows; nil: there are none
	row     event.Row    // scratch
	snap    state.Snapshot
	put     func(key, value []byte) error
	prefix  string
	lastID  uint64
	gone    []uint64
	key     []byte // scratch
	val     []byte // scratch
}

// addRoot adds rows, sorted by time, to the tree under root (nil: none yet) and returns the new root.
func (w *treeWriter) addRoot(root *node, rows []rowRef) (*node, error) {
	level := 0
	var entries []entry
	var base *entry
	if root != nil {
		level, entries, base = root.level, root.entries, root.base
	}
	entries, grown, err := w.add(level, entries, rows)
	if err != nil {
		return nil, err
	}
	for w.tooBig(entries) {
		if entries, err = w.writeNodes(level, entries, grown); err != nil {
			return nil, err
		}
		level++
	}
	return &node{level: level, entries: entries, base: base}, nil
}

// add adds rows to the subtree whose children are entries, and returns the entries that replace them;
// grown tells that only the last ones are new, so that a split should leave the rest full.
func (w *treeWriter) add(level int, entries []entry, rows []rowRef) (out []entry, grown bool, err error) {
	if len(entries) == 0 {
		out, err = w.writeLeaves(nil, rows, true)
		return out, true, err
	}
	grown = true
	out = make([]entry, 0, len(entries)+1)
	for i := range entries {
		take := rows
		if i+1 < len(entries) {
			next := entries[i+1].minT
			take = rows[:sort.Search(len(rows), func(j int) bool { return rows[j].t >= next })]
		}
		rows = rows[len(take):]
		if len(take) == 0 {
			out = append(out, entries[i])
			continue
		}
		last := i+1 == len(entries)
		if !last {
			grown = false
		}
		if level == 0 {
			out, err = w.addLeaf(out, &entries[i], take, last)
		} else {
			out, err = w.addNode(out, level, &entries[i], take)
		}
		if err != nil {
			return nil, false, err
		}
	}
	return out, grown, nil
}

func (w *treeWriter) addNode(out []entry, level int, e *entry, rows []rowRef) ([]entry, error) {
	b, err := w.get(e.id)
	if err != nil {
		return nil, err
	}
	n, err := decodeNode(b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	children, grown, err := w.add(level-1, n.entries, rows)
	if err != nil {
		return nil, err
	}
	w.gone = append(w.gone, e.id)
	nodes, err := w.writeNodes(level-1, children, grown)
	return append(out, nodes...), err
}

// addLeaf adds rows to a leaf, or behind it if it is the last one, full enough, and they are newer.
func (w *treeWriter) addLeaf(out []entry, e *entry, rows []rowRef, last bool) ([]entry, error) {
	full := e.rows >= leafRows/2 || e.bytes >= leafBytes/2
	if last && full && rows[0].t >= e.maxT {
		return w.writeLeaves(append(out, *e), rows, true)
	}
	b, err := w.get(e.id)
	if err != nil {
		return nil, err
	}
	if b, err = leafOf(b); err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	all, err := splitRows(make([]rowRef, 0, int(e.rows)+len(rows)), b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	all = append(all, rows...)
	sortRows(all)
	w.gone = append(w.gone, e.id)
	return w.writeLeaves(out, all, last)
}

// writeLeaves writes rows as leaves: full ones if more will follow behind, else of even size.
func (w *treeWriter) writeLeaves(out []entry, rows []rowRef, grown bool) ([]entry, error) {
	var size int
	for _, r := range rows {
		size += len(r.b)
	}
	maxRows, maxBytes := leafRows, leafBytes
	if parts := max((len(rows)+leafRows-1)/leafRows, (size+leafBytes-1)/leafBytes); !grown && parts > 1 {
		maxRows, maxBytes = (len(rows)+parts-1)/parts, (size+parts-1)/parts
	}
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < maxRows && (n == 0 || size+len(rows[n].b) <= maxBytes) {
			size += len(rows[n].b)
			n++
		}
		e, err := w.writeLeaf(rows[:n])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		rows = rows[n:]
	}
	return out, nil
}

func (w *treeWriter) writeLeaf(rows []rowRef) (entry, error) {
	e := entry{id: w.newID(), minT: rows[0].t, maxT: rows[len(rows)-1].t, maxArrival: event.MinTime, rows: int64(len(rows))}
	w.sum.Reset()
	w.val = append(w.val[:0], blockVersion)
	if w.ordered {
		if err := w.sortTies(rows); err != nil {
			return entry{}, err
		}
	}
	for i, r := range rows {
		if _, err := w.c.next(r.b, &w.row); err != nil {
			return entry{}, err
		}
		if i > 0 {
			e.gap = max(e.gap, r.t.Sub(rows[i-1].t))
		}
		e.maxArrival = max(e.maxArrival, w.row.Arrival)
		e.offsets = raise(e.offsets, w.c.lanes.of(w.row.Pos), w.row.Pos.Offset+1)
		e.bytes += int64(len(r.b))
		if !w.bare {
			w.sum.Add(&w.row)
		}
		w.val = append(w.val, r.b...)
	}
	if !w.bare {
		e.sum = w.keepSum()
	}
	return e, w.write(e.id)
}

// sortTies puts rows of equal time into tie order.
func (w *treeWriter) sortTies(rows []rowRef) error {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].t == rows[0].t {
			n++
		}
		if n > 1 {
			ties := make([]event.Row, n)
			at := make([]int, n)
			for i := range ties {
				ties[i].Values = make([]event.Value, len(w.row.Values))
				if _, err := w.c.next(rows[i].b, &ties[i]); err != nil {
					return err
				}
				at[i] = i
			}
			sort.Slice(at, func(i, j int) bool { return ties[at[i]].Before(&ties[at[j]]) })
			sorted := make([]rowRef, n)
			for i, from := range at {
				sorted[i] = rows[from]
			}
			copy(rows, sorted)
		}
		rows = rows[n:]
	}
	return nil
}

// writeNodes writes entries as nodes of the level: one if they fit, else full ones if grown, or even ones.
func (w *treeWriter) writeNodes(level int, entries []entry, grown bool) ([]entry, error) {
	limit := nodeSlots
	if parts := (len(entries) + nodeSlots - 1) / nodeSlots; !grown && parts > 1 {
		limit = (len(entries) + parts - 1) / parts
	}
	var out []entry
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && n < limit && (n < 2 || size+entrySize(&entries[n]) <= w.nodeBytes()) {
			size += entrySize(&entries[n])
			n++
		}
		e, err := w.writeNode(&node{level: level, entries: entries[:n]})
		if err != nil {
			return nil, err
		}
		out = append(out, e)
		entries = entries[n:]
	}
	return out, nil
}

func (w *treeWriter) writeNode(n *node) (entry, error) {
	first := &n.entries[0]
	e := entry{id: w.newID(), minT: first.minT, maxT: first.maxT, maxArrival: first.maxArrival}
	w.sum.Reset()
	whole := true
	for i := range n.entries {
		c := &n.entries[i]
		e.gap = max(e.gap, c.gap)
		if i > 0 {
			e.gap = max(e.gap, c.minT.Sub(e.maxT))
			if w.ordered && c.minT <= e.maxT {
				whole = false // the order of their ties is not known
			}
		}
		e.minT, e.maxT = min(e.minT, c.minT), max(e.maxT, c.maxT)
		e.maxArrival = max(e.maxArrival, c.maxArrival)
		e.rows += c.rows
		e.bytes += c.bytes
		for _, o := range c.offsets {
			e.offsets = raise(e.offsets, o.part, o.next)
		}
		if c.sum == nil {
			whole = false
			continue
		}
		if err := w.sum.MergeEncoded(c.sum); err != nil {
			return entry{}, fmt.Errorf("merge block %d: %w", c.id, err)
		}
	}
	if whole {
		e.sum = w.keepSum()
	}
	w.val = appendNode(append(w.val[:0], blockVersion), n)
	return e, w.write(e.id)
}

// keepSum encodes the scratch partial without the groups that take too much; nil if the rest does too.
func (w *treeWriter) keepSum() []byte {
	limit := w.sumBytes()
	b := w.sum.Append(nil)
	for each := limit / 4; len(b) > limit && each > maxSumGroup/4; each /= 4 {
		b = w.sum.AppendWithin(b[:0], each)
	}
	if len(b) > limit {
		return nil
	}
	return b
}

// sumBytes bounds a summary, nodeBytes a node of several.
func (w *treeWriter) sumBytes() int { return min(max(maxSum, maxSumGroup*w.groups), maxNode/4) }

func (w *treeWriter) nodeBytes() int { return min(max(nodeBytes, 8*w.sumBytes()), maxNode) }

func (w *treeWriter) newID() uint64 {
	w.lastID++
	return w.lastID
}

func (w *treeWriter) get(id uint64) ([]byte, error) {
	w.key = blockKey(w.key, w.prefix, id)
	b, err := w.snap.Get(w.key, nil)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", id, err)
	}
	return b, nil
}

func (w *treeWriter) write(id uint64) error {
	w.key = blockKey(w.key, w.prefix, id)
	return w.put(w.key, w.val)
}

// raise sets the offset of a partition to at least next, keeping the list ascending.
func raise(offs []offset, part int32, next int64) []offset {
	i := 0
	for i < len(offs) && offs[i].part < part {
		i++
	}
	if i < len(offs) && offs[i].part == part {
		offs[i].next = max(offs[i].next, next)
		return offs
	}
	offs = append(offs, offset{})
	copy(offs[i+1:], offs[i:])
	offs[i] = offset{part, next}
	return offs
}

func entrySize(e *entry) int { return len(e.sum) + 12*len(e.offsets) + 40 }

// tooBig tells that entries do not fit a root.
func (w *treeWriter) tooBig(entries []entry) bool {
	size := 0
	for i := range entries {
		size += entrySize(&entries[i])
	}
	return len(entries) > nodeSlots || (size > w.nodeBytes() && len(entries) > 2)
}
