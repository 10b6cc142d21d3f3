package feature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/failpoint"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// committer writes heads behind. One goroutine builds batches (capture, spill, encode), another
// commits them, so that encoding and the disk overlap; commits happen in the order of building.
//
// A checkpoint: note the visible mark of each partition; take all heads that are dirty then; write
// them, each with the positions it has counted by the time it is captured; when the last is durable,
// all below the noted marks is, and their offsets are stored as restart offsets.
type committer struct {
	store *Store
	ask   chan struct{} // something to do
	jobs  chan *job
	spare chan *job
	done  chan struct{} // the committing goroutine has ended
	full  atomic.Bool   // the disk has no room: stop consuming
	off   atomic.Bool   // commit nothing: only benchmarks set it
	idle  sync.WaitGroup

	mu      sync.Mutex
	urgent  []urgentHead
	waiters []chan error // of a whole checkpoint
	sweeps  []chan error // of a whole pass of the sweeper
	freed   chan struct{}

	// Of the building goroutine.
	cur     *job
	tree    map[uint16]*treeWriter
	dirty   dirtyHeads
	caps    []captured
	copies  bump
	later   bump
	counted []offset
	rows    []rowRef
	keys    []byte
	value   []byte
	stored  []byte
	merged  []byte
	sweep   sweeper
}

// job is one commit and what to do when it is durable.
type job struct {
	batch state.Batch
	heads []completion
	after []func()
}

func (c *committer) init(s *Store) {
	c.store = s
	c.ask = make(chan struct{}, 1)
	c.jobs = make(chan *job, 1)
	c.spare = make(chan *job, 4)
	c.done = make(chan struct{})
	c.freed = make(chan struct{})
	c.tree = map[uint16]*treeWriter{}
	c.cur = &job{}
	c.sweep.init(s.views)
	for _, v := range s.views {
		c.tree[v.id] = &treeWriter{c: v.c, sum: agg.NewPartial(&v.plan.Layout, nil), groups: len(v.plan.Layout.Groups), ordered: v.plan.Layout.Ordered(), bare: v.plan.Dedupe != nil, put: c.putBlock}
		c.tree[v.id].row.Values = make([]event.Value, len(v.plan.Inputs))
		if groups := lifetimeGroups(v.plan); len(groups) > 0 {
			c.tree[v.id].fold = agg.NewPartial(&v.plan.Layout, groups)
		}
	}
}

func (c *committer) run(ctx context.Context) {
	go c.commitAll()
	tick := time.NewTicker(max(time.Duration(c.store.plan.State.Flush)*time.Microsecond, 10*time.Millisecond))
	defer tick.Stop()
	sweep := c.sweepAfter(sweepPause())
	for {
		var due, sweepDue bool
		select {
		case <-ctx.Done():
			close(c.jobs)
			<-c.done
			return
		case <-tick.C:
			due = true
		case <-c.ask:
		case <-sweep:
			sweepDue = true
		}
		if c.off.Load() {
			continue
		}
		if c.store.Err() != nil {
			c.answer(c.takeWaiters(), c.store.Err())
			continue
		}
		waiters := c.takeWaiters()
		var err error
		if due || len(waiters) > 0 || !sweepDue && c.store.pressed() {
			err = c.checkpoint(ctx)
			if sweepDue {
				sweep = c.sweepAfter(0)
			}
		} else if sweepDue {
			var wait time.Duration
			wait, err = c.sweepOn(ctx)
			sweep = c.sweepAfter(wait)
		} else if err = c.flushUrgent(ctx); err == nil {
			err = c.emit(ctx)
		}
		if err == nil && c.takeSweeps() {
			sweep = c.sweepAfter(0)
		}
		if err != nil && ctx.Err() == nil {
			c.store.fail(err)
		}
		c.answer(waiters, err)
	}
}

func (c *committer) takeWaiters() []chan error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiters
	c.waiters = nil
	return w
}

func (c *committer) answer(waiters []chan error, err error) {
	for _, w := range waiters {
		w <- err
	}
}

// kick asks for a checkpoint because of memory.
func (c *committer) kick() {
	select {
	case c.ask <- struct{}{}:
	default:
	}
}

// askUrgent asks for a commit of one head that holds many rows.
func (c *committer) askUrgent(sh *shard, id uint32) {
	c.mu.Lock()
	c.urgent = append(c.urgent, urgentHead{sh, id})
	c.mu.Unlock()
	c.kick()
}

// room is closed when memory has been freed.
func (c *committer) room() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.freed
}

// Flush makes all that was handed over so far durable, with restart offsets.
func (s *Store) Flush(ctx context.Context) error {
	if err := s.waitApplied(ctx); err != nil {
		return err
	}
	return s.ask(ctx, &s.work.waiters)
}

// ask puts itself on a list of the committer, which work.mu guards, and waits for the answer.
func (s *Store) ask(ctx context.Context, list *[]chan error) error {
	w := make(chan error, 1)
	s.work.mu.Lock()
	*list = append(*list, w)
	s.work.mu.Unlock()
	s.work.kick()
	select {
	case err := <-w:
		return err
	case <-s.failed:
		return s.Err()
	case <-s.ended:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Applied waits until readers see all that was handed over so far.
func (s *Store) Applied(ctx context.Context) error { return s.waitApplied(ctx) }

// waitApplied waits until the marks that are handed over now are visible.
func (s *Store) waitApplied(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.appliedMu.Lock()
		s.applied.Broadcast()
		s.appliedMu.Unlock()
	})
	defer stop()
	for _, src := range s.sources {
		for _, p := range src.all() {
			p.mu.Lock()
			want := p.handed.seq
			p.mu.Unlock()
			s.appliedMu.Lock()
			for p.shown() < want && s.gone() == nil && ctx.Err() == nil {
				s.applied.Wait()
			}
			s.appliedMu.Unlock()
		}
	}
	if err := s.gone(); err != nil {
		return err
	}
	return ctx.Err()
}

// reached is the offset up to which all shards have applied.
func (p *Partition) reached() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.visible.next
}

// shown is the number of the visible mark.
func (p *Partition) shown() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.visible.seq
}

// all lists the partitions of s.
func (s *source) all() []*Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Partition, 0, len(s.parts))
	for _, p := range s.parts {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Partition) int { return int(a.num) - int(b.num) })
	return out
}

// noted is a partition and the mark that a checkpoint will store.
type noted struct {
	p *Partition
	m *mark
}

// checkpoint writes all dirty heads and moves the restart offsets on.
func (c *committer) checkpoint(ctx context.Context) error {
	var marks []noted
	for _, src := range c.store.sources {
		for _, p := range src.all() {
			p.mu.Lock()
			marks = append(marks, noted{p, p.visible})
			p.mu.Unlock()
		}
	}
	for _, sh := range c.store.shards {
		sh.epoch.Add(1)
		for i := range sh.heads.tabs {
			if err := c.flushSlot(ctx, sh, sh.heads.first+i); err != nil {
				return err
			}
		}
	}
	if err := c.deadLetters(ctx, marks); err != nil {
		return err
	}
	if err := c.pass(ctx, failpoint.CheckpointRecord); err != nil {
		return err
	}
	if err := c.records(marks); err != nil {
		return err
	}
	if err := c.emit(ctx); err != nil {
		return err
	}
	if err := c.drain(ctx); err != nil {
		return err
	}
	failpoint.Hit(failpoint.CheckpointDone)
	c.relieve()
	return nil
}

// pass passes a failpoint; what was put before it is durable if the process dies there.
func (c *committer) pass(ctx context.Context, name string) error {
	if failpoint.On(name) {
		if err := c.emit(ctx); err != nil {
			return err
		}
		if err := c.drain(ctx); err != nil {
			return err
		}
	}
	failpoint.Hit(name)
	return nil
}

// putBlock is put of a spill's block.
func (c *committer) putBlock(key, value []byte) error {
	if err := c.put(key, value); err != nil {
		return err
	}
	c.sweep.blocks.blocks++
	c.sweep.blocks.bytes += int64(len(key) + len(value))
	return c.pass(context.Background(), failpoint.Spill)
}

// viewOf reads the view's id from a state prefix.
func viewOf(key []byte) uint16 { return uint16(key[2])<<8 | uint16(key[3]) }

// restart is the durable restart offset of a partition.
func (s *source) restart(part int32) int64 {
	s.mu.Lock()
	p := s.parts[part]
	s.mu.Unlock()
	if p == nil {
		return 0
	}
	return p.restart.Load()
}

// put adds a write that may become durable at any time.
func (c *committer) put(key, value []byte) error {
	if err := c.reserve(context.Background(), len(key)+len(value), 1); err != nil {
		return err
	}
	c.cur.batch.Put(key, value)
	return nil
}

// reserve makes room in the current job for writes that must be in one commit.
func (c *committer) reserve(ctx context.Context, size, count int) error {
	entries, bytes := c.store.st.Limits()
	if c.cur.batch.Len() > 0 && (c.cur.batch.Len()+count > entries*3/4 || c.cur.batch.Size()+size > bytes*3/4) {
		return c.emit(ctx)
	}
	return nil
}

// emit hands the current job to the committing goroutine. With it go the newest records seen: heads
// in it may rest on them.
func (c *committer) emit(ctx context.Context) error {
	if c.cur.batch.Len() == 0 && len(c.cur.heads) == 0 && len(c.cur.after) == 0 {
		return nil
	}
	c.putDropped()
	if err := c.putNewest(); err != nil {
		return err
	}
	j := c.cur
	c.cur = c.newJob()
	return c.send(j)
}

// send hands a job to the committing goroutine.
func (c *committer) send(j *job) error {
	c.idle.Add(1)
	select {
	case c.jobs <- j:
		return nil
	case <-c.store.failed:
		c.idle.Done()
		return c.store.Err()
	}
}

// putNewest puts the newest records seen into the current job. Those of thousands of partitions may
// not fit: then they go before it.
func (c *committer) putNewest() error {
	entries, bytes := c.store.st.Limits()
	j := c.newJob()
	for _, src := range c.store.sources {
		for _, p := range src.all() {
			if j.batch.Len()+2 > entries*3/4 || j.batch.Size() > bytes/2 {
				if err := c.send(j); err != nil {
					return err
				}
				j = c.newJob()
			}
			c.putSeen(&j.batch, p)
		}
	}
	cur := &c.cur.batch
	if cur.Len()+j.batch.Len() > entries || cur.Size()+j.batch.Size() > bytes {
		return c.send(j)
	}
	_ = j.batch.Each(func(key, value []byte) error {
		cur.Put(key, value)
		return nil
	})
	c.recycle(j)
	return nil
}

// newJob returns an empty job, one that has been committed if there is one: batches are large.
func (c *committer) newJob() *job {
	select {
	case j := <-c.spare:
		return j
	default:
		return &job{}
	}
}

func (c *committer) recycle(j *job) {
	clear(j.heads)
	clear(j.after)
	j.batch.Reset()
	j.heads, j.after = j.heads[:0], j.after[:0]
	select {
	case c.spare <- j:
	default:
	}
}

// putSeen puts the newest record handed over. With the first goes where the partition began, so that a
// crash before the first checkpoint does not begin elsewhere.
func (c *committer) putSeen(b *state.Batch, p *Partition) {
	p.mu.Lock()
	seen, began := p.handed.seen, p.began
	p.mu.Unlock()
	if !p.stored && began != nil {
		p.stored = true
		b.Put(partitionKey(keyParts, p.src.plan.Name, p.num), p.record(began))
	}
	if seen.Offset+1 <= p.seenDone {
		return
	}
	p.seenDone = seen.Offset + 1
	text, err := json.Marshal(seen)
	if err != nil {
		panic(err) // three integers
	}
	b.Put(partitionKey(keySeen, p.src.plan.Name, p.num), text)
}

// drain waits until every job that was handed over is durable.
func (c *committer) drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		c.idle.Wait()
		close(done)
	}()
	select {
	case <-done:
		return c.store.Err()
	case <-c.store.failed:
		return c.store.Err()
	}
}

// commitAll is the committing goroutine.
func (c *committer) commitAll() {
	defer close(c.done)
	for j := range c.jobs {
		if c.store.Err() == nil {
			if err := c.commit(j); err != nil {
				c.store.fail(err)
			}
			c.recycle(j)
		}
		c.idle.Done()
	}
}

// commit makes one job durable and completes its heads. A full disk is waited for: nothing has been
// written then, and consuming stops meanwhile.
func (c *committer) commit(j *job) error {
	start := time.Now()
	if err := c.store.commitBatch(&j.batch); err != nil {
		return err
	}
	c.sweep.written.Add(int64(j.batch.Size()))
	if f := c.store.opt.Observe.Commit; f != nil {
		f(time.Since(start), j.batch.Len(), j.batch.Size())
	}
	if err := completeAll(j.heads); err != nil {
		return err
	}
	for _, f := range j.after {
		f()
	}
	c.wake()
	return nil
}

// completeAll completes heads, some under one lock.
func completeAll(heads []completion) error {
	for len(heads) > 0 {
		sh, n := heads[0].sh, 1
		for n < len(heads) && n < captureChunk && heads[n].sh == sh {
			n++
		}
		sh.mu.Lock()
		for i := range heads[:n] {
			if err := heads[i].complete(); err != nil {
				sh.mu.Unlock()
				return err
			}
		}
		sh.heads.tidy(4)
		sh.measure()
		sh.mu.Unlock()
		heads = heads[n:]
	}
	return nil
}

// commitBatch commits b, waiting while the disk is full, and publishes the state behind it.
func (s *Store) commitBatch(b *state.Batch) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	for {
		err := s.st.Commit(b)
		var full *state.DiskFullError
		if errors.As(err, &full) {
			if s.work.full.CompareAndSwap(false, true) {
				s.log.Error("consuming stops until the disk has room", "reason", err)
			}
			select {
			case <-time.After(time.Second):
				continue
			case <-s.failed:
				return s.Err()
			case <-s.ended:
				return fmt.Errorf("commit: %w", err)
			}
		}
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if s.work.full.CompareAndSwap(true, false) {
			s.log.Info("the disk has room again: consuming goes on")
		}
		s.snap.publish(s.st.Snapshot())
		return nil
	}
}

// relieve evicts clean heads when memory is short, and wakes those who wait for room.
func (c *committer) relieve() {
	if used := c.store.memory(); used > c.store.headBudget*4/5 {
		over := used - c.store.headBudget*7/10
		for _, sh := range c.store.shards {
			select {
			case sh.in <- message{evict: over / int64(len(c.store.shards))}:
			case <-c.store.failed:
			case <-c.store.ended:
			}
		}
	}
	c.wake()
}

// wake wakes those who wait for room.
func (c *committer) wake() {
	c.mu.Lock()
	close(c.freed)
	c.freed = make(chan struct{})
	c.mu.Unlock()
}
