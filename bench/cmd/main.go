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
}

// steps are what can be measured, in the order of the report; the last ones only when named.
var steps = []string{"kstreams", "flink", "ingest", "export", "http", "flink-rocksdb"}

const defaultSteps = "kstreams,flink,ingest,export,http"

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-bare" { // the handler that look-ups are compared with
		if err := serveBare(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "-default-steps" { // for bench/run.sh
		fmt.Println(defaultSteps)
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
	named := fs.String("steps", defaultSteps, "what to measure, separated by commas: "+strings.Join(steps, ", "))
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
		if !slices.Contains(steps, s) {
			return nil, fmt.Errorf("no step %q", s)
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
	if c.broker == "" {
		note("starting %s", kafkatest.Image)
		b, err := kafkatest.Run(ctx, map[string]string{"KAFKA_HEAP_OPTS": "-Xmx1g -Xms1g", "KAFKA_OPTS": ""})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Close()) }()
		c.broker = b.Addr
	}
	r := &report{}
	if err := measure(ctx, c, r); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %d cores, %s/%s, %s. Topics: %d events, %d users, %d partitions, lz4; broker on the same machine.\nCommand: bench %s\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		c.events, c.users, c.partitions, strings.Join(args, " "))
	r.write(out)
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

var client = &http.Client{Timeout: 10 * time.Second}

// note says on stderr what is going on.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
