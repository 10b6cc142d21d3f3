package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a pipeline file.
const (
	maxFile   = 1 << 20 // bytes
	maxTokens = 100_000 // of YAML; the parser takes a time square in them
	maxNest   = 24      // brackets within brackets
	maxIndent = 160     // columns
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	scalarNode
	mappingNode
	sequenceNode
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "a value", "a mapping", "a list"}[k]
}

// span is a place in the file: what a caret marks.
type span struct{ line, column, width int }

// node is one node of the file with its place. Scalars are all text: what they mean depends on the
// grammar, not on how YAML guesses.
type node struct {
	span
	kind   nodeKind
	text   string // of a scalar, with ${VAR} replaced
	raw    string // of a scalar, as written
	env    bool   // text came from the environment, in part at least
	plain  bool   // the scalar has no quotes
	extra  int    // how many lines behind the first it goes on
	body   int    // column at which text begins in the line, 0 if it does not stand there letter by letter
	bad    bool   // a mistake was reported here: skip it silently
	fields []field
	items  []*node
}

// field is one entry of a mapping.
type field struct {
	key   *node
	value *node
}

// get returns the value of a key, or nil if the key is absent or its value empty or bad.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key.text == key && f.value.kind != nullNode && !f.value.bad {
			return f.value
		}
	}
	return nil
}

// has tells whether a key stands there, whatever its value.
func (n *node) has(key string) bool { return n.keyNode(key) != nil }

// keyNode returns the node of the key itself, for its place, or nil.
func (n *node) keyNode(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key.text == key {
			return f.key
		}
	}
	return nil
}

// shown is how a scalar is quoted in messages: what came from the environment is not printed.
func (n *node) shown() string {
	text := n.text
	if n.env {
		text = n.raw
	}
	if r := []rune(text[:min(len(text), 400)]); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return text
}

// mistake is a syntax mistake with its place.
type mistake struct {
	span
	message, hint string
}

// parseYAML reads src as one YAML document. A nil node without mistakes is an empty file.
func parseYAML(src string, text *lines) (root *node, found []mistake) {
	defer func() {
		// The parser is not ours, and its input anything: a panic in it is a syntax mistake.
		if r := recover(); r != nil {
			root, found = nil, []mistake{{span{1, 1, 1}, "this is not YAML", ""}}
		}
	}()
	tokens := lexer.Tokenize(src)
	if found := checkTokens(tokens, text); len(found) > 0 {
		return nil, found
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, []mistake{syntaxMistake(err, text)}
	}
	r := reader{lines: text}
	for i, d := range file.Docs {
		n := r.read(d.Body)
		if i > 0 {
			r.fail(n.span, "the file must be one YAML document", "put the second into a file of its own")
			break
		}
		if d.Body != nil {
			root = n
		}
	}
	return root, r.found
}

// checkTokens refuses what nests so deep that the parser would exhaust the stack, and the parts of
// YAML that a pipeline does not need.
func checkTokens(tokens token.Tokens, text *lines) []mistake {
	if len(tokens) > maxTokens {
		return []mistake{{tokenSpan(tokens[maxTokens], text), fmt.Sprintf("the file has more than %d keys, values and brackets", maxTokens), "split it into several pipelines"}}
	}
	var found []mistake
	depth, line := 0, 0
	for _, t := range tokens {
		at := tokenSpan(t, text)
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			if depth++; depth > maxNest {
				return append(found, mistake{at, "brackets are nested too deep", ""})
			}
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.AliasType:
			found = append(found, mistake{at, "a * begins a YAML alias, which cannot be used here", `quote it: "*"`})
		case token.AnchorType:
			found = append(found, mistake{at, "YAML anchors are not known here", "quote the text if it begins with &"})
		case token.TagType:
			found = append(found, mistake{at, tagMessage, tagHint})
		case token.InvalidType:
			if n := len(found); n == 0 || found[n-1].line != at.line || found[n-1].message != tagMessage {
				found = append(found, invalidToken(t, at, text))
			}
		case token.MergeKeyType:
			found = append(found, mistake{at, "YAML merge keys are not known here", "write the keys out"})
		case token.MappingKeyType:
			found = append(found, mistake{at, "keys that begin with ? are not known here", "write key: value"})
		case token.DirectiveType:
			found = append(found, mistake{at, "YAML directives are not known here", "delete the line"})
		}
		begins := t.Position.Line > line
		line = t.Position.Line
		if t.Position.Column > maxIndent && depth == 0 && t.Type != token.CommentType &&
			(begins || t.Type == token.SequenceEntryType) {
			return append(found, mistake{at, "this is indented too deep", ""})
		}
	}
	return found
}

const (
	tagMessage = "YAML tags are not known here"
	tagHint    = "quote the text if it begins with !"
)

// invalidToken says what the lexer found wrong. It places the token at its end: look for its text.
func invalidToken(t *token.Token, at span, text *lines) mistake {
	word := strings.TrimSpace(t.Value)
	if i := strings.Index(text.line(at.line), word); i >= 0 && word != "" {
		at.column = utf8.RuneCountInString(text.line(at.line)[:i]) + 1
	}
	if strings.HasPrefix(word, "!") {
		return mistake{at, tagMessage, tagHint}
	}
	return clearer(mistake{at, "not YAML: " + t.Error, ""})
}

func syntaxMistake(err error, text *lines) mistake {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return mistake{span{1, 1, 1}, "this is not YAML", ""}
	}
	return clearer(mistake{span: tokenSpan(e.GetToken(), text), message: "not YAML: " + e.GetMessage()})
}

// clearer rewrites what the parser says about the most usual mistakes.
func clearer(m mistake) mistake {
	switch {
	case strings.Contains(m.message, `character '	'`):
		m.message, m.hint = "not YAML: a tab in the indentation", "indent with spaces"
	case strings.Contains(m.message, "could not find flow"):
		m.hint = "within brackets, quote texts that hold one of [ ] { } , or a quote: where: 'country in [\"US\", \"DE\"]'"
	case strings.Contains(m.message, "must be specified"):
		m.hint = "close the bracket; within brackets, quote texts that hold one of [ ] { } , or a quote"
	case strings.Contains(m.message, "mapping value is not allowed"):
		m.hint = "quote texts that contain a colon and a space; check the indentation"
	}
	return m
}

// tokenSpan is the place of t, moved inside the file if the parser says otherwise.
func tokenSpan(t *token.Token, text *lines) span {
	s := span{t.Position.Line, t.Position.Column, 1}
	s.line = min(max(s.line, 1), text.count())
	s.column = min(max(s.column, 1), text.length(s.line)+1)
	return s
}

// reader turns the parser's tree into ours.
type reader struct {
	lines *lines
	found []mistake
}

func (r *reader) fail(at span, message, hint string) {
	r.found = append(r.found, mistake{at, message, hint})
}

func (r *reader) read(n ast.Node) *node {
	if n == nil {
		return &node{span: span{1, 1, 1}}
	}
	switch x := n.(type) {
	case *ast.MappingNode:
		out := &node{span: tokenSpan(n.GetToken(), r.lines), kind: mappingNode}
		r.fields(out, x.Values)
		if !x.IsFlowStyle && len(out.fields) > 0 {
			out.span = out.fields[0].key.span
		}
		return out
	case *ast.MappingValueNode:
		out := &node{kind: mappingNode}
		r.fields(out, []*ast.MappingValueNode{x})
		out.span = out.fields[0].key.span
		return out
	case *ast.SequenceNode:
		out := &node{span: tokenSpan(n.GetToken(), r.lines), kind: sequenceNode}
		for _, v := range x.Values {
			out.items = append(out.items, r.read(v))
		}
		return out
	case *ast.NullNode:
		return &node{span: tokenSpan(n.GetToken(), r.lines), text: x.GetToken().Value, raw: x.GetToken().Value}
	case *ast.LiteralNode:
		out := &node{span: tokenSpan(n.GetToken(), r.lines), kind: scalarNode}
		if x.Value != nil {
			out.text = strings.TrimSuffix(x.Value.Value, "\n")
			if t := x.Value.GetToken(); t != nil {
				out.extra = strings.Count(t.Origin, "\n") + 1
			}
		}
		out.raw = out.text
		return out
	case ast.ScalarNode:
		return r.scalar(x)
	}
	out := &node{span: tokenSpan(n.GetToken(), r.lines), bad: true}
	r.fail(out.span, fmt.Sprintf("a YAML %s is not known here", strings.ToLower(n.Type().YAMLName())), "")
	return out
}

func (r *reader) fields(out *node, values []*ast.MappingValueNode) {
	for _, v := range values {
		out.fields = append(out.fields, field{r.scalar(v.Key), r.read(v.Value)})
	}
}

// scalar reads a scalar or a key, and finds how wide it stands in its line.
func (r *reader) scalar(n ast.Node) *node {
	t := n.GetToken()
	out := &node{span: tokenSpan(t, r.lines), kind: scalarNode, text: t.Value, raw: t.Value}
	out.extra = strings.Count(strings.TrimSpace(t.Origin), "\n")
	quoted := t.Type == token.DoubleQuoteType || t.Type == token.SingleQuoteType
	out.plain = !quoted
	rest := r.lines.from(out.span)
	if quoted && rest != "" {
		if strings.HasPrefix(rest[1:], t.Value+rest[:1]) {
			out.body = out.column + 1
		}
		out.width = quotedWidth(rest)
	} else if strings.HasPrefix(rest, t.Value) {
		out.body, out.width = out.column, utf8.RuneCountInString(t.Value)
	} else {
		out.width = r.lines.length(out.line) + 1 - out.column
	}
	out.width = max(out.width, 1)
	return out
}

// quotedWidth counts the characters of the quoted text at the head of s, quotes included; up to the
// end of s if it goes on in the next line.
func quotedWidth(s string) int {
	quote, n := rune(s[0]), 0
	escaped := false
	for i, c := range s {
		n++
		switch {
		case i == 0:
		case escaped:
			escaped = false
		case c == '\\' && quote == '"':
			escaped = true
		case c == quote && quote == '\'' && strings.HasPrefix(s[i+1:], "'"):
			escaped = true
		case c == quote:
			return n
		}
	}
	return n
}
