package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// TestExplainFolds: what an explanation lists, folded naively, gives the answer that it explains; and the answer
// is the one that a look-up gives. Summaries were read on the way.
func TestExplainFolds(t *testing.T) {
	summed := int64(0)
	n := 3
	if os.Getenv("PENSTOCK_FULL") != "" {
		n = 16
	}
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { summed += explainCase(t, seed) })
	}
	if summed == 0 {
		t.Error("no answer rested on a summary")
	}
}

func explainCase(t *testing.T, seed uint64) (summed int64) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 7))
	t.Logf("PENSTOCK_SEED=%d replays this", seed)
	kinds := KindsOf(seed)
	events := 2500
	if kinds[0].Lookup || kinds[1].Lookup { // every row asks, and it is explained once for each feature
		events = 600
	}
	c, err := Random(rng, t.TempDir(), Options{Pairs: pairsOf(seed), Kinds: kinds, Order: rng.IntN(2) == 0})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log(c.Text)
		}
	}()
	records := Records(rng, c.Plan, Stream{Records: events, Partitions: 1 + rng.IntN(3), Users: 2, Copies: pick(rng, []float64{0, 0, 0.2})})
	whole := oracle.IngestAll(c.Plan, records)
	run := Run{Shards: 2, Batch: 100, Restarts: 1, Flushes: true}
	s, st, err := run.Count(ctx, rng, &Memory{}, c.Plan, records)
	if err != nil {
		t.Fatal(err)
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range whole.Views {
		for _, q := range Questions(rng, x, 4) {
			n, err := checkExplained(ctx, s, s.NewReader(), x, q)
			if err != nil {
				t.Errorf("memory: %v", err)
			}
			m, err := checkExplained(ctx, s, cut.NewReader(), x, q)
			if err != nil {
				t.Errorf("cut: %v", err)
			}
			summed += n + m
		}
	}
	cut.Close()
	if err := errors.Join(s.Close(ctx), st.Close()); err != nil {
		t.Fatal(err)
	}
	return summed
}

// checkExplained explains every feature of a view, and returns how many rows were read by summaries.
func checkExplained(ctx context.Context, s *feature.Store, r *feature.Reader, in *oracle.WholeView, q Question) (summed int64, err error) {
	for _, f := range in.View.Features {
		sel, err := s.Select(feature.Selection{View: in.View.Name, Features: []string{f.Name}})
		if err != nil {
			return 0, err
		}
		at := feature.Instant{AsOf: q.AsOf, AsServed: q.AsServed}
		var out feature.Vector
		if err := r.Read(ctx, sel, q.Key, nil, at, &out); err != nil {
			return 0, err
		}
		x, err := r.Explain(ctx, sel, q.Key, nil, at, feature.ExplainOptions{Rows: 10_000, Summaries: true})
		if err != nil {
			return 0, err
		}
		b := &x.Bases[0]
		cell := b.Corrected
		if q.AsServed {
			cell = b.AsServed
		}
		read := feature.Answered{Value: out.Values[0], Status: out.Status[0], EventTime: out.EventTime[0]}
		if cell != read {
			return 0, fmt.Errorf("%s of %s: read %v, explained %v", f.Name, q, read, cell)
		}
		if err := foldsTo(in, f, q, b, cell); err != nil {
			return 0, fmt.Errorf("%s.%s (%s) of %s: %w", in.View.Name, f.Name, f.Doc, q, err)
		}
		for _, sum := range b.Summaries {
			summed += sum.Rows
		}
	}
	return summed, nil
}

// foldsTo folds the rows that are listed, and compares.
func foldsTo(in *oracle.WholeView, f *pipeline.Feature, q Question, b *feature.Basis, cell feature.Answered) error {
	if b.RowsMore != 0 || b.LateMore != 0 || b.SummariesMore != 0 {
		return fmt.Errorf("the lists are cut: %d, %d and %d more", b.RowsMore, b.LateMore, b.SummariesMore)
	}
	if b.Trimmed > 0 { // a sum alone is left of them, which folds to nothing
		counted := int64(len(b.Rows))
		for _, sum := range b.Summaries {
			if sum.Trimmed {
				counted += sum.Counted
			}
		}
		if counted < b.Counted || f.Window.Kind != window.Lifetime {
			return fmt.Errorf("%d rows are trimmed or listed, %d counted", counted, b.Counted)
		}
		return nil
	}
	if n := int64(len(b.Rows)); n < b.Counted || n > b.Counted && f.Func != agg.Ratio && (f.Inner == nil || f.Inner.Func != agg.Ratio) || n > b.InWindow {
		return fmt.Errorf("%d rows are listed, %d counted, %d in the window", len(b.Rows), b.Counted, b.InWindow)
	}
	var rows []oracle.Row
	late := 0
	for i := range b.Rows {
		r := &b.Rows[i]
		rows = append(rows, oracle.Row{Key: q.Key, Row: r.Row()})
		if r.Late != (r.Arrival > q.AsOf) || r.Late && q.AsServed {
			return fmt.Errorf("%v arrived at %s: late %v", r.Place, r.Arrival, r.Late)
		}
		if r.Late {
			late++
		}
	}
	if !q.AsServed && late != len(b.Late) {
		return fmt.Errorf("%d rows listed are late, %d are listed as late", late, len(b.Late))
	}
	if cell.Status == feature.BeforeHistory {
		return nil
	}
	one := *f
	if one.Window.Kind == window.Session {
		one.Window = window.Spec{Kind: window.Lifetime} // rows that do not count may hold it together
	}
	if one.Inner != nil && one.Inner.Empty {
		return nil // windows without a row that counts count too
	}
	want := oracle.ReadFeatures(in.View, []*pipeline.Feature{&one}, rows, q.Key, q.AsOf, false, event.MinTime)[0]
	if !want.Agrees(cell.Value) || want.EventTime != cell.EventTime {
		return fmt.Errorf("explained %v %s, its %d rows fold to %v %s", cell.Value, cell.EventTime, len(rows), want.Value, want.EventTime)
	}
	return nil
}
