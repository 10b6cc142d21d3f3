package feature

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// crashing accepts a number of commits and none after.
type crashing struct {
	state.Store
	left atomic.Int64
}

var errCrash = errors.New("crash")

func (c *crashing) Commit(b *state.Batch) error {
	if c.left.Add(-1) < 0 {
		return errCrash
	}
	return c.Store.Commit(b)
}

// crashAt is a memory that crashes after k commits, and whose commits are small.
func crashAt(k int64) (*state.Memory, *crashing) {
	mem := state.NewMemory()
	mem.SetLimits(6, 300<<10)
	c := &crashing{Store: mem}
	c.left.Store(k)
	return mem, c
}

// valueSize is the length of the value at an offset: now and then a dead letter takes several pieces.
func valueSize(offset int64) int {
	if offset%5 == 0 {
		return 200 << 10
	}
	return 1
}

// offer hands records over as feed does, in small batches with flushes in between, until the store fails.
func offer(ctx context.Context, rng *rand.Rand, s *Store, plan *pipeline.Plan, records []oracle.Record, value []byte) error {
	queue := map[int32][]oracle.Record{}
	var nums []int32
	for _, r := range records {
		if next, ok := s.Partition(plan.Sources[0], r.Partition).Next(); ok && r.Offset < next {
			continue
		}
		if queue[r.Partition] == nil {
			nums = append(nums, r.Partition)
		}
		queue[r.Partition] = append(queue[r.Partition], r)
	}
	for len(nums) > 0 {
		i := rng.IntN(len(nums))
		num := nums[i]
		p := s.Partition(plan.Sources[0], num)
		n := min(1+rng.IntN(120), len(queue[num]))
		for _, r := range queue[num][:n] {
			rec := Record{Offset: r.Offset, Timestamp: r.Arrival, Arrival: r.Arrival, Slots: r.Slots, Value: value[:valueSize(r.Offset)]}
			if r.Dead != "" {
				p.Dead(&rec, r.Dead, "")
			} else {
				p.Add(&rec)
			}
		}
		last := queue[num][n-1].Offset
		if queue[num] = queue[num][n:]; len(queue[num]) == 0 {
			nums = append(nums[:i], nums[i+1:]...)
		}
		if err := p.End(ctx, last+1, false); err != nil {
			return err
		}
		if rng.IntN(3) == 0 {
			if err := s.Flush(ctx); err != nil {
				return err
			}
		}
		if rng.IntN(8) == 0 {
			if err := s.Sweep(ctx); err != nil {
				return err
			}
		}
		if rng.IntN(10) == 0 {
			for _, sh := range s.shards {
				sh.in <- message{evict: 1 << 30}
			}
		}
	}
	return s.Sweep(ctx)
}

// TestCrashAtEveryCommit stops the state after its k-th commit, for every fourth k (every 16th without
// PENSTOCK_FULL=1, every k with PENSTOCK_LONG=1), with batches so small that a checkpoint takes many: whatever is found then can be read, and the replay counts everything once.
func TestCrashAtEveryCommit(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, testPipeline)
	plan.Sources[0].Dead = pipeline.DeadLetters{Budget: 1 << 30, Keep: 1000 * event.Week}
	const users = 3
	records := randomEvents(rand.New(rand.NewPCG(11, 0)), plan, 1500, 2, users)
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	value := make([]byte, 200<<10)
	step := int64(runs(16, 4, 4))
	switch {
	case os.Getenv("PENSTOCK_LONG") != "":
		step = 1
	case testing.Short():
		step = 17
	}
	for k := int64(1); ; k += step {
		rng := rand.New(rand.NewPCG(uint64(k), 3))
		mem, c := crashAt(k)
		s := testOpen(t, c, plan, 2)
		err := offer(ctx, rng, s, plan, records, value)
		s.abandon()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("crash at commit %d: %v", k, err)
		}
		done := err == nil
		mem = mem.Reopen()
		if x, err := Inspect(mem); err != nil {
			t.Fatalf("crash at commit %d: inspect: %v", k, err)
		} else if done && x.Views[0].Orphans != 0 {
			t.Errorf("%d orphans without a crash", x.Views[0].Orphans)
		}
		s = testOpen(t, mem, plan, 3)
		sel, err := s.Select(Selection{View: "all"})
		if err != nil {
			t.Fatal(err)
		}
		checkRestored(t, k, s, sel)
		if err := offer(ctx, rng, s, plan, records, value); err != nil {
			t.Fatalf("crash at commit %d: replay: %v", k, err)
		}
		if err := s.Ready(); err != nil {
			t.Fatalf("crash at commit %d: %v", k, err)
		}
		compare(ctx, t, rng, s.NewReader(), sel, ing, users, 2)
		checkCounts(t, s, ing, len(records))
		cut, err := s.Cut(ctx)
		if err != nil {
			t.Fatal(err)
		}
		compare(ctx, t, rng, cut.NewReader(), sel, ing, users, 2)
		cut.Close()
		checkDead(t, k, s, ing)
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(mem); err != nil {
			t.Fatalf("crash at commit %d: inspect after the replay: %v", k, err)
		}
		if err := mem.Close(); err != nil {
			t.Fatalf("crash at commit %d: %v", k, err)
		}
		if t.Failed() {
			t.Fatalf("crash at commit %d", k)
		}
		if done {
			t.Logf("%d commits", k)
			return
		}
	}
}

// checkRestored: what is restored is as new as the restart offsets, even if nothing is read again.
func checkRestored(t *testing.T, k int64, s *Store, sel *Selector) {
	t.Helper()
	newest, least := event.MinTime, event.MaxTime
	st := s.Stats()
	for _, p := range st.Sources[0].Partitions {
		newest, least = max(newest, p.Watermark), min(least, p.Watermark)
	}
	if newest == event.MinTime {
		return
	}
	if got := s.Latest(sel); got < newest.Add(1) {
		t.Errorf("crash at commit %d: latest is %s, though %s is behind the restart offset", k, got, newest)
	}
	if want := horizon(s.views[0], least); len(st.Sources[0].Partitions) == 2 && st.Views[0].Horizon < want {
		t.Errorf("crash at commit %d: the horizon is %s, want %s", k, st.Views[0].Horizon, want)
	}
	if err := s.StoredDead(func(*DeadLetter) error { return nil }); err != nil {
		t.Errorf("crash at commit %d: dead letters: %v", k, err)
	}
}

// checkDead: each dead or late record is stored once, with its bytes.
func checkDead(t *testing.T, k int64, s *Store, ing oracle.Ingested) {
	t.Helper()
	seen := map[string]int{}
	if err := s.StoredDead(func(d *DeadLetter) error {
		seen[fmt.Sprint(d.Partition, d.Offset)]++
		if want := valueSize(d.Offset); len(d.Value) != want {
			t.Errorf("crash at commit %d: dead letter %d@%d has %d bytes, want %d", k, d.Partition, d.Offset, len(d.Value), want)
		}
		return nil
	}); err != nil {
		t.Errorf("crash at commit %d: dead letters: %v", k, err)
	}
	for _, v := range ing.Verdicts {
		if bad := v.Outcome == oracle.Dead || v.Outcome == oracle.Late; bad != (seen[fmt.Sprint(v.Partition, v.Offset)] == 1) {
			t.Errorf("crash at commit %d: %d@%d is %s and has %d dead letters", k, v.Partition, v.Offset, v.Outcome, seen[fmt.Sprint(v.Partition, v.Offset)])
		}
	}
}

// TestThousandsOfPartitions: what is stored of each partition goes out in as many commits as it takes.
func TestThousandsOfPartitions(t *testing.T) {
	plan := testPlan(t, countPipeline)
	mem := state.NewMemory()
	defer mem.Close()
	mem.SetLimits(100, 300<<10)
	s := testOpen(t, mem, plan, 2)
	const parts = 1000
	rec := Record{Arrival: 1_700_000_000_000_000, Slots: make([]event.Value, len(plan.Sources[0].Columns))}
	for j, c := range plan.Sources[0].Columns {
		rec.Slots[j] = map[string]event.Value{"user": event.StringOf("u"), "n": event.LongOf(1), "ts": event.TimestampOf(1_700_000_000_000_000)}[c.Name]
	}
	add := func(s *Store) {
		for i := range parts {
			p := s.Partition(plan.Sources[0], int32(i))
			next, _ := p.Next()
			if err := p.End(t.Context(), next, false); err != nil {
				t.Fatal(err)
			}
			rec.Offset = next
			p.Add(&rec)
			if err := p.End(t.Context(), next+1, true); err != nil {
				t.Fatal(err)
			}
			p.Leave()
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	add(s)
	add(testOpen(t, mem, plan, 1))
	x, err := Inspect(mem)
	if err != nil || x.Views[0].HeadRows+x.Views[0].LeafRows != 2*parts || len(x.Partitions) != parts {
		t.Fatalf("%+v, %v", x.Views, err)
	}
	for _, p := range x.Partitions {
		if p.Next != 2 || p.Seen != 2 {
			t.Fatalf("%+v", p)
		}
	}
}

// TestCrashBeforeTheFirstHead: blocks whose head was never stored are found and counted, not an error, and
// are written over by the replay.
func TestCrashBeforeTheFirstHead(t *testing.T) {
	plan := testPlan(t, countPipeline)
	orphans := int64(0)
	for k := int64(1); ; k++ {
		mem, c := crashAt(k)
		s := testOpen(t, c, plan, 1)
		p := s.Partition(plan.Sources[0], 0)
		err := addMany(t, p, plan, 6000)
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
		if err == nil {
			if orphans == 0 {
				t.Error("no crash left a block without a head: the test shows less than it should")
			}
			return
		}
		s = testOpen(t, mem, plan, 1)
		if err := addMany(t, s.Partition(plan.Sources[0], 0), plan, 6000); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		x, err = Inspect(mem)
		if err != nil || x.Views[0].HeadRows+x.Views[0].LeafRows != 6000 {
			t.Fatalf("crash at commit %d: %+v, %v", k, x, err)
		}
	}
}

// addMany counts n events of one user, from the partition's restart offset on.
func addMany(t *testing.T, p *Partition, plan *pipeline.Plan, n int) error {
	next, _ := p.Next()
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns)), Arrival: event.MaxTime.Add(-event.Week)}
	for i := next; i < int64(n); i++ {
		for j, c := range plan.Sources[0].Columns {
			rec.Slots[j] = map[string]event.Value{
				"user": event.StringOf("u"), "n": event.LongOf(i), "ts": event.TimestampOf(event.Time(i) * 1000),
			}[c.Name]
		}
		rec.Offset = i
		p.Add(&rec)
	}
	return p.End(t.Context(), int64(n), false)
}

// TestMemoryIsAccounted: what is added to a shard's account as heads grow, of several partitions, is
// taken off when they go.
func TestMemoryIsAccounted(t *testing.T) {
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	for round := range 5 {
		for part := range 40 {
			if err := addMany(t, s.Partition(plan.Sources[0], int32(part)), plan, (round+1)*50); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, sh := range s.shards {
			sh.in <- message{evict: 1 << 30}
		}
		if err := s.Partition(plan.Sources[0], 99).End(t.Context(), int64(round)+1, true); err != nil { // behind the eviction
			t.Fatal(err)
		}
		if err := s.waitApplied(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := s.memory(); m != 0 {
			t.Fatalf("%d bytes are accounted for, and no head is in memory", m)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
