package agg

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// quantiles is KeepQuantiles: a DDSketch (Masson, Rim, Lee, 2019) that never collapses: how many values
// fell into each of the buckets that cut the numbers so finely that a value is within Accuracy of the
// middle of its bucket. Zeros, infinities and NaN are counted apart, and the least and greatest value are
// kept and answered exactly. It answers quantile, quantiles and median.
//
// Written here and not taken from DataDog/sketches-go, which the tests compare with: its buckets come of
// math.Log2 and of products that compilers may fuse, so a value near an edge falls into another bucket on
// another machine; it panics on damaged bytes; it counts values below 2.2e-308 as zero. Here the buckets
// are those of a quadratic approximation of the logarithm, computed with roundings that are the same
// everywhere: 8 % more of them than by the logarithm itself, and their edges need a square root only.
//
//	structure = flags, one byte: 1 zeros, 2 NaN, 4 -Inf, 8 +Inf, 16 negative numbers, 32 positive numbers,
//	                             64 the least finite number is the greatest
//	            a count for each of the first four that is set
//	            least, greatest finite number, not zero (8 bytes big-endian each, as an extreme; the
//	                             greatest unless 64), if 16 or 32
//	            buckets of the negative numbers by magnitude, of the positive numbers (if 16, 32)
//	buckets   = how many are not empty, then for each, ascending:
//	            distance to the number of the one before (the first: signed), count
type quantiles struct {
	perOctave float64 // buckets in an octave
	special   [4]uint64
	low, high int64 // doubleKey of the least and greatest finite number, not zero
	sides     [2]buckets
	out       []byte
}

// The places in special, as in the flags.
const (
	qZeros = iota
	qNaN
	qNegInf
	qPosInf
)

// buckets counts by number of bucket. Pages are ascending; their memory is used again.
type buckets struct{ pages []page }

type page struct {
	at     int32 // number of the first bucket, divided by pageSize
	counts *[pageSize]uint64
}

const (
	pageBits = 5
	pageSize = 1 << pageBits
)

func newQuantiles(g *Group) keeper {
	k := &quantiles{perOctave: bucketsPerOctave(g.Keeps.Accuracy)}
	k.reset()
	return k
}

// bucketsPerOctave is so chosen that the edges of a bucket are at most (1+accuracy)/(1-accuracy) apart.
// approxLog2 rises by at least 4/3 for each unit that the natural logarithm does.
func bucketsPerOctave(accuracy float64) float64 {
	ln := log2((1+accuracy)/(1-accuracy)) * math.Ln2
	return 0.75 / ln
}

// bucketOf is the number of x's bucket, x positive and finite: floor(perOctave·approxLog2(x)), where
// approxLog2(2^e·(1+s)) = e + s·(4-s)/3, 0 <= s < 1.
func (k *quantiles) bucketOf(x float64) int32 {
	m, e := math.Frexp(x)
	s := 2*m - 1
	y := float64(e-1) + float64(s*(4-s))/3
	return int32(math.Floor(float64(y * k.perOctave)))
}

// middle is the number whose relative distance to the edges of bucket i is least.
func (k *quantiles) middle(i int32) float64 {
	e, lo := edgeOf(float64(i) / k.perOctave)
	f, hi := edgeOf(float64(i+1) / k.perOctave)
	hi = math.Ldexp(hi, f-e)
	return min(math.Ldexp(float64(2*float64(lo*hi))/(lo+hi), e), math.MaxFloat64)
}

// edgeOf is the inverse of approxLog2, as 2^e·m.
func edgeOf(y float64) (e int, m float64) {
	floor := math.Floor(y)
	return int(floor), 3 - math.Sqrt(4-float64(3*(y-floor)))
}

func (k *quantiles) add(v, _ event.Value, _ *event.Row) {
	f := toDouble(v)
	switch {
	case f == 0:
		k.special[qZeros]++
	case f != f:
		k.special[qNaN]++
	case math.IsInf(f, -1):
		k.special[qNegInf]++
	case math.IsInf(f, 1):
		k.special[qPosInf]++
	default:
		key := doubleKey(f)
		k.low, k.high = min(k.low, key), max(k.high, key)
		side := 1
		if f < 0 {
			side = 0
		}
		k.sides[side].add(k.bucketOf(math.Abs(f)), 1)
	}
}

func (b *buckets) add(i int32, n uint64) {
	at := i >> pageBits
	p, found := slices.BinarySearchFunc(b.pages, at, func(p page, at int32) int { return int(p.at) - int(at) })
	if !found {
		b.insert(p, at)
	}
	c := &b.pages[p].counts[i&(pageSize-1)]
	*c = min(*c+n, maxCount)
}

// insert makes page p, numbered at; the memory of one that was given back is taken if there is any.
func (b *buckets) insert(p int, at int32) {
	n := len(b.pages)
	if n == cap(b.pages) {
		b.pages = slices.Grow(b.pages, 1)
	}
	b.pages = b.pages[:n+1]
	fresh := b.pages[n].counts
	if fresh == nil {
		fresh = new([pageSize]uint64)
	}
	copy(b.pages[p+1:], b.pages[p:n])
	b.pages[p] = page{at, fresh}
}

func (k *quantiles) merge(other keeper) {
	o := other.(*quantiles)
	for i, n := range o.special {
		k.special[i] += n
	}
	k.low, k.high = min(k.low, o.low), max(k.high, o.high)
	for side := range o.sides {
		for i, n := range o.sides[side].all {
			k.sides[side].add(i, n)
		}
	}
}

// all are the buckets that are not empty, ascending, with their counts.
func (b *buckets) all(yield func(int32, uint64) bool) {
	for _, p := range b.pages {
		for i, n := range p.counts {
			if n != 0 && !yield(p.at<<pageBits+int32(i), n) {
				return
			}
		}
	}
}

func (k *quantiles) reset() {
	k.special = [4]uint64{}
	k.low, k.high = math.MaxInt64, math.MinInt64
	for side := range k.sides {
		b := &k.sides[side]
		for _, p := range b.pages {
			*p.counts = [pageSize]uint64{}
		}
		b.pages = b.pages[:0]
	}
}

const (
	flagSides = 4 // the first of two
	flagOne   = 1 << 6
)

func (k *quantiles) append(dst []byte) []byte {
	flags := byte(0)
	for i, n := range k.special {
		if n != 0 {
			flags |= 1 << i
		}
	}
	for side := range k.sides {
		if len(k.sides[side].pages) != 0 {
			flags |= 1 << (flagSides + side)
		}
	}
	finite := flags>>flagSides != 0
	if finite && k.low == k.high {
		flags |= flagOne
	}
	dst = append(dst, flags)
	for _, n := range k.special {
		if n != 0 {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	if finite {
		dst = binary.BigEndian.AppendUint64(dst, uint64(k.low)^1<<63)
		if k.low != k.high {
			dst = binary.BigEndian.AppendUint64(dst, uint64(k.high)^1<<63)
		}
	}
	for side := range k.sides {
		if len(k.sides[side].pages) != 0 {
			dst = k.sides[side].append(dst)
		}
	}
	return dst
}

func (b *buckets) append(dst []byte) []byte {
	used := uint64(0)
	for range b.all {
		used++
	}
	dst = binary.AppendUvarint(dst, used)
	prev, first := int32(0), true
	for i, n := range b.all {
		if first {
			dst = binary.AppendVarint(dst, int64(i))
		} else {
			dst = binary.AppendUvarint(dst, uint64(i-prev))
		}
		prev, first = i, false
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func (k *quantiles) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	flags := d.byte()
	if flags&^(flagOne<<1-1) != 0 {
		d.fail()
	}
	for i := range k.special {
		if flags>>i&1 != 0 {
			n := d.count()
			k.special[i] = min(k.special[i]+n, maxCount)
		}
	}
	if flags>>flagSides&3 != 0 {
		low := d.finite()
		high := low
		if flags&flagOne == 0 {
			high = d.finite()
		}
		k.low, k.high = min(k.low, low), max(k.high, high)
	}
	for side := range k.sides {
		if flags>>(flagSides+side)&1 != 0 {
			d.buckets(k, &k.sides[side])
		}
	}
	return d.end()
}

// count reads how many rows there were, at least one.
func (d *decoder) count() uint64 {
	n := d.uvarint()
	if n == 0 || n > maxCount {
		d.fail()
		return 0
	}
	return n
}

// finite reads the key of a finite double that is not zero.
func (d *decoder) finite() int64 {
	key := d.key()
	if f := keyDouble(key); f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		d.fail()
	}
	return key
}

func (d *decoder) buckets(k *quantiles, to *buckets) {
	least, most := int64(k.bucketOf(math.SmallestNonzeroFloat64)), int64(k.bucketOf(math.MaxFloat64))
	used := d.count()
	i := d.varint()
	for ; !d.bad; used-- {
		if i < least || i > most {
			d.fail()
			return
		}
		if n := d.count(); !d.bad {
			to.add(int32(i), n)
		}
		if used == 1 {
			return
		}
		i += int64(d.uvarint() & math.MaxUint32)
	}
}

func (k *quantiles) answer(c *Call, _ *group, _ At) event.Value {
	if c.Func != Quantiles {
		return event.DoubleOf(k.quantile(c.Quantiles[0]))
	}
	k.out = k.out[:0]
	for _, q := range c.Quantiles {
		k.out = event.AppendValue(k.out, event.DoubleOf(k.quantile(q)))
	}
	return listOf(k.out)
}

// quantile is about the value of rank floor(q·(n-1)), counted from 0, in ascending order.
func (k *quantiles) quantile(q float64) float64 {
	if k.special[qNaN] != 0 {
		return math.NaN()
	}
	below, above := k.sides[0].total(), k.sides[1].total()
	n := k.special[qNegInf] + below + k.special[qZeros] + above + k.special[qPosInf]
	rank := uint64(math.Floor(float64(q * float64(max(n, 1)-1))))
	if rank < k.special[qNegInf] {
		return math.Inf(-1)
	}
	rank -= k.special[qNegInf]
	switch {
	case rank < below && rank == 0:
		return keyDouble(k.low)
	case rank < below && rank == below-1 && above == 0:
		return keyDouble(k.high)
	case rank < below:
		return k.clamp(-k.middle(k.sides[0].at(below - 1 - rank)))
	}
	rank -= below
	if rank < k.special[qZeros] {
		return 0
	}
	rank -= k.special[qZeros]
	switch {
	case rank < above && rank == above-1:
		return keyDouble(k.high)
	case rank < above && rank == 0 && below == 0:
		return keyDouble(k.low)
	case rank < above:
		return k.clamp(k.middle(k.sides[1].at(rank)))
	}
	return math.Inf(1)
}

func (k *quantiles) clamp(x float64) float64 {
	return min(max(x, keyDouble(k.low)), keyDouble(k.high))
}

func (b *buckets) total() (n uint64) {
	for _, p := range b.pages {
		for _, c := range p.counts {
			n += c
		}
	}
	return n
}

// at is the bucket of the value of that rank, which must be less than the total.
func (b *buckets) at(rank uint64) int32 {
	for i, n := range b.all {
		if rank < n {
			return i
		}
		rank -= n
	}
	return 0
}
