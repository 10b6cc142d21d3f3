package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

// confirmations are how often a log that ends too early is asked again before it is believed: after
// a change of leaders an end may be told too low for a moment.
const confirmations = 3

// locate finds where to read on, and proves that the log still is the one that was read before: at
// the start, and again after every interruption.
func (k *kafkaPartition) locate(ctx context.Context) error {
	topic := k.s.src.Kafka.Topic
	start, end, err := k.s.cluster.bounds(ctx, topic, k.n)
	if err != nil {
		return err
	}
	if !k.located {
		if err := k.begin(ctx, start, end); err != nil {
			return err
		}
	}
	if k.skip > 0 {
		if end < k.skip {
			return waitError(fmt.Sprintf("%s/%d ends at offset %d, and offsets below %d were counted before: waiting for the log to pass them", topic, k.n, end, k.skip))
		}
		k.skip = 0
	}
	loss, err := k.inspect(ctx, start, end)
	if err != nil || loss == nil {
		return err
	}
	if !k.s.r.cfg.AcceptLoss {
		return &stopError{loss}
	}
	return k.accept(ctx, loss)
}

// begin takes up what is stored, or else the `start:` policy.
func (k *kafkaPartition) begin(ctx context.Context, start, end int64) error {
	next, stored := k.h.Next()
	seen, haveSeen := k.h.Seen()
	switch {
	case stored || haveSeen:
		k.next, k.last, k.haveLast = next, seen, haveSeen
		if !stored {
			k.next = start // heads were flushed, no checkpoint was: read again from where it began
		}
		k.arrivals = k.h.Arrivals()
		if haveSeen {
			k.behind = seen.Offset + 1
		}
	case k.added:
		k.next = start
	case k.s.src.Kafka.Start.Latest:
		k.next = end
	case k.s.src.Kafka.Start.At != event.MinTime:
		millis := k.s.src.Kafka.Start.At
		at, err := k.s.cluster.offset(ctx, k.s.src.Kafka.Topic, k.n, max(ceilMillis(millis), 0))
		if err != nil {
			return err
		}
		if k.next = at; at < 0 {
			k.next = end
		}
	default:
		k.next = start
	}
	k.located = true
	if !stored {
		return k.end(ctx, k.next >= end) // where it began is kept, even if no record comes
	}
	return nil
}

// ceilMillis is the first millisecond that is not before t.
func ceilMillis(t event.Time) int64 {
	ms := int64(t) / 1000
	if int64(t)%1000 > 0 {
		ms++
	}
	return ms
}

// inspect compares the log, which now spans [start, end), with what was read of it.
func (k *kafkaPartition) inspect(ctx context.Context, start, end int64) (*LossError, error) {
	loss := &LossError{Source: k.s.src.Name, Topic: k.s.src.Kafka.Topic, Partition: k.n}
	reach := k.next
	if k.haveLast {
		reach = max(reach, k.last.Offset+1)
	}
	for i := 0; end < reach; i++ {
		if i == confirmations {
			loss.From, loss.To = end, reach
			loss.Why = fmt.Sprintf("the log ends at offset %d, and offset %d was read before: it was truncated or re-created", end, reach-1)
			return loss, nil
		}
		if !k.s.r.back.pause(ctx, i) {
			return nil, ctx.Err()
		}
		var err error
		if start, end, err = k.s.cluster.bounds(ctx, k.s.src.Kafka.Topic, k.n); err != nil {
			return nil, err
		}
	}
	if k.haveLast && k.last.Offset >= start {
		same, err := k.same(ctx)
		if err != nil {
			return nil, err
		}
		if !same {
			loss.From, loss.To = min(k.next, k.last.Offset), reach
			loss.Why = fmt.Sprintf("offset %d holds another record than the one that was read: the topic was re-created or truncated", k.last.Offset)
			return loss, nil
		}
	}
	if k.next < start {
		loss.From, loss.To = k.next, start
		loss.Why = fmt.Sprintf("the log starts at offset %d: they were removed before they were read", start)
		return loss, nil
	}
	return nil, nil
}

// same tells whether the newest record that was read still stands where it stood. One that is gone
// though its offset is within the log was compacted away.
func (k *kafkaPartition) same(ctx context.Context) (bool, error) {
	res, err := k.s.cluster.fetch(ctx, &fetchRequest{
		topic: k.s.src.Kafka.Topic, partition: k.n, offset: k.last.Offset, isolation: readUncommitted,
		maxBytes: 1 << 20, maxWait: fetchWait, limit: 2*k.s.r.cfg.BatchLimit + 2<<20,
	})
	if err != nil {
		return false, err
	}
	if res.code != 0 {
		return false, res.code
	}
	var b batch
	if _, err := nextBatch(res.set, &b); err != nil {
		if errors.Is(err, errPartial) && len(res.set) == 0 {
			return true, nil // nothing is left from there on: compacted
		}
		return false, err
	}
	if k.last.Offset < b.base {
		return true, nil
	}
	if !b.checksumFits() {
		return false, fmt.Errorf("%w: at offset %d", errChecksum, b.base)
	}
	if b.control() {
		return false, nil
	}
	defer k.dz.release()
	data, err := k.dz.decode(b.codec(), b.payload)
	if err != nil {
		return k.last.CRC == checksum(nil, nil), nil // it was dead-lettered as unreadable before
	}
	var r recordReader
	var rec record
	for r.reset(&b, data); ; {
		ok, err := r.next(&rec)
		if err != nil || !ok || rec.offset > k.last.Offset {
			return err == nil || k.last.CRC == checksum(nil, nil), nil
		}
		if rec.offset == k.last.Offset {
			return timestamp(rec.millis) == k.last.Timestamp && checksum(rec.key, rec.value) == k.last.CRC, nil
		}
	}
}

// accept marks what is lost and goes on behind it. Positions are identities, so a log that was
// truncated or re-created cannot be read again at offsets which were counted before: reading goes on
// behind the newest of them, and what the log holds below is part of the loss.
func (k *kafkaPartition) accept(ctx context.Context, loss *LossError) error {
	k.s.st.log.Warn("going on over lost records", "partition", k.n, "from", loss.From, "to", loss.To, "why", loss.Why)
	if err := k.h.Lost(loss.From, loss.To); err != nil {
		return &stopError{fmt.Errorf("mark lost records: %w", err)}
	}
	k.next, k.skip, k.haveLast = max(k.next, loss.To), loss.To, false
	return k.end(ctx, false)
}
