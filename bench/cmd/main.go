// Command cmd measures Penstock beside Kafka Streams on one real Kafka and prints tables. It is run by
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
	ksSeconds, ksThreads      int
	spine                     int
	latency                   time.Duration
	limit                     time.Duration
	broker                    string
	penstock, kstreams        string
	pipeline, schema          string
	memory                    string
	work                      string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-bare" { // the handler that look-ups are compared with
		if err := serveBare(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func flags(args []string) (*config, error) {
	c := &config{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&c.events, "events", 5_000_000, "events in each topic")
	fs.IntVar(&c.users, "users", 1_000_000, "possible users")
	fs.IntVar(&c.partitions, "partitions", 4, "partitions of each topic")
	keys := fs.String("keys", "zipf,uniform", "distributions, separated by commas")
	steps := fs.String("steps", "kstreams,ingest,export,http", "what to measure, separated by commas")
	fs.IntVar(&c.ksSeconds, "ks-seconds", 60, "seconds after which Kafka Streams is closed; 0: at the end of the topic")
	fs.IntVar(&c.ksThreads, "ks-threads", 2, "stream threads of Kafka Streams")
	fs.IntVar(&c.spine, "spine", 1_000_000, "rows of the spine to export")
	fs.DurationVar(&c.latency, "latency", 5*time.Second, "how long each number of connections asks")
	fs.DurationVar(&c.limit, "limit", 15*time.Minute, "longest that one step may take")
	fs.StringVar(&c.broker, "broker", "", "an existing broker instead of a container; its topics stay")
	fs.StringVar(&c.penstock, "penstock", "dist/penstock", "the binary")
	fs.StringVar(&c.kstreams, "kstreams", "bench/kstreams/target", "folder of kstreams-bench.jar and libs")
	fs.StringVar(&c.pipeline, "pipeline", "bench/pipeline.yaml", "the pipeline file")
	fs.StringVar(&c.schema, "schema", "bench/workload/transactions.avsc", "the Avro schema for Kafka Streams")
	fs.StringVar(&c.memory, "memory", "1GiB", "Penstock's memory budget")
	fs.StringVar(&c.work, "work", "bench/.cache", "folder for states, spines and logs; emptied")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	for _, k := range strings.Split(*keys, ",") {
		if k != string(workload.Zipf) && k != string(workload.Uniform) {
			return nil, fmt.Errorf("no distribution %q", k)
		}
		c.keys = append(c.keys, workload.Keys(k))
	}
	for _, s := range strings.Split(*steps, ",") {
		if !slices.Contains([]string{"kstreams", "ingest", "export", "http"}, s) {
			return nil, fmt.Errorf("no step %q", s)
		}
		c.steps = append(c.steps, s)
	}
	return c, nil
}

func (c *config) does(step string) bool { return slices.Contains(c.steps, step) }

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
	if c.broker == "" {
		note("starting %s", kafkatest.Image)
		b, err := kafkatest.Run(ctx, map[string]string{"KAFKA_HEAP_OPTS": "-Xmx1g -Xms1g", "KAFKA_OPTS": ""})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		c.broker = b.Addr
	}
	var results []*result
	for _, k := range c.keys {
		r, err := measure(ctx, c, k)
		if err != nil {
			return fmt.Errorf("%s keys: %w", k, err)
		}
		results = append(results, r)
	}
	fmt.Fprintf(out, "Machine: %d cores, %s/%s, %s. Topic: %d events, %d users, %d partitions, lz4; broker on the same machine.\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), c.events, c.users, c.partitions)
	report(out, results)
	return nil
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

// measure loads a topic and takes every figure on it.
func measure(ctx context.Context, c *config, k workload.Keys) (*result, error) {
	r := &result{keys: k}
	topic := fmt.Sprintf("bench-%s-%d", k, time.Now().Unix())
	b := &kafkatest.Broker{Addr: c.broker}
	if err := b.CreateTopic(ctx, topic, c.partitions, nil); err != nil {
		return nil, err
	}
	note("%s: loading %d events", k, c.events)
	took, err := workload.Load(ctx, c.broker, topic, c.options(k))
	if err != nil {
		return nil, err
	}
	note("%s: loaded in %.1f s", k, took.Seconds())
	if c.does("kstreams") {
		note("%s: Kafka Streams, at most %d s", k, c.ksSeconds)
		if r.kstreams, err = kafkaStreams(ctx, c, topic); err != nil {
			return nil, err
		}
		note("%s: Kafka Streams processed %d events in %.1f s", k, r.kstreams.events, r.kstreams.seconds)
	}
	if c.does("ingest") || c.does("export") || c.does("http") {
		if err := penstockSteps(ctx, c, k, topic, b, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// penstockSteps runs Penstock on the topic until all is durable, then asks the running process.
func penstockSteps(ctx context.Context, c *config, k workload.Keys, topic string, b *kafkatest.Broker, r *result) (err error) {
	ends, err := b.EndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	note("%s: Penstock", k)
	p, err := startPenstock(ctx, c, k, topic)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if r.penstock, err = p.ingest(ctx, c, ends); err != nil {
		return err
	}
	note("%s: Penstock had %d events durable after %.1f s", k, r.penstock.events, r.penstock.seconds)
	if c.does("export") {
		if r.export, err = p.export(ctx, c, k); err != nil {
			return err
		}
		note("%s: exported %d rows in %.1f s, %d cells equal to the oracle", k, r.export.rows, r.export.seconds, r.export.compared)
	}
	if c.does("http") {
		if r.latency, err = p.latencies(ctx, c, k); err != nil {
			return err
		}
	}
	r.peakAfter = p.peak()
	return nil
}

var client = &http.Client{Timeout: 10 * time.Second}

// note says on stderr what is going on.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
