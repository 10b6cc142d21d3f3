package pipeline

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/transforms/agg"
)

const documentSchema = `{"type": "record", "name": "T", "fields": [
  {"name": "user_id", "type": "string"}, {"name": "merchant_id", "type": "string"}, {"name": "country", "type": "string"},
  {"name": "amount", "type": "double"}, {"name": "fee", "type": ["null", "double"]}, {"name": "balance", "type": "double"},
  {"name": "embedding", "type": {"type": "array", "items": "double"}},
  {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}`

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every example in the documents of windows and aggregates compiles, and both name all there is.
func TestDocuments(t *testing.T) {
	schema, err := schemas.Parse([]byte(documentSchema))
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Subject: func(RegistryRef) (*schemas.Schema, error) { return schema, nil }}
	for _, path := range []string{"../docs/windows.md", "../docs/aggregates.md"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range yamlBlock.FindAllStringSubmatch(string(b), -1) {
			views := m[1]
			if !strings.HasPrefix(views, "views:") {
				views = "views:\n  v:\n    source: transactions\n    entity: user\n    features:\n      " + strings.ReplaceAll(strings.TrimSpace(m[1]), "\n", "\n      ") + "\n"
			}
			src := "pipeline: p\nsources:\n  transactions:\n    kafka: {brokers: [\"h:1\"], topic: t}\n    schema: {registry: \"http://r\"}\n    time: ts\nentities: {user: {user_id: string}}\n" + views
			plan, diags := Compile(path, []byte(src), opt)
			if plan == nil {
				t.Errorf("%s: block %d:\n%s", path, i, diags)
				continue
			}
			checkLayout(t, plan.Views[0])
		}
		if path == "../docs/aggregates.md" {
			for _, name := range agg.Names() {
				if !regexp.MustCompile(fmt.Sprintf("(?m)^\\| [^|]*`%s`", name)).Match(b) {
					t.Errorf("%s does not define %s", path, name)
				}
			}
		}
	}
}
