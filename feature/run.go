package feature

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// Vectors are answered rows of one entity, column by column: row k of column c is Values[c][k]. Columns may be longer
// than the run. A Reader owns them: they are valid until its next read.
type Vectors struct {
	Values    [][]event.Value
	Status    [][]Status
	EventTime [][]event.Time // of the newest row each value rests on; MinTime if none
}

// Run is what an entity was at some instants.
type Run struct {
	Corrected Vectors
	Served    Vectors // by what had arrived: only the rows of which Later is true
	Later     []bool  // some row that it rests on arrived after the instant: the two pasts differ perhaps
}

// runAnswers is a Reader's memory of a run for one Selector.
type runAnswers struct {
	room  int            // for so many instants
	pasts [2]pastAnswers // corrected, and as served
	stops []int          // of a slider: where an instant lies among its rows
	known [2][]bool      // of the view at hand: the entity is
	texts []byte         // of values
	names [][]byte       // by Selector.entities
	out   Run
}

// pastAnswers are answers by slot and instant.
type pastAnswers struct {
	values [][]event.Value
	status [][]Status
	times  [][]event.Time
}

func newRunAnswers(sel *Selector) *runAnswers {
	x := &runAnswers{}
	for p := range x.pasts {
		a := &x.pasts[p]
		a.values, a.status, a.times = make([][]event.Value, sel.slots), make([][]Status, sel.slots), make([][]event.Time, sel.slots)
	}
	for _, v := range []*Vectors{&x.out.Corrected, &x.out.Served} {
		n := len(sel.Columns)
		v.Values, v.Status, v.EventTime = make([][]event.Value, n), make([][]Status, n), make([][]event.Time, n)
	}
	return x
}

// reset makes room for n instants.
func (x *runAnswers) reset(n int) {
	x.texts = x.texts[:0]
	x.out.Later = resize(x.out.Later, n)
	clear(x.out.Later)
	if n <= x.room {
		return
	}
	x.room = n
	x.stops = resize(x.stops, n)
	for p := range x.pasts {
		a := &x.pasts[p]
		x.known[p] = resize(x.known[p], n)
		for i := range a.values {
			a.values[i], a.status[i], a.times[i] = resize(a.values[i], n), resize(a.status[i], n), resize(a.times[i], n)
		}
	}
}

// set notes an answer; its text is copied.
func (a *pastAnswers) set(slot, k int, of agg.Answer, x *runAnswers) {
	a.values[slot][k], a.times[slot][k] = x.keep(of.Value), of.Newest
	a.status[slot][k] = Present
	if of.Overflow {
		a.status[slot][k] = overflowed
	}
}

// overflowed is Present until a column is finished: a sum of longs fell outside int64.
const overflowed = Status(255)

// keep copies text.
func (x *runAnswers) keep(v event.Value) event.Value {
	if v.Str != "" {
		n := len(x.texts)
		x.texts = append(x.texts, v.Str...)
		v.Str = event.Alias(x.texts[n:])
	}
	return v
}

// ReadRun answers one entity at instants in ascending order, in both pasts where these may differ. name is of
// Selector.AppendEntity, more may follow it; requests has one value per Selector.Request for each instant. What is
// returned is valid until the next read. A run may go on: Expect tells where one begins, also after an error.
func (r *Reader) ReadRun(ctx context.Context, sel *Selector, name []byte, requests []event.Value, asOf []event.Time) (*Run, error) {
	s := r.scratchOf(sel)
	if s.run == nil {
		s.run = newRunAnswers(sel)
	}
	x := s.run
	r.ctx = ctx
	x.reset(len(asOf))
	x.names = x.names[:0]
	for _, keys := range sel.entities {
		n := sel.entitySize(name, keys)
		x.names = append(x.names, name[:n])
		name = name[n:]
	}
	for i := range s.views {
		sc := &s.views[i]
		r.prefix = appendEntityPrefix(r.prefix[:0], sc.q.v.id, x.names[sc.q.entity])
		if err := r.runView(ctx, sc, s, asOf); err != nil {
			return nil, fmt.Errorf("read view %q: %w", sc.q.v.plan.Name, err)
		}
		for k := range asOf {
			x.out.Later[k] = x.out.Later[k] || sc.lateSlid[k] || sc.late[k]
		}
	}
	served := slices.Contains(x.out.Later, true)
	if served {
		for i := range s.views {
			x.fillServed(&s.views[i])
		}
	}
	s.answerRun(sel, requests, len(asOf), served)
	return &x.out, nil
}

// nameEntity makes r.prefix that of the entity with these keys.
func (r *Reader) nameEntity(q *viewQuery, keys []event.Value) {
	r.prefix = appendPrefix(r.prefix[:0], q.v.id)
	for _, k := range q.keys {
		r.prefix = appendKeyValue(r.prefix, &keys[k])
	}
	sealPrefix(r.prefix)
}

// runView answers the features of a view: those that slide together, the others instant by instant.
func (r *Reader) runView(ctx context.Context, sc *viewScan, s *scratch, asOf []event.Time) (err error) {
	x := s.run
	sc.lateSlid, sc.late = resize(sc.lateSlid, len(asOf)), resize(sc.late, len(asOf))
	clear(sc.lateSlid)
	clear(sc.late)
	done := 0 // how many instants slid
	if r.cut != nil && r.run > 0 && sc.q.v.plan.Dedupe == nil {
		sc.cut = r.cut.lanes(sc.q.v)
		if _, _, err := r.entity(sc); err != nil {
			return err
		}
		if done, err = sc.slider.walk(r, sc, asOf, x); err != nil {
			return err
		}
	}
	sc.slidTo = done
	clear(sc.lateSlid[done:])
	for k := range asOf {
		if k < done && len(sc.slider.calls) == len(sc.q.features) {
			continue
		}
		for past := range x.pasts {
			if past == 1 && !sc.late[k] {
				break
			}
			at := Instant{AsOf: asOf[k], AsServed: past == 1}
			sc.slid = k < done
			s.lists = s.lists[:0]
			err := r.readView(ctx, sc, at)
			if err == nil {
				r.finishView(sc, s, at)
			}
			slid := sc.slid
			if sc.slid = false; err != nil {
				return err
			}
			sc.late[k] = sc.late[k] || sc.later && !r.Corrected
			x.take(sc, s, past, k, slid)
		}
	}
	r.finishRun(sc, x, asOf[:done])
	return nil
}

// take notes what was read of an instant, but for what slid.
func (x *runAnswers) take(sc *viewScan, s *scratch, past, k int, slid bool) {
	a := &x.pasts[past]
	for i := range sc.q.features {
		f := &sc.q.features[i]
		if slid && sc.q.slides(f) {
			continue
		}
		a.values[f.slot][k], a.status[f.slot][k], a.times[f.slot][k] = x.keep(s.values[f.slot]), s.status[f.slot], s.times[f.slot]
	}
}

// slides tells whether a feature's window can slide.
func (q *viewQuery) slides(f *featureQuery) bool { return f.plane >= 0 && q.planes[f.plane].slides }

// finishRun gives the answers that slid their status, and defaults.
func (r *Reader) finishRun(sc *viewScan, x *runAnswers, asOf []event.Time) {
	horizon, lost := r.horizon(sc.q.v), sc.q.v.lost()
	for past := range x.pasts {
		if past == 1 && !slices.Contains(sc.lateSlid, true) {
			return
		}
		a := &x.pasts[past]
		for _, f := range sc.slider.calls {
			values, status, times := a.values[f.slot], a.status[f.slot], a.times[f.slot]
			for k, t := range asOf {
				if past == 1 && !sc.lateSlid[k] {
					continue
				}
				if t < horizon {
					values[k], status[k], times[k] = event.Value{}, BeforeHistory, event.MinTime
					continue
				}
				if status[k] == overflowed {
					r.s.overflows[sc.q.v.id].Add(1)
				}
				if !x.known[past][k] || f.TTL > 0 || lost || values[k].Kind == event.Null {
					values[k], status[k] = f.finish(values[k], times[k], t, x.known[past][k], lost)
				} else {
					status[k] = Present
				}
			}
		}
	}
}

// finish gives an answer of a view within its history its status and default.
func (f *featureQuery) finish(v event.Value, newest, asOf event.Time, known, lost bool) (event.Value, Status) {
	st := Present
	switch {
	case !known:
		st = NotFound
	case f.TTL > 0 && newest != event.MinTime && asOf.Sub(newest) > f.TTL:
		st, v = Expired, event.Value{}
	case v.IsNull():
		st = IsNull
	}
	if v.IsNull() {
		v = f.Default
	}
	if lost {
		st = Incomplete
	}
	return v, st
}

// fillServed copies what is the same in both pasts, where some other view's answer may differ.
func (x *runAnswers) fillServed(sc *viewScan) {
	from, to := &x.pasts[0], &x.pasts[1]
	for i := range sc.q.features {
		f := &sc.q.features[i]
		for k, later := range x.out.Later {
			differs := sc.late
			if k < sc.slidTo && sc.q.slides(f) {
				differs = sc.lateSlid
			}
			if !later || differs[k] {
				continue
			}
			to.values[f.slot][k], to.status[f.slot][k], to.times[f.slot][k] = from.values[f.slot][k], from.status[f.slot][k], from.times[f.slot][k]
		}
	}
}

// answerRun computes expressions and puts the columns in order.
func (s *scratch) answerRun(sel *Selector, requests []event.Value, n int, served bool) {
	x := s.run
	for past, out := range []*Vectors{&x.out.Corrected, &x.out.Served} {
		if past == 1 && !served {
			continue
		}
		a := &x.pasts[past]
		for i := range sel.outs {
			o := &sel.outs[i]
			if o.expr != nil || o.args != nil {
				for k := range n {
					if past == 0 || x.out.Later[k] {
						s.computeAt(o, requests[k*len(sel.Request):(k+1)*len(sel.Request)], a, k)
					}
				}
				continue
			}
			out.Values[o.answers], out.Status[o.answers], out.EventTime[o.answers] = a.values[o.slot], a.status[o.slot], a.times[o.slot]
		}
	}
}

// computeAt is compute for an instant of a run.
func (s *scratch) computeAt(o *output, request []event.Value, a *pastAnswers, k int) {
	for _, slot := range o.args {
		if slot >= 0 {
			s.values[slot], s.status[slot], s.times[slot] = a.values[slot][k], a.status[slot][k], a.times[slot][k]
		}
	}
	s.compute(o, request)
	a.values[o.slot][k], a.status[o.slot][k], a.times[o.slot][k] = s.run.keep(s.values[o.slot]), s.status[o.slot], s.times[o.slot]
}
