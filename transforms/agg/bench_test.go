package agg

import (
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// money gives rows with a price in cents, as the transactions workload has them.
func money(n int) []event.Row {
	r := rand.New(rand.NewPCG(1, 2))
	rows := make([]event.Row, n)
	for i := range rows {
		rows[i] = event.Row{
			Time: event.Time(1_700_000_000_000_000 + int64(i)*1000), Pos: event.Position{Offset: int64(i)}, Pass: 1,
			Values: []event.Value{event.DoubleOf(float64(r.IntN(100_000)) / 100)},
		}
	}
	return rows
}

var double = event.Type{Kind: event.Double, Nullable: true}

func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct {
		name  string
		parts Parts
	}{
		{"sum-min-max", PartSum | PartMin | PartMax},
		{"variance", PartSum | PartSquares},
		{"first-last", PartFirst | PartLast},
		{"kurtosis", partsOfNumbers},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := NewPartial(&Layout{Groups: []Group{{Input: 0, Type: double, Filter: -1, Parts: c.parts}}}, nil)
			rows := money(1024)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Add(&rows[i&1023])
			}
		})
	}
}

func BenchmarkAddStructure(b *testing.B) {
	for _, c := range []struct {
		name  string
		keeps Structure
	}{
		{"cross", Structure{Kind: KeepCross}},
		{"trend", Structure{Kind: KeepTrend}},
		{"decay", Structure{Kind: KeepDecay, HalfLife: event.Hour}},
	} {
		b.Run(c.name, func(b *testing.B) {
			g := Group{Input: 0, Type: double, Filter: -1, Keeps: c.keeps}
			if c.keeps.Kind == KeepCross {
				g.Second, g.SecondType = 1, double
			}
			p := NewPartial(&Layout{Groups: []Group{g}}, nil)
			rows := money(1024)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Add(&rows[i&1023])
			}
		})
	}
}

func BenchmarkMergeEncoded(b *testing.B) {
	l := &Layout{Groups: []Group{{Input: 0, Type: double, Filter: -1, Parts: PartSum | PartMin | PartMax}}}
	p, q := NewPartial(l, nil), NewPartial(l, nil)
	for _, r := range money(100) {
		r := r
		q.Add(&r)
	}
	enc := q.Append(nil)
	b.ReportMetric(float64(len(enc)), "encoded_bytes")
	b.ReportAllocs()
	for b.Loop() {
		if err := p.MergeEncoded(enc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnswer(b *testing.B) {
	l := &Layout{Groups: []Group{{Input: 0, Type: double, Filter: -1, Parts: PartSum | PartSquares}}}
	p := NewPartial(l, nil)
	for _, r := range money(100) {
		r := r
		p.Add(&r)
	}
	for _, f := range []Func{Sum, Avg, Stddev} {
		b.Run(f.String(), func(b *testing.B) {
			c := &Call{Func: f}
			b.ReportAllocs()
			for b.Loop() {
				p.Answer(c, At{})
			}
		})
	}
}
