package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// Question is one entity as of one instant.
type Question struct {
	Key      []event.Value
	AsOf     event.Time
	AsServed bool
}

// String is the question for messages.
func (q Question) String() string {
	return fmt.Sprintf("%v as of %s (as served: %v)", q.Key, q.AsOf, q.AsServed)
}

// questions are random ones: exactly at events and just behind them, at the edges of windows that they
// fall out of, anywhere; of entities that exist and that do not.
func questions(rng *rand.Rand, in *oracle.Ingested, n int) []Question {
	spans := []event.Duration{0, 0, 1, 1, event.Second, event.Minute, event.Hour, event.Hour + 1, 6 * event.Hour, event.Day, event.Day + 1, 9 * event.Day, 31 * event.Day}
	newest := base
	for _, r := range in.Rows {
		newest = max(newest, r.Time)
	}
	var out []Question
	for range n {
		q := Question{AsServed: rng.IntN(4) == 0}
		for _, k := range in.View.Entity.Keys {
			if k.Type.Kind == event.Bool {
				q.Key = append(q.Key, event.BoolOf(rng.IntN(2) == 0))
			} else {
				q.Key = append(q.Key, event.StringOf(fmt.Sprint("u", rng.IntN(5))))
			}
		}
		q.AsOf = base.Add(event.Duration(rng.Int64N(int64(newest.Sub(base)) + int64(event.Day))))
		if len(in.Rows) > 0 && rng.IntN(8) > 0 {
			r := in.Rows[rng.IntN(len(in.Rows))]
			q.Key, q.AsOf = r.Key, r.Time.Add(pick(rng, spans))
			if rng.IntN(3) == 0 { // the edge of a tile behind it
				d := event.Time(pick(rng, []event.Duration{event.Second, 5 * event.Minute, event.Hour, event.Day}))
				q.AsOf = (q.AsOf/d + 1) * d
			}
		}
		out = append(out, q)
	}
	return out
}

// reader is feature.Reader.
type reader interface {
	Read(ctx context.Context, sel *feature.Selector, keys, request []event.Value, at feature.Instant, out *feature.Vector) error
}

// check reads the questions and compares every cell with the oracle.
func check(ctx context.Context, s *feature.Store, r reader, in *oracle.Ingested, ask []Question) error {
	sel, err := s.Select(feature.Selection{View: in.View.Name})
	if err != nil {
		return err
	}
	var out feature.Vector
	for _, q := range ask {
		if err := r.Read(ctx, sel, q.Key, nil, feature.Instant{AsOf: q.AsOf, AsServed: q.AsServed}, &out); err != nil {
			return fmt.Errorf("read %s: %w", q, err)
		}
		want := oracle.Read(in.View, in.Rows, q.Key, q.AsOf, q.AsServed, in.Horizon)
		var wrong []error
		for i, f := range in.View.Features {
			if !want[i].Agrees(out.Values[i]) || out.Status[i].String() != want[i].Status || out.EventTime[i] != want[i].EventTime {
				wrong = append(wrong, fmt.Errorf("%s.%s (%s) of %s: got %v %s %s, want %v %s %s", in.View.Name, f.Name, f.Doc, q,
					out.Values[i], out.Status[i], out.EventTime[i], want[i].Value, want[i].Status, want[i].EventTime))
			}
		}
		if len(wrong) > 0 {
			return errors.Join(wrong...)
		}
	}
	return nil
}

// checkCounts compares every view's counts and horizon with the oracle's; they add up to the records.
func checkCounts(s *feature.Store, ins []oracle.Ingested, records int) error {
	st := s.Stats()
	for _, in := range ins {
		i := slices.IndexFunc(st.Views, func(v feature.ViewStats) bool { return v.Name == in.View.Name })
		v := st.Views[i]
		got := map[string]int64{oracle.Applied: v.Applied, oracle.Filtered: v.Filtered, oracle.Late: v.Late, oracle.Dead: v.Dead, "duplicate": v.Duplicate}
		sum := int64(0)
		for outcome, n := range got {
			if n != in.Counts[outcome] {
				return fmt.Errorf("view %s: %d records are %s, want %d", v.Name, n, outcome, in.Counts[outcome])
			}
			sum += n
		}
		if sum != int64(records) {
			return fmt.Errorf("view %s: outcomes add up to %d of %d records", v.Name, sum, records)
		}
		if v.Horizon != in.Horizon {
			return fmt.Errorf("view %s: the horizon is %s, want %s", v.Name, v.Horizon, in.Horizon)
		}
	}
	return nil
}

// byView makes the oracle's ingest of all views.
func byView(plan *pipeline.Plan, records []oracle.Record) []oracle.Ingested {
	return oracle.Ingest(plan.Sources[0], plan.Views, records)
}
