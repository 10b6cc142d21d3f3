package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Reread reads the records of a source again, from where it begins up to the offsets of until (next to read, by
// partition), and counts nothing. take is told each record of a partition in the order of offsets, with the
// arrival that it had, and why it is dead if it does not decode; it keeps nothing of it, and is never called
// twice at a time. first are the offsets that reading began at: what lies below is not in the log any more.
// cfg needs Plan, and Store as far as verdicts of the clock are to be those that were stored.
//
// A source with `start: latest` cannot be read again: where it began is not known.
func Reread(ctx context.Context, cfg Config, src *pipeline.Source, until map[int32]int64, take func(partition int32, r *feature.Record, dead string)) (first map[int32]int64, err error) {
	if src.Kafka != nil && src.Kafka.Start.Latest {
		return nil, fmt.Errorf("read source %s again: it began at `start: latest`, wherever that was", src.Name)
	}
	own := *src
	if src.Kafka != nil { // nothing is shown to the group
		k := *src.Kafka
		k.Group = ""
		own.Kafka = &k
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	st := &rereadStore{from: cfg.Store, src: src, until: until, take: take, done: func() { cancel(errReread) }, left: map[int32]bool{}, first: map[int32]int64{}}
	for n, next := range until {
		if next > 0 {
			st.left[n] = true
		}
	}
	if len(st.left) == 0 {
		return st.first, nil
	}
	r := newRunner(cfg, st)
	err = r.runSource(ctx, &own, r.sources[src.Index])
	if err == nil || errors.Is(context.Cause(ctx), errReread) {
		err = st.missing()
	}
	if err != nil {
		return nil, fmt.Errorf("read source %s again: %w", src.Name, err)
	}
	return st.first, nil
}

// errReread ends reading once all that is wanted is read.
var errReread = errors.New("all is read again")

// rereadStore hands records on instead of counting them.
type rereadStore struct {
	from  *feature.Store
	src   *pipeline.Source
	until map[int32]int64
	take  func(partition int32, r *feature.Record, dead string)
	done  func()

	mu    sync.Mutex
	left  map[int32]bool  // partitions that are not read up to their end
	first map[int32]int64 // by partition that reading has begun in
	short error           // why the end of one cannot be reached
}

func (s *rereadStore) partition(_ *pipeline.Source, n int32) partition { return &reread{s: s, n: n} }
func (s *rereadStore) restarts(*pipeline.Source) map[int32]int64       { return nil }
func (s *rereadStore) failed() <-chan struct{}                         { return nil }
func (s *rereadStore) err() error                                      { return nil }

// missing tells why not all was read.
func (s *rereadStore) missing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.short == nil && len(s.left) > 0 {
		for n := range s.left {
			return fmt.Errorf("partition %d is gone, which was counted up to %d", n, s.until[n])
		}
	}
	return s.short
}

// reread is a partition that is read again.
type reread struct {
	s *rereadStore
	n int32
}

func (p *reread) Next() (int64, bool)                { return 0, false }
func (p *reread) Seen() (feature.Seen, bool)         { return feature.Seen{}, false }
func (p *reread) StoreArrival(feature.Arrival) error { return nil }
func (p *reread) Meta() string                       { return "" }
func (p *reread) SetMeta(string)                     {}
func (p *reread) Leave()                             {}
func (p *reread) Lost(int64, int64) error            { return nil }

func (p *reread) Arrivals() []feature.Arrival {
	if _, ok := p.s.until[p.n]; !ok || p.s.from == nil {
		return nil // nothing was counted of it
	}
	return p.s.from.Partition(p.s.src, p.n).Arrivals()
}

func (p *reread) Add(r *feature.Record) { p.hand(r, "") }

func (p *reread) Dead(r *feature.Record, reason, _ string) { p.hand(r, reason) }

func (p *reread) hand(r *feature.Record, dead string) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.begin(r.Offset)
	if r.Offset < p.s.until[p.n] {
		p.s.take(p.n, r, dead)
	}
}

func (p *reread) begin(at int64) {
	if _, ok := p.s.first[p.n]; !ok {
		p.s.first[p.n] = at
	}
}

func (p *reread) End(_ context.Context, next int64, atEnd bool) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	until, wanted := p.s.until[p.n]
	p.begin(next)
	switch {
	case !wanted:
		return nil
	case next >= until:
		delete(p.s.left, p.n)
	case atEnd && p.s.short == nil:
		p.s.short = fmt.Errorf("partition %d ends at offset %d, and was counted up to %d", p.n, next, until)
	}
	if len(p.s.left) == 0 || p.s.short != nil {
		p.s.done()
	}
	return nil
}
