package feature

import (
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// TestLimit: the limit of a view is the least watermark that is stored, not the newest one, and neither a cut
// that is being made nor a crash moves it.
func TestLimit(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	limit := func(want event.Time, when string) {
		t.Helper()
		if got := event.Time(s.views[0].limit.Load()); got != want {
			t.Errorf("%s: the limit is %s, want %s", when, got, want)
		}
	}
	add := func(n int) {
		t.Helper()
		if err := addMany(t, s.Partition(plan.Sources[0], 0), plan, n); err != nil {
			t.Fatal(err)
		}
		if err := s.Applied(ctx); err != nil {
			t.Fatal(err)
		}
	}
	flush := func() {
		t.Helper()
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	limit(event.MinTime, "empty")
	add(10)
	limit(event.MinTime, "before a checkpoint")
	flush()
	limit(9000, "after a checkpoint")

	s.holdLimits()
	s.holdLimits()
	add(20)
	flush()
	limit(9000, "while two cuts are made")
	s.releaseLimits()
	limit(9000, "while one cut is made")
	s.releaseLimits()
	limit(19000, "after both")

	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	add(30)
	flush()
	limit(29000, "beside a cut that is made")

	add(40)
	s.abandon()
	s = testOpen(t, st, plan, 1)
	limit(29000, "after a crash")
	add(40)
	limit(29000, "after a replay")
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	limit(39000, "after the end")
}
