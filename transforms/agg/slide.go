package agg

import (
	"math"
	"math/bits"

	"github.com/penstock-ml/penstock/event"
)

// Slide aggregates a window that only moves forward: rows are added as they enter it and taken away as they
// leave it, so what all positions of a window cost grows with the rows it passes, not with those it holds. Sums
// are exact, so what was added can be taken away; of the least and the greatest those are kept that may still
// become it. At each position it holds what a Partial of the window's rows holds. Not safe for concurrent use.
type Slide struct {
	p       *Partial
	c       *Columns
	tracks  []track
	lo, hi  int        // the window is rows [lo, hi)
	arrived event.Time // of them, those that arrived by then
	waiting arrivals   // rows of [lo, hi) that did not
	stale   bool       // p is to be brought up to date
}

// track is what a Slide keeps of a group beside the Partial's group.
type track struct {
	g         *group
	c         *Columns
	in        *InputColumn // nil for "*"
	nan       int64        // how many values are NaN, and infinite
	posInf    int64
	negInf    int64
	low, high extremes
	first     int      // a row at or before the first that counts
	last      int      // the last that counts
	words     []uint64 // scratch
}

// Slides tells whether a Slide can keep the group.
func (g *Group) Slides() bool {
	return g.By == 0 && g.Second == 0 && g.Keeps == Structure{}
}

// NewSlide returns a Slide over c of the groups of l listed in groups, which all slide.
func NewSlide(l *Layout, groups []int, c *Columns) *Slide {
	s := &Slide{p: NewPartial(l, groups), c: c}
	for i := range s.p.groups {
		g := &s.p.groups[i]
		t := track{g: g, c: c, low: extremes{sign: 1, class: g.class}, high: extremes{sign: -1, class: g.class}}
		if g.class != classRows {
			t.in = &c.Inputs[g.input]
		}
		s.tracks = append(s.tracks, t)
	}
	s.Reset()
	return s
}

// Reset empties s for a window that begins anew.
func (s *Slide) Reset() {
	s.empty(0)
	s.arrived = event.MinTime
}

// empty makes s the empty window at a row.
func (s *Slide) empty(at int) {
	s.p.Reset()
	for i := range s.tracks {
		t := &s.tracks[i]
		t.g.reset()
		t.nan, t.posInf, t.negInf = 0, 0, 0
		t.low.reset()
		t.high.reset()
	}
	s.lo, s.hi, s.waiting, s.stale = at, at, s.waiting[:0], true
}

// Advance moves the window to rows [lo, hi), of which those count that arrived by then. None of the three may be
// less than before.
func (s *Slide) Advance(lo, hi int, arrived event.Time) {
	hi = max(lo, hi)
	if lo >= s.hi {
		s.empty(lo)
	}
	if lo == s.lo && hi == s.hi && (arrived == s.arrived || len(s.waiting) == 0) {
		s.arrived = arrived
		return
	}
	s.stale = true
	for i := range s.tracks {
		s.tracks[i].leave(s.lo, lo, s.arrived)
	}
	for len(s.waiting) > 0 && s.waiting[0].at <= arrived {
		if row := s.waiting.pop(); row >= lo {
			for i := range s.tracks {
				s.tracks[i].enter(row, row+1, event.MaxTime)
			}
		}
	}
	for i := range s.tracks {
		s.tracks[i].enter(s.hi, hi, arrived)
	}
	if arrived != event.MaxTime {
		for i, at := range s.c.Arrived[s.hi-s.c.base : hi-s.c.base] {
			if at > arrived {
				s.waiting.push(arrival{at, s.hi + i})
			}
		}
	}
	s.lo, s.hi, s.arrived = lo, hi, arrived
}

// Partial is what the window holds; valid until it moves.
func (s *Slide) Partial() *Partial {
	if s.stale {
		s.stale = false
		for i := range s.tracks {
			s.tracks[i].settle(s.arrived)
		}
	}
	return s.p
}

// Answer is what the Partial would answer, mostly without making it. Text is valid until the window moves.
func (s *Slide) Answer(c *Call, at At) Answer {
	if c.By != nil || c.Func < Count || c.Func > Last { // not of what is at hand
		return s.Partial().Answer(c, at)
	}
	t := &s.tracks[s.p.at[c.Group]]
	g := t.g
	if g.count == 0 {
		return overNothing(c)
	}
	a := Answer{Newest: s.c.Time(t.last)}
	switch c.Func {
	case Count:
		a.Value = event.LongOf(g.count)
	case Sum:
		g.flags = t.flags()
		a.Value, a.Overflow = s.p.finishSum(g)
	case Avg:
		g.flags = t.flags()
		a.Value = s.p.finishAvg(g)
	case Min:
		a.Value = t.extreme(t.low.front(), 0)
	case Max:
		a.Value = t.extreme(t.high.front(), -1)
	case First:
		t.findFirst(s.arrived)
		a.Value = g.canonical(t.at(t.first - s.c.base))
	case Last:
		a.Value = g.canonical(t.at(t.last - s.c.base))
	}
	return a
}

// flags tells what of the values are not numbers.
func (t *track) flags() (f byte) {
	if t.nan > 0 {
		f |= hasNaN
	}
	if t.posInf > 0 {
		f |= hasPosInf
	}
	if t.negInf > 0 {
		f |= hasNegInf
	}
	return f
}

// extreme is the least or greatest value, by the front of low, or of high, whose keys are turned (-1); NaN wins.
func (t *track) extreme(x *extreme, turned int64) event.Value {
	switch {
	case t.g.class == classDouble && t.nan > 0:
		return event.DoubleOf(math.NaN())
	case t.texts():
		return event.Value{Kind: t.g.kind, Num: t.g.scale, Str: t.textAt(x.row)}
	case t.g.class == classDouble:
		return event.DoubleOf(keyDouble(x.key ^ turned))
	}
	return event.Value{Kind: t.g.kind, Num: uint64(x.key ^ turned)}
}

// counts tells whether a row counts in the group.
func (t *track) counts(i int) bool {
	if t.g.filter >= 0 && t.c.Pass[i]>>uint(t.g.filter)&1 == 0 {
		return false
	}
	return t.in == nil || t.in.Kinds[i] == t.g.kind && t.g.kind != event.Null && (t.g.class != classDecimal || t.in.Nums[i] == t.g.scale)
}

// enter adds those of rows [from, to) that arrived by then.
func (t *track) enter(from, to int, arrived event.Time) {
	g, c := t.g, t.c
	for i := from - c.base; i < to-c.base; i++ {
		if !t.counts(i) || c.Arrived[i] > arrived {
			continue
		}
		row := i + c.base
		if g.count == 0 {
			t.first, t.last = row, row
		} else {
			t.first, t.last = min(t.first, row), max(t.last, row)
		}
		g.count++
		t.value(i, row, 1)
	}
}

// leave takes those of rows [from, to) away that arrived by then: the others never entered.
func (t *track) leave(from, to int, arrived event.Time) {
	g, c := t.g, t.c
	for i := from - c.base; i < to-c.base; i++ {
		if !t.counts(i) || c.Arrived[i] > arrived {
			continue
		}
		g.count--
		t.value(i, 0, -1)
	}
	t.low.drop(to)
	t.high.drop(to)
	t.first = max(t.first, to)
}

// value adds the value at i, of a row (sign 1), or takes it away (-1).
func (t *track) value(i, row int, sign int64) {
	switch t.g.class {
	case classDouble:
		t.double(row, math.Float64frombits(t.in.Nums[i]), sign)
	case classInteger:
		t.integer(row, int64(t.in.Nums[i]), sign)
	case classText, classDecimal:
		t.text(row, t.in.Texts[i], sign)
	}
	if t.g.parts&(PartCubes|PartFourths) != 0 {
		v := t.at(i)
		t.g.extra.moments.add(&v, t.g.parts, sign < 0)
	}
}

// at is the value at i.
func (t *track) at(i int) event.Value {
	v := t.in.at(i)
	v.Kind = t.g.kind
	return v
}

// double adds a row's value (sign 1) or takes it away (-1).
func (t *track) double(row int, f float64, sign int64) {
	g := t.g
	f += 0 // -0 reads as +0
	if f != f {
		t.nan += sign
		return
	}
	if sign > 0 {
		t.offer(row, doubleKey(f))
	}
	b := math.Float64bits(f)
	if b>>52&0x7ff == 0x7ff {
		if f > 0 {
			t.posInf += sign
		} else {
			t.negInf += sign
		}
		return
	}
	m, e := split(b)
	if g.parts&PartSum != 0 {
		g.sum.add(m, e, b>>63 != 0 != (sign < 0))
	}
	if g.parts&PartSquares != 0 {
		g.squares.product(m, m, 2*e, sign < 0)
	}
}

func (t *track) integer(row int, n, sign int64) {
	g := t.g
	if sign > 0 {
		t.offer(row, n)
	}
	m := uint64(n)
	if n < 0 {
		m = -m
	}
	if g.parts&PartSum != 0 {
		g.sum.add(m, 0, n < 0 != (sign < 0))
	}
	if g.parts&PartSquares != 0 {
		g.squares.product(m, m, 0, sign < 0)
	}
}

func (t *track) text(row int, v string, sign int64) {
	g := t.g
	if g.class == classDecimal {
		v = minimal(v)
	}
	if sign > 0 {
		t.offer(row, 0)
	}
	if g.class == classText || g.parts&(PartSum|PartSquares) == 0 {
		return
	}
	words, negative := integerMagnitude(t.words, v)
	t.words = words
	if g.parts&PartSum != 0 {
		g.sum.addWords(words, 0, negative != (sign < 0))
	}
	if g.parts&PartSquares != 0 {
		for i, x := range words {
			for j, y := range words {
				g.squares.product(x, y, 64*(i+j), sign < 0)
			}
		}
	}
}

// product adds ±x·y·2^e.
func (a *accumulator) product(x, y uint64, e int, negative bool) {
	if !negative {
		a.addProduct(x, y, e)
		return
	}
	hi, lo := bits.Mul64(x, y)
	a.add(lo, e, true)
	a.add(hi, e+64, true)
}

// offer takes in what may become the least or the greatest value.
func (t *track) offer(row int, key int64) {
	if t.g.parts&PartMin != 0 {
		t.low.push(extreme{row, key}, t.c, t.in)
	}
	if t.g.parts&PartMax != 0 {
		t.high.push(extreme{row, ^key}, t.c, t.in)
	}
}

// settle brings the Partial's group up to date.
func (t *track) settle(arrived event.Time) {
	g, c := t.g, t.c
	g.newest, g.flags, g.low, g.high = event.MinTime, 0, math.MaxInt64, math.MinInt64
	if x := g.extra; x != nil {
		x.oldest = event.MaxTime
	}
	if g.count == 0 {
		return
	}
	g.newest = c.Time(t.last)
	if g.parts&(PartFirst|PartOldest) != 0 {
		t.findFirst(arrived)
	}
	if g.parts&PartOldest != 0 {
		g.extra.oldest = c.Time(t.first)
	}
	g.flags = t.flags()
	if x := t.low.front(); x != nil {
		g.low = x.key
		if t.texts() {
			g.ends.low = append(g.ends.low[:0], t.textAt(x.row)...)
		}
	}
	if x := t.high.front(); x != nil {
		g.high = ^x.key
		if t.texts() {
			g.ends.high = append(g.ends.high[:0], t.textAt(x.row)...)
		}
	}
	if g.parts&PartFirst != 0 {
		t.edge(&g.ends.first, t.first)
	}
	if g.parts&PartLast != 0 {
		t.edge(&g.ends.last, t.last)
	}
}

// findFirst finds the first row that counts.
func (t *track) findFirst(arrived event.Time) {
	for ; t.first < t.last; t.first++ {
		if i := t.first - t.c.base; t.counts(i) && t.c.Arrived[i] <= arrived {
			return
		}
	}
}

// texts tells whether values are compared as texts.
func (t *track) texts() bool { return t.g.class == classText || t.g.class == classDecimal }

// textAt is the text of a row that counts.
func (t *track) textAt(row int) string {
	if t.g.class == classDecimal {
		return minimal(t.in.Texts[row-t.c.base])
	}
	return t.in.Texts[row-t.c.base]
}

// edge makes e a row that counts.
func (t *track) edge(e *edge, row int) {
	e.set = true
	e.value.set(t.g.canonical(t.at(row - t.c.base)))
}
