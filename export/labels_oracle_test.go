package export

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
)

const oracleYAML = `pipeline: p
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
    where: amount != 2
    columns: {large: amount > 3, twice: amount * 2}
    history: 30d
    features:
      sum_1h: {sum: twice, window: 1h}
      all: {count: "*"}
  once:
    source: tx
    entity: user
    dedupe: {by: shop, within: 20m}
    features: {n: {count: "*"}}
labels:
  l_count: {view: spend, label: {count: "*", where: large, window: {after: 1h}}}
  l_sum: {view: spend, label: {sum: twice, window: {after: 1h}}}
  l_avg: {view: spend, label: {avg: amount, window: {after: 1h, delay: 30m}}}
  l_stddev: {view: spend, label: {stddev: amount, window: {after: 2h}}}
  l_min: {view: spend, label: {min: amount, where: not large, window: {after: 2h}}}
  l_max: {view: spend, label: {max: ts, window: {after: 2h, delay: 1us}}}
  l_first: {view: spend, label: {first: shop, window: {after: 1h}}}
  l_last: {view: spend, label: {last: price, window: {after: 1h}}}
  l_any: {view: spend, label: {bool_or: large, window: {after: 30m}}}
  l_shops: {view: spend, label: {count_distinct: shop, window: {after: 30m}}}
  l_set: {view: spend, label: {collect_set: shop, window: {after: 30m}}}
  l_drawdown: {view: spend, label: {drawdown: amount, window: {after: 3h}}}
  l_by: {view: spend, label: {sum: amount, by: {column: shop, limit: 10}, window: {after: 1h}}}
  l_once: {view: once, label: {count: "*", window: {after: 1h}}}
  l_pair: {source: tx, entity: pair, label: {sum: amount, window: {after: 4h}, default: -1}}
exports:
  all:
    features: [spend.sum_1h]
    spine: {file: spine.csv}
    labels: [l_count, l_sum, l_avg, l_stddev, l_min, l_max, l_first, l_last, l_any, l_shops, l_set, l_drawdown, l_by, l_once, l_pair]
    unripe: keep
`

// TestLabelsAgreeWithTheOracle compares labels of many aggregates with the naive evaluator, which goes through all
// rows of a view. It answers a window that ends at an instant; a label's ends at T+To.
func TestLabelsAgreeWithTheOracle(t *testing.T) {
	f := newFixtureOf(t, oracleYAML)
	all, records := f.historyAt(1200, 21)
	ingested := oracle.Ingest(f.plan.Sources[0], f.plan.Views, records)
	r := rand.New(rand.NewPCG(8, 9))
	var text strings.Builder
	text.WriteString("user_id,shop,event_time\n")
	type asked struct {
		user string
		shop int64
		t    event.Time
	}
	var rows []asked
	for range sized(30, 150) {
		e := all[r.IntN(len(all))]
		edges := []event.Duration{0, event.Hour, 30 * event.Minute, 90 * event.Minute, 2 * event.Hour, 3 * event.Hour}
		x := asked{e.user, e.shop, at(e.ts).Add(-edges[r.IntN(len(edges))]).Add(event.Duration(r.IntN(3) - 1))}
		rows = append(rows, x)
		fmt.Fprintf(&text, "%s,%d,%s\n", x.user, x.shop, x.t)
	}
	f.write("spine.csv", text.String())
	_, got := f.declared("all", exporters(f)["store"])
	col := columnsOf(t, got)
	for i, x := range rows {
		for _, l := range f.plan.Export("all").Labels {
			v := *l.Feature.View
			v.Features = v.Ahead
			key := []event.Value{event.StringOf(x.user)}
			if len(v.Entity.Keys) == 2 {
				key = append(key, event.LongOf(x.shop))
			}
			at := slices.IndexFunc(ingested, func(in oracle.Ingested) bool { return in.View == l.Feature.View })
			answers := oracle.Read(&v, ingested[at].Rows, key, x.t.Add(l.To), false, ingested[at].Horizon)
			a := answers[slices.Index(v.Ahead, l.Feature)]
			s := csvSink{}
			s.value(a.Value)
			if want := strings.TrimSuffix(string(s.buf), ","); strings.Trim(want, `"`) != strings.ReplaceAll(col(got[i+1], l.Name), `"`, `""`) {
				t.Fatalf("%s of %s at %s: %s, want %s", l.Name, x.user, x.t, col(got[i+1], l.Name), want)
			}
		}
	}
}

// TestRowsOfTheStoreAreAnsweredAsThoseOfAFile exports the events of a source with features of two entities and
// a request column, and asks for the same again with what came out as the spine.
func TestRowsOfTheStoreAreAnsweredAsThoseOfAFile(t *testing.T) {
	f := newFixtureOf(t, strings.Replace(pipelineYAML, "entities: [user]", "entities: [user, pair]", 1)+
		"      - by_shop.n\nexports:\n  all: {set: fraud, spine: {source: tx, columns: {where: country}}, with_status: true}\n")
	f.history(500, 31)
	for name, export := range exporters(f) {
		_, rows := f.declared("all", export)
		if want := "user_id,shop,event_time,amount,where,sum_1h,ratio,n,sum_1h__status,ratio__status,n__status"; strings.Join(rows[0], ",") != want || len(rows) != 501 {
			t.Fatalf("%s: %d rows of %v", name, len(rows), rows[0])
		}
		var spine strings.Builder
		for _, row := range rows {
			spine.WriteString(strings.Join(row[:5], ",") + "\n")
		}
		again := f.out("again.csv")
		if _, err := export(t.Context(), Request{Selection: feature.Selection{Set: "fraud"}, Spine: f.write("rows.csv", spine.String()), Out: again, WithStatus: true, Force: true}); err != nil {
			t.Fatal(err)
		}
		if f.read(again) != f.read(f.out("all.csv")) {
			t.Errorf("%s: the same rows from a file have other answers", name)
		}
	}
}
