package agg

import (
	"cmp"
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
	c := NewColumns(l, groups)
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
	for range 2 {  // the same memory again
		cols.Reset()
		s.Reset()
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
			cols.Drop(lo)
			held := lawCase{l: c.l, calls: c.calls}
			for _, row := range c.rows[lo:max(lo, hi)] {
				if row.Arrival <= arrived {
					held.rows = append(held.rows, row)
				}
			}
			held.check(t, s.Partial(), groups...)
		}
	}
}

// A window that moves answers at each position what the definition answers of the rows it holds.
func TestSlide(t *testing.T) { eachCase(t, slides) }

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
	c := NewColumns(l, []int{0, 1})
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
