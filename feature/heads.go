package feature

import (
	"encoding/binary"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// heads are the heads that a shard has in memory, found by their state prefix. Nothing in them is a
// pointer, but for the archives of heads that have one.
//
// A head's block in the arena is its key, its further positions (12 bytes each), and its rows:
//
//	key | partition(4) next(8) … | row row … | room
type heads struct {
	first int // slot of tabs[0]
	tabs  []slotTab
	pages []*[headPage]head
	free  []uint32 // ids of no head
	count int64    // of heads
	index int64    // bytes of tabs
	mem   arena
	roots map[uint32]archive
	rooms int64  // bytes of roots
	hand  uint32 // where eviction goes on
}

// slotTab finds the heads of one slot: a table with open addressing of hash and id + 1. Small tables, one a
// slot, never need long to grow, and bring the heads to flush into nearly the order of their keys.
type slotTab struct {
	tab   []uint64 // hash << 32 | id + 1; 0 is free. Its length is a power of two
	n     int
	dirty []uint32 // ids of heads with rows that no capture holds; some may be twice in it, or clean by now
}

const (
	headPage    = 64
	offsetBytes = 12
)

// archive is what a head knows of its archive. root is immutable.
type archive struct {
	root   *node
	lastID uint64
}

// head is what is recent of one entity in one view: the rows that are not in the archive yet, and up to
// where it has counted in each partition, so that a replay of what it has counted does nothing.
//
// A blind head was made without looking into the state: what is stored of its entity, if anything, is
// merged when the head is flushed or read, by positions. So a row costs the same whether its entity is
// in memory or not.
type head struct {
	at    ref
	next  int64 // with part: counted up to, of one partition; nearly always the only one
	part  int32
	size  uint32 // bytes of rows
	old   uint32 // bytes of rows before the last capture
	n     int32  // rows
	more  uint32 // further positions
	keyed uint16 // bytes of the key
	epoch uint8  // of the last use, for eviction
	flags headFlags
}

type headFlags uint8

const (
	headLive    headFlags = 1 << iota // the id is of a head
	headDirty                         // has rows that no capture holds
	headFlushes                       // captured, the commit has not returned
	headUrgent                        // has asked for a flush of its own
	headBlind                         // what is stored of it is not known
	headRooted                        // has an archive
)

func (h *head) is(f headFlags) bool { return h.flags&f != 0 }

// added is about how many rows there are since the last capture.
func (h *head) added() int32 {
	if h.old == 0 {
		return h.n
	}
	return int32((int64(h.n)*int64(h.size-h.old) + int64(h.size) - 1) / int64(max(h.size, 1)))
}

func newHeads(first, slots int) *heads {
	return &heads{first: first, tabs: make([]slotTab, slots), roots: map[uint32]archive{}}
}

func (t *heads) at(id uint32) *head { return &t.pages[id/headPage][id%headPage] }

func (t *heads) tab(prefix []byte) *slotTab { return &t.tabs[prefixSlot(prefix)-t.first] }

func hashPrefix(prefix []byte) uint32 { return uint32(xxhash.Sum64(prefix)) }

// find returns the head of a prefix.
func (t *heads) find(prefix []byte) (id uint32, h *head) {
	return t.lookup(t.tab(prefix), prefix, hashPrefix(prefix))
}

func (t *heads) lookup(s *slotTab, prefix []byte, hash uint32) (uint32, *head) {
	if len(s.tab) == 0 {
		return 0, nil
	}
	mask := uint32(len(s.tab) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		x := s.tab[i]
		if x == 0 {
			return 0, nil
		}
		if uint32(x>>32) != hash {
			continue
		}
		id := uint32(x) - 1
		if h := t.at(id); string(t.key(h)) == string(prefix) {
			return id, h
		}
	}
}

// add makes a head without rows, with room for some bytes of them.
func (t *heads) add(s *slotTab, prefix []byte, hash uint32, room int) (uint32, *head) {
	id := t.newID()
	if (s.n+1)*4 > len(s.tab)*3 {
		t.resize(s, max(2*len(s.tab), 4))
	}
	s.insert(hash, id)
	s.n++
	t.count++
	h := t.at(id)
	*h = head{keyed: uint16(len(prefix)), flags: headLive}
	var b []byte
	h.at, b = t.mem.alloc(id, len(prefix)+room)
	copy(b, prefix)
	return id, h
}

func (t *heads) newID() uint32 {
	if len(t.free) == 0 {
		from := uint32(len(t.pages)) * headPage
		t.pages = append(t.pages, new([headPage]head))
		for i := from + headPage; i > from; i-- {
			t.free = append(t.free, i-1)
		}
	}
	id := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	return id
}

func (t *heads) resize(s *slotTab, n int) {
	old := s.tab
	s.tab = make([]uint64, n)
	t.index += int64(n-len(old)) * 8
	for _, x := range old {
		if x != 0 {
			s.insert(uint32(x>>32), uint32(x)-1)
		}
	}
}

func (s *slotTab) insert(hash, id uint32) {
	mask := uint32(len(s.tab) - 1)
	i := hash & mask
	for s.tab[i] != 0 {
		i = (i + 1) & mask
	}
	s.tab[i] = uint64(hash)<<32 | uint64(id+1)
}

// remove forgets a head.
func (t *heads) remove(id uint32) {
	h := t.at(id)
	s := t.tab(t.key(h))
	mask := uint32(len(s.tab) - 1)
	i := hashPrefix(t.key(h)) & mask
	for uint32(s.tab[i]) != id+1 {
		i = (i + 1) & mask
	}
	// Close the gap: what follows and would lie nearer to its own place moves up.
	for j := (i + 1) & mask; s.tab[j] != 0; j = (j + 1) & mask {
		if home := uint32(s.tab[j]>>32) & mask; (j-home)&mask >= (j-i)&mask {
			s.tab[i] = s.tab[j]
			i = j
		}
	}
	s.tab[i] = 0
	s.n--
	t.count--
	if s.n == 0 {
		t.resize(s, 0)
	} else if s.n*8 <= len(s.tab) {
		t.resize(s, len(s.tab)/4)
	}
	t.mem.free(h.at)
	t.setArchive(id, h, archive{})
	*h = head{}
	t.free = append(t.free, id)
	if t.count == 0 {
		t.clear()
	}
}

// clear gives up what no head is left for; ids that others still have are of no head.
func (t *heads) clear() {
	t.pages, t.free, t.hand = nil, nil, 0
	for i := range t.tabs {
		t.tabs[i].dirty = nil
	}
}

// live returns the head of an id that may be of none by now.
func (t *heads) live(id uint32) *head {
	if int(id/headPage) >= len(t.pages) {
		return &head{}
	}
	return t.at(id)
}

// key is the state prefix of h, valid while the shard's lock is held, as all that is read of a block.
func (t *heads) key(h *head) []byte { return t.mem.block(h.at)[:h.keyed:h.keyed] }

func (h *head) rowsAt() uint32 { return uint32(h.keyed) + offsetBytes*h.more }

// rows are the encoded rows of h in the order they were counted.
func (t *heads) rows(h *head) []byte {
	from := h.rowsAt()
	return t.mem.block(h.at)[from : from+h.size : from+h.size]
}

// appendRow adds an encoded row.
func (t *heads) appendRow(id uint32, h *head, row []byte) {
	from := h.rowsAt() + h.size
	b := t.mem.block(h.at)
	if int(from)+len(row) > len(b) {
		b = t.move(id, h, len(row)+int(h.size/2))
	}
	copy(b[from:], row)
	h.size += uint32(len(row))
	h.n++
}

// move lays the block of h anew with room for more bytes.
func (t *heads) move(id uint32, h *head, more int) []byte {
	used := h.rowsAt() + h.size
	was := h.at
	r, b := t.mem.alloc(id, int(used)+more)
	copy(b, t.mem.block(was)[:used])
	h.at = r
	t.mem.free(was)
	return b
}

// setRows replaces the rows; size and n are those of parts together.
func (t *heads) setRows(id uint32, h *head, n int32, parts ...[]byte) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	from := h.rowsAt()
	was := h.at
	r, b := t.mem.alloc(id, int(from)+size)
	copy(b, t.mem.block(was)[:from])
	at := int(from)
	for _, p := range parts {
		at += copy(b[at:], p)
	}
	h.at, h.size, h.n = r, uint32(size), n
	t.mem.free(was)
}

// counted returns the offset next to count in a partition.
func (t *heads) counted(h *head, part int32) int64 {
	if h.part == part {
		return h.next
	}
	for i := range int(h.more) {
		if o := t.further(h, i); o.part == part {
			return o.next
		}
	}
	return 0
}

// further is one of the positions behind the first.
func (t *heads) further(h *head, i int) offset {
	b := t.mem.block(h.at)[int(h.keyed)+i*offsetBytes:]
	return offset{int32(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint64(b[4:]))}
}

func putOffset(b []byte, o offset) {
	binary.LittleEndian.PutUint32(b, uint32(o.part))
	binary.LittleEndian.PutUint64(b[4:], uint64(o.next))
}

// appendCounted appends all positions.
func (t *heads) appendCounted(dst []offset, h *head) []offset {
	dst = append(dst, offset{h.part, h.next})
	for i := range int(h.more) {
		dst = append(dst, t.further(h, i))
	}
	return dst
}

// countTo notes that everything below next has been counted; a position never moves back.
func (t *heads) countTo(id uint32, h *head, part int32, next int64) {
	if h.part == part || h.next == 0 {
		h.part, h.next = part, max(next, h.next)
		return
	}
	for i := range int(h.more) {
		if o := t.further(h, i); o.part == part {
			putOffset(t.mem.block(h.at)[int(h.keyed)+i*offsetBytes:], offset{part, max(next, o.next)})
			return
		}
	}
	rows := h.rowsAt()
	b := t.mem.block(h.at)
	if t.mem.owned(h.at) || int(rows+h.size+offsetBytes) > len(b) { // rows move: never under a reader
		b = t.move(id, h, offsetBytes+int(h.size/2))
	}
	copy(b[rows+offsetBytes:], b[rows:rows+h.size])
	putOffset(b[rows:], offset{part, next})
	h.more++
}

// prune forgets positions at or below the restart offset of their partition, as appendHead does. A head
// of thousands of partitions (files, read one after the other) would look each row up among all of them.
func (t *heads) prune(id uint32, h *head, restart func(part int32) int64) {
	if h.more < pruneFrom {
		return
	}
	rows := append([]byte(nil), t.rows(h)...)
	kept := uint32(0)
	for i := range int(h.more) {
		if o := t.further(h, i); o.next > restart(o.part) {
			putOffset(t.mem.block(h.at)[int(h.keyed)+int(kept)*offsetBytes:], o)
			kept++
		}
	}
	h.more = kept
	t.setRows(id, h, h.n, rows)
}

const pruneFrom = 16

// archive is what h knows of its archive.
func (t *heads) archive(id uint32, h *head) archive {
	if !h.is(headRooted) {
		return archive{}
	}
	return t.roots[id]
}

func (t *heads) setArchive(id uint32, h *head, x archive) {
	if h.is(headRooted) {
		t.rooms -= t.roots[id].memory()
		delete(t.roots, id)
		h.flags &^= headRooted
	}
	if x.root != nil || x.lastID != 0 {
		t.rooms += x.memory()
		t.roots[id] = x
		h.flags |= headRooted
	}
}

// memory is what an archive's root holds; blocks are counted by their encoding.
func (x archive) memory() int64 {
	m := int64(100)
	if x.root != nil {
		for i := range x.root.entries {
			m += int64(entrySize(&x.root.entries[i])) + 100
		}
		m += int64(x.root.base.size())
	}
	return m
}

// memory is what all heads hold.
func (t *heads) memory() int64 {
	return t.mem.used() + int64(len(t.pages)*headPage)*int64(unsafe.Sizeof(head{})) + t.index + t.rooms
}

// tidy closes holes, a little at a time.
func (t *heads) tidy(pages int) {
	for ; pages > 0 && t.mem.loose() && t.mem.clean(t.moved); pages-- {
	}
}

// tighten closes most holes. Each page is emptied at most once: large blocks leave the ends of pages free,
// however often they are laid anew.
func (t *heads) tighten() {
	for n := len(t.mem.pages); n > 0 && t.mem.holes() > t.mem.held/10 && t.mem.clean(t.moved); n-- {
	}
}

func (t *heads) moved(id uint32, r ref) { t.at(id).at = r }
