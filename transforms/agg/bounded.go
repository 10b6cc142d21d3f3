package agg

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// bounded is a set of distinct values, at most limit: those whose hash is smallest, ties by value. Which
// they are depends on the set of values that were offered alone; and a value that is in the set at the end
// was never out of it since it was first offered, so whatever is counted beside it is complete.
type bounded struct {
	form    form
	limit   int
	slots   []slot
	index   map[uint64]int32 // by hash: 1 + the slot that was placed last; others follow by next
	heap    []int32          // slots, the greatest hash first; only once the set is full
	scratch []byte
	sorted  []int32
}

type slot struct {
	hash uint64
	key  held
	next int32 // 1 + the next slot of equal hash; 0: none
}

func newBounded(t event.Type, limit int) bounded {
	return bounded{form: formOf(t), limit: max(limit, 1), index: map[uint64]int32{}}
}

// place finds a's slot, or makes one; -1 if a is not of the set. A fresh slot may have been another
// value's, which is then out of the set for good.
func (b *bounded) place(a atom) (i int32, fresh, evicted bool) {
	h, scratch := b.form.hash(a, b.scratch)
	b.scratch = scratch
	if i = b.hashed(h, a); i >= 0 {
		return i, false, false
	}
	if len(b.slots) < b.limit {
		if len(b.slots) == cap(b.slots) {
			b.slots = slices.Grow(b.slots, 1)
		}
		b.slots = b.slots[:len(b.slots)+1]
		i = int32(len(b.slots) - 1)
		b.fill(i, h, a)
		return i, true, false
	}
	if len(b.heap) == 0 {
		b.heapify()
	}
	i = b.heap[0]
	if s := &b.slots[i]; h > s.hash || h == s.hash && b.form.compare(a, s.key.atom()) > 0 {
		return -1, false, false
	}
	b.unlink(i)
	b.fill(i, h, a)
	b.down(0)
	return i, true, true
}

// find finds a's slot, or -1.
func (b *bounded) find(a atom) int32 {
	h, scratch := b.form.hash(a, b.scratch)
	b.scratch = scratch
	return b.hashed(h, a)
}

// hashed finds the slot of a, whose hash is h, or -1.
func (b *bounded) hashed(h uint64, a atom) int32 {
	for i := b.index[h]; i != 0; i = b.slots[i-1].next {
		if b.form.compare(b.slots[i-1].key.atom(), a) == 0 {
			return i - 1
		}
	}
	return -1
}

func (b *bounded) fill(i int32, h uint64, a atom) {
	s := &b.slots[i]
	s.hash, s.next = h, b.index[h]
	s.key.set(a)
	b.index[h] = i + 1
}

// unlink takes slot i out of the index.
func (b *bounded) unlink(i int32) {
	s := &b.slots[i]
	at := b.index[s.hash]
	if at == i+1 {
		if s.next == 0 {
			delete(b.index, s.hash)
		} else {
			b.index[s.hash] = s.next
		}
		return
	}
	for b.slots[at-1].next != i+1 {
		at = b.slots[at-1].next
	}
	b.slots[at-1].next = s.next
}

func (b *bounded) heapify() {
	for i := range b.slots {
		b.heap = append(b.heap, int32(i))
	}
	for i := len(b.heap)/2 - 1; i >= 0; i-- {
		b.down(i)
	}
}

// above tells whether slot i comes before slot j in the heap.
func (b *bounded) above(i, j int32) bool {
	s, t := &b.slots[i], &b.slots[j]
	if s.hash != t.hash {
		return s.hash > t.hash
	}
	return b.form.compare(s.key.atom(), t.key.atom()) > 0
}

func (b *bounded) down(i int) {
	for {
		top := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(b.heap); c++ {
			if b.above(b.heap[c], b.heap[top]) {
				top = c
			}
		}
		if top == i {
			return
		}
		b.heap[i], b.heap[top] = b.heap[top], b.heap[i]
		i = top
	}
}

func (b *bounded) reset() {
	b.slots, b.heap = b.slots[:0], b.heap[:0]
	clear(b.index)
}

// order lists the slots by their values, ascending; valid until the next call.
func (b *bounded) order() []int32 {
	b.sorted = b.sorted[:0]
	for i := range b.slots {
		b.sorted = append(b.sorted, int32(i))
	}
	slices.SortFunc(b.sorted, func(i, j int32) int { return b.form.compare(b.at(i), b.at(j)) })
	return b.sorted
}

// at is the value in slot i.
func (b *bounded) at(i int32) atom { return b.slots[i].key.atom() }
