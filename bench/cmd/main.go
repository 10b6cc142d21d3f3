// Command cmd measures Penstock beside Kafka Streams and Flink on one real Kafka and prints tables. It is run by
// bench/run.sh, which builds what it needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
	"github.com/penstock-ml/penstock/internal/kafkatest"
)

// config is what the flags say.
type config struct {
	events, users, partitions int
	keys                      []workload.Keys
	steps                     []string
	peerSeconds, threads      int
	spine                     int
	latency                   time.Duration
	limit                     time.Duration
	broker                    string
	penstock, peers           string
	pipeline, schema          string
	memory                    string
	work                      string
	tests                     string
	fresh                     time.Duration
	entities                  int
	python                    string
	most                      int

	topics map[workload.Keys]*topic
}

// step is something to measure. Steps of one func are measured together.
type step struct {
	name    string
	run     func(context.Context, *config, *report) error
	kafka   bool // needs a broker
	unasked bool // measured without being named
}

// steps are what can be measured, in order.
var steps = []step{
	{"kstreams", nil, true, true},
	{"flink", nil, true, true},
	{"flink-rocksdb", nil, true, false},
	{"ingest", ingests, true, true}, // with all that are above and below without a func
	{"export", nil, true, true},
	{"http", nil, true, true},
	{"rekey", rekey, true, true},
	{"freshness", freshness, true, true},
	{"restart", restart, true, true},
	{"backfill", backfill, true, true},
	{"tables", tables, false, true},
	{"store", storeOff, false, true},
	{"windows", windows, false, true},
	{"entities", entities, false, true},
	{"expr", expressions, false, true},
}

// stepNames joins the names of some steps.
func stepNames(by string, which func(step) bool) string {
	var names []string
	for _, s := range steps {
		if which(s) {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, by)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := asked(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// asked runs the bench, or what it or bench/run.sh starts this program as.
func asked(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return run(ctx, args, os.Stdout)
	}
	switch args[0] {
	case "-bare": // the handler that look-ups are compared with
		return serveBare(strings.Join(args[1:], " "))
	case "-engine": // a job in memory of its own
		return runEngine(ctx)
	case "-default-steps":
		fmt.Println(stepNames(",", func(s step) bool { return s.unasked }))
		return nil
	case "-kafka-steps":
		fmt.Println(stepNames(" ", func(s step) bool { return s.kafka }))
		return nil
	}
	return run(ctx, args, os.Stdout)
}

func flags(args []string) (*config, error) {
	c := &config{topics: map[workload.Keys]*topic{}}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&c.events, "events", 5_000_000, "events in each topic")
	fs.IntVar(&c.users, "users", 1_000_000, "possible users")
	fs.IntVar(&c.partitions, "partitions", 4, "partitions of each topic")
	keys := fs.String("keys", "zipf,uniform", "distributions, separated by commas")
	every := stepNames(", ", func(step) bool { return true })
	named := fs.String("steps", stepNames(",", func(s step) bool { return s.unasked }), "what to measure, separated by commas, of "+every)
	fs.IntVar(&c.peerSeconds, "peer-seconds", 240, "seconds after which a peer is stopped; 0: at the end of the topic")
	fs.IntVar(&c.threads, "threads", 2, "stream threads of Kafka Streams, parallelism of Flink")
	fs.IntVar(&c.spine, "spine", 1_000_000, "rows of the spine to export")
	fs.DurationVar(&c.latency, "latency", 5*time.Second, "how long each number of connections asks")
	fs.DurationVar(&c.limit, "limit", 15*time.Minute, "longest that one step may take")
	fs.StringVar(&c.broker, "broker", "", "an existing broker instead of a container; its topics stay")
	fs.StringVar(&c.penstock, "penstock", "dist/penstock", "the binary")
	fs.StringVar(&c.peers, "peers", "bench", "folder of the peers' folders, each with target/NAME-bench.jar and target/libs")
	fs.StringVar(&c.pipeline, "pipeline", "bench/pipeline.yaml", "the pipeline file")
	fs.StringVar(&c.schema, "schema", "bench/workload/transactions.avsc", "the Avro schema for the peers")
	fs.StringVar(&c.memory, "memory", "1GiB", "Penstock's memory budget")
	fs.StringVar(&c.work, "work", "bench/.cache", "folder for states, spines and logs; emptied")
	fs.StringVar(&c.tests, "tests", "dist", "folder of feature.test and expr.test")
	fs.DurationVar(&c.fresh, "fresh", 20*time.Second, "how long freshness is measured")
	fs.IntVar(&c.entities, "entities", 10_000_000, "most entities of the curve")
	fs.StringVar(&c.python, "python", "", "a Python that has DuckDB and Polars; without it one is made")
	fs.IntVar(&c.most, "most", 10_000_000, "most rows of a training table")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	for _, k := range strings.Split(*keys, ",") {
		if k != string(workload.Zipf) && k != string(workload.Uniform) {
			return nil, fmt.Errorf("no distribution %q", k)
		}
		c.keys = append(c.keys, workload.Keys(k))
	}
	for _, s := range strings.Split(*named, ",") {
		if !slices.ContainsFunc(steps, func(x step) bool { return x.name == s }) {
			return nil, fmt.Errorf("no step %q; there are %s", s, every)
		}
		c.steps = append(c.steps, s)
	}
	return c, nil
}

func (c *config) does(step string) bool { return slices.Contains(c.steps, step) }

func (c *config) anyOf(steps ...string) bool { return slices.ContainsFunc(steps, c.does) }

func (c *config) options(k workload.Keys) workload.Options {
	return workload.Options{Events: c.events, Users: c.users, Keys: k}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	c, err := flags(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.work, err = filepath.Abs(c.work); err != nil {
		return err
	}
	unlock, err := emptied(c.work)
	if err != nil {
		return err
	}
	defer unlock()
	if c.broker == "" && slices.ContainsFunc(steps, func(s step) bool { return s.kafka && c.does(s.name) }) {
		note("starting %s", kafkatest.Image)
		b, err := kafkatest.Run(ctx, map[string]string{"KAFKA_HEAP_OPTS": "-Xmx1g -Xms1g", "KAFKA_OPTS": ""})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		c.broker = b.Addr
	}
	r := &report{}
	began := time.Now()
	defer func() { // what was measured before a step that does not work is worth reading
		note("took %s", time.Since(began).Round(time.Second))
		r.write(out)
	}()
	fmt.Fprintf(out, "%s, %d cores, %s/%s, %s. Topics: %d events, %d users, %d partitions, lz4; broker on the same machine.\nCommand: bench %s\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		c.events, c.users, c.partitions, strings.Join(args, " "))
	return measure(ctx, c, r)
}

// measure runs the steps that were asked for. One that does not work does not keep the others.
func measure(ctx context.Context, c *config, r *report) (err error) {
	if c.anyOf("kstreams", "flink", "flink-rocksdb", "ingest", "export", "http") {
		if x := ingests(ctx, c, r); x != nil {
			err = errors.Join(err, x)
		}
	}
	for _, s := range steps {
		if s.run == nil || s.name == "ingest" || !c.does(s.name) {
			continue
		}
		if x := s.run(ctx, c, r); x != nil {
			note("%s: %v", s.name, x)
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, x))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

// emptied makes an empty folder that no other bench uses until unlock.
func emptied(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the work folder: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock the work folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: another bench runs there; wait, or name another folder with -work: %w", dir, err)
	}
	entries, err := f.Readdirnames(0)
	for _, name := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("empty the work folder: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

var client = &http.Client{Timeout: 10 * time.Second}

// note says on stderr what is going on.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
