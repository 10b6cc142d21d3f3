package feature

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// TestIngestAllocations: counting a record allocates nothing; what End and the shards allocate is for
// a thousand records together.
func TestIngestAllocations(t *testing.T) {
	plan := testPlanSchema(t, benchPipeline, benchSchema)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	defer s.abandon()
	p := s.Partition(plan.Sources[0], 0)
	users := benchUsers(1000, true)
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns)), Arrival: event.MaxTime.Add(-event.Week)}
	name := []byte("u0000000")
	offset := int64(0)
	thousand := func() {
		for i := range users {
			benchName(name, users[i])
			for j, c := range plan.Sources[0].Columns {
				switch c.Name {
				case "user_id":
					rec.Slots[j] = event.StringOf(event.Alias(name))
				case "amount":
					rec.Slots[j] = event.DoubleOf(float64(i))
				case "country":
					rec.Slots[j] = event.StringOf("DE")
				case "ts":
					rec.Slots[j] = event.TimestampOf(event.Time(offset) * 1000)
				}
			}
			rec.Offset = offset
			p.Add(&rec)
			offset++
		}
		if err := p.End(t.Context(), offset, false); err != nil {
			t.Error(err)
		}
		if err := s.waitApplied(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for range 20 {
		thousand()
	}
	if n := testing.AllocsPerRun(50, thousand); n > 100 {
		t.Errorf("a thousand records made %.0f allocations; at most 100 are for batches, marks and growing heads", n)
	}
	add := testing.AllocsPerRun(500, func() {
		rec.Offset = offset
		p.Add(&rec)
		offset++
	})
	if add != 0 {
		t.Errorf("Add made %.0f allocations", add)
	}
}

// faulty lets tests fail commits.
type faulty struct {
	state.Store
	fail atomic.Pointer[error]
}

func (f *faulty) Commit(b *state.Batch) error {
	if e := f.fail.Load(); e != nil {
		return *e
	}
	return f.Store.Commit(b)
}

func addOne(t *testing.T, s *Store, plan *pipeline.Plan, offset int64) error {
	t.Helper()
	p := s.Partition(plan.Sources[0], 0)
	rec := Record{Offset: offset, Arrival: 1_700_000_000_000_000, Slots: make([]event.Value, len(plan.Sources[0].Columns))}
	for j, c := range plan.Sources[0].Columns {
		rec.Slots[j] = map[string]event.Value{"user": event.StringOf("u"), "n": event.LongOf(1), "ts": event.TimestampOf(1_700_000_000_000_000)}[c.Name]
	}
	p.Add(&rec)
	return p.End(t.Context(), offset+1, false)
}

// TestCommitError: after a failed commit nothing goes on, and the next process counts everything once.
func TestCommitError(t *testing.T) {
	plan := testPlan(t, countPipeline)
	mem := state.NewMemory()
	defer mem.Close()
	f := &faulty{Store: mem}
	s := testOpen(t, f, plan, 2)
	if err := addOne(t, s, plan, 0); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	f.fail.Store(&boom)
	if err := s.Flush(t.Context()); !errors.Is(err, boom) {
		t.Fatalf("flush: %v", err)
	}
	<-s.Failed()
	if err := addOne(t, s, plan, 1); !errors.Is(err, boom) {
		t.Errorf("End on a failed store: %v", err)
	}
	if s.Ready() == nil {
		t.Error("a failed store is ready")
	}
	s.abandon()
	f.fail.Store(nil)
	s = testOpen(t, f, plan, 2)
	if next, ok := s.Partition(plan.Sources[0], 0).Next(); ok {
		t.Errorf("next is %d, though nothing was stored", next)
	}
	s.abandon()
}

// TestDiskFull: while the disk has no room, consuming stops; then it goes on, and nothing is lost.
func TestDiskFull(t *testing.T) {
	plan := testPlan(t, countPipeline)
	mem := state.NewMemory()
	defer mem.Close()
	f := &faulty{Store: mem}
	s := testOpen(t, f, plan, 2)
	if err := addOne(t, s, plan, 0); err != nil {
		t.Fatal(err)
	}
	var full error = &state.DiskFullError{Dir: "d", Free: 1, Need: 2}
	f.fail.Store(&full)
	flushed := make(chan error, 1)
	go func() { flushed <- s.Flush(context.Background()) }()
	for !s.work.full.Load() {
		select {
		case err := <-flushed:
			t.Fatalf("flushed on a full disk: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.waitForRoom(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("consuming goes on while the disk is full: %v", err)
	}
	if _, err := s.Cut(t.Context()); !errors.Is(err, ErrDiskFull) {
		t.Errorf("a cut on a full disk: %v", err)
	}
	if s.Stalled() == "" {
		t.Error("a full disk does not show")
	}
	f.fail.Store(nil)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	x, err := Inspect(f)
	if err != nil || x.Views[0].HeadRows != 1 {
		t.Errorf("inspect: %+v, %v", x, err)
	}
}

// crashOnceSeen abandons s as soon as a commit has stored what durable heads have seen.
func crashOnceSeen(t *testing.T, s *Store, st state.Store) {
	t.Helper()
	for t.Context().Err() == nil {
		snap := st.Snapshot()
		_, err := snap.Get(partitionKey(keySeen, "e", 0), nil)
		snap.Close()
		if err == nil {
			break
		}
	}
	s.abandon()
}

// TestSeenAndReady: a restart after a crash is not ready before it has re-read what durable heads had seen.
func TestSeenAndReady(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	for i := range 10 {
		if err := addOne(t, s, plan, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.waitApplied(t.Context()); err != nil {
		t.Fatal(err)
	}
	// An urgent commit of a head, then a crash before a checkpoint.
	askAll(s)
	crashOnceSeen(t, s, st)
	s = testOpen(t, st, plan, 2)
	p := s.Partition(plan.Sources[0], 0)
	if next, ok := p.Next(); ok || next != 0 {
		t.Errorf("next is %d, %v", next, ok)
	}
	if seen, ok := p.Seen(); !ok || seen.Offset != 9 {
		t.Errorf("seen is %+v, %v", seen, ok)
	}
	for i := range 10 {
		if s.Ready() == nil {
			t.Fatalf("ready after %d of 10 records", i)
		}
		if err := addOne(t, s, plan, int64(i)); err != nil {
			t.Fatal(err)
		}
		if err := s.waitApplied(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
	sel, err := s.Select(Selection{View: "v", Features: []string{"n"}})
	if err != nil {
		t.Fatal(err)
	}
	var out Vector
	if err := s.NewReader().Read(t.Context(), sel, []event.Value{event.StringOf("u")}, nil, Instant{AsOf: event.MaxTime}, &out); err != nil {
		t.Fatal(err)
	}
	if n := out.Values[0].Long(); n != 10 {
		t.Errorf("counted %d of 10 records after the replay", n)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// askAll asks for a commit of all heads.
func askAll(s *Store) {
	for _, sh := range s.shards {
		sh.mu.RLock()
		for id := range uint32(len(sh.heads.pages) * headPage) {
			s.work.askUrgent(sh, id)
		}
		sh.mu.RUnlock()
	}
}

// TestBegan: where reading began is stored with the first head, so that a crash before the first
// checkpoint does not begin elsewhere.
func TestBegan(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	if err := s.Partition(plan.Sources[0], 0).End(t.Context(), 40, true); err != nil {
		t.Fatal(err)
	}
	if err := addOne(t, s, plan, 40); err != nil {
		t.Fatal(err)
	}
	if err := s.waitApplied(t.Context()); err != nil {
		t.Fatal(err)
	}
	askAll(s)
	crashOnceSeen(t, s, st)
	s = testOpen(t, st, plan, 2)
	if next, ok := s.Partition(plan.Sources[0], 0).Next(); !ok || next != 40 {
		t.Errorf("next is %d, %v; reading began at 40", next, ok)
	}
	s.abandon()
}

// TestArrivals: a verdict of the wall clock survives a restart until the restart offset has passed it.
func TestArrivals(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	p := s.Partition(plan.Sources[0], 0)
	for _, a := range []Arrival{{0, 2, 5}, {2, 4, 7}} {
		if err := p.StoreArrival(a); err != nil {
			t.Fatal(err)
		}
	}
	s.abandon()
	s = testOpen(t, st, plan, 1)
	if got := fmt.Sprint(s.Partition(plan.Sources[0], 0).Arrivals()); got != "[{0 2 1970-01-01T00:00:00.000005Z} {2 4 1970-01-01T00:00:00.000007Z}]" {
		t.Errorf("stored arrivals: %s", got)
	}
	for i := range 3 {
		if err := addOne(t, s, plan, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = testOpen(t, st, plan, 1)
	if got := fmt.Sprint(s.Partition(plan.Sources[0], 0).Arrivals()); got != "[{2 4 1970-01-01T00:00:00.000007Z}]" {
		t.Errorf("arrivals after the restart offset passed the first: %s", got)
	}
	s.abandon()
}

// TestPlanMismatch: another plan's state is refused by name, an equal one is not.
func TestPlanMismatch(t *testing.T) {
	st := state.NewMemory()
	defer st.Close()
	plan := testPlan(t, countPipeline)
	testOpen(t, st, plan, 1).abandon()
	testOpen(t, st, testPlan(t, countPipeline), 1).abandon()
	other := testPlan(t, strings.Replace(countPipeline, "window: 7s", "window: 8s", 1))
	_, err := Open(st, other, Options{})
	var p *PlanError
	if !errors.As(err, &p) || len(p.Changes) != 1 || p.Changes[0].View != "v" {
		t.Errorf("open with a changed view: %v", err)
	}
}

// TestDeadBudget: stored dead letters keep their bytes however long, count once over replays, and stay
// within budget, oldest dropped first.
func TestDeadBudget(t *testing.T) {
	plan := testPlan(t, countPipeline)
	plan.Sources[0].Dead = pipeline.DeadLetters{Budget: 3 << 20, Keep: 1000 * event.Week}
	st := state.NewMemory()
	defer st.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = byte(rng.Uint32())
	}
	for range 2 { // the second time as a replay
		s := testOpen(t, st, plan, 1)
		p := s.Partition(plan.Sources[0], 0)
		p.Dead(&Record{Offset: 0, Arrival: 1_800_000_000_000_000, Value: long, Key: []byte("k")}, "decode", "bad")
		if err := p.End(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		if err := s.waitApplied(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.abandon()
		var b state.Batch // as if the crash had come before the restart offset was stored
		b.Delete(partitionKey(keyParts, "e", 0))
		if err := st.Commit(&b); err != nil {
			t.Fatal(err)
		}
	}
	s := testOpen(t, st, plan, 1)
	n := 0
	if err := s.StoredDead(func(d *DeadLetter) error {
		n++
		if string(d.Value) != string(long) || d.Reason != "decode" || string(d.Key) != "k" || d.Offset != 0 {
			t.Error("the dead letter came back changed")
		}
		return nil
	}); err != nil || n != 1 {
		t.Errorf("%d dead letters, %v", n, err)
	}
	p := s.Partition(plan.Sources[0], 0)
	for i := range 10 {
		p.Dead(&Record{Offset: int64(i), Arrival: event.Time(1_800_000_000_000_001 + i), Value: long}, "decode", "bad")
		if err := p.End(t.Context(), int64(i)+1, false); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var kept []int64
	if err := s.StoredDead(func(d *DeadLetter) error { kept = append(kept, d.Offset); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(kept) == 0 || len(kept) > 3 || kept[len(kept)-1] != 9 {
		t.Errorf("kept %v within 3 MiB", kept)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
