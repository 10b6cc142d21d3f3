package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
)

// ErrOlder tells that a server does not know what it is asked.
var ErrOlder = errors.New("the server does not know what verify asks: it runs an older version")

// explainPath is where a server tells a value in both pasts.
const explainPath = "/v1/explain"

// Explain has the server explain one feature, as of what it has counted by now. Each list of the explanation holds so
// many entries at most; 0: as many as the server thinks fit.
func (s *Server) Explain(ctx context.Context, one feature.Selection, q *Question, limit int) (*serve.Explanation, error) {
	sel, err := s.Names.Select(one)
	if err != nil {
		return nil, err
	}
	return s.explain(ctx, one, sel, q, limit)
}

func (s *Server) explain(ctx context.Context, one feature.Selection, sel *feature.Selector, q *Question, limit int) (*serve.Explanation, error) {
	body := map[string]any{
		"feature": one.Features[0], "entity": serve.Named(sel.Keys, q.KeysOf(sel.Keys)), "as_of": q.AsOf.String(), "as_served": q.Served,
	}
	if one.Set != "" {
		body["set"] = one.Set
	}
	if one.View != "" {
		body["view"] = one.View
	}
	if len(sel.Request) > 0 {
		body["request"] = serve.Named(sel.Request, q.Request)
	}
	if limit > 0 {
		body["limit"] = limit
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	if b, err = s.Ask(ctx, explainPath, b); err != nil {
		return nil, err
	}
	x := &serve.Explanation{}
	if err := json.Unmarshal(b, x); err != nil {
		return nil, fmt.Errorf("read the explanation: %w", err)
	}
	if x.AsServed != q.Served || x.Status == "" {
		return nil, ErrOlder
	}
	return x, nil
}

// lookServed asks for each feature as served at q.AsOf. Look-ups answer corrected values, so it is the explanations of
// values that tell: the same reader makes them.
func (s *Server) lookServed(ctx context.Context, alone []feature.Selection, sels []*feature.Selector, q *Question) (out []lookedCell, err error) {
	for i, one := range alone {
		x, err := s.explain(ctx, one, sels[i], q, 1)
		if err != nil {
			return nil, fmt.Errorf("ask for %s as served: %w", one.Features[0], err)
		}
		c := lookedCell{value: x.Value, status: x.Status}
		if x.EventTime != nil {
			c.at = *x.EventTime
		}
		out = append(out, c)
	}
	return out, nil
}

// eachAlone selects the features of a selection one by one; cols are those of it.
func (s *Server) eachAlone(sel feature.Selection, cols []Column) (alone []feature.Selection, sels []*feature.Selector, err error) {
	for i, c := range cols {
		one := feature.Selection{Set: sel.Set, View: sel.View, Features: []string{c.Name}}
		if len(sel.Features) > 0 {
			one.Features[0] = sel.Features[i]
		}
		x, err := s.Names.Select(one)
		if err != nil {
			return nil, nil, err
		}
		alone, sels = append(alone, one), append(sels, x)
	}
	return alone, sels, nil
}

// KeysOf are the values of these key columns, which are some of Names.
func (q *Question) KeysOf(cols []pipeline.Column) []event.Value {
	own := make([]event.Value, len(cols))
	for i, c := range cols {
		for j := range q.Names {
			if q.Names[j].Name == c.Name {
				own[i] = q.Keys[j]
			}
		}
	}
	return own
}

// doubts are rows of topics whose arrival the clock may have decided, which a server does not tell: they arrived at
// their Row.Arrival at the earliest, and by this instant at the latest.
type doubts map[event.Position]event.Time

// settle takes the earliest arrivals of rows that were read again: those of the same rows in the state, which had a
// clock that decided about records without a timestamp, or with one yet to come. A row of the state that arrived
// later than the log says is not in doubt, but wrong; a file's row has no clock.
func (d doubts) settle(plan *pipeline.Plan, rows, state []oracle.Row) {
	told := make(map[event.Position]event.Time, len(state))
	for i := range state {
		told[state[i].Pos] = state[i].Arrival
	}
	for i := range rows {
		r := &rows[i]
		if plan.Sources[r.Pos.Source].Kafka == nil {
			continue
		}
		arrival, ok := told[r.Pos]
		if !ok { // trimmed, or lost
			arrival = event.MinTime
		}
		if arrival < r.Arrival {
			d[r.Pos], r.Arrival = r.Arrival, arrival
		}
	}
}

// about tells whether it is in doubt that the row had arrived, as the question needs it.
func (d doubts) about(q *Question, r *event.Row) bool {
	by, ok := d[r.Pos]
	return ok && q.Served && by > q.AsOf
}
