package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// hostile are files of the largest size that ask for depth, or for time square in their size.
func hostile() map[string]string {
	var indent strings.Builder
	for i := range 1400 {
		indent.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	repeat := func(s string) string { return strings.Repeat(s, maxFile/4/len(s)) }
	var features strings.Builder
	features.WriteString("views:\n  v:\n    source: s\n    entity: e\n    features:\n")
	for i := range 3400 {
		fmt.Fprintf(&features, "      f%d: {top_k: x, k: 0, by: x, window: {calendar: day, zone: %d}}\n", i, i)
	}
	return map[string]string{
		"features": features.String(),
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
		if text := diags.String(); len(text) > 400*len(diags)+4*maxShown {
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
			checkLayout(t, v)
		}
		again, _ := Compile("testdata/check/fuzz.yaml", []byte(src), opt)
		for i, v := range plan.Views {
			if again.Views[i].Version != v.Version {
				t.Fatal("two versions of one file")
			}
		}
	})
}

// checkLayout fails unless all that the features of a view read is kept, under their own conditions.
func checkLayout(t *testing.T, v *View) {
	t.Helper()
	inputs, filters := len(v.Inputs)+len(v.Derived), len(v.Filters)+len(v.Late)
	for _, g := range v.Layout.Groups {
		if g.Input >= inputs || g.Second > inputs || g.By > inputs || g.Filter >= filters || g.By > 0 && g.ByLimit < 1 {
			t.Fatalf("group %+v of %d inputs, %d filters", g, inputs, filters)
		}
	}
	for _, f := range v.Features {
		call := &f.Call
		if f.Inner != nil {
			outer, inner := f.Call, f.Inner.Call
			outer.By, inner.By = nil, f.Call.By
			checkCall(t, &outer, &f.Inner.Layout)
			if call = &inner; !f.Inner.Window.Aligned() || f.Inner.Window.Current {
				t.Fatalf("%s: inner window %s", f.Name, f.Inner.Window)
			}
		} else if f.Func != agg.Ratio && v.Layout.Groups[f.Group].Filter != f.Filter {
			t.Fatalf("feature %+v in group %+v", f, v.Layout.Groups[f.Group])
		}
		checkCall(t, call, &v.Layout)
		if f.Doc == "" || f.Type.Kind == event.Null || f.Filter >= filters {
			t.Fatalf("feature %+v", f)
		}
	}
}

// checkCall asks an empty partial of the layout, which panics if it lacks what the call reads.
func checkCall(t *testing.T, c *agg.Call, layout *agg.Layout) {
	t.Helper()
	p := agg.NewPartial(layout, nil)
	if a := p.Answer(c, agg.At{Start: 0, End: 1, AsOf: 1}); a.Newest != event.MinTime {
		t.Fatalf("%+v answers %+v over nothing", c, a)
	}
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
