package feature

import (
	"context"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// sameCount compares what the sweeper has counted with what Inspect counts by walking itself.
func sameCount(t *testing.T, s *Store, st state.Store) {
	t.Helper()
	x, err := Inspect(st)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range s.Stats().Stored {
		for _, v := range x.Views {
			if v.Name != got.View {
				continue
			}
			want := StoredStats{
				View: v.Name, Features: v.Features, Keys: v.Entities, Rows: v.Rows, Blocks: v.Blocks, Bytes: v.Bytes,
				At: s.opt.Now(), Trimmed: got.Trimmed, Unjoined: got.Unjoined,
			}
			if got != want {
				t.Errorf("counted %+v, inspect says %+v", got, want)
			}
			if v.Orphans != 0 {
				t.Errorf("view %s: %d orphans after a sweep", v.Name, v.Orphans)
			}
		}
	}
}

// TestSweepCounts: a pass counts what is stored, and a restart knows it.
func TestSweepCounts(t *testing.T) {
	plan := testPlan(t, testPipeline)
	records := randomEvents(rand.New(rand.NewPCG(5, 0)), plan, 4000, 2, 20)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	if got := s.Stats().Stored; len(got) != 1 || got[0].At != event.MinTime {
		t.Fatalf("before any pass: %+v", got)
	}
	feed(t.Context(), t, rand.New(rand.NewPCG(6, 0)), s, plan, records, len(records))
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameCount(t, s, st)
	was := s.Stats().Stored
	if was[0].Keys < 10 || was[0].Rows < 3000 || was[0].Blocks < 5 {
		t.Errorf("%+v: the test shows less than it should", was)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = testOpen(t, st, plan, 3)
	got := s.Stats().Stored
	got[0].Trimmed = was[0].Trimmed
	if !reflect.DeepEqual(got, was) {
		t.Errorf("after a restart: %+v, want %+v", got, was)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSweepDeletesOrphans: blocks that a crash has left, with a head or without, go in the next pass, before
// anything is replayed.
func TestSweepDeletesOrphans(t *testing.T) {
	plan := testPlan(t, countPipeline)
	orphans := int64(0)
	for k := int64(1); ; k++ {
		mem, c := crashAt(k)
		s := testOpen(t, c, plan, 1)
		p := s.Partition(plan.Sources[0], 0)
		err := addMany(t, p, plan, 2000)
		for n := 4000; n <= 6000 && err == nil; n += 2000 {
			if err = s.Flush(t.Context()); err == nil {
				err = addMany(t, p, plan, n)
			}
		}
		if err == nil {
			err = s.Flush(t.Context())
		}
		s.abandon()
		mem = mem.Reopen()
		x, ierr := Inspect(mem)
		if ierr != nil {
			t.Fatalf("crash at commit %d: %v", k, ierr)
		}
		orphans += x.Views[0].Orphans
		s = testOpen(t, mem, plan, 1)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatalf("crash at commit %d: sweep: %v", k, err)
		}
		sameCount(t, s, mem)
		if err := addMany(t, s.Partition(plan.Sources[0], 0), plan, 6000); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		x, ierr = Inspect(mem)
		if ierr != nil || x.Views[0].Rows != 6000 {
			t.Fatalf("crash at commit %d: %+v, %v", k, x, ierr)
		}
		if t.Failed() || err == nil {
			break
		}
	}
	if orphans == 0 {
		t.Error("no crash left a block without a name: the test shows less than it should")
	}
}

// handClock is a clock that a test moves.
type handClock struct {
	asked chan time.Duration
	ready chan time.Time
}

func (h *handClock) after(d time.Duration) <-chan time.Time {
	h.asked <- d
	return h.ready
}

// TestSweepByItself: a store sweeps by itself: at first, and when the state has grown, not when nothing has
// changed; and it waits between chunks.
func TestSweepByItself(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	h := &handClock{make(chan time.Duration, 1), make(chan time.Time)}
	now := event.Time(1_800_000_000_000_000)
	s, err := Open(st, plan, Options{Shards: 1, Now: func() event.Time { return now }, After: h.after})
	if err != nil {
		t.Fatal(err)
	}
	pass := func() (chunks int) {
		h.ready <- time.Time{}
		for d := <-h.asked; d != sweepEvery; d = <-h.asked {
			chunks++
			if d <= 0 {
				t.Errorf("waits %s between two chunks", d)
			}
			h.ready <- time.Time{}
		}
		return chunks
	}
	if d := <-h.asked; d != sweepEvery {
		t.Errorf("waits %s at first", d)
	}
	pass()
	if got := s.Stats().Stored[0]; got.At != now || got.Keys != 0 {
		t.Errorf("the first pass has counted %+v", got)
	}
	spread(t, s, plan, 2000)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if chunks := pass(); chunks < 5 {
		t.Errorf("2,000 heads in %d chunks", chunks+1)
	}
	if got := s.Stats().Stored[0]; got.Keys != 2000 || got.Rows != 2000 {
		t.Errorf("the second pass has counted %+v", got)
	}
	commits := st.Stats().Commits
	if pass() != 0 || st.Stats().Commits != commits {
		t.Error("swept though nothing has changed")
	}
	go func() { // Close must not wait for the clock
		for range h.asked {
		}
	}()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(h.asked)
}

// spread counts n events of as many users.
func spread(t *testing.T, s *Store, plan *pipeline.Plan, n int) {
	t.Helper()
	p := s.Partition(plan.Sources[0], 0)
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns)), Arrival: event.MaxTime.Add(-event.Week)}
	for i := range n {
		for j, c := range plan.Sources[0].Columns {
			rec.Slots[j] = map[string]event.Value{
				"user": event.StringOf(string(rune('a'+i%26)) + time.Duration(i).String()), "n": event.LongOf(1), "ts": event.TimestampOf(event.Time(i) * 1000),
			}[c.Name]
		}
		rec.Offset = int64(i)
		p.Add(&rec)
	}
	if err := p.End(t.Context(), int64(n), false); err != nil {
		t.Fatal(err)
	}
}

// TestSweepWhileCounting: passes go on while events of hot and of cold entities come in; nothing is lost.
func TestSweepWhileCounting(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st, err := state.OpenBadger(t.TempDir(), state.BadgerOptions{Memory: 16 << 20, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	passes := 0
	go func() {
		for ctx.Err() == nil {
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
			passes++
		}
		done <- nil
	}()
	p := s.Partition(plan.Sources[0], 0)
	for n := 5000; n <= 100_000; n += 5000 {
		if err := addMany(t, p, plan, n); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameCount(t, s, st)
	if got := s.Stats().Stored[0]; got.Rows != 100_000 || got.Keys != 1 || passes < 3 {
		t.Errorf("%+v after %d passes", got, passes)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
