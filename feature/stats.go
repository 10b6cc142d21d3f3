package feature

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/failpoint"
)

// Latest is one microsecond after the newest accepted event time over the sources of sel.
func (s *Store) Latest(sel *Selector) event.Time {
	newest := event.MinTime
	for i := range sel.views {
		for _, src := range sel.views[i].v.srcs {
			newest = max(newest, event.Time(src.latest.Load()))
		}
	}
	if newest == event.MinTime {
		return s.opt.Now()
	}
	return newest.Add(1)
}

// Ready is nil when every partition has passed what durable heads had seen (Semantics 11), else why not.
func (s *Store) Ready() error {
	if err := s.Err(); err != nil {
		return err
	}
	if s.opt.Offline {
		return nil
	}
	for _, src := range s.sources {
		for _, p := range src.all() {
			if at := p.reached(); at < p.behind {
				return fmt.Errorf("re-reading %s/%d: at %d of %d", src.plan.Name, p.num, at, p.behind)
			}
		}
	}
	failpoint.Hit(failpoint.Ready)
	return nil
}

// reread notes the moment in which all that heads had seen before the start has been read again.
func (s *Store) reread() {
	if s.Ready() == nil && s.rereading.CompareAndSwap(true, false) {
		s.log.Info("re-read what was not flushed: answers are as new as before the stop",
			"seconds", float64(s.opt.Now().Sub(s.opened))/float64(event.Second))
	}
}

// Stalled tells why nothing is consumed though there may be something to read; empty: nothing holds it.
func (s *Store) Stalled() string {
	if s.work.full.Load() {
		return "the disk is full: consuming stops until it has room"
	}
	return ""
}

// Stats reads all counters.
func (s *Store) Stats() Stats {
	out := Stats{State: s.st.Stats(), Memory: s.memory(), Latest: event.MinTime}
	type fed struct{ view, source string }
	place := map[fed]int{}
	for _, v := range s.plan.Views {
		for _, b := range v.Branches() {
			place[fed{v.Name, b.Source.Name}] = len(out.Views)
			out.Views = append(out.Views, ViewStats{Name: v.Name, Source: b.Source.Name})
		}
	}
	for _, src := range s.sources {
		ss := SourceStats{Name: src.plan.Name, DeadDropped: src.deadDropped.Load()}
		for _, p := range src.all() {
			p.mu.Lock()
			m := p.visible
			p.mu.Unlock()
			ss.Read += m.counters.read
			ss.Partitions = append(ss.Partitions, PartitionStats{
				Partition: p.num, Next: m.next, Restart: p.restart.Load(), Watermark: m.watermark, Left: m.left,
			})
			for i, v := range src.views {
				n := &m.counters.views[i]
				vs := &out.Views[place[fed{v.plan.Name, src.plan.Name}]]
				vs.Applied += n[applied]
				vs.Filtered += n[filtered]
				vs.Duplicate += n[duplicate]
				vs.Late += n[late]
				vs.Dead += n[dead]
			}
		}
		for _, v := range src.views {
			vs := &out.Views[place[fed{v.plan.Name, src.plan.Name}]]
			if v.dropped != nil { // of rows that are not seen yet, perhaps: the sum stays
				n := min(v.dropped[src.plan.Index].Load(), vs.Applied)
				vs.Applied -= n
				vs.Duplicate += n
			}
			vs.Horizon = horizon(v.view, v.watermark(newestWatermark))
			vs.Overflows = s.overflows[v.id].Load()
		}
		out.Latest = max(out.Latest, event.Time(src.latest.Load()))
		out.Sources = append(out.Sources, ss)
	}
	for _, sh := range s.shards {
		out.Dirty += sh.unsaved.Load()
		out.Heads += sh.count.Load()
		out.Misses += sh.misses.Load()
	}
	out.Stored, out.Sweeping = s.stored()
	return out
}
