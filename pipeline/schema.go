package pipeline

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/schemas"
)

// maxSchema bounds an .avsc file.
const maxSchema = 4 << 20

// resolveSchema finds the reader schema of a source.
func (c *compiler) resolveSchema(s *sourceScope, source *node) {
	n := source.get("schema")
	if c.opt.Schema != nil {
		if schema := c.opt.Schema(s.src.Name); schema != nil {
			s.src.Schema = c.recordSchema(s.key, s, schema)
			c.untyped = c.untyped || s.src.Schema == nil
			return
		}
	}
	switch {
	case source.has("schema") && (n == nil || n.kind != mappingNode), n.has("registry") && n.has("file"):
		// Reported by the grammar.
	case n.get("registry") != nil:
		c.resolveSubject(s, n)
	case n.get("file") != nil:
		for _, name := range []string{"subject", "username", "password"} {
			if k := n.keyNode(name); k != nil {
				c.fail(k, "delete it, or write registry: in place of file:", "%s: schema: %s belongs to a registry", s.in, name)
			}
		}
		c.guessFormat(s, source)
		c.warnNoFile(s, source)
		c.readSchemaFile(s, n.get("file"))
	case n != nil:
		// registry or file is there and wrong, or neither is: reported by the grammar.
	case s.src.File != nil:
		c.schemaOfFiles(s, source)
	case s.src.Kafka != nil:
		c.failAt(s.key.span, `add schema: {registry: "http://localhost:8081"} or schema: {file: events.avsc}`, "%s has no schema", s.in)
	}
	if s.src.Schema == nil {
		c.untyped = true
	}
}

func (c *compiler) resolveSubject(s *sourceScope, n *node) {
	url := n.get("registry")
	if s.src.File != nil {
		c.fail(n.keyNode("registry"), "write schema: {file: events.avsc}, or leave it out for avro and parquet", "%s: schema: a registry is for topics", s.in)
		return
	}
	ref := RegistryRef{
		URL: strings.TrimRight(url.text, "/"), Username: textOr(n.get("username"), ""),
		Password: c.secret(n.get("password"), s.in+": schema: password"),
	}
	at := url
	if sub := n.get("subject"); sub != nil {
		ref.Subject, at = sub.text, sub
	} else if s.src.Kafka != nil && s.src.Kafka.Topic != "" {
		ref.Subject = s.src.Kafka.Topic + "-value"
	}
	s.src.Registry = &ref
	if ref.Subject == "" || n.has("subject") && n.get("subject") == nil {
		return
	}
	if c.opt.Subject == nil {
		c.warn(at, "use `penstock check --online` to ask the registry", "%s: schema: subject %q is not looked up without a network, so types are not checked", s.in, ref.Subject)
		return
	}
	got, ok := c.subjects[ref]
	if !ok {
		got.schema, got.err = c.opt.Subject(ref)
		c.subjects[ref] = got
	}
	if got.err != nil {
		c.fail(at, "", "%s: schema: look up subject %q: %v", s.in, ref.Subject, got.err)
		return
	}
	s.src.Schema = c.recordSchema(at, s, got.schema)
}

func (c *compiler) readSchemaFile(s *sourceScope, n *node) {
	b, err := readBounded(c.path(n.text), maxSchema)
	if err != nil {
		c.fail(n, c.pathHint(n.text), "%s: schema: file %q: %v", s.in, n.shown(), openError(err))
		return
	}
	schema, err := schemas.Parse(b)
	if err != nil {
		c.fail(n, "", "%s: schema: file %q: %v", s.in, n.shown(), err)
		return
	}
	s.src.Schema = c.recordSchema(n, s, schema)
}

// recordSchema refuses schemas without fields.
func (c *compiler) recordSchema(at *node, s *sourceScope, schema *schemas.Schema) *schemas.Schema {
	if schema == nil || len(schema.Fields()) == 0 {
		c.fail(at, "the events must be records", "%s: schema: the schema has no fields", s.in)
		return nil
	}
	return schema
}

// fileFormat guesses a file's format from its name, and whether it is compressed.
func fileFormat(name string) (format string, compressed bool) {
	base := strings.ToLower(path.Base(filepath.ToSlash(name)))
	for _, ext := range []string{".gz", ".zst"} {
		if b, ok := strings.CutSuffix(base, ext); ok {
			base, compressed = b, true
		}
	}
	format = strings.TrimPrefix(path.Ext(base), ".")
	if format == "ndjson" {
		format = "jsonl"
	}
	if !slices.Contains(fileFormats, format) {
		return "", compressed
	}
	return format, compressed
}

// guessFormat settles the format of a source of files if one is to be had from the glob.
func (c *compiler) guessFormat(s *sourceScope, source *node) {
	if f := s.src.File; f != nil && f.Format == "" && !source.get("file").has("format") {
		f.Format, _ = fileFormat(f.Path)
	}
}

// warnNoFile warns of a glob that matches nothing yet.
func (c *compiler) warnNoFile(s *sourceScope, source *node) {
	p := source.get("file").get("path")
	if p == nil {
		return
	}
	if matches, err := filepath.Glob(c.path(p.text)); err == nil && len(matches) == 0 {
		c.warn(p, c.pathHint(p.text), "%s: file: path %q matches no file", s.in, p.shown())
	}
}

// formatOf is the format of a source of files, or of its first file; "" if that is not known.
func (c *compiler) formatOf(s *sourceScope) string {
	if s.src.File == nil || s.src.File.Format != "" {
		return formatOrNone(s.src.File)
	}
	matches, err := filepath.Glob(c.path(s.src.File.Path))
	if err != nil || len(matches) == 0 {
		return ""
	}
	format, _ := fileFormat(slices.Min(matches))
	return format
}

func formatOrNone(f *File) string {
	if f == nil {
		return ""
	}
	return f.Format
}

// schemaOfFiles reads the schema that the first file brings along.
func (c *compiler) schemaOfFiles(s *sourceScope, source *node) {
	p := source.get("file").get("path")
	if p == nil {
		return
	}
	c.guessFormat(s, source)
	format := s.src.File.Format
	if format == "csv" || format == "jsonl" {
		c.failAt(s.key.span, "add schema: {file: events.avsc} with an Avro schema of the columns", "%s: %s files need a schema", s.in, format)
		return
	}
	matches, err := filepath.Glob(c.path(p.text))
	if err == nil && len(matches) == 0 && c.opt.Kept != nil {
		if schema := c.opt.Kept(s.src.Name); schema != nil {
			s.src.Schema = c.recordSchema(p, s, schema)
			return
		}
	}
	if err != nil || len(matches) == 0 {
		c.fail(p, c.pathHint(p.text), "%s: file: path %q matches no file, so its schema is not known", s.in, p.shown())
		return
	}
	slices.Sort(matches)
	if format == "" {
		if format, _ = fileFormat(matches[0]); format == "" {
			c.fail(p, "add format: "+strings.Join(fileFormats, ", format: "), "%s: file: the name of %q does not tell its format", s.in, filepath.Base(matches[0]))
			return
		}
		if format == "csv" || format == "jsonl" {
			c.failAt(s.key.span, "add schema: {file: events.avsc} with an Avro schema of the columns", "%s: %s files need a schema", s.in, format)
			return
		}
	}
	schema, err := schemaOfFile(matches[0], format)
	if err != nil {
		c.fail(p, "", "%s: file: read the schema of %q: %v", s.in, filepath.Base(matches[0]), openError(err))
		return
	}
	s.src.Schema = c.recordSchema(p, s, schema)
}

func schemaOfFile(name, format string) (*schemas.Schema, error) {
	if _, compressed := fileFormat(name); compressed && format == "parquet" {
		return nil, fmt.Errorf("a Parquet file compressed as a whole is not known; it compresses its pages itself")
	}
	if format == "parquet" {
		return parquetSchema(name)
	}
	return containerSchema(name)
}
