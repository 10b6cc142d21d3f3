package expr

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// concat joins two strings; beyond MaxString the answer is null.
func concat(l, r code) code {
	x := code{t: event.Type{Kind: event.String, Nullable: true}, text: "(" + l.text + " + " + r.text + ")"}
	x.s = try2(l.s, r.s, func(a, b string) (string, bool) {
		if len(a)+len(b) > MaxString {
			return "", false
		}
		return a + b, true
	})
	return fold(x, l, r)
}

// maxPattern bounds a pattern in bytes: repetitions multiply what it compiles to.
const maxPattern = 1 << 10

// matches compiles x matches "pattern"; the pattern is RE2's and compiled here, once.
func (c *compiler) matches(n *ast.BinaryNode) (code, error) {
	l, err := c.expr(n.Left)
	if err != nil {
		return code{}, err
	}
	r, err := c.expr(n.Right)
	if err != nil {
		return code{}, err
	}
	if l.t.Kind != event.String {
		return code{}, c.fail(n.Left, "matches tests a string, not "+l.describe(), "")
	}
	if !r.konst || r.t.Kind != event.String {
		return code{}, c.fail(n.Right, "the pattern of matches is a string literal", `write x matches "^[a-z]+$"`)
	}
	if len(r.val.Str) > maxPattern {
		return code{}, c.fail(n.Right, fmt.Sprintf("the pattern is %d bytes long", len(r.val.Str)), fmt.Sprintf("at most %d are", maxPattern))
	}
	re, err := regexp.Compile(r.val.Str)
	if err != nil {
		return code{}, c.fail(n.Right, "the pattern does not compile: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "patterns are RE2's")
	}
	x := boolCode(l, r, "matches")
	x.b = map1(l.s, re.MatchString)
	return fold(x, l, r), nil
}

// affix compiles contains, startsWith and endsWith on strings and on bytes.
func (c *compiler) affix(n *ast.BinaryNode, l, r code) (code, error) {
	if l.t.Kind != r.t.Kind || l.t.Kind != event.String && l.t.Kind != event.Bytes {
		hint := ""
		if l.t.Kind == event.List || l.t.Kind == event.Map {
			hint = "write x in " + l.text
		}
		return code{}, c.fail(n, fmt.Sprintf("%s tests two strings, not %s and %s", n.Operator, l.describe(), r.describe()), hint)
	}
	f := map[string]func(s, part string) bool{
		"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix,
	}[n.Operator]
	x := boolCode(l, r, n.Operator)
	x.b = try2(l.s, r.s, func(s, part string) (bool, bool) { return f(s, part), true })
	return fold(x, l, r), nil
}
