package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

// sourceText describes one source of a random pipeline.
type sourceText struct {
	name, topic, time, order, deadTopic string
}

// aggregates and what they take: any column, one that is ordered, or a number.
var (
	numbers = []string{"amount", "n", "ratio", "price", "extra", "twice", "net", "geo.x"}
	ordered = append([]string{"note", "kind", "ts", "flag", "place.city", "geo.zone"}, numbers...)
	wheres  = []string{"big", "flag", "far", `kind == "web"`, "amount > 0 and n < 500", "note == nil"}
	windows = []string{"1s", "1m", "10m", "1h", "3h", "24h", "7d"}
)

// pipelineText writes a random pipeline over the sources: several views, entities, every aggregate, all
// kinds of windows, filters, defaults, times to live, and sets over them.
func pipelineText(rng *rand.Rand, brokers []string, registry string, sources []sourceText) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("pipeline: e2e")
	p("state: {memory: 256MiB, flush: 200ms}")
	p("sources:")
	for _, s := range sources {
		p("  %s:", s.name)
		p("    kafka: {brokers: [%q], topic: %s, start: earliest}", strings.Join(brokers, `", "`), s.topic)
		p("    schema: {registry: %q, subject: %s-value}", registry, s.topic)
		p("    time: %s", s.time)
		p("    ahead: 10m")
		p("    idle: 12h")
		if s.order != "" {
			p("    order: %s", s.order)
		}
		if s.deadTopic != "" {
			p("    on_error: {dead_letter: %s}", s.deadTopic)
		}
	}
	p("entities:")
	p("  user: {user: string}")
	p("  pair: {user: string, merchant: string}")
	p("  place: {shard: long, kind: string}")
	p("views:")
	entities := []string{"user", "pair", "place", "user"}
	for i, entity := range entities {
		p("  v%d:", i)
		p("    source: %s", sources[i%len(sources)].name)
		p("    entity: %s", entity)
		if i > 0 && rng.IntN(2) == 0 {
			p("    where: %s", pick(rng, []string{`note != "drop" or note == nil`, "shard >= 0", "amount != nil"}))
		}
		p("    columns: {big: amount > 50, twice: n * 2, net: amount - ratio, far: 'place.city != \"Bonn\"'}")
		if h := []string{"2d", "", "6h", "45d"}[i]; h != "" {
			p("    history: %s", h)
		}
		p("    features:")
		for k := range 8 + rng.IntN(8) {
			p("      f%d: {%s}", k, featureText(rng, i))
		}
		if i%2 == 0 {
			p("    each:")
			p("      - {of: amount, do: [count, sum, avg, min, max, stddev], over: [1h, 24h, lifetime]}")
		}
	}
	p("feature_sets:")
	p("  both:")
	p("    entities: [user, pair]")
	p("    request: {limit: double, word: string}")
	p("    features:")
	p("      - v0.amount_sum_1h")
	p("      - v3.f0")
	p("      - v1.f1")
	p("      - {name: share, expr: v0.amount_sum_1h / limit, default: -1}")
	p("      - {name: renamed, expr: v0.amount_avg_1h, default: -2}")
	p("      - {name: many, expr: v0.amount_count_24h > 3 and word == \"x\"}")
	p("      - {name: twice_share, expr: share * 2}")
	return b.String()
}

// featureText is one random feature of view i.
func featureText(rng *rand.Rand, i int) string {
	aggregate := pick(rng, []string{"count", "sum", "avg", "min", "max", "first", "last", "variance", "stddev", "variance_pop", "stddev_pop"})
	of, typed := "", false
	switch aggregate {
	case "count":
		of = pick(rng, append([]string{`"*"`}, ordered...))
	case "min", "max", "first", "last":
		of = pick(rng, ordered)
	default:
		of = pick(rng, numbers)
	}
	typed = slices.Contains(numbers, of) && of != "price"
	s := aggregate + ": " + of
	switch k := rng.IntN(10); {
	case k < 6:
		s += ", window: " + pick(rng, windows)
	case k < 8 && aggregate != "last":
		s += fmt.Sprintf(", last: %d", pick(rng, []int{1, 3, 10, 100}))
	}
	if rng.IntN(3) == 0 {
		w := pick(rng, wheres)
		if strings.ContainsAny(w, " ") {
			w = "'" + w + "'"
		}
		s += ", where: " + w
	}
	if rng.IntN(4) == 0 {
		s += ", ttl: " + pick(rng, []string{"10m", "2h", "30h"})
	}
	if typed && rng.IntN(4) == 0 {
		s += ", default: -1"
	}
	return s
}

// compile writes the pipeline file and compiles it, with the newest schema as every subject's.
func compile(t *testing.T, text string) (path string, plan *pipeline.Plan) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pipeline.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := schemas.Parse([]byte(versions[len(versions)-1]))
	if err != nil {
		t.Fatal(err)
	}
	plan, mistakes := pipeline.Load(path, pipeline.Options{Subject: func(pipeline.RegistryRef) (*schemas.Schema, error) { return reader, nil }})
	if plan == nil {
		t.Fatalf("%v\n%s", mistakes, text)
	}
	return path, plan
}

// TestPipelineTexts: every random pipeline is one that check takes.
func TestPipelineTexts(t *testing.T) {
	for seed := range uint64(100) {
		compile(t, pipelineText(rand.New(rand.NewPCG(seed, 0)), []string{"b:9092"}, "http://localhost", twoSources(seed)))
	}
}

// twoSources are a source with instants and one with plain milliseconds.
func twoSources(seed uint64) []sourceText {
	s := []sourceText{{name: "a", topic: "alpha", time: "ts"}, {name: "b", topic: "beta", time: "{field: at, unit: ms}"}}
	s[seed%2].order = "seq"
	return s
}
