package agg

import (
	"math"
	"math/bits"
	"sort"

	"github.com/penstock-ml/penstock/event"
)

// Ranges answers counts, sums, averages, extremes and edges of a group over any range of the rows of Columns: counts and
// sums by the difference of two running ones, extremes by those of blocks of rows. All windows of a group share one. Sums
// are exact: they are fixed-point numbers of 128 bits, and where a value does not fit them, or is not a number, Range
// says so. Not safe for concurrent use.
type Ranges struct {
	c      *Columns
	in     *InputColumn // nil for "*"
	of     *Group
	class  class
	kind   event.Kind
	scale  uint64
	base   int      // number of the first row that is held
	counts []uint32 // how many rows count before each, and before the next to come
	sums   []int128 // what they sum up to; empty if no sum is asked for
	exp    int      // a sum's lowest bit weighs 2^exp
	scaled bool     // exp is known
	odd    int      // no range that begins before this row is answered
	levels []extremesLevel
	open   bounds // of the rows of the block that is not full
	words  [4]uint64

	// The range at hand.
	lo, hi int
	n      int64
	last   int    // the last row that counts
	ends   bounds // of the range, once it has been asked for
	ended  bool
}

// bounds are the least and the greatest of keys: of integers themselves, of doubles as doubleKey orders them.
type bounds struct{ low, high int64 }

var noBounds = bounds{math.MaxInt64, math.MinInt64}

func (b *bounds) add(x bounds) { b.low, b.high = min(b.low, x.low), max(b.high, x.high) }

// extremesLevel holds the bounds of full blocks: of level 0 of blockRows rows, of another of as many of the one below.
type extremesLevel struct {
	base int // number of the first block
	of   []bounds
}

const blockRows = 16

// int128 is a two's complement integer.
type int128 struct {
	hi int64
	lo uint64
}

func (x int128) add(y int128) int128 {
	lo, carry := bits.Add64(x.lo, y.lo, 0)
	hi, _ := bits.Add64(uint64(x.hi), uint64(y.hi), carry)
	return int128{int64(hi), lo}
}

func (x int128) neg() int128 {
	lo, borrow := bits.Sub64(0, x.lo, 0)
	hi, _ := bits.Sub64(0, uint64(x.hi), borrow)
	return int128{int64(hi), lo}
}

// NewRanges returns the Ranges of a group over c, or nil if there are none of its kind.
func NewRanges(l *Layout, group int, c *Columns) *Ranges {
	of := &l.Groups[group]
	if !of.Slides() || of.Type.Kind == event.Null && of.Input >= 0 {
		return nil
	}
	r := &Ranges{c: c, of: of, class: classOf(of), kind: of.Type.Kind}
	if of.Input >= 0 {
		r.in = &c.Inputs[of.Input]
	}
	if of.Type.Kind == event.Decimal {
		r.scale = uint64(of.Type.Scale)
	}
	r.Reset()
	return r
}

// Answers tells whether ranges answer a call.
func (r *Ranges) Answers(c *Call) bool {
	if c.By != nil {
		return false
	}
	switch c.Func {
	case Count, First, Last:
		return true
	case Sum, Avg:
		return r.numeric() && r.of.Parts&PartSum != 0
	case Min:
		return r.numeric() && r.of.Parts&PartMin != 0
	case Max:
		return r.numeric() && r.of.Parts&PartMax != 0
	}
	return false
}

// numeric tells whether an int64 orders the values.
func (r *Ranges) numeric() bool { return r.class == classDouble || r.class == classInteger }

// RowSize is about how many bytes a row takes here.
func (r *Ranges) RowSize() int {
	if r.numeric() && r.of.Parts&PartSum != 0 {
		return 4 + 16 + 2
	}
	return 4 + 2
}

// Reset forgets all rows, as Columns.Reset does.
func (r *Ranges) Reset() {
	r.base, r.odd, r.scaled, r.exp = 0, 0, false, 0
	r.counts, r.sums = append(r.counts[:0], 0), append(r.sums[:0], int128{})
	r.open = noBounds
	for i := range r.levels {
		r.levels[i] = extremesLevel{of: r.levels[i].of[:0]}
	}
}

// Extend takes in the rows that were appended to the Columns, before any of them is dropped.
func (r *Ranges) Extend() {
	c := r.c
	from, to := r.base+len(r.counts)-1-c.base, len(c.Times)
	n := r.counts[len(r.counts)-1]
	r.counts = reserved(r.counts, to-from)
	if !r.numeric() {
		for i := from; i < to; i++ {
			if r.counted(i) {
				n++
			}
			r.counts = append(r.counts, n)
		}
		return
	}
	sum, sums, extremes := r.sums[len(r.sums)-1], r.of.Parts&PartSum != 0, r.of.Parts&(PartMin|PartMax) != 0
	if sums {
		r.sums = reserved(r.sums, to-from)
	}
	for i := from; i < to; i++ {
		if r.counted(i) {
			n++
			key := int64(r.in.Nums[i])
			if r.class == classDouble {
				key = r.double(i, &sum, sums)
			} else if sums {
				sum = sum.add(int128{key >> 63, uint64(key)})
			}
			r.open.low, r.open.high = min(r.open.low, key), max(r.open.high, key)
		}
		r.counts = append(r.counts, n)
		if sums {
			r.sums = append(r.sums, sum)
		}
		if extremes && (i+c.base)%blockRows == blockRows-1 {
			r.close(0, (i+c.base)/blockRows, r.open)
			r.open = noBounds
		}
	}
}

// counted tells whether row i of those that the Columns hold counts.
func (r *Ranges) counted(i int) bool {
	if r.of.Filter >= 0 && r.c.Pass[i]>>uint(r.of.Filter)&1 == 0 {
		return false
	}
	return r.in == nil || r.in.Kinds[i] == r.kind && (r.class != classDecimal || r.in.Nums[i] == r.scale)
}

// double adds the double at i to a sum and returns its key.
func (r *Ranges) double(i int, sum *int128, sums bool) int64 {
	f := math.Float64frombits(r.in.Nums[i]) + 0 // -0 reads as +0
	b := math.Float64bits(f)
	if b>>52&0x7ff == 0x7ff { // not a number, or infinite
		r.odd = i + r.c.base + 1
		return doubleKey(f)
	}
	if m, e := split(b); sums && m != 0 {
		if !r.scaled || e < r.exp || e > r.exp+maxShift {
			if r.scaled {
				r.odd = i + r.c.base + 1
			}
			r.scaled, r.exp = true, e-maxShift/2
		}
		s := uint(e - r.exp)
		x := int128{int64(m >> (64 - s)), m << s}
		if b>>63 != 0 {
			x = x.neg()
		}
		*sum = sum.add(x)
	}
	return doubleKey(f)
}

// maxShift leaves the sum of 2^26 values room.
const maxShift = 47

// close notes the bounds of a full block.
func (r *Ranges) close(level, block int, b bounds) {
	if level == len(r.levels) {
		r.levels = append(r.levels, extremesLevel{})
	}
	l := &r.levels[level]
	if len(l.of) == 0 {
		l.base = block
	}
	l.of = append(l.of, b)
	if block%blockRows < blockRows-1 || len(l.of) < blockRows {
		return
	}
	for _, x := range l.of[len(l.of)-blockRows : len(l.of)-1] {
		b.add(x)
	}
	r.close(level+1, block/blockRows, b)
}

// Drop forgets rows that the Columns have dropped.
func (r *Ranges) Drop() {
	before := r.c.base
	r.counts = dropped(r.counts, before-r.base)
	if len(r.sums) > 1 {
		r.sums = dropped(r.sums, before-r.base)
	}
	r.base = before
	for i := range r.levels {
		l := &r.levels[i]
		before /= blockRows
		if n := min(before-l.base, len(l.of)); n > 0 {
			l.of = dropped(l.of, n)
			l.base += n
		}
	}
}

// Range makes rows [lo, hi) those that are asked for; false if they hold a value that only a Slide can take.
func (r *Ranges) Range(lo, hi int) bool {
	r.lo, r.hi, r.last, r.ended = lo, max(lo, hi), -1, false
	if lo < r.odd && lo < hi {
		return false
	}
	i, j := lo-r.base, r.hi-r.base
	if r.n = int64(r.counts[j] - r.counts[i]); r.n == 0 {
		return true
	}
	if r.last = r.hi - 1; r.counts[j] == r.counts[j-1] {
		r.last = lo + sort.Search(j-i-1, func(k int) bool { return r.counts[i+k+1] == r.counts[j] })
	}
	return true
}

// Answer is what the group answers of the range. Text is that of the Columns.
func (r *Ranges) Answer(c *Call) Answer {
	if r.n == 0 {
		return overNothing(c)
	}
	a := Answer{Newest: r.c.Time(r.last)}
	switch c.Func {
	case Count:
		a.Value = event.LongOf(r.n)
	case Sum:
		a.Value, a.Overflow = r.sum()
	case Avg:
		words, negative := r.magnitude()
		a.Value = signed(divide(words, r.exp, uint64(r.n)), negative)
	case Min:
		a.Value = r.value(r.bounds().low)
	case Max:
		a.Value = r.value(r.bounds().high)
	case First:
		i, j := r.lo-r.base, r.hi-r.base
		a.Value = r.edge(r.lo + sort.Search(j-i-1, func(k int) bool { return r.counts[i+k+1] != r.counts[i] }))
	case Last:
		a.Value = r.edge(r.last)
	}
	return a
}

// magnitude is the absolute sum, in memory that has room for divide.
func (r *Ranges) magnitude() (words []uint64, negative bool) {
	x := r.sums[r.hi-r.base].add(r.sums[r.lo-r.base].neg())
	if negative = x.hi < 0; negative {
		x = x.neg()
	}
	r.words[0], r.words[1] = x.lo, uint64(x.hi)
	return trim(r.words[:2]), negative
}

func (r *Ranges) sum() (v event.Value, overflow bool) {
	words, negative := r.magnitude()
	if r.class == classDouble {
		return signed(roundWords(words, r.exp, false), negative), false
	}
	return longOf(words, negative)
}

// value is that of a key.
func (r *Ranges) value(key int64) event.Value {
	if r.class == classDouble {
		return event.DoubleOf(keyDouble(key))
	}
	return event.Value{Kind: r.kind, Num: uint64(key)}
}

// edge is the value of a row that counts, as first and last answer it.
func (r *Ranges) edge(row int) event.Value {
	v := r.in.at(row - r.c.base)
	switch r.class {
	case classDouble:
		return event.DoubleOf(v.Double())
	case classDecimal:
		v.Str = minimal(v.Str)
	}
	return v
}

// bounds are the least and greatest of the range.
func (r *Ranges) bounds() bounds {
	if r.ended {
		return r.ends
	}
	b := noBounds
	i, j := r.lo, r.hi
	for ; i < j && i%blockRows != 0; i++ {
		r.bound(i, &b)
	}
	for ; i < j && j%blockRows != 0; j-- {
		r.bound(j-1, &b)
	}
	for l := 0; i < j; l++ {
		i, j = i/blockRows, j/blockRows
		of := &r.levels[l]
		top := l == len(r.levels)-1
		for ; i < j && (top || i%blockRows != 0); i++ {
			b.add(of.of[i-of.base])
		}
		for ; i < j && j%blockRows != 0; j-- {
			b.add(of.of[j-1-of.base])
		}
	}
	r.ends, r.ended = b, true
	return b
}

// bound takes in a row.
func (r *Ranges) bound(row int, b *bounds) {
	i := row - r.c.base
	if !r.counted(i) {
		return
	}
	key := int64(r.in.Nums[i])
	if r.class == classDouble {
		key = doubleKey(math.Float64frombits(r.in.Nums[i]) + 0)
	}
	b.low, b.high = min(b.low, key), max(b.high, key)
}
