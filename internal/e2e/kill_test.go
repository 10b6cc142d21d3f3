package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/pipeline"
)

// scenario is a random pipeline over two topics with random records.
type scenario struct {
	rng     *rand.Rand
	brokers []string
	file    string
	plan    *pipeline.Plan
	logs    map[string]*topicLog // by source
}

// newScenario makes a pipeline over the topics alpha and beta, which must exist, and what will be
// produced to them. deadTopic, if any, takes the dead letters of alpha.
func newScenario(t *testing.T, rng *rand.Rand, brokers []string, records, partitions int, deadTopic string) *scenario {
	t.Helper()
	sources := twoSources(rng.Uint64())
	sources[0].deadTopic = deadTopic
	url, ids := startRegistry(t, sources[0].topic+"-value", sources[1].topic+"-value")
	s := &scenario{rng: rng, brokers: brokers, logs: map[string]*topicLog{}}
	s.file, s.plan = compile(t, pipelineText(rng, brokers, url, sources))
	for _, src := range sources {
		s.logs[src.name] = newTopicLog(t, rng, brokers, src.topic, makeRecords(t, rng, records, partitions, ids))
		s.logs[src.name].deadTopic = src.deadTopic
	}
	return s
}

// produce sends the records of both topics from one share of the whole to another.
func (s *scenario) produce(t *testing.T, from, to, of int) error {
	for _, name := range []string{"a", "b"} {
		l := s.logs[name]
		n := len(l.records)
		if err := l.produce(t.Context(), l.records[n*from/of:n*to/of]); err != nil {
			return err
		}
	}
	return nil
}

// world reads the topics back and computes what must be true of them.
func (s *scenario) world(t *testing.T) *world {
	t.Helper()
	logs := map[string][]placed{}
	for name, l := range s.logs {
		logs[name] = l.read(t)
	}
	return newWorld(s.plan, s.file, logs)
}

// TestKill kills the real process again and again while events come in, and compares what it then knows
// with the oracle, and byte by byte with a process that nobody killed.
func TestKill(t *testing.T) {
	kills := defaultKills
	if s := os.Getenv("PENSTOCK_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(seed(t), 1))
	s := newScenario(t, rng, embedded(t, 4, "alpha", "beta"), 1500+40*kills, 4, "alpha.dead")
	dir := filepath.Join(t.TempDir(), "state")
	for i := range kills {
		proc := launch(t, s.file, dir)
		produced := make(chan error, 1)
		go func() { produced <- s.produce(t, i, i+1, kills+1) }()
		if i%2 == 0 {
			if err := proc.progress(t, 4*time.Second); err != nil {
				t.Logf("kill %d: %v", i, err)
			}
		}
		_ = pause(t.Context(), time.Duration(rng.Int64N(int64(350*time.Millisecond))))
		proc.kill(t)
		if err := <-produced; err != nil {
			t.Fatal(err)
		}
	}
	proc := start(t, s.file, dir)
	if err := s.produce(t, kills, kills+1, kills+1); err != nil {
		t.Fatal(err)
	}
	w := s.world(t)
	w.wait(t, proc)
	w.counters(t, proc)
	w.lookups(t, proc, rng, 12)
	spines := w.spines(t, rng, 120)
	first, second, third := t.TempDir(), t.TempDir(), t.TempDir()
	exports(t, spines, first, "--server", proc.url)
	proc.stop(t)
	w.deadLetters(t, s, dir)
	w.deadTopic(t, s.logs["a"])
	exports(t, spines, second, "--state", dir)
	sameFiles(t, first, second)

	// One that nobody killed.
	calm := filepath.Join(t.TempDir(), "state")
	proc = start(t, s.file, calm)
	w.wait(t, proc)
	w.counters(t, proc)
	exports(t, spines, third, "--state", calm)
	proc.stop(t)
	sameFiles(t, first, third)

	// A restart changes nothing.
	proc = start(t, s.file, dir)
	w.wait(t, proc)
	w.counters(t, proc)
	w.lookups(t, proc, rng, 2)
	proc.stop(t)
}

// progress waits until the process has read a record more than when it was first asked, or gives up.
func (s *server) progress(t *testing.T, patience time.Duration) error {
	t.Helper()
	before := -1.0
	var last error
	for until := time.Now().Add(patience); time.Now().Before(until); _ = pause(t.Context(), 5*time.Millisecond) {
		if last = s.find(); last != nil {
			continue
		}
		m, err := s.metrics()
		if last = err; err != nil {
			continue
		}
		read := m[`penstock_records_read_total{source="a"}`] + m[`penstock_records_read_total{source="b"}`]
		if before >= 0 && read > before {
			return nil
		}
		if before < 0 {
			before = read
		}
		last = fmt.Errorf("%v records read", read)
	}
	return fmt.Errorf("no progress within %s: %w", patience, last)
}
