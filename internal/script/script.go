// Package script runs tests of pipelines: events in, and what is expected of features, counts, dead
// letters and exports, written in YAML beside the pipeline. The events are encoded as Avro and take the way of
// fetched records into a feature.Store over a state in memory; expectations are read through
// feature.Reader. Nothing here computes a feature, and nothing reads the clock.
package script

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/stream"
)

// Suite is a test file that has been checked.
type Suite struct {
	Path  string
	Cases []*Case

	plan  *pipeline.Plan
	lines []string
}

// Case is a list of steps that begins with an empty state.
type Case struct {
	Name string
	Line int // of its name

	suite *Suite
	name  *pipeline.Node
	steps []step
}

// step is one thing that a case does or expects.
type step interface {
	// run does it; what is not as expected goes to m.fail, an error ends the case.
	run(ctx context.Context, m *machine) error
	at() *pipeline.Node
}

// topKeys are the keys of a test file.
var topKeys = []string{"pipeline", "schemas", "defaults", "env", "zero", "cases"}

// Load reads and checks a test file and its pipeline: every mistake at once. The suite is nil if there are any.
func Load(path string) (*Suite, diag.List) {
	src, err := readBounded(path)
	if err != nil {
		return nil, diag.List{{File: path, Message: err.Error()}}
	}
	return Parse(path, src)
}

// Parse is Load of a file's text; what it names is relative to the folder of path.
func Parse(path string, src []byte) (*Suite, diag.List) {
	root, lines, found := pipeline.ReadTree(path, src)
	if found.HasErrors() {
		return nil, found
	}
	l := &loader{path: path, dir: filepath.Dir(path), lines: lines, schemas: map[string]*schemas.Schema{}, env: map[string]string{}}
	if root == nil || root.Kind != pipeline.Mapping {
		l.failAt(1, 1, 1, "begin it with pipeline: FILE, then cases:", "a test file must be a mapping")
		return nil, l.diags
	}
	s := l.load(root)
	if l.store != nil {
		_ = l.store.Close(context.Background()) // nothing was ever in it
	}
	if l.diags.HasErrors() {
		return nil, l.diags.Sort()
	}
	return s, nil
}

// loader checks one test file.
type loader struct {
	path, dir string
	lines     []string
	diags     diag.List

	env      map[string]string
	schemas  map[string]*schemas.Schema // by source, given here
	zero     event.Time
	hasZero  bool
	plan     *pipeline.Plan
	store    *feature.Store // empty: resolves names
	sources  []*sourceScope // as in the plan
	position map[partition]position
}

// sourceScope is what writing the events of a source takes.
type sourceScope struct {
	src      *pipeline.Source
	encoder  *stream.Encoder
	feed     *stream.Feed
	extra    []string // paths that the schema lacks, of the last row
	encErr   error
	defaults []cell
}

// partition names a partition of a source of the plan.
type partition struct {
	source uint16
	number int32
}

// position is how far a case has written a partition.
type position struct {
	next   int64
	newest event.Time // arrival
}

func (l *loader) load(root *pipeline.Node) *Suite {
	l.keys(root, "", topKeys)
	l.readZero(root.Get("zero"))
	l.readEnv(root.Get("env"))
	l.readSchemas(root.Get("schemas"))
	if !l.readPipeline(root.Get("pipeline")) || !l.open() {
		return nil
	}
	for name := range l.schemas {
		if l.source(name) == nil {
			l.fail(keyOf(root.Get("schemas"), name), diag.Suggest(name, "sources", l.sourceNames()), "schemas: the pipeline has no source %q", name)
		}
	}
	l.readDefaults(root.Get("defaults"))
	s := &Suite{Path: l.path, plan: l.plan, lines: l.lines}
	cases := root.Get("cases")
	switch {
	case cases == nil || cases.Kind == pipeline.Nothing:
		l.failAt(1, 1, 1, "add cases: with a list of steps under each name", "the file has no cases")
	case cases.Kind != pipeline.Mapping:
		l.fail(cases, "write the name of each case as a key, its steps as a list below", "cases must be a mapping, not %s", cases.Kind)
	default:
		l.unique(cases, "case")
		for _, f := range cases.Fields {
			s.Cases = append(s.Cases, l.readCase(s, f))
		}
	}
	return s
}

func (l *loader) readCase(s *Suite, f pipeline.NodeField) *Case {
	c := &Case{Name: f.Key.Text, Line: f.Key.Line, suite: s, name: f.Key}
	l.position = map[partition]position{}
	if f.Value.Kind != pipeline.Sequence || len(f.Value.Items) == 0 {
		l.fail(f.Key, "for example - events: {…}, then - expect: {…}", "case %q must be a list of steps", c.Name)
		return c
	}
	for _, n := range f.Value.Items {
		if st := l.readStep(n); st != nil {
			c.steps = append(c.steps, st)
		}
	}
	return c
}

// stepKeys are the kinds of steps.
var stepKeys = []string{"events", "expect", "export", "table", "counts", "dead", "restart", "idle"}

func (l *loader) readStep(n *pipeline.Node) step {
	if n.Kind != pipeline.Mapping || len(n.Fields) != 1 {
		if n.Kind != pipeline.Mapping || !l.keys(n, "step", stepKeys) {
			l.fail(n, "a step is one of "+diag.Enumerate(stepKeys), "a step must be a mapping of one key")
			return nil
		}
		l.fail(n.Fields[1].Key, "begin a step of its own with -", "a step has one key")
		return nil
	}
	if !l.keys(n, "step", stepKeys) {
		return nil
	}
	key, v := n.Fields[0].Key, n.Fields[0].Value
	switch key.Text {
	case "events":
		return l.readEvents(key, v)
	case "expect":
		return l.readExpect(key, v)
	case "export":
		return l.readExport(key, v)
	case "table":
		return l.readTable(key, v)
	case "counts":
		return l.readCounts(key, v)
	case "dead":
		return l.readDead(key, v)
	case "restart":
		return l.readRestart(key, v)
	}
	return l.readIdle(key, v)
}

// open prepares what resolves names and writes events.
func (l *loader) open() bool {
	var err error
	if l.store, err = feature.Open(state.NewMemory(), l.plan, feature.Options{Shards: 1}); err != nil {
		l.failAt(1, 1, 1, "", "open the pipeline: %v", err)
		return false
	}
	for _, src := range l.plan.Sources {
		s := &sourceScope{src: src}
		s.encoder, err = stream.NewEncoder(src.Schema, func(path string) { s.extra = append(s.extra, path) })
		s.encErr = err
		if s.feed, err = stream.NewFeed(stream.Config{Plan: l.plan, Store: l.store}, src); err != nil {
			l.failAt(1, 1, 1, "", "source %q: %v", src.Name, err)
			return false
		}
		l.sources = append(l.sources, s)
	}
	return true
}

func (l *loader) source(name string) *sourceScope {
	for _, s := range l.sources {
		if s.src.Name == name {
			return s
		}
	}
	return nil
}

func (l *loader) sourceNames() (names []string) {
	for _, s := range l.sources {
		names = append(names, s.src.Name)
	}
	return names
}

// keys reports unknown keys and keys that are there twice; false if n is no mapping or has a mistake.
func (l *loader) keys(n *pipeline.Node, within string, known []string) bool {
	if n.Kind != pipeline.Mapping {
		l.fail(n, "the keys are "+diag.Enumerate(known), "%s must be a mapping, not %s", orFile(within), n.Kind)
		return false
	}
	ok := l.unique(n, "key")
	for _, f := range n.Fields {
		if !contains(known, f.Key.Text) {
			l.fail(f.Key, diag.Suggest(f.Key.Text, "keys here", known), "%s: unknown key %q", orFile(within), f.Key.Text)
			ok = false
		}
	}
	return ok
}

func orFile(within string) string {
	if within == "" {
		return "the file"
	}
	return within
}

// unique reports keys that are there twice.
func (l *loader) unique(n *pipeline.Node, what string) bool {
	first, ok := map[string]int{}, true
	for _, f := range n.Fields {
		if line, again := first[f.Key.Text]; again {
			l.fail(f.Key, "", "%s %q is there twice: first in line %d", what, f.Key.Text, line)
			ok = false
		}
		first[f.Key.Text] = f.Key.Line
	}
	return ok
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// keyOf is the node of a key, for its place; n itself if it is not there.
func keyOf(n *pipeline.Node, key string) *pipeline.Node {
	for _, f := range n.Fields {
		if f.Key.Text == key {
			return f.Key
		}
	}
	return n
}

// fail reports a mistake at n.
func (l *loader) fail(n *pipeline.Node, hint, format string, args ...any) {
	l.diags = append(l.diags, diagnose(l.path, l.lines, n, hint, format, args...))
}

func (l *loader) failAt(line, column, width int, hint, format string, args ...any) {
	l.fail(&pipeline.Node{Line: line, Column: column, Width: width}, hint, format, args...)
}

func (l *loader) rel(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

// isTest tells whether a file's name is that of a test file.
func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.yaml") || strings.HasSuffix(name, "_test.yml")
}
