package feature

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

const orderSchema = `{"type":"record","name":"order","fields":[
 {"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"shop","type":"string"},
 {"name":"items","type":["null",{"type":"array","items":{"type":"record","name":"item","fields":[
   {"name":"user","type":["null","string"]},{"name":"price","type":["null","double"]},{"name":"pieces","type":"long"}]}}]},
 {"name":"tags","type":{"type":"array","items":"string"}}]}`

const orderPipeline = `pipeline: orders
state: {memory: 64MiB, flush: 1h}
sources:
  e: {kafka: {brokers: ["b:9092"], topic: e}, schema: {file: e.avsc}, time: ts}
entities:
  user: {user: string}
  tag: {tag: string}
views:
  by_user:
    source: e
    entity: user
    flatten: items
    columns: {user: items.user, worth: items.price * items.pieces}
    where: items.pieces > 0
    features:
      worth:    {sum: worth, window: 1h}
      n:        {count: "*"}
      last:     {last: items.price}
      last_two: {sum: items.pieces, last: 2}
      shops:    {last: shop, where: "worth > 20"}
  by_tag:
    source: e
    entity: tag
    flatten: tags
    columns: {tag: tags}
    features:
      n: {count: "*", window: 2h}
      items: {max: "len(items.user)"}
`

// TestFlatten counts orders by what is in them, over crashes, and compares with the oracle.
func TestFlatten(t *testing.T) {
	ctx := t.Context()
	plan := testPlanSchema(t, orderPipeline, orderSchema)
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 5))
		records := orderRecords(t, rng, plan)
		ings := oracle.Ingest(plan.Sources[0], plan.Views, records)
		st := state.NewMemory()
		for crash := range 3 {
			s := testOpen(t, st, plan, 1+rng.IntN(3))
			feed(ctx, t, rng, s, plan, records, 500)
			if err := s.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			feed(ctx, t, rng, s, plan, records, 300)
			if crash < 2 {
				s.abandon()
				continue
			}
			feed(ctx, t, rng, s, plan, records, len(records))
			if err := s.waitApplied(ctx); err != nil {
				t.Fatal(err)
			}
			for i, ing := range ings {
				sel, err := s.Select(Selection{View: ing.View.Name})
				if err != nil {
					t.Fatal(err)
				}
				compare(ctx, t, rng, s.NewReader(), sel, ing, 4, 60)
				got := s.Stats().Views[i]
				if got.Applied != ing.Counts[oracle.Applied] || got.Filtered != ing.Counts[oracle.Filtered] || got.Dead != ing.Counts[oracle.Dead] {
					t.Errorf("%s: counted %+v, want %v", ing.View.Name, got, ing.Counts)
				}
				if ing.Counts[oracle.Applied] == 0 || len(ing.Rows) <= int(ing.Counts[oracle.Applied]) {
					t.Errorf("%s: %d rows of %v: the test shows less than it should", ing.View.Name, len(ing.Rows), ing.Counts)
				}
			}
			if ings[0].Counts[oracle.Dead] == 0 {
				t.Error("no record was dead: the test shows less than it should")
			}
			if err := s.Close(ctx); err != nil {
				t.Fatal(err)
			}
		}
		st.Close()
	}
}

// orderRecords makes orders of some items and tags.
func orderRecords(t *testing.T, rng *rand.Rand, plan *pipeline.Plan) []oracle.Record {
	t.Helper()
	var records []oracle.Record
	for i := range 1500 {
		at := event.Time(1_700_000_000_000_000).Add(event.Duration(i) * event.Minute)
		users, prices, pieces := []event.Value{}, []event.Value{}, []event.Value{}
		for range rng.IntN(5) {
			user, price := event.StringOf(fmt.Sprint("u", rng.IntN(4))), event.DoubleOf(float64(rng.IntN(50)))
			if rng.IntN(60) == 0 {
				user = event.Value{}
			}
			if rng.IntN(9) == 0 {
				price = event.Value{}
			}
			users, prices, pieces = append(users, user), append(prices, price), append(pieces, event.LongOf(rng.Int64N(4)))
		}
		tags := []event.Value{}
		for range rng.IntN(3) {
			tags = append(tags, event.StringOf(fmt.Sprint("u", rng.IntN(3))))
		}
		vals := map[string]event.Value{
			"ts": event.TimestampOf(at.Add(-event.Duration(rng.IntN(90)) * event.Minute)), "shop": event.StringOf("s"),
			"items.user": listOf(users), "items.price": listOf(prices), "items.pieces": listOf(pieces), "tags": listOf(tags),
		}
		if rng.IntN(30) == 0 {
			vals["items.user"], vals["items.price"], vals["items.pieces"] = event.Value{}, event.Value{}, event.Value{}
		}
		r := oracle.Record{Partition: int32(i % 2), Offset: int64(i), Arrival: at}
		for _, c := range plan.Sources[0].Columns {
			v, ok := vals[c.Name]
			if !ok {
				t.Fatalf("column %s", c.Name)
			}
			r.Slots = append(r.Slots, v)
		}
		records = append(records, r)
	}
	return records
}

func listOf(elems []event.Value) event.Value {
	return event.Value{Kind: event.List, Str: string(event.AppendList(nil, elems...))}
}
