package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/schemas"
)

// hostile are files of the largest size that ask for depth, or for time square in their size.
func hostile() map[string]string {
	var indent strings.Builder
	for i := range 1400 {
		indent.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	repeat := func(s string) string { return strings.Repeat(s, maxFile/4/len(s)) }
	return map[string]string{
		"dashes":   repeat("- "),
		"entries":  repeat("- \n"),
		"brackets": "a: " + repeat("["),
		"braces":   repeat("{a: "),
		"list":     "a: [" + repeat("x, ") + "]",
		"mapping":  "a: {" + repeat("x: 1, ") + "}",
		"keys":     repeat("aaa: b\n"),
		"question": repeat("? "),
		"tags":     "a: " + repeat("!a "),
		"anchors":  "a: " + repeat("&a "),
		"plain":    "a: " + repeat("word "),
		"folded":   "a: " + repeat("word\n  "),
		"quoted":   "a: \"" + repeat("é\\n") + "\"",
		"literal":  "a: |\n" + repeat("  x\n"),
		"colons":   repeat("a: "),
		"indent":   indent.String(),
		"env":      "pipeline: '" + repeat("${A:-x}") + "'",
		"long":     "pipeline: x" + strings.Repeat("x", maxFile),
	}
}

func TestHostileFiles(t *testing.T) {
	for name, src := range hostile() {
		start := time.Now()
		plan, diags := Compile("x.yaml", []byte(src), Options{})
		if plan != nil || !diags.HasErrors() {
			t.Errorf("%s: plan %v, %d diagnostics", name, plan != nil, len(diags))
		}
		t.Logf("%s: %v", name, time.Since(start).Round(time.Millisecond))
		if text := diags.String(); len(text) > 100*len(diags)+4*maxShown {
			t.Errorf("%s: %d bytes of text", name, len(text))
		}
	}
}

// Every diagnostic points into the file, a plan is there exactly if nothing is wrong, and nothing
// panics.
func FuzzCompile(f *testing.F) {
	f.Add(surface)
	f.Add(strings.ReplaceAll(surface, "1h", "1hr"))
	f.Add(strings.ReplaceAll(surface, "amount", "amuont"))
	for _, s := range checkFiles(f) {
		f.Add(s)
	}
	schema, err := schemas.Parse([]byte(transactionsSchema))
	if err != nil {
		f.Fatal(err)
	}
	opt := Options{
		Env:     checkEnv,
		Subject: func(RegistryRef) (*schemas.Schema, error) { return schema, nil },
	}
	f.Fuzz(func(t *testing.T, src string) {
		plan, diags := Compile("testdata/check/fuzz.yaml", []byte(src), opt)
		if (plan == nil) != diags.HasErrors() {
			t.Fatalf("plan %v, diagnostics:\n%s", plan != nil, diags)
		}
		checkPlaces(t, src, diags)
		if plan == nil {
			return
		}
		for _, v := range plan.Views {
			if len(v.Keys) != len(v.Entity.Keys) || v.Version == "" || len(v.Features) == 0 || v.Keep < v.History {
				t.Fatalf("view %+v", v)
			}
			for _, g := range v.Layout.Groups {
				if g.Input >= len(v.Inputs) || g.Filter >= len(v.Filters) {
					t.Fatalf("group %+v of %d inputs, %d filters", g, len(v.Inputs), len(v.Filters))
				}
			}
			for _, x := range v.Features {
				if g := v.Layout.Groups[x.Group]; g.Filter != x.Filter || g.Parts&x.Func.Parts() != x.Func.Parts() || x.Doc == "" {
					t.Fatalf("feature %+v in group %+v", x, g)
				}
			}
		}
		again, _ := Compile("testdata/check/fuzz.yaml", []byte(src), opt)
		for i, v := range plan.Views {
			if again.Views[i].Version != v.Version {
				t.Fatal("two versions of one file")
			}
		}
	})
}

func checkPlaces(t *testing.T, src string, diags diag.List) {
	t.Helper()
	lines := strings.Count(src, "\n") + 1
	for _, d := range diags {
		if d.Line < 0 || d.Line > lines || d.Line > 0 && d.Column < 1 || d.Message == "" {
			t.Fatalf("place %d:%d of %d lines: %s", d.Line, d.Column, lines, d.Message)
		}
	}
}
