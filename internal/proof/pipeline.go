package proof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// schemaText is the reader schema of every random pipeline.
const schemaText = `{"type":"record","name":"e","fields":[
 {"name":"user","type":["null","string"]},
 {"name":"amount","type":["null","double"]},
 {"name":"n","type":["null","long"]},
 {"name":"s","type":["null","string"]},
 {"name":"flag","type":["null","boolean"]},
 {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}]},
 {"name":"day","type":["null",{"type":"int","logicalType":"date"}]},
 {"name":"vec","type":["null",{"type":"array","items":["null","double"]}]},
 {"name":"longs","type":["null",{"type":"array","items":"long"}]},
 {"name":"seq","type":"long"},
 {"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}]}`

// columns are what aggregates are over, with their types.
var columns = []pipeline.Column{
	{Name: "amount", Type: event.Type{Kind: event.Double, Nullable: true}},
	{Name: "n", Type: event.Type{Kind: event.Long, Nullable: true}},
	{Name: "net", Type: event.Type{Kind: event.Double, Nullable: true}},
	{Name: "s", Type: event.Type{Kind: event.String, Nullable: true}},
	{Name: "flag", Type: event.Type{Kind: event.Bool, Nullable: true}},
	{Name: "price", Type: event.Type{Kind: event.Decimal, Nullable: true, Scale: 2}},
	{Name: "day", Type: event.Type{Kind: event.Date, Nullable: true}},
	{Name: "ts", Type: event.Type{Kind: event.Timestamp, Nullable: true}},
	{Name: "vec", Type: event.Type{Kind: event.List, Nullable: true, Elem: &event.Type{Kind: event.Double, Nullable: true}}},
	{Name: "longs", Type: event.Type{Kind: event.List, Nullable: true, Elem: &event.Type{Kind: event.Long}}},
}

var conditions = []string{"amount > 0", "flag", `s == "a"`, "n > 0 and amount < 50", "amount == nil", "not flag"}

// Case is a random pipeline.
type Case struct {
	Text  string
	Plan  *pipeline.Plan
	Pairs map[Pair]bool // of aggregate and window that it has
}

// Options choose what a random pipeline is like.
type Options struct {
	Pairs []Pair // one feature at least for each
	Order bool   // the source has an `order:` column
	Small bool   // few features beside those of Pairs
	Long  bool   // history is so long that nothing is late and no instant is before it
}

// Random makes a pipeline in dir: two views over one source, with a feature for each pair and what else
// there is: conditions, defaults, times to live, ratios, aggregates of aggregates, maps by a column.
func Random(rng *rand.Rand, dir string, o Options) (*Case, error) {
	c := &Case{Pairs: map[Pair]bool{}}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("pipeline: proof")
	p("state: {memory: 64MiB, flush: 1h}")
	p("sources:")
	p("  e:")
	p("    kafka: {brokers: [\"b:9092\"], topic: e}")
	p("    schema: {file: e.avsc}")
	p("    time: ts")
	p("    ahead: 10m")
	if o.Order {
		p("    order: seq")
	}
	p("entities:")
	p("  user: {user: string}")
	p("  pair: {user: string, flag: boolean}")
	p("views:")
	for i, entity := range []string{"user", "pair"} {
		p("  v%d:", i)
		p("    source: e")
		p("    entity: %s", entity)
		if rng.IntN(2) == 0 {
			p("    where: %s", pick(rng, []string{`s != "drop" or s == nil`, "n != 7", "amount != nil"}))
		}
		p("    columns: {net: amount * 2 - n}")
		if history := pick(rng, []string{"", "1d", "10d", "60d"}); o.Long {
			p("    history: 4000d")
		} else if history != "" {
			p("    history: %s", history)
		}
		p("    features:")
		for k, pair := range o.Pairs {
			if k%2 != i {
				continue
			}
			p("      f%d: {%s}", k, featureText(rng, pair))
			c.Pairs[pair] = true
		}
		more := 3
		if o.Small {
			more = rng.IntN(2) // and an aggregate of an aggregate takes the oracle long
		}
		for k := range more {
			p("      r%d: {%s}", k, ratioText(rng))
			p("      o%d: {%s}", k, outerText(rng))
		}
	}
	c.Text = b.String()
	if err := os.WriteFile(filepath.Join(dir, "e.avsc"), []byte(schemaText), 0o600); err != nil {
		return nil, err
	}
	plan, mistakes := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(c.Text), pipeline.Options{})
	if plan == nil {
		return nil, fmt.Errorf("%v\n%s", mistakes, c.Text)
	}
	c.Plan = plan
	return c, nil
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// featureText is a feature of the pair, with random parameters and options.
func featureText(rng *rand.Rand, p Pair) string {
	if p.Aggregate == "ratio" {
		s := fmt.Sprintf("ratio: {of: {%s}, to: {%s}}%s", termText(rng, p.Window), termText(rng, p.Window), p.window(rng))
		if rng.IntN(3) == 0 {
			s += byText(rng, true)
		}
		return s
	}
	t := aggregateText(rng, p.Aggregate)
	s := t.text + p.window(rng)
	if rng.IntN(3) == 0 {
		s += ", where: '" + pick(rng, conditions) + "'"
	}
	if rng.IntN(6) == 0 {
		s += ", ttl: " + pick(rng, []string{"10m", "2h", "30h"})
	}
	if rng.IntN(4) == 0 {
		b := byText(rng, p.Aggregate != "drawdown")
		if t.answer.Ordered() && slices.Contains(exactly, p.Aggregate) && rng.IntN(2) == 0 {
			b = strings.Replace(b, ", top:", ", order: value, top:", 1)
		}
		s += b
	} else if t.answer.Kind == event.Double && rng.IntN(4) == 0 {
		s += ", default: -1"
	}
	return s
}

// exactly are aggregates whose answers the oracle knows to the bit, and so their order.
var exactly = []string{"count", "sum", "avg", "min", "max", "first", "last", "count_distinct", "mode"}

// byText makes a map of a feature.
func byText(rng *rand.Rand, rest bool) string {
	b, limit := ", by: {column: "+pick(rng, []string{"s", "flag", "day", "n"}), pick(rng, []int{1, 2, 5, 1000})
	if rng.IntN(2) == 0 {
		b += fmt.Sprintf(", top: %d", 1+rng.IntN(min(limit, 3)))
	}
	if rest && rng.IntN(2) == 0 {
		b += ", rest: " + pick(rng, []string{"other", "a"})
	}
	return b + fmt.Sprintf(", limit: %d}", limit)
}

// aggregate is the text of one, and its type.
type aggregate struct {
	text   string
	answer event.Type
}

// aggregateText is an aggregate over a random column that it is defined on, with random parameters.
func aggregateText(rng *rand.Rand, name string) aggregate {
	f, ok := agg.ByName(name)
	if !ok {
		panic("no aggregate " + name)
	}
	least, most, star := f.Columns()
	for {
		var in, second event.Type
		of := `"*"`
		if !star || rng.IntN(3) > 0 {
			c := pick(rng, columns)
			in, of = c.Type, c.Name
			if least == 2 || most == 2 && rng.IntN(2) == 0 {
				d := pick(rng, columns)
				second, of = d.Type, "["+c.Name+", "+d.Name+"]"
			}
		}
		p, text := params(rng, f, in)
		if _, _, t, err := agg.Bind(f, in, second, p); err == nil {
			return aggregate{name + ": " + of + text, t}
		}
	}
}

// params draws parameters for f over a column of type in.
func params(rng *rand.Rand, f agg.Func, in event.Type) (p agg.Params, text string) {
	var b strings.Builder
	set := func(name string, value any) { fmt.Fprintf(&b, ", %s: %v", name, value) }
	whole := func(n int) *int { return &n }
	takes := f.Params()
	for _, name := range takes {
		switch name {
		case "k":
			p.K = whole(1 + rng.IntN(5))
			set(name, *p.K)
		case "n":
			p.N = whole(rng.IntN(7) - 3)
			set(name, *p.N)
		case "limit":
			if f != agg.CollectList && f != agg.CollectSet && rng.IntN(2) == 0 {
				continue // the default
			}
			p.Limit = whole(pick(rng, []int{1, 2, 3, 5, 100}))
			set(name, *p.Limit)
		case "distinct":
			if p.Distinct = rng.IntN(2) == 0; p.Distinct {
				set(name, true)
			}
		case "q":
			p.Quantiles = []float64{pick(rng, []float64{0, 0.1, 0.5, 0.95, 1})}
			if f == agg.Quantiles {
				p.Quantiles = []float64{0.25, 0.5, 0.99}[:1+rng.IntN(3)]
				set(name, floats(p.Quantiles))
				continue
			}
			set(name, p.Quantiles[0])
		case "buckets":
			p.Buckets = []float64{-50, 0, 0.5, 100}[:1+rng.IntN(4)]
			set(name, floats(p.Buckets))
		case "per":
			if rng.IntN(2) == 0 {
				p.Per = pick(rng, []event.Duration{event.Minute, 7 * event.Millisecond, event.Day})
				set(name, p.Per)
			}
		case "half_life":
			p.HalfLife = pick(rng, []event.Duration{event.Second, 7 * event.Minute, event.Hour, 30 * event.Day})
			set(name, p.HalfLife)
		case "accuracy":
			if rng.IntN(2) == 0 {
				p.Accuracy = pick(rng, []float64{0.001, 0.05})
				set(name, p.Accuracy)
			}
		case "dim":
			if in.Kind == event.List {
				p.Dim = 2 + rng.IntN(2)
				set(name, p.Dim)
			}
		default:
			panic("proof: an aggregate takes " + name + ", which is not known here")
		}
	}
	return p, b.String()
}

func floats(list []float64) string {
	out := make([]string, len(list))
	for i, f := range list {
		out[i] = strconv.FormatFloat(f, 'g', -1, 64)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// numeric lists the aggregates whose answers may be divided.
var numeric = []string{"count", "sum", "avg", "min", "max", "stddev", "rate", "decayed_sum", "median", "count_distinct", "lag"}

// termText is one of a ratio's terms over a kind of window.
func termText(rng *rand.Rand, kind string) string {
	names := agg.Names()
	for {
		name := pick(rng, numeric)
		if !slices.Contains(names, name) || refused(name, kind) {
			continue
		}
		t := aggregateText(rng, name)
		if !t.answer.Numeric() {
			continue
		}
		if rng.IntN(2) == 0 {
			t.text += ", where: '" + pick(rng, conditions) + "'"
		}
		return t.text
	}
}

func ratioText(rng *rand.Rand) string { return featureText(rng, Pair{"ratio", pick(rng, Windows)}) }

// outerText is an aggregate of an aggregate.
func outerText(rng *rand.Rand) string {
	inner := pick(rng, []string{
		"{tumbling: 1h}", "{tumbling: 1d}", "{hopping: 6h, every: 1h}", "{hopping: 1d, every: 12h}",
		"{calendar: day}", "{calendar: day, zone: America/New_York}", "{calendar: week}",
	})
	window := pick(rng, []string{
		"30d", "20d12h", "{tumbling: 4w}", "{tumbling: 4w, current: true}", "{hopping: 30d, every: 1d}",
		"{calendar: month, zone: Asia/Kolkata}", "{calendar: month, current: true}", "{from: 30d, to: 1d}",
	})
	names := agg.Names()
	for {
		name, within := pick(rng, names), pick(rng, names)
		if name == "ratio" || within == "ratio" || refused(within, "tumbling") || refused(name, "rolling") {
			continue
		}
		t := aggregateText(rng, within)
		if rng.IntN(6) == 0 {
			t = aggregate{fmt.Sprintf("ratio: {of: {%s}, to: {%s}}", termText(rng, "tumbling"), termText(rng, "tumbling")), event.Type{Kind: event.Double, Nullable: true}}
			within = "ratio"
		}
		f, _ := agg.ByName(name)
		if least, _, _ := f.Columns(); least != 1 {
			continue
		}
		p, params := params(rng, f, t.answer)
		if _, _, _, err := agg.Bind(f, t.answer, event.Type{}, p); err != nil {
			continue
		}
		if rng.IntN(3) == 0 {
			t.text += ", where: '" + pick(rng, conditions) + "'"
		}
		if t.answer.Kind == event.Double && rng.IntN(3) == 0 {
			t.text += ", default: -1.5"
		}
		s := fmt.Sprintf("%s: {%s, window: %s}%s, window: %s", name, t.text, inner, params, window)
		if rng.IntN(2) == 0 {
			s += ", empty: count"
		}
		if rng.IntN(4) == 0 {
			s += byText(rng, within != "drawdown")
		}
		return s
	}
}
