package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/internal/failpoint"
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

// full tells to do what CI does.
func full() bool { return os.Getenv("PENSTOCK_FULL") != "" }

// beside lets a test run beside others: most of its time it waits for processes. In CI they are so many that it would
// change at which moments they are killed.
func beside(t *testing.T) {
	if !full() {
		t.Parallel()
	}
}

// killsFrom is how many processes a test kills: PENSTOCK_KILLS, or what CI has time for.
func killsFrom(t *testing.T, standard int) int {
	t.Helper()
	text := os.Getenv("PENSTOCK_KILLS")
	if text == "" && !full() {
		return standard / 10
	}
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// killer ends processes: half of them at random moments, half at the failpoints in turn.
type killer struct {
	rng  *rand.Rand
	n    int            // processes so far
	died map[string]int // by failpoint
}

// launch starts the next process to be killed: seldom one with the race detector, which is slow.
func (k *killer) launch(t *testing.T, file, dir string) (s *server, point string) {
	t.Helper()
	k.n++
	binary, env := verbs, []string(nil)
	if k.n%40 == 20 {
		binary = program
	}
	if k.n%2 == 0 {
		point = failpoint.Names[k.n/2%len(failpoint.Names)]
		hits := k.rng.IntN(3)
		if point == failpoint.Restored || point == failpoint.Ready {
			hits = 0 // once a process, or when it is asked
		}
		env = []string{fmt.Sprintf("%s=%s:%d", failpoint.Variable, point, hits)}
	}
	return launchAs(t, binary, env, file, dir), point
}

// end waits for the process to die at its failpoint, or for a random moment, and kills it then. It must not
// end in any other way.
func (k *killer) end(t *testing.T, s *server, point string) {
	t.Helper()
	if point == "" {
		_ = pause(t.Context(), time.Duration(k.rng.Int64N(int64(350*time.Millisecond))))
		s.kill(t)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
	defer cancel()
	for {
		select {
		case err := <-s.done:
			s.done <- err // for kill, which says how it ended
			k.died[point]++
			s.kill(t)
			return
		default:
		}
		if s.find() == nil {
			_, _, _ = s.get("/readyz") // is what the failpoint waits for
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			s.kill(t)
			return
		}
	}
}

// check tells whether every failpoint was one that processes died at.
func (k *killer) check(t *testing.T) {
	t.Helper()
	t.Logf("%d processes were killed, of them at failpoints %v", k.n, k.died)
	for _, name := range failpoint.Names {
		if k.n >= 12*len(failpoint.Names) && k.died[name] == 0 {
			t.Errorf("no process died at %q: the test shows less than it should", name)
		}
	}
}

// TestKill kills the real process again and again, at random moments and at failpoints, while events come in,
// and compares what it then knows with the oracle, and byte by byte with a process that nobody killed.
func TestKill(t *testing.T) {
	beside(t)
	kills, records, asked := killsFrom(t, defaultKills), 1500, 120
	if !full() {
		records, asked = 600, 40
	}
	rng := rand.New(rand.NewPCG(seed(t), 1))
	s := newScenario(t, rng, embedded(t, 4, "alpha", "beta"), records+40*kills, 4, "alpha.dead")
	dir := filepath.Join(t.TempDir(), "state")
	k := &killer{rng: rng, died: map[string]int{}}
	for i := range kills {
		proc, point := k.launch(t, s.file, dir)
		produced := make(chan error, 1)
		go func() { produced <- s.produce(t, i, i+1, kills+1) }()
		if i%8 == 0 {
			if err := proc.progress(t, 4*time.Second); err != nil {
				t.Logf("kill %d: %v", i, err)
			}
		}
		k.end(t, proc, point)
		if err := <-produced; err != nil {
			t.Fatal(err)
		}
	}
	k.check(t)
	proc := start(t, s.file, dir)
	if err := s.produce(t, kills, kills+1, kills+1); err != nil {
		t.Fatal(err)
	}
	w := s.world(t)
	w.wait(t, proc)
	w.counters(t, proc)
	w.lookups(t, proc, rng, 12)
	spines := w.spines(t, rng, asked)
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

// records is how many the process has read, as soon as it tells.
func (s *server) records() (float64, error) {
	if err := s.find(); err != nil {
		return 0, err
	}
	m, err := s.metrics()
	if err != nil {
		return 0, err
	}
	return m[`penstock_records_read_total{source="a"}`] + m[`penstock_records_read_total{source="b"}`], nil
}

// beyond waits until the process has read more than n records, or gives up.
func (s *server) beyond(t *testing.T, n float64, patience time.Duration) error {
	t.Helper()
	var last error
	for until := time.Now().Add(patience); time.Now().Before(until); _ = pause(t.Context(), 5*time.Millisecond) {
		read, err := s.records()
		if err == nil && read > n {
			return nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("%v records read", read)
		}
	}
	return fmt.Errorf("not more than %v records read within %s: %w", n, patience, last)
}

// progress waits until the process has read a record more than when it was first asked, or gives up.
func (s *server) progress(t *testing.T, patience time.Duration) error {
	t.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); _ = pause(t.Context(), 5*time.Millisecond) {
		if n, err := s.records(); err == nil {
			return s.beyond(t, n, time.Until(until))
		}
	}
	return fmt.Errorf("no answer within %s", patience)
}
