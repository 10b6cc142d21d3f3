package feature

import (
	"bytes"
	"cmp"
	"context"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// BenchmarkCutRead reads rows of a spine at a cut, as an export does: sorted by entity, on every processor. PENSTOCK_BENCH_EVENTS says over how many events, PENSTOCK_BENCH_ROWS how many rows.
func BenchmarkCutRead(b *testing.B) {
	n := benchNumber("PENSTOCK_BENCH_EVENTS", 500_000)
	rows := benchNumber("PENSTOCK_BENCH_ROWS", 100_000)
	for _, kind := range []string{"zipf", "uniform"} {
		b.Run(kind, func(b *testing.B) {
			users := benchUsers(n, kind == "zipf")
			s := benchStore(b, users)
			cut, err := s.Cut(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer cut.Close()
			rng := rand.New(rand.NewPCG(2, 3))
			spine := make([]benchRow, rows)
			for i := range spine {
				spine[i] = benchRow{users[rng.IntN(len(users))], benchBase.Add(event.Duration(rng.Int64N(int64(2 * event.Hour))))}
			}
			sel, err := s.Select(Selection{View: "user"})
			if err != nil {
				b.Fatal(err)
			}
			at := benchOrder(sel, spine)
			cpu := cpuTime()
			for b.Loop() {
				benchRead(b, cut, sel, spine, at)
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(rows*b.N)/(cpuTime()-cpu).Seconds(), "rows/cpu-s")
		})
	}
}

// benchRow is a row of a spine.
type benchRow struct {
	user uint32
	at   event.Time
}

// benchStore is a store in Badger that has counted one event of each of users.
func benchStore(b *testing.B, users []uint32) *Store {
	plan := testPlanSchema(b, benchPipeline, benchSchema)
	limit := debug.SetMemoryLimit(plan.State.Memory)
	st, err := state.OpenBadger(b.TempDir(), state.BadgerOptions{Memory: plan.State.Memory / 4})
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(st, plan, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		if err := s.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	benchFeed(b, s, plan, users)
	if err := s.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	return s
}

// benchOrder is in what order an export reads the rows.
func benchOrder(sel *Selector, spine []benchRow) []int {
	order := make([][]byte, len(spine))
	for i, row := range spine {
		name := []byte("u0000000")
		benchName(name, row.user)
		order[i] = sel.AppendEntity(nil, []event.Value{event.StringOf(event.Alias(name))})
	}
	at := make([]int, len(spine))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(x, y int) int {
		return cmp.Or(bytes.Compare(order[x], order[y]), cmp.Compare(spine[x].at, spine[y].at))
	})
	return at
}

// benchRead reads all rows of a spine in order.
func benchRead(b *testing.B, cut *Cut, sel *Selector, spine []benchRow, at []int) {
	chunks := make(chan []int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			r := cut.NewReader()
			name := []byte("u0000000")
			key := []event.Value{event.StringOf(event.Alias(name))}
			var entity []byte
			var instants []event.Time
			for rows := range chunks {
				for from := 0; from < len(rows); {
					user := spine[rows[from]].user
					instants = instants[:0]
					for ; from < len(rows) && spine[rows[from]].user == user; from++ {
						instants = append(instants, spine[rows[from]].at)
					}
					benchName(name, user)
					entity = sel.AppendEntity(entity[:0], key)
					r.Expect(len(instants), instants[len(instants)-1])
					for some := range slices.Chunk(instants, 128) {
						if _, err := r.ReadRun(b.Context(), sel, entity, nil, some); err != nil {
							b.Error(err)
						}
					}
				}
			}
		})
	}
	for from := 0; from < len(at); {
		to := min(from+1000, len(at))
		for to < len(at) && spine[at[to]].user == spine[at[to-1]].user {
			to++
		}
		chunks <- at[from:to]
		from = to
	}
	close(chunks)
	wg.Wait()
}
