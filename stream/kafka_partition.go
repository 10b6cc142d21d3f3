package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

const (
	chunkRecords = 1024                   // handed over together at most
	fetchWait    = 500 * time.Millisecond // a broker answers an empty fetch after
	maxDeadRange = 1 << 20                // offsets of one unreadable batch that are dead-lettered
)

// kafkaPartition reads one partition of a topic.
type kafkaPartition struct {
	s     *kafkaSource
	n     int32
	h     partition
	st    *partitionStatus
	added bool // to a topic that was read before: from its start

	located  bool
	next     int64        // next to hand over
	last     feature.Seen // newest record handed over, or that durable state rests on
	haveLast bool
	skip     int64 // loss was accepted: the log must reach this offset first
	arrivals []feature.Arrival
	behind   int64 // offsets below it had been handed over when reading began

	dz      *decompressor
	dec     *decoder
	rec     feature.Record
	pending int   // records since the last End
	ended   int64 // position of the last End
	atEnd   bool  // as told to the last End

	lastRecord event.Time // when records were last handed over, by the machine's clock
	left       bool
}

func (s *kafkaSource) newPartition(n int32, added bool) *kafkaPartition {
	return &kafkaPartition{
		s: s, n: n, added: added, ended: -1,
		h:  s.r.store.partition(s.src, n),
		st: s.st.partition(n, ""),
		dz: newDecompressor(s.r.cfg.BatchLimit, s.big), dec: s.dec.decoder(),
	}
}

// stopError is an error that no waiting mends.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

// waitError is why reading cannot go on just now, in words for the status.
type waitError string

func (e waitError) Error() string { return string(e) }

// run reads the partition until ctx ends. The error is one that waiting does not mend.
func (k *kafkaPartition) run(ctx context.Context) error {
	defer k.dz.close()
	for attempt := 0; ; attempt++ {
		before := k.next
		err := k.locate(ctx)
		if err == nil {
			err = k.stream(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		var stop *stopError
		if errors.As(err, &stop) {
			return stop.err
		}
		if k.next != before {
			attempt = 0
		}
		k.st.wait(k.explain(err))
		if !k.s.r.back.pause(ctx, attempt) {
			return nil
		}
	}
}

func (k *kafkaPartition) explain(err error) string {
	var wait waitError
	var magic *magicError
	switch {
	case errors.As(err, &wait):
		return string(wait)
	case errors.As(err, &magic), errors.Is(err, errChecksum), errors.Is(err, errMalformed):
		return fmt.Sprintf("%s/%d: %s", k.s.src.Kafka.Topic, k.n, err)
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return k.s.missing()
	}
	return k.s.cluster.explain(err)
}

// answer is what the fetching goroutine hands to the one that processes.
type answer struct {
	res  *fetchResponse
	next int64      // behind the last whole batch
	now  event.Time // when it was fetched
	err  error
}

// stream fetches and processes until an error; one answer is fetched ahead.
func (k *kafkaPartition) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	answers, free := make(chan answer), make(chan []byte, 2)
	free <- nil
	free <- nil
	from := k.next
	wg.Go(func() { k.fetchAhead(ctx, from, answers, free) })
	if k.lastRecord == 0 {
		k.lastRecord = k.s.r.now()
	}
	for {
		var a answer
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a = <-answers:
		}
		if a.err != nil {
			return a.err
		}
		if err := k.process(ctx, &a); err != nil {
			return err
		}
		k.st.wait("")
		free <- a.res.buf
	}
}

// fetchAhead fetches from offset on, until ctx ends or an error, which is the last answer.
func (k *kafkaPartition) fetchAhead(ctx context.Context, offset int64, answers chan<- answer, free <-chan []byte) {
	ask := k.s.bytes
	var buf []byte
	reuse := false
	for {
		if !reuse {
			select {
			case <-ctx.Done():
				return
			case buf = <-free:
			}
			if cap(buf) > 4*k.s.bytes {
				buf = nil // of an oversized batch
			}
		}
		a := k.fetchOnce(ctx, offset, ask, buf)
		if reuse = a.err == nil && a.next < 0; reuse {
			// A cut-off batch alone: brokers before KIP-74 must be asked for more.
			if ask *= 2; ask > 2*k.s.r.cfg.BatchLimit {
				a.err = waitError(fmt.Sprintf("the batch at offset %d is larger than %d bytes", offset, ask/2))
			} else {
				buf = a.res.buf
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case answers <- a:
		}
		if a.err != nil {
			return
		}
		offset, ask = a.next, k.s.bytes
	}
}

// fetchOnce fetches once. next is -1 if the answer holds no whole batch though it holds bytes.
func (k *kafkaPartition) fetchOnce(ctx context.Context, offset int64, ask int, buf []byte) answer {
	res, err := k.s.cluster.fetch(ctx, &fetchRequest{
		topic: k.s.src.Kafka.Topic, partition: k.n, offset: offset,
		isolation: readCommitted, maxBytes: int32(ask), maxWait: fetchWait,
		limit: 2*k.s.r.cfg.BatchLimit + ask + 1<<20, buf: buf,
	})
	if err != nil {
		return answer{err: err}
	}
	if res.code != 0 {
		return answer{err: res.code}
	}
	if f := k.s.r.cfg.Observe.Fetched; f != nil && len(res.set) > 0 {
		f(k.s.src.Name, len(res.set))
	}
	a := answer{res: res, next: offset, now: k.s.r.now()}
	if len(res.set) == 0 {
		return a
	}
	next, whole, err := nextOffset(res.set)
	switch {
	case whole > 0 && next > offset:
		a.next = next // an error behind whole batches comes back at the head of the next fetch
	case err != nil:
		a.err = err
	case whole > 0:
		a.err = waitError(fmt.Sprintf("the broker answers offset %d with records that end at %d", offset, next))
	default:
		a.next = -1
	}
	return a
}

// process hands over one answer.
func (k *kafkaPartition) process(ctx context.Context, a *answer) error {
	slices.SortFunc(a.res.aborted, func(x, y aborted) int { return cmp.Compare(x.first, y.first) })
	txn := abortedSet{list: a.res.aborted}
	before := k.next
	var b batch
	for set := a.res.set; len(set) > 0; {
		rest, err := nextBatch(set, &b)
		if err != nil {
			break // cut off, or judged when it heads an answer
		}
		set = rest
		if !b.checksumFits() {
			return fmt.Errorf("%w: at offset %d", errChecksum, b.base)
		}
		txn.upTo(b.last())
		switch {
		case b.last() < k.next:
		case b.control():
			if abortMarker(&b) {
				txn.end(b.producer)
			}
			k.next = b.last() + 1
		case b.transactional() && txn.open[b.producer]:
			k.next = b.last() + 1
		default:
			if err := k.batch(ctx, &b, a); err != nil {
				return err
			}
		}
	}
	end := a.res.readable()
	return k.finish(ctx, end, a.now, k.next != before)
}

// finish ends an answer: it hands over what is left and looks whether the partition is idle.
func (k *kafkaPartition) finish(ctx context.Context, end int64, now event.Time, moved bool) error {
	atEnd := k.next >= end
	if k.pending > 0 || k.next != k.ended || atEnd != k.atEnd {
		if err := k.end(ctx, atEnd); err != nil {
			return err
		}
	}
	k.st.at(k.next, end)
	if moved {
		k.lastRecord, k.left = now, false
	} else if atEnd && !k.left && now.Sub(k.lastRecord) >= k.s.src.Idle {
		k.h.Leave()
		k.left = true
	}
	return nil
}

// end hands over what was added.
func (k *kafkaPartition) end(ctx context.Context, atEnd bool) error {
	if err := k.h.End(ctx, k.next, atEnd); err != nil {
		return &stopError{err}
	}
	if f := k.s.r.cfg.Observe.Batch; f != nil && k.pending > 0 {
		f(k.s.src.Name, k.pending)
	}
	k.pending, k.ended, k.atEnd = 0, k.next, atEnd
	return nil
}
