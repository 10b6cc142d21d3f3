package feature

import (
	"fmt"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// TestDeadKeep: how long a dead letter is kept counts from when it was stored, not from its arrival:
// topics and files tell of years ago.
func TestDeadKeep(t *testing.T) {
	plan := testPlan(t, countPipeline)
	plan.Sources[0].Dead = pipeline.DeadLetters{Budget: 1 << 20, Keep: 30 * event.Day}
	st := state.NewMemory()
	defer st.Close()
	now := event.Time(1_800_000_000_000_000)
	s, err := Open(st, plan, Options{Shards: 1, Now: func() event.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.abandon()
	p := s.Partition(plan.Sources[0], 0)
	kept := func(offset int64, arrival event.Time) string {
		t.Helper()
		p.Dead(&Record{Offset: offset, Arrival: arrival, Value: []byte("raw")}, "decode", "bad")
		if err := p.End(t.Context(), offset+1, false); err != nil {
			t.Fatal(err)
		}
		if err := s.waitApplied(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var list []int64
		if err := s.StoredDead(func(d *DeadLetter) error { list = append(list, d.Offset); return nil }); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list)
	}
	if got := kept(0, event.MinTime); got != "[0]" {
		t.Errorf("kept %s, want one without an arrival", got)
	}
	now = now.Add(29 * event.Day)
	if got := kept(1, 1_600_000_000_000_000); got != "[0 1]" {
		t.Errorf("kept %s after 29 days, want both", got)
	}
	now = now.Add(2 * event.Day)
	if got := kept(2, 1_500_000_000_000_000); got != "[2 1]" {
		t.Errorf("kept %s after 31 days, want the two that are younger", got)
	}
}
