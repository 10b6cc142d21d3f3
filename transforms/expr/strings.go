package expr

import (
	"fmt"
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
