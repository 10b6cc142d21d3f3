package proof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Case is a random pipeline.
type Case struct {
	Text string
	Plan *pipeline.Plan
	Has  map[string]bool // what came up: pairs, kinds, options
}

// Options choose what a random pipeline is like.
type Options struct {
	Pairs []Pair  // one feature at least for each
	Kinds []Kind  // of v0, v1, and of the view that they read if one of them does
	Order bool    // the sources have an `order:` column
	Small bool    // few features beside those of Pairs
	Long  bool    // history is so long that nothing is late and no instant is before it
	Brief [2]bool // v0, v1: windows and history are hours, so that most events are older than what is kept

	Brokers []string // of topics that exist: for a real process, whose commits come often and whose partitions never leave

	Exports int // as many training tables, with labels and a feature set; each view has a canary, too
}

// made is a feature that other views may read.
type made struct {
	name string // dotted
	t    event.Type
}

// writer writes a pipeline.
type writer struct {
	rng *rand.Rand
	o   Options
	b   strings.Builder
	has map[string]bool

	drawn map[string]*drawing // by view
	sharp map[string]bool     // labels that are numbers or booleans, known to the bit
	bound map[string]bool     // labels that read no other view, and so may be spines
}

func (w *writer) p(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

// Random makes a pipeline in dir: two views with a feature for each pair and what else there is (conditions,
// defaults, times to live, ratios, aggregates of aggregates), and one that they read.
func Random(rng *rand.Rand, dir string, o Options) (*Case, error) {
	w := &writer{rng: rng, o: o, has: map[string]bool{}, drawn: map[string]*drawing{}, sharp: map[string]bool{}, bound: map[string]bool{}}
	w.p("pipeline: proof")
	if o.Brokers == nil {
		w.p("state: {memory: 64MiB, flush: 1h}")
	} else {
		w.p("state: {memory: 256MiB, flush: 200ms}")
	}
	w.sources()
	w.p("entities:")
	w.p("  user: {user: string}")
	w.p("  pair: {user: string, flag: boolean}")
	w.p("  text: {s: string}")
	w.p("  buyer: {buyer: string}")
	w.p("views:")
	var read []made
	if o.Kinds[0].Lookup || o.Kinds[1].Lookup {
		brief := (o.Brief[0] || !o.Kinds[0].Lookup) && (o.Brief[1] || !o.Kinds[1].Lookup)
		read = w.view("r", o.Kinds[2], pick(rng, []string{"user", "pair", "text"}), brief, baseFeatures(rng), nil)
		w.has["read "+o.Kinds[2].String()] = true
	}
	var pairs [2][]Pair
	for i, p := range o.Pairs {
		i %= 2
		if o.Brief[i] && p.long() {
			i = 1 - i
		}
		if !o.Brief[i] || !p.long() {
			pairs[i] = append(pairs[i], p)
		}
	}
	for i := range pairs {
		if pairs[i] == nil {
			pairs[i] = []Pair{{Aggregate: "count", Window: "rolling"}}
		}
	}
	more := w.view("v1", o.Kinds[1], pick(rng, []string{"pair", "pair", "text", "user"}), o.Brief[1], pairs[1], read)
	if o.Kinds[0].Lookup && o.Kinds[1].Lookup {
		w.has["a view that reads one that reads one"] = true
		rng.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		read = append(read, more[:min(3, len(more))]...)
	}
	w.view("v0", o.Kinds[0], "user", o.Brief[0], pairs[0], read)

	for name, schema := range schemaTexts {
		if err := os.WriteFile(filepath.Join(dir, name+".avsc"), []byte(schema), 0o600); err != nil {
			return nil, err
		}
	}
	if o.Exports > 0 {
		if err := w.tables(dir); err != nil {
			return nil, err
		}
	}
	plan, err := w.compile(dir)
	return &Case{Text: w.b.String(), Plan: plan, Has: w.has}, err
}

// compile compiles what is written so far.
func (w *writer) compile(dir string) (*pipeline.Plan, error) {
	plan, mistakes := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(w.b.String()), pipeline.Options{})
	if plan == nil {
		return nil, fmt.Errorf("%v\n%s", mistakes, w.b.String())
	}
	return plan, nil
}

// sources writes those that are used, in any order.
func (w *writer) sources() {
	w.p("sources:")
	names := []string{"e"}
	if w.twoSources() {
		names = append(names, "g")
		w.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	for _, name := range names {
		w.p("  %s:", name)
		if brokers := w.o.Brokers; brokers == nil {
			w.p("    kafka: {brokers: [\"b:9092\"], topic: %s}", name)
		} else {
			w.p("    kafka: {brokers: [%q], topic: %s, start: earliest}", strings.Join(brokers, `", "`), name)
			w.p("    idle: 12h")
		}
		w.p("    schema: {file: %s.avsc}", name)
		w.p("    time: %s", map[string]string{"e": "ts", "g": "{field: at, unit: ms}"}[name])
		w.p("    ahead: 10m")
		if w.o.Order {
			w.p("    order: seq")
		}
	}
}

// twoSources tells whether a view reads g too.
func (w *writer) twoSources() bool {
	k := w.o.Kinds
	return k[0].Union || k[1].Union || (k[0].Lookup || k[1].Lookup) && k[2].Union
}

// baseFeatures are those of the view that others read.
func baseFeatures(rng *rand.Rand) (out []Pair) {
	for range 5 {
		out = append(out, Pair{pick(rng, lookedUp), pick(rng, []string{"rolling", "tumbling", "session", "lifetime", "last", "hopping", "day"}), rng.IntN(6) == 0})
	}
	return out
}

// lookedUp lists aggregates that other views may read: those of which there is one right answer.
var lookedUp = []string{
	"count", "sum", "avg", "min", "max", "first", "last", "mode", "lag", "count_distinct", "last_k", "collect_set", "bool_or", "stddev", "time_since_last", "drawdown",
}

// view writes a view, and lists its features that others may read.
func (w *writer) view(name string, k Kind, entity string, brief bool, pairs []Pair, read []made) (out []made) {
	rng := w.rng
	w.has[k.String()] = true
	flat := ""
	if k.Flatten {
		flat = pick(rng, flattened)
		w.has["flatten "+flat] = true
	}
	types := typesOf(flat)
	if flat == "items" && entity == "user" && rng.IntN(2) == 0 {
		entity = "buyer"
	}
	d := &drawing{rng: rng, brief: brief, columns: known(types, texts), keys: ordered(known(types, keys)), has: w.has}
	for _, c := range known(types, conditions) {
		d.conditions = append(d.conditions, c.Name)
	}
	w.drawn[name] = d
	w.p("  %s:", name)
	w.viewSources(k.Union)
	w.p("    entity: %s", entity)
	if flat != "" {
		w.p("    flatten: %s", flat)
	}
	if k.Sample {
		w.p("    sample: {by: %s, keep: %s}", pick(rng, []string{"user", "s", "n", "id", "amount"}), pick(rng, []string{"20%", "0.5", "90%"}))
	}
	if k.Dedupe {
		w.p("    dedupe: {by: %s, within: %s}", pick(rng, []string{"id", "id", "n", "s", "n + len(longs)"}), pick(rng, []string{"1s", "1m", "1h", "6h", "2d"}))
	}
	if rng.IntN(2) == 0 {
		w.p("    where: %s", pick(rng, []string{`s != "drop" or s == nil`, "n != 7", "amount != nil", `not ("z" in attrs) or n == nil`}))
	}
	w.columns(d, k, types, read)
	w.horizons(d)
	w.p("    features:")
	for i, p := range pairs {
		text, t := d.feature(p)
		w.p("      f%d: {%s}", i, text)
		if name != "r" {
			w.has[p.String()] = true
		}
		if slices.Contains(lookedUp, p.Aggregate) && (t.Kind != event.Map || d.rng.IntN(2) == 0) {
			out = append(out, made{name + fmt.Sprintf(".f%d", i), t})
		}
	}
	if name == "r" {
		return out
	}
	if w.o.Exports > 0 {
		w.p("      canary: {max: ts, default: null}")
	}
	more := 3
	if w.o.Small {
		more = rng.IntN(2) // and an aggregate of an aggregate takes the oracle long
	}
	for i := range more {
		w.p("      r%d: {%s}", i, d.ratio())
		w.p("      o%d: {%s}", i, d.outer())
	}
	if rng.IntN(3) == 0 && !d.dflt {
		w.has["each"] = true
		over := "[1h, {tumbling: 1h}, {session: 5m}, lifetime, {last: 3}]"
		w.p("    each:")
		w.p("      - {of: %s, do: [count, sum, max, stddev], over: %s}", pick(rng, []string{"amount", "n"}), over)
	}
	return out
}

// viewSources writes where events come from.
func (w *writer) viewSources(union bool) {
	if !union {
		w.p("    source: e")
		return
	}
	entry := "{source: g, columns: " + mapped
	if w.rng.IntN(3) == 0 {
		entry += ", where: " + quoted(pick(w.rng, []string{"cents > -5000", "flag", "n != 3"}))
	}
	list := []string{"e", entry + "}"}
	w.rng.Shuffle(2, func(i, j int) { list[i], list[j] = list[j], list[i] })
	w.p("    sources:")
	for _, item := range list {
		w.p("      - %s", item)
	}
}

// columns writes the computed ones, and those that read other views.
func (w *writer) columns(d *drawing, k Kind, types map[string]event.Type, read []made) {
	w.p("    columns:")
	w.p("      net: amount * 2 - n")
	if types["items.buyer"].Kind == event.String {
		w.p("      buyer: items.buyer")
	} else { // where other views are of buyers
		w.p("      buyer: coalesce(user, s)")
	}
	if !k.Lookup {
		return
	}
	dotted := typesOf("")
	for name, t := range types {
		dotted[name] = t
	}
	delete(dotted, "net") // visible, but so there is a column fewer that may be null
	var texts []string
	for _, m := range read {
		t := m.t
		t.Nullable = true
		dotted[m.name] = t
		texts = append(texts, m.name, m.name, "amount - "+m.name, m.name+" ?? 7", "n > "+m.name, m.name+" == s", "len("+m.name+")", m.name+"[0]", m.name+`["a"]`)
	}
	all := known(dotted, texts)
	for i := range 4 {
		c := pick(w.rng, all)
		w.p("      look%d: %s", i, quoted(c.Name))
		d.derived = append(d.derived, pipeline.Column{Name: fmt.Sprintf("look%d", i), Type: c.Type})
	}
}

// horizons writes how far back a view can be asked, and what holds for all of its features.
func (w *writer) horizons(d *drawing) {
	rng := w.rng
	histories := []string{"", "1d", "10d", "60d"}
	if d.brief {
		histories = []string{"10m", "1h", "6h", "1d", "3d"}
	}
	if history := pick(rng, histories); w.o.Long {
		w.p("    history: 4000d")
	} else if history != "" {
		w.p("    history: %s", history)
	}
	if rng.IntN(6) == 0 {
		w.has["ttl of a view"] = true
		w.p("    ttl: %s", pick(rng, []string{"1h", "2d"}))
	}
	if d.dflt = rng.IntN(5) == 0; d.dflt {
		w.has["default of a view"] = true
		w.p("    default: 7")
	}
}

// Needed lists all that random pipelines must bring up.
func Needed() (out []string) {
	for _, p := range Pairs(0) {
		out = append(out, p.String())
		if p.Window == "rolling" {
			out = append(out, "by of "+p.Aggregate)
		}
	}
	for _, k := range Kinds(0, true) {
		out = append(out, k.String())
		if !k.Lookup {
			out = append(out, "read "+k.String())
		}
	}
	for _, flat := range flattened {
		out = append(out, "flatten "+flat)
	}
	for _, kind := range []event.Kind{event.Double, event.Long, event.String, event.Bool, event.Decimal, event.Date, event.Timestamp} {
		out = append(out, "default of "+kind.String())
	}
	return append(out, "default of a list", "default of a map", "by of an aggregate of an aggregate", "inner ratio", "by in the order of answers", "inner default",
		"where over other views", "ttl", "ttl of a view", "default of a view", "each", "by a derived column", "a view that reads one that reads one")
}
