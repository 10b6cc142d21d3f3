package feature

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// head is what is recent of one entity in one view: the rows that are not in the archive yet, the
// archive's root, and up to where it has counted in each partition, so that a replay of what it has
// counted does nothing.
//
// rows grows by append only and root is immutable, so a reader that has copied both under the
// shard's lock may go on without it. The owner is the shard; the committer captures and completes.
type head struct {
	key     string // state prefix: slot, view, entity
	rows    []byte // encoded rows, in the order they were counted
	n       int32  // of rows
	added   int32  // rows since the last capture
	first   offset // counted up to, of one partition: nearly always the only one
	more    []offset
	root    *node // nil: nothing in the archive
	lastID  uint64
	epoch   uint32 // of the last use, for eviction
	dirty   bool   // has rows that no capture holds
	flushes bool   // captured, the commit has not returned
	urgent  bool   // has asked for a flush of its own
}

// headOverhead is what a head costs in memory beside its key and rows: the struct, its place in the
// map, the allocator's rounding.
const headOverhead = 240

// counted returns the offset next to count in a partition.
func (h *head) counted(part int32) int64 {
	if h.first.part == part {
		return h.first.next
	}
	for _, o := range h.more {
		if o.part == part {
			return o.next
		}
	}
	return 0
}

// count notes that everything below next has been counted.
func (h *head) count(part int32, next int64) {
	if h.first.part == part || h.first.next == 0 {
		h.first = offset{part, next}
		return
	}
	for i := range h.more {
		if h.more[i].part == part {
			h.more[i].next = next
			return
		}
	}
	h.more = append(h.more, offset{part, next})
}

// prune forgets positions at or below the restart offset of their partition, as appendHead does. A head
// of thousands of partitions (files, read one after the other) would look each row up among all of them.
func (h *head) prune(restart func(part int32) int64) {
	if len(h.more) < pruneFrom {
		return
	}
	h.more = slices.DeleteFunc(h.more, func(o offset) bool { return o.next <= restart(o.part) })
}

const pruneFrom = 16

// memory is what h holds, in bytes; blocks of the root are counted by their encoding.
func (h *head) memory() int64 {
	m := int64(headOverhead + len(h.key) + cap(h.rows) + 16*cap(h.more))
	if h.root != nil {
		for i := range h.root.entries {
			m += int64(entrySize(&h.root.entries[i])) + 100
		}
	}
	return m
}

// appendHead appends the encoding of a head: version, last block id, positions, root, rows.
// Positions at or below the restart offset of their partition are left out: no replay goes there.
func appendHead(dst []byte, lastID uint64, counted []offset, restart func(part int32) int64, root *node, rows []byte) []byte {
	dst = append(dst, blockVersion)
	dst = binary.AppendUvarint(dst, lastID)
	n := 0
	for _, o := range counted {
		if o.next > restart(o.part) {
			n++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	for _, o := range counted {
		if o.next > restart(o.part) {
			dst = binary.AppendUvarint(dst, uint64(o.part))
			dst = binary.AppendUvarint(dst, uint64(o.next))
		}
	}
	if root == nil {
		dst = append(dst, 0)
	} else {
		dst = append(dst, 1)
		dst = appendNode(dst, root)
	}
	return append(dst, rows...)
}

// storedHead is a decoded head; it aliases the value it was read from.
type storedHead struct {
	lastID  uint64
	counted []offset
	root    *node
	rows    []byte
}

func decodeHead(b []byte) (storedHead, error) {
	r := reader{b: b}
	if v := r.byte(); v != blockVersion {
		return storedHead{}, fmt.Errorf("decode head: format %d is not known to this version", v)
	}
	h := storedHead{lastID: r.uvarint(), counted: r.offsets()}
	if r.byte() == 1 {
		h.root = &node{level: int(r.byte())}
		h.root.entries = r.entries()
	}
	if r.bad {
		return storedHead{}, fmt.Errorf("decode head: %w", errCorruptBlock)
	}
	h.rows = r.b
	return h, nil
}

// load makes h what s says; s must not be used afterwards.
func (h *head) load(s storedHead) error {
	h.rows, h.root, h.lastID = s.rows[:len(s.rows):len(s.rows)], s.root, s.lastID
	for _, o := range s.counted {
		h.count(o.part, o.next)
	}
	for b := s.rows; len(b) > 0; h.n++ {
		_, rest, err := splitRow(b)
		if err != nil {
			return fmt.Errorf("decode head: %w", err)
		}
		b = rest
	}
	return nil
}

// Spilling: at a flush a head keeps about as many rows as it got since the last one, so that what is
// written again stays in proportion to what is new; the rest goes to the archive, oldest first, in
// steps worth a block.
const (
	keepRowsMin  = 32
	keepRowsMax  = 128 // a look-up reads them all
	spillRowsMin = 64
	keepBytes    = 32 << 10
	urgentBytes  = 1 << 20 // a head with more rows than this does not wait for the next flush
)

// split decides which rows stay in the head; rows must be sorted by time. All of spill is older than
// or as old as all of keep.
func splitSpill(rows []rowRef, added int32) (spill, keep []rowRef) {
	size := 0
	for _, r := range rows {
		size += len(r.b)
	}
	n := min(max(int(added), keepRowsMin), keepRowsMax)
	if len(rows) <= n+spillRowsMin && size <= 2*keepBytes {
		return nil, rows
	}
	cut, kept := len(rows), 0
	for cut > 0 && len(rows)-cut < n && kept+len(rows[cut-1].b) <= keepBytes {
		cut--
		kept += len(rows[cut].b)
	}
	return rows[:cut], rows[cut:]
}

// needsSplit is the cheap test whether splitSpill would spill.
func needsSplit(n int32, size int, added int32) bool {
	return int(n) > min(max(int(added), keepRowsMin), keepRowsMax)+spillRowsMin || size > 2*keepBytes
}
