package feature

import (
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/state"
)

const unionPipeline = `pipeline: union
state: {memory: 64MiB, flush: 1h}
sources:
  a: {kafka: {brokers: ["b:9092"], topic: a}, schema: {file: e.avsc}, time: ts, ahead: 10m}
  b: {kafka: {brokers: ["b:9092"], topic: b}, schema: {file: e.avsc}, time: ts, ahead: 10m}
entities:
  user: {user: string}
views:
  of_b:
    source: b
    entity: user
    features: {n: {count: "*"}}
  all:
    sources:
      - b
      - {source: a, columns: {worth: amount * 2.0}, where: flag}
    entity: user
    columns: {big: n > 100}
    features:
      n_1h:   {count: "*", window: 1h}
      sum_1d: {sum: n, window: 1d, where: big}
      first:  {first: s, window: 3h}
      last_4: {sum: n, last: 4}
      ses:    {count: "*", window: {session: 5m}}
`

// TestUnion counts events of two sources in one view, over crashes, and compares with the oracle.
func TestUnion(t *testing.T) {
	ctx := t.Context()
	for seed := range uint64(runs(2, 4, 4)) {
		rng := rand.New(rand.NewPCG(seed, 9))
		plan := testPlan(t, unionPipeline)
		a, b, v := plan.Sources[0], plan.Sources[1], plan.View("all")
		if len(v.More) != 1 || v.Source != b || v.More[0].Source != a {
			t.Fatalf("branches: %+v", v.Branches())
		}
		fromA := randomEvents(rng, plan, 1500, 2, 5)
		plan.Sources[0], plan.Sources[1] = b, a // randomEvents makes those of the first
		fromB := randomEvents(rng, plan, 1500, 3, 5)
		plan.Sources[0], plan.Sources[1] = a, b
		ing := oracle.Ingest(b, plan.Views, fromB)[1]
		more := oracle.Ingest(a, plan.Views[1:], fromA)[0]
		counts := []map[string]int64{ing.Counts, more.Counts}
		ing.Rows = append(ing.Rows, more.Rows...)
		ing.Horizon = min(ing.Horizon, more.Horizon)
		st := state.NewMemory()
		for crash := range 3 {
			s := testOpen(t, st, plan, 1+rng.IntN(3))
			for range 3 {
				feedSource(ctx, t, rng, s, a, fromA, rng.IntN(300))
				feedSource(ctx, t, rng, s, b, fromB, rng.IntN(300))
				if rng.IntN(2) == 0 {
					if err := s.Flush(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
			if crash < 2 {
				s.abandon()
				continue
			}
			feedSource(ctx, t, rng, s, b, fromB, len(fromB))
			feedSource(ctx, t, rng, s, a, fromA, len(fromA))
			if err := s.waitApplied(ctx); err != nil {
				t.Fatal(err)
			}
			sel, err := s.Select(Selection{View: "all"})
			if err != nil {
				t.Fatal(err)
			}
			compare(ctx, t, rng, s.NewReader(), sel, ing, 5, 80)
			cut, err := s.Cut(ctx)
			if err != nil {
				t.Fatal(err)
			}
			compare(ctx, t, rng, cut.NewReader(), sel, ing, 5, 80)
			cut.Close()
			for i, want := range counts {
				got := s.Stats().Views[1+i]
				if got.Name != "all" || got.Source != []string{"b", "a"}[i] || got.Applied != want[oracle.Applied] ||
					got.Filtered != want[oracle.Filtered] || got.Late != want[oracle.Late] || got.Dead != want[oracle.Dead] {
					t.Errorf("counted %+v, want %v", got, want)
				}
			}
			if err := s.Close(ctx); err != nil {
				t.Fatal(err)
			}
		}
		st.Close()
	}
}
