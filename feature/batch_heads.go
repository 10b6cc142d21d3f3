package feature

import (
	"bytes"

	"github.com/penstock-ml/penstock/state"
)

// Rows of an export come in the order in which the state keeps entities (Selector.AppendEntity), and the blocks of an
// entity lie behind its head. Where rows ask for many of the entities, it is cheaper to walk from one entry to the
// next than to look each up: a step takes about a fifteenth of a look-up's time.

const (
	stepsAhead   = 16  // entries that are stepped over before a head is sought
	stepsToBlock = 4   // the same for a block, which is larger
	walkAfter    = 16  // heads that are looked up before a walk is tried
	restAfter    = 16  // how much debt makes a walk rest
	forgiven     = 32  // how much credit a walk may gather
	lookupsAtMax = 512 // heads that are looked up before walking is tried again, at most
	slotBytes    = 4   // of a key: slot and view
)

// headWalk reads heads and blocks of a cut for one view.
type headWalk struct {
	cursor  state.Cursor
	placed  bool   // the cursor was moved to where it stands, which is
	from    []byte // the first entry at or above this
	valid   bool   // there is one
	value   []byte // of the last head
	asked   []byte // the last head
	strays  int    // heads that came out of order, less those that did not
	lookups int    // still to be done before a walk is tried
	rest    int    // how many lookups the next rest takes
	debt    int    // heads that were sought, less those that were walked to
	started bool
}

// inOrder tells, of each head that is asked for, whether they come in order by and large: who reads slot after slot
// begins anew some times.
func (w *headWalk) inOrder(key []byte) bool {
	if bytes.Compare(key, w.asked) < 0 {
		w.strays = min(w.strays+4, 64)
	} else {
		w.strays = max(w.strays-1, 0)
	}
	w.asked = append(w.asked[:0], key...)
	return w.strays < 16
}

// get reads the head at key, or state.ErrNotFound. It is valid until the next get.
func (w *headWalk) get(c *Cut, key []byte) (value []byte, err error) {
	if !w.started {
		w.started, w.lookups, w.rest = true, walkAfter, walkAfter
	}
	if w.lookups > 0 {
		w.lookups--
		if value, err = c.snap.Get(key, w.value); err == nil {
			w.value = value
		}
		return value, err
	}
	if w.cursor == nil {
		if w.cursor, err = c.cursor(); err != nil {
			return nil, err
		}
	}
	if w.find(key, stepsAhead) {
		if w.debt = max(w.debt-1, -forgiven); w.debt == -forgiven {
			w.rest = walkAfter
		}
	} else if w.debt += 2; w.debt > restAfter {
		w.debt, w.lookups, w.rest = 0, w.rest, min(2*w.rest, lookupsAtMax)
	}
	if !w.at(key) {
		return nil, state.ErrNotFound
	}
	if value, err = w.cursor.Value(w.value); err == nil {
		w.value = value
	}
	return value, err
}

// block appends the block at key, of the entity of the last head, to dst[:0].
func (w *headWalk) block(c *Cut, key, dst []byte) ([]byte, error) {
	if w.cursor == nil || bytes.Compare(key, w.from) < 0 {
		return c.snap.Get(key, dst)
	}
	w.find(key, stepsToBlock)
	if !w.at(key) {
		return nil, state.ErrNotFound
	}
	return w.cursor.Value(dst)
}

// find moves the cursor to the first entry at or above key: by steps if that is near, which it tells.
func (w *headWalk) find(key []byte, steps int) (near bool) {
	if near = w.placed && bytes.Compare(key, w.from) >= 0 && w.walk(key, steps); !near {
		w.valid = w.cursor.Seek(key)
	}
	w.placed, w.from = true, append(w.from[:0], key...)
	return near
}

// walk is find by at most steps, within a slot of the view; it tells whether it got there.
func (w *headWalk) walk(key []byte, steps int) bool {
	for ; w.valid; steps-- {
		at := w.cursor.Key()
		if bytes.Compare(at, key) >= 0 {
			return true
		}
		if steps == 0 || !bytes.HasPrefix(at, key[:min(slotBytes, len(key))]) {
			return false
		}
		w.valid = w.cursor.Next()
	}
	return true
}

// at tells whether the cursor stands at key.
func (w *headWalk) at(key []byte) bool { return w.valid && bytes.Equal(w.cursor.Key(), key) }

// leafMemory holds leaves of an entity, as far as they fit, in memory that is used again for those of the next.
type leafMemory struct {
	buf    []byte
	leaves map[uint64][]byte
}

const (
	leafMemoryMin = 64 << 10
	leafMemoryMax = 1 << 20
)

func (m *leafMemory) reset() {
	if m.buf = m.buf[:0]; len(m.leaves) > 0 {
		clear(m.leaves)
	}
}

// room is where the next block is read to. What was read before stays where it is.
func (m *leafMemory) room() []byte {
	if n := cap(m.buf); n < leafMemoryMax && n-len(m.buf) < leafMemoryMin/2 {
		m.buf = make([]byte, 0, max(2*n, leafMemoryMin))
	}
	return m.buf[len(m.buf):]
}

// keep keeps the rows of a leaf, whose block was read to room; it tells whether there was room enough.
func (m *leafMemory) keep(id uint64, block, rows []byte) bool {
	if len(block) > cap(m.buf)-len(m.buf) {
		return false
	}
	m.buf = m.buf[:len(m.buf)+len(block)]
	if m.leaves == nil {
		m.leaves = map[uint64][]byte{}
	}
	m.leaves[id] = rows
	return true
}
