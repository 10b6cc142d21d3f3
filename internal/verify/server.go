package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
)

// Server is a server that runs the plan, as a verification asks it.
type Server struct {
	Plan  *pipeline.Plan
	Names *feature.Store // any store of the plan: it resolves what is asked for
	Ask   func(ctx context.Context, route string, question []byte) (answer []byte, err error)
}

// Moment is what a server tells of one cut, which it was asked at first: rows that came later are left out of
// what it tells behind that. It is used by one goroutine.
type Moment struct {
	ctx      context.Context // of all that is asked
	s        *Server
	next     map[string]map[int32]int64 // the cut: offsets by source and partition
	horizons map[*pipeline.View]event.Time
	known    map[*pipeline.View]map[string]*entityRows
}

type entityRows struct {
	rows    []event.Row
	trimmed int64
	all     bool
}

// fetchAtOnce is of how many entities one question asks for rows.
const fetchAtOnce = 100

// Moment fixes what the server has counted now.
func (s *Server) Moment(ctx context.Context) (*Moment, error) {
	m := &Moment{ctx: ctx, s: s, horizons: map[*pipeline.View]event.Time{}, known: map[*pipeline.View]map[string]*entityRows{}}
	var q serve.RowsQuestion
	for _, v := range s.Plan.Views {
		q.Views = append(q.Views, serve.RowsOf{View: v.Name, Version: v.Version})
	}
	a, err := m.ask(&q)
	if err != nil {
		return nil, err
	}
	for i, v := range s.Plan.Views {
		m.horizons[v] = event.Time(a.Views[i].Horizon)
	}
	return m, nil
}

func (m *Moment) ask(q *serve.RowsQuestion) (*serve.RowsAnswer, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if b, err = m.s.Ask(m.ctx, serve.RowsPath, b); err != nil {
		return nil, err
	}
	var a serve.RowsAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("read the server's rows: %w", err)
	}
	if len(a.Views) != len(q.Views) {
		return nil, fmt.Errorf("the server tells of %d views, and not of %d", len(a.Views), len(q.Views))
	}
	if m.next == nil {
		m.next = map[string]map[int32]int64{}
		for _, o := range a.Offsets {
			if m.next[o.Source] == nil {
				m.next[o.Source] = map[int32]int64{}
			}
			m.next[o.Source][o.Partition] = o.Next
		}
	}
	return &a, nil
}

// below tells whether a row lies in the moment.
func (m *Moment) below(r *event.Row) bool {
	return r.Pos.Offset < m.next[m.s.Plan.Sources[r.Pos.Source].Name][r.Pos.Partition]
}

// Select resolves a selection.
func (m *Moment) Select(sel feature.Selection) (*feature.Selector, error) {
	return m.s.Names.Select(sel)
}

// Horizon is the least instant that could be asked of a view.
func (m *Moment) Horizon(v *pipeline.View) event.Time { return m.horizons[v] }

// Offsets lists the cut.
func (m *Moment) Offsets() (out []feature.Offset) {
	for source, parts := range m.next {
		for p, next := range parts {
			out = append(out, feature.Offset{Source: source, Partition: p, Next: next})
		}
	}
	return out
}

// SampleKeys has the server choose entities.
func (m *Moment) SampleKeys(v *pipeline.View, n int, seed uint64) (out [][]event.Value, err error) {
	a, err := m.ask(&serve.RowsQuestion{Views: []serve.RowsOf{{View: v.Name, Version: v.Version, Sample: n, Seed: seed}}})
	if err != nil {
		return nil, err
	}
	for _, b := range a.Views[0].Sample {
		keys, ok := serve.ParseKeys(b, v.Entity.Keys)
		if !ok {
			return nil, fmt.Errorf("the server's sample of view %q has no keys of it", v.Name)
		}
		out = append(out, keys)
	}
	return out, nil
}

// Fetch asks for the rows of entities that are not known yet.
func (m *Moment) Fetch(v *pipeline.View, entities [][]event.Value) error {
	if m.known[v] == nil {
		m.known[v] = map[string]*entityRows{}
	}
	var missing [][]byte
	for _, keys := range entities {
		id := keyText(keys)
		if _, ok := m.known[v][id]; ok {
			continue
		}
		m.known[v][id] = &entityRows{}
		missing = append(missing, []byte(id))
	}
	for list := range slices.Chunk(missing, fetchAtOnce) {
		tooMany, err := m.fetch(v, list)
		if err != nil {
			return err
		}
		for _, id := range tooMany { // for the others; perhaps not alone
			if _, err := m.fetch(v, [][]byte{id}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Moment) fetch(v *pipeline.View, ids [][]byte) (tooMany [][]byte, err error) {
	a, err := m.ask(&serve.RowsQuestion{Views: []serve.RowsOf{{View: v.Name, Version: v.Version, Keys: ids}}})
	if err != nil {
		return nil, err
	}
	if len(a.Views[0].Entities) != len(ids) {
		return nil, fmt.Errorf("the server tells of %d entities, and not of %d", len(a.Views[0].Entities), len(ids))
	}
	for i, e := range a.Views[0].Entities {
		if !e.All {
			tooMany = append(tooMany, ids[i])
			continue
		}
		x := &entityRows{trimmed: e.Trimmed, all: true}
		for j := range e.Rows {
			row, ok := e.Rows[j].Row(len(v.Inputs))
			if !ok || int(row.Pos.Source) >= len(m.s.Plan.Sources) {
				return nil, fmt.Errorf("the server's rows of view %q are none of it", v.Name)
			}
			if m.below(&row) {
				x.rows = append(x.rows, row)
			}
		}
		m.known[v][string(ids[i])] = x
	}
	return tooMany, nil
}

func (m *Moment) of(v *pipeline.View, keys []event.Value) (*entityRows, error) {
	if err := m.Fetch(v, [][]event.Value{keys}); err != nil {
		return nil, err
	}
	x := m.known[v][keyText(keys)]
	if !x.all {
		return nil, errTooMany
	}
	return x, nil
}

// RawRows are the rows of an entity.
func (m *Moment) RawRows(v *pipeline.View, keys []event.Value) ([]event.Row, error) {
	x, err := m.of(v, keys)
	if err != nil {
		return nil, err
	}
	return x.rows, nil
}

// Trimmed is how many rows of an entity are kept as a sum alone.
func (m *Moment) Trimmed(v *pipeline.View, keys []event.Value) (int64, error) {
	x, err := m.of(v, keys)
	if err != nil {
		return 0, err
	}
	return x.trimmed, nil
}

// At is the moment as of a cut of before: with the rows below its offsets, and its horizons.
func (m *Moment) At(past feature.Past) (*Moment, error) {
	at := &Moment{ctx: m.ctx, s: m.s, next: map[string]map[int32]int64{}, horizons: map[*pipeline.View]event.Time{}, known: map[*pipeline.View]map[string]*entityRows{}}
	for _, o := range past.Offsets {
		if have := m.next[o.Source][o.Partition]; have < o.Next {
			return nil, fmt.Errorf("source %q, partition %d has been read up to %d, not up to %d", o.Source, o.Partition, have, o.Next)
		}
		if at.next[o.Source] == nil {
			at.next[o.Source] = map[int32]int64{}
		}
		at.next[o.Source][o.Partition] = o.Next
	}
	for _, v := range m.s.Plan.Views {
		least := event.MaxTime
		for _, b := range v.Branches() {
			for _, w := range past.Watermarks {
				if w.Source == b.Source.Name {
					least = min(least, w.Least)
				}
			}
		}
		at.horizons[v] = event.MinTime
		if least != event.MinTime && least != event.MaxTime {
			at.horizons[v] = least.Add(-v.History)
		}
	}
	return at, nil
}
