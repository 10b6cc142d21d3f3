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

var drawdowns = []string{"life_down: {drawdown: amount}", "life_down_big: {drawdown: n, where: big}"}

// TestTrimStart: views whose rows go from the earliest on only.
func TestTrimStart(t *testing.T) {
	const ids = "{by: n, within: 40m}"
	last := slices.Concat(lastFeatures[:1], lastFeatures[2:4], lastFeatures[6:]) // whose rows are not rare
	seeds, n := runs(1, 1, 6), runs(700, 2000, 3500)
	for i, c := range []trimCase{
		{more: lifetimeFeatures, always: drawdowns},
		{more: last, always: drawdowns[:1]},
		{more: sessionFeatures, always: drawdowns[:1]},
		{dedupe: ids, share: 0.2},
		{dedupe: "{by: n, within: 1m}", share: 0.8},
		{dedupe: "{by: s, within: 20m}", share: 0.1},
		{more: lifetimeFeatures, dedupe: ids, share: 0.3},
		{more: lifetimeFeatures, dedupe: "{by: s, within: 3m}", share: 0.1},
		{more: lifetimeFeatures, always: drawdowns, dedupe: ids, share: 0.3},
		{more: last, dedupe: ids, share: 0.3},
		{more: last, dedupe: "{by: s, within: 5m}", share: 0.1},
		{more: sessionFeatures, dedupe: "{by: n, within: 5m}", share: 0.5},
		{more: sessionFeatures, dedupe: "{by: s, within: 10m}", share: 0.1},
		{more: slices.Concat(lifetimeFeatures, last, sessionFeatures), dedupe: ids, share: 0.4},
	} {
		if i%2 > runs(0, 1, 1) {
			continue
		}
		c.records = n
		for seed := range seeds {
			t.Run(fmt.Sprint(i, " seed ", seed), func(t *testing.T) { trimRun(t, uint64(i+seed*100), c) })
		}
	}
}

// startKeep is how many rows must stay of a view whose rows go from the earliest on, and how many may, but for
// leaves that an end would cut; and how many users, if all windows have a bound.
func startKeep(s *Store, plan *pipeline.Plan, records []oracle.Record) (least, most, users int64) {
	ing := oracle.Ingest(plan.Sources[0], plan.Views, given(s, plan.Sources[0], records))[0]
	v := ing.View
	limit := event.Time(s.views[0].limit.Load())
	h, old := limit.Add(-v.History), limit.Add(-v.Keep)
	settled := map[string]event.Time{}
	for _, r := range ing.Rows {
		k := r.Key[0].Str
		if _, ok := settled[k]; !ok {
			settled[k] = old
		}
		if r.Arrival > h {
			settled[k] = min(settled[k], r.Time)
		}
	}
	within := s.views[0].copyHorizon()
	known := map[string]bool{}
	for _, r := range ing.Rows {
		k := r.Key[0].Str
		if r.Time >= old.Add(within) {
			least++
		}
		end := settled[k].Add(-within)
		if r.Time >= end {
			most++
		}
		if r.Time >= min(end, h.Add(-v.Keep)) {
			known[k] = true
		}
	}
	return least, most, int64(len(known))
}

// TestTrimStartLeaves: rows of one instant in several leaves, and leaves with rows that arrived late.
func TestTrimStartLeaves(t *testing.T) {
	const dedupe = "    dedupe: {by: n, within: 2s}\n"
	for _, c := range []struct {
		name, dedupe string
		tied         bool
	}{{"ties", "", true}, {"late", "", false}, {"ties of copies", dedupe, true}, {"late copies", dedupe, false}} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(len(c.name)), 43))
			text := trimPipeline("10m", []string{"down: {drawdown: amount}", `n: {count: "*"}`, "sum: {sum: n}"})
			plan := testPlan(t, strings.Replace(text, "    history:", c.dedupe+"    history:", 1))
			st := state.NewMemory()
			defer st.Close()
			s := testOpen(t, st, plan, 1)
			begin := event.Time(1_700_000_000_000_000)
			var records []oracle.Record
			next := map[int32]int64{}
			add := func(part int32, at, arrival event.Time) {
				slots := make([]event.Value, len(plan.Sources[0].Columns))
				for i, col := range plan.Sources[0].Columns {
					slots[i] = map[string]event.Value{
						"user": event.StringOf("u0"), "amount": event.DoubleOf(1 + rng.Float64()), "n": event.LongOf(rng.Int64N(300)),
						"s": event.StringOf("a"), "flag": event.BoolOf(true), "ts": event.TimestampOf(at),
					}[col.Name]
				}
				records = append(records, oracle.Record{Partition: part, Offset: next[part], Arrival: arrival, Slots: slots})
				next[part]++
			}
			step := func() {
				feed(t.Context(), t, rng, s, plan, records, len(records))
				if err := s.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				compareLate(t, rng, s, s.NewReader(), plan, records, 0, 4)
			}
			// Rows of the second partition come before those of the first, which tie order puts before them.
			for part := int32(1); part >= 0; part-- {
				for i := range 520 {
					at := begin
					if !c.tied {
						at = at.Add(event.Duration(i) * event.Second)
					}
					arrival := at
					if !c.tied && part == 0 && i > 260 && i%5 == 0 {
						arrival = at.Add(event.Hour)
					}
					add(part, at, arrival)
				}
				step()
			}
			for i := range 12 {
				at := begin.Add(event.Duration(i+2) * 10 * event.Minute)
				add(0, at, at)
				add(1, at, at)
				step()
			}
			if got := s.Stats().Stored[0]; got.Trimmed < 900 {
				t.Errorf("%+v: the test shows less than it should", got)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestTrimUnjoined: rows of a partition that was idle for longer than rows are kept come after what was trimmed, and
// are no copies of it; sums take them exactly.
func TestTrimUnjoined(t *testing.T) {
	ctx := t.Context()
	text := strings.Replace(idlePipeline, "n_5s: {count: \"*\", window: 5s}", "fall: {drawdown: n}", 1)
	text = strings.Replace(text, "fall:", "n: {count: \"*\"}\n      fall:", 1)
	plan := testPlan(t, text+strings.Replace(text[strings.Index(text, "  v:"):], "  v:", "  once:", 1)+"    dedupe: {by: n, within: 5s}\n")
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	second := event.Time(event.Second)
	next := map[int32]int64{}
	add := func(part int32, at, n int) {
		t.Helper()
		slots := make([]event.Value, len(plan.Sources[0].Columns))
		for i, c := range plan.Sources[0].Columns {
			slots[i] = map[string]event.Value{
				"user": event.StringOf("u"), "n": event.LongOf(int64(n)), "ts": event.TimestampOf(event.Time(at) * second),
			}[c.Name]
		}
		p := s.Partition(plan.Sources[0], part)
		p.Add(&Record{Offset: next[part], Arrival: event.Time(at) * second, Slots: slots})
		next[part]++
		if err := p.End(ctx, next[part], false); err != nil {
			t.Fatal(err)
		}
	}
	want := func(view, answers string) {
		t.Helper()
		if err := s.waitApplied(ctx); err != nil {
			t.Fatal(err)
		}
		sel, err := s.Select(Selection{View: view})
		if err != nil {
			t.Fatal(err)
		}
		var out Vector
		key := []event.Value{event.StringOf("u")}
		if err := s.NewReader().Read(ctx, sel, key, nil, Instant{AsOf: 1000 * second}, &out); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(out.Values[0], " ", out.Values[1]); got != answers {
			t.Errorf("%s: got %s, want %s", view, got, answers)
		}
	}
	add(1, 1, 5)
	s.Partition(plan.Sources[0], 1).Leave()
	for i := range 60 {
		add(0, 10+i, 100+i)
	}
	add(0, 900, 100)
	if got := sweepOnce(ctx, t, s); got.Trimmed == 0 || got.Unjoined != 0 {
		t.Fatalf("%+v", got)
	}
	want("v", "62 0.37106918238993714") // from 159 to 100
	want("once", "62 0.37106918238993714")
	add(1, 10, 100) // a copy of the first that was trimmed, and the first of a fall if it came in order
	add(1, 11, 50)
	least, peak := 50.0, 159.0
	for range 2 {
		want("v", fmt.Sprint("64 ", 1-least/peak))
		want("once", fmt.Sprint("64 ", 1-least/peak))
		if got := sweepOnce(ctx, t, s); got.Unjoined != 2 {
			t.Errorf("%+v", got)
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
