package agg

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
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

// vectors are what elements are aggregated of, beside the list among inputTypes.
var vectors = event.Type{Kind: event.List, Nullable: true, Elem: &event.Type{Kind: event.Double, Nullable: true}}

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
		var s []byte
		for range []int{3, 3, 3, 2, 1, 0}[r.IntN(6)] {
			s = event.AppendList(s, draw(r, *t.Elem, pattern))
		}
		return event.Value{Kind: t.Kind, Str: string(s)}
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

// secondOf is the type of the second column beside one of type t: numbers meet numbers of every type.
func secondOf(t event.Type) event.Type {
	switch {
	case t.Kind == event.Long:
		return inputTypes[2] // double
	case t.Kind == event.Double && t.Nullable:
		return inputTypes[9] // decimal
	case t.Kind == event.Decimal && t.Scale == 2:
		return inputTypes[10]
	}
	return inputTypes[1]
}

// drawRows makes n rows with ties of time, some with an order column.
func drawRows(r *rand.Rand, n int, t event.Type, pattern string) []event.Row {
	ordered := r.IntN(2) == 0
	span := []int64{20, 20_000, 50_000_000_000, 1 << 62}[max(r.IntN(7)-3, 0)]
	rows := make([]event.Row, n)
	for i := range rows {
		rows[i] = event.Row{
			Time: event.Time(r.Int64N(span) - span/2), Arrival: event.Time(i),
			Pos:  event.Position{Source: uint16(r.IntN(2)), Partition: int32(r.IntN(3)), Offset: int64(i), Index: int32(r.IntN(2))},
			Pass: r.Uint64N(4), Values: []event.Value{draw(r, t, pattern), draw(r, secondOf(t), pattern)},
		}
		if ordered && r.IntN(4) > 0 {
			rows[i].Order = event.LongOf(r.Int64N(3))
		}
	}
	return rows
}

// lawFuncs are the functions whose answers naive knows, with parameters.
var lawFuncs = []struct {
	f Func
	p Params
}{
	{Count, Params{}},
	{Sum, Params{}},
	{Avg, Params{}},
	{Min, Params{}},
	{Max, Params{}},
	{First, Params{}},
	{Last, Params{}},
	{Variance, Params{}},
	{Stddev, Params{}},
	{VariancePop, Params{}},
	{StddevPop, Params{}},
	{Skew, Params{}},
	{SkewPop, Params{}},
	{Kurtosis, Params{}},
	{KurtosisPop, Params{}},
	{Covariance, Params{}},
	{CovariancePop, Params{}},
	{Correlation, Params{}},
	{ArgMax, Params{}},
	{ArgMin, Params{}},
	{Slope, Params{}},
	{Slope, Params{Per: event.Day}},
	{Rate, Params{}},
	{Rate, Params{Per: 7}},
	{TimeSinceLast, Params{}},
	{TimeBetween, Params{}},
	{BoolAnd, Params{}},
	{BoolOr, Params{}},
	{DecayedSum, Params{HalfLife: 3}},
	{DecayedCount, Params{HalfLife: 3}},
	{DecayedMean, Params{HalfLife: 3}},
	{DecayedSum, Params{HalfLife: 7001}},
	{DecayedMean, Params{HalfLife: event.Hour}},
	{Sum, Params{Dim: 3}},
	{Avg, Params{Dim: 3}},
	{Min, Params{Dim: 3}},
	{Max, Params{Dim: 3}},
	{Last, Params{Dim: 3}},
	{DecayedMean, Params{Dim: 3, HalfLife: 3}},
	{Max, Params{Dim: 1}},
}

// lawCall is a function over a group of a layout.
type lawCall struct {
	Call
	group Group
}

// lawPlan is a layout in the making, as a pipeline makes it: functions share groups.
type lawPlan struct {
	l     *Layout
	calls []lawCall
}

// bind adds a function over a group if it works on the group's types.
func (l *lawPlan) bind(f Func, p Params, g Group) {
	needs, call, _, err := Bind(f, g.Type, g.SecondType, p)
	if err != nil {
		return
	}
	g.Keeps = needs.Keeps
	call.Group = slices.IndexFunc(l.l.Groups, func(h Group) bool {
		h.Parts = 0
		return reflect.DeepEqual(g, h)
	})
	if call.Group < 0 {
		call.Group = len(l.l.Groups)
		l.l.Groups = append(l.l.Groups, g)
	}
	l.l.Groups[call.Group].Parts |= needs.Parts
	l.calls = append(l.calls, lawCall{call, g})
}

// lawLayout has what every function needs that works on type t: of all rows and of those that pass filter 1;
// and every row that passes filter 0.
func lawLayout(t event.Type) (*Layout, []lawCall) {
	plan := lawPlan{l: &Layout{}}
	for _, c := range lawFuncs {
		for filter := -1; filter < 2; filter += 2 {
			plan.bind(c.f, c.p, Group{Input: 0, Type: t, Filter: filter})
			if t.Numeric() {
				plan.bind(c.f, c.p, Group{Input: 0, Type: t, Second: 2, SecondType: secondOf(t), Filter: filter})
			}
		}
		plan.bind(c.f, c.p, Group{Input: -1, Filter: 0})
	}
	return plan.l, plan.calls
}

// lawWindow is a window that the rows lie in.
func lawWindow(rows []event.Row) At {
	at := At{AsOf: 12, Start: -20, End: 11}
	for _, r := range rows {
		at.Start = min(at.Start, r.Time)
		at.End = max(at.End, r.Time+1)
		at.AsOf = max(at.AsOf, r.Time+4)
	}
	return at
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

// lawCase is a set of rows, and what may be asked of it.
type lawCase struct {
	l     *Layout
	calls []lawCall
	rows  []event.Row
}

// eachCase runs f for random sets of rows of every type and pattern.
func eachCase(t *testing.T, f func(t *testing.T, r *rand.Rand, c lawCase)) {
	trials := uint64(1)
	if os.Getenv("PENSTOCK_FULL") != "" {
		trials = 2
	}
	for i, in := range append(slices.Clone(inputTypes), vectors) {
		for j, pattern := range patterns {
			t.Run(fmt.Sprintf("%s/%s", in, pattern), func(t *testing.T) {
				for _, n := range []int{0, 1, 2, 3, 5, 24} {
					for trial := range trials {
						r := rand.New(rand.NewPCG(uint64(i*100+j), uint64(n)*100+trial))
						c := lawCase{rows: drawRows(r, n, in, pattern)}
						c.l, c.calls = lawLayout(in)
						f(t, r, c)
					}
				}
			})
		}
	}
}

// Every answer equals the one computed from the definition over big.Rat.
func TestAnswers(t *testing.T) {
	eachCase(t, func(t *testing.T, _ *rand.Rand, c lawCase) { c.check(t, partialOf(c.l, c.rows)) })
}

// check compares all answers of p, or of those groups of it that are listed, with the definition.
func (c *lawCase) check(t *testing.T, p *Partial, groups ...int) {
	t.Helper()
	at := lawWindow(c.rows)
	for i := range c.calls {
		call := &c.calls[i]
		if len(groups) > 0 && !slices.Contains(groups, call.Group) {
			continue
		}
		rows := naiveRows(c.rows, call.group)
		if got := p.Count(call.Group); got != int64(len(rows)) {
			t.Fatalf("group %d counts %d rows, want %d", call.Group, got, len(rows))
		}
		got, want := p.Answer(&call.Call, at), naive(rows, call.group, &call.Call, at)
		if got != want {
			t.Fatalf("%s of %+v over %d rows is %v, want %v", call.Func, call.group, len(rows), got, want)
		}
	}
}

// Identity, associativity, commutativity, and every split and order gives one encoding.
func TestLaws(t *testing.T) {
	eachCase(t, func(t *testing.T, r *rand.Rand, kase lawCase) {
		l, rows := kase.l, kase.rows
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
		for k := range rows[:i] {
			p.Add(&rows[k])
		}
		if got, want := p.Append(nil), a.Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("after a reset: %x, want %x", got, want)
		}
		kase.check(t, merged(t, l, true, b, c, a))
	})
}

// A partial of some groups answers for them as one of all groups does.
func TestSomeGroups(t *testing.T) {
	eachCase(t, func(t *testing.T, _ *rand.Rand, c lawCase) {
		enc := partialOf(c.l, c.rows).Append(nil)
		for i := range c.l.Groups {
			added, decoded := NewPartial(c.l, []int{i}), NewPartial(c.l, []int{i})
			for k := range c.rows {
				added.Add(&c.rows[k])
			}
			if err := decoded.MergeEncoded(enc); err != nil {
				t.Fatal(err)
			}
			c.check(t, added, i)
			c.check(t, decoded, i)
		}
	})
}
