package feature

import (
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// TestHorizonWaitsForPartitionsThatHaveNotBegun: a partition of which nothing is stored holds the horizon
// back after a crash as before.
func TestHorizonWaitsForPartitionsThatHaveNotBegun(t *testing.T) {
	plan := testPlan(t, countPipeline)
	src := plan.Sources[0]
	mem := state.NewMemory()
	s := testOpen(t, mem, plan, 2)
	for range 2 {
		s.Partition(src, 1) // known to be there, and not read yet
		if err := addMany(t, s.Partition(src, 0), plan, 100); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h := s.Stats().Views[0].Horizon; h != event.MinTime {
			t.Fatalf("the horizon is %s, and one of two partitions has not begun", h)
		}
		s.abandon()
		mem = mem.Reopen()
		s = testOpen(t, mem, plan, 2)
	}
	s.Partition(src, 1).Leave()
	if err := s.waitApplied(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := s.Stats().Views[0].Horizon; h == event.MinTime {
		t.Error("the horizon stays, though the partition has left")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
