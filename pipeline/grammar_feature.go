package pipeline

import (
	"slices"

	"github.com/penstock-ml/penstock/transforms/agg"
)

var featureGrammar = &object{
	name: "feature",
	doc:  "One aggregate over one window. Exactly one aggregate key; its value is a row expression, or an aggregate over windows of its own. [Aggregates](../aggregates.md) defines each of them.",
	example: `spend_1h:     {sum: amount, window: 1h}
net_24h:      {sum: amount - fee, window: 24h, where: abroad, default: 0}
tx_lifetime:  {count: "*"}
avg_last_10:  {avg: amount, last: 10}
last_country: {last: country}
spend_today:  {sum: amount, window: {calendar: day, zone: America/New_York, current: true}}
daily_spend:  {avg: {sum: amount, window: {tumbling: 1d}}, window: 30d, empty: count}`,
	keys: slices.Concat(aggregateKeys(innerGrammar, ratioGrammar), documentedParams(), []key{
		{name: "by", shape: &shape{format: exprText, object: byGrammar}, doc: "Answers a map: the aggregate for each value of this column apart. Needs `top` or `limit`."},
		{name: "top", shape: text(intText), standard: "`limit`", doc: "With `by`: only the values with the most events."},
		{name: "order", shape: enum("events", "value"), standard: "events", doc: "With `top`: `value` for those with the greatest answers instead."},
		{name: "rest", shape: text(anyText), doc: "With `by`: the key under which all other values are united. Without it they are left out."},
		{name: "window", shape: windowShape, standard: "lifetime", doc: "Which events count, by their time: `[T-1h, T)` for 1h; other windows are a mapping."},
		{name: "empty", shape: enum("count", "skip"), standard: "skip", doc: "With an aggregate of an aggregate: whether inner windows without events count: sums and counts as 0, others as their `default`."},
		{name: "where", shape: text(exprText), doc: "Only events for which this is true count."},
		{name: "ttl", shape: text(spanText), standard: "the view's", doc: "As on a view."},
		{name: "default", shape: text(literalText), standard: "the view's", doc: "As on a view; `null` takes the view's away."},
	}),
}

var innerGrammar = &object{
	name:    "inner",
	doc:     "The inner aggregate of an aggregate of an aggregate, over windows that follow one another by the clock: tumbling, hopping or calendar. The outer one is over the answers of those that end within its own window. The aggregates and their parameters are those of a [feature](#feature); beside them stand:",
	example: `avg: {sum: amount, where: abroad, window: {tumbling: 1d}}`,
	keys: slices.Concat(aggregateKeys(nil, ratioGrammar), paramsAsOn(), []key{
		{name: "window", shape: windowShape, required: true, doc: "The inner windows."},
		{name: "where", shape: text(exprText), doc: "Only events for which this is true count."},
		{name: "default", shape: text(literalText), doc: "The inner answer in place of null, for the outer aggregate to take."},
	}),
}

var ratioGrammar = &object{
	name:    "ratio",
	doc:     "One aggregate divided by another over the same window; null if either is null, or the second is 0.",
	example: `ratio: {of: {sum: amount, where: abroad}, to: {sum: amount}}`,
	keys: []key{
		{name: "of", shape: &shape{object: termGrammar}, required: true, doc: "The dividend."},
		{name: "to", shape: &shape{object: termGrammar}, required: true, doc: "The divisor."},
	},
}

var termGrammar = &object{
	name:    "term",
	doc:     "One of a ratio's two aggregates. The aggregates and their parameters are those of a [feature](#feature); beside them stands:",
	example: `of: {sum: amount, where: abroad}`,
	keys: slices.Concat(aggregateKeys(nil, nil), paramsAsOn(), []key{
		{name: "where", shape: text(exprText), doc: "Only events for which this is true count, beside the feature's `where`."},
	}),
}

var byGrammar = &object{
	name:    "by",
	doc:     "The same in one mapping, where `limit` beside it is the aggregate's own.",
	example: `by: {column: country, top: 10, rest: other, limit: 1000}`,
	keys: []key{
		{name: "column", shape: text(exprText), required: true, doc: "The column whose values are kept apart. Events for which it is null do not count."},
		{name: "top", shape: text(intText), standard: "`limit`", doc: "Only the values with the most events; at most 10000."},
		{name: "order", shape: enum("events", "value"), standard: "events", doc: "With `top`: `value` for those with the greatest answers instead."},
		{name: "rest", shape: text(anyText), doc: "The key under which all other values are united. Without it they are left out."},
		{name: "limit", shape: text(intText), standard: "1000", doc: "How many values are kept apart, at most 100000: with more, those of least hash."},
	},
}

var aggregateDocs = map[string]string{
	"count":           `How many values are not null; "*" counts every event.`,
	"sum":             "The sum, exact and rounded once.",
	"avg":             "The mean.",
	"min":             "The least value.",
	"max":             "The greatest value.",
	"first":           "The value of the first event.",
	"last":            "The value of the last event. Beside another aggregate it is a number N instead of a window: only the N latest events that pass `where`.",
	"variance":        "The variance of the sample (n-1); null below two values.",
	"stddev":          "The standard deviation of the sample.",
	"variance_pop":    "The variance of the population (n).",
	"stddev_pop":      "The standard deviation of the population.",
	"skew":            "The skewness of the sample, adjusted; null below three values, or if all are equal.",
	"skew_pop":        "The skewness of the population.",
	"kurtosis":        "The excess kurtosis of the sample, adjusted; null below four values, or if all are equal.",
	"kurtosis_pop":    "The excess kurtosis of the population.",
	"first_k":         "A list of the first `k` values, the oldest first.",
	"last_k":          "A list of the last `k` values, the oldest first.",
	"nth":             "The `n`-th value.",
	"lag":             "The value `n` before the last.",
	"top_k":           "A list of the `k` greatest values, the greatest first.",
	"bottom_k":        "A list of the `k` least values, the least first.",
	"mode":            "The most frequent value; the least of several.",
	"count_distinct":  "How many different values there are, up to `limit`.",
	"approx_distinct": "How many different values there are, approximately.",
	"quantile":        "The value at a quantile, within the accuracy.",
	"quantiles":       "A list of the values at several quantiles.",
	"median":          "The value at the quantile 0.5.",
	"histogram":       "A list of how many values lie below, between and above the edges of `buckets`.",
	"frequent":        "A list of the `k` most frequent values, the most frequent first.",
	"entropy":         "The Shannon entropy of the values' distribution, in bits.",
	"ratio":           "One aggregate divided by another.",
	"rate":            `The sum of a column, or the number of events for "*", by unit of time.`,
	"time_since_last": "Seconds from the newest event to the instant asked for.",
	"time_between":    "The mean of the seconds between successive events.",
	"decayed_sum":     "The sum of values whose weight halves every `half_life`.",
	"decayed_count":   "The number of events whose weight halves every `half_life`.",
	"decayed_mean":    "The mean by these weights.",
	"bool_and":        "Whether all values are true.",
	"bool_or":         "Whether any value is true.",
	"drawdown":        "The largest fraction lost from an earlier peak.",
	"slope":           "The slope of the values' linear trend by unit of time.",
	"covariance":      "The covariance of two columns, of the sample (n-1).",
	"covariance_pop":  "The covariance of the population.",
	"correlation":     "Pearson's correlation of two columns.",
	"arg_max":         "The value of one column in the event in which a second one is the greatest; of several the greatest value.",
	"arg_min":         "The value of one column in the event in which a second one is the least; of several the least value.",
	"collect_list":    "A list of the latest `limit` values, the oldest first.",
	"collect_set":     "A list of the different values, ascending, at most `limit`.",
}

// aggregateKeys are the aggregates that may stand in an object: nested is what one may be over beside
// columns, ratio what divides two; nil if that cannot be.
func aggregateKeys(nested, ratio *object) []key {
	var keys []key
	for _, name := range agg.Names() {
		f, _ := agg.ByName(name)
		_, most, _ := f.Columns()
		s := &shape{format: aggText, object: nested}
		switch {
		case most == 0 && ratio == nil:
			continue
		case most == 0:
			s = &shape{object: ratio}
		case most == 2:
			s = &shape{items: text(exprText)}
		case name == "last" && nested != nil:
			s.format = lastText
		}
		doc := aggregateDocs[name]
		if nested == nil {
			doc = asOnFeature
		}
		keys = append(keys, key{name: name, shape: s, doc: doc})
	}
	return keys
}

// windowShape is a window wherever one may stand.
var windowShape = &shape{format: windowText, object: windowGrammar}

var windowGrammar = &object{
	name: "window",
	doc:  "Which events count, by their time, as of an instant T. A duration is `[T-1h, T)`; the word `lifetime` is all before T; the others are a mapping. [Windows](../windows.md) shows each of them.",
	example: `window: {tumbling: 1h}
window: {hopping: 1h, every: 10m}
window: {session: 30m, closed: true}
window: {calendar: day, zone: America/New_York, current: true}
window: {from: 7d, to: 1d}`,
	hint: "write one, like {tumbling: 1h}, {hopping: 1h, every: 10m}, {session: 30m}, {calendar: day} or {from: 7d, to: 1d}",
	keys: []key{
		{name: "tumbling", shape: text(spanText), oneOf: windowChoice, doc: "Spans of this length, one behind the other, aligned to 1970-01-01T00:00Z: the last complete one as of T."},
		{name: "hopping", shape: text(spanText), oneOf: windowChoice, doc: "Spans of this length that end at multiples of `every`: the last complete one as of T."},
		{name: "every", shape: text(spanText), doc: "With `hopping`, and required there: how far apart the spans begin; at most their length."},
		{name: "session", shape: text(spanText), oneOf: windowChoice, doc: "Events of the view at most this gap apart: the session of the last one before T. A feature's `where` chooses among its events; it does not cut it."},
		{name: "calendar", shape: enum(calendarUnits...), oneOf: windowChoice, doc: "The last complete day, ISO week (from Monday) or month as of T."},
		{name: "zone", shape: text(zoneText), standard: "UTC", doc: "With `calendar`: whose midnight; a name of the IANA database, like America/New_York."},
		{name: "from", shape: text(spanText), oneOf: windowChoice, doc: "`[T-from, T-to)`: begins this long before T."},
		{name: "to", shape: text(spanText), doc: "With `from`, and required there: ends this long before T."},
		{name: "last", shape: text(intText), oneOf: windowChoice, doc: "So many of the latest events that pass `where`, as `last: N` beside the aggregate."},
		{name: "current", shape: text(boolText), standard: "false", doc: "With `tumbling` and `calendar`: the span that T lies in, up to T."},
		{name: "closed", shape: text(boolText), standard: "false", doc: "With `session`: the last one whose gap has passed by T."},
	},
}

var calendarUnits = []string{"day", "week", "month"}

const windowChoice = "tumbling, hopping, session, calendar, from or last"

var eachGrammar = &object{
	name:    "each",
	doc:     "Every aggregate of `do` over every window of `over`, named `<of>_<do>_<over>`; over the lifetime `<of>_<do>`, and for \"*\" `count_<over>`. In the names, windows are written as `1h`, `tumbling_1h`, `tumbling_1h_current`, `hopping_1h_every_10m`, `session_30m`, `session_30m_closed`, `day` and `month_current` (in UTC), `day_America_New_York`, `from_7d_to_1d`, `last_10`. The parameters of a [feature](#feature)'s aggregates may stand beside, for those of `do` that take them.",
	example: "each:\n  - {of: amount, do: [count, sum, avg, max], over: [1h, 24h, 7d, {calendar: day}, lifetime]}",
	keys: append([]key{
		{name: "of", shape: text(aggText), required: true, doc: `The column, or "*" for every event.`},
		{name: "do", shape: &shape{items: enum(agg.Names()...)}, required: true, doc: "The aggregates."},
		{name: "over", shape: &shape{items: windowShape}, required: true, doc: "The windows; the word `lifetime` for all that was before."},
	}, paramsAsOn()...),
}
