package expr

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// nullName may be written for nil.
const nullName = "null"

// tree is a parsed source within bounds.
type tree struct {
	src    string
	root   ast.Node
	tokens []lexer.Token // filled by the first span
}

// parse reads src within the bounds of the package. The error is an *Error.
func parse(src string) (*tree, error) {
	if len(src) > MaxSource {
		return nil, &Error{
			Offset: MaxSource, Len: len(src) - MaxSource,
			Msg:  fmt.Sprintf("the expression is %d bytes long; at most %d are read", len(src), MaxSource),
			Hint: "split it into columns",
		}
	}
	if strings.TrimSpace(src) == "" {
		return nil, &Error{Len: len(src), Msg: "the expression is empty"}
	}
	for i, r := range src {
		if r == utf8.RuneError {
			if _, w := utf8.DecodeRuneInString(src[i:]); w == 1 {
				return nil, &Error{Offset: i, Len: 1, Msg: "the expression is not valid UTF-8"}
			}
		}
	}
	t := &tree{src: src}
	if err := t.parse(); err != nil {
		return nil, err
	}
	nodes := 0
	if !within(t.root, maxDepth, &nodes) {
		return nil, &Error{
			Len: len(src), Msg: "the expression is too large",
			Hint: fmt.Sprintf("at most %d parts and %d levels are compiled; split it into columns", maxNodes, maxDepth),
		}
	}
	return t, nil
}

// parse calls expr-lang's parser. A panic in it, on text that a user wrote, is a mistake of the text.
func (t *tree) parse() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Error{Len: len(t.src), Msg: "the expression cannot be parsed"}
		}
	}()
	config := conf.CreateNew()
	config.MaxNodes = maxNodes
	config.DisableIfOperator = true
	parsed, err := parser.ParseWithConfig(t.src, config)
	if err != nil {
		return t.parseError(err)
	}
	t.root = parsed.Node
	return nil
}

// parseError words an error of the parser and turns its runes into bytes.
func (t *tree) parseError(err error) *Error {
	var e *file.Error
	if !errors.As(err, &e) {
		return &Error{Len: len(t.src), Msg: err.Error()}
	}
	from, to := e.From, e.To
	x := &Error{Msg: e.Message}
	if _, quoted, ok := strings.Cut(e.Message, "unexpected token "); ok {
		word := t.runes(from, to)
		x.Msg = "unexpected " + fmt.Sprintf("%q", word)
		if strings.HasPrefix(quoted, "EOF") {
			x.Msg = "the expression ends too early"
			from, to = len([]rune(t.src)), len([]rune(t.src))
			word = ""
		}
		x.Hint = unexpectedHint(word)
		switch before := strings.Fields(string([]rune(t.src)[:from])); {
		case x.Hint == "" && len(before) == 1 && strings.EqualFold(before[0], "distinct"):
			x.Hint = "for how many different values there are write count_distinct: " + word
		case word == "," && strings.Contains(string([]rune(t.src)[:from]), " in ("):
			x.Hint = `write a list: x in ["a", "b"]`
		}
	}
	if strings.Contains(e.Message, "maximum allowed nodes") {
		x.Msg, x.Hint = "the expression is too large", "split it into columns"
	}
	x.Offset = t.offset(from)
	x.Len = t.offset(to) - x.Offset
	return x
}

// unexpectedHint helps those who come from SQL or other languages.
func unexpectedHint(word string) string {
	switch strings.ToLower(word) {
	case "=":
		return "write == to compare"
	case "<>", ">":
		return "write != for unequal"
	case "&":
		return "write and"
	case "is", "isnull":
		return "write x == nil or x != nil"
	case "and", "or", "not", "in":
		return "write " + strings.ToLower(word) + " in lower case"
	case "contains", "startswith", "endswith", "matches":
		return "write it between two: s " + word + " t"
	case "like":
		return "write contains, startsWith, endsWith or matches"
	case "between":
		return "write x >= a and x <= b"
	case "then", "else", "when", "if", "{":
		return "write cond ? a : b"
	}
	return ""
}

// offset is the byte at which rune n of the source begins.
func (t *tree) offset(n int) int {
	for i := range t.src {
		if n <= 0 {
			return i
		}
		n--
	}
	return len(t.src)
}

// runes is the text of runes [from, to).
func (t *tree) runes(from, to int) string {
	a, b := t.offset(from), t.offset(to)
	return t.src[a:max(a, b)]
}

// within tells whether n has at most depth levels and the whole walk stays below maxNodes visits.
// The parser shares nodes (a < b < c holds b twice), so a tree of few nodes can have exponentially
// many paths: visits are what is counted.
func within(n ast.Node, depth int, visits *int) bool {
	*visits++
	if *visits > maxNodes || depth == 0 {
		return false
	}
	for _, k := range children(n) {
		if !within(k, depth-1, visits) {
			return false
		}
	}
	return true
}

// walk calls f with n and, where f says so, with what is below it, in order of the text.
func walk(n ast.Node, f func(ast.Node) bool) {
	if !f(n) {
		return
	}
	for _, k := range children(n) {
		walk(k, f)
	}
}

// children lists the nodes right below n in order of the text; names of functions and of members
// are not among them.
func children(n ast.Node) []ast.Node {
	var kids []ast.Node
	add := func(nodes ...ast.Node) {
		for _, k := range nodes {
			if k != nil {
				kids = append(kids, k)
			}
		}
	}
	switch n := n.(type) {
	case *ast.UnaryNode:
		add(n.Node)
	case *ast.BinaryNode:
		add(n.Left, n.Right)
	case *ast.ChainNode:
		add(n.Node)
	case *ast.MemberNode:
		add(n.Node, n.Property)
	case *ast.SliceNode:
		add(n.Node, n.From, n.To)
	case *ast.CallNode:
		if _, named := n.Callee.(*ast.IdentifierNode); !named {
			add(n.Callee)
		}
		add(n.Arguments...)
	case *ast.BuiltinNode:
		add(n.Arguments...)
	case *ast.PredicateNode:
		add(n.Node)
	case *ast.ConditionalNode:
		add(n.Cond, n.Exp1, n.Exp2)
	case *ast.VariableDeclaratorNode:
		add(n.Value, n.Expr)
	case *ast.SequenceNode:
		add(n.Nodes...)
	case *ast.ArrayNode:
		add(n.Nodes...)
	case *ast.MapNode:
		add(n.Pairs...)
	case *ast.PairNode:
		add(n.Key, n.Value)
	}
	return kids
}

// path is a chain of names: user.address.city.
type path []string

// join is the first n names with dots between.
func (p path) join(n int) string { return strings.Join(p[:n], ".") }

// path reads n as a chain of names; ok is false if it is anything else.
func (t *tree) path(n ast.Node) (path, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return path{n.Value}, true
	case *ast.ChainNode:
		return t.path(n.Node)
	case *ast.MemberNode:
		prop, ok := n.Property.(*ast.StringNode)
		if !ok || t.indexed(n) {
			return nil, false
		}
		p, ok := t.path(n.Node)
		return append(p, prop.Value), ok
	}
	return nil, false
}

// indexed tells a["b"] from a.b, which the parser gives the same tree.
func (t *tree) indexed(n *ast.MemberNode) bool {
	return strings.HasPrefix(t.src[t.offset(n.Location().From):], "[")
}
