package feature

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// offset is a position next to read in a partition.
type offset struct {
	part int32
	next int64
}

// entry sums a block up.
type entry struct {
	id         uint64
	minT, maxT event.Time // least and greatest event time, both within
	maxArrival event.Time
	gap        event.Duration // the longest time between two neighbouring rows within
	rows       int64
	bytes      int64    // of a leaf's rows; of a node: the rows below it
	offsets    []offset // per partition: beyond the largest offset within, ascending by partition
	sum        []byte   // agg.Partial of all groups; nil if too large to keep
}

// node is an inner block, or the root. At level 0 its entries are leaves.
type node struct {
	level   int
	entries []entry
	base    *entry // of a root: the sum of what was trimmed, which has no block; or nil
}

func appendEntry(dst []byte, e *entry) []byte {
	dst = binary.AppendUvarint(dst, e.id)
	dst = binary.AppendVarint(dst, int64(e.minT))
	dst = binary.AppendUvarint(dst, uint64(e.maxT-e.minT))
	dst = binary.AppendVarint(dst, int64(e.maxArrival-e.maxT))
	dst = binary.AppendUvarint(dst, uint64(e.gap))
	dst = binary.AppendUvarint(dst, uint64(e.rows))
	dst = binary.AppendUvarint(dst, uint64(e.bytes))
	dst = appendOffsets(dst, e.offsets)
	dst = binary.AppendUvarint(dst, uint64(len(e.sum)))
	return append(dst, e.sum...)
}

func appendOffsets(dst []byte, offs []offset) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(offs)))
	for _, o := range offs {
		dst = binary.AppendUvarint(dst, uint64(o.part))
		dst = binary.AppendUvarint(dst, uint64(o.next))
	}
	return dst
}

// reader decodes varints and remembers that it ran out.
type reader struct {
	b      []byte
	bad    bool
	memory *nodeMemory // for what is decoded; nil: each has its own
}

// nodeMemory is memory for a node that lives until the next is decoded in it. A nil one is new for each.
type nodeMemory struct {
	node    node
	entries []entry
	offsets []offset
}

func (m *nodeMemory) reset() {
	if m != nil {
		m.node, m.entries, m.offsets = node{}, m.entries[:0], m.offsets[:0]
	}
}

func (m *nodeMemory) newNode() *node {
	if m == nil {
		return &node{}
	}
	return &m.node
}

func (m *nodeMemory) newEntries(n int) []entry {
	if m == nil {
		return make([]entry, n)
	}
	m.entries = resize(m.entries, n)
	return m.entries
}

func (m *nodeMemory) newOffsets(n int) []offset {
	if m == nil {
		return make([]offset, n)
	}
	if n > cap(m.offsets)-len(m.offsets) { // what was given out stays where it is
		m.offsets = make([]offset, 0, max(n, 2*cap(m.offsets)))
	}
	from := len(m.offsets)
	m.offsets = m.offsets[:from+n]
	return m.offsets[from : from+n : from+n]
}

func (r *reader) uvarint() uint64 {
	x, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return x
}

func (r *reader) varint() int64 {
	x, w := binary.Varint(r.b)
	if w <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return x
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// count reads a number of things of at least one byte each.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) offsets() []offset {
	n := r.count()
	if n == 0 {
		return nil
	}
	out := r.memory.newOffsets(n)
	for i := range out {
		out[i] = offset{part: int32(r.uvarint()), next: int64(r.uvarint())}
	}
	return out
}

func (r *reader) entries() []entry {
	n := r.count()
	out := r.memory.newEntries(n)
	for i := range out {
		out[i] = r.entry()
	}
	return out
}

func (r *reader) entry() (e entry) {
	e.id = r.uvarint()
	e.minT = event.Time(r.varint())
	e.maxT = e.minT + event.Time(r.uvarint())
	e.maxArrival = e.maxT + event.Time(r.varint())
	e.gap = event.Duration(r.uvarint())
	e.rows = int64(r.uvarint())
	e.bytes = int64(r.uvarint())
	e.offsets = r.offsets()
	if n := r.uvarint(); n > 0 {
		e.sum = r.bytes(n)
	}
	return e
}

// appendNode appends a node's level and entries.
func appendNode(dst []byte, n *node) []byte {
	dst = append(dst, byte(n.level))
	dst = binary.AppendUvarint(dst, uint64(len(n.entries)))
	for i := range n.entries {
		dst = appendEntry(dst, &n.entries[i])
	}
	return dst
}

// decodeNode reads the block of a node; what it returns aliases b.
func decodeNode(b []byte) (*node, error) {
	r := reader{b: b}
	if r.byte() != blockVersion {
		return nil, errCorruptBlock
	}
	n := &node{level: int(r.byte())}
	n.entries = r.entries()
	if r.bad || len(r.b) != 0 || len(n.entries) == 0 {
		return nil, errCorruptBlock
	}
	return n, nil
}

// leafOf returns the rows of a leaf's block.
func leafOf(b []byte) ([]byte, error) {
	if len(b) < 1 || b[0] != blockVersion {
		return nil, errCorruptBlock
	}
	return b[1:], nil
}

// rowRef is an encoded row (with its length) and its event time.
type rowRef struct {
	t event.Time
	b []byte
}

// splitRows lists the rows of b.
func splitRows(dst []rowRef, b []byte) ([]rowRef, error) {
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return nil, err
		}
		dst = append(dst, rowRef{rowTime(b), b[:len(b)-len(rest)]})
		b = rest
	}
	return dst, nil
}

// sortRows sorts rows by time, and those of one instant by where they were. Rows come as the partitions do, which is
// nearly in order; where not, times are sorted as numbers that carry their places, since moving rows is dear.
func sortRows(rows []rowRef) {
	byTime := func(a, b rowRef) int { return cmp.Compare(a.t, b.t) }
	if slices.IsSortedFunc(rows, byTime) {
		return
	}
	least, most := rows[0].t, rows[0].t
	for i := range rows {
		least, most = min(least, rows[i].t), max(most, rows[i].t)
	}
	places := bits.Len(uint(len(rows)))
	if bits.Len64(uint64(most)-uint64(least))+places > 64 {
		slices.SortStableFunc(rows, byTime)
		return
	}
	var few [512]uint64
	keys := few[:0]
	if len(rows) > len(few) {
		keys = make([]uint64, 0, len(rows))
	}
	for i := range rows {
		keys = append(keys, (uint64(rows[i].t)-uint64(least))<<places|uint64(i))
	}
	slices.Sort(keys)
	place := uint64(1)<<places - 1
	for i := range keys { // each cycle of places is gone through once
		if keys[i]&place == uint64(i) {
			continue
		}
		first, to := rows[i], i
		for {
			from := int(keys[to] & place)
			keys[to] = uint64(to)
			if from == i {
				rows[to] = first
				break
			}
			rows[to], to = rows[from], from
		}
	}
}
