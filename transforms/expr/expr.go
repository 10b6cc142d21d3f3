// Package expr compiles row expressions to typed closures over column slots.
//
// The grammar is expr-lang's (its parser is used); types, null rules and functions are ours. There
// are no loops, no clocks and no state: an expression is a pure function of one row, its cost is
// bounded by its length and that of the row, and what it answers does not depend on the machine.
//
// Types. A long with a long stays a long for + - * and %, and the result is null where it would not
// fit 64 bits; a long with a double is a double; / and ** always give doubles. Division by zero is
// IEEE's infinity or NaN, % by zero is null, -0 reads as +0. Comparisons are between values of one
// kind; a long and a double are compared exactly, not by rounding. A comparison with NaN is false
// (!= is true). Timestamps, dates and times compare with string literals of their form, which are
// read at compile time. Decimals stay exact with decimals, longs and numeric literals, which are then
// read digit by digit (price == 9.99), and become doubles in / and with a double.
//
// Nulls follow SQL: null in arithmetic, a comparison or a function gives null; `and`, `or` and
// `not` know three values; a null condition of ?: takes the second branch; x == nil and x != nil are
// never null. Indexing outside an array or a key that a map lacks gives null.
//
// Bounds: a source of at most 4 KiB, 2,000 nodes and 500 levels; a string that is built is at most
// 64 KiB long, else null.
package expr

import (
	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/zone"
)

// Bounds of an expression.
const (
	MaxSource = 4 << 10  // bytes of source
	MaxString = 64 << 10 // bytes of a string that an expression builds; a longer one is null

	maxNodes = 2000
	maxDepth = 500
)

// Lookup resolves a name (dotted for nested records: "user.address.city") to the slot that holds its
// value at Eval and its type.
type Lookup func(name string) (slot int, t event.Type, ok bool)

// Error is a mistake in an expression.
type Error struct {
	Offset, Len int    // bytes of the source text that are wrong
	Msg         string // what is wrong
	Hint        string // what to do; the nearest name, for instance
}

func (e *Error) Error() string { return e.Msg }

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	typ  event.Type
	text string
	eval func(row []event.Value) event.Value
}

// Names lists the column names that src mentions, each once, in order of appearance. A chain is
// listed whole ("user.address.city"), though Compile may find that only its beginning is a column:
// attrs.color may be the key "color" of the map attrs. The error is an *Error.
func Names(src string) ([]string, error) {
	tree, err := parse(src)
	if err != nil {
		return nil, err
	}
	var names []string
	seen := map[string]bool{}
	walk(tree.root, func(n ast.Node) bool {
		path, ok := tree.path(n)
		if !ok {
			return true
		}
		name := path.join(len(path))
		if len(path) == 1 && name == nullName {
			return false
		}
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		return false
	})
	return names, nil
}

// Compile type-checks src. known lists the names that exist, for hints. The error is an *Error.
func Compile(src string, lookup Lookup, known []string) (*Program, error) {
	tree, err := parse(src)
	if err != nil {
		return nil, err
	}
	c := &compiler{tree: tree, lookup: lookup, known: known}
	x, err := c.expr(tree.root)
	if err != nil {
		return nil, err
	}
	if x.isNil() {
		return nil, c.fail(tree.root, "the expression is null for every row", "write a value of some type")
	}
	if c.zoned {
		x.text += " /* zone data " + zone.Version() + " */"
	}
	return &Program{typ: x.t, text: x.text, eval: x.evaluator()}, nil
}

// Type is the static type of the answer; it is Nullable unless no row can give null.
func (p *Program) Type() event.Type { return p.typ }

// String is a canonical form of the expression, equal for equal programs; part of a view's version.
// It compiles again to the same program. Where a zone other than UTC is used, a comment at its end
// names the zone data.
func (p *Program) String() string { return p.text }

// Eval computes the expression over row (slots as Lookup gave them). The answer may alias row. It
// allocates only where a string or a decimal is built.
func (p *Program) Eval(row []event.Value) event.Value { return p.eval(row) }
