package feature

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/state"
)

// TestRuns compares a reader that sums leaves up in runs with one that keeps nothing, bit for bit: in both
// pasts, at the cut as it was made and at one that lies before most of what is stored.
func TestRuns(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			ctx := t.Context()
			rng := rand.New(rand.NewPCG(seed, 1))
			plan := testPlan(t, testPipeline)
			records := randomEvents(rng, plan, 3000, 3, 2)
			st := state.NewMemory()
			defer st.Close()
			s := testOpen(t, st, plan, 2)
			for limit := 500; limit < len(records); limit += 500 {
				feed(ctx, t, rng, s, plan, records, limit)
				if err := s.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
			feed(ctx, t, rng, s, plan, records, len(records))
			sel, err := s.Select(Selection{View: "all"})
			if err != nil {
				t.Fatal(err)
			}
			cut, err := s.Cut(ctx)
			if err != nil {
				t.Fatal(err)
			}
			compareRuns(t, rng, cut, sel, records)
			for _, parts := range cut.offsets {
				for num := range parts {
					parts[num] = parts[num] * 2 / 3
				}
			}
			compareRuns(t, rng, cut, sel, records)
			cut.Close()
			if err := s.Close(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func compareRuns(t *testing.T, rng *rand.Rand, cut *Cut, sel *Selector, records []oracle.Record) {
	t.Helper()
	with, without := cut.NewReader(), cut.NewReader()
	without.cache = nil
	var got, want Vector
	for range 150 {
		key := []event.Value{event.StringOf(fmt.Sprint("u", rng.IntN(2)))}
		at := Instant{AsOf: records[rng.IntN(len(records))].Arrival.Add(event.Duration(rng.Int64N(3) - 1)), AsServed: rng.IntN(2) == 0}
		for _, x := range []struct {
			r   *Reader
			out *Vector
		}{{with, &got}, {without, &want}} {
			if err := x.r.Read(t.Context(), sel, key, nil, at, x.out); err != nil {
				t.Fatal(err)
			}
		}
		for i := range want.Values {
			if got.Values[i] != want.Values[i] || got.Status[i] != want.Status[i] || got.EventTime[i] != want.EventTime[i] {
				t.Fatalf("%s of %s as of %s (as served: %v): got %v, want %v", sel.Columns[i].Name, key[0].Str, at.AsOf, at.AsServed, got.Values[i], want.Values[i])
			}
		}
		if want.Later && !got.Later && !at.AsServed {
			// Later may be told of rows outside the windows; then the two pasts must be one.
			at.AsServed = true
			if err := without.Read(t.Context(), sel, key, nil, at, &want); err != nil {
				t.Fatal(err)
			}
			for i := range want.Values {
				if got.Values[i] != want.Values[i] || got.Status[i] != want.Status[i] {
					t.Fatalf("%s of %s as of %s differs as served, and the read did not tell", sel.Columns[i].Name, key[0].Str, at.AsOf)
				}
			}
		}
	}
	summed := 0
	for _, x := range with.cache.young {
		summed += len(x.runs)
	}
	if summed == 0 {
		t.Error("no leaf was summed up: the test shows nothing")
	}
}
