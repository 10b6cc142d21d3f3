package proof

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
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

// Questions are random ones: exactly at events and just behind them, at the edges of windows that they
// fall out of, at the horizon and just behind it, anywhere; of entities that exist and that do not.
func Questions(rng *rand.Rand, x *oracle.WholeView, n int) []Question {
	spans := []event.Duration{0, 0, 1, 1, event.Second, event.Minute, event.Hour, event.Hour + 1, 6 * event.Hour, event.Day, event.Day + 1, 9 * event.Day, 31 * event.Day}
	newest := base
	for _, r := range x.Rows {
		newest = max(newest, r.Time)
	}
	var out []Question
	for range n {
		q := Question{AsServed: rng.IntN(4) == 0}
		for _, k := range x.View.Entity.Keys {
			switch k.Name {
			case "flag":
				q.Key = append(q.Key, event.BoolOf(rng.IntN(2) == 0))
			case "s":
				q.Key = append(q.Key, event.StringOf(pick(rng, []string{"a", "", "bb", "none"})))
			default:
				q.Key = append(q.Key, event.StringOf(fmt.Sprint("u", rng.IntN(5))))
			}
		}
		q.AsOf = base.Add(event.Duration(rng.Int64N(int64(newest.Sub(base)) + int64(event.Day))))
		if len(x.Rows) > 0 && rng.IntN(8) > 0 {
			r := x.Rows[rng.IntN(len(x.Rows))]
			q.Key, q.AsOf = r.Key, r.Time.Add(pick(rng, spans))
			if rng.IntN(3) == 0 { // the edge of a tile behind it
				d := event.Time(pick(rng, []event.Duration{event.Second, 5 * event.Minute, event.Hour, event.Day}))
				q.AsOf = (q.AsOf/d + 1) * d
			}
		}
		if x.Horizon > event.MinTime && x.Horizon < event.MaxTime {
			switch rng.IntN(4) {
			case 0:
				q.AsOf = x.Horizon.Add(pick(rng, append(spans, -1)))
			case 1: // where there is an answer
				q.AsOf = max(q.AsOf, x.Horizon)
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
func check(ctx context.Context, s *feature.Store, r reader, whole *oracle.Whole, x *oracle.WholeView, ask []Question) error {
	sel, err := s.Select(feature.Selection{View: x.View.Name})
	if err != nil {
		return err
	}
	var out feature.Vector
	for _, q := range ask {
		if err := r.Read(ctx, sel, q.Key, nil, feature.Instant{AsOf: q.AsOf, AsServed: q.AsServed}, &out); err != nil {
			return fmt.Errorf("read %s: %w", q, err)
		}
		want := whole.Read(x, q.Key, q.AsOf, q.AsServed)
		var wrong []error
		for i, f := range x.View.Features {
			if !want[i].Agrees(out.Values[i]) || !want[i].AgreesStatus(out.Status[i].String()) || out.EventTime[i] != want[i].EventTime {
				wrong = append(wrong, fmt.Errorf("%s.%s (%s) of %s: got %v %s %s, want %v %s %s", x.View.Name, f.Name, f.Doc, q,
					out.Values[i], out.Status[i], out.EventTime[i], want[i].Value, want[i].Status, want[i].EventTime))
			}
		}
		if len(wrong) > 0 {
			return errors.Join(wrong...)
		}
	}
	return nil
}

// checkCounts compares every view's counts, by source, and its horizon with the oracle's; they add up to the
// records of the source. All must be flushed: only then are copies counted. Before all is re-read that durable
// heads have seen, copies among that are counted already: then only the sum of them and of what applies is told.
func checkCounts(s *feature.Store, whole *oracle.Whole, records []oracle.Record, reread bool) error {
	st := s.Stats()
	read := map[string]int64{}
	for _, r := range records {
		read[whole.Plan.Sources[r.Source].Name]++
	}
	for _, x := range whole.Views {
		for i, b := range x.View.Branches() {
			v := st.Views[slices.IndexFunc(st.Views, func(v feature.ViewStats) bool { return v.Name == x.View.Name && v.Source == b.Source.Name })]
			got := map[string]int64{oracle.Applied: v.Applied, oracle.Filtered: v.Filtered, oracle.Late: v.Late, oracle.Dead: v.Dead, oracle.Duplicate: v.Duplicate}
			expected := x.Feeds[i].Counts
			if !reread {
				expected = maps.Clone(expected)
				got[oracle.Applied], got[oracle.Duplicate] = v.Applied+v.Duplicate, 0
				expected[oracle.Applied], expected[oracle.Duplicate] = expected[oracle.Applied]+expected[oracle.Duplicate], 0
			}
			sum := int64(0)
			for outcome, n := range got {
				if want := expected[outcome]; n != want {
					return fmt.Errorf("view %s: %d records of %s are %s, want %d", v.Name, n, v.Source, outcome, want)
				}
				sum += n
			}
			if sum != read[v.Source] {
				return fmt.Errorf("view %s: outcomes add up to %d of %d records of %s", v.Name, sum, read[v.Source], v.Source)
			}
			if v.Horizon != x.Horizon {
				return fmt.Errorf("view %s: the horizon is %s, want %s", v.Name, v.Horizon, x.Horizon)
			}
		}
	}
	return nil
}
