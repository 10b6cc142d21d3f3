package export

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

const richSchema = `{"type": "record", "name": "Rich", "fields": [
  {"name": "user_id", "type": "string"},
  {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
  {"name": "amount", "type": ["null", "double"]},
  {"name": "n", "type": "long"},
  {"name": "ok", "type": ["null", "boolean"]},
  {"name": "tag", "type": ["null", "string"]},
  {"name": "vec", "type": {"type": "array", "items": "double"}},
  {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 3}},
  {"name": "day", "type": {"type": "int", "logicalType": "date"}},
  {"name": "tod", "type": {"type": "long", "logicalType": "time-micros"}},
  {"name": "wall", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
  {"name": "raw", "type": "bytes"}]}`

const richYAML = `pipeline: rich
sources:
  tx:
    kafka: {brokers: ["localhost:9092"], topic: rich}
    schema: {file: rich.avsc}
    time: ts
entities:
  user: {user_id: string}
views:
  v:
    source: tx
    entity: user
    features:
      n_1h: {count: "*", window: 1h}
      sum_1h: {sum: amount, window: 1h}
      n_sum: {sum: n}
      last_ok: {last: ok}
      last_tag: {last: tag}
      max_price: {max: price}
      last_day: {last: day}
      last_tod: {last: tod}
      last_wall: {last: wall}
      last_ts: {last: ts}
      last_raw: {last: raw}
      amounts: {collect_list: amount, limit: 5}
      tags: {collect_set: tag, limit: 4}
      times: {last_k: ts, k: 2}
      prices: {last_k: price, k: 3}
      mean_vec: {avg: vec, dim: 3, window: 1d}
      by_tag: {sum: amount, by: tag, limit: 10}
      n_by_tag: {count: "*", by: tag, limit: 10, window: 1h}
`

// richStore has a view with features of every type, and events of many kinds.
func richStore(t testing.TB) (*feature.Store, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rich.avsc"), []byte(richSchema), 0o600); err != nil {
		t.Fatal(err)
	}
	plan, diags := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(richYAML), pipeline.Options{})
	if plan == nil {
		t.Fatalf("compile: %v", diags)
	}
	st := state.NewMemory()
	store, err := feature.Open(st, plan, feature.Options{Now: func() event.Time { return at("2013-01-06T00:00:00Z") }})
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
	rnd := rand.New(rand.NewPCG(7, 7))
	base := at("2013-01-05T08:00:00Z")
	var offset int64
	for ; offset < 600; offset++ {
		ts := base.Add(event.Duration(offset)*13*event.Second + event.Duration(rnd.Int64N(1000)))
		values := richEvent(rnd, ts)
		slots := make([]event.Value, len(plan.Sources[0].Columns))
		for i, c := range plan.Sources[0].Columns {
			slots[i] = values[c.Name]
		}
		arrival := ts.Add(event.Duration(rnd.Int64N(600)) * event.Second)
		part.Add(&feature.Record{Offset: offset, Timestamp: arrival, Arrival: arrival, Slots: slots})
	}
	if err := part.End(t.Context(), offset, true); err != nil {
		t.Fatal(err)
	}
	return store, dir
}

func richEvent(rnd *rand.Rand, ts event.Time) map[string]event.Value {
	null := func(v event.Value) event.Value {
		if rnd.IntN(6) == 0 {
			return event.Value{}
		}
		return v
	}
	amount := (rnd.Float64() - 0.5) * 400 // NormFloat64 has other last bits on other machines
	switch rnd.IntN(200) {
	case 0:
		amount = math.NaN()
	case 1:
		amount = math.Inf(-1)
	}
	var vec []event.Value
	for range []int{2, 3, 3, 3}[rnd.IntN(4)] { // those of two elements do not count
		vec = append(vec, event.DoubleOf(rnd.Float64()))
	}
	price := new(big.Int).Mul(big.NewInt(rnd.Int64()-rnd.Int64()), big.NewInt(1_000_003))
	return map[string]event.Value{
		"user_id": event.StringOf(fmt.Sprint("u", rnd.IntN(5))),
		"ts":      event.TimestampOf(ts),
		"amount":  null(event.DoubleOf(amount)),
		"n":       event.LongOf(rnd.Int64N(1000) - 500),
		"ok":      null(event.BoolOf(rnd.IntN(2) == 0)),
		"tag":     null(event.StringOf([]string{"a", "b,\"c\"", "é\n", "ä b", "x\\y"}[rnd.IntN(5)])),
		"vec":     {Kind: event.List, Str: string(event.AppendList(nil, vec...))},
		"price":   event.DecimalOf(price, 3),
		"day":     {Kind: event.Date, Num: uint64(rnd.Int64N(40000) - 10000)},
		"tod":     {Kind: event.TimeOfDay, Num: uint64(rnd.Int64N(86_400_000_000))},
		"wall":    {Kind: event.LocalTimestamp, Num: uint64(int64(ts) - 3_600_000_000)},
		"raw":     event.BytesOf([]byte{byte(rnd.IntN(256)), 0, 255}),
	}
}

// richSpine has instants before, within and behind the events, and an entity that nobody has seen.
func richSpine(rows int) string {
	var b strings.Builder
	b.WriteString("id,user_id,event_time\n")
	base := at("2013-01-05T07:59:00Z")
	for i := range rows {
		fmt.Fprintf(&b, "%d,u%d,%s\n", i, i%6, base.Add(event.Duration(i)*7*event.Second))
	}
	return b.String()
}
