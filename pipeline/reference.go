package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/expr"
)

// Reference is the reference page of the pipeline file, in Markdown, made from its grammar.
func Reference() string {
	var b strings.Builder
	b.WriteString("# The pipeline file\n\n")
	b.WriteString("<!-- Made from pipeline/grammar_file.go by `go test ./pipeline -update`. -->\n\n")
	b.WriteString(referenceHead)
	for _, o := range objects() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", o.name, o.doc)
		if o.example != "" {
			fmt.Fprintf(&b, "\n```yaml\n%s\n```\n", o.example)
		}
		b.WriteString("\n| key | value | default | meaning |\n|---|---|---|---|\n")
		for _, k := range o.keys {
			if k.doc == asOnFeature {
				continue // the object's text says so
			}
			standard := k.standard
			switch {
			case k.required:
				standard = "required"
			case k.oneOf != "":
				standard = "one of " + k.oneOf
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, k.shape.reference(), standard, cell(k.doc))
		}
	}
	b.WriteString("\n## Aggregates\n\nOver no value at all, `count`, `count_distinct` and `approx_distinct` are 0 and the others are null. Nulls are\nskipped. What is no sketch, and within its bounds, is exact and rounded once. A sum of longs outside the range of a long is null.\n[Aggregates](../aggregates.md) defines each of them.\n\n")
	b.WriteString("| aggregate | over | beside it | answer |\n|---|---|---|---|\n")
	for _, name := range agg.Names() {
		f, _ := agg.ByName(name)
		over, answer := aggregateTypes(f)
		params := ""
		if p := f.Params(); len(p) > 0 {
			params = joinCode(p)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, over, params, answer)
	}
	return b.String()
}

const referenceHead = `One YAML file describes a pipeline: where events come from, what features are computed over them, and
which of them a model takes. ` + "`penstock check FILE`" + ` reports every mistake in it at once.

For completion in editors that use yaml-language-server, put this line first, with the path or address
of ` + "`docs/pipeline.schema.json`" + `:

` + "```yaml" + `
# yaml-language-server: $schema=docs/pipeline.schema.json
` + "```" + `

- **Names** are made of letters, digits and ` + "`_`" + ` and do not begin with a digit. Reserved are ` + "`request`" + `,
` + "`event_time`, `as_of`, `redrive`" + `, and names that begin with ` + "`_`" + `.
- **Durations** are numbers with a unit of ` + "`us`, `ms`, `s`, `m`, `h`, `d`, `w`" + `: 90s, 1h30m, 7d.
- **Sizes** are numbers with a unit of ` + "`KiB`, `MiB`, `GiB`" + `.
- **Expressions** are described in [expressions](expressions.md).
- **Environment**: in any value, ` + "`${VAR}`" + ` is replaced by the environment variable, and
` + "`${VAR:-default}`" + ` by the default if it is unset or empty; ` + "`$${`" + ` stands for the characters themselves.
- YAML anchors, aliases, tags and merge keys are not known; quote texts that begin with ` + "`*`, `&` or `!`" + `.
`

// cell makes a text fit a table.
func cell(s string) string { return strings.ReplaceAll(oneLine(s), "|", "\\|") }

// reference says what a shape allows, in Markdown.
func (s *shape) reference() string {
	var parts []string
	if s.format != noScalar {
		parts = append(parts, s.format.reference(s.enum))
	}
	if s.object != nil {
		parts = append(parts, fmt.Sprintf("[%s](#%s)", s.object.name, s.object.name))
	}
	if s.names != nil {
		parts = append(parts, fmt.Sprintf("a mapping from names of %s to %s", plural(s.label), s.names.reference()))
	}
	if s.items != nil {
		parts = append(parts, "a list of "+s.items.reference())
	}
	return strings.Join(parts, ", or ")
}

func plural(label string) string {
	if head, ok := strings.CutSuffix(label, "y"); ok && label != "key" {
		return head + "ies"
	}
	return label + "s"
}

func (f format) reference(values []string) string {
	switch f {
	case enumText:
		return joinCode(values)
	case columnTypeText:
		return "a type"
	case boolText:
		return "`true` or `false`"
	case exprText:
		return "an expression"
	case aggText:
		return "an expression"
	case lastText:
		return "an expression, or a number of rows"
	case durationText, spanText:
		return "a duration"
	case windowText:
		return "a duration, or `lifetime`"
	case zoneText:
		return "a time zone"
	case intText:
		return "a whole number"
	case numberText:
		return "a number"
	case instantText:
		return "an instant, or a date"
	case shareText:
		return "a share"
	case splitShareText:
		return "a share, or `rest`"
	case sizeText:
		return "a size"
	case startText:
		return "`earliest`, `latest` or an instant"
	case literalText:
		return "a constant, a list or a mapping of constants"
	case urlText:
		return "an address"
	case brokerText:
		return "host:port"
	case nameText, refText, pipelineText:
		return "a name"
	case dottedText:
		return "`view.feature`"
	case secretScalar:
		return "`${VAR}`"
	}
	return "a text"
}

// aggregateTypes says over which types an aggregate is defined, and of which type its answer is.
func aggregateTypes(f agg.Func) (over, answer string) {
	if f == agg.Ratio {
		return "two aggregates", "double"
	}
	kinds := []event.Kind{
		event.Bool, event.Long, event.Double, event.Decimal, event.String, event.Bytes, event.Timestamp,
		event.LocalTimestamp, event.Date, event.TimeOfDay, event.List, event.Map,
	}
	least, _, star := f.Columns()
	var names, answers []string
	same, array := true, true
	for _, k := range kinds {
		t := event.Type{Kind: k}
		var second event.Type
		if least == 2 {
			second = t
		}
		_, _, result, err := agg.Bind(f, t, second, sampleParams(f))
		if err != nil {
			continue
		}
		names = append(names, k.String())
		same = same && result.Kind == k
		array = array && result.Kind == event.List && result.Elem.Kind == k
		if text := bare(result).String(); !slices.Contains(answers, text) {
			answers = append(answers, text)
		}
	}
	over, answer = strings.Join(names, ", "), strings.Join(answers, " or ")
	switch {
	case len(answers) < 2:
	case same:
		answer = "the same type"
	case array:
		answer = "array of the same type"
	}
	switch len(names) {
	case len(kinds):
		over = "every type"
	case len(kinds) - 2:
		over = "every type but array and map"
	}
	if least == 2 {
		over = "two columns: " + over
	}
	if slices.Contains(f.Params(), "dim") {
		over += "; array with `dim`"
		answer += "; array of double"
	}
	if star {
		over += `; "*"`
	}
	return over, answer
}

// sampleParams are parameters that f takes and needs.
func sampleParams(f agg.Func) agg.Params {
	one := 1
	var p agg.Params
	for _, name := range f.Params() {
		switch name {
		case "k":
			p.K = &one
		case "n":
			p.N = &one
		case "q":
			p.Quantiles = []float64{0.5}
		case "buckets":
			p.Buckets = []float64{1}
		case "half_life":
			p.HalfLife = event.Hour
		}
	}
	return p
}

// ExpressionReference is the reference page of row expressions, in Markdown, made from the
// operators and functions that they know.
func ExpressionReference() string {
	var b strings.Builder
	b.WriteString("# Expressions\n\n")
	b.WriteString("<!-- Made from transforms/expr by `go test ./pipeline -update`. -->\n\n")
	b.WriteString(expressionHead)
	fmt.Fprint(&b, "\n## Operators\n\n| form | meaning |\n|---|---|\n")
	for _, d := range expr.Operators() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", cell(d.Signature), cell(d.Doc))
	}
	fmt.Fprint(&b, "\n## Functions\n\n"+functionsHead)
	for i, c := range expr.ExampleRow() {
		fmt.Fprintf(&b, "%s `%s` is %s", []string{" In them,", ",", " and"}[i], c.Name, c.Text)
	}
	b.WriteString(".\n")
	group := ""
	for _, d := range expr.Functions() {
		if d.Group != group {
			group = d.Group
			fmt.Fprintf(&b, "\n### %s\n\n| form | meaning | examples |\n|---|---|---|\n", group)
		}
		var examples []string
		for _, e := range d.Examples {
			answer := "null"
			if e.Answer != "" {
				answer = "`" + cell(e.Answer) + "`"
			}
			examples = append(examples, fmt.Sprintf("`%s` → %s", cell(e.Expr), answer))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", cell(d.Signature), cell(d.Doc), strings.Join(examples, "<br>"))
	}
	return b.String()
}

const functionsHead = `A function of null is null, unless it says otherwise. Text that is built is at most 64 KiB long, and so are
arrays of texts, else null. Every answer is the same on every machine. Where a timestamp is wanted, a literal
like ` + "`\"2013-07-04T23:30:00Z\"`" + ` may stand. A test runs the examples.`

const expressionHead = `A row expression computes one value from one event: ` + "`amount * 2`" + `, ` + "`country != \"US\" and amount > 100`" + `.
It stands in ` + "`where`, `columns`" + `, as the argument of an aggregate, and in feature sets. It has no loops, no
clock and no state, so it gives the same answer on every machine and every replay. All types are
checked before anything starts.

- **Names** are the event's fields, with dots for nested records (` + "`device.os`" + `), and the view's columns above.
In a feature set a dotted name is a view's feature, and a bare one a request column or an earlier
feature of the set.
- **Types**: a long with a long stays a long for + - * and %, and is null where it would not fit 64 bits; a
long with a double is a double; / and ** always give doubles. Only values of one kind are compared,
but longs and doubles are compared with each other, exactly. Timestamps, dates and times are compared
with texts of their form: ` + "`ts > \"2013-01-05T10:00:00Z\"`" + `.
- **Nulls** follow SQL: null in arithmetic, in a comparison or in a function gives null; and, or and not know
three values; a ` + "`where`" + ` that is null does not hold. ` + "`x == nil`" + ` asks for null.
- **Bounds**: 4 KiB of text; a string that is built is at most 64 KiB long, else null. Patterns are RE2's, of at
most 1 KiB, and look at strings of at most 64 KiB, else null.
`
