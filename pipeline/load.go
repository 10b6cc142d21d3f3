package pipeline

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/schemas"
)

// Options tell Load and Compile what lies outside the file.
type Options struct {
	// Env looks up an environment variable; nil: os.LookupEnv.
	Env func(name string) (value string, ok bool)
	// Subject answers the latest schema of a registry's subject; nil: there is no network. It is
	// called once for each subject.
	Subject func(ref RegistryRef) (*schemas.Schema, error)
	// Schema answers the schema of a source's events by the source's name, in place of what the file
	// says; nil, or a nil answer: what the file says. Tests of pipelines give their own.
	Schema func(source string) *schemas.Schema
	// Kept answers the schema that the files of a source brought along, by the source's name, where they are
	// not there any more; nil, or a nil answer: it is not known.
	Kept func(source string) *schemas.Schema
}

// Load reads and compiles the pipeline file at path: see Compile. A file that cannot be read is a
// diagnostic too.
func Load(path string, opt Options) (*Plan, diag.List) {
	src, err := readBounded(path, maxFile)
	if err != nil {
		return nil, diag.List{{File: path, Message: err.Error()}}
	}
	return Compile(path, src, opt)
}

// Compile checks and compiles a pipeline file. All mistakes are reported at once, in order of
// place. The plan is nil if there are errors. It is also nil, with warnings only, if the file is
// right as far as can be told, but the schema of a registry's subject is not known because
// Options.Subject is nil: then types are not checked. path is for messages, and the files that the
// pipeline names are relative to its folder.
func Compile(path string, src []byte, opt Options) (*Plan, diag.List) {
	if opt.Env == nil {
		opt.Env = os.LookupEnv
	}
	c := &compiler{file: path, dir: filepath.Dir(path), opt: opt, plan: &Plan{Path: path}, subjects: map[RegistryRef]subject{}}
	if len(src) > maxFile {
		c.failAt(span{}, "", "the file is longer than 1 MiB")
		return nil, c.diags
	}
	if root, ok := c.parse(src); ok {
		c.compile(root)
	}
	diags := c.finish()
	if diags.HasErrors() || c.untyped {
		return nil, diags
	}
	return c.plan, diags
}

// parse reads the file's text as YAML; false if there are mistakes.
func (c *compiler) parse(src []byte) (*node, bool) {
	text := strings.TrimPrefix(string(src), "\ufeff")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if line, ok := badText(text); ok {
		c.lines = newLines(strings.ToValidUTF8(text, "\ufffd"))
		c.failAt(span{line, 1, 1}, "", "this line is not UTF-8 text")
		return nil, false
	}
	c.lines = newLines(text)
	root, found := parseYAML(text, c.lines)
	for _, m := range found {
		c.failAt(m.span, m.hint, "%s", m.message)
	}
	return root, len(found) == 0
}

// compiler is one run of Compile.
type compiler struct {
	file, dir string
	lines     *lines
	opt       Options
	diags     diag.List
	secrets   []secretSpan
	subjects  map[RegistryRef]subject
	untyped   bool // a schema is not known: no plan
	plan      *Plan

	sources  []*sourceScope
	entities []*entityScope
	views    []*viewScope
	labels   []*labelScope
	exports  []*exportScope

	future map[string]bool // names of labels, as they are written: a feature set that names one is told where it belongs
}

// secretSpan is where a secret begins, and how many lines behind it may hold more of it.
type secretSpan struct {
	span
	extra int
}

type subject struct {
	schema *schemas.Schema
	err    error
}

// compile checks root against the grammar and compiles what is good of it.
func (c *compiler) compile(root *node) {
	if root == nil {
		c.failAt(span{line: 1, column: 1, width: 1}, "begin the file with a name: pipeline: card-fraud", "the file is empty")
		return
	}
	if root.kind != mappingNode {
		c.fail(root, "begin the file with a name: pipeline: card-fraud", "the file must be a mapping, not %s", root.kind)
		return
	}
	c.expandEnv(root)
	c.future = map[string]bool{}
	for _, f := range root.get("labels").mapping() {
		c.future[f.key.text] = true
	}
	c.checkObject(root, grammar, "", "")
	if n := root.get("pipeline"); n != nil {
		c.plan.Name = n.text
	}
	c.compileState(root.get("state"))
	c.compileServe(root.get("serve"))
	c.compileSources(root.get("sources"))
	c.compileEntities(root.get("entities"))
	c.compileViews(root)
	c.compileSets(root.get("feature_sets"))
	c.compileLabels()
	c.compileExports()
	if !c.diags.HasErrors() {
		c.warnUnused()
	}
}

// maxDiags is how many diagnostics are shown.
const maxDiags = 1000

// finish sorts the diagnostics and gives them their lines' text.
func (c *compiler) finish() diag.List {
	list := c.diags.Sort()
	if len(list) > maxDiags {
		more := len(list) - maxDiags
		list = append(list[:maxDiags:maxDiags], diag.Diagnostic{
			File: c.file, Line: list[maxDiags].Line, Column: list[maxDiags].Column, Width: 1,
			Message: fmt.Sprintf("%d more mistakes are not shown", more),
		})
	}
	shown := map[int]string{}
	for i, d := range list {
		text, ok := shown[d.Line]
		if !ok {
			text = c.source(d.Line)
			shown[d.Line] = text
		}
		list[i].Source = text
	}
	return list
}

func (c *compiler) warnUnused() {
	for _, s := range c.sources {
		if !s.used {
			c.warn(s.key, "", "source %q is not used", s.src.Name)
		}
	}
	for _, e := range c.entities {
		if !e.used {
			c.warn(e.key, "", "entity %q is not used", e.entity.Name)
		}
	}
}

// path resolves a path that the file names.
func (c *compiler) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

// badText finds the first line that is not UTF-8 or holds a NUL.
func badText(s string) (line int, bad bool) {
	if strings.ToValidUTF8(s, "") == s && !strings.ContainsRune(s, 0) {
		return 0, false
	}
	for i, l := range strings.Split(s, "\n") {
		if strings.ToValidUTF8(l, "") != l || strings.ContainsRune(l, 0) {
			return i + 1, true
		}
	}
	return 1, true
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, openError(err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("the file is longer than %d bytes", limit)
	}
	return b, nil
}
