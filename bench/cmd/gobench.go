package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// goBench is one line of a Go benchmark: its name and its metrics by unit.
type goBench struct {
	name    string
	metrics map[string]float64
}

// parseGoBench reads the lines of `go test -bench`.
func parseGoBench(out string) []goBench {
	var all []goBench
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		b := goBench{f[0], map[string]float64{}}
		if i := strings.LastIndexByte(b.name, '-'); i > 0 { // the number of processors
			if _, err := strconv.Atoi(b.name[i+1:]); err == nil {
				b.name = b.name[:i]
			}
		}
		for i := 2; i+1 < len(f); i += 2 {
			if x, err := strconv.ParseFloat(f[i], 64); err == nil {
				b.metrics[f[i+1]] = x
			}
		}
		all = append(all, b)
	}
	return all
}

// goBenchmarks runs benchmarks of a test binary that bench/run.sh has built.
func goBenchmarks(ctx context.Context, c *config, pkg, pattern string, env []string, args ...string) ([]goBench, error) {
	var out bytes.Buffer
	log := filepath.Join(c.work, filepath.Base(pkg)+"-bench.log")
	args = append([]string{"-test.run", "^$", "-test.bench", pattern, "-test.timeout", c.limit.String()}, args...)
	binary, err := filepath.Abs(filepath.Join(c.tests, filepath.Base(pkg)+".test"))
	if err != nil {
		return nil, err
	}
	p, err := startAs(ctx, log, func(cmd *exec.Cmd) { cmd.Dir = pkg }, &out, env, binary, args...)
	if err != nil {
		return nil, err
	}
	if err := p.wait(c.limit); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out.String())
	}
	all := parseGoBench(out.String())
	if len(all) == 0 {
		return nil, fmt.Errorf("benchmarks %s of %s: none ran", pattern, pkg)
	}
	return all, nil
}

// storeOff measures the feature store with and without a state under it, twice in turn.
func storeOff(ctx context.Context, c *config, r *report) error {
	events := "PENSTOCK_BENCH_EVENTS=" + strconv.Itoa(c.events)
	memory := "PENSTOCK_BENCH_MEMORY=" + c.memory
	t := r.table("The store switched off, Zipf keys, decoded events, without Kafka", "store | events/s | events per CPU second | values written")
	var rate [2]float64
	for i := range 4 {
		off := i % 2
		note("feature store, state %s", [...]string{"on", "off"}[off])
		list, err := goBenchmarks(ctx, c, "feature", "^BenchmarkIngest$/^zipf$",
			[]string{events, memory, "PENSTOCK_BENCH_STORE=" + [...]string{"on", "off"}[off]}, "-test.benchtime", "1x")
		if err != nil {
			return err
		}
		m := list[0].metrics
		if off == 1 && m["values"] > 0 {
			t.note("The state could not be switched off: %.0f values were written.", m["values"])
			r.figures = append(r.figures, figure{"ingest, Zipf keys: share of the speed without a store", "at least 40.0 %", "not measured", false})
			return nil
		}
		t.row([...]string{"on", "off"}[off], m["events/s"], m["events/cpu-s"], m["values"])
		rate[off] += m["events/s"]
	}
	r.atLeast("ingest, Zipf keys: share of the speed without a store", 40, " %", 100*rate[0]/rate[1])
	return nil
}

// expressions runs the benchmark of the expressions.
func expressions(ctx context.Context, c *config, r *report) error {
	note("expressions")
	list, err := goBenchmarks(ctx, c, "transforms/expr", "^BenchmarkEval$", nil, "-test.benchmem")
	if err != nil {
		return err
	}
	t := r.table("Expressions, one evaluation", "expression | ns | bytes | allocations")
	for _, b := range list {
		t.row("`"+strings.TrimPrefix(b.name, "BenchmarkEval/")+"`", b.metrics["ns/op"], b.metrics["B/op"], b.metrics["allocs/op"])
	}
	return nil
}
