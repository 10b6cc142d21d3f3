package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// surface is the example that documents the pipeline file.
const surface = `pipeline: card-fraud
state: {memory: 1GiB, flush: 5s}
sources:
  transactions:
    kafka: {brokers: ["${KAFKA_BROKERS:-localhost:9092}"], topic: transactions, start: earliest}
    schema: {registry: "${SCHEMA_REGISTRY_URL:-http://localhost:8081}", subject: transactions-value}
    time: ts
    on_error: {dead_letter: transactions.dead}
entities:
  user: {user_id: string}
  pair: {user_id: string, merchant_id: string}      # composite
views:
  user_spend:
    source: transactions
    entity: user
    where: amount > 0
    columns: {abroad: 'country != "US"'}
    history: 90d
    features:
      spend_1h:     {sum: amount, window: 1h}
      tx_1h:        {count: "*", window: 1h}
      abroad_24h:   {count: "*", where: abroad, window: 24h}
      avg_last_10:  {avg: amount, last: 10}
      last_country: {last: country}
    # many at once, beside ` + "`features`" + `; gives amount_sum_1h, amount_sum_24h, …, and amount_sum without a window
    each:
      - {of: amount, do: [count, sum, avg, max], over: [1h, 24h, 7d, lifetime]}
feature_sets:
  fraud:
    entities: [user]
    request: {amount: double}
    features:
      - user_spend.spend_1h
      - {name: spend_ratio, expr: amount / user_spend.amount_sum_24h, default: 0}
`

const transactionsSchema = `{"type": "record", "name": "Transaction", "namespace": "shop", "fields": [
  {"name": "user_id", "type": "string"},
  {"name": "merchant_id", "type": "string"},
  {"name": "amount", "type": "double"},
  {"name": "fee", "type": ["null", "long"], "default": null},
  {"name": "country", "type": "string"},
  {"name": "card_present", "type": "boolean"},
  {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "ms", "type": "long"},
  {"name": "day", "type": {"type": "int", "logicalType": "date"}},
  {"name": "seen", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
  {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
  {"name": "tags", "type": {"type": "array", "items": "string"}},
  {"name": "attrs", "type": {"type": "map", "values": "string"}},
  {"name": "device", "type": {"type": "record", "name": "Device", "fields": [
    {"name": "os", "type": "string"}, {"name": "score", "type": ["null", "double"]}]}}
]}`

// online answers the subject "transactions-value".
func online(t testing.TB) Options {
	t.Helper()
	schema, err := schemas.Parse([]byte(transactionsSchema))
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Env: func(string) (string, bool) { return "", false },
		Subject: func(ref RegistryRef) (*schemas.Schema, error) {
			if ref.Subject != "transactions-value" {
				return nil, errors.New("no such subject")
			}
			return schema, nil
		},
	}
}

func mustCompile(t testing.TB, src string) *Plan {
	t.Helper()
	plan, diags := Compile("card-fraud.yaml", []byte(src), online(t))
	if diags.HasErrors() || plan == nil {
		t.Fatalf("plan %v, diagnostics:\n%s", plan != nil, diags)
	}
	return plan
}

func TestSurfaceExample(t *testing.T) {
	plan := mustCompile(t, surface)
	src := plan.Sources[0]
	if got, want := fmt.Sprint(src.Columns), "[{user_id string} {amount double} {country string} {ts timestamp}]"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	if src.Time != (TimeField{Slot: 3, Name: "ts"}) || src.Order != -1 || src.Ahead != 5*event.Minute || src.Idle != event.Minute {
		t.Errorf("source %+v", src)
	}
	if got := fmt.Sprintf("%v %s %s %s %v", src.Kafka.Brokers, src.Kafka.Topic, src.Kafka.Group, src.Dead.Topic, *src.Registry); got !=
		"[localhost:9092] transactions card-fraud transactions.dead subject transactions-value at http://localhost:8081" {
		t.Errorf("source: %s", got)
	}
	v := plan.View("user_spend")
	if v.History != 90*event.Day || v.Keep != 97*event.Day || v.Where == nil || len(v.Computed) != 1 || len(v.Filters) != 1 || len(v.Inputs) != 2 {
		t.Errorf("view %+v", v)
	}
	want := []struct {
		name   string
		fn     agg.Func
		w      window.Spec
		filter int
		typ    string
	}{
		{"spend_1h", agg.Sum, window.Spec{Kind: window.Rolling, Size: event.Hour}, -1, "double?"},
		{"tx_1h", agg.Count, window.Spec{Kind: window.Rolling, Size: event.Hour}, -1, "long"},
		{"abroad_24h", agg.Count, window.Spec{Kind: window.Rolling, Size: event.Day}, 0, "long"},
		{"avg_last_10", agg.Avg, window.Spec{Kind: window.LastN, N: 10}, -1, "double?"},
		{"last_country", agg.Last, window.Spec{Kind: window.Lifetime}, -1, "string?"},
		{"amount_count_1h", agg.Count, window.Spec{Kind: window.Rolling, Size: event.Hour}, -1, "long"},
	}
	for i, w := range want {
		f := v.Features[i]
		if f.Name != w.name || f.Func != w.fn || f.Window != w.w || f.Filter != w.filter || f.Type.String() != w.typ || f.View != v {
			t.Errorf("feature %d: %+v, want %+v", i, f, w)
		}
		if g := v.Layout.Groups[f.Group]; g.Filter != w.filter {
			t.Errorf("feature %s: group %+v", f.Name, g)
		}
	}
	checkLayout(t, v)
	if len(v.Features) != 5+16 || v.Features[20].Name != "amount_max" {
		t.Errorf("%d features, the last is %s", len(v.Features), v.Features[len(v.Features)-1].Name)
	}
	if a, b := v.Feature("spend_1h").Group, v.Feature("amount_max_7d").Group; a != b {
		t.Errorf("sum and max of amount do not share a group")
	}
	if a, b := v.Feature("avg_last_10").Group, v.Feature("amount_avg_1h").Group; a == b {
		t.Errorf("a last-N window shares a group with tiles")
	}
	set := plan.Set("fraud")
	ratio := set.Features[1]
	if set.Features[0].Ref != v.Feature("spend_1h") || ratio.Ref != nil || ratio.Deps[0].Ref != v.Feature("amount_sum_24h") ||
		ratio.Default != event.DoubleOf(0) || fmt.Sprint(set.Keys, set.Request) != "[{user_id string}] [{amount double?}]" {
		t.Errorf("set %+v", set)
	}
	if got := ratio.Expr.Eval([]event.Value{event.DoubleOf(3), event.DoubleOf(4)}); got != event.DoubleOf(0.75) {
		t.Errorf("spend_ratio of 3 and 4 = %v", got)
	}
}
