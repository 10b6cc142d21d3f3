package agg

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// benchCases are aggregates as users ask for them.
var benchCases = []structureCase{
	{LastK, Params{K: number(10)}},
	{LastK, Params{K: number(10), Distinct: true}},
	{CollectList, Params{Limit: number(1000)}},
	{TopK, Params{K: number(10)}},
	{CountDistinct, Params{}},
	{ApproxDistinct, Params{}},
	{Median, Params{}},
	{Histogram, Params{Buckets: []float64{10, 100, 1000}}},
	{Drawdown, Params{}},
}

// benchGroup is the group of an aggregate over prices; by tells to keep it apart by a column of 50 values.
func benchGroup(tb testing.TB, c structureCase, by bool) *Layout {
	tb.Helper()
	needs, _, _, err := Bind(c.f, double, event.Type{}, c.p)
	if err != nil {
		tb.Fatal(err)
	}
	g := Group{Type: double, Filter: -1, Parts: needs.Parts, Keeps: needs.Keeps}
	if by {
		g.By, g.ByType, g.ByLimit = 2, event.Type{Kind: event.Long}, 1000
	}
	return &Layout{Groups: []Group{g}}
}

// benchRows are prices with a second value of 50.
func benchRows(n int) []event.Row {
	r := rand.New(rand.NewPCG(1, 3))
	rows := money(n)
	for i := range rows {
		rows[i].Values = append(rows[i].Values, event.LongOf(r.Int64N(50)))
	}
	return rows
}

func BenchmarkStructures(b *testing.B) {
	rows := benchRows(4096)
	for _, c := range benchCases {
		for _, by := range []bool{false, true} {
			l := benchGroup(b, c, by)
			name := fmt.Sprintf("%s-by-%v", c.f, by)
			b.Run("add/"+name, func(b *testing.B) {
				p := NewPartial(l, nil)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					p.Add(&rows[i&4095])
				}
			})
			b.Run("merge-leaf/"+name, func(b *testing.B) {
				p, enc := NewPartial(l, nil), partialOf(l, rows[:512]).Append(nil)
				b.ReportMetric(float64(len(enc)), "encoded_bytes")
				b.ReportAllocs()
				for b.Loop() {
					if err := p.MergeEncoded(enc); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// In the steady state nothing is allocated: not by adding, merging, encoding or starting anew.
func TestStructuresDoNotAllocate(t *testing.T) {
	rows := benchRows(512)
	for _, c := range benchCases {
		for _, by := range []bool{false, true} {
			l := benchGroup(t, c, by)
			p, q := NewPartial(l, nil), partialOf(l, rows)
			enc := q.Append(nil)
			work := func() {
				p.Reset()
				for i := range rows {
					p.Add(&rows[i])
				}
				if !l.Ordered() {
					p.Merge(q)
				}
				if err := p.MergeEncoded(enc); err != nil {
					t.Fatal(err)
				}
				enc = q.Append(enc[:0])
			}
			for range 3 {
				work()
			}
			if n := testing.AllocsPerRun(10, work); n > 0 {
				t.Errorf("%s, by %v: %v allocations for %d rows and two merges", c.f, by, n, len(rows))
			}
		}
	}
}
