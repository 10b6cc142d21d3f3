package proof

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// TestExports: exports that random pipelines declare, with labels, spines of every kind, samples and splits, hold what
// is made row by row from the raw events; and their bytes do not depend on how the events were counted.
func TestExports(t *testing.T) {
	n := 4
	switch {
	case testing.Short():
		n = 2
	case os.Getenv("PENSTOCK_FULL") != "":
		n = 40
	}
	had := map[string]bool{}
	happened := map[string]int64{}
	ran := 0 // -run may leave seeds out
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			ran++
			maps.Copy(had, exportCase(t, seed, happened).Has)
		})
	}
	t.Logf("what happened: %v", happened)
	if ran < 150 || t.Failed() { // make proof draws more
		return
	}
	for _, what := range NeededOfExports() {
		if !had[what] {
			t.Errorf("no export had this: %s", what)
		}
	}
	for _, what := range []string{"rows", "gap", "sampled", "unripe", "neutral", "rebalanced", "labels before history", "differ", "null labels"} {
		if happened[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
}

func exportCase(t *testing.T, seed uint64, happened map[string]int64) *Case {
	rng := rand.New(rand.NewPCG(seed, 12))
	t.Logf("PENSTOCK_SEED=%d replays this", seed)
	dir := t.TempDir()
	c, err := Random(rng, dir, Options{
		Pairs: pairsOf(seed)[:6], Kinds: KindsOf(seed), Small: true, Exports: 4,
		Order: rng.IntN(2) == 0, Brief: [2]bool{rng.IntN(4) == 0, rng.IntN(4) == 0},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log(c.Text)
		}
	}()
	records := Records(rng, c.Plan, Stream{
		Records: pick(rng, []int{40, 200, 400}), Partitions: 1 + rng.IntN(3), Users: 4, Copies: pick(rng, []float64{0, 0.1, 0.5}), Tame: rng.IntN(3) == 0,
	})
	whole := oracle.IngestAll(c.Plan, records)
	want := map[string]*Table{}
	for _, x := range c.Plan.Exports {
		var columns []pipeline.Column
		var rows []SpineRow
		if x.Spine.File != "" {
			columns, rows = FileSpine(rng, whole, x)
			if err := WriteRows(filepath.Join(dir, x.Spine.File), columns, rows); err != nil {
				t.Fatal(err)
			}
		} else {
			columns, rows = StoredSpine(whole, x)
		}
		want[x.Name] = Tabulate(whole, x, columns, rows)
	}
	runs := []Run{
		{Shards: 1, Batch: 1 << 20},
		{Shards: pick(rng, []int{2, 8}), Batch: pick(rng, []int{5, 100}), Restarts: rng.IntN(3), Flushes: true, Sweeps: rng.IntN(2) == 0},
	}
	var first map[string][]byte
	for i, run := range runs {
		files := tablesOf(t, rng, run, c, records, filepath.Join(dir, fmt.Sprint("run", i)), func(x *pipeline.Export, r *export.Report, file func(int) ([]byte, error)) {
			if err := want[x.Name].Agrees(x, r, file); err != nil {
				t.Errorf("run %d: export %s: %v", i, x.Name, err)
			}
			if i == 0 {
				notice(happened, r)
			}
		})
		if first == nil {
			first = files
		}
		for name, b := range files {
			if !bytes.Equal(b, first[name]) {
				t.Errorf("run %d: %s has other bytes", i, name)
			}
		}
		if t.Failed() {
			break
		}
	}
	return c
}

// notice adds up what came up in tables.
func notice(happened map[string]int64, r *export.Report) {
	happened["rows"] += r.Rows
	happened["differ"] += r.Differ
	happened["gap"] += r.LeftOut.Gap
	happened["sampled"] += r.LeftOut.Sampled
	happened["unripe"] += r.LeftOut.Unripe
	happened["neutral"] += r.LeftOut.Neutral
	happened["rebalanced"] += r.LeftOut.Rebalanced
	for _, l := range r.Labels {
		happened["labels before history"] += l.BeforeHistory
		happened["null labels"] += l.Nulls
	}
}

// tablesOf counts the records as run says, makes every export, and shows each to look with its files.
func tablesOf(t *testing.T, rng *rand.Rand, run Run, c *Case, records []oracle.Record, dir string, look func(x *pipeline.Export, r *export.Report, file func(int) ([]byte, error))) map[string][]byte {
	t.Helper()
	ctx := t.Context()
	s, st, err := run.Count(ctx, rng, &Memory{}, c.Plan, records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, x := range c.Plan.Exports {
		r, err := export.FromStore(ctx, s, export.Request{
			Export: x.Name, Out: filepath.Join(dir, x.Name+".out.jsonl"), Memory: pick(rng, []int64{0, 1}), Workers: 1 + rng.IntN(3),
		})
		if err != nil {
			t.Fatalf("export %s: %v", x.Name, err)
		}
		parts := []string{"out"}
		if x.Split != nil && x.Split.Files {
			parts = nil
			for _, p := range x.Split.Parts {
				parts = append(parts, "out."+p.Name)
			}
		}
		for _, p := range parts {
			name := x.Name + "." + p + ".jsonl"
			if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		look(x, r, func(part int) ([]byte, error) { return files[x.Name+"."+parts[part]+".jsonl"], nil })
	}
	if err := errors.Join(s.Close(ctx), st.Close()); err != nil {
		t.Fatal(err)
	}
	return files
}
