package agg

import (
	"math"

	"github.com/penstock-ml/penstock/event"
)

// Partial is what is kept of a set of rows, for some of a Layout's groups. Its laws: Merge is
// associative and commutative, a reset Partial is its identity, Add is Merge of one row, Append and
// MergeEncoded round-trip, and Append gives equal bytes for equal sets of rows however they came together.
// Not safe for concurrent use.
//
// A value of another kind than its group's Type (or a decimal of another scale) counts as null.
type Partial struct {
	groups []group  // those kept, by Layout number
	at     []int32  // by Layout number: where in groups, or -1
	words  []uint64 // scratch
	broken bool     // MergeEncoded has failed half way
}

// class tells how a group keeps its least and greatest values.
type class uint8

const (
	classRows    class = iota // count "*": every row, no value
	classOther                // no order: lists and maps
	classInteger              // an int64 orders it: Bool, Long, instants
	classDouble               // an int64 orders it: see doubleKey
	classText                 // its bytes order it: String, Bytes
	classDecimal              // Str is an integer
)

func classOf(g *Group) class {
	if g.Input < 0 {
		return classRows
	}
	switch g.Type.Kind {
	case event.Bool, event.Long, event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
		return classInteger
	case event.Double:
		return classDouble
	case event.String, event.Bytes:
		return classText
	case event.Decimal:
		return classDecimal
	}
	return classOther
}

// Flags of a group of doubles: what its sum and extremes are not numbers of.
const (
	hasNaN byte = 1 << iota
	hasPosInf
	hasNegInf
)

// group is what is kept for one Group.
type group struct {
	input   int
	filter  int
	layout  int
	class   class
	kind    event.Kind
	parts   Parts
	flags   byte
	more    bool // there is extra or keep
	scale   uint64
	count   int64
	newest  event.Time
	low     int64 // the least and greatest, of classInteger and classDouble; NaN is in flags
	high    int64
	sum     accumulator
	squares accumulator
	ends    *ends  // nil if not needed
	extra   *extra // nil if not needed
	keep    keeper // nil if not needed
	keeps   Kept
	by      bool // keep holds partials by the values of another input
	left    bool // left out of an encoding that was merged: what is here is not all
}

// ends holds what few groups need.
type ends struct {
	low, high   []byte // the least and greatest, of classText and classDecimal; valid if count > 0
	first, last edge
	out         []byte // the sum of decimals that was answered
}

// edge is a row's place in tie order and its value there.
type edge struct {
	set   bool
	time  event.Time
	pos   event.Position
	order kept
	value kept
}

// kept is a Value in memory of its own.
type kept struct {
	kind event.Kind
	num  uint64
	str  []byte
}

func (k *kept) set(v event.Value) {
	k.kind, k.num, k.str = v.Kind, v.Num, append(k.str[:0], v.Str...)
}

func (k *kept) get() event.Value {
	return event.Value{Kind: k.kind, Num: k.num, Str: event.Alias(k.str)}
}

// NewPartial returns an empty partial that keeps the groups of l listed in groups (nil: all). The
// other groups are skipped by Add, Merge and MergeEncoded.
func NewPartial(l *Layout, groups []int) *Partial {
	p := &Partial{at: make([]int32, len(l.Groups))}
	want := func(int) bool { return true }
	if groups != nil {
		wanted := make([]bool, len(l.Groups))
		for _, i := range groups {
			wanted[i] = true
		}
		want = func(i int) bool { return wanted[i] }
	}
	for i := range l.Groups {
		p.at[i] = -1
		if !want(i) {
			continue
		}
		p.at[i] = int32(len(p.groups))
		p.groups = append(p.groups, newGroup(i, &l.Groups[i]))
	}
	return p
}

func newGroup(i int, of *Group) group {
	g := group{
		input: of.Input, filter: of.Filter, layout: i, class: classOf(of), kind: of.Type.Kind, parts: of.Parts,
		newest: event.MinTime, low: math.MaxInt64, high: math.MinInt64,
	}
	if g.kind == event.Decimal {
		g.scale = uint64(of.Type.Scale)
	}
	switch {
	case of.By != 0:
		g.parts = 0
	case g.class == classRows:
		g.parts &= PartOldest
	case !of.Type.Numeric():
		g.parts &^= partsOfNumbers
	}
	if g.class == classOther {
		g.parts &^= PartMin | PartMax
	}
	if g.parts&(PartFirst|PartLast) != 0 || g.class == classText || g.class == classDecimal {
		g.ends = &ends{}
	}
	if of.Second != 0 || of.By != 0 || of.Keeps.Dim != 0 || g.parts&partsOfExtra != 0 {
		g.extra = &extra{of: of, oldest: event.MaxTime}
	}
	g.keep, g.keeps, g.by = newKeeper(of), of.Keeps.Kind, of.By != 0
	g.more = g.extra != nil || g.keep != nil
	return g
}

const (
	partsOfNumbers = PartSum | PartSquares | PartCubes | PartFourths
	partsOfExtra   = PartCubes | PartFourths | PartOldest
)

// Reset empties p and keeps its memory.
func (p *Partial) Reset() {
	for i := range p.groups {
		if g := &p.groups[i]; g.count != 0 || g.left || p.broken {
			g.reset()
		}
	}
	p.broken = false
}

func (g *group) reset() {
	g.count, g.newest, g.flags, g.left = 0, event.MinTime, 0, false
	g.low, g.high = math.MaxInt64, math.MinInt64
	g.sum.reset()
	g.squares.reset()
	if g.ends != nil {
		g.ends.first.set, g.ends.last.set = false, false
	}
	if x := g.extra; x != nil {
		x.oldest = event.MaxTime
		x.cubes.reset()
		x.fourths.reset()
	}
	if g.keep != nil {
		g.keep.reset()
	}
}

// Add adds one row. It allocates nothing in the steady state, and copies what it keeps of r.
func (p *Partial) Add(r *event.Row) {
	for i := range p.groups {
		p.addTo(&p.groups[i], r)
	}
}

func (p *Partial) addTo(g *group, r *event.Row) {
	if g.filter >= 0 && r.Pass>>uint(g.filter)&1 == 0 {
		return
	}
	if g.class != classRows {
		if g.input >= len(r.Values) {
			return
		}
		v := &r.Values[g.input]
		if v.Kind == event.Null || v.Kind != g.kind || v.Kind == event.Decimal && v.Num != g.scale {
			return
		}
		if g.more && !g.addMore(v, r) {
			return
		}
		p.addValue(g, v, r)
	} else if g.more && !g.addMore(&event.Value{}, r) {
		return
	}
	g.count++
	if r.Time > g.newest {
		g.newest = r.Time
	}
}

func (p *Partial) addValue(g *group, v *event.Value, r *event.Row) {
	switch g.class {
	case classDouble:
		g.addDouble(v.Double())
	case classInteger:
		g.addInteger(v.Long())
	case classText:
		g.extend(v.Str, v.Str)
	case classDecimal:
		p.addDecimal(g, v.Str)
	}
	if g.parts&(PartFirst|PartLast) != 0 {
		g.place(v, r)
	}
}

// doubleKey maps doubles to integers in their order.
func doubleKey(f float64) int64 {
	b := int64(math.Float64bits(f))
	return b ^ int64(uint64(b>>63)>>1)
}

// keyDouble is the inverse of doubleKey.
func keyDouble(k int64) float64 { return math.Float64frombits(uint64(k ^ int64(uint64(k>>63)>>1))) }

func (g *group) addDouble(f float64) {
	f += 0 // -0 reads as +0
	if f != f {
		g.flags |= hasNaN
		return
	}
	k := doubleKey(f)
	g.low, g.high = min(g.low, k), max(g.high, k)
	b := math.Float64bits(f)
	if b>>52&0x7ff == 0x7ff {
		if f > 0 {
			g.flags |= hasPosInf
		} else {
			g.flags |= hasNegInf
		}
		return
	}
	if g.parts&PartSum != 0 {
		g.sum.addDouble(b)
	}
	if g.parts&PartSquares != 0 {
		g.squares.addDoubleSquare(b)
	}
}

func (g *group) addInteger(n int64) {
	g.low, g.high = min(g.low, n), max(g.high, n)
	if g.parts&PartSum != 0 {
		g.sum.addLong(n)
	}
	if g.parts&PartSquares != 0 {
		m := uint64(n)
		if n < 0 {
			m = -m
		}
		g.squares.addProduct(m, m, 0)
	}
}

func (p *Partial) addDecimal(g *group, s string) {
	s = minimal(s)
	g.extend(s, s)
	if g.parts&PartSum != 0 {
		p.words = g.sum.addInteger(s, p.words)
	}
	if g.parts&PartSquares != 0 {
		p.words = g.squares.addIntegerSquare(s, p.words)
	}
}

// extend takes in a least and a greatest value of classText or classDecimal; to be called before
// they are counted.
func (g *group) extend(low, high string) {
	e := g.ends
	if g.parts&PartMin != 0 && (g.count == 0 || g.less(low, event.Alias(e.low))) {
		e.low = append(e.low[:0], low...)
	}
	if g.parts&PartMax != 0 && (g.count == 0 || g.less(event.Alias(e.high), high)) {
		e.high = append(e.high[:0], high...)
	}
}

func (g *group) less(x, y string) bool {
	if g.class == classDecimal {
		return compareIntegers(x, y) < 0
	}
	return x < y
}

// place offers a row to first and last.
func (g *group) place(v *event.Value, r *event.Row) {
	val := g.canonical(*v)
	if g.parts&PartFirst != 0 {
		g.ends.first.offer(-1, r.Time, r.Order, r.Pos, val)
	}
	if g.parts&PartLast != 0 {
		g.ends.last.offer(1, r.Time, r.Order, r.Pos, val)
	}
}

// canonical is v as first and last answer it.
func (g *group) canonical(v event.Value) event.Value {
	switch g.class {
	case classDouble:
		return event.DoubleOf(v.Double())
	case classDecimal:
		v.Str = minimal(v.Str)
	}
	return v
}

// offer takes the row if it is further in tie order than what e holds: earlier if sign is -1, later
// if it is 1.
func (e *edge) offer(sign int, t event.Time, order event.Value, pos event.Position, v event.Value) {
	if e.set {
		if t != e.time {
			if (t > e.time) != (sign > 0) {
				return
			}
		} else {
			a, b := event.Row{Time: t, Order: order, Pos: pos}, event.Row{Time: e.time, Order: e.order.get(), Pos: e.pos}
			if sign*a.Compare(&b) <= 0 {
				return
			}
		}
	}
	e.set, e.time, e.pos = true, t, pos
	e.order.set(order)
	e.value.set(v)
}

// Merge adds all that q holds; both have the same Layout and groups.
func (p *Partial) Merge(q *Partial) {
	for i := range q.groups {
		if h := &q.groups[i]; h.count != 0 || h.left {
			p.groups[i].merge(h)
		}
	}
}

// MergeKept adds what q, of the same Layout, holds of the groups that p keeps; q keeps them all.
func (p *Partial) MergeKept(q *Partial) {
	for i := range p.groups {
		g := &p.groups[i]
		if h := q.group(g.layout); h.count != 0 || h.left {
			g.merge(h)
		}
	}
}

func (g *group) merge(h *group) {
	g.left = g.left || h.left
	g.flags |= h.flags
	g.newest = max(g.newest, h.newest)
	g.low, g.high = min(g.low, h.low), max(g.high, h.high)
	g.sum.merge(&h.sum)
	g.squares.merge(&h.squares)
	if e := h.ends; e != nil {
		if g.class == classText || g.class == classDecimal {
			g.extend(event.Alias(e.low), event.Alias(e.high))
		}
		if f := &e.first; f.set {
			g.ends.first.offer(-1, f.time, f.order.get(), f.pos, f.value.get())
		}
		if l := &e.last; l.set {
			g.ends.last.offer(1, l.time, l.order.get(), l.pos, l.value.get())
		}
	}
	if x := h.extra; x != nil {
		g.extra.oldest = min(g.extra.oldest, x.oldest)
		g.extra.cubes.merge(&x.cubes)
		g.extra.fourths.merge(&x.fourths)
	}
	if h.keep != nil {
		g.keep.merge(h.keep)
	}
	g.count += h.count
}

// Count is the number of rows counted in a group (non-null input, filter passed, a key if kept apart by one).
func (p *Partial) Count(group int) int64 { return p.group(group).count }

// Newest is the event time of the newest row counted in any of these groups; MinTime over nothing.
func (p *Partial) Newest(groups []int) event.Time {
	newest := event.MinTime
	for _, i := range groups {
		newest = max(newest, p.group(i).newest)
	}
	return newest
}

// group finds a group by its Layout number.
func (p *Partial) group(i int) *group {
	at := p.at[i]
	if at < 0 {
		panic("agg: the partial does not keep this group")
	}
	return &p.groups[at]
}
