package agg

import (
	"encoding/hex"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

func TestNames(t *testing.T) {
	names := Names()
	if got := strings.Join(names, " "); !strings.HasPrefix(got, "count sum avg min max first last variance stddev variance_pop stddev_pop") {
		t.Errorf("names are %s", got)
	}
	last := Func(0)
	for _, n := range names {
		f, ok := ByName(n)
		if !ok || f <= last || f.String() != n {
			t.Errorf("%s is found as %v %v, after %v", n, f, ok, last)
		}
		last = f
	}
	for _, n := range []string{"", "mean", "Count", "func(0)"} {
		if f, ok := ByName(n); ok {
			t.Errorf("%q is found as %v", n, f)
		}
	}
	if Func(0).String() != "func(0)" {
		t.Error("an unknown function has a name")
	}
}

func TestResult(t *testing.T) {
	long, dec := event.Type{Kind: event.Long}, event.Type{Kind: event.Decimal, Scale: 3}
	str, list := event.Type{Kind: event.String}, event.Type{Kind: event.List, Elem: &event.Type{Kind: event.Long}}
	for _, c := range []struct {
		f    Func
		in   event.Type
		want string // the type, or a part of the error
	}{
		{Count, event.Type{}, "long"},
		{Count, list, "long"},
		{Sum, long, "long?"},
		{Sum, event.Type{Kind: event.Double}, "double?"},
		{Sum, dec, "decimal(scale 3)?"},
		{Avg, long, "double?"},
		{Avg, dec, "double?"},
		{StddevPop, long, "double?"},
		{Min, str, "string?"},
		{Max, event.Type{Kind: event.Bool}, "boolean?"},
		{Last, list, "array of long?"},
		{Sum, event.Type{}, `over "*" work count`},
		{First, event.Type{}, `over "*" work count`},
		{Sum, str, "sum of string is not defined: it needs long, double or decimal; count, min, max, first and last work on it"},
		{Avg, event.Type{Kind: event.Timestamp, Nullable: true}, "avg of timestamp is not defined"},
		{Sum, event.Type{Kind: event.Bool}, `write count: "*" with where:`},
		{Variance, list, "count, first and last work on it"},
		{Min, event.Type{Kind: event.Map, Elem: &long}, "min of map of long is not defined: its values have no order"},
		{Func(0), long, "func(0) is not an aggregate"},
	} {
		_, _, got, err := Bind(c.f, c.in, event.Type{}, Params{})
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s of %s: %v, want %s", c.f, c.in, err, c.want)
			}
		} else if got.String() != c.want {
			t.Errorf("%s of %s is %s, want %s", c.f, c.in, got, c.want)
		}
	}
}

// answer is f over values, one row each.
func answer(f Func, t event.Type, values ...event.Value) (event.Value, bool) {
	p := NewPartial(&Layout{Groups: []Group{{Type: t, Filter: -1, Parts: f.of().parts}}}, nil)
	for i, v := range values {
		p.Add(&event.Row{Pos: event.Position{Offset: int64(i)}, Values: []event.Value{v}})
	}
	a := p.Answer(&Call{Func: f}, At{})
	return a.Value, a.Overflow
}

func doubles(fs ...float64) []event.Value {
	out := make([]event.Value, len(fs))
	for i, f := range fs {
		out[i] = event.Value{Kind: event.Double, Num: math.Float64bits(f)}
	}
	return out
}

func TestDoublesByHand(t *testing.T) {
	inf, nan, negZero := math.Inf(1), math.NaN(), math.Copysign(0, -1)
	for _, c := range []struct {
		f    Func
		in   []float64
		want string
	}{
		{Sum, []float64{0.1, 0.2, 0.3}, "0.6"}, // + gives 0.6000000000000001
		{Sum, []float64{1e308, 1e308, -1e308}, "1e+308"},
		{Sum, []float64{1e308, 1e308}, "Infinity"},
		{Sum, []float64{math.MaxFloat64, 0x1p969}, "1.7976931348623157e+308"}, // rounds down
		{Sum, []float64{math.MaxFloat64, 0x1p970}, "Infinity"},                // the tie
		{Sum, []float64{1, 1e100, 1, -1e100}, "2"},
		{Sum, []float64{5e-324, 1, -1}, "5e-324"},
		{Sum, []float64{negZero, negZero}, "0"},
		{Sum, []float64{inf, 1, inf}, "Infinity"},
		{Sum, []float64{inf, -inf}, "NaN"},
		{Sum, []float64{nan, inf}, "NaN"},
		{Avg, []float64{1.7e308, 1.7e308}, "1.7e+308"},
		{Avg, []float64{1, 2}, "1.5"},
		{Avg, []float64{5e-324, 0, 0}, "0"},
		{Avg, []float64{5e-324, 5e-324, 0}, "5e-324"},
		{Avg, []float64{-inf, 3}, "-Infinity"},
		{Min, []float64{2, nan, 1}, "NaN"},
		{Max, []float64{2, nan, inf}, "NaN"},
		{Min, []float64{0, negZero}, "0"},
		{Max, []float64{-inf, -1}, "-1"},
		{First, []float64{negZero, 1}, "0"},
		{Last, []float64{1, nan}, "NaN"},
		{Variance, []float64{1}, ""},
		{Variance, []float64{nan}, ""},
		{VariancePop, []float64{1e300}, "0"},
		{VariancePop, []float64{nan}, "NaN"},
		{Variance, []float64{1, inf}, "NaN"},
		{Variance, []float64{1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}, "30"},
		{Stddev, []float64{2, 4, 4, 4, 5, 5, 7, 9}, "2.138089935299395"},
		{StddevPop, []float64{2, 4, 4, 4, 5, 5, 7, 9}, "2"},
		{Variance, []float64{1e308, -1e308}, "Infinity"},
		{VariancePop, []float64{1e-200, -1e-200}, "0"}, // 1e-400
		{Variance, nil, ""},
		{StddevPop, nil, ""},
		{Sum, nil, ""},
		{Count, nil, "0"},
	} {
		if got, _ := answer(c.f, double, doubles(c.in...)...); got.String() != c.want {
			t.Errorf("%s of %v is %s, want %s", c.f, c.in, got, c.want)
		}
	}
}

func TestLongsAndDecimalsByHand(t *testing.T) {
	long, dec := event.Type{Kind: event.Long}, event.Type{Kind: event.Decimal, Scale: 2}
	cents := func(n int64) event.Value { return event.DecimalOf(big.NewInt(n), 2) }
	most, least := event.LongOf(math.MaxInt64), event.LongOf(math.MinInt64)
	for _, c := range []struct {
		f    Func
		t    event.Type
		in   []event.Value
		want string
		over bool
	}{
		{Sum, long, []event.Value{most, event.LongOf(1)}, "", true},
		{Sum, long, []event.Value{least, event.LongOf(-1)}, "", true},
		{Sum, long, []event.Value{most, most, least, event.LongOf(1)}, "9223372036854775807", false},
		{Sum, long, []event.Value{least}, "-9223372036854775808", false},
		{Avg, long, []event.Value{most, most, most}, "9223372036854776000", false},
		{Avg, long, []event.Value{event.LongOf(1), event.LongOf(0), event.LongOf(0)}, "0.3333333333333333", false},
		{Variance, long, []event.Value{most, least}, "1.7014118346046923e+38", false},
		{Sum, dec, []event.Value{cents(12345), cents(-12345)}, "0.00", false},
		{Sum, dec, []event.Value{cents(-5), cents(1)}, "-0.04", false},
		{Avg, dec, []event.Value{cents(10), cents(20), cents(30)}, "0.2", false},
		{Min, dec, []event.Value{cents(200), cents(-3), cents(-300)}, "-3.00", false},
		{Max, dec, []event.Value{cents(200), cents(30000)}, "300.00", false},
		{Stddev, dec, []event.Value{cents(100), cents(200)}, "0.7071067811865476", false},
		// What is no decimal of this scale counts as null, and nothing panics.
		{Count, dec, []event.Value{event.DecimalOf(big.NewInt(1), 3), event.LongOf(1), event.StringOf("x"), cents(1)}, "1", false},
		{Sum, long, []event.Value{event.StringOf("x"), event.DoubleOf(2), event.LongOf(3)}, "3", false},
	} {
		got, over := answer(c.f, c.t, c.in...)
		if s := got.String(); s != c.want || over != c.over {
			t.Errorf("%s of %v is %s overflow %v, want %s %v", c.f, c.in, s, over, c.want, c.over)
		}
	}
}

func TestTieOrder(t *testing.T) {
	l := &Layout{Groups: []Group{{Type: event.Type{Kind: event.String}, Filter: -1, Parts: PartFirst | PartLast}}}
	row := func(time event.Time, order event.Value, offset int64, v string) *event.Row {
		r := &event.Row{Time: time, Order: order, Pos: event.Position{Offset: offset}, Values: []event.Value{event.StringOf(v)}}
		if v == "" {
			r.Values[0] = event.Value{}
		}
		return r
	}
	p := NewPartial(l, nil)
	p.Add(row(5, event.Value{}, 9, ""))
	p.Add(row(4, event.LongOf(2), 1, "order 2"))
	p.Add(row(4, event.LongOf(1), 2, "order 1"))
	p.Add(row(4, event.Value{}, 3, "no order"))
	p.Add(row(4, event.LongOf(2), 0, "order 2, offset 0"))
	if first := p.Answer(&Call{Func: First}, At{}); first.Value.Str != "no order" || first.Newest != 4 {
		t.Errorf("first is %+v", first)
	}
	if last := p.Answer(&Call{Func: Last}, At{}).Value; last.Str != "order 2" {
		t.Errorf("last is %v", last)
	}
}

func TestBrokenPlanPanics(t *testing.T) {
	l := &Layout{Groups: []Group{{Type: double, Filter: -1, Parts: PartMin}, {Input: -1, Filter: -1}}}
	for name, f := range map[string]func(){
		"a part that is not kept":    func() { NewPartial(l, nil).Answer(&Call{Func: Sum, Group: 0}, At{}) },
		"a group that is not kept":   func() { NewPartial(l, []int{1}).Answer(&Call{Func: Min, Group: 0}, At{}) },
		"encoding of some groups":    func() { NewPartial(l, []int{1}).Append(nil) },
		"a sum of rows":              func() { NewPartial(l, nil).Answer(&Call{Func: Sum, Group: 1}, At{}) },
		"counting an unkept group":   func() { NewPartial(l, []int{}).Count(0) },
		"a sum of strings in a plan": func() { NewPartial(stringSum(), nil).Answer(&Call{Func: Sum, Group: 0}, At{}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			f()
		}()
	}
}

func stringSum() *Layout {
	return &Layout{Groups: []Group{{Type: event.Type{Kind: event.String}, Filter: -1, Parts: PartSum}}}
}

// The bytes on disk: a change of them is a change of format.
func TestEncodingIsStable(t *testing.T) {
	l := &Layout{Groups: []Group{
		{Input: 0, Type: double, Filter: -1, Parts: PartSum | PartSquares | PartMin | PartMax | PartFirst | PartLast},
		{Input: -1, Filter: 0},
		{Input: 1, Type: event.Type{Kind: event.Decimal, Scale: 2}, Filter: -1, Parts: PartSum | PartMax},
		{Input: 2, Type: event.Type{Kind: event.Long}, Filter: -1, Parts: PartSum | PartMin},
		{Input: 3, Type: event.Type{Kind: event.String}, Filter: -1, Parts: PartMin | PartLast},
	}}
	p := NewPartial(l, nil)
	p.Add(&event.Row{Time: 1000, Pos: event.Position{Source: 1, Partition: 2, Offset: 3}, Order: event.LongOf(7), Values: []event.Value{
		event.DoubleOf(2.5), event.DecimalOf(big.NewInt(-1234), 2), event.LongOf(-5), event.StringOf("b"),
	}})
	p.Add(&event.Row{Time: 2000, Pos: event.Position{Offset: 300, Index: 1}, Values: []event.Value{
		event.DoubleOf(-0.75), event.DecimalOf(big.NewInt(34), 2), {}, event.StringOf("a"),
	}})
	const want = "a01f" + // newest of all: 2000
		"39" + "02" + "00" + "00" + // 57 bytes follow, two rows, the newest is the newest, no flags
		"0401c001" + // the sum: two bytes, 0x1c0·256^-1 = 1.75
		"0401d006" + // of squares: 6.8125
		"4017ffffffffffff" + "c004000000000000" + // -0.75, 2.5
		"e807" + "020e" + "01" + "04" + "06" + "00" + "c004000000000000" + // first: 1000 before, order 7, 1/2@3, 2.5
		"00" + "00" + "00" + "d804" + "02" + "4017ffffffffffff" + // last: no order, 0/0@300 index 1, -0.75
		"00" + // no row passes filter 0
		"07" + "02" + "00" + "05b004" + "0122" + // -1200, 34
		"06" + "01" + "e807" + "0305" + "09" + // one row 1000 before: -5, -5
		"0c" + "02" + "00" + "0161" + "00" + "00" + "00" + "d804" + "02" + "0161" // a; last: a
	got := hex.EncodeToString(p.Append(nil))
	if got != want {
		t.Errorf("the encoding is\n%s, want\n%s", got, want)
	}
}

func TestEncodingIsSmall(t *testing.T) {
	l := &Layout{Groups: []Group{{Type: double, Filter: -1, Parts: PartSum}}}
	p := NewPartial(l, nil)
	rows := money(1000)
	for i := range rows {
		p.Add(&rows[i])
	}
	// 8 bytes of newest event time, 1 of length, 2 of count, 1 each of age and flags.
	if n := len(p.Append(nil)) - 13; n > 12 {
		t.Errorf("a sum of 1,000 prices takes %d bytes", n)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	types := []event.Type{double, {Kind: event.Long}, {Kind: event.String}, {Kind: event.Decimal, Scale: 2}}
	l := &Layout{}
	row := event.Row{Pass: 1, Order: event.LongOf(1)}
	for i, in := range types {
		parts := PartMin | PartMax | PartFirst | PartLast
		if in.Numeric() {
			parts |= partsOfNumbers
		}
		l.Groups = append(l.Groups, Group{Input: i, Type: in, Filter: i%2 - 1, Parts: parts | PartOldest})
	}
	l.Groups = append(l.Groups, Group{Input: -1, Filter: -1, Parts: PartOldest})
	vector := func(x float64) event.Value {
		return event.Value{Kind: event.List, Str: string(event.AppendList(nil, event.DoubleOf(x), event.Value{}, event.DoubleOf(-x)))}
	}
	for i, in := range append(types, event.Type{Kind: event.List, Elem: &double}) {
		for _, keeps := range []Structure{
			{Kind: KeepTrend},
			{Kind: KeepDecay, HalfLife: 1000},
			{Kind: KeepCross},
			{Kind: KeepVectorSum, Dim: 3},
			{Kind: KeepVectorMin, Dim: 3},
			{Kind: KeepVectorMax, Dim: 3},
			{Kind: KeepVectorDecay, Dim: 3, HalfLife: 1000},
		} {
			if in.Numeric() == (keeps.Dim == 0) && (in.Numeric() || in.Kind == event.List) {
				g := Group{Input: i, Type: in, Filter: -1, Keeps: keeps}
				if keeps.Kind == KeepCross {
					g.Second, g.SecondType = i/3*3+1, types[i/3*3]
				}
				l.Groups = append(l.Groups, g)
			}
		}
	}
	row.Values = []event.Value{
		event.DoubleOf(0), event.LongOf(0), event.StringOf("country"), event.DecimalOf(big.NewInt(99), 2), vector(2.5),
	}
	p, q := NewPartial(l, nil), NewPartial(l, nil)
	step := func() {
		row.Time++
		row.Pos.Offset++
		row.Values[0] = event.DoubleOf(float64(row.Time) / 100)
		row.Values[1] = event.LongOf(int64(row.Time) * 1e9)
		p.Add(&row)
	}
	for range 200 {
		step()
	}
	buf := p.Append(nil)
	q.Merge(p)
	if err := q.MergeEncoded(buf); err != nil {
		t.Fatal(err)
	}
	var calls []Call
	for _, f := range []Func{Count, Sum, Avg, Min, Max, First, Last} {
		calls = append(calls, Call{Func: f}, Call{Func: f, Group: 3})
	}
	for name, f := range map[string]func(){
		"add":           step,
		"append":        func() { buf = p.Append(buf[:0]) },
		"merge":         func() { q.Merge(p) },
		"merge encoded": func() { _ = q.MergeEncoded(buf) },
		"reset and add": func() { p.Reset(); step() },
		"answer": func() {
			for i := range calls {
				p.Answer(&calls[i], At{})
			}
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// -0 reads as +0 before it is kept, so a row that was stored as +0 gives the same partial.
func TestNegativeZeroIsZero(t *testing.T) {
	l := &Layout{Groups: []Group{{Type: double, Filter: -1, Parts: PartSum | PartMin | PartMax | PartFirst | PartLast}}}
	encode := func(f float64) string {
		p := NewPartial(l, nil)
		p.Add(&event.Row{Values: doubles(f)})
		return string(p.Append(nil))
	}
	if got, want := encode(math.Copysign(0, -1)), encode(0); got != want {
		t.Errorf("-0 is kept as %x, +0 as %x", got, want)
	}
}
