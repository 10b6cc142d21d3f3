package feature

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// The outcomes of a record in a view.
const (
	applied = iota
	filtered
	duplicate
	late
	dead
	outcomes
)

// counters count the records of a partition by outcome, for each view of its source.
type counters struct {
	read  int64
	views [][outcomes]int64
}

func (c *counters) clone() counters { return counters{c.read, slices.Clone(c.views)} }

// mark is what is known of a partition at one offset, all records below it counted.
type mark struct {
	seq       int64 // counts the marks of the partition: two may have one offset
	next      int64
	watermark event.Time
	latest    event.Time
	seen      Seen // Offset -1: none
	left      bool
	counters  counters
	pending   atomic.Int32 // shards that have not applied it yet
}

// Partition ingests one partition of a source in offset order. Add, Dead, End, Leave belong to one
// goroutine; the rest may be called from any.
type Partition struct {
	store *Store
	src   *source
	num   int32

	// Of the ingesting goroutine.
	now     mark // what the next End publishes
	fill    []*batch
	touched bool // something to hand over
	slots   []event.Value
	flat    []event.Value   // slots of an element of a flattened record
	items   [][]event.Value // elements of each flattened column
	undo    []written       // rows of the record under way
	row     event.Row
	prefix  []byte
	trails  bool // its watermark is behind the smallest one, which went on without it

	restart atomic.Int64 // durable; next to read
	free    chan *batch

	mu       sync.Mutex
	known    bool  // something of this partition is stored or handed over
	handed   *mark // the newest, perhaps not applied yet
	visible  *mark // the newest that all shards have applied
	durable  *mark // the newest whose record is stored
	began    *mark // handed over before any record: where reading began
	behind   int64 // offsets below this one had been seen by durable heads when the store was opened
	seenDone int64 // offset+1 of the seen record last stored; the committer's
	stored   bool  // a record of it is stored, or in a job; the committer's
	arrivals []Arrival
	meta     string
	lost     [][2]int64
	dead     []DeadLetter // to be kept in the store
	deadSize int64
	changed  bool // meta or lost
}

// Partition returns the handle through which one partition of a source is ingested: one per
// partition, used by one goroutine at a time.
func (s *Store) Partition(src *pipeline.Source, partition int32) *Partition {
	so := s.sources[src.Index]
	so.mu.Lock()
	defer so.mu.Unlock()
	return s.partition(so, partition)
}

// partition needs src.mu.
func (s *Store) partition(src *source, num int32) *Partition {
	if p := src.parts[num]; p != nil {
		return p
	}
	p := &Partition{store: s, src: src, num: num, free: make(chan *batch, 8*s.opt.Shards)}
	p.now = mark{watermark: event.MinTime, latest: event.MinTime, seen: Seen{Offset: -1}}
	p.now.counters.views = make([][outcomes]int64, len(src.views))
	p.fill = make([]*batch, s.opt.Shards)
	p.publish()
	p.visible, p.durable = p.handed, p.handed
	src.parts[num] = p
	return p
}

// publish makes what the ingesting goroutine has the handed mark.
func (p *Partition) publish() *mark {
	p.now.seq++
	m := &mark{seq: p.now.seq, next: p.now.next, watermark: p.now.watermark, latest: p.now.latest, seen: p.now.seen, left: p.now.left}
	m.counters = p.now.counters.clone()
	p.mu.Lock()
	p.handed = m
	p.mu.Unlock()
	return m
}

// Next is the restart offset: the next to read; ok is false if nothing of this partition is stored.
func (p *Partition) Next() (offset int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handed.next, p.known
}

// Seen is the newest record that a durable head may rest on; ok is false if there is none.
func (p *Partition) Seen() (s Seen, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handed.seen, p.handed.seen.Offset >= 0
}

// Arrivals lists the stored verdicts of the wall clock at or above Next, ascending. A replay must use them.
func (p *Partition) Arrivals() []Arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.arrivals)
}

// Meta is a small text that an adapter keeps about the partition (a file's name, size and checksum),
// durable from the next checkpoint on; empty if never set.
func (p *Partition) Meta() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.meta
}

// SetMeta sets the text that Meta answers.
func (p *Partition) SetMeta(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meta, p.changed, p.known = text, true, true
}

// EventTime reads the event time of a decoded record; ok is false if it is null or out of range.
func EventTime(src *pipeline.Source, slots []event.Value) (t event.Time, ok bool) {
	v := slots[src.Time.Slot]
	if v.IsNull() {
		return 0, false
	}
	n := v.Long()
	switch unit := src.Time.Unit; {
	case unit == 0 || unit == 1:
		return event.Time(n), true
	case unit < 0: // finer than a microsecond: floor
		q := n / -unit
		if n%-unit < 0 {
			q--
		}
		return event.Time(q), true
	default:
		if t := n * unit; t/unit == n {
			return event.Time(t), true
		}
		return 0, false
	}
}

// note counts a record as read and seen.
func (p *Partition) note(r *Record) {
	p.touched = true
	p.now.left = false
	p.now.next = r.Offset + 1
	p.now.counters.read++
	if r.Offset >= p.now.seen.Offset { // a replay comes back to it
		p.now.seen = Seen{Offset: r.Offset, Timestamp: r.Timestamp, CRC: r.CRC}
	}
}

// Add counts one record in every view of the source.
func (p *Partition) Add(r *Record) {
	p.note(r)
	t, ok := EventTime(p.src.plan, r.Slots)
	if !ok {
		p.deadAll(r, "time", fmt.Sprintf("the event time %q is null or out of range", p.src.plan.Time.Name))
		return
	}
	if t > r.Arrival.Add(p.src.plan.Ahead) {
		p.deadAll(r, "ahead", fmt.Sprintf("event time %s is more than %s after the arrival %s", t, p.src.plan.Ahead, r.Arrival))
		return
	}
	before := p.now.watermark
	p.trails = before < event.Time(p.src.minWM.Load())
	p.now.watermark = max(before, t)
	p.now.latest = p.now.watermark
	for i, v := range p.src.views {
		p.now.counters.views[i][p.view(v, r, t, before)]++
	}
}

// view counts one record in one view and tells the outcome.
func (p *Partition) view(v sourceView, r *Record, t, watermark event.Time) int {
	if len(v.branch.Flatten) > 0 {
		return p.flatten(v, r, t, watermark)
	}
	return p.rowOf(v, r, r.Slots, 0, t, watermark)
}

// rowOf counts a row of a record in one view and tells the outcome.
func (p *Partition) rowOf(v sourceView, r *Record, slots []event.Value, index int32, t, watermark event.Time) int {
	if len(v.branch.Computed) > 0 {
		slots = append(p.slots[:0], slots...)
		for _, c := range v.branch.Computed {
			slots = append(slots, c.Eval(slots))
		}
		p.slots = slots[:0]
	}
	if w := v.branch.Where; w != nil && !w.Eval(slots).Bool() {
		return filtered
	}
	p.prefix = appendPrefix(p.prefix[:0], v.id)
	for i, k := range v.branch.Keys {
		if slots[k].IsNull() {
			p.deadLetter(r, v.plan.Name, "key", fmt.Sprintf("key column %q is null", v.plan.Entity.Keys[i].Name))
			return dead
		}
		p.prefix = appendKeyValue(p.prefix, &slots[k])
	}
	if len(p.prefix) > maxKeyBytes {
		p.deadLetter(r, v.plan.Name, "key", fmt.Sprintf("the key has %d bytes; at most %d are kept", len(p.prefix), maxKeyBytes))
		return dead
	}
	if watermark != event.MinTime && t < watermark.Add(-v.plan.Keep) {
		p.deadLetter(r, v.plan.Name, "late", fmt.Sprintf("event time %s is more than %s behind the watermark %s", t, v.plan.Keep, watermark))
		return late
	}
	if p.trails && t < event.Time(v.limit.Load()).Add(-v.plan.Keep) {
		v.unjoined.Add(1)
	}
	if !p.encode(v, r, slots, index, t) {
		p.deadLetter(r, v.plan.Name, "size", fmt.Sprintf("the row would take more than %d bytes", maxRowBytes))
		return dead
	}
	return applied
}

// encode appends the row to the batch of its shard; false if it is too large.
func (p *Partition) encode(v sourceView, r *Record, slots []event.Value, index int32, t event.Time) bool {
	sealPrefix(p.prefix)
	row := &p.row
	row.Time, row.Arrival = t, r.Arrival
	row.Pos = event.Position{Source: p.src.plan.Index, Partition: p.num, Offset: r.Offset, Index: index}
	row.Order = event.Value{}
	if o := p.src.plan.Order; o >= 0 {
		row.Order = slots[o]
	}
	row.Pass = 0
	for i, f := range v.branch.Filters {
		if f.Eval(slots).Bool() {
			row.Pass |= 1 << i
		}
	}
	row.Values = row.Values[:0]
	for i := range v.branch.Inputs {
		in := &v.branch.Inputs[i]
		var x event.Value
		if in.Program != nil {
			x = in.Program.Eval(slots)
		} else {
			x = slots[in.Slot]
		}
		if x.Kind == event.Double {
			x = event.DoubleOf(x.Double()) // -0 reads as +0
		}
		row.Values = append(row.Values, x)
	}
	b := p.batch(p.store.shardOf(prefixSlot(p.prefix)), r.Offset)
	start := len(b.buf)
	b.buf = binary.AppendUvarint(b.buf, uint64(len(p.prefix)))
	b.buf = append(b.buf, p.prefix...)
	b.buf = binary.AppendUvarint(b.buf, uint64(r.Offset-b.base))
	var ok bool
	if b.buf, ok = v.c.append(b.buf, row); !ok {
		b.buf = b.buf[:start]
		return false
	}
	if v.c.flat {
		p.undo = append(p.undo, written{b, start, b.arrival})
	}
	b.rows++
	b.arrival = max(b.arrival, r.Arrival)
	return true
}

// batch returns the batch being filled for a shard.
func (p *Partition) batch(shard int, offset int64) *batch {
	b := p.fill[shard]
	if b == nil {
		select {
		case b = <-p.free:
			b.buf, b.rows = b.buf[:0], 0
		default:
			b = &batch{part: p}
		}
		b.base, b.arrival = offset, event.MinTime
		p.fill[shard] = b
	}
	return b
}

// Dead counts a record that could not be decoded as dead in every view of the source. r.Slots is not used.
func (p *Partition) Dead(r *Record, reason, detail string) {
	p.note(r)
	p.deadAll(r, reason, detail)
}

func (p *Partition) deadAll(r *Record, reason, detail string) {
	for i := range p.src.views {
		p.now.counters.views[i][dead]++
	}
	p.deadLetter(r, "", reason, detail)
}

// End hands over what was added since the last End; next is the offset to read next, behind gaps,
// aborted and control records too. atEnd tells that the partition is read to its end. End blocks
// while queues or the memory budget are full, and errs when the store has failed.
func (p *Partition) End(ctx context.Context, next int64, atEnd bool) error {
	if next != p.now.next {
		p.now.next, p.touched = next, true
	}
	if !p.touched {
		return p.store.gone()
	}
	if err := p.store.waitForRoom(ctx); err != nil {
		return err
	}
	return p.hand(next)
}

// hand gives each shard its batch, with the mark that they reach together.
func (p *Partition) hand(next int64) error {
	p.touched = false
	m := p.publish()
	p.mu.Lock()
	if p.known = true; p.began == nil && m.counters.read == 0 {
		p.began = m
	}
	p.mu.Unlock()
	m.pending.Store(int32(len(p.store.shards)))
	for i, sh := range p.store.shards {
		b := p.batch(i, next)
		p.fill[i] = nil
		b.mark = m
		p.store.queued.Add(int64(len(b.buf)))
		select {
		case sh.in <- message{batch: b}:
		case <-p.store.failed:
			return p.store.Err()
		case <-p.store.ended:
			return errClosed
		}
	}
	return nil
}

// Leave takes the partition out of the minimum of watermarks until its next record: it is fully
// read, and a file or without a record for `idle:`.
func (p *Partition) Leave() {
	if p.now.left {
		return
	}
	p.now.left = true
	_ = p.hand(p.now.next) // without waiting: a mark needs no room. A failed store is told to the next caller
}

// done is called by a shard that has applied b; the last one makes the mark visible.
func (p *Partition) done(b *batch) {
	m := b.mark
	b.mark = nil
	select {
	case p.free <- b:
	default:
	}
	if m.pending.Add(-1) > 0 {
		return
	}
	p.src.show(p, m)
	if p.store.rereading.Load() {
		p.store.reread()
	}
	p.store.appliedMu.Lock()
	p.store.applied.Broadcast()
	p.store.appliedMu.Unlock()
}

// show makes m the visible mark of p. The source's newest event time and smallest watermark move on
// before it: who sees the mark sees them too.
func (s *source) show(p *Partition, m *mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	storeMax(&s.latest, int64(m.latest))
	s.raise(p, m)
	p.mu.Lock()
	p.visible = m
	p.mu.Unlock()
}

// raise moves the smallest watermark on, with m as the visible mark of p. It needs s.mu.
func (s *source) raise(p *Partition, m *mark) {
	least := event.MaxTime
	for _, q := range s.parts {
		v := m
		if q != p {
			q.mu.Lock()
			v = q.visible
			q.mu.Unlock()
		}
		if !v.left {
			least = min(least, v.watermark)
		}
	}
	if least != event.MaxTime { // else all have left, and it stays
		storeMax(&s.minWM, int64(least))
	}
}

func storeMax(a *atomic.Int64, n int64) {
	for {
		old := a.Load()
		if n <= old || a.CompareAndSwap(old, n) {
			return
		}
	}
}

// waitForRoom blocks while memory is over budget or the disk has no room.
func (s *Store) waitForRoom(ctx context.Context) error {
	for {
		if err := s.gone(); err != nil {
			return err
		}
		if s.pressed() {
			s.work.kick()
		}
		if s.memory() < s.headBudget && s.deadWaiting.Load() < 2*deadRoom && !s.work.full.Load() {
			return nil
		}
		select {
		case <-s.work.room():
		case <-time.After(100 * time.Millisecond):
		case <-s.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pressed tells that a checkpoint should not wait for its time: many rows are not durable yet, or memory
// is nearly full, so that clean heads must go. Coalescing is what makes writing behind cheap, so it is
// not asked for earlier than that.
func (s *Store) pressed() bool {
	var unsaved int64
	for _, sh := range s.shards {
		unsaved += sh.unsaved.Load()
	}
	return unsaved > s.headBudget/3 || s.memory() > s.headBudget*9/10 || s.deadWaiting.Load() > deadRoom
}

// Lost marks records [from, to) as lost: answers become incomplete. Only under Options.AcceptLoss.
func (p *Partition) Lost(from, to int64) error {
	if !p.store.opt.AcceptLoss {
		return fmt.Errorf("records %d to %d of %s/%d are lost", from, to, p.src.plan.Name, p.num)
	}
	p.mu.Lock()
	p.lost = append(p.lost, [2]int64{from, to})
	p.changed = true
	p.mu.Unlock()
	p.src.lost.Store(true)
	return nil
}
