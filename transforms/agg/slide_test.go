package agg

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// slideOf is a Slide of those groups of a layout that slide.
func slideOf(l *Layout) (*Slide, *Columns, []int) {
	var groups []int
	for i := range l.Groups {
		if l.Groups[i].Slides() {
			groups = append(groups, i)
		}
	}
	c := NewColumns(l, groups, nil, 2, false)
	return NewSlide(l, groups, c), c, groups
}

// slides moves windows over the rows of a case, some of which arrive late, and compares what each position answers
// with the definition over the rows it holds.
func slides(t *testing.T, r *rand.Rand, c lawCase) {
	s, cols, groups := slideOf(c.l)
	if len(groups) == 0 {
		return
	}
	for i := range c.rows {
		c.rows[i].Arrival = c.rows[i].Time + event.Time(r.IntN(3)/2*r.IntN(100))
	}
	slices.SortFunc(c.rows, func(a, b event.Row) int { return a.Compare(&b) })
	cols.least = 1 // drop often
	ranges := map[int]*Ranges{}
	for _, g := range groups {
		if x := NewRanges(c.l, g, cols); x != nil {
			ranges[g] = x
		}
	}
	for range 2 { // the same memory again
		cols.Reset()
		s.Reset()
		for _, x := range ranges {
			x.Reset()
		}
		lo, hi, loaded, arrived := 0, 0, 0, event.MaxTime
		served := r.IntN(2) == 0
		if served {
			arrived = event.MinTime
		}
		for hi < len(c.rows) || lo < len(c.rows) {
			if hi += r.IntN(4) * r.IntN(4); hi > len(c.rows) {
				hi = len(c.rows)
			}
			lo = min(lo+r.IntN(4)*r.IntN(4), len(c.rows))
			for ; loaded < max(lo, hi); loaded++ {
				cols.Append(&c.rows[loaded])
			}
			if served && loaded > 0 {
				arrived = max(arrived, c.rows[loaded-1].Time+event.Time(r.IntN(60)-20))
			}
			s.Advance(lo, hi, arrived)
			for _, x := range ranges {
				x.Extend()
			}
			if cols.Drop(lo) {
				for _, x := range ranges {
					x.Drop()
				}
			}
			held := lawCase{l: c.l, calls: c.calls}
			for _, row := range c.rows[lo:max(lo, hi)] {
				if row.Arrival <= arrived {
					held.rows = append(held.rows, row)
				}
			}
			at := lawWindow(held.rows)
			for i := range c.calls { // before the Partial is made
				call := &c.calls[i]
				if !slices.Contains(groups, call.Group) || call.Func == Ratio {
					continue
				}
				if got, want := s.Answer(&call.Call, at), naive(naiveRows(held.rows, call.group), call.group, &call.Call, at); got != want {
					t.Fatalf("%s of %+v over %d rows is %v, want %v", call.Func, call.group, len(held.rows), got, want)
				}
			}
			held.check(t, s.Partial(), groups...)
			if !served {
				held.inRanges(t, ranges, lo, hi)
			}
		}
	}
}

// inRanges compares what ranges of rows answer, where they do.
func (c *lawCase) inRanges(t *testing.T, ranges map[int]*Ranges, lo, hi int) {
	t.Helper()
	at := lawWindow(c.rows)
	for i := range c.calls {
		call := &c.calls[i]
		x := ranges[call.Group]
		if x == nil || call.Func == Ratio || !x.Answers(&call.Call) || !x.Range(lo, hi) {
			continue
		}
		if got, want := x.Answer(&call.Call), naive(naiveRows(c.rows, call.group), call.group, &call.Call, at); got != want {
			t.Fatalf("%s of %+v over the range of %d rows is %v, want %v", call.Func, call.group, len(c.rows), got, want)
		}
	}
}

// Ranges of many rows, of values of like size and of some that are not, agree with Partials; most are answered.
func TestRanges(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 5))
		typ := []event.Type{{Kind: event.Double, Nullable: true}, {Kind: event.Long, Nullable: true}}[seed%2]
		parts := PartSum | PartMin | PartMax | PartFirst | PartLast
		l := &Layout{Groups: []Group{{Type: typ, Filter: -1, Parts: parts}, {Type: typ, Filter: 1, Parts: parts}}}
		cols := NewColumns(l, []int{0, 1}, nil, 1, false)
		var rows []event.Row
		ranges := []*Ranges{NewRanges(l, 0, cols), NewRanges(l, 1, cols)}
		answered, lo := 0, 0
		for len(rows) < 9000 {
			for range r.IntN(300) {
				v := event.LongOf(r.Int64() >> r.IntN(60))
				if seed%2 == 0 {
					v = event.DoubleOf(math.Round(1e5*r.NormFloat64()) / 100)
				}
				switch r.IntN(800) {
				case 0:
					v = event.Value{}
				case 1:
					if seed%2 == 0 {
						v = event.DoubleOf([]float64{math.NaN(), math.Inf(1), 1e300, 5e-324, math.Copysign(0, -1)}[r.IntN(5)])
					}
				}
				rows = append(rows, event.Row{Time: event.Time(len(rows)), Pass: r.Uint64N(4), Values: []event.Value{v}})
				cols.Append(&rows[len(rows)-1])
			}
			for _, x := range ranges {
				x.Extend()
			}
			for range 4 {
				from := lo + r.IntN(len(rows)-lo+1)
				to := from + r.IntN(len(rows)-from+1)
				want := partialOf(l, rows[from:to])
				for g, x := range ranges {
					if !x.Range(from, to) {
						continue
					}
					answered++
					for f := Count; f <= Last; f++ {
						call := Call{Func: f, Group: g}
						if got, want := x.Answer(&call), want.Answer(&call, At{}); got != want {
							t.Fatalf("seed %d: %s of rows [%d, %d) is %v, want %v", seed, f, from, to, got, want)
						}
					}
				}
			}
			if r.IntN(5) == 0 {
				lo += r.IntN(len(rows) - lo + 1)
				if cols.Drop(lo) {
					for _, x := range ranges {
						x.Drop()
					}
				}
			}
		}
		if answered < 50 {
			t.Errorf("seed %d: %d ranges were answered: the test shows little", seed, answered)
		}
	}
}

// A window that moves answers at each position what the definition answers of the rows it holds.
func TestSlide(t *testing.T) { eachCase(t, slides) }

// Rows of columns are added as rows are.
func TestAddRows(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rand.Rand, c lawCase) {
		var groups []int
		for i := range c.l.Groups {
			groups = append(groups, i)
		}
		slices.SortFunc(c.rows, func(a, b event.Row) int { return a.Compare(&b) })
		again := r.IntN(2)
		cols := NewColumns(c.l, nil, groups, 2, true)
		for i := range c.rows {
			cols.Append(&c.rows[i])
		}
		p := NewPartial(c.l, nil)
		scratch := event.Row{Values: make([]event.Value, 2)}
		for from := 0; from < len(c.rows); {
			to := from + r.IntN(len(c.rows)-from+1)
			p.AddRows(cols, from, to, &scratch)
			if from = to; again == 0 {
				cols.Added(from)
			}
		}
		if got, want := p.Append(nil), partialOf(c.l, c.rows).Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		// What lies before may be there already, and what comes first may be added last.
		p.Reset()
		at := r.IntN(len(c.rows) + 1)
		if again > 0 && !c.l.Ordered() {
			p.AddRows(cols, at, len(c.rows), &scratch)
			p.AddRows(cols, 0, at, &scratch)
			if got, want := p.Append(nil), partialOf(c.l, c.rows).Append(nil); !bytes.Equal(got, want) {
				t.Fatalf("in two parts: got %x, want %x", got, want)
			}
		}
	})
}

func FuzzSlide(f *testing.F) {
	f.Add(uint64(1), uint16(30), uint8(2), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, in, pattern uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		of := inputTypes[int(in)%len(inputTypes)]
		c := lawCase{rows: drawRows(r, int(n%80), of, patterns[int(pattern)%len(patterns)])}
		c.l, c.calls = lawLayout(of)
		slides(t, r, c)
	})
}

// Rows that are dropped keep the numbers of the others, and Seek finds the same by steps and by halves.
func TestColumns(t *testing.T) {
	l := &Layout{Groups: []Group{{Input: -1, Filter: -1}, {Input: 1, Type: event.Type{Kind: event.String}, Filter: 0}}}
	c := NewColumns(l, []int{0, 1}, nil, 2, false)
	r := rand.New(rand.NewPCG(1, 1))
	var rows []event.Row
	low := 0
	for now := event.Time(0); len(rows) < 10_000; now += event.Time(r.IntN(3)) {
		rows = append(rows, event.Row{Time: now, Arrival: now + 1, Values: []event.Value{{}, event.StringOf("x")}})
		c.Append(&rows[len(rows)-1])
		if r.IntN(100) == 0 {
			low += r.IntN(len(rows) - low)
			c.Drop(low)
		}
		if c.End() != len(rows) || c.Held() > 2*(len(rows)-low)+dropAtLeast {
			t.Fatalf("%d rows end at %d, %d are held, %d are needed", len(rows), c.End(), c.Held(), len(rows)-low)
		}
		from := low + r.IntN(len(rows)-low)
		at := rows[from].Time + event.Time(r.IntN(400))
		want, _ := slices.BinarySearchFunc(rows[from:], at, func(row event.Row, t event.Time) int { return cmp.Compare(row.Time, t) })
		if got := c.Seek(from, at); got != from+want || c.Time(from) != rows[from].Time || c.Arrival(from) != rows[from].Arrival {
			t.Fatalf("sought %d from %d: %d, want %d", at, from, got, from+want)
		}
	}
}
