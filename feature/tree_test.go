package feature

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

const countPipeline = `pipeline: count
state: {memory: 64MiB, flush: 1h}
sources:
  e:
    kafka: {brokers: ["b:9092"], topic: e}
    schema: {file: e.avsc}
    time: ts
entities:
  user: {user: string}
views:
  v:
    source: e
    entity: user
    history: 3650d
    features:
      n: {count: "*"}
      sum: {sum: n}
      sum_7s: {sum: n, window: 7s}
      sum_9m: {sum: n, window: 9m}
      n_5h: {count: n, window: 5h}
      last3: {sum: n, last: 3}
`

// plain is a row of the reference that the tree is compared with.
type plain struct {
	t event.Time
	n int64
}

// TestTree grows the archive of one hot entity over several levels, in order, shuffled, and with bursts
// of equal times, and compares windows with plain sums.
func TestTree(t *testing.T) {
	for _, order := range []string{"ordered", "late", "shuffled", "ties"} {
		t.Run(order, func(t *testing.T) { treeRun(t, order) })
	}
}

func treeRun(t *testing.T, order string) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(7, uint64(len(order))))
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	p := s.Partition(plan.Sources[0], 0)
	n := runs(20_000, 60_000, 60_000)
	base := event.Time(1_700_000_000_000_000)
	rows := make([]plain, n)
	for i := range rows {
		at := base.Add(event.Duration(i) * event.Second)
		switch order {
		case "late":
			if i%10 == 0 {
				at = at.Add(-event.Duration(rng.Int64N(int64(10 * event.Minute))))
			}
		case "ties":
			at = base.Add(event.Duration(i/3000) * event.Hour)
		}
		rows[i] = plain{at, rng.Int64N(1000)}
	}
	if order == "shuffled" {
		rng.Shuffle(n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns))}
	for i, x := range rows {
		for j, c := range plan.Sources[0].Columns {
			rec.Slots[j] = map[string]event.Value{"user": event.StringOf("u"), "n": event.LongOf(x.n), "ts": event.TimestampOf(x.t)}[c.Name]
		}
		rec.Offset, rec.Arrival = int64(i), event.MaxTime.Add(-event.Week)
		p.Add(&rec)
		if i%500 == 499 || i == n-1 {
			if err := p.End(ctx, int64(i)+1, false); err != nil {
				t.Fatal(err)
			}
			if i%2000 == 1999 || (i < 3000 && i%500 == 499) {
				if err := s.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	compareTree(t, s, rng, rows)
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	s.abandon()
	s = testOpen(t, st, plan, 1)
	compareTree(t, s, rng, rows)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	checkTree(t, st, int64(n), order != "ties")
}

func compareTree(t *testing.T, s *Store, rng *rand.Rand, rows []plain) {
	t.Helper()
	if err := s.waitApplied(t.Context()); err != nil {
		t.Fatal(err)
	}
	sel, err := s.Select(Selection{View: "v"})
	if err != nil {
		t.Fatal(err)
	}
	sorted := slices.Clone(rows) // ties by offset
	slices.SortStableFunc(sorted, func(a, b plain) int { return int(a.t - b.t) })
	r := s.NewReader()
	var out Vector
	for range 200 {
		at := rows[rng.IntN(len(rows))].t.Add(event.Duration(rng.Int64N(3) - 1))
		if err := r.Read(t.Context(), sel, []event.Value{event.StringOf("u")}, nil, Instant{AsOf: at}, &out); err != nil {
			t.Fatal(err)
		}
		var n, n5, sum, s7, s9, last int64
		end := 0
		for i, x := range sorted {
			if x.t >= at {
				break
			}
			end = i + 1
			n++
			sum += x.n
			if x.t >= at.Add(-7*event.Second) {
				s7 += x.n
			}
			if x.t >= at.Add(-9*event.Minute) {
				s9 += x.n
			}
			if x.t >= at.Add(-5*event.Hour) {
				n5++
			}
		}
		for _, x := range sorted[max(0, end-3):end] {
			last += x.n
		}
		got := fmt.Sprint(out.Values[0].Long(), out.Values[1].Long(), out.Values[2].Long(), out.Values[3].Long(), out.Values[4].Long(), out.Values[5].Long())
		if want := fmt.Sprint(n, sum, s7, s9, n5, last); got != want {
			t.Fatalf("as of %s: got %s, want %s", at, got, want)
		}
	}
}

// checkTree walks the stored tree: every row once, summaries that cover what is below, no orphan blocks,
// and more than one level where rows can be told apart.
func checkTree(t *testing.T, st state.Store, rows int64, deep bool) {
	t.Helper()
	x, err := Inspect(st)
	if err != nil {
		t.Fatal(err)
	}
	v := x.Views[0]
	if v.Entities != 1 || v.HeadRows+v.LeafRows != rows {
		t.Errorf("got %d entities, %d + %d rows; want 1 and %d", v.Entities, v.HeadRows, v.LeafRows, rows)
	}
	if v.Orphans != 0 {
		t.Errorf("%d blocks belong to no head", v.Orphans)
	}
	if deep && v.Depth < 3 {
		t.Errorf("the tree has %d levels: the test shows less than it should", v.Depth)
	}
	if fill := float64(v.LeafRows) / float64(v.Leaves); fill < 100 {
		t.Errorf("%d leaves hold %d rows: %.0f each", v.Leaves, v.LeafRows, fill)
	}
}

// TestReadWhileWriting reads, under the race detector, while heads grow, spill, are flushed and evicted:
// sums of an entity never go back and are never torn.
func TestReadWhileWriting(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, countPipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	sel, err := s.Select(Selection{View: "v", Features: []string{"n", "sum"}})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := s.NewReader()
			var out Vector
			last := map[int]int64{}
			for i := w; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				u := i % 20
				if err := r.Read(ctx, sel, []event.Value{event.StringOf(fmt.Sprint("u", u))}, nil, Instant{AsOf: event.MaxTime}, &out); err != nil {
					t.Error(err)
					return
				}
				n := out.Values[0].Long()
				if n < last[u] || out.Values[1].Long() != 2*n && n > 0 {
					t.Errorf("u%d: count %d after %d, sum %v", u, n, last[u], out.Values[1])
					return
				}
				last[u] = n
			}
		}()
	}
	writeTwos(t, s, plan, 30_000)
	close(stop)
	wg.Wait()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// writeTwos counts n events of the value 2 for 20 users, and flushes and evicts along the way.
func writeTwos(t *testing.T, s *Store, plan *pipeline.Plan, n int) {
	p := s.Partition(plan.Sources[0], 0)
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns)), Arrival: event.MaxTime.Add(-event.Week)}
	for i := range n {
		for j, c := range plan.Sources[0].Columns {
			rec.Slots[j] = map[string]event.Value{
				"user": event.StringOf(fmt.Sprint("u", i*i%20)), "n": event.LongOf(2),
				"ts": event.TimestampOf(event.Time(i) * 1000),
			}[c.Name]
		}
		rec.Offset = int64(i)
		p.Add(&rec)
		if i%100 != 99 && i != n-1 {
			continue
		}
		if err := p.End(t.Context(), int64(i)+1, false); err != nil {
			t.Error(err)
			return
		}
		if i%1000 == 999 {
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
				return
			}
			for _, sh := range s.shards {
				sh.in <- message{evict: 1 << 30}
			}
		}
	}
}
