package pipeline

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// TestViewsDocument compiles the example of docs/views.md, and counts what its sample lets pass.
func TestViewsDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/views.md")
	if err != nil {
		t.Fatal(err)
	}
	m := yamlBlock.FindSubmatch(b)
	if m == nil {
		t.Fatal("docs/views.md has no example")
	}
	dir := t.TempDir()
	for name, schema := range map[string]string{
		"cards.avsc": `{"type":"record","name":"card","fields":[{"name":"user_id","type":"string"},{"name":"amount","type":"double"},
			{"name":"items","type":{"type":"array","items":{"type":"record","name":"item","fields":[{"name":"sku","type":"string"},{"name":"pieces","type":"long"}]}}},
			{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}`,
		"cash.avsc": `{"type":"record","name":"cash","fields":[{"name":"customer","type":"string"},{"name":"cents","type":"long"},
			{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(schema), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plan, diags := Compile(filepath.Join(dir, "p.yaml"), m[1], Options{})
	if plan == nil {
		t.Fatal(diags)
	}
	if v := plan.View("spending"); len(v.More) != 1 || v.More[0].Source.Name != "cash" || v.More[0].Where == nil || v.Where != nil {
		t.Errorf("branches: %+v", v.Branches())
	}
	sample := plan.View("a_tenth")
	slots := make([]event.Value, len(sample.Source.Columns)+len(sample.Computed))
	const users = 20_000
	passed := 0
	for i := range users {
		for slot, c := range sample.Source.Columns {
			if c.Name == "user_id" {
				slots[slot] = event.StringOf(fmt.Sprint("user", i))
			}
		}
		if sample.Where.Eval(slots).Bool() {
			passed++
		}
	}
	if share := float64(passed) / users; math.Abs(share-0.1) > 0.01 {
		t.Errorf("a sample of 10%% let %.1f%% pass", 100*share)
	}
}
