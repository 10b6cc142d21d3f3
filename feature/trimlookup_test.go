package feature

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

const trimLookupPipeline = `pipeline: lookup
state: {memory: 64MiB, flush: 1h}
sources:
  e: {kafka: {brokers: ["b:9092"], topic: e}, schema: {file: e.avsc}, time: ts, ahead: 10m}
entities:
  user: {user: string}
  text: {s: string}
views:
  by_text:
    source: e
    entity: text
    history: 10m
    columns:
      usual: by_user.avg_20m
      seen: by_user.tx
    features:
      usual_30m: {avg: usual, window: 30m}
      seen_20m: {max: seen, window: 20m}
      n_10m: {count: "*", window: 10m}
  by_user:
    source: e
    entity: user
    history: 1m
    features:
      avg_20m: {avg: amount, window: 20m}
      tx: {count: "*"}
`

// TestTrimLookup: a view that reads another one answers the same whether both are trimmed or none is.
func TestTrimLookup(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, trimLookupPipeline)
	records := randomEvents(rand.New(rand.NewPCG(3, 41)), plan, 4000, 2, 5)
	var stores [2]*Store
	var rngs [2]*rand.Rand
	for i := range stores {
		st := state.NewMemory()
		defer st.Close()
		s, err := Open(st, plan, Options{Shards: 2, Now: func() event.Time { return 0 }, After: func(time.Duration) <-chan time.Time { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.abandon()
		stores[i], rngs[i] = s, rand.New(rand.NewPCG(4, 41))
	}
	ask := rand.New(rand.NewPCG(5, 41))
	for range 10 {
		for i, s := range stores {
			feed(ctx, t, rngs[i], s, plan, records, 400)
			if err := s.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		sweepOnce(ctx, t, stores[0])
		from := stores[0].NewReader().horizon(stores[0].byName["by_text"])
		for range 25 {
			key := []event.Value{event.StringOf([]string{"a", "bb", "ccc", ""}[ask.IntN(4)])}
			at := Instant{AsOf: from.Add(event.Duration(ask.Int64N(int64(event.Hour)))), AsServed: ask.IntN(3) == 0}
			var got [2]string
			for i, s := range stores {
				sel, err := s.Select(Selection{View: "by_text"})
				if err != nil {
					t.Fatal(err)
				}
				var out Vector
				if err := s.NewReader().Read(ctx, sel, key, nil, at, &out); err != nil {
					t.Fatal(err)
				}
				got[i] = fmt.Sprint(out.Values, out.Status, out.EventTime)
			}
			if got[0] != got[1] {
				t.Fatalf("%v at %+v: trimmed %s, whole %s", key, at, got[0], got[1])
			}
		}
	}
	for i, x := range stores[0].Stats().Stored {
		if x.Trimmed == 0 {
			t.Errorf("%+v: nothing was trimmed", stores[0].Stats().Stored[i])
		}
	}
}
