package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// compiler turns one tree into code.
type compiler struct {
	tree   *tree
	lookup Lookup
	known  []string
	zoned  bool // a zone other than UTC was used
	steps  int  // instructions of the patterns
}

// fail is a mistake at n.
func (c *compiler) fail(n ast.Node, msg, hint string) *Error {
	offset, length := c.tree.span(n)
	return &Error{Offset: offset, Len: length, Msg: msg, Hint: hint}
}

// expr compiles n.
func (c *compiler) expr(n ast.Node) (code, error) {
	switch n := n.(type) {
	case *ast.NilNode:
		return nilCode(), nil
	case *ast.BoolNode:
		return constant(event.BoolOf(n.Value), event.Type{Kind: event.Bool}), nil
	case *ast.IntegerNode:
		return longConst(int64(n.Value)), nil
	case *ast.FloatNode:
		return doubleConst(n.Value), nil
	case *ast.StringNode:
		if !utf8.ValidString(n.Value) {
			return code{}, c.fail(n, "the string is not valid UTF-8", `write bytes as b"…"`)
		}
		return constant(event.StringOf(n.Value), event.Type{Kind: event.String}), nil
	case *ast.BytesNode:
		return constant(event.BytesOf(n.Value), event.Type{Kind: event.Bytes}), nil
	case *ast.IdentifierNode:
		return c.name(n)
	case *ast.ChainNode:
		return c.expr(n.Node)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, id.Value, n.Arguments)
		}
		return code{}, c.fail(n.Callee, "methods are not offered", "write a function: lower(name), not name.lower()")
	}
	return code{}, c.refuse(n)
}

// refuse says what of expr-lang's grammar is not offered.
func (c *compiler) refuse(n ast.Node) error {
	switch n := n.(type) {
	case *ast.ArrayNode:
		return c.fail(n, "an array stands only behind in", `write x in ["a", "b"]`)
	case *ast.SliceNode:
		return c.fail(n, "slices are not offered", "write one element, like tags[0]")
	case *ast.MapNode:
		return c.fail(n, "maps cannot be written", "")
	case *ast.VariableDeclaratorNode:
		return c.fail(n, "let is not offered", "write a column of its own under columns")
	case *ast.SequenceNode:
		return c.fail(n, "one expression is wanted, not several", "write a column of its own under columns")
	case *ast.PredicateNode, *ast.PointerNode:
		return c.fail(n, "loops over elements are not offered", "")
	}
	return c.fail(n, "this is not offered in row expressions", "")
}

// name resolves a bare name.
func (c *compiler) name(n *ast.IdentifierNode) (code, error) {
	if n.Value == nullName {
		return nilCode(), nil
	}
	if slot, t, ok := c.lookup(n.Value); ok {
		return c.column(n, slot, t, n.Value)
	}
	return code{}, c.unknown(n, n.Value)
}

// column is code that loads a slot.
func (c *compiler) column(n ast.Node, slot int, t event.Type, name string) (code, error) {
	if err := c.bounded(n, t); err != nil {
		return code{}, err
	}
	return column(slot, t, name), nil
}

// bounded refuses decimals with which no sum is short.
func (c *compiler) bounded(n ast.Node, t event.Type) error {
	for ; t.Elem != nil; t = *t.Elem {
	}
	if t.Kind == event.Decimal && (t.Scale < 0 || t.Scale > maxScale) {
		return c.fail(n, fmt.Sprintf("decimals with %d digits behind the point are not computed with", t.Scale), fmt.Sprintf("at most %d digits are", maxScale))
	}
	return nil
}

// unknown is the mistake of a name that does not exist.
func (c *compiler) unknown(n ast.Node, name string) error {
	var fields []string
	for _, k := range c.known {
		if strings.HasPrefix(k, name+".") {
			fields = append(fields, k)
		}
	}
	if len(fields) > 0 {
		return c.fail(n, fmt.Sprintf("%s is a record, not a value", name), "name one of its fields: "+list(fields, "or"))
	}
	return c.fail(n, fmt.Sprintf("%s does not exist", name), nameHint(name, c.known))
}

// member compiles a.b, a["b"] and a[0]. The longest beginning of a chain of names that is a column
// is taken; what is behind it are keys of maps.
func (c *compiler) member(n *ast.MemberNode) (code, error) {
	path, chain := c.tree.path(n)
	if chain {
		if slot, t, ok := c.lookup(path.join(len(path))); ok {
			return c.column(n, slot, t, path.join(len(path)))
		}
		if !c.prefixed(path) {
			return code{}, c.unknown(n, path.join(len(path)))
		}
	}
	x, err := c.expr(n.Node)
	if err != nil {
		return code{}, err
	}
	if chain && x.t.Kind != event.Map {
		return code{}, c.unknown(n, path.join(len(path)))
	}
	key, err := c.expr(n.Property)
	if err != nil {
		return code{}, err
	}
	return c.index(n, n.Property, x, key)
}

// prefixed tells whether a shorter beginning of the chain is a column.
func (c *compiler) prefixed(p path) bool {
	for n := len(p) - 1; n > 0; n-- {
		if _, _, ok := c.lookup(p.join(n)); ok {
			return true
		}
	}
	return false
}

// index is an element of an array or a value of a map.
func (c *compiler) index(n, at ast.Node, x, key code) (code, error) {
	if (x.t.Kind == event.List || x.t.Kind == event.Map) && (x.t.Elem == nil || classOf(x.t.Elem.Kind) == noClass) {
		return code{}, c.fail(n, "elements of "+x.text+" have no type that expressions know", "")
	}
	text := x.text + "[" + key.text + "]"
	switch {
	case x.t.Kind == event.List && key.t.Kind == event.Long:
		t := *x.t.Elem
		t.Nullable = true
		list, at := x.s, key.i
		return fromValue(t, text, func(row []event.Value) event.Value {
			s, ok := list(row)
			if !ok {
				return event.Value{}
			}
			i, ok := at(row)
			if !ok {
				return event.Value{}
			}
			return element(s, i)
		}), nil
	case x.t.Kind == event.Map && key.t.Kind == event.String:
		t := *x.t.Elem
		t.Nullable = true
		entries, at := x.s, key.s
		return fromValue(t, text, func(row []event.Value) event.Value {
			s, ok := entries(row)
			if !ok {
				return event.Value{}
			}
			k, ok := at(row)
			if !ok {
				return event.Value{}
			}
			v, _ := entry(s, k)
			return v
		}), nil
	case x.t.Kind == event.List:
		return code{}, c.fail(at, "an array is indexed by a long, not by "+key.describe(), "write "+x.text+"[0]")
	case x.t.Kind == event.Map:
		return code{}, c.fail(at, "a map is indexed by a string, not by "+key.describe(), "write "+x.text+`["key"]`)
	}
	return code{}, c.fail(n, "cannot index "+x.describe(), "arrays and maps have elements")
}

// unary compiles -x, +x, not x.
func (c *compiler) unary(n *ast.UnaryNode) (code, error) {
	x, err := c.expr(n.Node)
	if err != nil {
		return code{}, err
	}
	switch n.Operator {
	case "not", "!":
		if x.t.Kind != event.Bool {
			hint := ""
			if b, ok := n.Node.(*ast.BinaryNode); !ok || b == nil {
				hint = "write not (…), x not in …, or x == nil"
			}
			return code{}, c.fail(n, "cannot negate "+x.describe()+" with "+n.Operator, hint)
		}
		r := code{t: event.Type{Kind: event.Bool, Nullable: x.t.Nullable}, text: "(not " + x.text + ")"}
		r.b = map1(x.b, func(v bool) bool { return !v })
		return fold(r, x), nil
	case "-":
		return c.negate(n, x)
	case "+":
		if !x.t.Numeric() {
			return code{}, c.fail(n, "cannot write + before "+x.describe(), "")
		}
		return x, nil
	}
	return code{}, c.refuse(n)
}

// binary compiles a two-sided operator.
func (c *compiler) binary(n *ast.BinaryNode) (code, error) {
	switch n.Operator {
	case "in":
		return c.in(n)
	case "matches":
		return c.matches(n)
	case "..":
		return code{}, c.fail(n, "a range stands only behind in", "write x in 1..5")
	}
	l, err := c.expr(n.Left)
	if err != nil {
		return code{}, err
	}
	r, err := c.expr(n.Right)
	if err != nil {
		return code{}, err
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		return c.logic(n, l, r)
	case "==", "!=", "<", "<=", ">", ">=":
		return c.compare(n, n.Operator, operand{l, n.Left}, operand{r, n.Right})
	case "+", "-", "*", "/", "%", "**", "^":
		return c.arithmetic(n, n.Operator, l, r)
	case "contains", "startsWith", "endsWith":
		return c.affix(n, l, r)
	case "??":
		return c.choose(n, []operand{{l, n.Left}, {r, n.Right}}, "??")
	}
	return code{}, c.refuse(n)
}

// operand is code with where it stands.
type operand struct {
	code
	at ast.Node
}

// fold computes r now if every operand is the same for every row and the answer is not null.
func fold(r code, operands ...code) code {
	for _, o := range operands {
		if !o.konst {
			return r
		}
	}
	if r.t.Kind == event.List || r.t.Kind == event.Map {
		return r // no literal writes them
	}
	if v := r.evaluator()(nil); !v.IsNull() && writable(v) {
		return constant(v, r.t)
	}
	return r
}
