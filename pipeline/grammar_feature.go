package pipeline

import "github.com/penstock-ml/penstock/transforms/agg"

var featureGrammar = &object{
	name: "feature",
	doc:  "One aggregate over one window. Exactly one aggregate key; its value is a row expression.",
	example: `spend_1h:     {sum: amount, window: 1h}
net_24h:      {sum: amount - fee, window: 24h, where: abroad, default: 0}
tx_lifetime:  {count: "*"}
avg_last_10:  {avg: amount, last: 10}
last_country: {last: country}
spend_today:  {sum: amount, window: {calendar: day, zone: America/New_York, current: true}}`,
	keys: append(aggregateKeys(),
		key{name: "window", shape: windowShape, standard: "lifetime", doc: "Which events count, by their time: `[T-1h, T)` for 1h; other windows are a mapping."},
		key{name: "where", shape: text(exprText), doc: "Only events for which this is true count."},
		key{name: "ttl", shape: text(spanText), standard: "the view's", doc: "As on a view."},
		key{name: "default", shape: text(literalText), standard: "the view's", doc: "As on a view; `null` takes the view's away."},
	),
}

var aggregateDocs = map[string]string{
	"count":        `How many values are not null; "*" counts every event.`,
	"sum":          "The sum, exact and rounded once.",
	"avg":          "The mean.",
	"min":          "The least value.",
	"max":          "The greatest value.",
	"first":        "The value of the first event.",
	"last":         "The value of the last event. Beside another aggregate it is a number N instead of a window: only the N latest events that pass `where`.",
	"variance":     "The variance of the sample (n-1); null below two values.",
	"stddev":       "The standard deviation of the sample.",
	"variance_pop": "The variance of the population (n).",
	"stddev_pop":   "The standard deviation of the population.",
}

func aggregateKeys() []key {
	var keys []key
	for _, name := range agg.Names() {
		f := aggText
		if name == "last" {
			f = lastText
		}
		keys = append(keys, key{name: name, shape: text(f), doc: aggregateDocs[name]})
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
		{name: "last", shape: text(anyText), oneOf: windowChoice, doc: "So many of the latest events that pass `where`, as `last: N` beside the aggregate."},
		{name: "current", shape: text(boolText), standard: "false", doc: "With `tumbling` and `calendar`: the span that T lies in, up to T."},
		{name: "closed", shape: text(boolText), standard: "false", doc: "With `session`: the last one whose gap has passed by T."},
	},
}

var calendarUnits = []string{"day", "week", "month"}

const windowChoice = "tumbling, hopping, session, calendar, from or last"

var eachGrammar = &object{
	name:    "each",
	doc:     "Every aggregate of `do` over every window of `over`, named `<of>_<do>_<over>`; over the lifetime `<of>_<do>`, and for \"*\" `count_<over>`. In the names, windows are written as `1h`, `tumbling_1h`, `tumbling_1h_current`, `hopping_1h_every_10m`, `session_30m`, `session_30m_closed`, `day` and `month_current` (in UTC), `day_America_New_York`, `from_7d_to_1d`, `last_10`.",
	example: "each:\n  - {of: amount, do: [count, sum, avg, max], over: [1h, 24h, 7d, {calendar: day}, lifetime]}",
	keys: []key{
		{name: "of", shape: text(aggText), required: true, doc: `The column, or "*" for count.`},
		{name: "do", shape: &shape{items: enum(agg.Names()...)}, required: true, doc: "The aggregates."},
		{name: "over", shape: &shape{items: windowShape}, required: true, doc: "The windows; the word `lifetime` for all that was before."},
	},
}
