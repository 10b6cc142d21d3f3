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
	Corrected bool // ReadRun answers the corrected past alone: Later is never true

	s       *Store
	ctx     context.Context // of the read under way
	cut     *Cut            // nil: the newest state, memory first
	scratch map[*Selector]*scratch
	prefix  []byte
	key     []byte
	buf     []byte          // of a leaf
	snap    *sharedSnapshot // of the read under way
	cache   *blockCache     // of a cut's reader: what it reads does not change
	copies  bump            // of heads in memory
	walks   bool            // of a cut: entities are asked for in the state's order, mostly
	index   *entityIndex    // of a cut's reader: of the entity that was asked for last
	trace   *trace          // nil but for Explain
	run     int             // how often Expect was called
	reads   int             // that were expected then
	until   event.Time      // the last of them
}

// scratch is a Reader's memory for one Selector.
type scratch struct {
	values []event.Value
	status []Status
	times  []event.Time
	args   []event.Value
	lists  []byte // of the values that are lists and maps
	views  []viewScan
	run    *runAnswers // nil before ReadRun
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
	views := sel.views
	if r.cut != nil && r.trace == nil {
		views = sel.apart
	}
	for i := range views {
		x.views[i].init(&views[i])
	}
	r.scratch[sel] = x
	return x
}

// Expect tells that ReadRun will be asked for one entity at n instants, the last of them until, in one call or in
// several that go on.
func (r *Reader) Expect(n int, until event.Time) {
	r.run++
	r.reads, r.until = n, until
}

// Read answers one entity. keys has one value per Selector.Keys, request one per Selector.Request.
func (r *Reader) Read(ctx context.Context, sel *Selector, keys, request []event.Value, at Instant, out *Vector) error {
	x := r.scratchOf(sel)
	r.ctx = ctx
	out.Later = false
	x.lists = x.lists[:0]
	for i := range x.views {
		q := x.views[i].q
		r.nameEntity(q, keys)
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

// finishView turns what was gathered into values.
func (r *Reader) finishView(sc *viewScan, x *scratch, at Instant) {
	q := sc.q
	horizon := r.horizon(q.v)
	lost := q.v.lost()
	for i := range q.features {
		f := &q.features[i]
		if sc.slid && q.slides(f) {
			continue
		}
		derived := f.plane >= 0 && q.planes[f.plane].derived
		if at.AsOf < horizon || derived && sc.planes[f.plane].readsEarly(f) {
			x.values[f.slot], x.status[f.slot], x.times[f.slot] = event.Value{}, BeforeHistory, event.MinTime
			continue
		}
		a := sc.answer(i)
		if a.Overflow {
			r.s.overflows[q.v.id].Add(1)
		}
		v, st := f.finish(a.Value, a.Newest, at.AsOf, sc.seen, lost || derived && sc.lookups.incomplete)
		x.values[f.slot], x.status[f.slot], x.times[f.slot] = x.keep(v), st, a.Newest
	}
}

// keep copies a list or map: the next answer of its group is made in the same memory.
func (x *scratch) keep(v event.Value) event.Value {
	if v.Kind == event.List || v.Kind == event.Map {
		n := len(x.lists)
		x.lists = append(x.lists, v.Str...)
		v.Str = event.Alias(x.lists[n:])
	}
	return v
}

// answer is what feature i of the query is, by the rows gathered.
func (sc *viewScan) answer(i int) agg.Answer {
	f := &sc.q.features[i]
	if f.plane < 0 {
		return sc.lasts[f.at].sum.Answer(&f.Call, agg.At{AsOf: sc.asOf, Start: event.MinTime, End: sc.asOf})
	}
	pl := &sc.planes[f.plane]
	if f.Inner != nil {
		return sc.outer(pl, f)
	}
	s := &pl.spans[f.at]
	return pl.result(f.at).Answer(&f.Call, agg.At{AsOf: sc.asOf, Start: s.start, End: s.end})
}

// horizon is the least instant that may be asked of v.
func (r *Reader) horizon(v *view) event.Time {
	of := newestWatermark
	if r.cut != nil {
		of = func(src *source) event.Time { return r.cut.minWM[src] }
	}
	return horizon(v, v.watermark(of))
}

func horizon(v *view, minWM event.Time) event.Time {
	if minWM == event.MinTime {
		return event.MinTime
	}
	return minWM.Add(-v.plan.History)
}
