package agg

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// askedOf answers f with p over rows of one or two columns; the window is [0, 100 s), as of 100 s.
func askedOf(t *testing.T, f Func, p Params, in, second event.Type, rows ...event.Row) Answer {
	t.Helper()
	needs, call, _, err := Bind(f, in, second, p)
	if err != nil {
		t.Fatal(err)
	}
	g := Group{Type: in, SecondType: second, Filter: -1, Parts: needs.Parts, Keeps: needs.Keeps}
	if in.Kind == event.Null {
		g.Input = -1
	}
	if second.Kind != event.Null {
		g.Second = 2
	}
	l := &Layout{Groups: []Group{g}}
	end := event.Time(100 * event.Second)
	return merged(t, l, true, partialOf(l, rows)).Answer(&call, At{AsOf: end, End: end})
}

// points are rows a second apart.
func points(columns ...[]event.Value) []event.Row {
	rows := make([]event.Row, len(columns[0]))
	for i := range rows {
		rows[i] = event.Row{Time: event.Time(i) * event.Time(event.Second), Pos: event.Position{Offset: int64(i)}}
		for _, c := range columns {
			rows[i].Values = append(rows[i].Values, c[i])
		}
	}
	return rows
}

// Answers that others publish for the same numbers: pandas 2.2 (Series.skew, kurt, cov, corr), SciPy 1.13
// (stats.skew, kurtosis), the textbook vectors by hand.
func TestPublishedMoments(t *testing.T) {
	iris := []float64{5.1, 4.9, 4.7, 4.6, 5.0, 5.4, 4.6, 5.0, 4.4, 4.9}
	textbook := []float64{2, 8, 0, 4, 1, 9, 9, 0} // the example of SciPy's kurtosis and skew
	for _, c := range []struct {
		f    Func
		in   []float64
		want float64
	}{
		{SkewPop, textbook, 0.2650554122698573},       // scipy.stats.skew
		{KurtosisPop, textbook, -1.6660010752838508},  // scipy.stats.kurtosis
		{Skew, textbook, 0.3305821804079746},          // g1·√(n(n-1))/(n-2)
		{Kurtosis, textbook, -2.098602258096087},      // (n-1)/((n-2)(n-3))·((n+1)g2+6)
		{SkewPop, []float64{1, 2, 3, 4, 5}, 0},        // scipy.stats.skew
		{KurtosisPop, []float64{1, 2, 3, 4, 5}, -1.3}, // by hand: 6.8/4 - 3
		{Kurtosis, []float64{1, 2, 3, 4, 5}, -1.2},    // pandas
		{Skew, []float64{1, 2, 10}, 1.6523167403329906},
		{Kurtosis, []float64{1, 2, 2, 3}, 1.5},
		{VariancePop, iris, 0.0764},
	} {
		got := askedOf(t, c.f, Params{}, double, event.Type{}, points(doubles(c.in...))...).Value.Double()
		if math.Abs(got-c.want) > 1e-15*math.Max(1, math.Abs(c.want)) {
			t.Errorf("%s of %v is %v, want %v", c.f, c.in, got, c.want)
		}
	}
}

// The first of Anscombe's quartet, whose figures every textbook prints.
func TestAnscombe(t *testing.T) {
	x := doubles(10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5)
	y := doubles(8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68)
	for _, c := range []struct {
		f    Func
		want float64
	}{
		{Correlation, 0.81642051634484}, // numpy.corrcoef gives 0.81642051634484003
		{Covariance, 5.501},
		{CovariancePop, 5.501 * 10 / 11},
	} {
		got := askedOf(t, c.f, Params{}, double, double, points(x, y)...).Value.Double()
		if math.Abs(got-c.want) > 2e-15*math.Abs(c.want) {
			t.Errorf("%s is %v, want %v", c.f, got, c.want)
		}
	}
	// The same as a slope over time: x seconds.
	var rows []event.Row
	for i := range x {
		rows = append(rows, event.Row{Time: event.Time(x[i].Double() * 1e6), Pos: event.Position{Offset: int64(i)}, Values: y[i : i+1]})
	}
	for per, want := range map[event.Duration]float64{0: 0.5000909090909091, event.Minute: 30.005454545454547} {
		if got := askedOf(t, Slope, Params{Per: per}, double, event.Type{}, rows...).Value.Double(); got != want {
			t.Errorf("slope per %v is %v, want %v", per, got, want)
		}
	}
}

func TestNumbersByHand(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	none, long, boolean := event.Type{}, event.Type{Kind: event.Long}, event.Type{Kind: event.Bool}
	cents := event.Type{Kind: event.Decimal, Scale: 2}
	longs := func(ns ...int64) (out []event.Value) {
		for _, n := range ns {
			out = append(out, event.LongOf(n))
		}
		return out
	}
	yes, no, null := event.BoolOf(true), event.BoolOf(false), event.Value{}
	hour := Params{HalfLife: event.Hour}
	for _, c := range []struct {
		f          Func
		p          Params
		in, second event.Type
		rows       []event.Row
		want       string
	}{
		{Skew, Params{}, double, none, points(doubles(1, 2)), ""},
		{Skew, Params{}, double, none, points(doubles(3, 3, 3)), ""},
		{SkewPop, Params{}, double, none, points(doubles(1)), ""},
		{Skew, Params{}, double, none, points(doubles(1, nan, 2)), "NaN"},
		{Kurtosis, Params{}, double, none, points(doubles(1, 2, 3)), ""},
		{KurtosisPop, Params{}, double, none, points(doubles(1, inf)), "NaN"},
		{KurtosisPop, Params{}, long, none, points(longs(math.MaxInt64, math.MinInt64)), "-2"},
		{SkewPop, Params{}, double, none, points(doubles(1e300, 1e300, -1e300)), "-0.7071067811865476"},
		{Covariance, Params{}, double, long, points(doubles(1), longs(1)), ""},
		{CovariancePop, Params{}, double, long, points(doubles(1), longs(1)), "0"},
		{CovariancePop, Params{}, cents, long, points([]event.Value{event.DecimalOf(big.NewInt(150), 2), event.DecimalOf(big.NewInt(50), 2)}, longs(1, 3)), "-0.5"},
		{Covariance, Params{}, double, long, points(append(doubles(1, 2), null), longs(4, 5, 6)), "0.5"},
		{Covariance, Params{}, double, double, points(doubles(1e308, -1e308), doubles(1e308, -1e308)), "Infinity"},
		{Correlation, Params{}, double, double, points(doubles(1e308, -1e308), doubles(-1e308, 1e308)), "-1"},
		{Correlation, Params{}, double, double, points(doubles(1, 1), doubles(1, 2)), ""},
		{Correlation, Params{}, double, double, points(doubles(1, 2), doubles(1, nan)), "NaN"},
		{Slope, Params{}, double, none, points(doubles(1)), ""},
		{Slope, Params{}, double, none, append(points(doubles(1)), points(doubles(2))...), ""},
		{Slope, Params{}, double, none, points(doubles(1, inf)), "NaN"},
		{Slope, Params{}, long, none, points(longs(7, 5, 3)), "-2"},
		{Slope, Params{Per: event.Minute}, cents, none, points([]event.Value{event.DecimalOf(big.NewInt(0), 2), event.DecimalOf(big.NewInt(1), 2)}), "0.6"},
		{Rate, Params{}, none, none, points(longs(1, 1, 1)), "0.03"},
		{Rate, Params{Per: event.Minute}, none, none, points(longs(1, 1, 1)), "1.8"},
		{Rate, Params{Per: event.Minute}, long, none, points(longs(math.MaxInt64, math.MaxInt64)), "11068046444225730000"},
		{Rate, Params{}, double, none, points(doubles(inf, 1)), "Infinity"},
		{Rate, Params{}, none, none, nil, ""},
		{TimeSinceLast, Params{}, none, none, points(longs(1, 1)), "99"},
		{TimeSinceLast, Params{}, double, none, points(append(doubles(1), null)), "100"},
		{TimeBetween, Params{}, none, none, points(longs(1, 1, 1)), "1"},
		{TimeBetween, Params{}, none, none, points(longs(1)), ""},
		{BoolAnd, Params{}, boolean, none, points([]event.Value{yes, null, yes}), "true"},
		{BoolAnd, Params{}, boolean, none, points([]event.Value{yes, no}), "false"},
		{BoolOr, Params{}, boolean, none, points([]event.Value{no, no}), "false"},
		{BoolOr, Params{}, boolean, none, points([]event.Value{no, null, yes}), "true"},
		{BoolOr, Params{}, boolean, none, points([]event.Value{null}), ""},
		{DecayedSum, Params{HalfLife: 50 * event.Second}, double, none, points(doubles(8)), "2"},
		{DecayedCount, Params{HalfLife: 50 * event.Second}, none, none, points(longs(1)), "0.25"},
		{DecayedMean, Params{HalfLife: event.Second}, double, none, points(doubles(0, 3)), "2"},
		{DecayedMean, Params{HalfLife: 1}, double, none, points(doubles(1, 3)), "3"}, // 2^-1000000 is gone
		{DecayedSum, Params{HalfLife: 1}, double, none, points(doubles(1, 1e308)), "0"},
		{DecayedSum, hour, double, none, points(doubles(1, nan)), "NaN"},
		{DecayedSum, Params{HalfLife: 1}, double, none, points(doubles(-inf, 1)), "-Infinity"},
		{DecayedCount, Params{HalfLife: 100 * event.Second}, double, none, points(doubles(inf)), "0.5"},
		{DecayedSum, hour, double, none, nil, ""},
		{DecayedCount, hour, none, none, nil, ""},
	} {
		a := askedOf(t, c.f, c.p, c.in, c.second, c.rows...)
		if got := a.Value.String(); got != c.want {
			t.Errorf("%s %+v of %v is %s, want %s", c.f, c.p, c.rows, got, c.want)
		}
	}
}

// An unbounded window has no rate, and a window that has not begun has none.
func TestRateOfNoLength(t *testing.T) {
	l := &Layout{Groups: []Group{{Input: -1, Filter: -1}}}
	p := partialOf(l, []event.Row{{}})
	c := &Call{Func: Rate, Per: event.Second}
	for _, at := range []At{{Start: event.MinTime, End: 5}, {Start: 5, End: 5}} {
		if a := p.Answer(c, at); !a.Value.IsNull() {
			t.Errorf("over %v it is %v", at, a.Value)
		}
	}
	if a := p.Answer(c, At{Start: event.MinTime + 1, End: event.MaxTime}); a.Value.Double() != 1e6/(float64(1<<63)*2) {
		t.Errorf("over all times it is %v", a.Value)
	}
}

func TestRatio(t *testing.T) {
	long := event.Type{Kind: event.Long, Nullable: true}
	cents := event.Type{Kind: event.Decimal, Scale: 2, Nullable: true}
	l := &Layout{Groups: []Group{
		{Input: 0, Type: long, Filter: 0, Parts: PartSum}, {Input: 1, Type: cents, Filter: -1, Parts: PartSum}, {Input: -1, Filter: -1},
	}}
	p := partialOf(l, []event.Row{
		{Time: 5, Pass: 1, Values: []event.Value{event.LongOf(3), event.DecimalOf(big.NewInt(150), 2)}},
		{Time: 9, Values: []event.Value{event.LongOf(100), event.DecimalOf(big.NewInt(50), 2)}},
	})
	sum, cent, count := &Call{Func: Sum}, &Call{Func: Sum, Group: 1}, &Call{Func: Count, Group: 2}
	for _, c := range []struct {
		above, over *Call
		want        string
	}{
		{sum, cent, "1.5"},
		{cent, sum, "0.6666666666666666"},
		{cent, cent, "1"},
		{count, sum, "0.6666666666666666"},
		{&Call{Func: VariancePop}, sum, "panic"},
		{&Call{Func: Ratio, Above: count, Over: count}, sum, "0.3333333333333333"},
	} {
		got := func() (s string) {
			defer func() {
				if recover() != nil {
					s = "panic"
				}
			}()
			a := p.Answer(&Call{Func: Ratio, Above: c.above, Over: c.over}, At{})
			if want := event.Time(9); a.Newest != want && c.above != sum && c.over != sum {
				t.Errorf("newest is %v, want %v", a.Newest, want)
			}
			return a.Value.String()
		}()
		if got != c.want {
			t.Errorf("%s/%s is %s, want %s", c.above.Func, c.over.Func, got, c.want)
		}
	}
	empty := NewPartial(l, nil)
	for _, c := range []*Call{{Func: Ratio, Above: count, Over: count}, {Func: Ratio, Above: sum, Over: count}} {
		if a := empty.Answer(c, At{}); !a.Value.IsNull() || a.Newest != event.MinTime {
			t.Errorf("over nothing it is %+v", a)
		}
	}
	p.Add(&event.Row{Pass: 1, Values: []event.Value{event.LongOf(math.MaxInt64), {}}})
	if a := p.Answer(&Call{Func: Ratio, Above: sum, Over: count}, At{}); !a.Value.IsNull() || !a.Overflow {
		t.Errorf("of a sum outside int64 it is %+v", a)
	}
}

func TestBind(t *testing.T) {
	long, str, boolean := event.Type{Kind: event.Long}, event.Type{Kind: event.String}, event.Type{Kind: event.Bool}
	vector := event.Type{Kind: event.List, Elem: &double}
	texts := event.Type{Kind: event.List, Elem: &str}
	n := 5
	for _, c := range []struct {
		f          Func
		in, second event.Type
		p          Params
		want       string // the answer's type, or a part of the error
	}{
		{Count, event.Type{}, event.Type{}, Params{}, "long"},
		{Rate, event.Type{}, event.Type{}, Params{}, "double?"},
		{Rate, long, event.Type{}, Params{Per: event.Day}, "double?"},
		{Rate, str, event.Type{}, Params{}, `rate of string is not defined: it needs long, double or decimal; for rows per unit of time write rate: "*"`},
		{Rate, long, event.Type{}, Params{Per: -1}, "rate: per is -1us; it must be more than nothing"},
		{Sum, event.Type{}, event.Type{}, Params{}, `sum needs a column or an expression; over "*" work count,`},
		{Sum, long, event.Type{}, Params{K: &n}, "sum does not take k; it takes dim"},
		{Count, long, event.Type{}, Params{HalfLife: 1}, "count does not take half_life; delete it"},
		{Sum, long, long, Params{}, "sum takes one column, not two; "},
		{Covariance, long, event.Type{}, Params{}, "covariance needs two columns; write covariance: [x, y]"},
		{Covariance, long, double, Params{}, "double?"},
		{Correlation, long, str, Params{}, "correlation of string is not defined"},
		{Slope, boolean, event.Type{}, Params{}, "slope of boolean is not defined"},
		{Skew, long, event.Type{}, Params{}, "double?"},
		{Skew, vector, event.Type{}, Params{}, "skew of array of double? is not defined"},
		{BoolAnd, boolean, event.Type{}, Params{}, "boolean?"},
		{BoolOr, long, event.Type{}, Params{}, "bool_or of long is not defined: it needs boolean; write a condition, like amount > 100"},
		{DecayedSum, long, event.Type{}, Params{}, "decayed_sum needs half_life; write half_life: 1h beside it"},
		{DecayedSum, long, event.Type{}, Params{HalfLife: 5}, "double?"},
		{DecayedSum, str, event.Type{}, Params{HalfLife: 5}, "decayed_sum of string is not defined"},
		{DecayedCount, str, event.Type{}, Params{HalfLife: 5}, "double?"},
		{DecayedCount, event.Type{}, event.Type{}, Params{HalfLife: 5}, "double?"},
		{DecayedMean, vector, event.Type{}, Params{HalfLife: 5, Dim: 3}, "array of double??"},
		{DecayedMean, vector, event.Type{}, Params{HalfLife: 5}, "decayed_mean of array of double? needs dim; write dim:"},
		{TimeSinceLast, texts, event.Type{}, Params{}, "double?"},
		{TimeBetween, event.Type{}, event.Type{}, Params{}, "double?"},
		{Sum, vector, event.Type{}, Params{Dim: 3}, "array of double??"},
		{Sum, vector, event.Type{}, Params{}, "sum of array of double? needs dim; write dim:"},
		{Sum, long, event.Type{}, Params{Dim: 3}, "sum of long with dim is not defined: it needs an array of long or double; delete dim"},
		{Max, texts, event.Type{}, Params{}, "max of array of string is not defined: its values have no order"},
		{Last, vector, event.Type{}, Params{Dim: 3}, "array of double??"},
		{Last, texts, event.Type{}, Params{Dim: 3}, "last of array of string with dim is not defined"},
		{Last, texts, event.Type{}, Params{}, "array of string?"},
		{First, vector, event.Type{}, Params{Dim: 3}, "first does not take dim; delete it"},
		{Min, vector, event.Type{}, Params{Dim: 10_001}, "min: dim is 10001; it must be 1 to 10000"},
		{Ratio, long, double, Params{}, "double?"},
		{Ratio, long, str, Params{}, "ratio of string is not defined"},
		{Func(200), long, event.Type{}, Params{}, "func(200) is not an aggregate"},
	} {
		needs, call, got, err := Bind(c.f, c.in, c.second, c.p)
		switch {
		case err != nil && strings.Contains(err.Error(), c.want) && got == event.Type{}:
		case err != nil:
			t.Errorf("%s of %s with %+v: %v, want %s", c.f, c.in, c.p, err, c.want)
		case got.String() != c.want || call.Func != c.f:
			t.Errorf("%s of %s with %+v is %s by %s, want %s", c.f, c.in, c.p, got, call.Func, c.want)
		case needs.Keeps.Kind != 0 || c.f == Ratio || c.in.Kind == event.Null:
		default:
			// What it needs is enough to be asked.
			p := NewPartial(&Layout{Groups: []Group{{Type: c.in, Filter: -1, Parts: needs.Parts, Keeps: needs.Keeps}}}, nil)
			p.Answer(&call, At{})
		}
	}
}

// Functions whose answers are shared share a group.
func TestNeedsAreShared(t *testing.T) {
	keeps := func(f Func, p Params) string {
		needs, _, _, err := Bind(f, double, event.Type{}, p)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(needs.Keeps)
	}
	if keeps(Slope, Params{Per: 1}) != keeps(Slope, Params{Per: 2}) {
		t.Error("slopes per other units are kept apart")
	}
	h := Params{HalfLife: event.Hour}
	if keeps(DecayedSum, h) != keeps(DecayedMean, h) || keeps(DecayedSum, h) != keeps(DecayedCount, h) {
		t.Error("decayed sums of one half-life are kept apart")
	}
	if keeps(DecayedSum, h) == keeps(DecayedSum, Params{HalfLife: event.Day}) {
		t.Error("decayed sums of two half-lives are not kept apart")
	}
}
