package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Config says what a Runner reads and where to. Plan and Store are needed; the rest has defaults.
type Config struct {
	Plan       *pipeline.Plan
	Store      *feature.Store
	Log        *slog.Logger      // nil: discards
	AcceptLoss bool              // go on over lost records (the Store must have been opened so too)
	Now        func() event.Time // the machine's clock; nil: the wall clock
	Observe    Observer

	// FetchBytes is how much one fetch asks for; 0: 1 MiB, less with many partitions. Two answers of a
	// partition are in memory at most.
	FetchBytes int
	// BatchLimit is how large one batch of records may get, decompressed; 0: 64 MiB. What is larger
	// is dead-lettered with reason "batch".
	BatchLimit int
	// Refresh is how often partitions that were added to a topic are looked for; 0: 10 s.
	Refresh time.Duration
	// Commit is how often offsets are shown to the group; 0: 5 s.
	Commit time.Duration
}

// Observer is told what happens, for metrics; nil fields are skipped. Called from several goroutines.
type Observer struct {
	// Fetched is one answer of a broker: its bytes on the wire.
	Fetched func(source string, bytes int)
	// Batch is records handed over together: how many were counted or dead-lettered.
	Batch func(source string, records int)
}

// Run reads every source of the plan until ctx ends; see Runner.Run.
func Run(ctx context.Context, cfg Config) error { return New(cfg).Run(ctx) }

// partition is what a reader needs of *feature.Partition; tests record instead.
type partition interface {
	Next() (int64, bool)
	Seen() (feature.Seen, bool)
	Arrivals() []feature.Arrival
	StoreArrival(feature.Arrival) error
	Meta() string
	SetMeta(string)
	Add(*feature.Record)
	Dead(r *feature.Record, reason, detail string)
	End(ctx context.Context, next int64, atEnd bool) error
	Leave()
	Lost(from, to int64) error
}

// store is what a Runner needs of *feature.Store; tests record instead.
type store interface {
	partition(src *pipeline.Source, number int32) partition
	// restarts are the durable restart offsets of a source's partitions.
	restarts(src *pipeline.Source) map[int32]int64
	failed() <-chan struct{}
	err() error
}

type featureStore struct{ s *feature.Store }

func (f featureStore) partition(src *pipeline.Source, n int32) partition {
	return f.s.Partition(src, n)
}
func (f featureStore) failed() <-chan struct{} { return f.s.Failed() }
func (f featureStore) err() error              { return f.s.Err() }

func (f featureStore) restarts(src *pipeline.Source) map[int32]int64 {
	out := map[int32]int64{}
	for _, s := range f.s.Stats().Sources {
		if s.Name == src.Name {
			for _, p := range s.Partitions {
				out[p.Partition] = p.Restart
			}
		}
	}
	return out
}

// Runner reads the sources of a plan.
type Runner struct {
	cfg     Config
	log     *slog.Logger
	store   store
	now     func() event.Time
	sources []*sourceStatus
	back    backoff
}

// New returns a runner; nothing is read before Run.
func New(cfg Config) *Runner { return newRunner(cfg, featureStore{cfg.Store}) }

func newRunner(cfg Config, st store) *Runner {
	cfg.BatchLimit = cmp.Or(cfg.BatchLimit, 64<<20)
	cfg.Refresh = cmp.Or(cfg.Refresh, 10*time.Second)
	cfg.Commit = cmp.Or(cfg.Commit, 5*time.Second)
	r := &Runner{cfg: cfg, log: cfg.Log, store: st, now: cfg.Now, back: backoff{first: 100 * time.Millisecond, most: 5 * time.Second}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = func() event.Time { return event.FromGo(time.Now()) }
	}
	for _, src := range cfg.Plan.Sources {
		r.sources = append(r.sources, newSourceStatus(src, r.log))
	}
	return r
}

// Run reads every source until ctx ends, then stops and returns nil: nothing is added after it has
// returned. Files end by themselves; Run goes on until ctx ends all the same. An error means that
// reading cannot go on: lost records (*LossError), a file that changed, a failed store.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i, src := range r.cfg.Plan.Sources {
		wg.Go(func() {
			if err := r.runSource(ctx, src, r.sources[i]); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("read source %s: %w", src.Name, err))
			}
		})
	}
	select {
	case <-ctx.Done():
	case <-r.store.failed():
		cancel(fmt.Errorf("count records: %w", r.store.err()))
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (r *Runner) runSource(ctx context.Context, src *pipeline.Source, st *sourceStatus) error {
	dec, err := r.newDecoders(src)
	if err != nil {
		return err
	}
	defer dec.close()
	if src.File != nil {
		return r.runFiles(ctx, src, st)
	}
	return r.runKafka(ctx, src, st, dec)
}

// LossError says that records which were not read yet are gone, or that the log is not the one that
// was read before. Run stops with it unless Config.AcceptLoss.
type LossError struct {
	Source    string
	Topic     string
	Partition int32
	From, To  int64 // offsets that are lost: [From, To)
	Why       string
}

func (e *LossError) Error() string {
	return fmt.Sprintf("records [%d, %d) of %s/%d are lost: %s", e.From, e.To, e.Topic, e.Partition, e.Why)
}

// Hint says what can be done.
func (e *LossError) Hint() string {
	return "restore the topic, start with a new state directory, or go on with --accept-loss: answers that rest on what is lost are then marked incomplete"
}

// backoff are growing pauses between attempts.
type backoff struct{ first, most time.Duration }

// pause waits for the attempt'th pause (from 0) or until ctx ends, and tells whether ctx goes on.
func (b backoff) pause(ctx context.Context, attempt int) bool {
	d := b.first << min(attempt, 16)
	t := time.NewTimer(min(d, b.most))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
