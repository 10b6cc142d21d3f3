package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
  {"name": "points", "type": "long"},
  {"name": "country", "type": ["null", "string"]},
  {"name": "raw", "type": ["null", "bytes"]},
  {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}`

const pipelineYAML = `pipeline: card-fraud
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
    where: points >= 0
    features:
      sum_1h: {sum: amount, window: 1h}
      n_1h: {count: "*", window: 1h}
      points_all: {sum: points}
      last_country: {last: country}
      last_ts: {last: ts}
      last_raw: {last: raw}
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

// fixture is a store over memory with a server before it.
type fixture struct {
	t      testing.TB
	store  *feature.Store
	plan   *pipeline.Plan
	server *Server
	part   *feature.Partition
	next   int64
	now    event.Time
	header http.Header // of requests
}

func at(text string) event.Time {
	t, err := event.ParseTime(text)
	if err != nil {
		panic(err)
	}
	return t
}

func newFixture(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	return newFixtureOf(t, pipelineYAML, change)
}

func newFixtureOf(t testing.TB, file string, change func(*Config)) *fixture {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tx.avsc"), []byte(avsc), 0o600); err != nil {
		t.Fatal(err)
	}
	plan, diags := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(file), pipeline.Options{})
	if plan == nil {
		t.Fatalf("compile: %v", diags)
	}
	f := &fixture{t: t, plan: plan, now: at("2013-01-05T12:00:00Z")}
	metrics := NewMetrics()
	clock := func() event.Time { return f.now }
	st := state.NewMemory()
	store, err := feature.Open(st, plan, feature.Options{Now: clock, Observe: metrics.Observer()})
	if err != nil {
		t.Fatal(err)
	}
	f.store = store
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
		_ = st.Close()
	})
	cfg := Config{Store: store, Plan: plan, Metrics: metrics, Now: clock, Version: "test"}
	if change != nil {
		change(&cfg)
	}
	f.server = New(cfg)
	f.part = store.Partition(plan.Sources[0], 0)
	return f
}

// tx is one event; nil fields are null.
type tx struct {
	user, ts      string
	shop, points  int64
	amount        *float64
	country, data *string
}

func ptr[T any](v T) *T { return &v }

func (f *fixture) add(events ...tx) {
	f.t.Helper()
	for _, e := range events {
		slots := make([]event.Value, len(f.plan.Sources[0].Columns))
		for i, c := range f.plan.Sources[0].Columns {
			switch c.Name {
			case "user_id":
				slots[i] = event.StringOf(e.user)
			case "shop":
				slots[i] = event.LongOf(e.shop)
			case "points":
				slots[i] = event.LongOf(e.points)
			case "ts":
				slots[i] = event.TimestampOf(at(e.ts))
			case "amount":
				if e.amount != nil {
					slots[i] = event.DoubleOf(*e.amount)
				}
			case "country":
				if e.country != nil {
					slots[i] = event.StringOf(*e.country)
				}
			case "raw":
				if e.data != nil {
					slots[i] = event.BytesOf([]byte(*e.data))
				}
			default:
				f.t.Fatalf("column %s", c.Name)
			}
		}
		f.part.Add(&feature.Record{Offset: f.next, Timestamp: at(e.ts), Arrival: at(e.ts), Slots: slots})
		f.next++
	}
	if err := f.part.End(f.t.Context(), f.next, true); err != nil {
		f.t.Fatal(err)
	}
	if err := f.store.Flush(f.t.Context()); err != nil { // all is applied then
		f.t.Fatal(err)
	}
}

// some is a small past: u1 with two events, u2 with one whose values are extreme.
func (f *fixture) some() {
	f.add(
		tx{user: "u1", ts: "2013-01-05T09:30:00Z", shop: 7, points: 9007199254740993, amount: ptr(12.5), country: ptr("US"), data: ptr("\x00\xff")},
		tx{user: "u1", ts: "2013-01-05T09:58:11.5Z", shop: 8, points: 1, amount: ptr(0.1), country: ptr("a\"\\\n\u2028é")},
		tx{user: "u2", ts: "2013-01-05T09:59:00Z", shop: 7, points: 2},
		tx{user: "u3", ts: "2013-01-05T09:59:00Z", shop: 7, points: -1},
	)
}

func (f *fixture) do(method, path, body string) (*http.Response, string) {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), method, path, bytes.NewReader([]byte(body)))
	for name, values := range f.header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	f.server.Handler().ServeHTTP(w, r)
	res := w.Result()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res, string(b)
}

func (f *fixture) ask(body string) (int, string) {
	f.t.Helper()
	res, text := f.do(http.MethodPost, "/v1/features", body)
	if !json.Valid([]byte(text)) {
		f.t.Fatalf("the answer is not JSON: %s", text)
	}
	return res.StatusCode, text
}
