package script

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

// diagnose makes a diagnostic that marks n.
func diagnose(path string, lines []string, n *pipeline.Node, hint, format string, args ...any) diag.Diagnostic {
	d := diag.Diagnostic{File: path, Line: n.Line, Column: n.Column, Width: n.Width, Hint: hint, Message: fmt.Sprintf(format, args...)}
	if n.Line >= 1 && n.Line <= len(lines) {
		d.Source = lines[n.Line-1]
	}
	return d
}

func (l *loader) readZero(n *pipeline.Node) {
	if n == nil {
		return
	}
	t, err := event.ParseTime(n.Text)
	if err != nil {
		l.fail(n, "for example 2024-03-01T00:00:00Z", "zero: %v", err)
		return
	}
	l.zero, l.hasZero = t, true
}

func (l *loader) readEnv(n *pipeline.Node) {
	if n == nil {
		return
	}
	if n.Kind != pipeline.Mapping {
		l.fail(n, "for example env: {REGION: eu}", "env must be a mapping")
		return
	}
	for _, f := range n.Fields {
		l.env[f.Key.Text] = f.Value.Text
	}
}

// readPipeline compiles the pipeline: of a file, or written here.
func (l *loader) readPipeline(n *pipeline.Node) bool {
	if n == nil || n.Kind == pipeline.Nothing || n.Kind == pipeline.Sequence {
		l.failAt(1, 1, 1, "name the file: pipeline: pipeline.yaml", "the file names no pipeline")
		return false
	}
	opt := pipeline.Options{
		Env: func(name string) (string, bool) {
			if v, ok := l.env[name]; ok {
				return v, true
			}
			return os.LookupEnv(name)
		},
		Schema: func(source string) *schemas.Schema { return l.schemas[source] },
	}
	var found diag.List
	if n.Kind == pipeline.Mapping {
		found = l.inline(n, opt)
	} else {
		if _, err := os.Stat(l.rel(n.Text)); err != nil {
			l.fail(n, "the path is relative to this file's folder", "pipeline %q does not exist", n.Text)
			return false
		}
		l.plan, found = pipeline.Load(l.rel(n.Text), opt)
	}
	if l.plan != nil {
		return true // warnings are for check
	}
	for _, d := range found {
		if d.Severity == diag.Error {
			l.diags = append(l.diags, d)
		}
	}
	if !l.diags.HasErrors() {
		l.fail(n, "there are no services here: add schemas: {SOURCE: FILE.avsc}", "the schema of a source stands in a registry")
	}
	return false
}

// inline compiles a pipeline that stands in the test file: its lines, with what is before them blanked, so
// that lines count as in the file.
func (l *loader) inline(n *pipeline.Node, opt pipeline.Options) diag.List {
	indent := n.Column - 1
	first := n.Line - 1
	if first < 1 || strings.TrimSpace(l.lines[first][:min(indent, len(l.lines[first]))]) != "" {
		l.fail(n, "write it in lines of its own, indented below pipeline:", "a pipeline in a test file is a block")
		return nil
	}
	text := make([]string, 0, len(l.lines))
	if n.Get("pipeline") == nil {
		text = append(text, "pipeline: test")
	}
	for len(text) < first {
		text = append(text, "")
	}
	for _, line := range l.lines[first:] {
		if body := strings.TrimLeft(line, " "); len(line)-len(body) < indent && body != "" && !strings.HasPrefix(body, "#") {
			break
		}
		text = append(text, line[min(indent, len(line)-len(strings.TrimLeft(line, " "))):])
	}
	plan, found := pipeline.Compile(l.path, []byte(strings.Join(text, "\n")), opt)
	l.plan = plan
	for i := range found {
		d := &found[i]
		d.Column += indent
		if d.Line >= 1 && d.Line <= len(l.lines) && d.Source != "" {
			d.Source = strings.Repeat(" ", indent) + d.Source
		}
	}
	return found
}

func (l *loader) readSchemas(n *pipeline.Node) {
	if n == nil {
		return
	}
	if n.Kind != pipeline.Mapping {
		l.fail(n, "for example schemas: {transactions: transactions.avsc}", "schemas must be a mapping of sources")
		return
	}
	l.unique(n, "source")
	for _, f := range n.Fields {
		avsc, at, err := l.schemaText(f.Value)
		if err == nil {
			var s *schemas.Schema
			if s, err = schemas.Parse(avsc); err == nil {
				l.schemas[f.Key.Text] = s
				continue
			}
		}
		l.fail(at, "give an .avsc file, or fields: {user: string, amount: double?, ts: timestamp}", "schema of %q: %v", f.Key.Text, err)
	}
}

func (l *loader) schemaText(n *pipeline.Node) (avsc []byte, at *pipeline.Node, err error) {
	switch {
	case n.Kind == pipeline.Scalar:
		avsc, err = readBounded(l.rel(n.Text))
		return avsc, n, err
	case n.Kind != pipeline.Mapping:
		return nil, n, fmt.Errorf("it is %s", n.Kind)
	case n.Get("type") != nil && n.Get("fields") != nil:
		return appendJSON(nil, n), n, nil
	}
	b := schemaBuilder{}
	avsc, err = b.record(n, "Event")
	if b.at != nil {
		n = b.at
	}
	return avsc, n, err
}

// maxFile bounds the files that are read.
const maxFile = 4 << 20

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return b, err
}

// appendJSON writes a node as JSON: plain scalars as YAML reads them.
func appendJSON(dst []byte, n *pipeline.Node) []byte {
	switch n.Kind {
	case pipeline.Nothing:
		return append(dst, "null"...)
	case pipeline.Scalar:
		if n.Plain && (n.Text == "true" || n.Text == "false" || isNumber(n.Text)) {
			return append(dst, n.Text...)
		}
		return appendQuoted(dst, n.Text)
	case pipeline.Sequence:
		dst = append(dst, '[')
		for i, item := range n.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, item)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	for i, f := range n.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, f.Key.Text), ':')
		dst = appendJSON(dst, f.Value)
	}
	return append(dst, '}')
}

// schemaBuilder writes an Avro schema from the short form: a mapping of fields, each with its type.
type schemaBuilder struct {
	at    *pipeline.Node // of a mistake
	names int
}

// shortTypes are the types of the short form, as Avro writes them.
var shortTypes = map[string]string{
	"boolean": `"boolean"`, "int": `"int"`, "long": `"long"`, "float": `"float"`, "double": `"double"`,
	"string": `"string"`, "bytes": `"bytes"`,
	"timestamp":        `{"type":"long","logicalType":"timestamp-micros"}`,
	"timestamp_millis": `{"type":"long","logicalType":"timestamp-millis"}`,
	"timestamp_nanos":  `{"type":"long","logicalType":"timestamp-nanos"}`,
	"local_timestamp":  `{"type":"long","logicalType":"local-timestamp-micros"}`,
	"date":             `{"type":"int","logicalType":"date"}`,
	"time":             `{"type":"long","logicalType":"time-micros"}`,
	"uuid":             `{"type":"string","logicalType":"uuid"}`,
}

func (b *schemaBuilder) record(n *pipeline.Node, name string) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"type":"record","name":%q,"fields":[`, name)
	for i, f := range n.Fields {
		if i > 0 {
			out.WriteByte(',')
		}
		t, nullable, err := b.typeOf(f.Value)
		if err != nil {
			if b.at == nil {
				b.at = f.Value
			}
			return nil, err
		}
		fmt.Fprintf(&out, `{"name":%s,"type":%s`, appendQuoted(nil, f.Key.Text), t)
		if nullable {
			out.WriteString(`,"default":null`)
		}
		out.WriteByte('}')
	}
	out.WriteString("]}")
	return out.Bytes(), nil
}

func (b *schemaBuilder) typeOf(n *pipeline.Node) (avro string, nullable bool, err error) {
	switch n.Kind {
	case pipeline.Mapping:
		b.names++
		rec, err := b.record(n, fmt.Sprintf("Nested%d", b.names))
		return string(rec), false, err
	case pipeline.Sequence:
		if len(n.Items) != 1 {
			return "", false, fmt.Errorf("a list has one type of elements, like [string]")
		}
		items, _, err := b.typeOf(n.Items[0])
		return `{"type":"array","items":` + items + `}`, false, err
	}
	return b.scalarType(strings.TrimSpace(n.Text))
}

func (b *schemaBuilder) scalarType(text string) (avro string, nullable bool, err error) {
	if rest, ok := strings.CutSuffix(text, "?"); ok {
		t, _, err := b.scalarType(rest)
		return `["null",` + t + `]`, true, err
	}
	if t, ok := shortTypes[text]; ok {
		return t, false, nil
	}
	name, args, ok := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	if ok && strings.HasSuffix(text, ")") {
		switch name {
		case "decimal":
			var precision, scale int
			if _, err := fmt.Sscanf(args, "%d,%d", &precision, &scale); err == nil {
				return fmt.Sprintf(`{"type":"bytes","logicalType":"decimal","precision":%d,"scale":%d}`, precision, scale), false, nil
			}
		case "array", "map":
			t, _, err := b.scalarType(args)
			key := map[string]string{"array": "items", "map": "values"}[name]
			return fmt.Sprintf(`{"type":%q,%q:%s}`, name, key, t), false, err
		case "enum":
			b.names++
			symbols := strings.Fields(strings.ReplaceAll(args, ",", " "))
			return fmt.Sprintf(`{"type":"enum","name":"Enum%d","symbols":["%s"]}`, b.names, strings.Join(symbols, `","`)), false, nil
		}
	}
	return "", false, fmt.Errorf("type %q is not known: %s, decimal(P,S), array(T), map(T), enum(A B), each with ? behind if it may be null", text, "boolean, int, long, float, double, string, bytes, timestamp, date, time, uuid")
}
