package feature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/failpoint"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Store is all views of a plan over one state. Its methods are safe for concurrent use.
//
// The journey of a row: Partition.Add encodes it into a batch for the shard of its entity;
// Partition.End hands the batches over; a shard appends the row to its head in memory, where readers
// see it; the committer writes heads behind, with the positions they have counted; a checkpoint
// stores the restart offset of each partition once all that lies below it is durable.
type Store struct {
	st      state.Store
	plan    *pipeline.Plan
	opt     Options
	log     *slog.Logger
	sources []*source
	views   []*view // by view id
	united  bool    // some view has several sources
	byName  map[string]*view
	shards  []*shard

	snap     snapshots
	commitMu sync.Mutex // one commit at a time
	work     committer

	headBudget int64
	limits     limits
	applied    *sync.Cond // broadcast when a mark has become visible
	appliedMu  sync.Mutex

	failOnce sync.Once
	failed   chan struct{}
	err      atomic.Pointer[error]
	stop     context.CancelFunc
	ended    <-chan struct{} // closed by stop
	running  sync.WaitGroup

	selMu     sync.Mutex
	selectors map[string]*Selector
	overflows []atomic.Int64 // by view id

	opened    event.Time  // when
	rereading atomic.Bool // heads have seen more than has been read yet

	queued      atomic.Int64 // bytes of rows handed over and not yet applied
	deadWaiting atomic.Int64 // bytes of dead letters that wait for a checkpoint
}

// view is a view at run time.
type view struct {
	plan *pipeline.View
	id   uint16
	srcs []*source
	c    *codec

	bounded   bool       // all windows are
	lasts     []lastSpec // of its last-N windows
	sessions  []window.Spec
	trims     bool         // its rows go when no answer needs them any more
	fromStart bool         // and only from the earliest on
	limit     atomic.Int64 // an instant, see limits; MinTime: none yet

	unjoined     atomic.Int64
	dropped      dropped // nil without dedupe
	droppedMoved bool    // since the last commit was built; the committer's
}

// source is a source at run time.
type source struct {
	plan  *pipeline.Source
	views []sourceView
	dead  DeadSink

	mu       sync.Mutex
	parts    map[int32]*Partition
	minWM    atomic.Int64 // the smallest watermark of its partitions, never moving back; MinTime: none yet
	latest   atomic.Int64 // the newest accepted event time; MinTime: none yet
	storedWM event.Time   // minWM as the last checkpoint stored it; guarded by limits.mu
	lost     atomic.Bool
	told     sync.Map // reasons of dead letters that the log has named

	deadBytes   int64      // of stored dead letters; the committer's
	deadChecked event.Time // when their age was last looked at; the committer's
	deadDropped atomic.Int64
}

// PlanError says that a state was written by another plan.
type PlanError struct{ Changes []Change }

// Change is one difference between the plan of a state and the running one.
type Change struct {
	View string // name
	What string // "is new", "was removed", "changed: …"
}

func (e *PlanError) Error() string {
	s := "the state was written by another plan:"
	for _, c := range e.Changes {
		s += fmt.Sprintf(" view %q %s;", c.View, c.What)
	}
	return s[:len(s)-1]
}

// storedPlan is the JSON under keyPlan.
type storedPlan struct {
	Format   int                   `json:"format"`
	Pipeline string                `json:"pipeline"`
	Views    map[string]storedView `json:"views"`
}

type storedView struct {
	ID      uint16 `json:"id"`
	Version string `json:"version"`
	Storage string `json:"storage"`

	Features int `json:"features,omitempty"` // how many
}

// FormatVersion is the version of all that this package writes.
const FormatVersion = 1

// Diff tells how plan differs from the plan that wrote st; fresh is true for an empty state.
func Diff(st state.Store, plan *pipeline.Plan) (changes []Change, fresh bool, err error) {
	_, changes, fresh, err = diff(st, plan)
	return changes, fresh, err
}

func diff(st state.Store, plan *pipeline.Plan) (old storedPlan, changes []Change, fresh bool, err error) {
	snap := st.Snapshot()
	defer snap.Close()
	b, err := snap.Get([]byte(keyPlan), nil)
	if errors.Is(err, state.ErrNotFound) {
		return old, nil, true, nil
	}
	if err != nil {
		return old, nil, false, fmt.Errorf("read the stored plan: %w", err)
	}
	if err := json.Unmarshal(b, &old); err != nil {
		return old, nil, false, fmt.Errorf("read the stored plan: %w", err)
	}
	if old.Format != FormatVersion {
		return old, nil, false, fmt.Errorf("the state has format %d, this version reads format %d", old.Format, FormatVersion)
	}
	for _, v := range plan.Views {
		o, ok := old.Views[v.Name]
		switch {
		case !ok:
			changes = append(changes, Change{v.Name, "is new"})
		case o.Version != v.Version:
			changes = append(changes, Change{v.Name, fmt.Sprintf("changed (version %.8s, now %.8s)", o.Version, v.Version)})
		}
	}
	for name := range old.Views {
		if plan.View(name) == nil {
			changes = append(changes, Change{name, "was removed"})
		}
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].View < changes[j].View })
	return old, changes, false, nil
}

// Open opens the views of plan in st. It fails with *PlanError if st was written by another plan.
func Open(st state.Store, plan *pipeline.Plan, opt Options) (*Store, error) {
	old, changes, fresh, err := diff(st, plan)
	if err != nil {
		return nil, err
	}
	if len(changes) > 0 {
		return nil, &PlanError{changes}
	}
	if opt.Shards <= 0 {
		opt.Shards = runtime.GOMAXPROCS(0)
	}
	if opt.Shards > slots {
		opt.Shards = slots
	}
	if opt.Now == nil {
		opt.Now = func() event.Time { return event.FromGo(time.Now()) }
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		st: st, plan: plan, opt: opt, log: opt.Log, byName: map[string]*view{}, selectors: map[string]*Selector{},
		failed: make(chan struct{}), headBudget: max(plan.State.Memory*2/5, 8<<20),
	}
	s.applied = sync.NewCond(&s.appliedMu)
	s.bind(old)
	if fresh {
		if err := s.storePlan(); err != nil {
			return nil, err
		}
	}
	s.work.init(s)
	s.snap.publish(st.Snapshot())
	if err := s.restore(); err != nil {
		s.snap.close()
		return nil, err
	}
	failpoint.Hit(failpoint.Restored)
	s.opened = opt.Now()
	s.rereading.Store(s.Ready() != nil)
	s.start(fresh)
	return s, nil
}

// bind makes the run-time views and sources, with the ids that the state gave them.
func (s *Store) bind(old storedPlan) {
	for _, p := range s.plan.Sources {
		src := &source{plan: p, dead: s.opt.Dead[p.Name], parts: map[int32]*Partition{}, storedWM: event.MinTime}
		src.minWM.Store(int64(event.MinTime))
		src.latest.Store(int64(event.MinTime))
		s.sources = append(s.sources, src)
	}
	s.views = make([]*view, len(s.plan.Views))
	s.overflows = make([]atomic.Int64, len(s.plan.Views))
	for i, p := range s.plan.Views {
		v := &view{plan: p, id: uint16(i), c: newCodec(p), bounded: bounded(p), trims: trims(p), fromStart: fromStart(p), lasts: lastSpecs(p), sessions: sessionSpecs(p)}
		v.limit.Store(int64(event.MinTime))
		if o, ok := old.Views[p.Name]; ok {
			v.id = o.ID
		}
		for _, b := range p.Branches() {
			src := s.sources[b.Source.Index]
			src.views = append(src.views, sourceView{v, b})
			v.srcs = append(v.srcs, src)
		}
		if p.Dedupe != nil {
			v.dropped = make(dropped, len(s.plan.Sources))
		}
		s.united = s.united || len(v.srcs) > 1
		s.views[v.id] = v
		s.byName[p.Name] = v
	}
}

func (s *Store) storePlan() error {
	rec := storedPlan{Format: FormatVersion, Pipeline: s.plan.Name, Views: map[string]storedView{}}
	for _, v := range s.views {
		rec.Views[v.plan.Name] = storedView{ID: v.id, Version: v.plan.Version, Storage: v.plan.Storage, Features: len(v.plan.Features)}
	}
	b, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("store the plan: %w", err)
	}
	var batch state.Batch
	batch.Put([]byte(keyPlan), b)
	if err := s.st.Commit(&batch); err != nil {
		return fmt.Errorf("store the plan: %w", err)
	}
	return nil
}

// start starts the shards and the committer. A fresh state has no head that is not in memory.
func (s *Store) start(fresh bool) {
	ctx, stop := context.WithCancel(context.Background())
	s.ended = ctx.Done()
	s.stop = func() {
		stop()
		s.appliedMu.Lock()
		s.applied.Broadcast()
		s.appliedMu.Unlock()
	}
	for i := range s.opt.Shards {
		sh := &shard{store: s, id: i, in: make(chan message, 64), whole: fresh}
		first, end := s.slotsOf(i)
		sh.heads = newHeads(first, end-first)
		s.shards = append(s.shards, sh)
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			sh.run(ctx)
		}()
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		s.work.run(ctx)
	}()
}

// slotsOf returns the slots that a shard owns.
func (s *Store) slotsOf(shard int) (first, end int) {
	n := s.opt.Shards
	return (shard*slots + n - 1) / n, ((shard+1)*slots + n - 1) / n
}

// shardOf returns the owner of a slot: shards own ranges of slots, so that their heads lie together
// on disk.
func (s *Store) shardOf(slot int) int { return slot * len(s.shards) / slots }

// Close flushes what is in memory and stops; it does not close the state.
func (s *Store) Close(ctx context.Context) error {
	err := s.Flush(ctx)
	s.stop()
	s.running.Wait()
	s.snap.close()
	return err
}

// fail stops the store for good: what a commit left behind is unknown until the state is opened again.
func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		s.err.Store(&err)
		close(s.failed)
		s.log.Error("the store stops", "reason", err)
		s.appliedMu.Lock()
		s.applied.Broadcast()
		s.appliedMu.Unlock()
	})
}

// errClosed is answered by what is asked of a closed store.
var errClosed = errors.New("the store is closed")

// gone is why nothing can be added any more: the store has failed or is closed.
func (s *Store) gone() error {
	if err := s.Err(); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return errClosed
	default:
		return nil
	}
}

// Failed is closed when the store cannot go on (a commit error, damaged bytes); Err says why.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err is why the store failed, or nil.
func (s *Store) Err() error {
	if e := s.err.Load(); e != nil {
		return *e
	}
	return nil
}

// snapshots hands out the newest snapshot of the state, shared among readers: opening one of its own
// may have to wait for a commit under way.
type snapshots struct {
	mu     sync.Mutex
	cur    *sharedSnapshot // nil: none any more
	closed bool
}

// closedSnapshot is read after the end.
type closedSnapshot struct{}

func (closedSnapshot) Get([]byte, []byte) ([]byte, error) { return nil, errClosed }

func (closedSnapshot) Cursor() (state.Cursor, error) { return nil, state.ErrClosed }

func (closedSnapshot) Scan([]byte, []byte) iter.Seq2[state.Entry, error] {
	return func(yield func(state.Entry, error) bool) { yield(state.Entry{}, errClosed) }
}

func (closedSnapshot) Close() {}

type sharedSnapshot struct {
	state.Snapshot
	refs int // guarded by snapshots.mu
}

// publish makes snap the newest one.
func (s *snapshots) publish(snap state.Snapshot) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		snap.Close()
		return
	}
	old := s.cur
	s.cur = &sharedSnapshot{Snapshot: snap, refs: 1}
	s.mu.Unlock()
	s.release(old)
}

// acquire returns the newest snapshot; of a closed store one that answers nothing.
func (s *snapshots) acquire() *sharedSnapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil {
		return &sharedSnapshot{Snapshot: closedSnapshot{}, refs: 1}
	}
	s.cur.refs++
	return s.cur
}

func (s *snapshots) release(x *sharedSnapshot) {
	if x == nil {
		return
	}
	s.mu.Lock()
	x.refs--
	last := x.refs == 0
	s.mu.Unlock()
	if last {
		x.Snapshot.Close()
	}
}

func (s *snapshots) close() {
	s.mu.Lock()
	old := s.cur
	s.cur, s.closed = nil, true
	s.mu.Unlock()
	s.release(old)
}
