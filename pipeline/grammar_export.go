package pipeline

import "slices"

var labelsShape = &shape{names: &shape{object: labelGrammar}, label: "label"}

var exportsShape = &shape{names: &shape{object: exportGrammar}, label: "export"}

var labelGrammar = &object{
	name: "label",
	doc:  "What comes after an instant, for models to learn from: an aggregate over the events of one entity from the instant on. Only exports have labels, as columns of a training table; look-ups have not, and no feature can read one. [Labels](../labels.md) says more.",
	example: `labels:
  chargebacks_30d:
    source: transactions
    entity: user
    label: {count: "*", where: is_chargeback, window: {after: 30d}}
    buckets: [1]`,
	keys: []key{
		{name: "view", shape: text(refText), oneOf: "view or source", doc: "The view whose events count, with its columns, by its `where` and `dedupe`."},
		{name: "source", shape: text(refText), oneOf: "view or source", doc: "The source whose events count. Its rows are kept in a view of their own, `_SOURCE.ENTITY`, for all labels and exports of that source and entity."},
		{name: "entity", shape: text(refText), doc: "With `source`, and required there: whose events. With `view` it is the view's."},
		{name: "label", shape: &shape{object: labelAggregateGrammar}, required: true, doc: "The aggregate and its window."},
		{name: "settle", shape: text(durationText), standard: "0s", doc: "A label is ripe when the watermark has come this far behind the end of its window: for events that come late."},
		{name: "neutral", shape: &shape{object: neutralGrammar}, doc: "Rows whose label lies in this band are left out, and counted."},
		{name: "buckets", shape: &shape{items: text(numberText)}, doc: "Edges, ascending: the label is then how many of them are at most its value, 0 for a value below all. `neutral` is about the value itself."},
	},
}

var labelAggregateGrammar = &object{
	name:    "ahead",
	doc:     "One aggregate over a window that begins at the instant. The aggregates and their parameters are those of a [feature](#feature); beside them stand:",
	example: `label: {count: "*", where: is_chargeback, window: {after: 30d}}`,
	keys: slices.Concat(aggregateKeys(innerGrammar, ratioGrammar), paramsAsOn(), []key{
		{name: "by", shape: &shape{format: exprText, object: byGrammar}, doc: asOnFeature},
		{name: "top", shape: text(intText), doc: asOnFeature},
		{name: "rest", shape: text(anyText), doc: asOnFeature},
		{name: "empty", shape: enum("count", "skip"), doc: asOnFeature},
		{name: "window", shape: &shape{object: aheadGrammar}, required: true, doc: "How far ahead events count."},
		{name: "where", shape: text(exprText), doc: "Only events for which this is true count."},
		{name: "default", shape: text(literalText), doc: "The answer in place of null."},
	}),
}

var aheadGrammar = &object{
	name:    "label_window",
	doc:     "Which events count, by their time, from an instant T on: `[T, T+30d)` for `{after: 30d}`, the event at T itself among them; `[T+1d, T+31d)` with a delay of 1d. Features use events before T, so the two never share one.",
	example: "window: {after: 30d, delay: 1d}",
	keys: []key{
		{name: "after", shape: text(spanText), required: true, doc: "How long the window is."},
		{name: "delay", shape: text(durationText), standard: "0s", doc: "How long after T it begins."},
	},
}

var neutralGrammar = &object{
	name:    "neutral",
	doc:     "A band of a label's values, `[from, to)`.",
	example: "neutral: {from: 0.4, to: 0.6}",
	keys: []key{
		{name: "from", shape: text(numberText), required: true, doc: "Its least value."},
		{name: "to", shape: text(numberText), required: true, doc: "Its end: the least value above it."},
	},
}

var exportGrammar = &object{
	name: "export",
	doc:  "A training table: the rows of a spine, with labels, and features as of each row's instant. `penstock export FILE --export NAME` writes it. [Exports](../exports.md) says more.",
	example: `exports:
  fraud_training:
    set: fraud
    spine: {source: transactions, columns: [merchant_id]}
    labels: [chargebacks_30d]
    split: {by: user_id, train: 80%, validation: 10%, test: rest}
    out: fraud.parquet`,
	keys: []key{
		{name: "set", shape: text(refText), oneOf: selectionChoice, doc: "The feature set to export."},
		{name: "view", shape: text(refText), oneOf: selectionChoice, doc: "The view to export."},
		{name: "features", shape: &shape{items: text(dottedText)}, oneOf: selectionChoice, doc: "Single features, as `view.feature`."},
		{name: "spine", shape: &shape{object: spineGrammar}, required: true, doc: "The rows."},
		{name: "labels", shape: &shape{items: text(refText)}, doc: "Labels, each a column behind those of the spine."},
		{name: "unripe", shape: enum("drop", "keep"), standard: "drop", doc: "What becomes of a row with a label that is not ripe: the watermark has not come to the end of its window. `drop` leaves it out, and counts it; `keep` gives the label by what is known, and adds a column `LABEL__ripe`."},
		{name: "sample", shape: &shape{format: shareText, object: exportSampleGrammar}, doc: "Only a share of the rows, chosen by a hash."},
		{name: "rebalance", shape: &shape{object: rebalanceGrammar}, doc: "Only a share of the rows with a common label, with a column `weight` that makes up for it."},
		{name: "split", shape: &shape{object: splitGrammar}, doc: "Which rows are for training, validation and test: a column `split`, or a file for each."},
		{name: "as_served", shape: text(boolText), standard: "false", doc: "Features only from events that had arrived by the row's instant."},
		{name: "with_status", shape: text(boolText), standard: "false", doc: "A column `NAME__status` for each feature."},
		{name: "out", shape: text(anyText), doc: "The file to write, relative to the pipeline file's folder; `--out` takes its place."},
	},
}

const selectionChoice = "set, view or features"

var spineGrammar = &object{
	name: "spine",
	doc:  "The rows of an export: keys, an instant `event_time`, and columns that are carried. Of a file they stand in its order; otherwise entity by entity, in the order of the store, which is the same on every machine, and by time within an entity.",
	example: `spine: {file: labels.csv, time: decided_at}
spine: {source: transactions, columns: {merchant_id: merchant_id, cents: amount * 100}, where: amount > 0}
spine: {label: chargebacks_30d, from: 2013-01-01}
spine: {grid: {every: 1d, zone: America/New_York}, from: 2013-01-01, to: 2013-03-01}`,
	hint: "write one, like {file: labels.csv}, {source: transactions} or {grid: {every: 1d}}",
	keys: []key{
		{name: "file", shape: text(anyText), oneOf: spineChoice, doc: "A file, relative to the pipeline file's folder, in any format that `--spine` takes."},
		{name: "source", shape: text(refText), oneOf: spineChoice, doc: "Each event of a source is a row. Its rows are kept in a view of their own, `_SOURCE.ENTITY`, for all labels and exports of that source and entity."},
		{name: "view", shape: text(refText), oneOf: spineChoice, doc: "Each event that counts in a view is a row."},
		{name: "label", shape: text(refText), oneOf: spineChoice, doc: "Each event that counts for a label is a row."},
		{name: "grid", shape: &shape{object: gridGrammar}, oneOf: spineChoice, doc: "Each known entity is a row at each of many instants."},
		{name: "time", shape: text(refText), standard: "event_time, else the only column of timestamps", doc: "With `file`: the column of the instant."},
		{name: "entity", shape: text(refText), standard: "the first of what is exported", doc: "With `source`: by which entity the rows are kept."},
		{name: "columns", shape: &shape{names: text(exprText), label: "column", items: text(refText)}, doc: "With `source`, `view` and `label`: what each row carries of its event, by name, or as a mapping from names to expressions. Keys and request columns come by themselves if the events have fields of these names."},
		{name: "where", shape: text(exprText), doc: "With `source`, `view` and `label`: only events for which this is true."},
		{name: "from", shape: text(instantText), standard: "the horizon", doc: "Not with `file`: no row is earlier; an instant, or a date: its midnight in UTC or the grid's zone. What is older than the horizon is never a row."},
		{name: "to", shape: text(instantText), standard: "the end; of a grid the least watermark", doc: "Not with `file`: every row is earlier."},
	},
}

const spineChoice = "file, source, view, label or grid"

var gridGrammar = &object{
	name:    "grid",
	doc:     "Instants at equal steps: the multiples of `every` since 1970-01-01T00:00Z; for whole days the midnights of a zone, every so many days since 1970-01-01. An entity is a row at those of them at which it is known: look-ups would not answer `not_found`.",
	example: "grid: {every: 1d, view: user_spend, zone: America/New_York}",
	keys: []key{
		{name: "every", shape: text(spanText), required: true, doc: "How far apart the instants are."},
		{name: "view", shape: text(refText), standard: "the first of what is exported", doc: "The view whose entities are the rows."},
		{name: "zone", shape: text(zoneText), standard: "UTC", doc: "With an `every` of whole days: whose midnights."},
	},
}

var exportSampleGrammar = &object{
	name:    "row_sample",
	doc:     "Only rows whose [bucket](../exports.md#buckets) by a hash is among the first `keep` of a million.",
	example: "sample: {by: user_id, keep: 10%, salt: spring}",
	keys: []key{
		{name: "keep", shape: text(shareText), required: true, doc: "The share: a percentage, or a number above 0 and at most 1."},
		{name: "by", shape: &shape{format: refText, items: text(refText)}, standard: "the keys", doc: "What is hashed: a column of the spine, or several."},
		{name: "salt", shape: text(anyText), standard: "sample", doc: "Another salt gives another choice."},
	},
}

var rebalanceGrammar = &object{
	name:    "rebalance",
	doc:     "Only a share of the rows of each class of a label, chosen by a hash. Each row that stays has the `weight` 1/share. Rows whose label is null stay, with weight 1.",
	example: "rebalance: {label: chargebacks_30d, negative: 5%}",
	keys: []key{
		{name: "label", shape: text(refText), required: true, doc: "One of the export's labels, of numbers or booleans: positive are those above 0, and `true`; the others are negative."},
		{name: "negative", shape: text(shareText), standard: "100%", doc: "The share of negative rows that stay."},
		{name: "positive", shape: text(shareText), standard: "100%", doc: "The share of positive rows that stay."},
		{name: "by", shape: &shape{format: refText, items: text(refText)}, standard: "the keys and the instant", doc: "What is hashed: a column of the spine, or several."},
		{name: "salt", shape: text(anyText), standard: "rebalance", doc: "Another salt gives another choice."},
	},
}

var splitGrammar = &object{
	name: "split",
	doc:  "Which part of a split a row is in: by a hash of columns, so that all rows of one key are in one part, in every export and release; or `by: time`. It is the column `split`: `train`, `validation` or `test`.",
	example: `split: {by: user_id, train: 80%, validation: 10%, test: 10%}
split: {by: time, train: {before: 2013-03-01}, test: rest, gap: 30d}`,
	keys: []key{
		{name: "by", shape: &shape{format: refText, items: text(refText)}, required: true, doc: "A column of the spine, or several, whose hash decides; or `time`: the instant."},
		{name: "train", shape: splitPartShape, required: true, doc: "The first part: a share of the [buckets](../exports.md#buckets), or with `by: time` its end."},
		{name: "validation", shape: splitPartShape, doc: "The next part."},
		{name: "test", shape: splitPartShape, doc: "The last part. The word `rest` for the last of the parts is all that is left."},
		{name: "gap", shape: text(durationText), standard: "0s", doc: "With `by: time`: rows of this long behind the end of a part are left out, and counted. As long as a label looks ahead, it keeps what one part's labels saw out of the next."},
		{name: "salt", shape: text(anyText), standard: "split", doc: "Another salt gives another split by hash."},
		{name: "files", shape: text(boolText), standard: "false", doc: "A file for each part in place of the column: of `out.parquet`, `out.train.parquet` and so on."},
	},
}

var splitPartShape = &shape{format: splitShareText, object: splitPartGrammar}

var splitPartGrammar = &object{
	name:    "split_part",
	doc:     "The end of a part of a split by time.",
	example: "train: {before: 2013-03-01}",
	keys: []key{
		{name: "before", shape: text(instantText), required: true, doc: "Rows of earlier instants, and not of an earlier part, are in it; an instant, or a date: its midnight in UTC."},
	},
}
