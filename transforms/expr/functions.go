package expr

import (
	"fmt"
	"strings"
	"sync"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// FunctionDoc documents one function or operator; the reference is made from it.
type FunctionDoc struct {
	Name      string
	Group     string // of functions: the heading under which it stands
	Signature string
	Doc       string
	Examples  []Example
}

// Example is an expression and the answer it gives, as it is written in exports; a test runs it.
type Example struct{ Expr, Answer string }

// compileFunc compiles a call of the function name.
type compileFunc func(c *compiler, n ast.Node, name string, args []operand) (code, error)

// function is one function: its documentation, how many arguments it takes, and what compiles it.
type function struct {
	FunctionDoc
	min, max int // arguments; max -1: any number
	compile  compileFunc
}

// def defines a function; examples are expression, answer, expression, answer …
func def(least, most int, compile compileFunc, signature, doc string, examples ...string) function {
	name, _, _ := strings.Cut(signature, "(")
	f := function{FunctionDoc{Name: name, Signature: signature, Doc: doc}, least, most, compile}
	for i := 0; i+1 < len(examples); i += 2 {
		f.Examples = append(f.Examples, Example{examples[i], examples[i+1]})
	}
	return f
}

// aliases are second names of functions.
var aliases = map[string]string{"int": "long", "float": "double", "bool": "boolean", "mean": "avg"}

// library holds the functions by name and in the order of the reference. It is filled on first use:
// functions compile calls of functions.
var library struct {
	once   sync.Once
	byName map[string]*function
	all    []function
}

// functions is the whole set, in the order of the reference. A change of what a function answers
// must change formulas too.
func functions() []function {
	library.once.Do(func() {
		for _, g := range []struct {
			title string
			list  []function
		}{
			{"Conditions and nulls", conditionFunctions()},
			{"Numbers", numberFunctions()},
			{"Conversions", conversionFunctions()},
			{"Strings", stringFunctions()},
			{"Regular expressions", patternFunctions()},
			{"Time", timeFunctions()},
			{"Arrays and maps", arrayFunctions()},
			{"Hashes", hashFunctions()},
			{"Places", placeFunctions()},
		} {
			for _, f := range g.list {
				f.Group = g.title
				library.all = append(library.all, f)
			}
		}
		library.byName = map[string]*function{}
		for i := range library.all {
			library.byName[library.all[i].Name] = &library.all[i]
		}
	})
	return library.all
}

// formulas counts the changes of meaning of functions and operators. 2: powers have bits of their own,
// matches is null for strings that are too long, instants are written with their type.
const formulas = 2

// Version names the meaning of expressions: it changes when a function or an operator answers
// otherwise than before. Part of a view's version, beside Program.String.
func Version() string { return fmt.Sprintf("expr %d", formulas) }

// Functions documents every function, in the order of the reference.
func Functions() []FunctionDoc {
	var docs []FunctionDoc
	for _, f := range functions() {
		docs = append(docs, f.FunctionDoc)
	}
	return docs
}

// Operators documents every operator, the loosest binding first.
func Operators() []FunctionDoc {
	return []FunctionDoc{
		{Name: "?:", Signature: "cond ? a : b", Doc: "a where cond is true, b where it is false or null."},
		{Name: "or", Signature: "a or b, a || b", Doc: "True if one is true, else null if one is null, else false."},
		{Name: "and", Signature: "a and b, a && b", Doc: "False if one is false, else null if one is null, else true."},
		{Name: "==", Signature: "a == b, a != b", Doc: "Equal, unequal; a long and a double exactly. x == nil (or null) tests for null and is never null. NaN equals nothing."},
		{Name: "<", Signature: "a < b, a <= b, a > b, a >= b", Doc: "Order within one kind: numbers, strings and bytes bytewise, false before true, instants. a < b < c is a < b and b < c."},
		{Name: "in", Signature: "x in [a, b], x in 1..5, x in array, key in map, x not in …", Doc: "Membership; ranges hold both ends; an array without x but with a null gives null."},
		{Name: "matches", Signature: `s matches "regexp"`, Doc: "Whether an RE2 pattern, a literal, is found in s; null if s is longer than 64 KiB."},
		{Name: "contains", Signature: "s contains t, s startsWith t, s endsWith t", Doc: "Parts of strings or bytes."},
		{Name: "+", Signature: "a + b, a - b", Doc: "Numbers; longs outside a long give null; decimals stay exact, with a double they become doubles. + joins strings, null beyond 64 KiB."},
		{Name: "not", Signature: "not a, !a", Doc: "The opposite; null of null. Binds closer than comparisons: write not (a == b)."},
		{Name: "*", Signature: "a * b, a / b, a % b", Doc: "/ gives a double, by zero an infinity or NaN. % has the sign of a and is null by zero."},
		{Name: "-", Signature: "-a", Doc: "The negative."},
		{Name: "**", Signature: "a ** b, a ^ b", Doc: "A power, always a double; to the right first. Within 0.51 units in the last place; exact where the answer is a double."},
		{Name: "??", Signature: "a ?? b", Doc: "a, or b where a is null."},
		{Name: "[]", Signature: `array[0], array[-1], map["key"], map.key`, Doc: "An element or a value; null if there is none. Negative indexes count from the end."},
	}
}

// call compiles name(args).
func (c *compiler) call(n ast.Node, name string, nodes []ast.Node) (code, error) {
	canonical := name
	if a, ok := aliases[name]; ok {
		canonical = a
	}
	functions()
	f, ok := library.byName[canonical]
	if !ok {
		return code{}, c.unknownFunction(n, name)
	}
	if len(nodes) < f.min || f.max >= 0 && len(nodes) > f.max {
		return code{}, c.fail(n, fmt.Sprintf("%s takes %s, not %d", name, f.arity(), len(nodes)), f.Signature)
	}
	args := make([]operand, len(nodes))
	for i, k := range nodes {
		x, err := c.expr(k)
		if err != nil {
			return code{}, err
		}
		args[i] = operand{x, k}
	}
	return f.compile(c, n, canonical, args)
}

func (f function) arity() string {
	plural := func(n int) string {
		if n == 1 {
			return "1 argument"
		}
		return fmt.Sprintf("%d arguments", n)
	}
	switch {
	case f.max < 0:
		return plural(f.min) + " or more"
	case f.min != f.max:
		return fmt.Sprintf("%d or %s", f.min, plural(f.max))
	}
	return plural(f.min)
}

const aggregateHint = "aggregates are features of a view; an expression sees one row"

// elsewhere tells those who know a function by the name it has in another language.
var elsewhere = map[string]string{
	"ceiling": "write ceil(x)", "length": "write len(x)", "char_length": "write len(x)", "octet_length": "write byte_len(x)",
	"substr": "write substring(s, start, length)", "mid": "write substring(s, start, length)",
	"ifnull": "write x ?? y", "nvl": "write x ?? y", "isnull": "write x == nil", "power": "write pow(x, y)",
	"log": "write ln(x), log2(x) or log10(x)", "indexOf": "write strpos(s, part)", "instr": "write strpos(s, part)",
	"locate": "write strpos(s, part)", "cast": "write long(x), double(x), string(x) …",
	"date_diff": "write seconds_between(a, b) or days_between(a, b)", "datediff": "write days_between(a, b)",
	"date_sub": `write date_add(t, "-1d")`, "to_timestamp": "write timestamp(x) or strptime(s, format)",
	"date_part": "write year(t), month(t), hour(t) …", "extract": "write year(t), month(t), hour(t) …",
	"weekday": "write day_of_week(t)", "dayofweek": "write day_of_week(t)", "dayofyear": "write day_of_year(t)",
	"epoch": "write unix_seconds(t)", "unix_timestamp": "write unix_seconds(t)", "to_char": "write strftime(t, format)",
	"date_format": "write strftime(t, format)", "regexp_like": "write s matches \"pattern\"",
	"regexp_matches": "write s matches \"pattern\"", "starts_with": "write s startsWith t", "ends_with": "write s endsWith t",
	"greatest": "write max(a, b)", "least": "write min(a, b)", "random": "the answer must be the same on every replay; hash(id) is random enough",
	"rand": "the answer must be the same on every replay; hash(id) is random enough", "uuid": "the answer must be the same on every replay",
	"geo_distance": "write haversine(lat1, lon1, lat2, lon2)", "distance": "write haversine(lat1, lon1, lat2, lon2)",
	"great_circle_distance": "write haversine(lat1, lon1, lat2, lon2)", "geohash_encode": "write geohash(lat, lon, length)",
	"contains": "write s contains part, or x in array", "array_contains": "write x in array", "startswith": "write s startsWith t",
	"endswith": "write s endsWith t", "size": "write len(x)", "cardinality": "write len(x)", "count_elements": "write len(x)",
	"concat_ws": "write join(array, separator), or a + separator + b", "position": "write strpos(s, part)", "charindex": "write strpos(s, part)",
	"ltrim": "write trim(s)", "rtrim": "write trim(s)", "is_null": "write x == nil",
	"not_null": "write x != nil", "when": "write case(cond, a, other cond, b, other), or cond ? a : b", "ifelse": "write cond ? a : b",
	"md5": "write hash(x)", "sha256": "write hash(x)", "murmur3": "write hash(x)", "xxhash64": "write hash(x)",
	"to_string": "write string(x)", "to_double": "write double(x)", "to_long": "write long(x)", "bigint": "write long(x)",
	"mean": "write avg(array); the mean of rows is a feature of a view", "map_keys": "write keys(map)", "element_at": "write array[i] or map[key]",
	"cosine_similarity": "write cosine(a, b)", "dot_product": "write dot(a, b)", "timestampdiff": "write seconds_between(a, b)",
	"timestampadd": `write date_add(t, "1d")`, "from_unixtime": "write timestamp_seconds(n)", "to_date": "write date(x)",
	"weekofyear": "write week(t)", "hash_mod": "write hash_bucket(x, n)", "mod_hash": "write hash_bucket(x, n)",
	"iff": "write cond ? a : b", "decode": "write case(x == 1, a, x == 2, b, other)", "st_distance": "write haversine(lat1, lon1, lat2, lon2)",
}

// unknownFunction is the mistake of calling what does not exist.
func (c *compiler) unknownFunction(n ast.Node, name string) error {
	offset := c.tree.offset(n.Location().From)
	err := &Error{Offset: offset, Len: len(name), Msg: name + " is not a function"}
	for _, name := range []string{name, strings.ToLower(name)} {
		if hint, ok := elsewhere[name]; ok {
			err.Hint = hint
			return err
		}
	}
	switch name {
	case "count", "median", "first", "last":
		err.Hint = aggregateHint
		return err
	case "now":
		err.Hint = "expressions have no clock: the answer must be the same on every replay"
		return err
	case "filter", "map", "all", "any", "one", "none", "reduce", "find":
		err.Hint = "loops over elements are not offered; write x in array"
		return err
	}
	var names []string
	for _, f := range functions() {
		names = append(names, f.Name)
	}
	if best, ok := Nearest(name, names); ok {
		err.Hint = "did you mean " + best + "?"
	} else {
		err.Hint = "the functions are listed in the reference of expressions"
	}
	return err
}

// called is the canonical text of a call.
func called(name string, args ...code) string {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = a.text
	}
	return name + "(" + strings.Join(texts, ", ") + ")"
}

// wrong is the mistake of an argument of a kind that a function does not take.
func (c *compiler) wrong(name string, arg operand, want string) error {
	return c.fail(arg.at, fmt.Sprintf("%s takes %s, not %s", name, want, arg.describe()), "")
}

// ExampleColumn is a column that the examples of the reference use.
type ExampleColumn struct {
	Name  string
	Type  event.Type
	Value event.Value
	Text  string // how the reference writes the value
}

// ExampleRow is what the examples of the reference are evaluated over.
func ExampleRow() []ExampleColumn {
	double, text := event.Type{Kind: event.Double}, event.Type{Kind: event.String}
	encoded := func(k event.Kind, elems ...event.Value) event.Value {
		return event.Value{Kind: k, Str: string(event.AppendList(nil, elems...))}
	}
	return []ExampleColumn{
		{"name", text, event.StringOf("Ann"), `"Ann"`},
		{
			"prices",
			event.Type{Kind: event.List, Elem: &double},
			encoded(event.List, event.DoubleOf(1), event.DoubleOf(2), event.DoubleOf(3)), "the array of 1.0, 2.0 and 3.0",
		},
		{
			"attrs",
			event.Type{Kind: event.Map, Elem: &text},
			encoded(event.Map, event.StringOf("size"), event.StringOf("L"), event.StringOf("color"), event.StringOf("red")), "a map with the keys size and color",
		},
	}
}
