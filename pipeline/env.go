package pipeline

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/internal/diag"
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expandEnv replaces ${VAR} and ${VAR:-default} in all scalars below n; $${ stands for ${ itself.
func (c *compiler) expandEnv(n *node) {
	switch n.kind {
	case scalarNode:
		if strings.Contains(n.text, "${") {
			c.expandScalar(n)
		}
	case mappingNode:
		for _, f := range n.fields {
			c.expandEnv(f.value)
		}
	case sequenceNode:
		for _, item := range n.items {
			c.expandEnv(item)
		}
	}
}

func (c *compiler) expandScalar(n *node) {
	var out strings.Builder
	rest := n.text
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			break
		}
		if i > 0 && rest[i-1] == '$' {
			out.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			c.fail(n, "close it with }, or write $${ for the characters themselves", "${ without }")
			return
		}
		name, otherwise, hasDefault := strings.Cut(rest[i+2:i+end], ":-")
		if !envName.MatchString(name) {
			c.fail(n, "write ${VAR} or ${VAR:-default}; $${ stands for the characters themselves",
				"%q is not the name of an environment variable", name)
			return
		}
		value, ok := c.opt.Env(name)
		switch {
		case (!ok || value == "") && hasDefault:
			value = otherwise
		case !ok:
			c.fail(n, fmt.Sprintf("set it, or give it a default: ${%s:-…}", name),
				"the environment variable %s is not set", name)
			return
		default:
			n.env = true
		}
		out.WriteString(rest[:i] + value)
		rest = rest[i+end+1:]
	}
	out.WriteString(rest)
	n.text = out.String()
	n.body = 0
	if len(n.text) > maxFile {
		c.fail(n, "", "with the environment's values this is longer than 1 MiB")
	}
}

// fail reports an error at n and marks n as bad, so that nothing else is said about it.
func (c *compiler) fail(n *node, hint, format string, args ...any) {
	n.bad = true
	c.report(diag.Error, n.span, hint, fmt.Sprintf(format, args...))
}

// failAt reports an error at a place.
func (c *compiler) failAt(at span, hint, format string, args ...any) {
	c.report(diag.Error, at, hint, fmt.Sprintf(format, args...))
}

// warn reports a warning at n.
func (c *compiler) warn(n *node, hint, format string, args ...any) {
	c.report(diag.Warning, n.span, hint, fmt.Sprintf(format, args...))
}

func (c *compiler) report(sev diag.Severity, at span, hint, message string) {
	d := diag.Diagnostic{
		Severity: sev, File: c.file, Line: at.line, Column: at.column, Width: at.width,
		Message: message, Hint: hint,
	}
	c.diags = append(c.diags, d)
}

// secretText finds what follows a secret's key up to the end of the line, and the credentials of an
// address.
var secretText = regexp.MustCompile(`(?i)((?:pas+w|secret|token|credential)\w*["']?\s*:\s*)([^\s].*)|(://)([^/@\s]+)@`)

// plainRef is a bare reference to an environment variable, which is no secret.
var plainRef = regexp.MustCompile(`^["']?\$\{[A-Za-z0-9_]+\}["']?[\s,}\]]*$|^\{\s*file\s*:`)

// maxShown is how many bytes a line may have to be shown in a diagnostic.
const maxShown = 4000

// source is the text of a line as diagnostics show it, without secrets.
func (c *compiler) source(line int) string {
	if line < 1 || line > c.lines.count() || len(c.lines.line(line)) > maxShown {
		return ""
	}
	text := c.lines.line(line)
	for _, s := range c.secrets {
		if s.line == line {
			rest := c.lines.from(s.span)
			text = text[:len(text)-len(rest)] + strings.Repeat("*", utf8.RuneCountInString(rest))
			break
		} else if s.line < line && line <= s.line+s.extra {
			return ""
		}
	}
	return mask(text)
}

// mask hides secrets in a source line, letter by letter so that carets stay where they are.
func mask(line string) string {
	out := []byte(nil)
	from := 0
	for _, m := range secretText.FindAllStringSubmatchIndex(line, -1) {
		start, end := m[4], m[5]
		if start < 0 {
			start, end = m[8], m[9]
		} else if plainRef.MatchString(line[start:end]) {
			continue
		}
		out = append(out, line[from:start]...)
		for range []rune(line[start:end]) {
			out = append(out, '*')
		}
		from = end
	}
	return string(append(out, line[from:]...))
}
