package feature

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/state"
)

// TestIndex compares a reader that has an index of the entities it meets again with readers that meet each for
// the first time, bit for bit: in both pasts, at the cut as it was made and at one that lies before much of what
// is stored.
func TestIndex(t *testing.T) {
	for _, x := range []struct {
		seed    uint64
		records int
	}{{1, 3000}, {2, 300}, {3, 20_000}}[:runs(2, 3, 3)] {
		t.Run(fmt.Sprint("seed", x.seed), func(t *testing.T) {
			ctx := t.Context()
			rng := rand.New(rand.NewPCG(x.seed, 1))
			plan := testPlan(t, testPipeline)
			records := randomEvents(rng, plan, x.records, 3, 2)
			st := state.NewMemory()
			defer st.Close()
			s := testOpen(t, st, plan, 2)
			for limit := x.records / 6; limit < len(records); limit += x.records / 6 {
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
			compareIndexed(t, rng, cut, sel, records)
			for _, parts := range cut.offsets {
				for num := range parts {
					parts[num] = parts[num] * 2 / 3
				}
			}
			compareIndexed(t, rng, cut, sel, records)
			cut.Close()
			if err := s.Close(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func compareIndexed(t *testing.T, rng *rand.Rand, cut *Cut, sel *Selector, records []oracle.Record) {
	t.Helper()
	with := cut.NewReader()
	var got, want Vector
	indexed := 0
	key := []event.Value{event.StringOf("u0")}
	for i := range 300 {
		if i%20 == 0 {
			key[0] = event.StringOf(fmt.Sprint("u", rng.IntN(2)))
		}
		at := Instant{AsOf: records[rng.IntN(len(records))].Arrival.Add(event.Duration(rng.Int64N(3) - 1)), AsServed: rng.IntN(2) == 0}
		if i%3 == 0 { // where little has arrived, and perhaps only late
			at.AsOf = records[rng.IntN(len(records)/20)].Arrival.Add(-event.Duration(rng.Int64N(int64(2 * event.Day))))
		}
		if err := with.Read(t.Context(), sel, key, nil, at, &got); err != nil {
			t.Fatal(err)
		}
		if with.scratch[sel].views[0].index.built {
			indexed++
		}
		if err := cut.NewReader().Read(t.Context(), sel, key, nil, at, &want); err != nil {
			t.Fatal(err)
		}
		for i := range want.Values {
			if got.Values[i] != want.Values[i] || got.Status[i] != want.Status[i] || got.EventTime[i] != want.EventTime[i] {
				t.Fatalf("%s of %s as of %s (as served: %v): got %v, want %v", sel.Columns[i].Name, key[0].Str, at.AsOf, at.AsServed, got.Values[i], want.Values[i])
			}
		}
		if want.Later && !got.Later && !at.AsServed {
			// Later may be told of rows outside the windows; then the two pasts must be one.
			at.AsServed = true
			if err := cut.NewReader().Read(t.Context(), sel, key, nil, at, &want); err != nil {
				t.Fatal(err)
			}
			for i := range want.Values {
				if got.Values[i] != want.Values[i] || got.Status[i] != want.Status[i] {
					t.Fatalf("%s of %s as of %s differs as served, and the read did not tell", sel.Columns[i].Name, key[0].Str, at.AsOf)
				}
			}
		}
	}
	if indexed < 100 {
		t.Errorf("an index answered %d reads: the test shows little", indexed)
	}
}
