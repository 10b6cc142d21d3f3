package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/bench/engine"
	"github.com/penstock-ml/penstock/bench/workload"
	"github.com/penstock-ml/penstock/pipeline"
)

// TestPipelinesOfTheSteps loads every pipeline that a step runs.
func TestPipelinesOfTheSteps(t *testing.T) {
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	if _, err := workload.WriteFiles(files, 2, workload.Options{Events: 100}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"KAFKA_BROKERS": "b:9092", "BENCH_TOPIC": "t", "BENCH_FILES": filepath.Join(files, "*.avro")}
	load := func(file string) *pipeline.Plan {
		plan, problems := pipeline.Load(file, pipeline.Options{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
		if plan == nil || len(problems) > 0 {
			t.Fatalf("%s: %v", file, problems)
		}
		return plan
	}
	for _, name := range []string{"merchants", "backfill"} {
		if n := len(load("../" + name + ".yaml").Views[0].Features); n != 12 {
			t.Errorf("%s has %d features", name, n)
		}
	}
	schema, err := filepath.Abs("../workload/transactions.avsc")
	if err != nil {
		t.Fatal(err)
	}
	for windows := 1; windows <= 5; windows++ {
		file := filepath.Join(dir, "windows.yaml")
		if err := os.WriteFile(file, []byte(windowsPipeline(schema, windows)), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := len(load(file).Views[0].Features); n != 20*windows {
			t.Errorf("%d windows have %d features", windows, n)
		}
	}
	// The one with most features runs, too.
	r, err := engine.Run(t.Context(), engine.Job{
		Pipeline: filepath.Join(dir, "windows.yaml"), Keys: workload.Zipf, Users: 500, Events: 2000, Reads: 50, Dir: filepath.Join(dir, "state"),
	})
	if err != nil || r.Applied != 2000 {
		t.Errorf("100 features: %+v, %v", r, err)
	}
}

func TestParseGoBench(t *testing.T) {
	got := parseGoBench("goos: linux\nBenchmarkIngest/zipf-2 \t       1\t9123456 ns/op\t     500000 events/s\t         0 values\nBenchmarkEval/a_-_b\t 10 123 ns/op\nPASS\n")
	if len(got) != 2 || got[0].name != "BenchmarkIngest/zipf" || got[0].metrics["events/s"] != 500000 || got[0].metrics["ns/op"] != 9123456 {
		t.Errorf("parsed %+v", got)
	}
	if v, ok := got[0].metrics["values"]; !ok || v != 0 || got[1].name != "BenchmarkEval/a_-_b" || got[1].metrics["ns/op"] != 123 {
		t.Errorf("parsed %+v", got)
	}
}

func TestOpening(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	text := "garbage\n{\"msg\":\"other\"}\n{\"time\":\"x\",\"msg\":\"state opened\",\"verified\":1500,\"opened\":2500}\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, o, err := opening(log); err != nil || v != 1500 || o != 2500 {
		t.Errorf("verified %v, opened %v, %v", v, o, err)
	}
	if err := os.WriteFile(log, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := opening(log); err == nil {
		t.Error("found times in a log without any")
	}
}

func TestQuantiles(t *testing.T) {
	all := make([]time.Duration, 1000)
	for i := range all {
		all[len(all)-1-i] = time.Duration(i) * time.Millisecond
	}
	if q := quantilesOf(all); q.p50 != 500*time.Millisecond || q.p99 != 990*time.Millisecond || q.max != 999*time.Millisecond {
		t.Errorf("quantiles are %+v", q)
	}
}
