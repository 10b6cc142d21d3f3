package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// FunctionDoc documents one function or operator; the reference is made from it.
type FunctionDoc struct {
	Name      string
	Signature string
	Doc       string
}

// function is one function: its documentation, how many arguments it takes, and what compiles it.
type function struct {
	FunctionDoc
	min, max int // arguments; max -1: any number
	compile  func(c *compiler, n ast.Node, name string, args []operand) (code, error)
}

// aliases are second names of functions.
var aliases = map[string]string{"int": "long", "float": "double"}

// functions is the whole set, in the order of the reference. A change of what a function answers
// must change formulas too.
func functions() []function {
	return []function{
		{FunctionDoc{"abs", "abs(x number) same", "The absolute value. The least long has none: null."}, 1, 1, compileAbs},
		{FunctionDoc{"floor", "floor(x long|double) same", "The largest whole number not above x."}, 1, 1, compileRounding},
		{FunctionDoc{"ceil", "ceil(x long|double) same", "The smallest whole number not below x."}, 1, 1, compileRounding},
		{FunctionDoc{"round", "round(x long|double) same", "The nearest whole number; halves go away from zero."}, 1, 1, compileRounding},
		{FunctionDoc{"min", "min(a, b, …) same", "The least of values of one kind; null if any is null, NaN if any is NaN."}, 2, -1, compileExtreme},
		{FunctionDoc{"max", "max(a, b, …) same", "The greatest of values of one kind; null if any is null, NaN if any is NaN."}, 2, -1, compileExtreme},
		{FunctionDoc{"coalesce", "coalesce(a, b, …) same", "The first that is not null; a ?? b is the same."}, 1, -1, compileCoalesce},
		{FunctionDoc{"long", "long(x) long", "Also int. A double or decimal cut towards zero, a string of decimal digits, a boolean as 0 or 1; null where there is no such long."}, 1, 1, compileLong},
		{FunctionDoc{"double", "double(x) double", `Also float. The nearest double of a long or decimal, a string such as "1.5", "1e9", "NaN" or "-Infinity", a boolean as 0 or 1; null for other strings.`}, 1, 1, compileDouble},
		{FunctionDoc{"string", "string(x) string", "The value as exports write it: timestamps as RFC 3339 with six digits, bytes as base64. Arrays and maps have none."}, 1, 1, compileString},
		{FunctionDoc{"lower", "lower(s string) string", "Letters in lower case, by Unicode, one by one."}, 1, 1, compileCase},
		{FunctionDoc{"upper", "upper(s string) string", "Letters in upper case, by Unicode, one by one."}, 1, 1, compileCase},
		{FunctionDoc{"trim", "trim(s string) string", "Without white space at both ends."}, 1, 1, compileCase},
		{FunctionDoc{"len", "len(x) long", "Characters of a string, bytes of bytes, elements of an array, entries of a map."}, 1, 1, compileLen},
		{FunctionDoc{"hour", "hour(t timestamp, zone? string) long", `The hour of the day, 0 to 23, in a zone such as "America/New_York"; UTC without one. A local timestamp or time takes no zone.`}, 1, 2, compileHour},
		{FunctionDoc{"day_of_week", "day_of_week(t timestamp, zone? string) long", "The day of the week, 1 (Monday) to 7 (Sunday), in a zone; UTC without one. A local timestamp or date takes no zone."}, 1, 2, compileDayOfWeek},
		{FunctionDoc{"seconds_between", "seconds_between(a, b) double", "Seconds from a to b, two timestamps or two local timestamps, to the microsecond; negative if b is before a."}, 2, 2, compileSeconds},
	}
}

// formulas counts the changes of meaning of functions and operators.
const formulas = 1

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
		{"?:", "cond ? a : b", "a where cond is true, b where it is false or null."},
		{"or", "a or b, a || b", "True if one is true, else null if one is null, else false."},
		{"and", "a and b, a && b", "False if one is false, else null if one is null, else true."},
		{"==", "a == b, a != b", "Equal, unequal; a long and a double exactly. x == nil (or null) tests for null and is never null. NaN equals nothing."},
		{"<", "a < b, a <= b, a > b, a >= b", "Order within one kind: numbers, strings and bytes bytewise, false before true, instants. a < b < c is a < b and b < c."},
		{"in", "x in [a, b], x in 1..5, x in array, key in map, x not in …", "Membership; ranges hold both ends; an array without x but with a null gives null."},
		{"matches", `s matches "regexp"`, "Whether an RE2 pattern, a literal, is found in s."},
		{"contains", "s contains t, s startsWith t, s endsWith t", "Parts of strings or bytes."},
		{"+", "a + b, a - b", "Numbers; longs outside a long give null; decimals stay exact, with a double they become doubles. + joins strings, null beyond 64 KiB."},
		{"not", "not a, !a", "The opposite; null of null. Binds closer than comparisons: write not (a == b)."},
		{"*", "a * b, a / b, a % b", "/ gives a double, by zero an infinity or NaN. % has the sign of a and is null by zero."},
		{"-", "-a", "The negative."},
		{"**", "a ** b, a ^ b", "A power, always a double; to the right first."},
		{"??", "a ?? b", "a, or b where a is null."},
		{"[]", `array[0], array[-1], map["key"], map.key`, "An element or a value; null if there is none. Negative indexes count from the end."},
	}
}

// call compiles name(args).
func (c *compiler) call(n ast.Node, name string, nodes []ast.Node) (code, error) {
	canonical := name
	if a, ok := aliases[name]; ok {
		canonical = a
	}
	all := functions()
	i := slices.IndexFunc(all, func(f function) bool { return f.Name == canonical })
	if i < 0 {
		return code{}, c.unknownFunction(n, name)
	}
	f := all[i]
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

// unknownFunction is the mistake of calling what does not exist.
func (c *compiler) unknownFunction(n ast.Node, name string) error {
	offset := c.tree.offset(n.Location().From)
	err := &Error{Offset: offset, Len: len(name), Msg: name + " is not a function"}
	switch name {
	case "sum", "count", "avg", "mean", "median", "first", "last":
		err.Hint = "aggregates are features of a view; an expression sees one row"
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
		err.Hint = "functions: " + strings.Join(names, ", ")
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
