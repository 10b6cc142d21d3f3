package expr

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// Bounds of patterns. What RE2 does is linear in the string times the size of the compiled pattern.
const (
	maxPattern      = 1 << 10 // bytes
	maxSteps        = 500     // instructions of all patterns of an expression
	maxGroups       = 9
	maxReplaced     = 10_000 // places at which one call replaces
	replacementHint = "$1 is the first group"
)

func patternFunctions() []function {
	return []function{
		def(2, 3, compileExtract, "regexp_extract(s string, pattern string, group? long) string",
			`The first match of an RE2 pattern, a literal, or its group of that number (0: all of it); null if nothing matches, or the group takes no part, or s is longer than 64 KiB. "s matches pattern" tells whether there is one.`,
			`regexp_extract("order 66, item 7", "[0-9]+")`, "66", `regexp_extract("k=v", "(\\w)=(\\w)", 2)`, "v"),
		def(3, 3, compileRegexpReplace, "regexp_replace(s string, pattern string, by string) string",
			"s with every match of an RE2 pattern, a literal, replaced by a literal in which $1 or ${1} is the first group, $0 all of the match, and $$ a dollar. Null beyond 10,000 matches.",
			`regexp_replace("4111-1111", "[0-9]", "*")`, "****-****", `regexp_replace("Doe, Jo", "(\\w+), (\\w+)", "$2 $1")`, "Jo Doe"),
	}
}

// pattern compiles a literal pattern within bounds.
func (c *compiler) pattern(o operand, of string) (*regexp.Regexp, error) {
	src, err := c.text(o, "the pattern of "+of, `write x matches "^[a-z]+$"`)
	if err != nil {
		return nil, err
	}
	if len(src) > maxPattern {
		return nil, c.fail(o.at, fmt.Sprintf("the pattern is %d bytes long", len(src)), fmt.Sprintf("at most %d are", maxPattern))
	}
	bad := func(err error) error {
		return c.fail(o.at, "the pattern does not compile: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "patterns are RE2's")
	}
	tree, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		return nil, bad(err)
	}
	if n := tree.MaxCap(); n > maxGroups {
		return nil, c.fail(o.at, fmt.Sprintf("the pattern has %d groups", n), fmt.Sprintf("at most %d are; (?:…) is no group", maxGroups))
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, bad(err)
	}
	if c.steps += len(prog.Inst); c.steps > maxSteps {
		return nil, c.fail(o.at, "the patterns of the expression are too large", "repetitions like {1,100} multiply what they repeat; split it into columns")
	}
	re, err := regexp.Compile(src)
	if err != nil {
		return nil, bad(err)
	}
	return re, nil
}

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
	re, err := c.pattern(operand{r, n.Right}, "matches")
	if err != nil {
		return code{}, err
	}
	x := boolCode(l, r, "matches")
	x.t.Nullable = true
	x.b = try1(l.s, func(s string) (bool, bool) {
		if len(s) > MaxString {
			return false, false
		}
		return re.MatchString(s), true
	})
	return fold(x, l, r), nil
}

func compileExtract(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.String, event.Long); err != nil {
		return code{}, err
	}
	re, err := c.pattern(args[1], name)
	if err != nil {
		return code{}, err
	}
	group := 0
	if len(args) == 3 {
		g := args[2]
		if !g.konst {
			return code{}, c.fail(g.at, "the group is a literal", "write 1 for the first")
		}
		if v := g.val.Long(); v < 0 || v > int64(re.NumSubexp()) {
			return code{}, c.fail(g.at, fmt.Sprintf("the pattern has no group %d", v), fmt.Sprintf("it has %d; 0 is all of the match", re.NumSubexp()))
		}
		group = int(g.val.Long())
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	r.s = try1(xs[0].s, func(s string) (string, bool) {
		if len(s) > MaxString {
			return "", false
		}
		if group == 0 {
			at := re.FindStringIndex(s)
			if at == nil {
				return "", false
			}
			return s[at[0]:at[1]], true
		}
		at := re.FindStringSubmatchIndex(s)
		if at == nil || at[2*group] < 0 {
			return "", false
		}
		return s[at[2*group]:at[2*group+1]], true
	})
	return fold(r, xs...), nil
}

// insert is a part of a replacement: text, then a group; -1 for none.
type insert struct {
	text  string
	group int
}

func compileRegexpReplace(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.String, event.String); err != nil {
		return code{}, err
	}
	re, err := c.pattern(args[1], name)
	if err != nil {
		return code{}, err
	}
	inserts, err := c.inserts(args[2], re.NumSubexp())
	if err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	r.s = try1(xs[0].s, func(s string) (string, bool) {
		if len(s) > MaxString {
			return "", false
		}
		matches := re.FindAllStringSubmatchIndex(s, maxReplaced+1)
		switch {
		case matches == nil:
			return s, true
		case len(matches) > maxReplaced:
			return "", false
		}
		out := make([]byte, 0, len(s))
		last := 0
		for _, m := range matches {
			out = append(out, s[last:m[0]]...)
			for _, in := range inserts {
				out = append(out, in.text...)
				if in.group >= 0 && m[2*in.group] >= 0 {
					out = append(out, s[m[2*in.group]:m[2*in.group+1]]...)
				}
				if len(out) > MaxString {
					return "", false
				}
			}
			last = m[1]
		}
		out = append(out, s[last:]...)
		return event.Alias(out), len(out) <= MaxString
	})
	return fold(r, xs...), nil
}

// inserts reads a replacement.
func (c *compiler) inserts(o operand, groups int) ([]insert, error) {
	text, err := c.text(o, "the replacement", replacementHint)
	if err != nil {
		return nil, err
	}
	var out []insert
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			b.WriteByte(text[i])
			continue
		}
		rest := text[i+1:]
		digit := strings.TrimPrefix(rest, "{")
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			i++
		case digit == "" || digit[0] < '0' || digit[0] > '9' || len(digit) < len(rest) && (len(digit) < 2 || digit[1] != '}'):
			return nil, c.fail(o.at, "a $ without the number of a group", replacementHint+"; write $$ for a dollar")
		case int(digit[0]-'0') > groups:
			return nil, c.fail(o.at, fmt.Sprintf("the pattern has no group %c", digit[0]), fmt.Sprintf("it has %d", groups))
		default:
			out = append(out, insert{b.String(), int(digit[0] - '0')})
			b.Reset()
			i++
			if len(digit) < len(rest) {
				i += 2
			}
		}
	}
	return append(out, insert{b.String(), -1}), nil
}
