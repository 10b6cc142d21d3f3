package feature

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

var drawdowns = []string{"life_down: {drawdown: amount}", "life_down_big: {drawdown: n, where: big}"}

// TestTrimStart: views whose rows go from the earliest on only.
func TestTrimStart(t *testing.T) {
	const ids = "{by: n, within: 40m}"
	last := slices.Concat(lastFeatures[:1], lastFeatures[2:4], lastFeatures[6:]) // whose rows are not rare
	seeds, n := 1, 1000
	if os.Getenv("PENSTOCK_FULL") != "" {
		seeds, n = 6, 3500
	}
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
