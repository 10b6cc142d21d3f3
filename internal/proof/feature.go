package proof

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// drawing is a view whose features are being drawn.
type drawing struct {
	rng        *rand.Rand
	brief      bool // windows reach back for hours
	columns    []pipeline.Column
	derived    []pipeline.Column // those that read other views
	keys       []pipeline.Column // what maps may be by
	conditions []string
	dflt       bool            // the view has a default
	has        map[string]bool // what came up
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// where draws a condition of a feature; derived: one over what reads other views may be.
func (d *drawing) where(derived bool) string {
	if !derived || len(d.derived) == 0 || d.rng.IntN(2) == 0 {
		return ", where: " + quoted(pick(d.rng, d.conditions))
	}
	d.has["where over other views"] = true
	c := pick(d.rng, d.derived)
	s := c.Name + " != nil"
	switch {
	case c.Type.Kind == event.Long || c.Type.Kind == event.Double:
		s = pick(d.rng, []string{s, c.Name + " > 1", c.Name + " < n", "flag or " + c.Name + " > amount"})
	case c.Type.Kind == event.String:
		s = pick(d.rng, []string{s, c.Name + " == s", c.Name + ` < "c"`})
	}
	return ", where: " + quoted(s)
}

// column draws what an aggregate is over: of the plain columns half of the time, of those that read other views
// where that may be.
func (d *drawing) column(derived bool) pipeline.Column {
	if derived && len(d.derived) > 0 && d.rng.IntN(2) == 0 {
		return pick(d.rng, d.derived)
	}
	if d.rng.IntN(2) == 0 {
		return pick(d.rng, d.columns[:min(10, len(d.columns))])
	}
	return pick(d.rng, d.columns)
}

// feature draws a feature of the pair, with random parameters and options, and tells its type.
func (d *drawing) feature(p Pair) (text string, t event.Type) {
	rng := d.rng
	a := aggregate{answer: nullable(event.Double)}
	if p.Aggregate == "ratio" {
		a.text = fmt.Sprintf("ratio: {of: {%s}, to: {%s}}", d.term(p), d.term(p))
	} else {
		a = d.aggregate(p.Aggregate, p.bounded())
	}
	s := a.text + p.window(rng, d.brief)
	if rng.IntN(3) == 0 {
		s += d.where(p.bounded())
	}
	if p.By {
		one := a.answer
		s += d.by(p, one)
		a.answer = event.Type{Kind: event.Map, Nullable: true, Elem: &one}
	}
	return s + d.options(a.answer), a.answer
}

// options draws what may stand beside every feature.
func (d *drawing) options(t event.Type) (s string) {
	if d.rng.IntN(6) == 0 {
		d.has["ttl"] = true
		s += ", ttl: " + pick(d.rng, []string{"10m", "2h", "30h"})
	}
	return s + d.defaults(t)
}

// defaults draws what stands for null.
func (d *drawing) defaults(t event.Type) (s string) {
	value, ok := map[event.Kind]string{
		event.Double: "-1.5", event.Long: "-7", event.String: "none", event.Bool: "true", event.Decimal: "0.25",
		event.Date: "2020-02-29", event.Timestamp: `"2013-01-05T10:00:00Z"`,
	}[t.Kind]
	switch {
	case t.Kind == event.List && d.rng.IntN(4) == 0:
		d.has["default of a list"] = true
		s += ", default: []"
	case t.Kind == event.Map && d.rng.IntN(4) == 0:
		d.has["default of a map"] = true
		s += ", default: {}"
	case ok && d.rng.IntN(3) == 0:
		d.has["default of "+t.Kind.String()] = true
		s += ", default: " + value
	case d.dflt && !slices.Contains([]event.Kind{event.Double, event.Long, event.String, event.Decimal}, t.Kind) || d.dflt && d.rng.IntN(4) == 0:
		s += ", default: null"
	}
	return s
}

// exactly are aggregates whose answers the oracle knows to the bit, and so their order.
var exactly = []string{"count", "sum", "avg", "min", "max", "first", "last", "count_distinct", "mode"}

func (d *drawing) inOrder(p Pair, answer event.Type) bool {
	return answer.Ordered() && slices.Contains(exactly, p.Aggregate) && d.rng.IntN(2) == 0
}

// by draws a map of a feature.
func (d *drawing) by(p Pair, answer event.Type) string {
	rng := d.rng
	d.has["by of "+p.Aggregate] = true
	of := pick(rng, d.keys)
	if len(d.derived) > 0 && p.bounded() && rng.IntN(4) == 0 {
		if x := pick(rng, d.derived); slices.ContainsFunc(d.keys, func(k pipeline.Column) bool { return k.Type.Kind == x.Type.Kind }) {
			of = x
			d.has["by a derived column"] = true
		}
	}
	b, limit := ", by: {column: "+quoted(of.Name), pick(rng, []int{1, 2, 5, 1000})
	if rng.IntN(2) == 0 {
		if d.inOrder(p, answer) {
			d.has["by in the order of answers"] = true
			b += ", order: value"
		}
		b += fmt.Sprintf(", top: %d", 1+rng.IntN(min(limit, 3)))
	}
	if p.Aggregate != "drawdown" && rng.IntN(2) == 0 {
		b += ", rest: " + pick(rng, []string{"other", "a"})
	}
	return b + fmt.Sprintf(", limit: %d}", limit)
}

// aggregate is the text of one, and its type.
type aggregate struct {
	text   string
	answer event.Type
}

// aggregate draws an aggregate over a random column that it is defined on, with random parameters.
func (d *drawing) aggregate(name string, derived bool) aggregate {
	f, ok := agg.ByName(name)
	if !ok {
		panic("no aggregate " + name)
	}
	least, most, star := f.Columns()
	for {
		var in, second event.Type
		of := `"*"`
		if !star || d.rng.IntN(3) > 0 {
			c := d.column(derived)
			in, of = c.Type, quoted(c.Name)
			if least == 2 || most == 2 && d.rng.IntN(2) == 0 {
				c := d.column(derived)
				second, of = c.Type, "["+of+", "+quoted(c.Name)+"]"
			}
		}
		p, text := params(d.rng, f, in)
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

// term draws one of a ratio's terms over a kind of window.
func (d *drawing) term(p Pair) string {
	for {
		name := pick(d.rng, numeric)
		if refused(name, p.Window) {
			continue
		}
		t := d.aggregate(name, p.bounded())
		if !t.answer.Numeric() {
			continue
		}
		if d.rng.IntN(2) == 0 {
			t.text += d.where(p.bounded())
		}
		return t.text
	}
}

// ratio draws a ratio over any window.
func (d *drawing) ratio() string {
	for {
		p := Pair{Aggregate: "ratio", Window: pick(d.rng, Windows)}
		if d.brief && p.long() {
			continue
		}
		text, _ := d.feature(p)
		return text
	}
}

// outer draws an aggregate of an aggregate.
func (d *drawing) outer() string {
	rng := d.rng
	inner := pick(rng, []string{
		"{tumbling: 1h}", "{tumbling: 1d}", "{hopping: 6h, every: 1h}", "{hopping: 1d, every: 12h}",
		"{calendar: day}", "{calendar: day, zone: America/New_York}", "{calendar: week}",
	})
	window := pick(rng, []string{
		"30d", "20d12h", "{tumbling: 4w}", "{tumbling: 4w, current: true}", "{hopping: 30d, every: 1d}",
		"{calendar: month, zone: Asia/Kolkata}", "{calendar: month, current: true}", "{from: 30d, to: 1d}",
	})
	if d.brief {
		inner = pick(rng, []string{"{tumbling: 20m}", "{tumbling: 1h}", "{hopping: 1h, every: 20m}"})
		window = pick(rng, []string{"6h", "11h30m", "{tumbling: 8h}", "{tumbling: 8h, current: true}", "{hopping: 8h, every: 1h}", "{from: 9h, to: 1h}"})
	}
	s, answer := d.nested(inner, window)
	return s + d.options(answer)
}

// nested draws an aggregate of an aggregate over two windows.
func (d *drawing) nested(inner, window string) (s string, answer event.Type) {
	rng := d.rng
	names := agg.Names()
	for {
		name, within := pick(rng, names), pick(rng, names)
		if name == "ratio" || within == "ratio" || refused(within, "tumbling") || refused(name, "rolling") {
			continue
		}
		t := d.aggregate(within, true)
		if rng.IntN(6) == 0 {
			d.has["inner ratio"] = true
			p := Pair{Window: "tumbling"}
			t = aggregate{fmt.Sprintf("ratio: {of: {%s}, to: {%s}}", d.term(p), d.term(p)), nullable(event.Double)}
			within = "ratio"
		}
		f, _ := agg.ByName(name)
		if least, _, _ := f.Columns(); least != 1 {
			continue
		}
		p, params := params(rng, f, t.answer)
		_, _, bound, err := agg.Bind(f, t.answer, event.Type{}, p)
		if err != nil {
			continue
		}
		if rng.IntN(3) == 0 {
			t.text += d.where(true)
		}
		if t.answer.Kind == event.Double && rng.IntN(3) == 0 {
			d.has["inner default"] = true
			t.text += ", default: -1.5"
		}
		answer, s = bound, fmt.Sprintf("%s: {%s, window: %s}%s, window: %s", name, t.text, inner, params, window)
		if rng.IntN(2) == 0 {
			s += ", empty: count"
		}
		if rng.IntN(4) == 0 {
			s += d.by(Pair{Aggregate: within, Window: "rolling"}, event.Type{})
			d.has["by of an aggregate of an aggregate"] = true
			answer = event.Type{Kind: event.Map, Nullable: true, Elem: &bound}
		}
		return s, answer
	}
}
