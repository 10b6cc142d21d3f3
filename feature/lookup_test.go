package feature

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// lookupPipeline has a view by text that reads the features of a view by user at each event.
const lookupPipeline = `pipeline: lookup
state: {memory: 64MiB, flush: 1h}
sources:
  e:
    kafka: {brokers: ["b:9092"], topic: e}
    schema: {file: e.avsc}
    time: ts
    ahead: 10m
entities:
  user: {user: string}
  text: {s: string}
views:
  by_text:
    source: e
    entity: text
    history: 20d
    columns:
      usual: by_user.avg_2h
      ratio: amount / (by_user.avg_2h ?? 1.0)
      before: by_user.tx
    features:
      usual_1d: {avg: usual, window: 1d}
      ratio_6h: {max: ratio, window: 6h}
      newest:   {last: before, window: 2h}
      n_known:  {count: usual, where: flag, window: 1d}
      n:        {count: "*"}
  by_user:
    source: e
    entity: user
    history: 1d
    features:
      avg_2h: {avg: amount, window: 2h}
      tx:     {count: "*", default: 0}
`

func TestLookup(t *testing.T) {
	ctx := t.Context()
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 77))
		plan := testPlan(t, lookupPipeline)
		outer, inner := plan.View("by_text"), plan.View("by_user")
		if inner.History < outer.Keep {
			t.Fatalf("the view that is read answers %s back, and rows of the other are kept for %s", inner.History, outer.Keep)
		}
		records := randomEvents(rng, plan, 700, 2, 5)
		all := oracle.Ingest(plan.Sources[0], plan.Views, records)
		ing := map[*pipeline.View]oracle.Ingested{all[0].View: all[0], all[1].View: all[1]}
		st := state.NewMemory()
		s := testOpen(t, st, plan, 2)
		feed(ctx, t, rng, s, plan, records, len(records)/2)
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		feed(ctx, t, rng, s, plan, records, len(records))
		cut, err := s.Cut(ctx)
		if err != nil {
			t.Fatal(err)
		}
		sel, err := s.Select(Selection{View: "by_text"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 30 {
			r := s.NewReader()
			if i%2 == 0 {
				r = cut.NewReader()
			}
			key := []event.Value{event.StringOf([]string{"a", "bb", "ccc", "none"}[rng.IntN(4)])}
			at := Instant{AsOf: event.Time(1_700_000_000_000_000).Add(event.Duration(rng.Int64N(int64(26 * event.Hour)))), AsServed: i%3 == 0}
			var out Vector
			if err := r.Read(ctx, sel, key, nil, at, &out); err != nil {
				t.Fatal(err)
			}
			rows := withLookups(outer, inner, ing[outer].Rows, ing[inner].Rows, key, at)
			for j, want := range oracle.Read(outer, rows, key, at.AsOf, at.AsServed, ing[outer].Horizon) {
				if !want.Agrees(out.Values[j]) || out.Status[j].String() != want.Status || out.EventTime[j] != want.EventTime {
					t.Fatalf("seed %d: %s of %s as of %v: got %v %s %s, want %v %s %s", seed, outer.Features[j].Name, key[0].Str, at,
						out.Values[j], out.Status[j], out.EventTime[j], want.Value, want.Status, want.EventTime)
				}
			}
		}
		cut.Close()
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		st.Close()
	}
}

// withLookups gives the rows of a key their derived values, by the oracle.
func withLookups(outer, inner *pipeline.View, rows, innerRows []oracle.Row, key []event.Value, at Instant) []oracle.Row {
	var known []oracle.Row
	for _, r := range innerRows {
		if !at.AsServed || r.Arrival <= at.AsOf {
			known = append(known, r)
		}
	}
	var out []oracle.Row
	for _, r := range rows {
		if !slices.Equal(r.Key, key) {
			continue
		}
		args := make([]event.Value, pipeline.MaxLookups+len(outer.Inputs))
		copy(args[pipeline.MaxLookups:], r.Values)
		for i, l := range outer.Lookups {
			if user := r.Values[l.Keys[0]]; !user.IsNull() {
				j := slices.Index(inner.Features, l.Feature)
				args[i] = oracle.Read(inner, known, []event.Value{user}, r.Time, false, event.MinTime)[j].Value
			}
		}
		r.Values = slices.Clone(r.Values)
		for _, d := range outer.Derived {
			r.Values = append(r.Values, d.Program.Eval(args))
		}
		out = append(out, r)
	}
	return out
}

func TestLookupVersion(t *testing.T) {
	a, b := testPlan(t, lookupPipeline), testPlan(t, lookupPipeline)
	if a.View("by_text").Version != b.View("by_text").Version {
		t.Error("equal views have two versions")
	}
	c := testPlan(t, fmt.Sprintf("%s%s", lookupPipeline, "      more: {sum: amount, window: 1m}\n"))
	if a.View("by_text").Version != c.View("by_text").Version {
		t.Error("another feature of the view that is read changes the view that reads it")
	}
}
