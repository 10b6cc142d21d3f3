package feature

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// within fails the test if f takes more than a few seconds.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// TestCloseOnFullDisk: a partition that leaves, and a close whose time is up, do not wait for room.
func TestCloseOnFullDisk(t *testing.T) {
	plan := testPlan(t, countPipeline)
	mem := state.NewMemory()
	f := &faulty{Store: mem}
	s := testOpen(t, f, plan, 2)
	if err := addOne(t, s, plan, 0); err != nil {
		t.Fatal(err)
	}
	var full error = &state.DiskFullError{Dir: "d", Free: 1, Need: 2}
	f.fail.Store(&full)
	s.work.full.Store(true)
	within(t, "leaving", func() { s.Partition(plan.Sources[0], 0).Leave() })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	within(t, "closing", func() {
		if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close on a full disk: %v", err)
		}
	})
	f.fail.Store(nil)
	if err := mem.Close(); err != nil {
		t.Error(err)
	}
}

// TestUseAfterClose: what comes too late gets an error, and neither hangs nor panics.
func TestUseAfterClose(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	s := testOpen(t, st, plan, 2)
	if err := addOne(t, s, plan, 0); err != nil {
		t.Fatal(err)
	}
	sel, err := s.Select(Selection{View: "v"})
	if err != nil {
		t.Fatal(err)
	}
	cut, err := s.Cut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cut.Close()
	cut.Close()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, "using a closed store", func() {
		for i := range 200 {
			if addOne(t, s, plan, int64(i)+1) == nil {
				t.Fatal("a closed store takes records")
			}
		}
		if s.Flush(context.Background()) == nil {
			t.Error("a closed store flushes")
		}
		if _, err := s.Cut(context.Background()); err == nil {
			t.Error("a closed store is cut")
		}
		s.Partition(plan.Sources[0], 0).Leave()
		_ = s.Partition(plan.Sources[0], 0).StoreArrival(Arrival{0, 1, 2})
		var out Vector
		if s.NewReader().Read(t.Context(), sel, []event.Value{event.StringOf("never seen")}, nil, Instant{AsOf: event.MaxTime}, &out) == nil && !s.shards[0].whole {
			t.Error("a closed store is read")
		}
		_ = s.StoredDead(func(*DeadLetter) error { return nil })
		if s.Close(context.Background()) == nil {
			t.Error("a closed store is closed again without a word")
		}
	})
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// TestLeaveIsWaitedFor: a partition that leaves moves the horizon, and a cut sees it though no offset moved.
func TestLeaveIsWaitedFor(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 8)
	if err := addOne(t, s, plan, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		p := s.Partition(plan.Sources[0], int32(1+i))
		if err := p.End(t.Context(), 1, true); err != nil {
			t.Fatal(err)
		}
		p.Leave()
		if err := s.waitApplied(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		left := p.visible.left
		p.mu.Unlock()
		if !left {
			t.Fatal("the leave is not visible after waiting for it")
		}
	}
	if got := event.Time(s.sources[0].minWM.Load()); got != 1_700_000_000_000_000 {
		t.Errorf("the smallest watermark is %s", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSeenDuringReplay: a replay does not take back how far durable heads had seen.
func TestSeenDuringReplay(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	var b state.Batch
	s := testOpen(t, st, plan, 1)
	b.Put(partitionKey(keySeen, "e", 0), []byte(`{"Offset":9,"Timestamp":7,"CRC":5}`))
	if err := st.Commit(&b); err != nil {
		t.Fatal(err)
	}
	s.abandon()
	s = testOpen(t, st, plan, 1)
	for i := range 11 {
		if err := addOne(t, s, plan, int64(i)); err != nil {
			t.Fatal(err)
		}
		if seen, ok := s.Partition(plan.Sources[0], 0).Seen(); !ok || seen.Offset != max(9, int64(i)) {
			t.Fatalf("seen is %+v after offset %d", seen, i)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestKeysOfTwoTypes: two views whose keys have one name and two types are not asked for together.
func TestKeysOfTwoTypes(t *testing.T) {
	plan := testPlan(t, `pipeline: p
sources:
  e: {kafka: {brokers: ["b:9092"], topic: e}, schema: {file: e.avsc}, time: ts}
entities:
  user: {id: string}
  number: {id: long}
views:
  v: {source: e, entity: user, columns: {id: user}, features: {n: {count: "*"}}}
  w: {source: e, entity: number, columns: {id: n}, features: {m: {count: "*"}}}
`)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	defer s.abandon()
	var bad *SelectError
	if _, err := s.Select(Selection{Features: []string{"v.n", "w.m"}}); !errors.As(err, &bad) || bad.At != "features[1]" {
		t.Errorf("select: %v", err)
	}
	if _, err := s.Select(Selection{Features: []string{"w.m"}}); err != nil {
		t.Error(err)
	}
}

// TestQueuesAreAccounted: rows that wait for a shard count as memory, and ingest waits when they are too many.
func TestQueuesAreAccounted(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	s.headBudget = 32 << 10
	s.shards[0].mu.Lock() // nothing is applied
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var err error
	p := s.Partition(plan.Sources[0], 0)
	for i := range 20 {
		for j := range 100 {
			rec := Record{Offset: int64(100*i + j), Arrival: 1_700_000_000_000_000, Slots: make([]event.Value, len(plan.Sources[0].Columns))}
			for j, c := range plan.Sources[0].Columns {
				rec.Slots[j] = map[string]event.Value{"user": event.StringOf("u"), "n": event.LongOf(1), "ts": event.TimestampOf(1_700_000_000_000_000)}[c.Name]
			}
			p.Add(&rec)
		}
		if err = p.End(ctx, int64(100*i+100), false); err != nil {
			break
		}
	}
	s.shards[0].mu.Unlock()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a queue beyond the budget was taken: %v", err)
	}
	if err := p.End(t.Context(), 2000, false); err != nil { // what was not handed over goes now
		t.Error(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.queued.Load(); n != 0 {
		t.Errorf("%d bytes are queued after the end", n)
	}
}
