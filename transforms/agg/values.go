package agg

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// values is KeepValues: the distinct values of smallest hash, at most Limit, and how many rows had each.
// It answers mode, frequent, entropy, count_distinct and collect_set. With more distinct values than
// Limit they are answered over those that are kept, a sample of the distinct values that does not depend
// on how often each occurs; their counts are exact.
//
//	structure = number of values, then for each, ascending:
//	            value (integers: distance to the one before, the first to 0), count
type values struct {
	set    bounded
	counts []uint64 // by slot; those beyond the set's slots are 0
	ranked []int32  // scratch
	out    []byte
	sum    accumulator
}

// maxCount bounds the counts that foreign bytes may bring.
const maxCount = 1 << 56

func newValues(g *Group) keeper {
	return &values{set: newBounded(g.Type, g.Keeps.Limit)}
}

func (k *values) add(v, _ event.Value, _ *event.Row) { k.count(k.set.form.atom(v), 1) }

// count adds n rows that had the value a.
func (k *values) count(a atom, n uint64) {
	i, fresh, _ := k.set.place(a)
	if i < 0 {
		return
	}
	if int(i) == len(k.counts) {
		k.counts = append(k.counts, 0)
	}
	if fresh {
		k.counts[i] = 0
	}
	if k.counts[i] += n; k.counts[i] > maxCount {
		k.counts[i] = maxCount
	}
}

func (k *values) merge(other keeper) {
	o := other.(*values)
	for i := range o.set.slots {
		k.count(o.set.at(int32(i)), o.counts[i])
	}
}

func (k *values) reset() { k.set.reset() }

func (k *values) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(k.set.slots)))
	prev := int64(0)
	for _, i := range k.set.order() {
		a := k.set.at(i)
		dst = k.set.form.appendNext(dst, prev, a)
		dst = binary.AppendUvarint(dst, k.counts[i])
		prev = a.num
	}
	return dst
}

func (k *values) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	n, prev := d.uvarint(), int64(0)
	for ; n > 0 && !d.bad; n-- {
		a := k.set.form.readNext(&d, prev)
		count := d.uvarint()
		if count == 0 || count > maxCount {
			d.fail()
		}
		if !d.bad {
			k.count(a, count)
		}
		prev = a.num
	}
	return d.end()
}

func (k *values) answer(c *Call, _ *group, _ At) event.Value {
	switch c.Func {
	case CountDistinct:
		return event.LongOf(int64(len(k.set.slots)))
	case Mode:
		best := int32(-1)
		for _, i := range k.set.order() { // ascending: of equals the least wins
			if best < 0 || k.counts[i] > k.counts[best] {
				best = i
			}
		}
		if best < 0 { // foreign bytes
			return event.Value{}
		}
		return k.set.form.value(k.set.at(best))
	case Entropy:
		return event.DoubleOf(k.entropy())
	case Frequent:
		k.ranked = append(k.ranked[:0], k.set.order()...)
		slices.SortStableFunc(k.ranked, func(i, j int32) int { return cmp.Compare(k.counts[j], k.counts[i]) })
		return k.list(k.ranked[:min(c.K, len(k.ranked))])
	}
	return k.list(k.set.order()) // collect_set
}

func (k *values) list(slots []int32) event.Value {
	k.out = k.out[:0]
	for _, i := range slots {
		k.out = event.AppendValue(k.out, k.set.form.value(k.set.at(i)))
	}
	return listOf(k.out)
}

// entropy is Σ p·log2(1/p), in bits, p the share of a value: every term rounded, their sum exact and
// rounded once, so the order of the values does not matter.
func (k *values) entropy() float64 {
	total := uint64(0)
	for i := range k.set.slots {
		if total += k.counts[i]; total < k.counts[i] { // foreign bytes
			total = math.MaxUint64
		}
	}
	k.sum.reset()
	for i := range k.set.slots {
		n, m := float64(total), float64(k.counts[i])
		k.sum.addDouble(math.Float64bits(float64(m/n) * log2(n/m)))
	}
	words, e, _ := k.sum.magnitude(nil)
	return roundWords(words, e, false)
}
