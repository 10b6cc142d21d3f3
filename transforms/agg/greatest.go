package agg

import (
	"encoding/binary"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// greatest is KeepTop and KeepBottom: the K greatest or least values, duplicates among them. It answers
// top_k and bottom_k.
//
//	structure = number of values, then each, ascending (integers: distance to the one before, the first to 0)
type greatest struct {
	form   form
	k      int
	least  bool
	values []held
	full   bool // values[:k] was all that is kept when it was last tidied
	out    []byte
}

func newGreatest(g *Group) keeper {
	return &greatest{form: formOf(g.Type), k: max(g.Keeps.K, 1), least: g.Keeps.Kind == KeepBottom}
}

func (k *greatest) add(v, _ event.Value, _ *event.Row) { k.offer(k.form.atom(v)) }

func (k *greatest) offer(a atom) {
	if k.full {
		if c := k.form.compare(a, k.edge()); c == 0 || (c < 0) != k.least {
			return
		}
	}
	if len(k.values) >= 2*k.k+slack {
		k.tidy()
	}
	if len(k.values) == cap(k.values) {
		k.values = slices.Grow(k.values, 1)
	}
	k.values = k.values[:len(k.values)+1]
	k.values[len(k.values)-1].set(a)
}

// edge is the value next to leave when the values were last tidied.
func (k *greatest) edge() atom {
	if k.least {
		return k.values[k.k-1].atom()
	}
	return k.values[0].atom()
}

// tidy leaves what is kept, ascending.
func (k *greatest) tidy() {
	slices.SortFunc(k.values, func(x, y held) int { return k.form.compare(x.atom(), y.atom()) })
	over := len(k.values) - k.k
	if over < 0 {
		return
	}
	if !k.least && over > 0 {
		for i := over; i < len(k.values); i++ { // the memory of those that leave is used again
			k.values[i-over], k.values[i] = k.values[i], k.values[i-over]
		}
	}
	k.values, k.full = k.values[:k.k], true
}

func (k *greatest) merge(other keeper) {
	o := other.(*greatest)
	for i := range o.values {
		k.offer(o.values[i].atom())
	}
}

func (k *greatest) reset() { k.values, k.full = k.values[:0], false }

func (k *greatest) append(dst []byte) []byte {
	k.tidy()
	dst = binary.AppendUvarint(dst, uint64(len(k.values)))
	prev := int64(0)
	for i := range k.values {
		a := k.values[i].atom()
		dst = k.form.appendNext(dst, prev, a)
		prev = a.num
	}
	return dst
}

func (k *greatest) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	n, prev := d.uvarint(), int64(0)
	for ; n > 0 && !d.bad; n-- {
		a := k.form.readNext(&d, prev)
		if !d.bad {
			k.offer(a)
		}
		prev = a.num
	}
	return d.end()
}

func (k *greatest) answer(c *Call, _ *group, _ At) event.Value {
	k.tidy()
	k.out = k.out[:0]
	n := len(k.values)
	for i := range min(c.K, n) {
		if !k.least {
			i = n - 1 - i
		}
		k.out = event.AppendValue(k.out, k.form.value(k.values[i].atom()))
	}
	return listOf(k.out)
}
