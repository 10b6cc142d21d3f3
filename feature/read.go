package feature

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// Reader reads vectors. Not safe for concurrent use: one per goroutine.
type Reader struct {
	s       *Store
	cut     *Cut // nil: the newest state, memory first
	scratch map[*Selector]*scratch
	prefix  []byte
	key     []byte
	buf     []byte          // of a leaf
	snap    *sharedSnapshot // of the read under way
	cache   *blockCache     // of a cut's reader: what it reads does not change
}

// scratch is a Reader's memory for one Selector.
type scratch struct {
	values []event.Value
	status []Status
	times  []event.Time
	args   []event.Value
	views  []viewScan
}

// NewReader returns a reader of the newest state: memory first.
func (s *Store) NewReader() *Reader { return &Reader{s: s, scratch: map[*Selector]*scratch{}} }

// maxScratch bounds how many selectors a Reader keeps memory for.
const maxScratch = 64

func (r *Reader) scratchOf(sel *Selector) *scratch {
	if x := r.scratch[sel]; x != nil {
		return x
	}
	if len(r.scratch) >= maxScratch {
		clear(r.scratch)
	}
	x := &scratch{
		values: make([]event.Value, sel.slots), status: make([]Status, sel.slots), times: make([]event.Time, sel.slots),
		views: make([]viewScan, len(sel.views)),
	}
	for i := range sel.views {
		x.views[i].init(&sel.views[i])
	}
	r.scratch[sel] = x
	return x
}

// Read answers one entity. keys has one value per Selector.Keys, request one per Selector.Request.
func (r *Reader) Read(ctx context.Context, sel *Selector, keys, request []event.Value, at Instant, out *Vector) error {
	x := r.scratchOf(sel)
	out.Later = false
	for i := range sel.views {
		q := &sel.views[i]
		r.prefix = appendPrefix(r.prefix[:0], q.v.id)
		for _, k := range q.keys {
			r.prefix = appendKeyValue(r.prefix, &keys[k])
		}
		sealPrefix(r.prefix)
		if err := r.readView(ctx, &x.views[i], at); err != nil {
			return fmt.Errorf("read view %q: %w", q.v.plan.Name, err)
		}
		out.Later = out.Later || x.views[i].later
		r.finishView(&x.views[i], x, at)
	}
	n := len(sel.Columns)
	out.Values, out.Status, out.EventTime = grow(out.Values, n), grow(out.Status, n), grow(out.EventTime, n)
	for i := range sel.outs {
		o := &sel.outs[i]
		if o.expr != nil || o.args != nil {
			x.compute(o, request)
			continue
		}
		out.Values[o.answers], out.Status[o.answers], out.EventTime[o.answers] = x.values[o.slot], x.status[o.slot], x.times[o.slot]
	}
	return nil
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// compute evaluates a set's expression (or a reference with a default, whose status is that of the view's
// feature). The answer rests on the newest of its inputs; before the horizon of one of them it is null,
// whatever the rest.
func (x *scratch) compute(o *output, request []event.Value) {
	if o.expr == nil {
		a := o.args[0]
		v := x.values[a]
		if v.IsNull() && x.status[a] != BeforeHistory {
			v = o.dflt
		}
		x.values[o.slot], x.status[o.slot], x.times[o.slot] = v, x.status[a], x.times[a]
		return
	}
	x.args = x.args[:0]
	st, newest := Present, event.MinTime
	unseen, deps := true, 0
	for _, a := range o.args {
		if a < 0 {
			x.args = append(x.args, request[-1-a])
			continue
		}
		x.args = append(x.args, x.values[a])
		newest = max(newest, x.times[a])
		deps++
		unseen = unseen && x.status[a] == NotFound
		if x.status[a] == BeforeHistory || (x.status[a] == Incomplete && st != BeforeHistory) {
			st = x.status[a]
		}
	}
	var v event.Value
	if st != BeforeHistory {
		v = o.expr.Eval(x.args)
	}
	if v.IsNull() && st != BeforeHistory {
		if st == Present {
			st = IsNull
			if unseen && deps > 0 {
				st = NotFound
			}
		}
		v = o.dflt
	}
	x.values[o.slot], x.status[o.slot], x.times[o.slot] = v, st, newest
}

// readView scans one entity's rows. Blocks that a commit has replaced meanwhile are gone: the head is
// then taken anew.
func (r *Reader) readView(ctx context.Context, sc *viewScan, at Instant) error {
	defer r.endSnapshot()
	for try := 0; ; try++ {
		err := r.scan(sc, at)
		if err == nil || !errors.Is(err, state.ErrNotFound) || r.cut != nil {
			return err
		}
		if try == 1000 {
			return fmt.Errorf("the head names a block that does not exist: %w", err)
		}
		r.endSnapshot()
		runtime.Gosched()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// snapshot is the state that blocks are read from: the cut's, or the newest one.
func (r *Reader) snapshot() state.Snapshot {
	if r.cut != nil {
		return r.cut.snap
	}
	if r.snap == nil {
		r.snap = r.s.snap.acquire()
	}
	return r.snap
}

func (r *Reader) endSnapshot() {
	if r.snap != nil {
		r.s.snap.release(r.snap)
		r.snap = nil
	}
}

// head finds the rows and the archive's root of r.prefix.
func (r *Reader) head() (rows []byte, root *node, err error) {
	if r.cut == nil {
		sh := r.s.shards[r.s.shardOf(prefixSlot(r.prefix))]
		sh.mu.RLock()
		if h := sh.heads[string(r.prefix)]; h != nil {
			rows, root = h.rows[:len(h.rows):len(h.rows)], h.root
			sh.mu.RUnlock()
			return rows, root, nil
		}
		sh.mu.RUnlock()
		if sh.full.Load() {
			return nil, nil, nil
		}
	}
	r.key = headKey(r.key, event.Alias(r.prefix))
	if x := r.cache.get(r.key); x != nil {
		return x.bytes, x.node, nil
	}
	b, err := r.snapshot().Get(r.key, nil)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, nil, err
	}
	var h storedHead
	if err == nil {
		if h, err = decodeHead(b); err != nil {
			return nil, nil, err
		}
	}
	r.cache.put(r.key, cachedBlock{bytes: h.rows, node: h.root}, len(b))
	return h.rows, h.root, nil
}

// leaf reads the rows of a leaf; with keep they stay valid until the read ends, else until the next leaf.
func (r *Reader) leaf(id uint64, keep bool) ([]byte, error) {
	r.key = blockKey(r.key, event.Alias(r.prefix), id)
	if x := r.cache.get(r.key); x != nil {
		return x.bytes, nil
	}
	buf := r.buf
	if keep || r.cache != nil {
		buf = nil
	}
	b, err := r.snapshot().Get(r.key, buf)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", id, err)
	}
	if buf != nil || !keep && r.cache == nil {
		r.buf = b
	}
	rows, err := leafOf(b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", id, err)
	}
	r.cache.put(r.key, cachedBlock{bytes: rows}, len(b))
	return rows, nil
}

// viewScan gathers what a viewQuery asks of one entity.
//
// The windows that end at the instant asked for lie within each other. So time is cut at their starts
// into rings, each row counts in one ring, and the rings are merged from the inside out.
type viewScan struct {
	q      *viewQuery
	rings  []*agg.Partial
	starts []event.Time // of the rings; descending
	lasts  []lastRows
	row    event.Row
	asOf   event.Time
	served bool // only rows that had arrived
	cut    map[int32]int64
	seen   bool // a row lies before asOf
	later  bool
}

func (sc *viewScan) init(q *viewQuery) {
	sc.q = q
	n := len(q.rings)
	if q.lifetime {
		n++
	}
	for range n {
		sc.rings = append(sc.rings, agg.NewPartial(&q.v.plan.Layout, q.groups))
	}
	sc.starts = make([]event.Time, n)
	sc.lasts = make([]lastRows, len(q.lasts))
	for i := range q.lasts {
		sc.lasts[i] = lastRows{n: q.lasts[i].n, filter: q.lasts[i].filter, sum: agg.NewPartial(&q.v.plan.Layout, q.lasts[i].groups)}
	}
	sc.row.Values = make([]event.Value, len(q.v.plan.Inputs))
}

func (sc *viewScan) reset(at Instant) {
	sc.asOf, sc.served, sc.seen, sc.later = at.AsOf, at.AsServed, false, false
	for i, p := range sc.rings {
		p.Reset()
		sc.starts[i] = event.MinTime
		if i < len(sc.q.rings) {
			sc.starts[i] = at.AsOf.Add(-sc.q.rings[i])
		}
	}
	for i := range sc.lasts {
		sc.lasts[i].reset()
	}
}

// ring is the ring that t lies in; len(rings) if in none.
func (sc *viewScan) ring(t event.Time) int {
	for i, s := range sc.starts {
		if t >= s {
			return i
		}
	}
	return len(sc.starts)
}

// counts tells whether sc.row is part of the past that is asked for.
func (sc *viewScan) counts() bool {
	row := &sc.row
	if row.Time >= sc.asOf {
		return false
	}
	if sc.cut != nil && row.Pos.Offset >= sc.cut[row.Pos.Partition] {
		return false
	}
	if row.Arrival > sc.asOf {
		sc.later = true
		if sc.served {
			return false
		}
	}
	return true
}

func (r *Reader) scan(sc *viewScan, at Instant) error {
	sc.reset(at)
	sc.cut = nil
	if r.cut != nil {
		sc.cut = r.cut.offsets[sc.q.v.src]
	}
	rows, root, err := r.head()
	if err != nil {
		return err
	}
	if err := sc.rows(rows); err != nil {
		return err
	}
	if root != nil {
		if len(sc.rings) > 0 {
			if err := r.scanRings(sc, root); err != nil {
				return err
			}
		}
		for i := range sc.lasts {
			if err := r.scanLast(sc, &sc.lasts[i], root); err != nil {
				return err
			}
		}
		if !sc.seen {
			if sc.seen, err = r.anyRow(sc, root); err != nil {
				return err
			}
		}
	}
	for i := 1; i < len(sc.rings); i++ {
		sc.rings[i].Merge(sc.rings[i-1])
	}
	for i := range sc.lasts {
		sc.lasts[i].fold()
	}
	return nil
}

// rows counts the rows of a head in rings and last-N windows. Most rows are out of reach: their time
// tells, before they are decoded.
func (sc *viewScan) rows(b []byte) error {
	reach := event.MaxTime // of the rings
	if n := len(sc.starts); n > 0 {
		reach = sc.starts[n-1]
	}
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return err
		}
		row := b
		b = rest
		t := rowTime(row)
		if t >= sc.asOf || (t < reach && sc.seen && !sc.lastsWant(t)) {
			continue
		}
		if _, err := sc.q.v.c.next(row, &sc.row); err != nil {
			return err
		}
		if !sc.counts() {
			continue
		}
		sc.seen = true
		if i := sc.ring(t); i < len(sc.rings) {
			sc.rings[i].Add(&sc.row)
		}
		for i := range sc.lasts {
			sc.lasts[i].add(&sc.row)
		}
	}
	return nil
}

// lastsWant tells whether a last-N window may still take a row of time t.
func (sc *viewScan) lastsWant(t event.Time) bool {
	for i := range sc.lasts {
		if oldest, full := sc.lasts[i].full(); !full || t >= oldest {
			return true
		}
	}
	return false
}

// usable tells whether all rows below e are part of the past that is asked for, times apart.
func (sc *viewScan) usable(e *entry) bool {
	for _, o := range e.offsets {
		if sc.cut != nil && o.next > sc.cut[o.part] {
			return false
		}
	}
	if e.maxArrival > sc.asOf {
		if sc.served {
			return false
		}
		sc.later = true
	}
	return true
}

// scanRings counts the archive below n: what lies in one ring by its summary, the rest by its rows.
func (r *Reader) scanRings(sc *viewScan, n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= sc.asOf || sc.ring(e.maxT) == len(sc.rings) {
			continue
		}
		if ring := sc.ring(e.minT); ring < len(sc.rings) && ring == sc.ring(e.maxT) && e.maxT < sc.asOf && e.sum != nil && sc.usable(e) {
			if err := sc.rings[ring].MergeEncoded(e.sum); err != nil {
				return fmt.Errorf("merge block %d: %w", e.id, err)
			}
			sc.seen = true
			continue
		}
		if n.level > 0 {
			child, err := r.node(e)
			if err != nil {
				return err
			}
			if err := r.scanRings(sc, child); err != nil {
				return err
			}
			continue
		}
		if err := r.scanLeaf(sc, e); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) node(e *entry) (*node, error) {
	r.key = blockKey(r.key, event.Alias(r.prefix), e.id)
	if x := r.cache.get(r.key); x != nil {
		return x.node, nil
	}
	b, err := r.snapshot().Get(r.key, nil)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	n, err := decodeNode(b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	r.cache.put(r.key, cachedBlock{node: n}, 2*len(b))
	return n, nil
}

// scanLeaf counts the rows of a leaf in rings. They are sorted by time.
func (r *Reader) scanLeaf(sc *viewScan, e *entry) error {
	b, err := r.leaf(e.id, false)
	if err != nil {
		return err
	}
	reach := sc.starts[len(sc.starts)-1]
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		row := b
		b = rest
		t := rowTime(row)
		if t < reach {
			continue
		}
		if t >= sc.asOf {
			return nil
		}
		if _, err := sc.q.v.c.next(row, &sc.row); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		if sc.counts() {
			sc.seen = true
			sc.rings[sc.ring(t)].Add(&sc.row)
		}
	}
	return nil
}

// anyRow tells whether the archive holds a row of the past that is asked for.
func (r *Reader) anyRow(sc *viewScan, n *node) (bool, error) {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= sc.asOf {
			continue
		}
		if e.maxT < sc.asOf && sc.usable(e) {
			return true, nil
		}
		if n.level > 0 {
			child, err := r.node(e)
			if err != nil {
				return false, err
			}
			if found, err := r.anyRow(sc, child); found || err != nil {
				return found, err
			}
			continue
		}
		if err := r.scanLeafSeen(sc, e); err != nil || sc.seen {
			return sc.seen, err
		}
	}
	return false, nil
}

// scanLeafSeen sets sc.seen if a row of the leaf counts.
func (r *Reader) scanLeafSeen(sc *viewScan, e *entry) error {
	b, err := r.leaf(e.id, false)
	if err != nil {
		return err
	}
	for len(b) > 0 && !sc.seen {
		if b, err = sc.q.v.c.next(b, &sc.row); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		sc.seen = sc.counts()
	}
	return nil
}

// finishView turns what was gathered into values.
func (r *Reader) finishView(sc *viewScan, x *scratch, at Instant) {
	q := sc.q
	horizon := r.horizon(q.v)
	for i, f := range q.features {
		slot := q.slots[i]
		if at.AsOf < horizon {
			x.values[slot], x.status[slot], x.times[slot] = event.Value{}, BeforeHistory, event.MinTime
			continue
		}
		p := (*agg.Partial)(nil)
		if ring := q.ringOf[i]; ring >= 0 {
			p = sc.rings[ring]
		} else {
			p = sc.lasts[q.lastOf[i]].sum
		}
		v, newest, overflow := p.Finish(f.Group, f.Func)
		if overflow {
			r.s.overflows[q.v.id].Add(1)
		}
		st := Present
		switch {
		case !sc.seen:
			st = NotFound
		case f.TTL > 0 && newest != event.MinTime && at.AsOf.Sub(newest) > f.TTL:
			st, v = Expired, event.Value{}
		case v.IsNull():
			st = IsNull
		}
		if v.IsNull() {
			v = f.Default
		}
		if q.v.src.lost.Load() {
			st = Incomplete
		}
		x.values[slot], x.status[slot], x.times[slot] = v, st, newest
	}
}

// horizon is the least instant that may be asked of v.
func (r *Reader) horizon(v *view) event.Time {
	wm := event.Time(v.src.minWM.Load())
	if r.cut != nil {
		wm = r.cut.minWM[v.src]
	}
	return horizon(v, wm)
}

func horizon(v *view, minWM event.Time) event.Time {
	if minWM == event.MinTime {
		return event.MinTime
	}
	return minWM.Add(-v.plan.History)
}
