package agg

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// ranked is KeepFirst and KeepLast: the first or last K rows in tie order with their values; if Distinct,
// of each value only the row that is first (last). It answers first_k, last_k, nth, lag and collect_list.
//
//	structure = number of rows, then for each in tie order:
//	            event time - the one before (the first: signed)
//	            source, partition (signed), offset - the one before (signed), index (signed)
//	            order value (event.AppendValue), value
type ranked struct {
	form     form
	k        int
	last     bool
	distinct bool
	rows     []rankedRow // in tie order if sorted
	sorted   bool
	full     bool // rows[:k] was all that is kept when it was last tidied: what lies beyond its edge is out
	seen     map[atom]struct{}
	out      []byte
}

// rankedRow is a row's place in tie order, and its value.
type rankedRow struct {
	time  event.Time
	pos   event.Position
	order kept
	value held
}

// slack is how many rows beyond K, and K again, are taken in before they are cut.
const slack = 16

func newRanked(g *Group) keeper {
	s := &g.Keeps
	k := &ranked{form: formOf(g.Type), k: max(s.K, 1), last: s.Kind == KeepLast, distinct: s.Distinct, sorted: true}
	if s.Distinct {
		k.seen = map[atom]struct{}{}
	}
	return k
}

func (k *ranked) add(v, _ event.Value, r *event.Row) {
	k.offer(r.Time, r.Order, r.Pos, k.form.atom(v))
}

// compare is tie order. Rows differ in position; the value is looked at for foreign bytes only.
func (k *ranked) compare(x, y *rankedRow) int {
	if x.time != y.time {
		return cmp.Compare(int64(x.time), int64(y.time))
	}
	a, b := event.Row{Time: x.time, Order: x.order.get(), Pos: x.pos}, event.Row{Time: y.time, Order: y.order.get(), Pos: y.pos}
	if c := a.Compare(&b); c != 0 {
		return c
	}
	return k.form.compare(x.value.atom(), y.value.atom())
}

func (k *ranked) offer(t event.Time, order event.Value, pos event.Position, a atom) {
	if k.full && t != k.edge().time && (t > k.edge().time) != k.last {
		return
	}
	if len(k.rows) >= 2*k.k+slack {
		k.tidy()
	}
	if len(k.rows) == cap(k.rows) {
		k.rows = slices.Grow(k.rows, 1)
	}
	n := len(k.rows)
	k.rows = k.rows[:n+1]
	r := &k.rows[n]
	r.time, r.pos = t, pos
	r.order.set(order)
	r.value.set(a)
	switch {
	case k.full && !k.last && k.compare(k.edge(), r) <= 0:
		k.rows = k.rows[:n]
	case n > 0 && k.sorted && k.compare(&k.rows[n-1], r) > 0:
		k.sorted = false
	}
}

// edge is the last row that was kept when the rows were tidied.
func (k *ranked) edge() *rankedRow {
	if k.last {
		return &k.rows[0]
	}
	return &k.rows[k.k-1]
}

// tidy leaves what is kept, in tie order.
func (k *ranked) tidy() {
	if !k.sorted {
		slices.SortFunc(k.rows, func(x, y rankedRow) int { return k.compare(&x, &y) })
		k.sorted = true
	}
	if k.distinct {
		k.once()
	}
	if over := len(k.rows) - k.k; over >= 0 {
		if k.last {
			k.drop(over)
		}
		k.rows = k.rows[:k.k]
		k.full = true
	}
}

// drop takes the first n rows away; their memory goes behind the others.
func (k *ranked) drop(n int) {
	if n == 0 {
		return
	}
	for i := n; i < len(k.rows); i++ {
		k.rows[i-n], k.rows[i] = k.rows[i], k.rows[i-n]
	}
	k.rows = k.rows[:len(k.rows)-n]
}

// once leaves of each value the first row, or the last.
func (k *ranked) once() {
	clear(k.seen)
	fresh := func(i int) bool {
		a := k.rows[i].value.atom()
		if _, ok := k.seen[a]; ok {
			return false
		}
		k.seen[a] = struct{}{}
		return true
	}
	if !k.last {
		w := 0
		for i := range k.rows {
			if fresh(i) {
				k.rows[w], k.rows[i] = k.rows[i], k.rows[w]
				w++
			}
		}
		k.rows = k.rows[:w]
		return
	}
	w := len(k.rows)
	for i := len(k.rows) - 1; i >= 0; i-- {
		if fresh(i) {
			w--
			k.rows[w], k.rows[i] = k.rows[i], k.rows[w]
		}
	}
	k.drop(w)
}

func (k *ranked) merge(other keeper) {
	o := other.(*ranked)
	for i := range o.rows {
		r := &o.rows[i]
		k.offer(r.time, r.order.get(), r.pos, r.value.atom())
	}
}

func (k *ranked) reset() {
	k.rows, k.sorted, k.full = k.rows[:0], true, false
}

func (k *ranked) append(dst []byte) []byte {
	k.tidy()
	dst = binary.AppendUvarint(dst, uint64(len(k.rows)))
	for i := range k.rows {
		r := &k.rows[i]
		offset := r.pos.Offset
		if i == 0 {
			dst = binary.AppendVarint(dst, int64(r.time))
		} else {
			dst = binary.AppendUvarint(dst, uint64(r.time)-uint64(k.rows[i-1].time))
			offset -= k.rows[i-1].pos.Offset
		}
		dst = binary.AppendUvarint(dst, uint64(r.pos.Source))
		dst = binary.AppendVarint(dst, int64(r.pos.Partition))
		dst = binary.AppendVarint(dst, offset)
		dst = binary.AppendVarint(dst, int64(r.pos.Index))
		dst = event.AppendValue(dst, r.order.get())
		dst = k.form.append(dst, r.value.atom())
	}
	return dst
}

func (k *ranked) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	n := d.uvarint()
	t, offset := int64(0), int64(0)
	for i := uint64(0); i < n && !d.bad; i++ {
		if i == 0 {
			t = d.varint()
		} else {
			t += int64(d.uvarint())
		}
		source, partition := d.uvarint(), d.varint()
		offset += d.varint()
		index := d.varint()
		order := d.order()
		a := k.form.read(&d)
		if source > math.MaxUint16 || partition != int64(int32(partition)) || index != int64(int32(index)) {
			d.fail()
		}
		if !d.bad {
			pos := event.Position{Source: uint16(source), Partition: int32(partition), Offset: offset, Index: int32(index)}
			k.offer(event.Time(t), order, pos, a)
		}
	}
	return d.end()
}

// order reads the value of an order column.
func (d *decoder) order() event.Value {
	v, rest, err := event.DecodeValue(event.Alias(d.b))
	if err != nil || v.Kind == event.Decimal && v.Num > maxScale {
		d.fail()
		return event.Value{}
	}
	d.b = d.b[len(d.b)-len(rest):]
	return v
}

func (k *ranked) answer(c *Call, _ *group, _ At) event.Value {
	k.tidy()
	rows := k.rows
	switch c.Func {
	case Nth:
		if c.K > 0 {
			return k.at(c.K - 1)
		}
		return k.at(len(rows) + c.K)
	case Lag:
		return k.at(len(rows) - 1 - c.K)
	case FirstK:
		rows = rows[:min(c.K, len(rows))]
	case LastK:
		rows = rows[max(0, len(rows)-c.K):]
	}
	k.out = k.out[:0]
	for i := range rows {
		k.out = event.AppendValue(k.out, k.form.value(rows[i].value.atom()))
	}
	return listOf(k.out)
}

func (k *ranked) at(i int) event.Value {
	if i < 0 || i >= len(k.rows) {
		return event.Value{}
	}
	return k.form.value(k.rows[i].value.atom())
}
