package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/feature"
)

// TestTransactions runs the example and compares its table with the one that is shipped, which was also
// computed by a program that shares nothing with this one.
func TestTransactions(t *testing.T) {
	plan := load(t, "transactions/pipeline.yaml", nil)
	store := ingest(t, plan, map[string]int64{"transactions": 61})
	got := table(t, store, "transactions/spine.csv", feature.Selection{Set: "fraud"})
	want, err := os.ReadFile("transactions/training.csv")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, v := range store.Stats().Views {
		if sum := v.Applied + v.Filtered + v.Duplicate + v.Late + v.Dead; sum != 61 || v.Dead+v.Late+v.Duplicate > 0 {
			t.Errorf("view %s: %+v", v.Name, v)
		}
	}
}

// TestEveryFile fails for an example that no test runs. Files that end in _test.yaml are run with `go test
// ./internal/script`, train.py by .ci/test.
func TestEveryFile(t *testing.T) {
	run := []string{
		"flights/README.md", "flights/arrivals.avsc", "flights/departures.avsc", "flights/load/main.go", "flights/load/main_test.go",
		"flights/pipeline.yaml", "flights/train.py", "flights/training.yaml", "semantics/README.md",
		"transactions/README.md", "transactions/pipeline.yaml", "transactions/spine.csv", "transactions/training.csv",
		"transactions/transactions.avsc", "transactions/transactions.csv",
	}
	var found []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Dir(path) != "." && !strings.HasSuffix(path, "_test.yaml") {
			found = append(found, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	if !slices.Equal(found, run) {
		t.Errorf("the tests run %v; there is %v", run, found)
	}
}
