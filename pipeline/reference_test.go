package pipeline

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestReferencePages(t *testing.T) {
	golden(t, "../docs/pipeline.schema.json", string(JSONSchema()))
	golden(t, "../docs/reference/pipeline.md", Reference())
	golden(t, "../docs/reference/expressions.md", ExpressionReference())
}

// Every key of the grammar is documented, and every example follows the grammar.
func TestGrammarIsDocumented(t *testing.T) {
	for _, o := range objects() {
		if o.doc == "" || o.name == "" {
			t.Errorf("object %q has no documentation", o.name)
		}
		for _, k := range o.keys {
			if k.doc == "" || !strings.HasSuffix(k.doc, ".") {
				t.Errorf("%s.%s: documentation %q is no sentence", o.name, k.name, k.doc)
			}
		}
		if o.example != "" {
			checkExample(t, o)
		}
	}
}

func checkExample(t *testing.T, o *object) {
	t.Helper()
	lines := newLines(o.example)
	root, found := parseYAML(o.example, lines)
	if len(found) > 0 {
		t.Errorf("example of %s: %s", o.name, found[0].message)
		return
	}
	c := &compiler{file: o.name, lines: lines, opt: Options{Env: func(string) (string, bool) { return "localhost:9092", true }}}
	c.expandEnv(root)
	switch {
	case o == featureGrammar:
		c.checkShape(root, &shape{names: &shape{object: o}, label: "feature"}, "", "")
	case o == setFeatureGrammar:
		c.checkObject(root, o, "", "")
	default:
		for _, f := range root.fields {
			c.checkShape(f.value, holder(t, o, f.key.text), "", f.key.text)
		}
	}
	if len(c.diags) > 0 {
		t.Errorf("example of %s:\n%s", o.name, c.diags)
	}
}

// holder finds the key under which o stands in the grammar.
func holder(t *testing.T, o *object, name string) *shape {
	t.Helper()
	for _, in := range objects() {
		k := in.key(name)
		if k == nil {
			continue
		}
		if slices.Contains([]*object{k.shape.object, inner(k.shape.names), inner(k.shape.items)}, o) {
			return k.shape
		}
	}
	t.Fatalf("example of %s: no key %q holds it", o.name, name)
	return nil
}

func inner(s *shape) *object {
	if s == nil {
		return nil
	}
	return s.object
}

// The JSON Schema has every key of the grammar, and names no definition that it lacks.
func TestJSONSchemaIsWhole(t *testing.T) {
	var root struct {
		Properties  map[string]any `json:"properties"`
		Definitions map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"definitions"`
	}
	text := JSONSchema()
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects() {
		properties := root.Definitions[o.name].Properties
		if o == grammar {
			properties = root.Properties
		}
		for _, k := range o.keys {
			if properties[k.name] == nil {
				t.Errorf("%s.%s is not in the JSON Schema", o.name, k.name)
			}
		}
	}
	for _, ref := range strings.Split(string(text), `"#/definitions/`)[1:] {
		name, _, _ := strings.Cut(ref, `"`)
		if _, ok := root.Definitions[name]; !ok {
			t.Errorf("no definition %q", name)
		}
	}
}
