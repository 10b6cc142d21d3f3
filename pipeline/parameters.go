package pipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// parameters are the keys beside an aggregate that say more about it, in the order of the reference.
var parameters = []key{
	{name: "k", shape: text(intText), doc: "How many values."},
	{name: "n", shape: text(intText), doc: "Which value: of `nth`, from 1 for the first, or from -1 for the last back; of `lag`, how many before the last."},
	{name: "distinct", shape: text(boolText), standard: "false", doc: "Each value once."},
	{name: "q", shape: &shape{format: numberText, items: text(numberText)}, doc: "The quantile, 0 to 1; a list of them for `quantiles`."},
	{name: "accuracy", shape: text(numberText), standard: "0.01", doc: "The relative error of quantiles."},
	{name: "buckets", shape: &shape{items: text(numberText)}, doc: "The edges between the buckets of a histogram, ascending."},
	{name: "per", shape: text(spanText), standard: "1s", doc: "The unit of time of a rate or slope."},
	{name: "half_life", shape: text(spanText), doc: "After this long a value weighs half."},
	{name: "dim", shape: text(intText), doc: "The length of the vectors in an array column; others count as null."},
	{name: "limit", shape: text(intText), doc: "How many values, or distinct values, are kept. Beside `by`, how many keys are kept apart."},
}

// paramKeys are the parameters that some function takes.
var paramKeys = sync.OnceValue(func() []key {
	return slices.DeleteFunc(slices.Clone(parameters), func(k key) bool { return len(takers(k.name)) == 0 })
})

// paramWords find the parameters' names in messages.
var paramWords = sync.OnceValue(func() map[string]*regexp.Regexp {
	words := map[string]*regexp.Regexp{}
	for _, p := range paramKeys() {
		words[p.name] = regexp.MustCompile(`\b` + p.name + `\b`)
	}
	return words
})

// takers are the functions that take a parameter.
func takers(param string) []string {
	return slices.DeleteFunc(agg.Names(), func(name string) bool {
		f, _ := agg.ByName(name)
		return !slices.Contains(f.Params(), param)
	})
}

// paramHint says which functions take a parameter.
func paramHint(param string) string { return strings.Join(takers(param), ", ") + " take it" }

// documentedParams are the parameters with the functions that take them in their text.
func documentedParams() []key {
	keys := slices.Clone(paramKeys())
	for i := range keys {
		keys[i].doc = "With `" + strings.Join(takers(keys[i].name), "`, `") + "`. " + keys[i].doc
	}
	return keys
}

// asOnFeature is the text of keys that the reference explains with features.
const asOnFeature = "As on a feature."

// paramsAsOn are the parameters where the reference has explained them already.
func paramsAsOn() []key {
	keys := slices.Clone(paramKeys())
	for i := range keys {
		keys[i].doc, keys[i].standard = asOnFeature, ""
	}
	return keys
}

// aggregateList names the first aggregates, for hints.
func aggregateList() string { return diag.Enumerate(agg.Names()) }

// otherNames are what aggregates are called elsewhere, with what to write here.
var otherNames = map[string]string{
	"mean": "avg", "average": "avg", "var": "variance", "var_samp": "variance", "var_pop": "variance_pop",
	"std": "stddev", "stddev_samp": "stddev", "standard_deviation": "stddev", "skewness": "skew", "kurt": "kurtosis",
	"distinct": "count_distinct", "unique": "count_distinct", "nunique": "count_distinct", "unique_count": "count_distinct", "distinct_count": "count_distinct",
	"approx_count_distinct": "approx_distinct", "approx_unique_count": "approx_distinct", "hll": "approx_distinct", "cardinality": "approx_distinct",
	"percentile": "quantile: amount, q: 0.95", "approx_percentile": "quantile: amount, q: 0.95", "percentiles": "quantiles: amount, q: [0.5, 0.95]",
	"topk": "top_k: amount, k: 3", "bottomk": "bottom_k: amount, k: 3", "firstn": "first_k", "lastn": "last_k",
	"topn_frequency": "frequent", "most_frequent": "mode", "collect": "collect_list", "list": "collect_list", "array_agg": "collect_list",
	"set": "collect_set", "ewma": "decayed_mean", "ema": "decayed_mean", "ew_avg": "decayed_mean", "every": "bool_and", "all": "bool_and", "any": "bool_or",
	"corr": "correlation", "covar": "covariance", "cov": "covariance", "covar_samp": "covariance", "covar_pop": "covariance_pop", "regr_slope": "slope", "trend": "slope",
	"string_agg": "collect_list", "listagg": "collect_list", "group_concat": "collect_list", "alpha": "half_life", "span": "half_life",
	"count_if": `count: "*", where: …`, "countif": `count: "*", where: …`, "sum_if": "sum: amount, where: …", "sumif": "sum: amount, where: …", "avg_if": "avg: amount, where: …",
	"max_by": "arg_max: [merchant, amount]", "min_by": "arg_min: [merchant, amount]", "argmax": "arg_max: [merchant, amount]", "argmin": "arg_min: [merchant, amount]",
	"group_by": "by", "filter": "where", "over": "window",
}

// otherKey is what to write for a key that has another name elsewhere; empty if there is none.
func otherKey(o *object, name string) string {
	switch o {
	case windowGrammar:
		return map[string]string{
			"rolling": "a rolling window is a duration alone: window: 1h", "sliding": "a window that moves with the instant is a duration alone: window: 1h; one that moves in steps is {hopping: 1h, every: 10m}",
			"cumulate": "write {tumbling: 1d, current: true}: the day so far", "cumulative": "write {tumbling: 1d, current: true}: the day so far",
			"gap": "write {session: 30m}", "slide": "write {hopping: 1h, every: 10m}", "advance": "write {hopping: 1h, every: 10m}", "size": "write {tumbling: 1h}, {hopping: 1h, every: 10m} or a duration alone",
			"offset": "write {from: 7d, to: 1d}: from 7d before to 1d before", "rows": "write last: 10 beside the aggregate", "lifetime": "write window: lifetime",
		}[name]
	case ratioGrammar:
		return map[string]string{
			"num": "write of", "numerator": "write of", "above": "write of", "den": "write to", "denominator": "write to", "over": "write to", "by": "write it beside ratio: it divides both",
		}[name]
	}
	return ""
}

var percentileName = regexp.MustCompile(`^p([1-9][0-9]?)$`)

// otherName is what to write for a name that aggregates have elsewhere; empty if there is none.
func otherName(name string) string {
	name = strings.ToLower(name)
	if m := percentileName.FindStringSubmatch(name); m != nil {
		name = "percentile"
		if _, ok := agg.ByName("quantile"); ok {
			return "quantile: amount, q: 0." + strings.TrimRight(fmt.Sprintf("%02s", m[1]), "0")
		}
	}
	write := otherNames[name]
	head, _, _ := strings.Cut(write, ":")
	if _, ok := agg.ByName(head); !ok && featureGrammar.key(head) == nil {
		return ""
	}
	return write
}
