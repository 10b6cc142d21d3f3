package stream

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// batch hands over the records of b. What cannot be read of it is dead-lettered, offset by offset:
// the header's range stands even where the records do not.
func (k *kafkaPartition) batch(ctx context.Context, b *batch, a *answer) error {
	defer k.dz.release()
	data, err := k.dz.decode(b.codec(), b.payload)
	if err != nil {
		return k.deadRange(ctx, b, k.next, a, err)
	}
	var r recordReader
	var rec record
	for r.reset(b, data); ; {
		ok, err := r.next(&rec)
		if err != nil {
			return k.deadRange(ctx, b, r.prev+1, a, err)
		}
		if !ok {
			break
		}
		if rec.offset < k.next {
			continue
		}
		if err := k.record(ctx, &rec, a); err != nil {
			return err
		}
		if k.pending >= chunkRecords {
			if err := k.end(ctx, false); err != nil {
				return err
			}
			k.st.at(k.next, a.res.readable())
		}
	}
	k.next = b.last() + 1
	return nil
}

// deadRange counts the offsets of b from from on as dead.
func (k *kafkaPartition) deadRange(ctx context.Context, b *batch, from int64, a *answer, why error) error {
	from = max(from, k.next, b.base)
	if b.last()-from >= maxDeadRange {
		return waitError(fmt.Sprintf("%s/%d: the batch of offsets %d to %d cannot be read (%v) and is too long to be dead-lettered",
			k.s.src.Kafka.Topic, k.n, b.base, b.last(), why))
	}
	detail := fmt.Sprintf("batch of offsets %d to %d: %v", b.base, b.last(), why)
	for o := from; o <= b.last(); o++ {
		rec := record{offset: o, millis: b.maxTime}
		if err := k.fill(&rec, a); err != nil {
			return err
		}
		if err := k.dead(ctx, "batch", detail); err != nil {
			return err
		}
	}
	k.next = b.last() + 1
	return nil
}

// record decodes one record and hands it over.
func (k *kafkaPartition) record(ctx context.Context, rec *record, a *answer) error {
	if err := k.fill(rec, a); err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		v := k.dec.decode(ctx, rec.value)
		switch {
		case v.wait == "" && v.reason == "":
			if attempt > 0 {
				k.st.wait("")
			}
			k.rec.Slots = k.dec.slots
			k.h.Add(&k.rec)
			k.count()
			return nil
		case v.wait == "":
			if attempt > 0 {
				k.st.wait("")
			}
			return k.dead(ctx, v.reason, v.detail)
		}
		if attempt == 0 { // what came before is servable meanwhile
			if err := k.end(ctx, false); err != nil {
				return err
			}
		}
		k.st.wait(v.wait)
		if !k.s.r.back.pause(ctx, attempt) {
			return ctx.Err()
		}
	}
}

// fill sets all of k.rec but its slots.
func (k *kafkaPartition) fill(rec *record, a *answer) error {
	f := &k.rec
	f.Offset, f.Key, f.Value = rec.offset, rec.key, rec.value
	f.Timestamp = timestamp(rec.millis)
	f.CRC = checksum(rec.key, rec.value)
	var err error
	f.Arrival, err = k.arrival(f.Offset, f.Timestamp, a)
	return err
}

func (k *kafkaPartition) dead(ctx context.Context, reason, detail string) error {
	k.h.Dead(&k.rec, reason, detail)
	k.count()
	if k.pending >= chunkRecords {
		return k.end(ctx, false)
	}
	return nil
}

// count notes that k.rec was handed over.
func (k *kafkaPartition) count() {
	k.last = feature.Seen{Offset: k.rec.Offset, Timestamp: k.rec.Timestamp, CRC: k.rec.CRC}
	k.haveLast = true
	k.next = k.rec.Offset + 1
	k.pending++
}

// timestamp is a record's time; -1 is none.
func timestamp(millis int64) event.Time {
	switch {
	case millis < 0:
		return event.MinTime
	case millis > int64(event.MaxTime)/1000:
		return event.MaxTime
	}
	return event.Time(millis * 1000)
}

// checksum is the CRC-32C of key and value, by which a record is recognised.
func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// arrival is when the record at offset arrived: its timestamp, or, where that is missing or later than
// its first fetch, the time of that fetch. The wall clock's verdict is made durable for the rest of
// the answer before any record under it is handed over, so that a replay repeats it.
func (k *kafkaPartition) arrival(offset int64, ts event.Time, a *answer) (event.Time, error) {
	for len(k.arrivals) > 0 && k.arrivals[0].To <= offset {
		k.arrivals = k.arrivals[1:]
	}
	if len(k.arrivals) > 0 && k.arrivals[0].From <= offset {
		if t := k.arrivals[0].Time; ts == event.MinTime || ts > t {
			return t, nil
		}
		return ts, nil
	}
	// What durable heads had seen without a verdict arrived by its timestamp, though the clock may have been
	// set back since.
	if ts != event.MinTime && (ts <= a.now || offset < k.behind) {
		return ts, nil
	}
	v := feature.Arrival{From: offset, To: a.next, Time: a.now}
	if len(k.arrivals) > 0 {
		v.To = min(v.To, k.arrivals[0].From)
	}
	if err := k.h.StoreArrival(v); err != nil {
		return 0, &stopError{fmt.Errorf("store an arrival: %w", err)}
	}
	k.arrivals = append([]feature.Arrival{v}, k.arrivals...)
	return v.Time, nil
}

// abortedSet tells which producers' batches belong to aborted transactions, walking the log upwards.
type abortedSet struct {
	list []aborted // by first offset
	open map[int64]bool
}

// upTo opens the aborted transactions that begin at offset or before.
func (s *abortedSet) upTo(offset int64) {
	for len(s.list) > 0 && s.list[0].first <= offset {
		if s.open == nil {
			s.open = map[int64]bool{}
		}
		s.open[s.list[0].producer] = true
		s.list = s.list[1:]
	}
}

// end closes a producer's aborted transaction at its marker.
func (s *abortedSet) end(producer int64) { delete(s.open, producer) }
