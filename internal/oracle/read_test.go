package oracle

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

var (
	lifetime = window.Spec{Kind: window.Lifetime}
	double   = event.Type{Kind: event.Double, Nullable: true}
)

func rolling(d event.Duration) window.Spec { return window.Spec{Kind: window.Rolling, Size: d} }

func last(n int) window.Spec { return window.Spec{Kind: window.LastN, N: n} }

// spend is a view over an amount, with filter 0.
func spend(features ...*pipeline.Feature) *pipeline.View {
	v := &pipeline.View{Name: "spend", Features: features, Keep: 1000, Layout: agg.Layout{Groups: []agg.Group{
		{Input: 0, Type: double, Filter: -1},
		{Input: 0, Type: double, Filter: 0},
		{Input: -1, Filter: -1},
	}}}
	for _, f := range features {
		f.View = v
	}
	return v
}

func feat(f agg.Func, group, filter int, w window.Spec) *pipeline.Feature {
	return &pipeline.Feature{Name: fmt.Sprint(f, " ", w), Call: agg.Call{Func: f, Group: group}, Filter: filter, Window: w}
}

func key(s string) []event.Value { return []event.Value{event.StringOf(s)} }

// at is a row of entity k; an amount of NaN stands for null.
func at(k string, time, arrival event.Time, offset int64, pass uint64, amount float64) Row {
	r := Row{Key: key(k), Row: event.Row{
		Time: time, Arrival: arrival, Pos: event.Position{Offset: offset}, Pass: pass,
		Values: []event.Value{event.DoubleOf(amount)},
	}}
	if math.IsNaN(amount) {
		r.Values[0] = event.Value{}
	}
	return r
}

func TestRead(t *testing.T) {
	null := math.NaN()
	rows := []Row{
		at("a", 100, 100, 0, 1, 1),
		at("a", 200, 250, 1, 0, 2),
		at("a", 300, 300, 2, 1, null),
		at("a", 300, 300, 3, 1, 8),
		at("b", 100, 100, 4, 1, 64),
	}
	ttl := func(f *pipeline.Feature, d event.Duration) *pipeline.Feature { f.TTL = d; return f }
	or := func(f *pipeline.Feature, x float64) *pipeline.Feature { f.Default = event.DoubleOf(x); return f }
	for _, c := range []struct {
		name     string
		f        *pipeline.Feature
		key      string
		asOf     event.Time
		asServed bool
		want     string
	}{
		{"all", feat(agg.Sum, 0, -1, lifetime), "a", 400, false, "11 present 300"},
		{"the row at the instant is not in", feat(agg.Sum, 0, -1, lifetime), "a", 300, false, "3 present 200"},
		{"one microsecond later it is", feat(agg.Sum, 0, -1, lifetime), "a", 301, false, "11 present 300"},
		{"the row at the start is in", feat(agg.Sum, 0, -1, rolling(200)), "a", 400, false, "10 present 300"},
		{"and out one microsecond later", feat(agg.Sum, 0, -1, rolling(200)), "a", 401, false, "8 present 300"},
		{"a filter", feat(agg.Sum, 1, 0, lifetime), "a", 400, false, "9 present 300"},
		{"rows with nulls are rows", feat(agg.Count, 2, -1, lifetime), "a", 400, false, "4 present 300"},
		{"nulls are not counted", feat(agg.Count, 0, -1, lifetime), "a", 400, false, "3 present 300"},
		{"last 2 holds the null", feat(agg.Sum, 0, -1, last(2)), "a", 400, false, "8 present 300"},
		{"last 3 of those that pass", feat(agg.Sum, 1, 0, last(3)), "a", 400, false, "9 present 300"},
		{"last 2 of those that pass", feat(agg.Sum, 1, 0, last(2)), "a", 400, false, "8 present 300"},
		{"last 9 of four", feat(agg.Count, 2, -1, last(9)), "a", 400, false, "4 present 300"},
		{"an empty window counts 0", feat(agg.Count, 0, -1, rolling(10)), "a", 400, false, "0 present -inf"},
		{"an empty window sums to null", feat(agg.Sum, 0, -1, rolling(10)), "a", 400, false, " null -inf"},
		{"or to the default", or(feat(agg.Sum, 0, -1, rolling(10)), 7), "a", 400, false, "7 null -inf"},
		{"as served, one had not arrived", feat(agg.Sum, 0, -1, lifetime), "a", 249, true, "1 present 100"},
		{"and arrived at the instant", feat(agg.Sum, 0, -1, lifetime), "a", 250, true, "3 present 200"},
		{"as served, nobody seen", feat(agg.Count, 0, -1, lifetime), "a", 100, true, "0 not_found -inf"},
		{"never seen", feat(agg.Sum, 0, -1, lifetime), "c", 400, false, " not_found -inf"},
		{"never seen, default", or(feat(agg.Sum, 0, -1, lifetime), 7), "c", 400, false, "7 not_found -inf"},
		{"seen later only", feat(agg.Sum, 0, -1, lifetime), "a", 100, false, " not_found -inf"},
		{"another entity", feat(agg.Max, 0, -1, lifetime), "b", 400, false, "64 present 100"},
		{"as old as the ttl", ttl(feat(agg.Last, 0, -1, lifetime), 100), "a", 400, false, "8 present 300"},
		{"older", ttl(feat(agg.Last, 0, -1, lifetime), 99), "a", 400, false, " expired 300"},
		{"older, default", or(ttl(feat(agg.Last, 0, -1, lifetime), 99), 7), "a", 400, false, "7 expired 300"},
		{"nothing to expire", ttl(feat(agg.Count, 0, -1, rolling(10)), 5), "a", 400, false, "0 present -inf"},
		{"before history", or(feat(agg.Count, 0, -1, lifetime), 7), "a", 49, false, " before_history -inf"},
		{"at the horizon", feat(agg.Count, 0, -1, lifetime), "a", 50, false, "0 not_found -inf"},
	} {
		a := Read(spend(c.f), rows, key(c.key), c.asOf, c.asServed, 50)[0]
		time := fmt.Sprint(int64(a.EventTime))
		if a.EventTime == event.MinTime {
			time = "-inf"
		}
		if got := fmt.Sprint(a.Value, " ", a.Status, " ", time); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestTiesGoByOrderThenPosition(t *testing.T) {
	rows := []Row{at("a", 100, 0, 9, 0, 1), at("a", 100, 0, 3, 0, 2), at("a", 100, 0, 5, 0, 3)}
	v := spend(feat(agg.First, 0, -1, lifetime), feat(agg.Last, 0, -1, lifetime), feat(agg.Sum, 0, -1, last(2)))
	check := func(want string) {
		t.Helper()
		got := ""
		for _, a := range Read(v, rows, key("a"), 200, false, event.MinTime) {
			got += a.Value.String() + " "
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check("2 1 4 ")
	for i, n := range []int64{5, 6, 4} {
		rows[i].Order = event.LongOf(n)
	}
	check("3 2 3 ")
}

func TestAggregatesByHand(t *testing.T) {
	d := func(fs ...float64) (out []event.Value) {
		for _, f := range fs {
			out = append(out, event.Value{Kind: event.Double, Num: math.Float64bits(f)})
		}
		return out
	}
	long, dec := event.Type{Kind: event.Long}, event.Type{Kind: event.Decimal, Scale: 2}
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		f    agg.Func
		t    event.Type
		in   []event.Value
		want string
	}{
		{agg.Sum, double, d(0.1, 0.2, 0.3), "0.6"},
		{agg.Sum, double, d(1e308, 1e308, -1e308), "1e+308"},
		{agg.Sum, double, d(math.Copysign(0, -1)), "0"},
		{agg.Sum, double, d(inf, -inf), "NaN"},
		{agg.Avg, double, d(1e308, 1e308), "1e+308"},
		{agg.Avg, double, d(-inf, 1), "-Infinity"},
		{agg.Min, double, d(nan, 1), "NaN"},
		{agg.Max, double, d(1, 3, 2), "3"},
		{agg.Variance, double, d(1e9+4, 1e9+7, 1e9+13, 1e9+16), "30"},
		{agg.Variance, double, d(1), ""},
		{agg.VariancePop, double, d(1), "0"},
		{agg.Stddev, double, d(1, inf), "NaN"},
		{agg.StddevPop, double, d(2, 4, 4, 4, 5, 5, 7, 9), "2"},
		{agg.Sum, long, []event.Value{event.LongOf(math.MaxInt64), event.LongOf(1)}, ""},
		{agg.Sum, long, []event.Value{event.LongOf(math.MaxInt64), event.LongOf(-1)}, "9223372036854775806"},
		{agg.Sum, dec, []event.Value{event.DecimalOf(big.NewInt(-5), 2), event.DecimalOf(big.NewInt(1), 2)}, "-0.04"},
		{agg.Avg, dec, []event.Value{event.DecimalOf(big.NewInt(10), 2), event.DecimalOf(big.NewInt(20), 2)}, "0.15"},
	} {
		if got := aggregate(c.f, c.t, c.in).String(); got != c.want {
			t.Errorf("%s of %v is %q, want %q", c.f, c.in, got, c.want)
		}
	}
}

// What partials answer for random rows and instants is what the oracle answers.
func TestPartialsAgree(t *testing.T) {
	windows := []window.Spec{lifetime, rolling(7), rolling(25), last(1), last(5)}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var features []*pipeline.Feature
		for f := agg.Count; f <= agg.StddevPop; f++ {
			for _, w := range windows {
				features = append(features, feat(f, 0, -1, w), feat(f, 1, 0, w))
			}
		}
		v := spend(features...)
		for i := range 2 {
			v.Layout.Groups[i].Parts = agg.PartSum | agg.PartSquares | agg.PartMin | agg.PartMax | agg.PartFirst | agg.PartLast
		}
		var rows []Row
		for i := range r.IntN(40) {
			x := float64(r.IntN(2000)-1000) / 10
			switch r.IntN(20) {
			case 0:
				x = math.NaN() // null
			case 1:
				x = math.Inf(1)
			case 2:
				x = math.Ldexp(x, r.IntN(1900)-950)
			}
			rows = append(rows, at(string(rune('a'+r.IntN(2))), event.Time(r.Int64N(50)), event.Time(r.Int64N(60)), int64(i), r.Uint64N(2), x))
		}
		asOf, served := event.Time(r.Int64N(60)), r.IntN(2) == 0
		for i, a := range Read(v, rows, key("a"), asOf, served, event.MinTime) {
			f := v.Features[i]
			got := partialOf(v, f, rows, asOf, served).Answer(&f.Call, agg.At{AsOf: asOf})
			if got.Value != a.Value || got.Newest != a.EventTime {
				t.Fatalf("seed %d: %s as of %d: the partial says %v at %d, the oracle %v at %d", seed, f.Name, asOf, got.Value, got.Newest, a.Value, a.EventTime)
			}
		}
	}
}

// partialOf picks the rows in another way than Read does, and adds them to a partial.
func partialOf(v *pipeline.View, f *pipeline.Feature, rows []Row, asOf event.Time, served bool) *agg.Partial {
	start, end := f.Window.Range(asOf)
	rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		return r.Key[0].Str != "a" || r.Time < start || r.Time >= end || served && r.Arrival > asOf ||
			f.Filter >= 0 && r.Pass>>f.Filter&1 == 0
	})
	slices.SortFunc(rows, func(a, b Row) int { return b.Compare(&a.Row) })
	if f.Window.Kind == window.LastN {
		rows = rows[:min(len(rows), f.Window.N)]
	}
	p := agg.NewPartial(&v.Layout, nil)
	for i := range rows {
		p.Add(&rows[i].Row)
	}
	return p
}
