package feature

import (
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
  number: {n: long}
views:
  by_text:
    source: e
    entity: text
    history: 20d
    columns:
      usual: by_user.avg_2h
      ratio: amount / (by_user.avg_2h ?? 1.0)
      before: by_user.tx
      alike: by_number.tx
    features:
      alike_6h: {max: alike, window: 6h}
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
  by_number:
    source: e
    entity: number
    features:
      tx: {count: "*", window: 1d}
`

func TestLookup(t *testing.T) {
	ctx := t.Context()
	for seed := range uint64(runs(1, 3, 3)) {
		rng := rand.New(rand.NewPCG(seed, 77))
		plan := testPlan(t, lookupPipeline)
		outer, inner := plan.View("by_text"), plan.View("by_user")
		if inner.History < outer.Keep {
			t.Fatalf("the view that is read answers %s back, and rows of the other are kept for %s", inner.History, outer.Keep)
		}
		records := randomEvents(rng, plan, 700, 2, 5)
		all := oracle.Ingest(plan.Sources[0], plan.Views, records)
		ing := map[*pipeline.View]oracle.Ingested{}
		for _, x := range all {
			ing[x.View] = x
		}
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
			rows := withLookups(outer, ing, key, at)
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
func withLookups(outer *pipeline.View, ing map[*pipeline.View]oracle.Ingested, key []event.Value, at Instant) []oracle.Row {
	known := map[*pipeline.View][]oracle.Row{}
	for v, x := range ing {
		for _, r := range x.Rows {
			if !at.AsServed || r.Arrival <= at.AsOf {
				known[v] = append(known[v], r)
			}
		}
	}
	var out []oracle.Row
	for _, r := range ing[outer].Rows {
		if !slices.Equal(r.Key, key) {
			continue
		}
		args := make([]event.Value, pipeline.MaxLookups+len(outer.Inputs))
		copy(args[pipeline.MaxLookups:], r.Values)
		for i, l := range outer.Lookups {
			if k := r.Values[l.Keys[0]]; !k.IsNull() {
				inner := l.Feature.View
				j := slices.Index(inner.Features, l.Feature)
				args[i] = oracle.Read(inner, known[inner], []event.Value{k}, r.Time, false, event.MinTime)[j].Value
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

// A row that reads another view before that view's history spoils the windows that hold it, and no others,
// whatever else is asked for.
func TestLookupBeforeHistory(t *testing.T) {
	ctx := t.Context()
	src := strings.Replace(lookupPipeline, "entities:\n", `  f:
    kafka: {brokers: ["b:9092"], topic: f}
    schema: {file: e.avsc}
    time: ts
entities:
`, 1)
	src = strings.Replace(src, "  by_user:\n    source: e\n", "  by_user:\n    source: f\n", 1)
	plan := testPlan(t, src)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	defer s.Close(ctx)
	base := event.Time(1_700_000_000_000_000)
	add := func(source string, offset int64, at event.Time) {
		t.Helper()
		i := slices.IndexFunc(plan.Sources, func(x *pipeline.Source) bool { return x.Name == source })
		rec := Record{Offset: offset, Timestamp: at, Arrival: at}
		for _, c := range plan.Sources[i].Columns {
			rec.Slots = append(rec.Slots, map[string]event.Value{
				"user": event.StringOf("u"), "s": event.StringOf("a"), "n": event.LongOf(1), "amount": event.DoubleOf(2),
				"flag": event.BoolOf(true), "ts": event.TimestampOf(at),
			}[c.Name])
		}
		p := s.Partition(plan.Sources[i], 0)
		p.Add(&rec)
		if err := p.End(ctx, offset+1, false); err != nil {
			t.Fatal(err)
		}
	}
	add("e", 0, base)
	add("e", 1, base.Add(12*event.Hour))
	add("f", 0, base.Add(plan.View("by_user").History+6*event.Hour)) // its history begins between the two
	if err := s.Applied(ctx); err != nil {
		t.Fatal(err)
	}
	at := Instant{AsOf: base.Add(13 * event.Hour)}
	for _, features := range [][]string{{"newest"}, {"newest", "usual_1d"}, {"usual_1d", "newest"}} {
		sel, err := s.Select(Selection{View: "by_text", Features: features})
		if err != nil {
			t.Fatal(err)
		}
		var out Vector
		if err := s.NewReader().Read(ctx, sel, []event.Value{event.StringOf("a")}, nil, at, &out); err != nil {
			t.Fatal(err)
		}
		for i, name := range features {
			if want := map[string]Status{"newest": Present, "usual_1d": BeforeHistory}[name]; out.Status[i] != want {
				t.Errorf("%s, asked for with %q: %s, want %s", name, features, out.Status[i], want)
			}
		}
	}
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

// TestLookupPositions: an answer rests on the sources of the views that are looked up, too.
func TestLookupPositions(t *testing.T) {
	text := strings.Replace(lookupPipeline, "entities:\n", "  f: {kafka: {brokers: [\"b:9092\"], topic: f}, schema: {file: e.avsc}, time: ts}\nentities:\n", 1)
	text = strings.Replace(text, "  by_user:\n    source: e\n", "  by_user:\n    source: f\n", 1)
	plan := testPlan(t, text)
	s := testOpen(t, state.NewMemory(), plan, 1)
	defer func() { _ = s.Close(t.Context()) }()
	for _, src := range plan.Sources {
		s.Partition(src, 0)
	}
	for feature, want := range map[string]string{"usual_1d": "e f", "n": "e"} {
		sel, err := s.Select(Selection{View: "by_text", Features: []string{feature}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range s.Positions(sel) {
			got = append(got, p.Source)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s rests on positions of %v, want %s", feature, got, want)
		}
	}
}
