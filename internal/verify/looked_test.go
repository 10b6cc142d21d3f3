package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/stream"
)

// served is a server over a store, as a verification asks it.
func served(plan *pipeline.Plan, store *feature.Store) *Server {
	h := serve.New(serve.Config{Store: store, Plan: plan}).Handler()
	return &Server{Plan: plan, Names: store, Ask: func(ctx context.Context, route string, question []byte) ([]byte, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, route, bytes.NewReader(question)))
		if w.Code != http.StatusOK {
			return nil, fmt.Errorf("%s answers %d: %s", route, w.Code, w.Body)
		}
		return w.Body.Bytes(), nil
	}}
}

var lookedSelections = []feature.Selection{{View: "users"}, {View: "shops"}, {Set: "s"}, {Features: []string{"users.n", "shops.n_1d"}}}

// TestLooked: what a server answers is what its rows give; while it goes on counting too, but for cells that new rows
// may change.
func TestLooked(t *testing.T) {
	for _, counting := range []bool{false, true} {
		plan, store, more := running(t)
		srv := served(plan, store)
		if ask := srv.Ask; counting {
			srv.Ask = func(ctx context.Context, route string, question []byte) ([]byte, error) {
				if route == "/v1/features" {
					more(3)
				}
				return ask(ctx, route, question)
			}
		}
		for _, sel := range lookedSelections {
			rep, _, err := Looked(t.Context(), srv, sel, Sample{Entities: 3, Instants: 3, Seed: 3}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Differ > 0 {
				t.Errorf("counting %v, %v: %d of %d cells differ: %s", counting, sel, rep.Differ, rep.Cells, rep.First)
			}
			if rep.Cells < 5 || !counting && rep.Unknown > rep.Cells {
				t.Errorf("counting %v, %v: %d cells of %d questions were compared, %d not", counting, sel, rep.Cells, rep.Questions, rep.Unknown)
			}
		}
	}
}

// TestLookedDiffers: a row that the server does not tell, or an answer that is another one, is found.
func TestLookedDiffers(t *testing.T) {
	plan, store, _ := running(t)
	for name, change := range map[string]func(route string, answer []byte) []byte{
		"a row less": func(route string, answer []byte) []byte {
			var a serve.RowsAnswer
			if route != serve.RowsPath || json.Unmarshal(answer, &a) != nil {
				return answer
			}
			for i := range a.Views {
				for j := range a.Views[i].Entities {
					rows := &a.Views[i].Entities[j].Rows
					*rows = (*rows)[:len(*rows)-1]
				}
			}
			b, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		"another answer": func(route string, answer []byte) []byte {
			if route != "/v1/features" {
				return answer
			}
			return bytes.Replace(answer, []byte(`"status":["present"`), []byte(`"status":["null"`), 1)
		},
	} {
		srv := served(plan, store)
		ask := srv.Ask
		srv.Ask = func(ctx context.Context, route string, question []byte) ([]byte, error) {
			answer, err := ask(ctx, route, question)
			return change(route, answer), err
		}
		rep, _, err := Looked(t.Context(), srv, feature.Selection{View: "users", Features: []string{"n"}}, Sample{Seed: 3, Instants: 5}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Differ == 0 || !strings.Contains(rep.First.String(), "n of user=") {
			t.Errorf("%s: %d of %d cells differ: %v", name, rep.Differ, rep.Cells, rep.First)
		}
	}
}

// TestFromSourceOfLackingEntities: an entity that the sources have and the state lacks wholly is found, whether the
// state's cut is asked or a server.
func TestFromSourceOfLackingEntities(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("user,ts\n")
	base := event.Time(1_700_000_000_000_000)
	for i := range 60 {
		fmt.Fprintf(&text, "%s,%s\n", fileUser(i), base.Add(event.Duration(i)*event.Minute))
	}
	for name, content := range map[string]string{
		"e.avsc": `{"type":"record","name":"e","fields":[{"name":"user","type":"string"},{"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}}]}`,
		"e.csv":  text.String(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plan, mistakes := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(`pipeline: p
sources: {e: {file: {path: e.csv}, schema: {file: e.avsc}, time: ts}}
entities: {user: {user: string}}
views: {v: {source: e, entity: user, features: {n: {count: "*", window: 1h}}}}
`), pipeline.Options{})
	if plan == nil {
		t.Fatal(mistakes)
	}
	sel := feature.Selection{View: "v"}
	for _, lacks := range []bool{false, true} {
		store := fileStore(t, plan, base, lacks)
		rep, reading, err := Looked(t.Context(), served(plan, store), sel, Sample{}, &stream.Config{Plan: plan})
		if err != nil {
			t.Fatal(err)
		}
		if (rep.Differ > 0) != lacks || rep.Cells == 0 || reading.Records != 60 {
			t.Errorf("lacks %v: of the server %d of %d cells differ", lacks, rep.Differ, rep.Cells)
		}
		if lacks && !strings.Contains(rep.First.String(), "n of user=zed as of ") {
			t.Error(rep.First)
		}
		cut, err := store.Cut(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		views, keep, err := KeysOf(cut, plan, sel, Sample{})
		if err != nil {
			t.Fatal(err)
		}
		truth, reading, err := OfSources(t.Context(), stream.Config{Plan: plan, Store: store}, cut, views, keep, Sample{})
		if err != nil {
			t.Fatal(err)
		}
		rep, err = State(t.Context(), cut, truth, sel, Sample{Also: reading.Chosen})
		if err != nil {
			t.Fatal(err)
		}
		if (rep.Differ > 0) != lacks || len(reading.Chosen[plan.Views[0]]) > 0 != lacks {
			t.Errorf("lacks %v: of the state %d of %d cells differ, chosen beside %v", lacks, rep.Differ, rep.Cells, reading.Chosen)
		}
		cut.Close()
	}
}

func fileUser(i int) string {
	if i%4 == 1 {
		return "zed"
	}
	return fmt.Sprint("u", i%5)
}

// fileStore has counted the file, perhaps but one user.
func fileStore(t *testing.T, plan *pipeline.Plan, base event.Time, lacks bool) *feature.Store {
	t.Helper()
	st := state.NewMemory()
	store, err := feature.Open(st, plan, feature.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = st.Close()
	})
	part := store.Partition(plan.Sources[0], 0)
	for i := range 60 {
		if user := fileUser(i); user != "zed" || !lacks {
			at := base.Add(event.Duration(i) * event.Minute)
			values := map[string]event.Value{"user": event.StringOf(user), "ts": event.TimestampOf(at)}
			var row []event.Value
			for _, c := range plan.Sources[0].Columns {
				row = append(row, values[c.Name])
			}
			part.Add(&feature.Record{Offset: int64(i), Timestamp: event.MinTime, Arrival: at, Slots: row})
		}
	}
	if err := part.End(t.Context(), 60, true); err != nil {
		t.Fatal(err)
	}
	return store
}
