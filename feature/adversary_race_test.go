package feature

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/state"
)

// TestEverythingAtOnce: partitions ingest, heads are flushed, asked for urgently, evicted, cut and read at
// once, over batches that split all the time. Cuts answer the same twice, counts never go back, and in the
// end, and after a restart, every answer is the oracle's.
func TestEverythingAtOnce(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3}[:runs(1, 3, 3)] {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { atOnce(t, seed) })
	}
}

func atOnce(t *testing.T, seed uint64) {
	ctx := t.Context()
	plan := testPlan(t, testPipeline)
	plan.State.Flush = event.Millisecond * 10
	const users, parts = 4, 3
	records := randomEvents(rand.New(rand.NewPCG(seed, 9)), plan, 5000, parts, users)
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	mem := state.NewMemory()
	mem.SetLimits(8, 300<<10)
	s := testOpen(t, mem, plan, 2)
	s.headBudget = 60 << 10 // evictions and waiting for room all the time
	sel, err := s.Select(Selection{View: "all"})
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var ingest, rest sync.WaitGroup
	var handles []*Partition // all of them before any is read: one that is not known does not hold the horizon back
	for n := range parts {
		handles = append(handles, s.Partition(plan.Sources[0], int32(n)))
	}
	for n, p := range handles {
		var mine []oracle.Record
		for _, r := range records {
			if r.Partition == int32(n) {
				mine = append(mine, r)
			}
		}
		ingest.Go(func() { ingestAll(ctx, t, rand.New(rand.NewPCG(seed, uint64(n))), p, mine) })
	}
	background := func(f func(rng *rand.Rand)) {
		rng := rand.New(rand.NewPCG(seed, rand.Uint64()))
		rest.Go(func() {
			for !stop.Load() && !t.Failed() {
				f(rng)
			}
		})
	}
	background(func(rng *rand.Rand) { disturb(s, rng) })
	background(func(*rand.Rand) {
		if err := s.Flush(ctx); err != nil {
			t.Error(err)
		}
		s.Stats()
		_ = s.Ready()
	})
	background(func(rng *rand.Rand) { cutTwice(ctx, t, rng, s, sel, users) })
	background(func(rng *rand.Rand) {
		var out Vector
		if err := s.NewReader().Read(ctx, sel, []event.Value{event.StringOf(fmt.Sprint("u", rng.IntN(users)))}, nil, Instant{AsOf: s.Latest(sel), AsServed: rng.IntN(2) == 0}, &out); err != nil {
			t.Error(err)
		}
	})
	ingest.Wait()
	stop.Store(true)
	rest.Wait()
	if t.Failed() {
		return
	}
	rng := rand.New(rand.NewPCG(seed, 5))
	if err := s.waitApplied(ctx); err != nil {
		t.Fatal(err)
	}
	compare(ctx, t, rng, s.NewReader(), sel, ing, users, 20)
	checkCounts(t, s, ing, len(records))
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if x, err := Inspect(mem); err != nil || x.Views[0].Orphans != 0 || x.Views[0].HeadRows+x.Views[0].LeafRows != int64(len(ing.Rows)) {
		t.Errorf("inspect: %+v, %v", x, err)
	}
	mem = mem.Reopen()
	s = testOpen(t, mem, plan, 3)
	compare(ctx, t, rng, s.NewReader(), sel, ing, users, 20)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestForgetful: with hardly any memory heads are forgotten as they are written, and come back blind; crashes
// and replays between, readers beside. In the end every answer is the oracle's.
func TestForgetful(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, testPipeline)
	plan.State.Flush = event.Millisecond * 10
	const users, parts = 60, 3
	records := randomEvents(rand.New(rand.NewPCG(8, 9)), plan, 9000, parts, users)
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	mem := state.NewMemory()
	rng := rand.New(rand.NewPCG(4, 4))
	forgot := int64(0)
	for round := range 4 {
		s := testOpen(t, mem, plan, 1+round%3)
		s.headBudget = 48 << 10
		sel, err := s.Select(Selection{View: "all"})
		if err != nil {
			t.Fatal(err)
		}
		var ingest, rest sync.WaitGroup
		var stop atomic.Bool
		for n := range parts {
			p := s.Partition(plan.Sources[0], int32(n))
			next, _ := p.Next()
			var mine []oracle.Record
			for i, r := range records {
				if r.Partition == int32(n) && r.Offset >= next && i < (round+1)*len(records)/4 {
					mine = append(mine, r)
				}
			}
			seed := rng.Uint64()
			ingest.Go(func() { ingestAll(ctx, t, rand.New(rand.NewPCG(seed, 1)), p, mine) })
		}
		rest.Go(func() {
			var out Vector
			for i := 0; !stop.Load(); i++ {
				key := []event.Value{event.StringOf(fmt.Sprint("u", i%users))}
				if err := s.NewReader().Read(ctx, sel, key, nil, Instant{AsOf: s.Latest(sel)}, &out); err != nil {
					t.Error(err)
					return
				}
			}
		})
		ingest.Wait()
		stop.Store(true)
		rest.Wait()
		if err := s.waitApplied(ctx); err != nil {
			t.Fatal(err)
		}
		forgot += s.Stats().Misses
		if round < 3 {
			s.abandon() // a crash: some heads are flushed, the restart offsets are behind them
			mem = mem.Reopen()
			continue
		}
		compare(ctx, t, rng, s.NewReader(), sel, ing, users, 150)
		checkCounts(t, s, ing, len(records))
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if forgot < 3*users {
		t.Errorf("only %d rows came for entities that were not in memory", forgot)
	}
}

func ingestAll(ctx context.Context, t *testing.T, rng *rand.Rand, p *Partition, records []oracle.Record) {
	pending := 1
	for i, r := range records {
		rec := Record{Offset: r.Offset, Timestamp: r.Arrival, Arrival: r.Arrival, Slots: r.Slots, Value: []byte("raw")}
		if r.Dead != "" {
			p.Dead(&rec, r.Dead, "")
		} else {
			p.Add(&rec)
		}
		if pending--; pending > 0 && i+1 < len(records) {
			continue
		}
		pending = 1 + rng.IntN(60)
		if err := p.End(ctx, r.Offset+1, false); err != nil {
			t.Error(err)
			return
		}
	}
}

// disturb evicts, or asks for a commit of some heads.
func disturb(s *Store, rng *rand.Rand) {
	sh := s.shards[rng.IntN(len(s.shards))]
	if rng.IntN(2) == 0 {
		sh.in <- message{evict: rng.Int64N(100 << 10)}
		return
	}
	sh.mu.Lock()
	var some []uint32
	for id := range uint32(len(sh.heads.pages) * headPage) {
		if h := sh.heads.at(id); rng.IntN(2) == 0 && h.is(headLive) && !h.is(headUrgent) {
			h.flags |= headUrgent
			some = append(some, id)
		}
	}
	sh.mu.Unlock()
	for _, id := range some {
		s.work.askUrgent(sh, id)
	}
}

// cutTwice reads one cut before and after more has happened.
func cutTwice(ctx context.Context, t *testing.T, rng *rand.Rand, s *Store, sel *Selector, users int) {
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	defer cut.Close()
	key := []event.Value{event.StringOf(fmt.Sprint("u", rng.IntN(users)))}
	at := Instant{AsOf: event.Time(1_700_000_000_000_000).Add(event.Duration(rng.Int64N(int64(26 * event.Hour)))), AsServed: rng.IntN(2) == 0}
	var a, b Vector
	if err := cut.NewReader().Read(ctx, sel, key, nil, at, &a); err != nil {
		t.Error(err)
		return
	}
	before := fmt.Sprint(a)
	if err := s.Flush(ctx); err != nil {
		t.Error(err)
	}
	if err := cut.NewReader().Read(ctx, sel, key, nil, at, &b); err != nil {
		t.Error(err)
		return
	}
	if after := fmt.Sprint(b); after != before {
		t.Errorf("a cut answers %s, then %s", before, after)
	}
}
