package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/bench/engine"
	"github.com/penstock-ml/penstock/bench/workload"
)

// runEngine is the child process of inProcess: a job comes on stdin, its result goes to stdout.
func runEngine(ctx context.Context) error {
	var j engine.Job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	r, err := engine.Run(ctx, j)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// inProcess runs a job in a process of its own, so that memory is that of the job.
func inProcess(ctx context.Context, c *config, name string, j engine.Job) (*engine.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	j.Dir = filepath.Join(c.work, name)
	defer func() { _ = os.RemoveAll(j.Dir) }()
	if j.Pipeline, err = filepath.Abs(j.Pipeline); err != nil {
		return nil, err
	}
	j.Env = map[string]string{"KAFKA_BROKERS": "none:9092", "BENCH_TOPIC": "none", "BENCH_MEMORY": c.memory}
	job, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	p, err := startAs(ctx, filepath.Join(c.work, name+".log"), func(cmd *exec.Cmd) { cmd.Stdin = bytes.NewReader(job) }, &out, nil, self, "-engine")
	if err != nil {
		return nil, err
	}
	if err := p.wait(c.limit); err != nil {
		return nil, err
	}
	var r engine.Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w\n%s", name, err, tail(p.log))
	}
	return &r, nil
}

// windowsTitle etc. name the tables.
const (
	windowsTitle  = "More windows: the same 20 aggregates over one to five windows, Zipf keys, without Kafka"
	entitiesTitle = "More entities: 12 features, uniform keys, without Kafka"
)

// twenty are aggregates; five windows make a hundred features of them.
var twenty = []string{
	"count: amount", "sum: amount", "avg: amount", "min: amount", "max: amount", "variance: amount", "stddev: amount",
	"variance_pop: amount", "stddev_pop: amount", "first: amount", "last: amount", "last: country",
	"count: '*', where: abroad", "sum: amount, where: abroad", "avg: amount, where: abroad", "min: amount, where: abroad",
	"max: amount, where: abroad", "count: '*', where: present", "sum: amount, where: present", "avg: amount, where: present",
}

var fiveWindows = []string{"1h", "6h", "24h", "7d", "30d"}

// windowsPipeline is a pipeline of the twenty aggregates over the first so many windows.
func windowsPipeline(schema string, windows int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `pipeline: windows
state: {memory: "${BENCH_MEMORY:-1GiB}"}
sources:
  transactions:
    kafka: {brokers: ["none:9092"], topic: none}
    schema: {file: %s}
    time: ts
entities:
  user: {user_id: string}
views:
  user_spend:
    source: transactions
    entity: user
    columns: {abroad: 'country != "US"', present: card_present}
    features:
`, schema)
	for _, w := range fiveWindows[:windows] {
		for i, a := range twenty {
			fmt.Fprintf(&b, "      f%02d_%s: {%s, window: %s}\n", i, w, a, w)
		}
	}
	return b.String()
}

// windows measures what an event and a read cost with 20 to 100 features, each twice, up and down.
func windows(ctx context.Context, c *config, r *report) error {
	schema, err := filepath.Abs(c.schema)
	if err != nil {
		return err
	}
	var results [5]*engine.Result
	for i := range 10 {
		w := min(i, 9-i)
		file := filepath.Join(c.work, fmt.Sprintf("windows-%d.yaml", w+1))
		if err := os.WriteFile(file, []byte(windowsPipeline(schema, w+1)), 0o644); err != nil {
			return fmt.Errorf("write the pipeline: %w", err)
		}
		note("%d features over %d windows", 20*(w+1), w+1)
		x, err := inProcess(ctx, c, "windows", engine.Job{
			Pipeline: file, Keys: workload.Zipf, Users: c.users, Events: max(c.events*2/5, 1000), Reads: 5_000, Span: 40 * 24 * time.Hour,
		})
		if err != nil {
			return err
		}
		if results[w] == nil {
			results[w] = x
		} else {
			results[w] = results[w].Mean(x)
		}
	}
	t := r.table(windowsTitle, "features | windows | events/s | µs per event | CPU µs per event | times one window | µs per read | p50 µs | p99 µs | peak MiB")
	n := float64(max(c.events*2/5, 1000))
	for w, x := range results {
		t.row(20*(w+1), w+1, n/x.Seconds, micros(x.Seconds/n), micros(x.CPU/n), x.Seconds/results[0].Seconds,
			x.Read.Seconds()*1e6, x.ReadP50.Seconds()*1e6, x.ReadP99.Seconds()*1e6, x.Peak>>20)
	}
	t.note("Means of two runs, one on the way up and one on the way down. Windows: %s; event times over 40 d.", strings.Join(fiveWindows, ", "))
	r.atMost("20 aggregates over 5 windows: cost per event, times 1 window", 2, "", results[4].Seconds/results[0].Seconds)
	return nil
}

func micros(seconds float64) float64 { return seconds * 1e6 }

// entities measures what an event and a read cost as the number of entities grows.
func entities(ctx context.Context, c *config, r *report) error {
	t := r.table(entitiesTitle, "entities | fill events/s | events | events/s | µs per event | CPU µs per event | state reads per event | "+
		"values written per event | events that miss memory | µs per read | p50 µs | p99 µs | reads that need the state | peak MiB | peak MiB without mapped files | budget MiB | disk MiB")
	var flat, first *engine.Result
	events := max(c.events*2/5, 1000)
	for n := 10_000; n <= c.entities; n *= 10 {
		note("%d entities", n)
		x, err := inProcess(ctx, c, fmt.Sprintf("entities-%d", n), engine.Job{
			Pipeline: c.pipeline, Keys: workload.Uniform, Users: n, Fill: true, Events: events, Reads: 20_000, Count: "transactions",
		})
		if err != nil {
			return err
		}
		t.row(n, float64(n)/x.FillSeconds, events, float64(events)/x.Seconds, micros(x.Seconds/float64(events)), micros(x.CPU/float64(events)),
			x.Gets, x.Values, percent(x.Misses), micros(x.Read.Seconds()), micros(x.ReadP50.Seconds()), micros(x.ReadP99.Seconds()),
			percent(x.ReadMisses), x.Peak>>20, x.Anonymous>>20, x.Memory>>20, x.DiskBytes>>20)
		r.atMost(fmt.Sprintf("%d entities: resident memory without mapped files, times the budget", n), 1, "", float64(x.Anonymous)/float64(x.Memory))
		if first == nil {
			first, flat = x, x
		}
		if x.Misses < 0.01 {
			flat = x
			if x != first {
				r.atMost(fmt.Sprintf("%d entities, in memory: cost per event, times 10000", n), 1.5, "", x.Seconds/first.Seconds)
				r.atMost(fmt.Sprintf("%d entities, in memory: cost per read, times 10000", n), 1.5, "", x.Read.Seconds()/first.Read.Seconds())
			}
			continue
		}
		r.atMost(fmt.Sprintf("%d entities, beyond memory: cost per event, times the largest that fits", n), 4, "", x.Seconds/flat.Seconds)
		r.atMost(fmt.Sprintf("%d entities, beyond memory: cost per read, times the largest that fits", n), 4, "", x.Read.Seconds()/flat.Read.Seconds())
	}
	t.note("Each entity gets one event first (fill), then events and reads draw entities uniformly. An event's cost runs until all is durable. "+
		"A number of entities fits where less than 1 %% of events miss memory. %d goroutines feed, %d cores.", engine.Partitions, runtime.NumCPU())
	return nil
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
