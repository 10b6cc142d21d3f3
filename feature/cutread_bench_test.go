package feature

import (
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

// BenchmarkCutRead reads rows of a spine at a cut, as an export does: chunks of rows, sorted by entity, on
// every processor. PENSTOCK_BENCH_EVENTS says over how many events, PENSTOCK_BENCH_ROWS how many rows.
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
			for b.Loop() {
				benchRead(b, s, cut, spine)
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
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

// benchRead reads all rows of a spine, in chunks.
func benchRead(b *testing.B, s *Store, cut *Cut, spine []benchRow) {
	sel, err := s.Select(Selection{View: "user"})
	if err != nil {
		b.Fatal(err)
	}
	const chunk = 15_000
	chunks := make(chan []benchRow)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			r := cut.NewReader()
			var out Vector
			name := []byte("u0000000")
			key := []event.Value{event.StringOf(event.Alias(name))}
			for rows := range chunks {
				for _, row := range rows {
					benchName(name, row.user)
					if err := r.Read(b.Context(), sel, key, nil, Instant{AsOf: row.at}, &out); err != nil {
						b.Error(err)
					}
				}
			}
		})
	}
	for rows := range slices.Chunk(spine, chunk) {
		sorted := slices.Clone(rows)
		slices.SortFunc(sorted, func(x, y benchRow) int { return cmp.Or(cmp.Compare(x.user, y.user), cmp.Compare(x.at, y.at)) })
		chunks <- sorted
	}
	close(chunks)
	wg.Wait()
}
