package oracle

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
	"github.com/penstock-ml/penstock/transforms/zone"
)

// series is a row a second from 0 on with the amounts, of entity a; null for NaN.
func series(amounts ...float64) (rows []Row) {
	for i, x := range amounts {
		rows = append(rows, at("a", event.Time(i)*event.Time(event.Second), 0, int64(i), 1, x))
	}
	return rows
}

func bits(fs ...float64) string {
	var b []byte
	for _, f := range fs {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(f))
	}
	return string(b)
}

// Answers that can be computed by hand.
func TestCalls(t *testing.T) {
	inf, null := math.Inf(1), math.NaN()
	sec := event.Time(event.Second)
	for _, c := range []struct {
		call  agg.Call
		keeps agg.Structure
		in    []float64
		asOf  event.Time
		want  string
	}{
		{agg.Call{Func: agg.SkewPop}, agg.Structure{}, []float64{1, 1, 4}, 9 * sec, "0.7071067811865476"},
		{agg.Call{Func: agg.Skew}, agg.Structure{}, []float64{1, 1, 4}, 9 * sec, "1.7320508075688772"},
		{agg.Call{Func: agg.Skew}, agg.Structure{}, []float64{4, 4, 1}, 9 * sec, "-1.7320508075688772"},
		{agg.Call{Func: agg.Skew}, agg.Structure{}, []float64{1, 2}, 9 * sec, ""},
		{agg.Call{Func: agg.SkewPop}, agg.Structure{}, []float64{3, 3}, 9 * sec, ""},
		{agg.Call{Func: agg.KurtosisPop}, agg.Structure{}, []float64{1, 1, 4}, 9 * sec, "-1.5"},
		{agg.Call{Func: agg.Kurtosis}, agg.Structure{}, []float64{1, 2, 3, 4}, 9 * sec, "-1.2"},
		{agg.Call{Func: agg.Slope, Per: event.Minute}, agg.Structure{}, []float64{1, 3, null, 7}, 9 * sec, "120"},
		{agg.Call{Func: agg.TimeSinceLast}, agg.Structure{}, []float64{1, 1, null}, 3 * sec, "2"},
		{agg.Call{Func: agg.TimeBetween}, agg.Structure{}, []float64{1, null, null, 1, 1}, 9 * sec, "2"},
		{agg.Call{Func: agg.DecayedSum}, agg.Structure{HalfLife: event.Second}, []float64{8, 2}, 2 * sec, "3"},
		{agg.Call{Func: agg.DecayedCount}, agg.Structure{HalfLife: event.Second}, []float64{8, 2}, 2 * sec, "0.75"},
		{agg.Call{Func: agg.DecayedMean}, agg.Structure{HalfLife: event.Second}, []float64{8, 2}, 2 * sec, "4"},
		{agg.Call{Func: agg.Drawdown}, agg.Structure{}, []float64{4, 8, 6, 2, 16, 15}, 9 * sec, "0.75"},
		{agg.Call{Func: agg.Drawdown}, agg.Structure{}, []float64{-4, -8}, 9 * sec, "0"},
		{agg.Call{Func: agg.Drawdown}, agg.Structure{}, []float64{5, -8}, 9 * sec, "1"},
		{agg.Call{Func: agg.FirstK, K: 2}, agg.Structure{}, []float64{1, 1, 2, 3, 2}, 9 * sec, "[1,1]"},
		{agg.Call{Func: agg.FirstK, K: 2}, agg.Structure{Distinct: true}, []float64{1, 1, 2, 3, 2}, 9 * sec, "[1,2]"},
		{agg.Call{Func: agg.LastK, K: 2}, agg.Structure{}, []float64{1, 1, 2, 2, 2}, 9 * sec, "[2,2]"},
		{agg.Call{Func: agg.LastK, K: 3}, agg.Structure{Distinct: true}, []float64{1, 4, 2, 3, 2}, 9 * sec, "[4,3,2]"},
		{agg.Call{Func: agg.Nth, K: 2}, agg.Structure{}, []float64{1, null, 3}, 9 * sec, "3"},
		{agg.Call{Func: agg.Nth, K: -3}, agg.Structure{}, []float64{1, 3}, 9 * sec, ""},
		{agg.Call{Func: agg.Lag}, agg.Structure{}, []float64{1, 3}, 9 * sec, "3"},
		{agg.Call{Func: agg.Lag, K: 1}, agg.Structure{}, []float64{1, 3}, 9 * sec, "1"},
		{agg.Call{Func: agg.TopK, K: 2}, agg.Structure{}, []float64{1, inf, 7, 7}, 9 * sec, `["Infinity",7]`},
		{agg.Call{Func: agg.BottomK, K: 3}, agg.Structure{}, []float64{7, 1, 7}, 9 * sec, "[1,7,7]"},
		{agg.Call{Func: agg.Mode}, agg.Structure{Limit: 9}, []float64{3, 2, 2, 3, 1}, 9 * sec, "2"},
		{agg.Call{Func: agg.Frequent, K: 2}, agg.Structure{Limit: 9}, []float64{3, 2, 2, 3, 1, 3}, 9 * sec, "[3,2]"},
		{agg.Call{Func: agg.CountDistinct}, agg.Structure{Limit: 9}, []float64{3, 2, 2, 0, math.Copysign(0, -1)}, 9 * sec, "3"},
		{agg.Call{Func: agg.CountDistinct}, agg.Structure{Limit: 2}, []float64{3, 2, 2, 1}, 9 * sec, "2"},
		{agg.Call{Func: agg.CountDistinct}, agg.Structure{Limit: 2}, nil, 9 * sec, "0"},
		{agg.Call{Func: agg.Entropy}, agg.Structure{Limit: 9}, []float64{1, 2, 1, 2}, 9 * sec, "1"},
		{agg.Call{Func: agg.CollectList}, agg.Structure{Limit: 2}, []float64{3, 1, 2}, 9 * sec, "[1,2]"},
		{agg.Call{Func: agg.CollectSet}, agg.Structure{Limit: 5}, []float64{3, 1, 2, 1}, 9 * sec, "[1,2,3]"},
		{agg.Call{Func: agg.Quantile, Quantiles: []float64{0.5}}, agg.Structure{Accuracy: 0.01}, []float64{9, 1, 2, 5}, 9 * sec, "2"},
		{agg.Call{Func: agg.Quantiles, Quantiles: []float64{0, 1}}, agg.Structure{Accuracy: 0.01}, []float64{9, 1, 2}, 9 * sec, "[1,9]"},
		{agg.Call{Func: agg.Median}, agg.Structure{Accuracy: 0.01}, []float64{0, 0, inf}, 9 * sec, "0"},
		{agg.Call{Func: agg.Histogram}, agg.Structure{Bounds: bits(10, 100)}, []float64{9, 10, 99, 100, -inf, inf}, 9 * sec, "[2,2,2]"},
	} {
		f := &pipeline.Feature{Call: c.call, Filter: -1, Window: lifetime}
		v := spend(f)
		v.Layout.Groups[0].Keeps = c.keeps
		got := Read(v, series(c.in...), key("a"), c.asOf, false, event.MinTime)[0]
		if got.Value.String() != c.want {
			t.Errorf("%s %+v of %v is %q, want %q", c.call.Func, c.keeps, c.in, got.Value, c.want)
		}
	}
}

func TestByAndRatio(t *testing.T) {
	letters := func(s string) (rows []Row) {
		for i, x := range strings.Split(s, "") {
			r := at("a", event.Time(i), 0, int64(i), uint64(i%2), float64(i))
			r.Values = append(r.Values, event.StringOf(x))
			rows = append(rows, r)
		}
		return rows
	}
	for _, c := range []struct {
		by   agg.By
		in   string
		want string
	}{
		{agg.By{Top: 2}, "abcbba", `{"a":5,"b":8}`},
		{agg.By{Top: 1}, "ab", `{"a":0}`},
		{agg.By{Top: 1, Rest: "other"}, "abcbba", `{"b":8,"other":7}`},
		{agg.By{}, "aba", `{"a":2,"b":1}`},
	} {
		f := feat(agg.Sum, 0, -1, lifetime)
		v := spend(f)
		f.By = &c.by
		v.Layout.Groups[0].By, v.Layout.Groups[0].ByLimit = 2, 100
		if got := Read(v, letters(c.in), key("a"), 99, false, event.MinTime)[0]; got.Value.String() != c.want {
			t.Errorf("%+v of %s is %s, want %s", c.by, c.in, got.Value, c.want)
		}
	}
	f := feat(agg.Ratio, 0, -1, lifetime)
	f.Above, f.Over = &agg.Call{Func: agg.Sum, Group: 1}, &agg.Call{Func: agg.Count, Group: 2}
	if got := Read(spend(f), letters("abcd"), key("a"), 99, false, event.MinTime)[0]; got.Value.String() != "1" { // (1+3)/4
		t.Errorf("the ratio is %s", got.Value)
	}
}

// windowOf lists the offsets of the rows that a window covers, of rows at the instants.
func TestWindows(t *testing.T) {
	ny, err := zone.Load("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(s string) event.Time {
		x, err := time.ParseInLocation("2006-01-02 15:04:05", s, ny)
		if err != nil {
			t.Fatal(err)
		}
		return event.FromGo(x)
	}
	day := window.Spec{Kind: window.Calendar, Unit: window.Day, Zone: ny}
	current := day
	current.Current = true
	for _, c := range []struct {
		w    window.Spec
		rows []event.Time
		asOf event.Time
		want string
	}{
		{window.Spec{Kind: window.Tumbling, Size: 10}, []event.Time{-11, -10, -1, 0, 5}, 9, "[1 2]"},
		{window.Spec{Kind: window.Tumbling, Size: 10}, []event.Time{-11, -10, -1, 0, 5}, 10, "[3 4]"},
		{window.Spec{Kind: window.Tumbling, Size: 10, Current: true}, []event.Time{-10, -1, 0, 5, 6}, 6, "[2 3]"},
		{window.Spec{Kind: window.Hopping, Size: 10, Every: 4}, []event.Time{-3, -2, 7, 8}, 11, "[1 2]"},
		{window.Spec{Kind: window.Offset, From: 7, To: 2}, []event.Time{2, 3, 7, 8}, 10, "[1 2]"},
		{window.Spec{Kind: window.Session, Size: 5}, []event.Time{0, 6, 11, 16}, 40, "[1 2 3]"},
		{window.Spec{Kind: window.Session, Size: 5}, []event.Time{0, 6, 11, 16}, 17, "[1 2 3]"},
		{window.Spec{Kind: window.Session, Size: 5, Closed: true}, []event.Time{0, 6, 11}, 16, "[0]"},
		{window.Spec{Kind: window.Session, Size: 5, Closed: true}, []event.Time{0, 6, 11}, 17, "[1 2]"},
		{window.Spec{Kind: window.Session, Size: 5, Closed: true}, []event.Time{6, 11}, 16, "[]"},
		// The day of 23 hours, seen from the day behind it.
		{day, []event.Time{
			parse("2024-03-09 23:59:59"), parse("2024-03-10 00:00:00"),
			parse("2024-03-10 23:59:59"), parse("2024-03-11 00:00:00"),
		}, parse("2024-03-11 12:00:00"), "[1 2]"},
		{current, []event.Time{parse("2024-03-10 23:59:59"), parse("2024-03-11 00:00:00")}, parse("2024-03-11 12:00:00"), "[1]"},
	} {
		var past []Row
		for i, x := range c.rows {
			if x < c.asOf {
				past = append(past, at("a", x, 0, int64(i), 0, 1))
			}
		}
		got := []int64{}
		for _, r := range rowsIn(c.w, -1, past, c.asOf) {
			got = append(got, r.Pos.Offset)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s as of %d covers %v, want %s", c.w, c.asOf, got, c.want)
		}
	}
}

func TestAggregateOfAnAggregate(t *testing.T) {
	day := event.Time(event.Day)
	var rows []Row
	for i, x := range []struct {
		at     event.Time
		amount float64
	}{{-day, 1}, {10, 2}, {20, 3}, {2*day + 5, 10}, {3 * day, 100}} {
		rows = append(rows, at("a", x.at, 0, int64(i), 0, x.amount))
	}
	for _, c := range []struct {
		f     agg.Func
		empty bool
		inner agg.Func
		size  event.Duration
		want  string
	}{
		{agg.Avg, false, agg.Sum, 3 * event.Day, "7.5"}, // (5 + 10)/2: the days ending within (0.5, 3.5]
		{agg.Count, false, agg.Count, 3 * event.Day, "2"},
		{agg.Count, true, agg.Count, 3 * event.Day, "3"},
		{agg.Count, true, agg.Sum, 3 * event.Day, "2"}, // a sum over nothing is null
		{agg.Max, false, agg.Sum, 30 * event.Day, "10"},
	} {
		f := &pipeline.Feature{Call: agg.Call{Func: c.f}, Filter: -1, Window: rolling(c.size), Inner: &pipeline.Inner{
			Call: agg.Call{Func: c.inner}, Window: window.Spec{Kind: window.Tumbling, Size: event.Day}, Empty: c.empty,
			Layout: agg.Layout{Groups: []agg.Group{{Filter: -1, Type: double}}},
		}}
		if got := Read(spend(f), rows, key("a"), 3*day+day/2, false, event.MinTime)[0]; got.Value.String() != c.want {
			t.Errorf("%s of %s over %s (empty %v) is %s, want %s", c.f, c.inner, c.size, c.empty, got.Value, c.want)
		}
	}
}
