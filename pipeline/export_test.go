package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/window"
)

const labelled = surface + `labels:
  foreign: {view: user_spend, label: {count: "*", where: abroad, window: {after: 7d, delay: 1d}}, settle: 1h, buckets: [1, 2.5]}
  spent: {source: transactions, entity: user, label: {sum: amount, window: {after: 30d}, default: 0}}
exports:
  table:
    set: fraud
    spine: {source: transactions, columns: {at: merchant_id, double: amount * 2}, where: amount > 1, from: 2013-01-01}
    labels: [spent, foreign]
    rebalance: {label: foreign, negative: 10%}
    split: {by: user_id, train: 80%, validation: 0.1, test: rest}
    out: table.parquet
  labels:
    view: user_spend
    spine: {label: foreign, where: amount > 5}
  days:
    features: [user_spend.tx_1h]
    spine: {grid: {every: 2d, zone: America/New_York}, from: 2013-07-01}
    split: {by: time, train: {before: 2013-07-04}, test: {before: "2013-07-08T12:00:00Z"}, gap: 1d}
`

func TestLabels(t *testing.T) {
	p := mustCompile(t, labelled)
	foreign, spent := p.Label("foreign"), p.Label("spent")
	if foreign.From != event.Day || foreign.To != 8*event.Day || foreign.Ripe != 8*event.Day+event.Hour {
		t.Errorf("foreign covers %s to %s, ripe after %s", foreign.From, foreign.To, foreign.Ripe)
	}
	if want := (window.Spec{Kind: window.Rolling, Size: 7 * event.Day}); foreign.Feature.Window != want {
		t.Errorf("foreign is read over %v, want %v", foreign.Feature.Window, want)
	}
	if want := "count of events from 1d to 1w1d after, where abroad; in buckets from 1 2.5"; foreign.Doc != want {
		t.Errorf("foreign is described as %q, want %q", foreign.Doc, want)
	}
	if v := p.View("user_spend"); foreign.Feature.View != v || v.Feature("foreign") != nil {
		t.Error("foreign must be computed by user_spend, and be none of its features")
	}
	v := spent.Feature.View
	if v.Name != "_transactions.user" || !v.Hidden || len(v.Features) != 0 || v.History != 90*event.Day || v.Keep != 120*event.Day || v.Version == "" {
		t.Errorf("spent is kept by view %q hidden %v, %d features, history %s, keep %s", v.Name, v.Hidden, len(v.Features), v.History, v.Keep)
	}
}

func TestLabelsChangeNoOtherView(t *testing.T) {
	without, with := mustCompile(t, surface), mustCompile(t, surface+`labels:
  spent: {source: transactions, entity: user, label: {sum: amount, window: {after: 30d}}}
`)
	if a, b := without.View("user_spend").Version, with.View("user_spend").Version; a != b {
		t.Error("a label over a source has changed the version of another view")
	}
}

func TestExports(t *testing.T) {
	p := mustCompile(t, labelled)
	x := p.Export("table")
	var cols []string
	for _, c := range x.Spine.Columns {
		cols = append(cols, c.Name+" "+c.Type.String())
	}
	if got, want := strings.Join(cols, ", "), "user_id string, event_time timestamp, amount double, at string, double double"; got != want {
		t.Errorf("the spine has %s, want %s", got, want)
	}
	if x.Spine.View.Name != "_transactions.user" || x.Spine.Filter < 0 || x.Spine.From.String() != "2013-01-01T00:00:00.000000Z" || x.Spine.To != event.MaxTime {
		t.Errorf("the spine is of %s, filter %d, from %s", x.Spine.View.Name, x.Spine.Filter, x.Spine.From)
	}
	if r := x.Rebalance; r.Label != 1 || r.Negative != 100_000 || r.Positive != 1_000_000 || x.Split.Parts[1].Below != 900_000 || x.Split.Parts[2].Below != 1_000_000 {
		t.Errorf("rebalance %+v, split %+v", x.Rebalance, x.Split)
	}
	y := p.Export("labels")
	want := mustFilter(t, p.View("user_spend"), y.Spine.Filter)
	if !strings.Contains(want, "abroad") && !strings.Contains(want, "and") {
		t.Errorf("the rows of a label pass %s", want)
	}
	if d := p.Export("days"); d.Spine.Grid.Days != 2 || d.Spine.From.String() != "2013-07-01T04:00:00.000000Z" {
		t.Errorf("grid %+v from %s", d.Spine.Grid, d.Spine.From)
	}
}

func mustFilter(t *testing.T, v *View, i int) string {
	t.Helper()
	if i < 0 || i >= len(v.Filters) {
		t.Fatalf("filter %d of %d", i, len(v.Filters))
	}
	return v.Filters[i].String()
}

func TestSplitByTime(t *testing.T) {
	s := mustCompile(t, labelled).Export("days").Split
	for at, want := range map[string]int{
		"2013-07-03T23:59:59.999999Z": 0, "2013-07-04T00:00:00Z": -1, "2013-07-04T23:59:59Z": -1,
		"2013-07-05T00:00:00Z": 1, "2013-07-08T11:59:59Z": 1, "2013-07-08T12:00:00Z": -1,
	} {
		instant, err := event.ParseTime(at)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Part(instant); got != want {
			t.Errorf("%s is in part %d, want %d", at, got, want)
		}
	}
	names := []string{}
	for _, p := range s.Parts {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"train", "test"}) {
		t.Errorf("parts %v", names)
	}
}

// TestLabelOverOtherViews: the condition of a label may read another view; what the label is can be told, and is not
// that of a label with another condition.
func TestLabelOverOtherViews(t *testing.T) {
	const other = `  user_habit:
    source: transactions
    entity: user
    columns: {usual: user_spend.tx_1h, bold: amount > user_spend.tx_1h}
    history: 60d
    features: {n: {count: "*", window: 1h}}
feature_sets:`
	parts := map[string]bool{}
	for _, where := range []string{"usual > 1", "bold", "amount > 1"} {
		text := strings.Replace(surface, "feature_sets:", other, 1) + `labels:
  next: {view: user_habit, label: {count: "*", where: ` + where + `, window: {after: 1d}}}
exports:
  x: {view: user_spend, spine: {view: user_spend}, labels: [next]}
`
		p := mustCompile(t, text)
		v, f := p.View("user_habit"), p.Label("next").Feature
		if n := len(v.Filters) + len(v.Late); f.Filter < 0 || f.Filter >= n {
			t.Errorf("where %s is condition %d of %d", where, f.Filter, n)
		}
		parts[fmt.Sprint(p.Export("x").Parts())] = true
	}
	if len(parts) != 3 {
		t.Errorf("three labels have %d definitions", len(parts))
	}
}
