package feature

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

func dedupePipeline(within string) string {
	return strings.Replace(testPipeline, "    history: 30d\n", "    history: 30d\n    dedupe: {by: n, within: "+within+"}\n", 1)
}

// boundedPipeline is dedupePipeline without what makes a read go through all rows: then the rows before
// those that a window holds decide which of them count.
func boundedPipeline(within string) string {
	var lines []string
	for line := range strings.Lines(dedupePipeline(within)) {
		feature := strings.HasPrefix(line, "      ") && strings.Contains(line, ": {")
		keep := slices.ContainsFunc([]string{"window: 1m", "window: 1h", "window: 2h", "session", "last: 3", "from: 7h"},
			func(s string) bool { return strings.Contains(line, s) })
		if !feature || keep {
			lines = append(lines, line)
		}
	}
	return strings.Join(append(lines, "      down: {drawdown: amount, window: 2h}\n"), "")
}

// copyEvents gives every record an id of its own, n, and makes a share of them copies of others: near them
// in time, in any partition, earlier or later.
func copyEvents(rng *rand.Rand, plan *pipeline.Plan, records []oracle.Record, share float64, within event.Duration) {
	at := func(name string) int {
		return slices.IndexFunc(plan.Sources[0].Columns, func(c pipeline.Column) bool { return c.Name == name })
	}
	user, n, ts := at("user"), at("n"), at("ts")
	for i := range records {
		r := &records[i]
		if !r.Slots[n].IsNull() {
			r.Slots[n] = event.LongOf(int64(i))
		}
		if i == 0 || rng.Float64() >= share {
			continue
		}
		from := &records[max(0, i-1-rng.IntN(40))]
		r.Slots[user], r.Slots[n] = from.Slots[user], from.Slots[n]
		if t := from.Slots[ts]; !t.IsNull() {
			moved := event.Time(t.Long())
			switch rng.IntN(4) {
			case 0: // a tie
			case 1:
				moved = moved.Add(within)
			case 2:
				moved = moved.Add(-within - 1)
			default:
				moved = moved.Add(event.Duration(rng.Int64N(int64(3*within)) - int64(within)))
			}
			if r.Slots[ts] = event.TimestampOf(moved); moved > r.Arrival {
				r.Arrival = moved
			}
		}
	}
}

// TestDedupe counts random streams with few and many copies over crashes, flushes and evictions, and compares
// answers, as served and at cuts, and counts with the oracle.
func TestDedupe(t *testing.T) {
	for seed, share := range []float64{0.001, 0.1, 0.6, 0.6, 0.1, 0.6, 0.1, 0.9}[:runs(3, 8, 8)] {
		t.Run(fmt.Sprint(share, seed), func(t *testing.T) { dedupeRun(t, uint64(seed), share) })
	}
}

func dedupeRun(t *testing.T, seed uint64, share float64) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 21))
	within := []string{"40m", "1m", "5h"}[rng.IntN(3)]
	text := dedupePipeline(within)
	if seed%2 == 1 {
		text = boundedPipeline(within)
	}
	plan := testPlan(t, text)
	users := 1 + rng.IntN(3)
	const n = 1900
	records := randomEvents(rng, plan, n, 1+rng.IntN(4), users)
	copyEvents(rng, plan, records, share, plan.View("all").Dedupe.Within)
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	if share > 0.01 && ing.Counts[oracle.Duplicate] < 50 {
		t.Fatalf("%v: too few duplicates for a test", ing.Counts)
	}
	st := state.NewMemory()
	defer st.Close()
	for crash := range 4 {
		s := testOpen(t, st, plan, []int{1, 2, 8}[rng.IntN(3)])
		for range 1 + rng.IntN(4) {
			feed(ctx, t, rng, s, plan, records, rng.IntN(n/4))
			if rng.IntN(2) == 0 {
				if err := s.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if rng.IntN(3) == 0 {
				for _, sh := range s.shards {
					sh.in <- message{evict: 1 << 30}
				}
			}
		}
		if crash < 3 {
			s.abandon()
			continue
		}
		feed(ctx, t, rng, s, plan, records, len(records))
		if err := s.waitApplied(ctx); err != nil {
			t.Fatal(err)
		}
		sel, err := s.Select(Selection{View: "all"})
		if err != nil {
			t.Fatal(err)
		}
		compare(ctx, t, rng, s.NewReader(), sel, ing, users, 50)
		cut, err := s.Cut(ctx)
		if err != nil {
			t.Fatal(err)
		}
		checkCounts(t, s, ing, len(records))
		compare(ctx, t, rng, cut.NewReader(), sel, ing, users, 50)
		cut.Close()
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s := testOpen(t, st, plan, 2)
	checkCounts(t, s, ing, len(records))
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestDedupeCrash stops the state after its k-th commit: the replay counts every duplicate once.
func TestDedupeCrash(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, dedupePipeline("40m"))
	const users = 2
	rng := rand.New(rand.NewPCG(5, 22))
	records := randomEvents(rng, plan, 900, 3, users)
	copyEvents(rng, plan, records, 0.4, 40*event.Minute)
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	value := make([]byte, 200<<10)
	for k := int64(1); ; k++ {
		rng := rand.New(rand.NewPCG(uint64(k), 23))
		mem, c := crashAt(k)
		s := testOpen(t, c, plan, 2)
		err := offer(ctx, rng, s, plan, records, value)
		s.abandon()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("crash at commit %d: %v", k, err)
		}
		done := err == nil
		mem = mem.Reopen()
		s = testOpen(t, mem, plan, 3)
		for _, v := range s.Stats().Views {
			if v.Applied < 0 || v.Duplicate < 0 {
				t.Errorf("crash at commit %d: counts below zero: %+v", k, v)
			}
		}
		if err := offer(ctx, rng, s, plan, records, value); err != nil {
			t.Fatalf("crash at commit %d: replay: %v", k, err)
		}
		got := s.Stats().Views[0]
		if got.Applied != ing.Counts[oracle.Applied] || got.Duplicate != ing.Counts[oracle.Duplicate] {
			t.Fatalf("crash at commit %d: counted %+v, want %v", k, got, ing.Counts)
		}
		sel, err := s.Select(Selection{View: "all"})
		if err != nil {
			t.Fatal(err)
		}
		compare(ctx, t, rng, s.NewReader(), sel, ing, users, 1)
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if err := mem.Close(); err != nil {
			t.Fatal(err)
		}
		if done {
			t.Logf("%d commits", k)
			return
		}
	}
}

// TestDedupeUnion: copies of one source's events in another are duplicates, counted where they came from.
func TestDedupeUnion(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(3, 24))
	plan := testPlan(t, strings.Replace(unionPipeline, "    columns: {big", "    dedupe: {by: n, within: 3h}\n    columns: {big", 1))
	a, b := plan.Sources[0], plan.Sources[1]
	events := func(first, second *pipeline.Source, parts int) []oracle.Record {
		plan.Sources[0], plan.Sources[1] = first, second // randomEvents makes those of the first
		defer func() { plan.Sources[0], plan.Sources[1] = a, b }()
		records := randomEvents(rng, plan, 1200, parts, 3)
		copyEvents(rng, plan, records, 0.3, 3*event.Hour)
		return records
	}
	fromA, fromB := events(a, b, 2), events(b, a, 3)
	ing := oracle.Ingest(b, plan.Views, fromB)[1]
	more := oracle.Ingest(a, plan.Views[1:], fromA)[0]
	ing.Rows = append(ing.Rows, more.Rows...)
	ing.Horizon = min(ing.Horizon, more.Horizon)
	want := map[string][2]int64{} // applied, duplicate
	for _, src := range []*pipeline.Source{a, b} {
		of := func(rows []oracle.Row) (n int64) {
			for _, r := range rows {
				if r.Pos.Source == src.Index {
					n++
				}
			}
			return n
		}
		kept := of(oracle.Kept(ing.View, ing.Rows))
		want[src.Name] = [2]int64{kept, of(ing.Rows) - kept}
	}
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	for range 3 {
		feedSource(ctx, t, rng, s, a, fromA, 200)
		feedSource(ctx, t, rng, s, b, fromB, 250)
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	feedSource(ctx, t, rng, s, a, fromA, 100)
	s.abandon()
	s = testOpen(t, st, plan, 3)
	feedSource(ctx, t, rng, s, b, fromB, len(fromB))
	feedSource(ctx, t, rng, s, a, fromA, len(fromA))
	sel, err := s.Select(Selection{View: "all"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	compare(ctx, t, rng, s.NewReader(), sel, ing, 3, 60)
	for _, v := range s.Stats().Views {
		if v.Name == "all" && want[v.Source] != [2]int64{v.Applied, v.Duplicate} {
			t.Errorf("counted %+v, want %v", v, want)
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	x, err := Inspect(st)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range x.Views {
		for source, n := range v.Duplicates {
			if n != want[source][1] || n == 0 {
				t.Errorf("inspect: %d duplicates of %s in view %s, want %v", n, source, v.Name, want)
			}
		}
		if v.Name == "all" && len(v.Duplicates) != 2 {
			t.Errorf("inspect: duplicates %v", v.Duplicates)
		}
	}
}
