package pipeline

var keyTypes = []string{"string", "long", "int", "boolean", "bytes", "date", "timestamp"}

var requestTypes = []string{"boolean", "int", "long", "float", "double", "string", "bytes", "timestamp", "date"}

var fileFormats = []string{"avro", "parquet", "csv", "jsonl"}

// grammar is the root of the pipeline file.
var grammar = &object{
	name: "pipeline",
	doc:  "A pipeline file names the sources of events, the entities they are about, the features computed over them, and the feature sets that models take.",
	keys: []key{
		{name: "pipeline", shape: text(pipelineText), required: true, doc: "The name of the pipeline: letters, digits, `_`, `-` and `.`."},
		{name: "state", shape: &shape{object: stateGrammar}, doc: "How the state is kept."},
		{name: "serve", shape: &shape{object: serveGrammar}, doc: "What serving does beside answering."},
		{name: "sources", shape: &shape{names: &shape{object: sourceGrammar}, label: "source"}, required: true, doc: "The sources of events, by name."},
		{name: "entities", shape: &shape{names: &shape{names: typeShape(keyTypes), label: "key"}, label: "entity"}, required: true, doc: "What features are about, by name: the key columns and their types (" + joinCode(keyTypes) + "). Several columns make a composite key."},
		{name: "views", shape: &shape{names: &shape{object: viewGrammar}, label: "view"}, required: true, doc: "The feature views, by name: features of one entity computed from one source."},
		{name: "feature_sets", shape: &shape{names: &shape{object: setGrammar}, label: "feature set"}, doc: "The feature sets, by name: the ordered columns that a model takes."},
		{name: "labels", shape: labelsShape, doc: "The labels, by name: what comes after an instant, for models to learn from."},
		{name: "exports", shape: exportsShape, doc: "The exports, by name: training tables."},
	},
}

func typeShape(types []string) *shape { return &shape{format: columnTypeText, enum: types} }

var stateGrammar = &object{
	name:    "state",
	doc:     "How the state is kept.",
	example: "state: {memory: 1GiB, flush: 5s}",
	keys: []key{
		{name: "memory", shape: text(sizeText), standard: "1GiB", doc: "All memory that the process manages: queues, caches, what is not yet on disk."},
		{name: "flush", shape: text(spanText), standard: "5s", doc: "The recovery bound: after a crash, events of at most about this span are read again."},
		{name: "disk_free", shape: text(sizeText), standard: "the smaller of 5 % and 2GiB", doc: "Stop consuming when less is free on the disk. Never less than four of the tables that the store fills in memory, about 100MiB with the default memory."},
	},
}

var serveGrammar = &object{
	name:    "serve",
	doc:     "What serving does beside answering.",
	example: "serve: {log: {sample: 5%}}",
	keys: []key{
		{name: "log", shape: &shape{object: servingLogGrammar}, required: true, doc: "Keep what was served of some entities."},
	},
}

var servingLogGrammar = &object{
	name:    "serving log",
	doc:     "A log of served vectors, in files of one JSON object a line: each a row of training data, a spine of exports, and what `penstock verify --log` compares.",
	example: "log: {sample: 5%, keep: 4GiB}",
	keys: []key{
		{name: "sample", shape: text(shareText), standard: "1%", doc: "The share of entities, chosen by a hash of their keys: all that is served of one is logged, or nothing."},
		{name: "file", shape: text(sizeText), standard: "64MiB", doc: "How large a file gets before the next one begins."},
		{name: "keep", shape: text(sizeText), standard: "1GiB", doc: "How much is kept: the oldest files are deleted beyond it."},
		{name: "path", shape: text(anyText), standard: "`served` in the state directory", doc: "The folder, relative to the pipeline file's."},
	},
}

var sourceGrammar = &object{
	name: "source",
	doc:  "A source of events: a Kafka topic or files.",
	example: `sources:
  transactions:
    kafka: {brokers: ["${KAFKA_BROKERS:-localhost:9092}"], topic: transactions}
    schema: {registry: "http://localhost:8081"}
    time: ts`,
	keys: []key{
		{name: "kafka", shape: &shape{object: kafkaGrammar}, oneOf: "kafka or file", doc: "A topic."},
		{name: "file", shape: &shape{object: fileGrammar}, oneOf: "kafka or file", doc: "Files, read once to their end."},
		{name: "schema", shape: &shape{object: schemaGrammar}, doc: "The schema of the events. Avro container files and Parquet files bring their own; a topic, csv and jsonl need one."},
		{name: "time", shape: &shape{format: refText, object: timeGrammar}, required: true, doc: "The field that is the event time: its name if it has a timestamp type, else `{field: ts, unit: ms}`."},
		{name: "order", shape: text(refText), doc: "A field that orders events of the same time. Without it they are ordered by source, partition and offset."},
		{name: "ahead", shape: text(durationText), standard: "5m", doc: "An event dated further than this after its arrival is a dead letter, so that one bad clock does not move the watermark."},
		{name: "idle", shape: text(spanText), standard: "1m", doc: "A partition that is read to its end and has no event for this long no longer holds the horizon back."},
		{name: "arrival_lag", shape: text(durationText), standard: "0s", doc: "Files: a row is taken to have arrived this long after its event time."},
		{name: "on_error", shape: &shape{object: errorGrammar}, doc: "Where records go that cannot be counted."},
	},
}

var kafkaGrammar = &object{
	name:    "kafka",
	doc:     "A topic of a broker that speaks Kafka's protocol.",
	example: `kafka: {brokers: ["kafka-1:9092", "kafka-2:9092"], topic: transactions, start: earliest}`,
	keys: []key{
		{name: "brokers", shape: &shape{format: brokerText, items: text(brokerText)}, required: true, doc: "Addresses of brokers, host:port: a list, or one text with commas."},
		{name: "topic", shape: text(anyText), required: true, doc: "The topic."},
		{name: "start", shape: text(startText), standard: "earliest", doc: "Where a partition begins that was never read: `earliest`, `latest`, or an instant like 2013-01-05T10:00:00Z: records of that timestamp and later."},
		{name: "group", shape: text(anyText), standard: "the pipeline's name", doc: "The group id under which offsets are shown to lag monitors."},
		{name: "client_id", shape: text(anyText), standard: "penstock", doc: "The client id that the broker sees."},
		{name: "tls", shape: &shape{format: boolText, object: tlsGrammar}, standard: "false", doc: "Encrypt: `true` with the system's roots, or a mapping."},
		{name: "sasl", shape: &shape{object: saslGrammar}, doc: "Log in."},
	},
}

var tlsGrammar = &object{
	name:    "tls",
	doc:     "Encryption to the broker. The paths are PEM files, relative to the pipeline file's folder.",
	example: "tls: {ca: certs/ca.pem, cert: certs/client.pem, key: certs/client.key}",
	keys: []key{
		{name: "ca", shape: text(anyText), standard: "the system's roots", doc: "Certificates of the authorities to trust."},
		{name: "cert", shape: text(anyText), doc: "The client's certificate."},
		{name: "key", shape: text(anyText), doc: "The client's private key."},
		{name: "server_name", shape: text(anyText), standard: "the broker's host", doc: "The name that the broker's certificate must carry."},
	},
}

var saslGrammar = &object{
	name:    "sasl",
	doc:     "A login at the broker.",
	example: `sasl: {mechanism: scram-sha-512, username: penstock, password: "${KAFKA_PASSWORD}"}`,
	keys: []key{
		{name: "mechanism", shape: enum("plain", "scram-sha-256", "scram-sha-512"), required: true, doc: "How to log in."},
		{name: "username", shape: text(anyText), required: true, doc: "The user."},
		{name: "password", shape: &shape{format: secretScalar, object: secretGrammar}, required: true, doc: "The password: a secret."},
	},
}

var secretGrammar = &object{
	name:    "secret",
	doc:     `A secret is never written out in the file: it comes from the environment, "${VAR}", or from a file of its own, from which the line break at its end is cut. It is never printed.`,
	example: "password: {file: /run/secrets/kafka}",
	keys: []key{
		{name: "file", shape: text(anyText), required: true, doc: "The path of the secret's file, relative to the pipeline file's folder."},
	},
}

var fileGrammar = &object{
	name:    "file",
	doc:     "Files as a source: each file is a partition, each row an offset.",
	example: "file: {path: data/flights-*.parquet}",
	keys: []key{
		{name: "path", shape: text(anyText), required: true, doc: "A path or a glob, relative to the pipeline file's folder. Files are read in bytewise order of their paths."},
		{name: "format", shape: enum(fileFormats...), standard: "by each file's name", doc: "The format. avro, csv and jsonl files may be compressed (`.gz`, `.zst`)."},
	},
}

var schemaGrammar = &object{
	name: "schema",
	doc:  "The reader schema: the fields that features can use. From a registry, the latest version when the plan is made.",
	example: `schema: {registry: "http://localhost:8081", subject: transactions-value}
schema: {file: transactions.avsc}`,
	keys: []key{
		{name: "registry", shape: text(urlText), oneOf: "registry or file", doc: "The address of a schema registry. Values begin with a magic byte and the schema's id."},
		{name: "subject", shape: text(anyText), standard: "`<topic>-value`", doc: "The subject in the registry."},
		{name: "username", shape: text(anyText), doc: "The user at the registry."},
		{name: "password", shape: &shape{format: secretScalar, object: secretGrammar}, doc: "The password at the registry: a secret."},
		{name: "file", shape: text(anyText), oneOf: "registry or file", doc: "An Avro schema file (.avsc), relative to the pipeline file's folder."},
	},
}

var timeGrammar = &object{
	name:    "time",
	doc:     "The event time in a plain long.",
	example: "time: {field: ts, unit: ms}",
	keys: []key{
		{name: "field", shape: text(refText), required: true, doc: "The field."},
		{name: "unit", shape: enum("s", "ms", "us", "ns"), doc: "What the long counts since 1970-01-01T00:00:00Z. Not for a field with a timestamp type, which says it itself."},
	},
}

var errorGrammar = &object{
	name:    "on_error",
	doc:     "Dead letters: records that cannot be counted, with reason, position and bytes.",
	example: "on_error: {dead_letter: transactions.dead}",
	keys: []key{
		{name: "dead_letter", shape: text(anyText), doc: "A topic at the source's brokers. Without it, dead letters are kept in the state."},
		{name: "budget", shape: text(sizeText), standard: "256MiB", doc: "How much of them is kept in the state."},
		{name: "keep", shape: text(spanText), standard: "30d", doc: "How long they are kept in the state."},
	},
}

var viewGrammar = &object{
	name: "view",
	doc:  "Features of one entity, computed from one source.",
	example: `views:
  user_spend:
    source: transactions
    entity: user
    where: amount > 0
    columns: {abroad: 'country != "US"'}
    features:
      spend_1h:    {sum: amount, window: 1h}
      abroad_24h:  {count: "*", where: abroad, window: 24h}
      avg_last_10: {avg: amount, last: 10}
    each:
      - {of: amount, do: [count, avg], over: [1h, 7d, lifetime]}`,
	keys: []key{
		{name: "source", shape: text(refText), oneOf: "source or sources", doc: "The source."},
		{name: "sources", shape: &shape{items: &shape{format: refText, object: feedGrammar}}, oneOf: "source or sources", doc: "Several sources: events of each count alike. An entry is a source's name, or a mapping."},
		{name: "entity", shape: text(refText), required: true, doc: "The entity. The source's fields or the view's columns must have its key columns, by name and type; an event whose key is null is a dead letter."},
		{name: "flatten", shape: text(refText), doc: "An array: each of its elements is a row of its own. Of an array of records, `items`, the fields are then those of the element: `items.price`. An event counts with all its elements or, if one cannot be counted, as a dead letter; one without elements is filtered."},
		{name: "where", shape: text(exprText), doc: "Only events for which this is true count."},
		{name: "sample", shape: &shape{object: sampleGrammar}, doc: "Only a share of the events counts, chosen by a hash; the others are filtered."},
		{name: "dedupe", shape: &shape{object: dedupeGrammar}, doc: "Copies that a producer has sent more than once do not count."},
		{name: "columns", shape: &shape{names: text(exprText), label: "column"}, doc: "Computed columns by name, each visible to the later ones and to all below. A column may read features of other views, as `by_user.avg_30d`: each event then has their value as of its own time, late corrections included; only features over a bounded window can take such a column: their aggregate by its name, their `by` and their `where`."},
		{name: "history", shape: text(spanText), standard: "the longest window, at least 30d", doc: "How far back features can be asked for exactly."},
		{name: "ttl", shape: text(spanText), doc: "A value whose newest event is older than this is `expired`."},
		{name: "default", shape: text(literalText), doc: "The answer in place of null. Of a list it is a list, `[]` or `[1, 2]`, of a map a mapping, `{}` or `{US: 0}`."},
		{name: "features", shape: &shape{names: &shape{object: featureGrammar}, label: "feature"}, doc: "The features, by name."},
		{name: "each", shape: &shape{items: &shape{object: eachGrammar}}, doc: "Many features at once, behind those of `features`."},
	},
}

var feedGrammar = &object{
	name: "view_source",
	doc:  "One of several sources of a view. Its columns come before those of the view, so that the rest of the view reads the same names from every source.",
	example: `sources:
  - card_payments
  - {source: cash_payments, columns: {amount: total_cents / 100.0, user_id: customer}, where: not void}`,
	keys: []key{
		{name: "source", shape: text(refText), required: true, doc: "The source."},
		{name: "columns", shape: &shape{names: text(exprText), label: "column"}, doc: "Columns computed from this source's events."},
		{name: "where", shape: text(exprText), doc: "Only events of this source for which this is true count."},
	},
}

var sampleGrammar = &object{
	name:    "sample",
	doc:     "A share of the events, the same on every replay and machine: those of which the hash of `by` falls into the first `keep` of a million buckets (`hash_bucket(by, 1000000)`). By an entity's key all of an entity's events are kept or none.",
	example: "sample: {by: user_id, keep: 10%}",
	keys: []key{
		{name: "by", shape: text(exprText), required: true, doc: "What is hashed."},
		{name: "keep", shape: text(anyText), required: true, doc: "The share: a percentage, or a number above 0 and at most 1."},
	},
}

var dedupeGrammar = &object{
	name:    "dedupe",
	doc:     "Of the events of one entity with the same id, in the order of their event times, one counts if none that counts lies within the horizon before it; the others are duplicates. So of copies it is the first that counts, whatever the order in which they arrive, and an event without an id always counts. Not for a view with `flatten`.",
	example: "dedupe: {by: event_id, within: 24h}",
	keys: []key{
		{name: "by", shape: text(exprText), required: true, doc: "The id: what copies have in common."},
		{name: "within", shape: text(spanText), required: true, doc: "How far apart copies may be in event time; so far apart exactly is within. Reads look back this much further."},
	},
}

var setGrammar = &object{
	name: "feature_set",
	doc:  "The columns that a model takes, in order.",
	example: `feature_sets:
  fraud:
    entities: [user]
    request: {amount: double}
    features:
      - user_spend.spend_1h
      - {name: spend_ratio, expr: amount / user_spend.amount_sum_24h, default: 0}`,
	keys: []key{
		{name: "entities", shape: &shape{items: text(refText)}, required: true, doc: "The entities whose keys a request names."},
		{name: "request", shape: &shape{names: typeShape(requestTypes), label: "request column"}, doc: "Columns that come with the request, and their types (" + joinCode(requestTypes) + ")."},
		{name: "features", shape: &shape{items: &shape{format: dottedText, object: setFeatureGrammar}}, required: true, doc: "`view.feature`, or an expression with a name."},
	},
}

var setFeatureGrammar = &object{
	name:    "set_feature",
	doc:     "A column computed at the request. A dotted name is a view's feature, a bare one a request column or an earlier feature of the set.",
	example: "{name: spend_ratio, expr: amount / user_spend.amount_sum_24h, default: 0}",
	keys: []key{
		{name: "name", shape: text(nameText), required: true, doc: "The answer's name."},
		{name: "expr", shape: text(exprText), required: true, doc: "The expression."},
		{name: "default", shape: text(literalText), doc: "The answer in place of null. Of a list it is a list, `[]` or `[1, 2]`, of a map a mapping, `{}` or `{US: 0}`."},
	},
}

func joinCode(names []string) string {
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += "`" + n + "`"
	}
	return s
}
