package script

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
)

// row is one row of a list of mappings or of a table.
type row struct {
	node  *pipeline.Node // for its place
	cells []cell
}

// cell is one named value.
type cell struct {
	name       string
	key, value *pipeline.Node
}

// get returns a cell's value, or nil.
func (r *row) get(name string) *pipeline.Node {
	for i := range r.cells {
		if r.cells[i].name == name {
			return r.cells[i].value
		}
	}
	return nil
}

// rows reads rows: a list of mappings, or a table in a block of text.
func (l *loader) rows(n *pipeline.Node, what string) ([]row, bool) {
	switch n.Kind {
	case pipeline.Nothing:
		return nil, true
	case pipeline.Scalar:
		if n.Plain || n.Lines == 0 {
			break
		}
		return l.table(n, what)
	case pipeline.Sequence:
		var out []row
		ok := true
		for _, item := range n.Items {
			if item.Kind != pipeline.Mapping {
				l.fail(item, "write {name: value, …}", "%s: each row must be a mapping, not %s", what, item.Kind)
				ok = false
				continue
			}
			ok = l.unique(item, "column") && ok
			r := row{node: item}
			for _, f := range item.Fields {
				r.cells = append(r.cells, cell{f.Key.Text, f.Key, f.Value})
			}
			out = append(out, r)
		}
		return out, ok
	}
	l.fail(n, "write a list of mappings, or a table in a block of text: |", "%s must be rows, not %s", what, n.Kind)
	return nil, false
}

// rule matches the line between a table's head and its rows, which may be left out.
var rule = regexp.MustCompile(`^[-:|+\s]*-[-:|+\s]*$`)

// table reads a block of text whose cells are divided by |. The first line names the columns. Empty lines and
// lines that begin with # are skipped; an empty cell is absent.
func (l *loader) table(n *pipeline.Node, what string) ([]row, bool) {
	var head []*pipeline.Node
	var out []row
	ok := true
	for i, text := range strings.Split(n.Text, "\n") {
		line := n.Line + 1 + i
		body := strings.TrimSpace(text)
		if line > len(l.lines) || body == "" || strings.HasPrefix(body, "#") || head != nil && rule.MatchString(body) {
			continue
		}
		indent := strings.Index(l.lines[line-1], body)
		if indent < 0 {
			l.fail(n, "begin it with | and indent all of its lines alike", "%s: the table is not a plain block of text", what)
			return nil, false
		}
		cells := cut(body, line, utf8.RuneCountInString(l.lines[line-1][:indent])+1)
		if head == nil {
			head = cells
			ok = l.head(head, what)
			continue
		}
		if len(cells) != len(head) {
			l.failAt(line, cells[0].Column, utf8.RuneCountInString(body), "divide cells by |; write \\| for the character itself", "%s: the row has %d cells, the table %d columns", what, len(cells), len(head))
			ok = false
			continue
		}
		r := row{node: &pipeline.Node{Line: line, Column: cells[0].Column, Width: utf8.RuneCountInString(body)}}
		for j, c := range cells {
			if c.Text == "" && c.Plain {
				continue
			}
			v, good := l.cellValue(c)
			ok = ok && good
			r.cells = append(r.cells, cell{head[j].Text, c, v})
		}
		out = append(out, r)
	}
	return out, ok
}

func (l *loader) head(head []*pipeline.Node, what string) bool {
	seen, ok := map[string]bool{}, true
	for _, h := range head {
		if h.Text == "" || seen[h.Text] {
			l.fail(h, "", "%s: the column has no name, or one that another has", what)
			ok = false
		}
		seen[h.Text] = true
	}
	return ok
}

// cut divides a line at each | that has no \ before it. A line that begins with one ends with one, as in
// Markdown.
func cut(body string, line, column int) []*pipeline.Node {
	if strings.HasPrefix(body, "|") {
		body, column = body[1:], column+1
		if strings.HasSuffix(body, "|") && !strings.HasSuffix(body, `\|`) {
			body = body[:len(body)-1]
		}
	}
	var out []*pipeline.Node
	add := func(text string) {
		trimmed := strings.TrimSpace(text)
		lead := utf8.RuneCountInString(text[:len(text)-len(strings.TrimLeft(text, " "))])
		if trimmed == "" {
			lead = 0
		}
		out = append(out, &pipeline.Node{
			Line: line, Column: column + lead, Width: max(utf8.RuneCountInString(trimmed), 1),
			Kind: pipeline.Scalar, Plain: true, Text: strings.ReplaceAll(trimmed, `\|`, "|"),
		})
		column += utf8.RuneCountInString(text) + 1
	}
	from := 0
	for i := range len(body) {
		if body[i] == '|' && (i == 0 || body[i-1] != '\\') {
			add(body[from:i])
			from = i + 1
		}
	}
	add(body[from:])
	return out
}

// cellValue reads a cell: a quoted text, a list or mapping in brackets, null, or plain text.
func (l *loader) cellValue(c *pipeline.Node) (*pipeline.Node, bool) {
	switch {
	case c.Text == "null" || c.Text == "~":
		return &pipeline.Node{Line: c.Line, Column: c.Column, Width: c.Width, Text: c.Text}, true
	case !strings.HasPrefix(c.Text, `"`) && !strings.HasPrefix(c.Text, "[") && !strings.HasPrefix(c.Text, "{"):
		return c, true
	}
	n, _, found := pipeline.ReadTree(l.path, []byte(c.Text))
	if found.HasErrors() || n == nil {
		why := ""
		for _, d := range found {
			why = ": " + d.Message
		}
		l.fail(c, "", "the cell is not YAML%s", why)
		return c, false
	}
	move(n, c)
	return n, true
}

// move places a tree that was read from a cell at the cell.
func move(n, c *pipeline.Node) {
	n.Line, n.Column = c.Line, c.Column+n.Column-1
	for _, f := range n.Fields {
		move(f.Key, c)
		move(f.Value, c)
	}
	for _, item := range n.Items {
		move(item, c)
	}
}

var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

func isNumber(s string) bool { return number.MatchString(s) }

func appendQuoted(dst []byte, s string) []byte {
	b, _ := json.Marshal(s) // a string has no error
	return append(dst, b...)
}

// unknownColumn reports a column that nothing has.
func (l *loader) unknownColumn(c cell, what, kind string, names []string) {
	l.fail(c.key, diag.Suggest(c.name, kind, names), "%s: nothing is called %q", what, c.name)
}
