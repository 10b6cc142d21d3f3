package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// Every way to write an aggregate gives its type and its sentence.
func TestAggregates(t *testing.T) {
	for _, c := range []struct{ text, typ, doc string }{
		{`{count: "*"}`, "long", "count of events over all before"},
		{`{top_k: amount, k: 3, window: 1h}`, "array of double?", "top_k(k 3) of amount over the 1h before"},
		{`{last_k: country, k: 2, distinct: true, last: 10}`, "array of string?", "last_k(k 2, distinct) of country over the last 10 events before"},
		{`{nth: fee, n: -2}`, "long?", "nth(n -2) of fee over all before"},
		{`{lag: fee}`, "long?", "lag(n 1) of fee over all before"},
		{`{mode: country, window: 1h}`, "string?", "mode of country over the 1h before; exact up to 1000 distinct values, over a sample of that many if there are more"},
		{`{count_distinct: country, limit: 50, window: 1h}`, "long", "count_distinct of country over the 1h before; exact up to 50 distinct values, 50 if there are more"},
		{`{quantile: amount, q: 0.95, window: 1h, where: abroad}`, "double?", "quantile(q 0.95) of amount over the 1h before, where abroad; within 1 % of the value"},
		{`{quantiles: amount, q: [0.5, 0.9], accuracy: 0.005}`, "array of double?", "quantiles(q 0.5 0.9) of amount over all before; within 0.5 % of the value"},
		{`{histogram: amount, buckets: [-1, 2.5, 1e3]}`, "array of long?", "histogram(buckets -1 2.5 1000) of amount over all before"},
		{`{collect_list: country, limit: 7}`, "array of string?", "collect_list of country over all before; the latest 7"},
		{`{collect_set: country, window: 1h}`, "array of string?", "collect_set of country over the 1h before; all up to 1000 distinct values, a sample of that many if there are more"},
		{`{rate: "*", per: 1m, window: 1h}`, "double?", "rate(per 1m) of events over the 1h before"},
		{`{decayed_sum: amount, half_life: 1h}`, "double?", "decayed_sum(half_life 1h) of amount over all before"},
		{`{correlation: [amount, fee], window: 1h}`, "double?", "correlation of amount and fee over the 1h before"},
		{`{bool_and: amount > 5}`, "boolean?", "bool_and of amount > 5 over all before"},
		{`{ratio: {of: {sum: amount, where: abroad}, to: {count: "*"}}, where: fee > 0, window: 1d}`, "double?", "ratio of (sum of amount, where abroad) to (count of events) over the 1d before, where fee > 0"},
		{`{ratio: {of: {median: amount}, to: {quantile: amount, q: 0.9, accuracy: 0.1}}, window: 1d}`, "double?", "ratio of (median of amount) to (quantile(q 0.9) of amount) over the 1d before; within 1 % of the value; within 10 % of the value"},
		{`{sum: amount, by: country, top: 3, rest: other, window: 1d}`, "map of double??", `sum of amount by country over the 1d before; the 3 keys with the most events, the others united as "other"; exact up to 1000 keys, beyond that those of least hash`},
		{`{count: "*", by: country, limit: 20, window: 1d}`, "map of long?", "count of events by country over the 1d before; at most 20 keys, beyond that those of least hash"},
		{`{mode: country, limit: 9, by: {column: device.os, top: 2, limit: 5}, window: 1d}`, "map of string??", "mode of country by device.os over the 1d before; exact up to 9 distinct values, over a sample of that many if there are more; the 2 keys with the most events; exact up to 5 keys, beyond that those of least hash"},
	} {
		v := mustCompile(t, replaced(t, "{last: country}", c.text)).Views[0]
		f := v.Feature("last_country")
		if f.Type.String() != c.typ || f.Doc != c.doc {
			t.Errorf("%s: type %s, %q; want %s, %q", c.text, f.Type, f.Doc, c.typ, c.doc)
		}
		checkLayout(t, v)
	}
}

// Groups are shared if all that decides what is kept is equal, and only then.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"{sum: amount, window: 1h}", "{max: amount, window: {session: 1h}}", true},
		{"{sum: amount, window: 1h}", "{sum: amount, last: 3}", false},
		{"{sum: amount, window: 1h}", "{sum: amount, window: 1h, where: abroad}", false},
		{"{sum: amount, window: 1h}", "{avg: {sum: amount, window: {tumbling: 1d}}, window: 7d}", true},
		{"{mode: country, window: 1h}", "{entropy: country, window: 1d}", true},
		{"{mode: country, window: 1h}", "{mode: country, limit: 10, window: 1h}", false},
		{"{quantile: amount, q: 0.1}", "{median: amount}", true},
		{"{quantile: amount, q: 0.1}", "{quantile: amount, q: 0.1, accuracy: 0.02}", false},
		{"{covariance: [amount, fee]}", "{correlation: [amount, fee]}", true},
		{"{covariance: [amount, fee]}", "{covariance: [fee, amount]}", false},
		{"{sum: amount, by: country, top: 3}", "{avg: amount, by: country, top: 5, rest: other}", true},
		{"{sum: amount, by: country, top: 3}", "{sum: amount, by: country, limit: 3}", false},
		{"{sum: amount, by: country, top: 3}", "{sum: amount, by: merchant_id, top: 3}", false},
		{"{sum: amount, by: country, top: 3}", "{sum: amount}", false},
		{"{decayed_sum: amount, half_life: 1h}", "{decayed_mean: amount, half_life: 60m}", true},
		{"{decayed_sum: amount, half_life: 1h}", "{decayed_sum: amount, half_life: 2h}", false},
		{"{histogram: amount, buckets: [1, 2]}", "{histogram: amount, buckets: [1.0, 2.0]}", true},
		{"{histogram: amount, buckets: [1, 2]}", "{histogram: amount, buckets: [1, 3]}", false},
	} {
		v := mustCompile(t, replaced(t, "{last: country}", c.a+"\n      second: "+c.b)).Views[0]
		group := func(name string) int {
			f := v.Feature(name)
			if f.Inner != nil {
				return f.Inner.Group
			}
			return f.Group
		}
		if got := group("last_country") == group("second"); got != c.same {
			t.Errorf("%s and %s share a group: %v", c.a, c.b, got)
		}
	}
}

// The rows of a ratio's half pass the feature's condition and its own.
func TestRatioConditions(t *testing.T) {
	src := replaced(t, "{last: country}", `{ratio: {of: {sum: amount, where: abroad # all but home
}, to: {sum: amount}}, where: fee > 3, last: 5}`)
	v := mustCompile(t, src).Views[0]
	f := v.Feature("last_country")
	above, below := v.Layout.Groups[f.Above.Group], v.Layout.Groups[f.Over.Group]
	slots := map[string]int{}
	for i, c := range v.Source.Columns {
		slots[c.Name] = i
	}
	row := make([]event.Value, len(v.Source.Columns)+1)
	for _, abroad := range []bool{false, true} {
		for _, fee := range []int64{2, 4} {
			row[slots["fee"]], row[len(row)-1] = event.LongOf(fee), event.BoolOf(abroad)
			got := fmt.Sprint(v.Filters[above.Filter].Eval(row).Bool(), v.Filters[below.Filter].Eval(row).Bool(), v.Filters[f.Filter].Eval(row).Bool())
			if want := fmt.Sprint(abroad && fee > 3, fee > 3, fee > 3); got != want {
				t.Errorf("abroad %v, fee %d: of, to and the row pass %s, want %s", abroad, fee, got, want)
			}
		}
	}
	if f.Func != agg.Ratio || f.Group != f.Over.Group {
		t.Errorf("%+v", f.Call)
	}
}

// Whatever decides an answer decides the version.
func TestParameterVersions(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"{quantile: amount, q: 0.1}", "{quantile: amount, q: 0.2}", "{quantile: amount, q: 0.1, accuracy: 0.02}", "{median: amount}",
		"{top_k: amount, k: 3}", "{top_k: amount, k: 4}", "{bottom_k: amount, k: 3}", "{nth: amount, n: 2}", "{nth: amount, n: -2}",
		"{first_k: amount, k: 3}", "{first_k: amount, k: 3, distinct: true}", "{slope: amount}", "{slope: amount, per: 1d}",
		"{decayed_sum: amount, half_life: 1h}", "{decayed_sum: amount, half_life: 2h}", "{histogram: amount, buckets: [1]}", "{histogram: amount, buckets: [2]}",
		"{sum: amount, by: country, top: 3}", "{sum: amount, by: country, top: 4}", "{sum: amount, by: country, top: 3, rest: other}",
		"{sum: amount, by: country, limit: 3}", "{sum: amount, by: merchant_id, top: 3}", "{sum: amount, by: country, top: 3, limit: 10}",
		"{covariance: [amount, fee]}", "{covariance: [fee, amount]}", "{correlation: [amount, fee]}",
		"{ratio: {of: {sum: amount}, to: {sum: fee}}}", "{ratio: {of: {sum: fee}, to: {sum: amount}}}", "{ratio: {of: {sum: amount}, to: {max: fee}}}",
		"{ratio: {of: {sum: amount, where: abroad}, to: {sum: fee}}}", "{ratio: {of: {sum: amount}, to: {sum: fee}}, where: abroad}",
		"{ratio: {of: {quantile: amount, q: 0.1}, to: {sum: fee}}}", "{ratio: {of: {quantile: amount, q: 0.2}, to: {sum: fee}}}",
	} {
		v := mustCompile(t, replaced(t, "{last: country}", text)).Views[0]
		if before := seen[v.Version]; before != "" {
			t.Errorf("%s and %s have one version:\n%s", before, text, v.Storage)
		}
		seen[v.Version] = text
	}
}

// In an `each`, parameters go to the aggregates that take them.
func TestEachParameters(t *testing.T) {
	src := replaced(t, "- {of: amount, do: [count, sum, avg, max], over: [1h, 24h, 7d, lifetime]}", `- {of: amount, do: [sum, top_k, bottom_k, median, collect_list], over: [24h, {calendar: day}, lifetime], k: 3, limit: 20}
      - {of: "*", do: [rate, time_since_last], over: [{tumbling: 1h, current: true}], per: 1m}`)
	v := mustCompile(t, src).Views[0]
	for name, doc := range map[string]string{
		"amount_sum_24h":                      "sum of amount over the 1d before",
		"amount_top_k_day":                    "top_k(k 3) of amount over the last complete day in UTC",
		"amount_median":                       "median of amount over all before; within 1 % of the value",
		"amount_collect_list":                 "collect_list of amount over all before; the latest 20",
		"rate_tumbling_1h_current":            "rate(per 1m) of events over the current tumbling 1h so far",
		"time_since_last_tumbling_1h_current": "time_since_last of events over the current tumbling 1h so far",
	} {
		if f := v.Feature(name); f == nil || f.Doc != doc {
			t.Errorf("%s: %+v, want %q", name, f, doc)
		}
	}
	checkLayout(t, v)
}

// Parameters are checked without a schema too.
func TestParametersOffline(t *testing.T) {
	src := replaced(t, "{last: country}", `{quantile: amount, q: 1.5}
      none: {top_k: amount}
      taken: {sum: amount, k: 3}
      typed: {bool_and: amount}
      vector: {avg: amount, dim: 3}
      life: {collect_list: amount}
      inner: {avg: {quantile: amount, q: 2, window: {tumbling: 1d}}, window: 7d}
      half: {ratio: {of: {decayed_sum: amount}, to: {sum: amount}}}`)
	_, diags := Compile("p.yaml", []byte(src), Options{})
	var got []string
	for _, d := range diags {
		got = append(got, d.Message)
	}
	for _, want := range []string{"quantile: q is 1.5", "top_k needs k", "sum does not take k", "collect_list over the lifetime needs limit", "quantile: q is 2", "decayed_sum needs half_life"} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%q is not reported", want)
		}
	}
	if errors, _ := diags.Count(); errors != 6 {
		t.Errorf("%d mistakes:\n%s", errors, diags)
	}
}

// Over arrays of numbers dim is needed, where anything works on them element by element.
func TestVectors(t *testing.T) {
	schema, err := schemas.Parse([]byte(documentSchema))
	if err != nil {
		t.Fatal(err)
	}
	opt := online(t)
	opt.Subject = func(RegistryRef) (*schemas.Schema, error) { return schema, nil }
	compile := func(text string) (*Plan, string) {
		src := "pipeline: p\nsources:\n  s:\n    kafka: {brokers: [\"h:1\"], topic: t}\n    schema: {registry: \"http://r\"}\n    time: ts\n" +
			"entities: {user: {user_id: string}}\nviews: {v: {source: s, entity: user, features: {f: " + text + "}}}\n"
		plan, diags := Compile("p.yaml", []byte(src), opt)
		return plan, diags.String()
	}
	for _, text := range []string{"{avg: embedding, dim: 3}", "{last: embedding, dim: 3}", "{decayed_mean: embedding, dim: 3, half_life: 1h}", "{last: embedding}", "{max: embedding, dim: 10000, window: 1h}"} {
		plan, diags := compile(text)
		if plan == nil {
			t.Errorf("%s:\n%s", text, diags)
			continue
		}
		if f := plan.Views[0].Features[0]; f.Type.Kind != event.List || f.Type.Elem.Kind != event.Double {
			t.Errorf("%s is %s", text, f.Type)
		}
		checkLayout(t, plan.Views[0])
	}
	for text, want := range map[string]string{
		"{avg: embedding}":                                             "needs dim",
		"{decayed_mean: embedding, half_life: 1h}":                     "needs dim",
		"{avg: embedding, dim: 10001}":                                 "dim is 10001",
		"{avg: embedding, dim: -1}":                                    "dim is -1",
		"{variance: embedding, dim: 3}":                                "variance does not take dim",
		"{median: embedding}":                                          "median of array of double is not defined",
		"{avg: {last: embedding, window: {tumbling: 1d}}, window: 7d}": "needs dim",
	} {
		if _, diags := compile(text); !strings.Contains(diags, want) || !strings.Contains(diags, "^") {
			t.Errorf("%s: %q is not reported:\n%s", text, want, diags)
		}
	}
}
