package agg

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// inputTypes are the types that the laws are tried on.
var inputTypes = []event.Type{
	{Kind: event.Bool, Nullable: true},
	{Kind: event.Long, Nullable: true},
	{Kind: event.Double, Nullable: true},
	{Kind: event.String, Nullable: true},
	{Kind: event.Bytes, Nullable: true},
	{Kind: event.Timestamp, Nullable: true},
	{Kind: event.LocalTimestamp, Nullable: true},
	{Kind: event.Date, Nullable: true},
	{Kind: event.TimeOfDay, Nullable: true},
	{Kind: event.Decimal, Scale: 2, Nullable: true},
	{Kind: event.Decimal, Scale: 30, Nullable: true},
	{Kind: event.List, Nullable: true, Elem: &event.Type{Kind: event.Long}},
	{Kind: event.Map, Nullable: true, Elem: &event.Type{Kind: event.Long}},
}

// patterns say how the values of a set are drawn.
var patterns = []string{"plain", "null", "nan", "inf", "both", "huge", "tiny", "wild", "none"}

// draw makes a value of type t.
func draw(r *rand.Rand, t event.Type, pattern string) event.Value {
	if pattern == "none" || pattern != "plain" && r.IntN(4) == 0 {
		return event.Value{}
	}
	switch t.Kind {
	case event.Bool:
		return event.BoolOf(r.IntN(2) == 0)
	case event.Double:
		return drawDouble(r, pattern)
	case event.String, event.Bytes:
		return event.Value{Kind: t.Kind, Str: []string{"", "a", "b", "ab", "\xff", "zebra"}[r.IntN(6)]}
	case event.Decimal:
		return drawDecimal(r, t.Scale, pattern)
	case event.List:
		return event.Value{Kind: t.Kind, Str: string(event.AppendList(nil, event.LongOf(r.Int64N(3))))}
	case event.Map:
		return event.Value{Kind: t.Kind, Str: string(event.AppendList(nil, event.StringOf("k"), event.LongOf(r.Int64N(3))))}
	}
	n := r.Int64N(2000) - 1000
	switch pattern {
	case "huge":
		n = math.MaxInt64 - r.Int64N(3)
		if r.IntN(2) == 0 {
			n = math.MinInt64 + r.Int64N(3)
		}
	case "wild":
		n = int64(r.Uint64()) >> r.IntN(64)
	}
	return event.Value{Kind: t.Kind, Num: uint64(n)}
}

func drawDouble(r *rand.Rand, pattern string) event.Value {
	f := float64(r.IntN(100_000)-50_000) / 100
	special := r.IntN(5) == 0
	switch {
	case pattern == "nan" && special:
		f = math.Float64frombits(0x7ff0_0000_0000_0001 | r.Uint64()&(1<<63|1<<51))
	case pattern == "inf" && special:
		f = math.Inf(1)
	case pattern == "both" && special:
		f = math.Inf(1 - 2*r.IntN(2))
	case pattern == "huge":
		f = math.Ldexp(math.MaxFloat64*(1-2*float64(r.IntN(2))), -r.IntN(3))
	case pattern == "tiny":
		f = math.Float64frombits(r.Uint64()&(1<<63) | r.Uint64N(1<<53))
	case pattern == "wild":
		for f = math.Float64frombits(r.Uint64()); math.IsNaN(f) || math.IsInf(f, 0); {
			f = math.Float64frombits(r.Uint64())
		}
	case special:
		f = math.Copysign(0, -1)
	}
	return event.Value{Kind: event.Double, Num: math.Float64bits(f)}
}

func drawDecimal(r *rand.Rand, scale int32, pattern string) event.Value {
	n := big.NewInt(r.Int64N(200_000) - 100_000)
	if pattern == "huge" || pattern == "wild" {
		b := make([]byte, 1+r.IntN(32))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		n = event.ParseBig(string(b))
	}
	v := event.DecimalOf(n, scale)
	if r.IntN(3) == 0 { // padded, as an Avro fixed is
		pad := "\x00\x00\x00"
		if n.Sign() < 0 {
			pad = "\xff\xff\xff"
		}
		v.Str = pad + v.Str
	}
	return v
}

// drawRows makes n rows with ties of time, some with an order column.
func drawRows(r *rand.Rand, n int, t event.Type, pattern string) []event.Row {
	ordered := r.IntN(2) == 0
	rows := make([]event.Row, n)
	for i := range rows {
		rows[i] = event.Row{
			Time: event.Time(r.Int64N(20) - 10), Arrival: event.Time(i),
			Pos:  event.Position{Source: uint16(r.IntN(2)), Partition: int32(r.IntN(3)), Offset: int64(i), Index: int32(r.IntN(2))},
			Pass: r.Uint64N(4), Values: []event.Value{draw(r, t, pattern)},
		}
		if ordered && r.IntN(4) > 0 {
			rows[i].Order = event.LongOf(r.Int64N(3))
		}
	}
	return rows
}

// lawLayout has a group of every row, one of every row that passes filter 1, and one of all rows
// behind a filter.
func lawLayout(t event.Type) *Layout {
	all := Parts(0)
	for f := Count; f <= StddevPop; f++ {
		if _, err := f.Result(t); err == nil {
			all |= f.Parts()
		}
	}
	return &Layout{Groups: []Group{
		{Input: 0, Type: t, Filter: -1, Parts: all},
		{Input: 0, Type: t, Filter: 1, Parts: all},
		{Input: -1, Filter: 0},
	}}
}

func partialOf(l *Layout, rows []event.Row) *Partial {
	p := NewPartial(l, nil)
	for i := range rows {
		p.Add(&rows[i])
	}
	return p
}

// merged puts the partials together, by memory or by encoding.
func merged(t *testing.T, l *Layout, encoded bool, parts ...*Partial) *Partial {
	t.Helper()
	p := NewPartial(l, nil)
	for _, q := range parts {
		if !encoded {
			p.Merge(q)
			continue
		}
		if err := p.MergeEncoded(q.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// eachCase runs f for random sets of rows of every type and pattern.
func eachCase(t *testing.T, f func(t *testing.T, r *rand.Rand, l *Layout, rows []event.Row)) {
	for i, in := range inputTypes {
		for j, pattern := range patterns {
			t.Run(fmt.Sprintf("%s/%s", in, pattern), func(t *testing.T) {
				for _, n := range []int{0, 1, 2, 3, 5, 24} {
					for trial := range uint64(2) {
						r := rand.New(rand.NewPCG(uint64(i*100+j), uint64(n)*100+trial))
						f(t, r, lawLayout(in), drawRows(r, n, in, pattern))
					}
				}
			})
		}
	}
}

// Every answer equals the one computed from the definition over big.Rat.
func TestAnswers(t *testing.T) {
	eachCase(t, func(t *testing.T, _ *rand.Rand, l *Layout, rows []event.Row) {
		checkAnswers(t, l, rows, partialOf(l, rows))
	})
}

func checkAnswers(t *testing.T, l *Layout, rows []event.Row, p *Partial) {
	t.Helper()
	for i, g := range l.Groups {
		want := naiveRows(rows, g)
		if got := p.Count(i); got != int64(len(want)) {
			t.Fatalf("group %d counts %d rows, want %d", i, got, len(want))
		}
		for f := Count; f <= StddevPop; f++ {
			if f.Parts()&^g.Parts != 0 {
				continue
			}
			v, newest, over := p.Finish(i, f)
			wv, wt, wo := naive(want, g, f)
			if v != wv || newest != wt || over != wo {
				t.Fatalf("group %d of %s: %s is %#v at %d overflow %v, want %#v at %d overflow %v",
					i, g.Type, f, v, newest, over, wv, wt, wo)
			}
		}
	}
}

// Identity, associativity, commutativity, and every split and order gives one encoding.
func TestLaws(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rand.Rand, l *Layout, rows []event.Row) {
		whole := partialOf(l, rows).Append(nil)
		same := func(law string, p *Partial) {
			t.Helper()
			if got := p.Append(nil); !bytes.Equal(got, whole) {
				t.Fatalf("%s:\n got %x\nwant %x", law, got, whole)
			}
		}
		i := r.IntN(len(rows) + 1)
		j := i + r.IntN(len(rows)-i+1)
		a, b, c := partialOf(l, rows[:i]), partialOf(l, rows[i:j]), partialOf(l, rows[j:])
		for _, encoded := range []bool{false, true} {
			m := func(parts ...*Partial) *Partial { return merged(t, l, encoded, parts...) }
			same("identity on the left", m(NewPartial(l, nil), partialOf(l, rows)))
			same("identity on the right", m(partialOf(l, rows), NewPartial(l, nil)))
			same("left first", m(m(a, b), c))
			same("right first", m(a, m(b, c)))
			same("commuted", m(c, a, b))
			one := NewPartial(l, nil)
			for k := range rows {
				one = m(one, partialOf(l, rows[k:k+1]))
			}
			same("add is merge of one", one)
		}
		shuffled := slices.Clone(rows)
		r.Shuffle(len(rows), func(x, y int) { shuffled[x], shuffled[y] = shuffled[y], shuffled[x] })
		p := partialOf(l, shuffled)
		same("shuffled", p)
		p.Reset()
		if got, want := p.Append(nil), NewPartial(l, nil).Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("reset leaves %x, want %x", got, want)
		}
		for k := range rows {
			p.Add(&rows[k])
		}
		same("after a reset", p)
		checkAnswers(t, l, rows, merged(t, l, true, b, c, a))
	})
}

// A partial of some groups answers for them as one of all groups does.
func TestSomeGroups(t *testing.T) {
	eachCase(t, func(t *testing.T, _ *rand.Rand, l *Layout, rows []event.Row) {
		enc := partialOf(l, rows).Append(nil)
		for i := range l.Groups {
			added, decoded := NewPartial(l, []int{i}), NewPartial(l, []int{i})
			for k := range rows {
				added.Add(&rows[k])
			}
			if err := decoded.MergeEncoded(enc); err != nil {
				t.Fatal(err)
			}
			for f := Count; f <= StddevPop; f++ {
				if f.Parts()&^l.Groups[i].Parts != 0 {
					continue
				}
				v, at, over := added.Finish(i, f)
				w, wat, wover := decoded.Finish(i, f)
				wantV, wantT, wantO := naive(naiveRows(rows, l.Groups[i]), l.Groups[i], f)
				if v != wantV || w != wantV || at != wantT || wat != wantT || over != wantO || wover != wantO {
					t.Fatalf("%s of group %d alone: %v and %v, want %v", f, i, v, w, wantV)
				}
			}
		}
	})
}
