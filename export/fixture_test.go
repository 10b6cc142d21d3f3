package export

import (
	"context"
	"encoding/csv"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

const avsc = `{"type": "record", "name": "Tx", "fields": [
  {"name": "user_id", "type": "string"},
  {"name": "shop", "type": "long"},
  {"name": "amount", "type": ["null", "double"]},
  {"name": "country", "type": ["null", "string"]},
  {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
  {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}`

const pipelineYAML = `pipeline: p
sources:
  tx:
    kafka: {brokers: ["localhost:9092"], topic: transactions}
    schema: {file: tx.avsc}
    time: ts
entities:
  user: {user_id: string}
  pair: {user_id: string, shop: long}
views:
  spend:
    source: tx
    entity: user
    features:
      sum_1h: {sum: amount, window: 1h}
      n_1h: {count: "*", window: 1h}
      last_country: {last: country}
      last_ts: {last: ts}
      price: {max: price}
  by_shop:
    source: tx
    entity: pair
    features:
      n: {count: "*"}
feature_sets:
  fraud:
    entities: [user]
    request: {amount: double}
    features:
      - spend.sum_1h
      - {name: ratio, expr: amount / spend.sum_1h, default: -1}
`

type fixture struct {
	t     testing.TB
	store *feature.Store
	plan  *pipeline.Plan
	part  *feature.Partition
	next  int64
	dir   string
	st    state.Store
	ends  map[int32]int64 // of partitions, as history left them
}

func at(text string) event.Time {
	t, err := event.ParseTime(text)
	if err != nil {
		panic(err)
	}
	return t
}

func newFixture(t testing.TB) *fixture { return newFixtureOf(t, pipelineYAML) }

func newFixtureOf(t testing.TB, yaml string) *fixture {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tx.avsc"), []byte(avsc), 0o600); err != nil {
		t.Fatal(err)
	}
	plan, diags := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(yaml), pipeline.Options{})
	if plan == nil {
		t.Fatalf("compile: %v", diags)
	}
	f := &fixture{t: t, plan: plan, dir: dir, st: state.NewMemory(), ends: map[int32]int64{}}
	f.open()
	t.Cleanup(func() {
		if err := f.store.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = f.st.Close()
	})
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	store, err := feature.Open(f.st, f.plan, feature.Options{After: never, Now: func() event.Time { return at("2013-01-06T00:00:00Z") }})
	if err != nil {
		f.t.Fatal(err)
	}
	f.store, f.part = store, store.Partition(f.plan.Sources[0], 0)
}

// reopen closes the store and opens its state with another pipeline file, or the same.
func (f *fixture) reopen(yaml string) {
	f.t.Helper()
	plan, diags := pipeline.Compile(f.plan.Path, []byte(yaml), pipeline.Options{})
	if plan == nil {
		f.t.Fatalf("compile: %v", diags)
	}
	if err := f.store.Close(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	f.plan = plan
	f.open()
}

type tx struct {
	user, ts, arrival string
	shop              int64
	amount            float64
	country           string // empty: null
	cents             int64
}

func (f *fixture) add(events ...tx) {
	f.t.Helper()
	for _, e := range events {
		slots := f.slots(e)
		if e.arrival == "" {
			e.arrival = e.ts
		}
		f.part.Add(&feature.Record{Offset: f.next, Timestamp: at(e.arrival), Arrival: at(e.arrival), Slots: slots})
		f.next++
	}
	if err := f.part.End(f.t.Context(), f.next, true); err != nil {
		f.t.Fatal(err)
	}
}

// slots is an event as it is decoded.
func (f *fixture) slots(e tx) []event.Value {
	slots := make([]event.Value, len(f.plan.Sources[0].Columns))
	for i, c := range f.plan.Sources[0].Columns {
		switch c.Name {
		case "user_id":
			slots[i] = event.StringOf(e.user)
		case "shop":
			slots[i] = event.LongOf(e.shop)
		case "ts":
			slots[i] = event.TimestampOf(at(e.ts))
		case "amount":
			slots[i] = event.DoubleOf(e.amount)
		case "country":
			if e.country != "" {
				slots[i] = event.StringOf(e.country)
			}
		case "price":
			slots[i], _ = rescale(event.ParseBig(string([]byte{byte(e.cents)})), 2, 2)
		default:
			f.t.Fatalf("column %s", c.Name)
		}
	}
	return slots
}

// some: u1 has two events, the second arrives half an hour late; u2 one.
func (f *fixture) some() {
	f.add(
		tx{user: "u1", ts: "2013-01-05T09:30:00Z", shop: 7, amount: 12.5, country: "US", cents: 50},
		tx{user: "u1", ts: "2013-01-05T09:50:00Z", arrival: "2013-01-05T10:20:00Z", shop: 8, amount: 0.1, country: "a,\"b\"\n", cents: 7},
		tx{user: "u2", ts: "2013-01-05T09:59:00Z", shop: 7, amount: 3, cents: 99},
	)
}

func (f *fixture) write(name, text string) string {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func (f *fixture) read(path string) string {
	f.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *fixture) csv(path string) [][]string {
	f.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(f.read(path))).ReadAll()
	if err != nil {
		f.t.Fatal(err)
	}
	return rows
}

func (f *fixture) out(name string) string { return filepath.Join(f.dir, name) }

// leftovers lists what an export left beside its result.
func (f *fixture) leftovers() []string {
	m, err := filepath.Glob(filepath.Join(f.dir, ".*.part"))
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// server serves exports until the test ends.
func (f *fixture) server(opt JobOptions) *httptest.Server {
	f.t.Helper()
	opt.TempDir = f.dir
	jobs := NewJobs(f.store, opt)
	srv := httptest.NewServer(jobs)
	f.t.Cleanup(func() {
		jobs.Close()
		srv.Close()
		if dirs, _ := filepath.Glob(filepath.Join(f.dir, "penstock-export-*")); len(dirs) > 0 {
			f.t.Errorf("left behind: %v", dirs)
		}
	})
	return srv
}
