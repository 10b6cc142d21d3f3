package verify

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
)

var servedSelection = feature.Selection{View: "users", Features: []string{"sum_1h", "users.last_3"}}

// changed has a server's explanations changed.
func changed(t *testing.T, srv *Server, change func(x *serve.Explanation)) {
	t.Helper()
	ask := srv.Ask
	srv.Ask = func(ctx context.Context, route string, question []byte) ([]byte, error) {
		answer, err := ask(ctx, route, question)
		var x serve.Explanation
		if route != explainPath || err != nil || json.Unmarshal(answer, &x) != nil {
			return answer, err
		}
		change(&x)
		return json.Marshal(x)
	}
}

// TestLookedAsServed: each cell is compared in both pasts, late events make them two values, and both are right.
func TestLookedAsServed(t *testing.T) {
	plan, store, _ := running(t)
	srv := served(plan, store)
	two := int64(0)
	changed(t, srv, func(x *serve.Explanation) {
		if x.Differs {
			two++
		}
	})
	rep, _, err := Looked(t.Context(), srv, servedSelection, Sample{Entities: 4, Instants: 6, Seed: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Differ > 0 || rep.Unknown > 0 {
		t.Errorf("%d of %d cells differ, %d are unknown: %s", rep.Differ, rep.Cells, rep.Unknown, rep.First)
	}
	if rep.Cells != 2*2*rep.Questions || two == 0 || two == rep.Cells/2 {
		t.Errorf("%d cells of %d questions, %d with another value as served", rep.Cells, rep.Questions, two)
	}
}

// TestLookedAsServedDiffers: a server whose look-ups are right and which forgets when rows arrived is found, and so is
// one that tells arrivals which its answers are not made of.
func TestLookedAsServedDiffers(t *testing.T) {
	plan, store, _ := running(t)
	sample := Sample{Entities: 4, Instants: 6, Seed: 3}
	forgets, delays := served(plan, store), served(plan, store)
	want := int64(0)
	changed(t, forgets, func(x *serve.Explanation) {
		if x.Differs {
			want++
		}
		x.ExplainedValue = x.Corrected
	})
	ask := delays.Ask
	delays.Ask = func(ctx context.Context, route string, question []byte) ([]byte, error) {
		answer, err := ask(ctx, route, question)
		var a serve.RowsAnswer
		if route != serve.RowsPath || err != nil || json.Unmarshal(answer, &a) != nil {
			return answer, err
		}
		for i := range a.Views {
			for j := range a.Views[i].Entities {
				for k := range a.Views[i].Entities[j].Rows {
					a.Views[i].Entities[j].Rows[k].Arrival += int64(event.Hour)
				}
			}
		}
		return json.Marshal(a)
	}
	for name, srv := range map[string]*Server{"forgets": forgets, "delays": delays} {
		rep, _, err := Looked(t.Context(), srv, servedSelection, sample, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Differ == 0 || rep.Differ > rep.Cells/2 || !rep.First.Question.Served || !strings.Contains(rep.First.String(), " as served: found ") {
			t.Errorf("%s: %d of %d cells differ: %v", name, rep.Differ, rep.Cells, rep.First)
		}
		if srv == forgets && rep.Differ != want {
			t.Errorf("%d cells are wrong, and %d are found", want, rep.Differ)
		}
	}
}

// TestLookedOfOlderServer: one that answers corrected values, whatever it is asked for, gets no verdict.
func TestLookedOfOlderServer(t *testing.T) {
	plan, store, _ := running(t)
	srv := served(plan, store)
	changed(t, srv, func(x *serve.Explanation) { x.AsServed, x.ExplainedValue = false, x.Corrected })
	rep, _, err := Looked(t.Context(), srv, servedSelection, Sample{Entities: 1, Instants: 1}, nil)
	if !errors.Is(err, ErrOlder) || rep != nil {
		t.Errorf("%v, %v", rep, err)
	}
}

// TestExplainOneOfSeveralEntities: a feature that is explained alone is given its own view's keys.
func TestExplainOneOfSeveralEntities(t *testing.T) {
	plan, store, _ := running(t)
	both, err := store.Select(feature.Selection{Features: []string{"users.n", "shops.n_1d"}})
	if err != nil {
		t.Fatal(err)
	}
	q := &Question{Names: both.Keys, Keys: []event.Value{event.StringOf("a"), event.StringOf("x")}, AsOf: 1_700_010_000_000_000}
	x, err := served(plan, store).Explain(t.Context(), feature.Selection{Features: []string{"shops.n_1d"}}, q, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(x.Entity) != 1 || string(x.Entity["shop"]) != `"x"` || x.Status != "present" {
		t.Errorf("%s: %s", x.Entity, x.Status)
	}
}

// TestArrivalsInDoubt: sources that are read again tell when a record arrived as the clock has it now. If that is later
// than the state has it, cells between the two are unknown; if it is earlier, the state is wrong; of files too.
func TestArrivalsInDoubt(t *testing.T) {
	plan, store, _ := running(t)
	srv, sel := served(plan, store), servedSelection
	before, err := srv.Moment(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	selector, err := before.Select(sel)
	if err != nil {
		t.Fatal(err)
	}
	cols, ofState := Columns(plan, sel), OfState(plan, before)
	asked, err := srv.lookUp(t.Context(), before, ofState, cols, sel, selector, Sample{Entities: 4, Instants: 6, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	topic := plan.Sources[0].Kafka
	for _, c := range []struct {
		name            string
		shift           event.Duration
		file            bool
		differs, doubts bool
	}{
		{name: "as they were"},
		{name: "read later", shift: event.Hour, doubts: true},
		{name: "read earlier", shift: -event.Hour, differs: true},
		{name: "of a file", shift: event.Hour, file: true, differs: true},
	} {
		truth := *ofState
		truth.Rows = func(v *pipeline.View, keys []event.Value) ([]oracle.Row, error) {
			rows, err := ofState.Rows(v, keys)
			for i := range rows {
				rows[i].Arrival = rows[i].Arrival.Add(c.shift)
			}
			return rows, err
		}
		if plan.Sources[0].Kafka = topic; c.file {
			plan.Sources[0].Kafka = nil
		}
		rep := &Report{}
		if err := rep.looked(selector, before, before, &truth, true, cols, asked); err != nil {
			t.Fatal(err)
		}
		if (rep.Differ > 0) != c.differs || (rep.Unknown > 0) != c.doubts || rep.Cells < 2*rep.Questions {
			t.Errorf("%s: %d of %d cells differ, %d are unknown: %v", c.name, rep.Differ, rep.Cells, rep.Unknown, rep.First)
		}
	}
	plan.Sources[0].Kafka = topic
}
