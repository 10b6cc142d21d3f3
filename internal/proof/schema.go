package proof

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/expr"
)

// sharedFields are in the events of both sources.
const sharedFields = `
 {"name":"n","type":["null","long"]},
 {"name":"s","type":["null","string"]},
 {"name":"flag","type":["null","boolean"]},
 {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}]},
 {"name":"day","type":["null",{"type":"int","logicalType":"date"}]},
 {"name":"vec","type":["null",{"type":"array","items":["null","double"]}]},
 {"name":"longs","type":["null",{"type":"array","items":"long"}]},
 {"name":"tags","type":["null",{"type":"array","items":"string"}]},
 {"name":"attrs","type":["null",{"type":"map","values":["null","double"]}]},
 {"name":"items","type":["null",{"type":"array","items":{"type":"record","name":"item","fields":[
   {"name":"buyer","type":["null","string"]},{"name":"price","type":["null","double"]},{"name":"pieces","type":"long"}]}}]},
 {"name":"id","type":["null","string"]},
 {"name":"seq","type":"long"},`

// schemaTexts are the reader schemas: of e, which every view reads, and of g, which names some fields
// otherwise and has them in other types.
var schemaTexts = map[string]string{
	"e": `{"type":"record","name":"e","fields":[` + sharedFields + `
 {"name":"user","type":["null","string"]},
 {"name":"amount","type":["null","double"]},
 {"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}]}`,
	"g": `{"type":"record","name":"g","fields":[` + sharedFields + `
 {"name":"who","type":["null","string"]},
 {"name":"cents","type":["null","long"]},
 {"name":"at","type":["null","long"]}]}`,
}

// SchemaOf is the schema of a source's events.
func SchemaOf(source string) string { return schemaTexts[source] }

// mapped are the columns that make the events of g those of e.
const mapped = `{user: who, amount: cents / 100.0, ts: timestamp_millis(at)}`

func list(elem event.Type) event.Type {
	return event.Type{Kind: event.List, Nullable: true, Elem: &elem}
}

func nullable(k event.Kind) event.Type { return event.Type{Kind: k, Nullable: true} }

// fields are the fields of e, and the view's columns over them, with their types.
var fields = map[string]event.Type{
	"user": nullable(event.String), "amount": nullable(event.Double), "ts": nullable(event.Timestamp),
	"n": nullable(event.Long), "s": nullable(event.String), "flag": nullable(event.Bool),
	"price": {Kind: event.Decimal, Nullable: true, Scale: 2}, "day": nullable(event.Date), "id": nullable(event.String),
	"vec": list(nullable(event.Double)), "longs": list(event.Type{Kind: event.Long}), "tags": list(event.Type{Kind: event.String}),
	"attrs":       {Kind: event.Map, Nullable: true, Elem: &event.Type{Kind: event.Double, Nullable: true}},
	"items.buyer": list(nullable(event.String)), "items.price": list(nullable(event.Double)), "items.pieces": list(event.Type{Kind: event.Long}),
	"net": nullable(event.Double),
}

// texts are what aggregates are over, the plain columns first; which there are depends on what is flattened.
var texts = []string{
	"amount", "n", "net", "s", "flag", "price", "day", "ts", "vec", "longs",
	"items.price", "items.pieces", "items.buyer", "items.price * items.pieces", "tags", "attrs",
	"len(vec)", "vec[0]", "longs[-1]", "sum(longs)", "avg(vec)", "max(longs)", "vec[0] + longs[0]", "dot(vec, vec)",
	`attrs["a"]`, `get(attrs, "b", 0.0)`, "keys(attrs)", `"a" in attrs`, "2 in longs", "tags[0]", `join(tags, "+")`, "len(tags)",
	"sum(items.pieces)", "items.buyer[0]", `split(s, " ")`, `case(n > 3, "many", n < 0, "owed")`,
}

// keys are what maps are by, as far as they are there.
var keys = []string{"s", "flag", "day", "n", "s", "n", "tags", "tags[0]", "len(longs)", "items.buyer", "longs"}

var conditions = []string{
	"amount > 0", "flag", `s == "a"`, "n > 0 and amount < 50", "amount == nil", "not flag",
	`"a" in attrs`, "len(longs) > 2", "3 in longs", "vec[0] > 0", `attrs["b"] > 0.5`, "items.pieces > 1", "len(tags) > 1",
}

// flattened are the arrays of which each element may be a row.
var flattened = []string{"items", "vec", "longs", "tags"}

// typesOf are the types of fields and columns in a view that flattens an array; "" if it does not.
func typesOf(flat string) map[string]event.Type {
	types := map[string]event.Type{}
	for name, t := range fields {
		if head, _, _ := strings.Cut(name, "."); head == flat {
			t = *t.Elem
		}
		types[name] = t
	}
	return types
}

// known picks those of the texts that are expressions over columns of the types.
func known(types map[string]event.Type, texts []string) (out []pipeline.Column) {
	var names []string
	for name := range types {
		names = append(names, name)
	}
	for _, text := range texts {
		p, err := expr.Compile(text, func(name string) (int, event.Type, bool) {
			t, ok := types[name]
			return 0, t, ok
		}, names)
		if err == nil {
			out = append(out, pipeline.Column{Name: text, Type: p.Type()})
		}
	}
	return out
}

// ordered picks those that a map may be by.
func ordered(columns []pipeline.Column) []pipeline.Column {
	return slices.DeleteFunc(columns, func(c pipeline.Column) bool { return c.Type.Kind == event.List })
}

// quoted is an expression as YAML.
func quoted(text string) string { return fmt.Sprintf("'%s'", strings.ReplaceAll(text, "'", "''")) }
