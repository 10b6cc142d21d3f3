package verify

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const schemaText = `{"type":"record","name":"e","fields":[
 {"name":"user","type":"string"},
 {"name":"shop","type":["null","string"]},
 {"name":"amount","type":["null","double"]},
 {"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}}]}`

const pipelineText = `pipeline: verify
state: {memory: 64MiB, flush: 1h}
sources:
  e:
    kafka: {brokers: ["b:9092"], topic: e}
    schema: {file: e.avsc}
    time: ts
entities:
  user: {user: string}
  shop: {shop: string}
views:
  shops:
    source: e
    entity: shop
    where: shop != nil
    features: {n_1d: {count: "*", window: 1d}}
  users:
    source: e
    entity: user
    dedupe: {by: amount, within: 10m}
    columns: {busy: shops.n_1d * 2}
    features:
      sum_1h: {sum: amount, window: 1h}
      n: {count: "*"}
      busy_6h: {max: busy, window: 6h}
      busy_n: {count: "*", where: busy > 30, window: 2h}
      session: {max: amount, window: {session: 20m}}
      last_3: {avg: amount, last: 3, default: -1}
feature_sets:
  s:
    entities: [user, shop]
    request: {limit: double}
    features:
      - users.sum_1h
      - {name: over, expr: users.sum_1h / limit, default: 0}
      - {name: twice, expr: over * 2 + shops.n_1d}
`

// fixture is a store with random events, some late, and a cut of it.
func fixture(t *testing.T) (*pipeline.Plan, *feature.Cut) {
	t.Helper()
	plan, store, _ := running(t)
	cut, err := store.Cut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cut.Close)
	return plan, cut
}

// running is a store with random events, some late; more counts further ones.
func running(t *testing.T) (plan *pipeline.Plan, store *feature.Store, more func(n int64)) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "e.avsc"), []byte(schemaText), 0o600); err != nil {
		t.Fatal(err)
	}
	plan, mistakes := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(pipelineText), pipeline.Options{})
	if plan == nil {
		t.Fatal(mistakes)
	}
	st := state.NewMemory()
	store, err := feature.Open(st, plan, feature.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		_ = st.Close()
	})
	rng := rand.New(rand.NewPCG(1, 2))
	base := event.Time(1_700_000_000_000_000)
	part := store.Partition(plan.Sources[0], 0)
	next := int64(0)
	more = func(n int64) {
		for range n {
			i := next
			at := base.Add(event.Duration(i) * event.Minute)
			ts := at
			if rng.IntN(5) == 0 {
				ts = at.Add(-event.Duration(rng.Int64N(int64(3 * event.Hour))))
			}
			slots := map[string]event.Value{
				"user": event.StringOf(string(rune('a' + rng.IntN(4)))), "shop": event.StringOf(string(rune('x' + rng.IntN(3)))),
				"amount": event.DoubleOf(float64(rng.IntN(1000)) / 10), "ts": event.TimestampOf(ts),
			}
			if rng.IntN(6) == 0 {
				slots["shop"] = event.Value{}
			}
			var row []event.Value
			for _, c := range plan.Sources[0].Columns {
				row = append(row, slots[c.Name])
			}
			part.Add(&feature.Record{Offset: i, Timestamp: at, Arrival: at, Slots: row})
			next++
			if next%100 == 0 {
				if err := part.End(t.Context(), next, true); err != nil {
					t.Fatal(err)
				}
				if err := store.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := part.End(t.Context(), next, true); err != nil {
			t.Fatal(err)
		}
	}
	more(700)
	return plan, store, more
}

func TestStateAgrees(t *testing.T) {
	plan, cut := fixture(t)
	for _, sel := range []feature.Selection{{View: "users"}, {View: "shops"}, {Set: "s"}, {Features: []string{"users.n", "shops.n_1d"}}} {
		rep, err := State(t.Context(), cut, OfState(plan, cut), sel, Sample{Seed: 3, Instants: 5})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Differ > 0 {
			t.Errorf("%v: %d of %d cells differ: %s", sel, rep.Differ, rep.Cells, rep.First)
		}
		if rep.Cells < 10 || rep.Unknown > rep.Cells {
			t.Errorf("%v: %d cells of %d questions were compared, %d not", sel, rep.Cells, rep.Questions, rep.Unknown)
		}
	}
}

// TestStateDiffers: without one row the truth is another, and what is found names it.
func TestStateDiffers(t *testing.T) {
	plan, cut := fixture(t)
	for _, sel := range []feature.Selection{{View: "users", Features: []string{"n"}}, {Set: "s", Features: []string{"twice"}}} {
		truth := OfState(plan, cut)
		all := truth.Rows
		truth.Rows = func(v *pipeline.View, keys []event.Value) ([]oracle.Row, error) {
			rows, err := all(v, keys)
			return rows[:len(rows)-2], err
		}
		rep, err := State(t.Context(), cut, truth, sel, Sample{Seed: 3, Instants: 5})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Differ == 0 || rep.First == nil {
			t.Fatalf("%v: nothing differs in %d cells", sel, rep.Cells)
		}
		if text := rep.First.String(); !strings.Contains(text, "user=") || !strings.Contains(text, "the rows give") {
			t.Error(text)
		}
	}
}
