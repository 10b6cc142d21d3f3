package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

// looked is a question with what the server answered.
type looked struct {
	q     Question
	cells []lookedCell // by column
}

// lookedCell is a cell of /v1/features, or of an explanation.
type lookedCell struct {
	value  json.RawMessage
	status string
	at     string // event time; empty: none
}

// Looked compares what a server answers look-ups with the truth, for a sample of entities and of instants, as State
// does with a cut; and what it tells of the same as served. A server goes on counting: a cell that a record which came
// meanwhile may change is counted as unknown. Without sources the truth is by the rows of the state, which the server
// tells; else by the sources, read again by that config, whose Plan is needed alone.
func Looked(ctx context.Context, srv *Server, sel feature.Selection, s Sample, sources *stream.Config) (*Report, *Reading, error) {
	s = s.full()
	before, err := srv.Moment(ctx)
	if err != nil {
		return nil, nil, err
	}
	selector, err := before.Select(sel)
	if err != nil {
		return nil, nil, err
	}
	cols := Columns(srv.Plan, sel)
	truth, reading := OfState(srv.Plan, before), (*Reading)(nil)
	if sources != nil {
		views, keep, err := KeysOf(before, srv.Plan, sel, s)
		if err != nil {
			return nil, nil, err
		}
		if truth, reading, err = OfSources(ctx, *sources, before, views, keep, s); err != nil {
			return nil, nil, err
		}
		s.Also = reading.Chosen
	}
	asked, err := srv.lookUp(ctx, before, truth, cols, sel, selector, s)
	if err != nil {
		return nil, nil, err
	}
	after, err := srv.Moment(ctx)
	if err != nil {
		return nil, nil, err
	}
	rep := &Report{}
	return rep, reading, rep.looked(selector, before, after, truth, sources != nil, cols, asked)
}

// is tells whether a cell is the one that is wanted.
func (c *lookedCell) is(want *Cell, t event.Type) bool {
	at := ""
	if want.EventTime != event.MinTime {
		at = want.EventTime.String()
	}
	return sameJSON(c.value, want, t) && (c.status == want.Status || c.status == "incomplete") && c.at == at
}

// String is the cell for people.
func (c *lookedCell) String() string {
	text := fmt.Sprintf("%s (%s", c.value, c.status)
	if c.at != "" {
		text += ", newest row " + c.at
	}
	return text + ")"
}

// lookUp asks the server.
func (s *Server) lookUp(ctx context.Context, before *Moment, t *Truth, cols []Column, sel feature.Selection, selector *feature.Selector, sample Sample) ([]looked, error) {
	entities, err := sampleKeys(before, selector, cols, sample)
	if err != nil {
		return nil, err
	}
	var questions []*Question
	for _, keys := range entities {
		questions = append(questions, &Question{Keys: keys, Names: selector.Keys})
	}
	if err := t.ahead(cols, questions); err != nil {
		return nil, err
	}
	alone, sels, err := s.eachAlone(sel, cols)
	if err != nil {
		return nil, err
	}
	var out []looked
	for i, keys := range entities {
		rng := rand.New(rand.NewPCG(sample.Seed, uint64(i)))
		instants, err := t.instants(rng, cols, selector, keys, sample.Instants)
		if err != nil {
			return nil, err
		}
		for _, at := range instants {
			x := looked{q: Question{Keys: keys, Names: selector.Keys, AsOf: at, Request: requestOf(rng, selector.Request)}}
			if x.cells, err = s.look(ctx, sel, selector, &x.q); err != nil {
				return nil, err
			}
			if len(x.cells) != len(cols) {
				return nil, fmt.Errorf("the server answers %d features, and not %d", len(x.cells), len(cols))
			}
			out = append(out, x)
			x.q.Served = true
			if x.cells, err = s.lookServed(ctx, alone, sels, &x.q); err != nil {
				return nil, err
			}
			out = append(out, x)
		}
	}
	return out, nil
}

// lookUpBody is the body of a look-up.
func lookUpBody(sel feature.Selection, selector *feature.Selector, q *Question) []byte {
	object := func(b []byte, cols []pipeline.Column, values []event.Value) []byte {
		b = append(b, '[', '{')
		for i, c := range cols {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(event.AppendJSONString(b, c.Name), ':')
			b = event.AppendJSON(b, values[i])
		}
		return append(b, '}', ']')
	}
	b := []byte(`{`)
	if sel.Set != "" {
		b = append(event.AppendJSONString(append(b, `"set":`...), sel.Set), ',')
	}
	if sel.View != "" {
		b = append(event.AppendJSONString(append(b, `"view":`...), sel.View), ',')
	}
	for i, f := range sel.Features {
		if i == 0 {
			b = append(b, `"features":[`...)
		}
		b = event.AppendJSONString(b, f)
		if b = append(b, ','); i == len(sel.Features)-1 {
			b = append(b[:len(b)-1], `],`...)
		}
	}
	b = object(append(b, `"entities":`...), selector.Keys, q.Keys)
	if len(selector.Request) > 0 {
		b = object(append(b, `,"request":`...), selector.Request, q.Request)
	}
	return append(event.AppendJSONString(append(b, `,"as_of":`...), q.AsOf.String()), '}')
}

func (s *Server) look(ctx context.Context, sel feature.Selection, selector *feature.Selector, q *Question) (out []lookedCell, err error) {
	b, err := s.Ask(ctx, "/v1/features", lookUpBody(sel, selector, q))
	if err != nil {
		return nil, err
	}
	var a struct {
		Rows []struct {
			Values    []json.RawMessage
			Status    []string
			EventTime []*string `json:"event_time"`
		}
	}
	if err := json.Unmarshal(b, &a); err != nil || len(a.Rows) != 1 || len(a.Rows[0].Status) != len(a.Rows[0].Values) || len(a.Rows[0].EventTime) != len(a.Rows[0].Values) {
		return nil, fmt.Errorf("the server's answer to a look-up is none: %.200s", b)
	}
	for i, v := range a.Rows[0].Values {
		c := lookedCell{value: v, status: a.Rows[0].Status[i]}
		if at := a.Rows[0].EventTime[i]; at != nil {
			c.at = *at
		}
		out = append(out, c)
	}
	return out, nil
}

// looked compares answers, that were given between two moments.
func (r *Report) looked(selector *feature.Selector, before, after *Moment, t *Truth, bySource bool, cols []Column, asked []looked) error {
	behind := OfState(after.s.Plan, after)
	known, inDoubt := *behind, doubts{}
	if bySource { // the sources were read up to the first moment; what came since is looked at in the state
		known.Trimmed = t.Trimmed
		known.Rows = func(v *pipeline.View, keys []event.Value) ([]oracle.Row, error) {
			rows, err := t.Rows(v, keys)
			if err != nil {
				return nil, err
			}
			since, err := behind.Rows(v, keys)
			inDoubt.settle(t.Plan, rows, since)
			for i := range since {
				if !before.below(&since[i].Row) {
					rows = append(rows, since[i])
				}
			}
			return rows, err
		}
	}
	var questions []*Question
	moved := false
	for i := range asked {
		q := &asked[i].q
		q.Past = func(row *event.Row) bool {
			moved = moved || !before.below(row) || inDoubt.about(q, row)
			return true
		}
		questions = append(questions, q)
	}
	if err := known.ahead(cols, questions); err != nil {
		return err
	}
	for i := range asked {
		x := &asked[i]
		moved = false
		for _, v := range viewsOf(cols) { // the horizon passed it, before or behind the answer
			moved = moved || x.q.AsOf < after.Horizon(v) && before.Horizon(v) != after.Horizon(v)
		}
		want, err := known.Answer(cols, &x.q)
		if err != nil {
			return err
		}
		if !x.q.Served { // each is asked in both pasts
			r.Questions++
		}
		for j := range cols {
			if moved || want[j].Unknown {
				r.Unknown++
				continue
			}
			r.Cells++
			if !x.cells[j].is(&want[j], selector.Columns[j].Type) {
				r.add(&Difference{Feature: cols[j].Name, Question: x.q, Want: want[j], Text: x.cells[j].String()})
			}
		}
	}
	return nil
}
