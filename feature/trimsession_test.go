package feature

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// TestTrimSessions trims at nearly every step, with a history hardly longer than the gaps of sessions and events that
// come late by as much.
func TestTrimSessions(t *testing.T) {
	for seed := range uint64(runs(6, 24, 24)) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 37))
			features := draw(rng, sessionFeatures, 1+rng.IntN(2))
			if rng.IntN(2) == 0 {
				features = append(features, `life: {count: "*"}`)
			}
			trimOften(t, rng, trimPipeline([]string{"1m", "2m", "5m"}[rng.IntN(3)], features))
		})
	}
}

// TestTrimStartOften does the same with views whose rows go from the earliest on, and few ids.
func TestTrimStartOften(t *testing.T) {
	for seed := range uint64(runs(6, 40, 400)) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 41))
			features := []string{`n: {count: "*", window: ` + []string{"1s", "10s", "1m"}[rng.IntN(3)] + "}"}
			if rng.IntN(3) == 0 {
				features = append(features, draw(rng, sessionFeatures, 1)...)
			}
			if rng.IntN(4) == 0 {
				features = append(features, "last_2: {collect_list: ts, limit: 2, last: 2}")
			}
			copies := seed%4 > 0
			if !copies || rng.IntN(3) == 0 {
				features = append(features, `life: {count: "*"}`, "down: {drawdown: amount}", "sum: {sum: n}")
			}
			text := trimPipeline([]string{"1m", "2m", "5m"}[rng.IntN(3)], features)
			if copies {
				by, within := []string{"n - n / 3 * 3", "n", "s"}[rng.IntN(3)], []string{"1s", "20s", "1m", "4m", "20m"}[rng.IntN(5)]
				text = strings.Replace(text, "    history:", fmt.Sprintf("    dedupe: {by: %s, within: %s}\n    history:", by, within), 1)
			}
			trimOften(t, rng, text)
		})
	}
}

// trimOften sweeps after each few events of one user or two, which come late by as much as a session's gap.
func trimOften(t *testing.T, rng *rand.Rand, text string) {
	ctx := t.Context()
	plan := testPlan(t, text)
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
			switch c.Name {
			case "ts":
				records[i].Slots[j] = event.TimestampOf(ts)
			case "n":
				records[i].Slots[j] = event.LongOf(rng.Int64N(12))
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
