package verify

import (
	"context"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

// Reading says what was read again.
type Reading struct {
	Records int64 // of all sources
	Older   int64 // rows of the state that the sources do not have any more, and that were taken from it

	// Chosen are entities of the sources, by view: those that a sample of them has, and keep has not. The state may
	// lack them wholly.
	Chosen map[*pipeline.View][][]event.Value
}

// OfSources is the truth by what the sources still have: they are read again up to the cut, decoded, and judged by
// the oracle's own ingest. Only rows of the entities that keep names are kept, by view; a view that is not in it
// has all. Rows at offsets below those that a log still has are taken from the state. Beside keep a sample of the
// entities of the sources is kept, chosen as the state chooses its own.
func OfSources(ctx context.Context, cfg stream.Config, cut Past, views []*pipeline.View, keep map[*pipeline.View]map[string]bool, s Sample) (*Truth, *Reading, error) {
	until := map[string]map[int32]int64{}
	for _, o := range cut.Offsets() {
		if until[o.Source] == nil {
			until[o.Source] = map[int32]int64{}
		}
		until[o.Source][o.Partition] = o.Next
	}
	rows := map[*pipeline.View]map[string][]oracle.Row{}
	for _, v := range views {
		rows[v] = map[string][]oracle.Row{}
	}
	done := &Reading{Chosen: map[*pipeline.View][][]event.Value{}}
	samples := map[*pipeline.View]*feature.KeySample{}
	for v := range keep {
		samples[v] = feature.NewKeySample(s.full().Entities, s.Seed)
	}
	first := map[uint16]map[int32]int64{}
	for _, src := range cfg.Plan.Sources {
		var fed []*pipeline.View
		for _, v := range views {
			if slices.ContainsFunc(v.Branches(), func(b *pipeline.Branch) bool { return b.Source == src }) {
				fed = append(fed, v)
			}
		}
		if len(fed) == 0 {
			continue
		}
		g := oracle.NewIngester(src, fed)
		g.Keep = func(v *pipeline.View, key []event.Value) bool {
			return keep[v] == nil || samples[v].Offer(key) || keep[v][keyText(key)]
		}
		var err error
		first[src.Index], err = stream.Reread(ctx, cfg, src, until[src.Name], func(partition int32, r *feature.Record, dead string) {
			done.Records++
			g.Add(oracle.Record{Partition: partition, Offset: r.Offset, Arrival: r.Arrival, Slots: r.Slots, Dead: dead})
		})
		if err != nil {
			return nil, nil, err
		}
		for _, in := range g.Done() {
			for _, row := range in.Rows {
				key := keyText(row.Key)
				rows[in.View][key] = append(rows[in.View][key], row)
			}
		}
	}
	for v, chosen := range samples {
		for _, keys := range chosen.Keys() {
			if !keep[v][keyText(keys)] {
				done.Chosen[v] = append(done.Chosen[v], keys)
			}
		}
	}
	t := &Truth{Plan: cfg.Plan, Horizon: cut.Horizon}
	for _, parts := range first {
		for _, at := range parts {
			if at > 0 { // older rows come from the state, as far as it has them
				t.Trimmed = cut.Trimmed
			}
		}
	}
	t.Rows = func(v *pipeline.View, keys []event.Value) ([]oracle.Row, error) {
		out := slices.Clone(rows[v][keyText(keys)])
		raw, err := cut.RawRows(v, keys)
		for _, r := range raw {
			if r.Pos.Offset < first[r.Pos.Source][r.Pos.Partition] {
				done.Older++
				out = append(out, oracle.Row{Key: keys, Row: r})
			}
		}
		return out, err
	}
	return t, done, nil
}

// KeysOf are the entities of a sample by view, for OfSources; views that others look up are not in it: of them all
// entities are needed. views are those, and the ones looked up.
func KeysOf(cut Past, plan *pipeline.Plan, sel feature.Selection, s Sample) (views []*pipeline.View, keep map[*pipeline.View]map[string]bool, err error) {
	selector, err := cut.Select(sel)
	if err != nil {
		return nil, nil, err
	}
	cols := Columns(plan, sel)
	entities, err := sampleKeys(cut, selector, cols, s.full())
	if err != nil {
		return nil, nil, err
	}
	views, keep = Needed(cols, selector.Keys, entities)
	return views, keep, nil
}

// Needed are the views that answers of cols for entities need, and of which of their entities the rows: all of a
// view that is not in keep.
func Needed(cols []Column, names []pipeline.Column, entities [][]event.Value) (views []*pipeline.View, keep map[*pipeline.View]map[string]bool) {
	keep = map[*pipeline.View]map[string]bool{}
	views = viewsOf(cols)
	for _, v := range views {
		keep[v] = map[string]bool{}
		for _, keys := range entities {
			keep[v][keyText(ownKeys(v, names, keys))] = true
		}
	}
	for i := 0; i < len(views); i++ {
		for _, l := range views[i].Lookups {
			v := l.Feature.View
			delete(keep, v)
			if !slices.Contains(views, v) {
				views = append(views, v)
			}
		}
	}
	return views, keep
}
