package proof

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// Sim is a whole run in one thread of events that a seed decides: a log that grows and has holes, a clock
// that jumps, a reader that takes the log up from the restart offsets, a store that crashes at any commit,
// a disk that is full for a while, partitions that fall silent, dead letters. The transcript tells what
// happened; the same seed gives the same.
type Sim struct {
	rng        *rand.Rand
	text       string // of the pipeline
	plan       *pipeline.Plan
	disk       *Memory
	st         *faulty
	store      *feature.Store
	shards     int
	clock      atomic.Int64 // the store's goroutines look at it
	logs       []*simLog
	todo       []oracle.Record // not produced yet
	sink       *simSink        // nil: dead letters are kept in the store
	lossy      bool            // the log may lose its beginning
	lost       map[string]bool // and has, of these sources
	held       *held
	durable    map[string]event.Time
	transcript []string
}

// simLog is one partition: what the broker has, and the reader of it.
type simLog struct {
	src     *pipeline.Source
	num     int32
	records []simRecord
	end     int64 // of the log: behind the last record and what else is there
	start   int64 // of the log

	part     *feature.Partition
	next     int64
	behind   int64
	arrivals []feature.Arrival
	last     event.Time // when the last record was read
}

// simRecord is a record with the broker's timestamp, and when it arrived as last decided.
type simRecord struct {
	oracle.Record
	timestamp event.Time
	decided   bool
}

// faulty is a state that crashes after some more commits, and whose disk may be full.
type faulty struct {
	state.Store
	mu   sync.Mutex
	left int // commits until the crash; less than 0: none is due
	dead bool
	full bool
}

// Commit implements state.Store.
func (f *faulty) Commit(b *state.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.full && !f.dead:
		return &state.DiskFullError{Dir: "memory", Free: 1, Need: 2}
	case f.left == 0 || f.dead:
		f.dead = true
		return errCrash
	case f.left > 0:
		f.left--
	}
	return f.Store.Commit(b)
}

func (f *faulty) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// simSink takes dead letters, at least once each.
type simSink struct {
	mu      sync.Mutex
	sent    []feature.DeadLetter
	flushed map[string]int
}

// Send implements feature.DeadSink.
func (s *simSink) Send(d *feature.DeadLetter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, *d)
	return nil
}

// Flush implements feature.DeadSink.
func (s *simSink) Flush(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.sent {
		s.flushed[letter(d.Source, d.Partition, d.Offset, d.View)]++
	}
	s.sent = nil
	return nil
}

func letter(source string, partition int32, offset int64, view string) string {
	return fmt.Sprintf("%s/%d@%d %s", source, partition, offset, view)
}

// String names the partition.
func (l *simLog) String() string { return fmt.Sprintf("%s/%d", l.src.Name, l.num) }

// NewSim makes a run; dir is for the pipeline's schema.
func NewSim(seed uint64, dir string) (*Sim, error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	deck := Pairs(seed)
	brief := rng.IntN(3) > 0 // history is short, beside the time that the events span
	c, err := Random(rng, dir, Options{
		Pairs: deck[:6], Kinds: KindsOf(seed), Small: true, Order: rng.IntN(2) == 0, Brief: [2]bool{brief, brief && rng.IntN(2) == 0},
	})
	if err != nil {
		return nil, err
	}
	s := &Sim{
		rng: rng, text: c.Text, plan: c.Plan, disk: &Memory{}, shards: pick(rng, []int{1, 2, 3}),
		lossy: rng.IntN(12) == 0, lost: map[string]bool{}, durable: map[string]event.Time{},
	}
	s.set(base)
	if rng.IntN(2) == 0 {
		s.disk.Entries, s.disk.Bytes = 12, 300<<10
	}
	if rng.IntN(2) == 0 {
		s.sink = &simSink{flushed: map[string]int{}}
	}
	parts := 1 + rng.IntN(3)
	s.todo = Records(rng, c.Plan, Stream{Records: 20 + rng.IntN(150), Partitions: parts, Users: 3, Copies: pick(rng, []float64{0, 0.1, 0.5})})
	for _, src := range c.Plan.Sources {
		src.Idle = event.Minute
		src.Dead = pipeline.DeadLetters{Budget: 1 << 30, Keep: 100_000 * event.Day}
		for i := range parts {
			s.logs = append(s.logs, &simLog{src: src, num: int32(i)})
		}
	}
	s.say("%d records in %d partitions over %d shards", len(s.todo), parts, s.shards)
	return s, nil
}

func (s *Sim) say(format string, args ...any) {
	s.transcript = append(s.transcript, fmt.Sprintf(format, args...))
}

func (s *Sim) now() event.Time { return event.Time(s.clock.Load()) }

func (s *Sim) set(t event.Time) { s.clock.Store(int64(t)) }

// Text is the pipeline of the run.
func (s *Sim) Text() string { return s.text }

// Transcript lists what happened.
func (s *Sim) Transcript() []string { return s.transcript }

// open starts the process: it takes up every partition where the store says.
func (s *Sim) open() error {
	st, err := s.disk.Open()
	if err != nil {
		return err
	}
	s.st = &faulty{Store: st, left: -1}
	opt := feature.Options{Shards: s.shards, Now: s.now, AcceptLoss: s.lossy, Dead: map[string]feature.DeadSink{}, After: ticks(nil).after}
	if s.sink != nil {
		s.sink.sent = nil // what the last process had queued is gone
		for _, src := range s.plan.Sources {
			opt.Dead[src.Name] = s.sink
		}
	}
	if s.store, err = feature.Open(s.st, s.plan, opt); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	for _, l := range s.logs {
		l.part = s.store.Partition(l.src, l.num)
	}
	for _, l := range s.logs {
		l.next, _ = l.part.Next()
		l.behind, l.arrivals, l.last = 0, l.part.Arrivals(), s.now()
		if seen, ok := l.part.Seen(); ok {
			l.behind = seen.Offset + 1
		}
		if l.behind > l.end {
			return fmt.Errorf("%s had seen %d, and the log ends at %d", l, l.behind, l.end)
		}
		s.say("%s: from %d, behind %d", l, l.next, l.behind)
		if l.next < l.start {
			s.say("%s: lost %d to %d", l, l.next, l.start)
			s.lost[l.src.Name] = true
			if err := l.part.Lost(l.next, l.start); err != nil {
				return err
			}
			l.next = l.start
		}
	}
	for _, v := range s.store.Stats().Views {
		if h, ok := s.durable[v.Name]; ok && v.Horizon < h {
			return fmt.Errorf("view %s: the horizon moved back from %s to %s", v.Name, h, v.Horizon)
		}
	}
	return nil
}

// restart ends the process, cleanly or not, and starts the next one.
func (s *Sim) restart(ctx context.Context, crash bool) error {
	s.letGo()
	if crash {
		s.st.set(func() { s.st.dead = true })
	}
	err := s.store.Close(ctx)
	if err != nil && !errors.Is(err, errCrash) {
		return fmt.Errorf("close: %w", err)
	}
	if err := s.st.Close(); err != nil {
		return err
	}
	s.say("restart, crashed %v", err != nil)
	s.set(s.now().Add(event.Duration(s.rng.Int64N(int64(event.Minute)))))
	if s.lossy && s.rng.IntN(3) == 0 {
		l := pick(s.rng, s.logs)
		l.start = l.end - s.rng.Int64N(l.end-l.start+1)
	}
	return s.open()
}

// survive does f; a crash in it is followed by a restart.
func (s *Sim) survive(ctx context.Context, f func() error) error {
	err := f()
	if errors.Is(err, errCrash) {
		return s.restart(ctx, true)
	}
	return err
}

// Run lets the run happen, up to the end of the log, and then checks it.
func (s *Sim) Run(ctx context.Context) error {
	if err := s.open(); err != nil {
		return err
	}
	for !s.done() {
		if err := s.survive(ctx, func() error { return s.step(ctx) }); err != nil {
			return err
		}
	}
	for {
		s.st.set(func() { s.st.left = -1 })
		err := s.store.Flush(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, errCrash) {
			return err
		}
		if err := s.restart(ctx, true); err != nil {
			return err
		}
		for !s.done() {
			if err := s.survive(ctx, func() error { return s.poll(ctx) }); err != nil {
				return err
			}
		}
	}
	if err := s.Check(ctx, 6); err != nil {
		return err
	}
	if err := s.sweep(ctx); err != nil {
		return err
	}
	if err := s.Check(ctx, 2); err != nil {
		return fmt.Errorf("after a sweep: %w", err)
	}
	if err := s.restart(ctx, false); err != nil {
		return err
	}
	if err := s.Check(ctx, 2); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	return s.finish(ctx)
}

// finish closes the store and notes what it left.
func (s *Sim) finish(ctx context.Context) error {
	if err := s.store.Close(ctx); err != nil {
		return err
	}
	if _, err := feature.Inspect(s.st.Store); err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	sum := sha256.New()
	snap := s.st.Snapshot()
	defer snap.Close()
	for e, err := range snap.Scan(nil, nil) {
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%x %x\n", e.Key, e.Value)
	}
	s.say("the state is %s", hex.EncodeToString(sum.Sum(nil)[:8]))
	return nil
}

func (s *Sim) done() bool {
	for _, l := range s.logs {
		if l.next < l.end {
			return false
		}
	}
	return len(s.todo) == 0
}
