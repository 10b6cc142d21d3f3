package feature

import (
	"encoding/binary"
	"fmt"
)

// What a head has beside its rows.
const (
	flagRoot = 1 << iota
	flagBase
)

// appendHead appends the encoding of a head: version, last block id, positions, root, base, rows.
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
	flags := byte(0)
	if root != nil && len(root.entries) > 0 {
		flags |= flagRoot
	}
	if root != nil && root.base != nil {
		flags |= flagBase
	}
	dst = append(dst, flags)
	if flags&flagRoot != 0 {
		dst = appendNode(dst, root)
	}
	if flags&flagBase != 0 {
		dst = appendEntry(dst, root.base)
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

func decodeHead(b []byte) (storedHead, error) { return (*nodeMemory)(nil).decodeHead(b) }

// decodeHead is the function decodeHead; what it returns is valid until it is called again.
func (m *nodeMemory) decodeHead(b []byte) (storedHead, error) {
	m.reset()
	r := reader{b: b, memory: m}
	if v := r.byte(); v != blockVersion {
		return storedHead{}, fmt.Errorf("decode head: format %d is not known to this version", v)
	}
	h := storedHead{lastID: r.uvarint(), counted: r.offsets()}
	flags := r.byte()
	if flags != 0 {
		h.root = m.newNode()
	}
	if flags&flagRoot != 0 {
		h.root.level = int(r.byte())
		h.root.entries = r.entries()
	}
	if flags&flagBase != 0 {
		base := r.entry()
		h.root.base = &base
	}
	if r.bad || flags&^(flagRoot|flagBase) != 0 {
		return storedHead{}, fmt.Errorf("decode head: %w", errCorruptBlock)
	}
	h.rows = r.b
	return h, nil
}

// next returns the offset next to count in a partition.
func (s *storedHead) next(part int32) int64 {
	for _, o := range s.counted {
		if o.part == part {
			return o.next
		}
	}
	return 0
}

// appendNew appends the rows that s has not counted, and tells how many they are. Rows that a head got
// while what is stored of it was not known are told from replayed ones by it.
func (s *storedHead) appendNew(dst, rows []byte) (_ []byte, n int32, err error) {
	for len(rows) > 0 {
		_, rest, err := splitRow(rows)
		if err != nil {
			return nil, 0, err
		}
		part, off, err := rowPosition(rows)
		if err != nil {
			return nil, 0, err
		}
		if off >= s.next(part) {
			dst = append(dst, rows[:len(rows)-len(rest)]...)
			n++
		}
		rows = rest
	}
	return dst, n, nil
}

// countRows counts encoded rows.
func countRows(b []byte) (n int32, err error) {
	for ; len(b) > 0; n++ {
		if _, b, err = splitRow(b); err != nil {
			return 0, fmt.Errorf("decode head: %w", err)
		}
	}
	return n, nil
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
