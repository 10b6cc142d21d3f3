package proof

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/penstock-ml/penstock/pipeline"
)

// knows tells whether the grammar takes a feature.
func knows(feature string) bool {
	dir, err := os.MkdirTemp("", "penstock-proof-")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "e.avsc"), []byte(schemaText), 0o600); err != nil {
		panic(err)
	}
	text := strings.Join([]string{
		"pipeline: p", "sources:", "  e:", "    kafka: {brokers: [\"b:9092\"], topic: e}", "    schema: {file: e.avsc}",
		"    time: ts", "entities:", "  user: {user: string}", "views:", "  v:", "    source: e", "    entity: user", "    features:",
		"      f: {" + feature + "}", "",
	}, "\n")
	plan, _ := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(text), pipeline.Options{})
	return plan != nil
}

var (
	hasDim   = sync.OnceValue(func() bool { return knows("sum: vec, dim: 2") })
	hasBy    = sync.OnceValue(func() bool { return knows("sum: n, by: {column: s, limit: 5}") })
	hasRatio = sync.OnceValue(func() bool { return knows("ratio: {of: {sum: n}, to: {count: n}}") })
	hasOuter = sync.OnceValue(func() bool { return knows("avg: {sum: n, window: {tumbling: 1d}}, window: 30d") })
)
