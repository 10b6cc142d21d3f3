package feature

import (
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// TestExplainTrimmed: what is left of rows that were trimmed is one of the summaries, in lifetime features alone; with
// the rows that are kept it makes up all that was counted.
func TestExplainTrimmed(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(6, 33))
	plan := testPlan(t, trimPipeline("10m", []string{`life: {count: "*"}`, `n_1m: {count: "*", window: 1m}`}))
	records := randomEvents(rng, plan, 4000, 1, 1)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	feed(ctx, t, rng, s, plan, records, 4000)
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	keys := []event.Value{event.StringOf("u0")}
	trimmed, err := cut.Trimmed(plan.Views[0], keys)
	if err != nil || trimmed == 0 {
		t.Fatalf("%d rows are trimmed, %v", trimmed, err)
	}
	kept, err := cut.RawRows(plan.Views[0], keys)
	if err != nil || trimmed+int64(len(kept)) != s.Stats().Views[0].Applied {
		t.Fatalf("%d rows are trimmed and %d kept of %d, %v", trimmed, len(kept), s.Stats().Views[0].Applied, err)
	}
	for name, want := range map[string]int64{"life": trimmed, "n_1m": 0} {
		sel, err := s.Select(Selection{View: "all", Features: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*Reader{s.NewReader(), cut.NewReader()} {
			x, err := r.Explain(ctx, sel, keys, nil, Instant{AsOf: s.Latest(sel)}, ExplainOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b := &x.Bases[0]
			if b.Trimmed != want || b.Counted != b.Corrected.Value.Long() || b.Counted == 0 || want > 0 && !b.Summaries[0].Trimmed && !b.Summaries[len(b.Summaries)-1].Trimmed {
				t.Errorf("%s: %d rows are trimmed, want %d; %d counted for %s; %+v", name, b.Trimmed, want, b.Counted, b.Corrected.Value, b.Summaries)
			}
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
