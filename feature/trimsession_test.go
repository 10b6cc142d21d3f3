package feature

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// TestTrimSessions trims at nearly every step, with a history hardly longer than the gaps of sessions and events that
// come late by as much.
func TestTrimSessions(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { trimSessions(t, seed) })
	}
}

func trimSessions(t *testing.T, seed uint64) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 37))
	features := draw(rng, sessionFeatures, 1+rng.IntN(2))
	if rng.IntN(2) == 0 {
		features = append(features, `life: {count: "*"}`)
	}
	plan := testPlan(t, trimPipeline([]string{"1m", "2m", "5m"}[rng.IntN(3)], features))
	users := 1 + rng.IntN(2)
	records := randomEvents(rng, plan, 400, 1, users)
	at := event.Time(1_700_000_000_000_000)
	steps := []event.Duration{event.Second, 5 * event.Second, 14 * event.Second, 45 * event.Second, 2 * event.Minute, 4 * event.Minute}
	for i := range records {
		at = at.Add(steps[rng.IntN(len(steps))])
		ts := at
		if rng.IntN(3) == 0 {
			ts = ts.Add(-event.Duration(rng.Int64N(int64(3 * event.Minute))))
		}
		records[i].Arrival = at
		for j, c := range plan.Sources[0].Columns {
			if c.Name == "ts" {
				records[i].Slots[j] = event.TimestampOf(ts)
			}
		}
	}
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	for range 30 {
		feed(ctx, t, rng, s, plan, records, 14)
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		compareLate(t, rng, s, s.NewReader(), plan, records, users-1, 12)
	}
	if got := s.Stats().Stored[0]; got.Trimmed == 0 {
		t.Errorf("%+v: the test shows less than it should", got)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
