package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/state"
)

// TestExtremes: event times at both ends of the range and around 1970, arrivals far from them, the
// greatest longs, strings and keys near their bounds.
func TestExtremes(t *testing.T) {
	for i, base := range []event.Time{event.MinTime + 1, event.MinTime.Add(31 * event.Day), -event.Time(12 * event.Hour), event.MaxTime.Add(-event.Day)} {
		for j, long := range []int{3, 1500, 60_000} {
			if (i+j)%3 > runs(0, 2, 2) { // each of both once
				continue
			}
			t.Run(fmt.Sprintf("%d/%d", i, long), func(t *testing.T) { extreme(t, base, long) })
		}
	}
}

func extreme(t *testing.T, base event.Time, long int) {
	ctx := t.Context()
	plan := testPlan(t, testPipeline)
	rng := rand.New(rand.NewPCG(uint64(base), uint64(long)))
	users := []string{"u", strings.Repeat("k", maxKeyBytes-6), strings.Repeat("k", maxKeyBytes-5), ""}
	var records []oracle.Record
	for i := range 700 {
		vals := map[string]event.Value{
			"user": event.StringOf(users[rng.IntN(len(users))]), "flag": event.BoolOf(rng.IntN(2) == 0),
			"amount": event.DoubleOf([]float64{math.MaxFloat64, -math.MaxFloat64, 5e-324, 1}[rng.IntN(4)]),
			"n":      event.LongOf([]int64{math.MaxInt64, math.MinInt64, -1, 1}[rng.IntN(4)]),
			"s":      event.StringOf(strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(long))),
			"ts":     event.TimestampOf(base.Add(event.Duration(rng.Int64N(int64(event.Day))))),
		}
		r := oracle.Record{Partition: math.MaxInt32 - int32(i%2), Offset: math.MaxInt64/2 + int64(i), Arrival: event.MaxTime}
		if rng.IntN(2) == 0 {
			r.Arrival = event.Time(vals["ts"].Long()).Add(event.Duration(rng.Int64N(int64(event.Hour))))
		}
		for _, c := range plan.Sources[0].Columns {
			r.Slots = append(r.Slots, vals[c.Name])
		}
		records = append(records, r)
	}
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	for from := 0; from < len(records); from += 50 {
		feed(ctx, t, rng, s, plan, records[:from+50], 100)
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s.abandon()
	s = testOpen(t, st, plan, 1)
	feed(ctx, t, rng, s, plan, records, len(records))
	if err := s.waitApplied(ctx); err != nil {
		t.Fatal(err)
	}
	sel, err := s.Select(Selection{View: "all"})
	if err != nil {
		t.Fatal(err)
	}
	r := s.NewReader()
	var out Vector
	for range 12 {
		key := []event.Value{event.StringOf(users[rng.IntN(len(users))])}
		at := base.Add(event.Duration(rng.Int64N(int64(26 * event.Hour))))
		if rng.IntN(4) == 0 {
			at = event.MaxTime
		}
		served := rng.IntN(2) == 0
		if err := r.Read(ctx, sel, key, nil, Instant{AsOf: at, AsServed: served}, &out); err != nil {
			t.Fatal(err)
		}
		if len(key[0].Str) > maxKeyBytes-6 {
			if out.Status[0] != NotFound && out.Status[0] != BeforeHistory {
				t.Fatalf("a key that is too long is %s", out.Status[0])
			}
			continue
		}
		want := oracle.Read(ing.View, ing.Rows, key, at, served, ing.Horizon)
		for i, f := range ing.View.Features {
			if !want[i].Agrees(out.Values[i]) || out.Status[i].String() != want[i].Status || out.EventTime[i] != want[i].EventTime {
				t.Fatalf("%s of %.3s as of %s (as served: %v): got %.40v %s %s, want %.40v %s %s", f.Name, key[0].Str, at, served,
					out.Values[i], out.Status[i], out.EventTime[i], want[i].Value, want[i].Status, want[i].EventTime)
			}
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(st); err != nil {
		t.Fatal(err)
	}
}
