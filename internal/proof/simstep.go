package proof

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
)

// step is one thing that happens.
func (s *Sim) step(ctx context.Context) error {
	switch n := s.rng.IntN(100); {
	case n < 25:
		s.produce()
		return nil
	case n < 65:
		return s.poll(ctx)
	case n < 78:
		return s.flush(ctx)
	case n < 84:
		s.tick()
		return nil
	case n < 89:
		left := s.rng.IntN(6)
		s.st.set(func() { s.st.left = left })
		s.say("a crash is due in %d commits", left)
		return nil
	case n < 92:
		return s.restart(ctx, s.rng.IntN(2) == 0)
	case n < 93 && s.rng.IntN(25) == 0:
		return s.fillDisk(ctx)
	}
	return s.Check(ctx, 1)
}

// produce appends records to the log. The broker's timestamp is missing now and then, or of a clock that is
// ahead.
func (s *Sim) produce() {
	n := min(1+s.rng.IntN(30), len(s.todo))
	for _, r := range s.todo[:n] {
		l := s.logs[r.Partition]
		x := simRecord{Record: r, timestamp: r.Arrival}
		switch s.rng.IntN(20) {
		case 0:
			x.timestamp = event.MinTime
		case 1:
			x.timestamp = r.Arrival.Add(event.Duration(s.rng.Int64N(int64(2 * event.Hour))))
		}
		s.set(max(s.now(), r.Arrival.Add(-event.Duration(s.rng.Int64N(int64(event.Second))))))
		l.records = append(l.records, x)
		l.end = r.Offset + 1
		if s.rng.IntN(10) == 0 { // the marker of a transaction, where the next record leaves room
			l.end = l.room(s.todo[n:], r.Partition)
		}
	}
	s.todo = s.todo[n:]
	s.say("%d records produced", n)
}

// room is an end of the log at or before the next record of the partition.
func (l *simLog) room(rest []oracle.Record, num int32) int64 {
	for _, r := range rest {
		if r.Partition == num {
			return r.Offset
		}
	}
	return l.end + 3
}

// tick lets the clock jump: forward by up to two days, or back.
func (s *Sim) tick() {
	d := event.Duration(s.rng.Int64N(int64(pick(s.rng, []event.Duration{event.Second, 2 * event.Minute, event.Hour, 2 * event.Day}))))
	if s.rng.IntN(3) == 0 {
		d = -d / 4
	}
	s.set(s.now().Add(d))
	s.say("the clock says %s", s.now())
}

// poll reads a batch of one partition and hands it over, or notices that there is nothing.
func (s *Sim) poll(ctx context.Context) error {
	l := pick(s.rng, s.logs)
	from := sort.Search(len(l.records), func(i int) bool { return l.records[i].Offset >= l.next })
	to := min(from+1+s.rng.IntN(40), len(l.records))
	batch := l.records[from:to]
	end := l.end
	if to < len(l.records) {
		end = l.records[to-1].Offset + 1
	}
	for i := range batch {
		r := &batch[i]
		if err := s.decide(l, r, end); err != nil {
			return err
		}
		rec := feature.Record{Offset: r.Offset, Timestamp: r.timestamp, Arrival: r.Arrival, Slots: r.Slots, Value: []byte("raw")}
		if r.Dead != "" {
			l.part.Dead(&rec, r.Dead, "")
		} else {
			l.part.Add(&rec)
		}
	}
	if len(batch) > 0 {
		l.last = s.now()
	}
	atEnd := end == l.end
	if err := l.part.End(ctx, end, atEnd); err != nil {
		return err
	}
	l.next = end
	s.say("partition %d: %d records, up to %d", l.num, len(batch), end)
	if atEnd && len(batch) == 0 && s.now().Sub(l.last) >= s.plan.Sources[0].Idle {
		l.part.Leave()
		s.say("partition %d left", l.num)
	}
	return nil
}

// decide tells when a record arrived, as the reader of a topic does: by its timestamp, or where that is
// missing or later than the clock by the clock, and then that is stored first, up to the end of the batch.
func (s *Sim) decide(l *simLog, r *simRecord, end int64) error {
	r.decided = true
	for _, a := range l.arrivals {
		if a.From <= r.Offset && r.Offset < a.To {
			r.Arrival = a.Time
			if r.timestamp != event.MinTime {
				r.Arrival = min(r.timestamp, a.Time)
			}
			return nil
		}
	}
	if r.timestamp != event.MinTime && (r.timestamp <= s.now() || r.Offset < l.behind) {
		r.Arrival = r.timestamp
		return nil
	}
	a := feature.Arrival{From: r.Offset, To: end, Time: s.now()}
	for _, b := range l.arrivals {
		if b.From > r.Offset {
			a.To = min(a.To, b.From)
		}
	}
	if err := l.part.StoreArrival(a); err != nil {
		return err
	}
	l.arrivals = append(l.arrivals, a)
	r.Arrival = a.Time
	return nil
}

// flush makes all durable that was handed over.
func (s *Sim) flush(ctx context.Context) error {
	if err := s.store.Flush(ctx); err != nil {
		return err
	}
	for _, v := range s.store.Stats().Views {
		s.durable[v.Name] = v.Horizon
	}
	s.say("flushed")
	return nil
}

// fillDisk lets the disk be full for a while: nothing can be made durable, who wants a cut hears of it, and
// nothing is lost.
func (s *Sim) fillDisk(ctx context.Context) error {
	if err := s.poll(ctx); err != nil {
		return err
	}
	s.st.set(func() { s.st.full = true })
	cut, err := s.store.Cut(ctx)
	s.st.set(func() { s.st.full = false })
	if err == nil {
		cut.Close() // nothing was to be made durable
	} else if !errors.Is(err, feature.ErrDiskFull) && !errors.Is(err, errCrash) {
		return fmt.Errorf("a cut while the disk is full: %w", err)
	}
	s.say("the disk was full")
	return s.flush(ctx)
}

// known lists the records handed over, as they arrived.
func (s *Sim) known() (out []oracle.Record, total int) {
	for _, l := range s.logs {
		for _, r := range l.records {
			if r.Offset < l.next {
				out = append(out, r.Record)
			}
		}
	}
	return out, len(out)
}

// Check compares counts, dead letters and answers with the oracle's over the records handed over so far.
func (s *Sim) Check(ctx context.Context, questionsOfEach int) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	records, n := s.known()
	ins := byView(s.plan, records)
	stats := s.store.Stats()
	for i := range ins {
		for _, v := range stats.Views {
			if v.Name == ins[i].View.Name {
				// Partitions leave by the clock: what is asked is only that it does not move back.
				ins[i].Horizon = v.Horizon
			}
		}
	}
	if s.lost {
		return s.checkLost(ctx, ins, stats)
	}
	if err := checkCounts(s.store, ins, n); err != nil {
		return err
	}
	ready := s.store.Ready()
	for _, l := range s.logs {
		if l.next < l.behind { // durable heads had seen more than was re-read so far
			if ready == nil {
				return fmt.Errorf("ready, and partition %d is at %d of %d", l.num, l.next, l.behind)
			}
			return nil
		}
	}
	if ready != nil {
		return fmt.Errorf("all is re-read: %w", ready)
	}
	if err := s.checkDead(ins); err != nil {
		return err
	}
	for i := range ins {
		ask := questions(s.rng, &ins[i], questionsOfEach)
		if err := check(ctx, s.store, s.store.NewReader(), &ins[i], ask); err != nil {
			return err
		}
	}
	s.say("checked %d records", n)
	return nil
}

// checkLost: after a loss answers are incomplete, and the counts still add up to what was read.
func (s *Sim) checkLost(ctx context.Context, ins []oracle.Ingested, stats feature.Stats) error {
	for _, v := range stats.Views {
		if sum := v.Applied + v.Filtered + v.Duplicate + v.Late + v.Dead; sum != stats.Sources[0].Read {
			return fmt.Errorf("view %s: outcomes add up to %d of %d records", v.Name, sum, stats.Sources[0].Read)
		}
	}
	var out feature.Vector
	for i := range ins {
		sel, err := s.store.Select(feature.Selection{View: ins[i].View.Name})
		if err != nil {
			return err
		}
		for _, q := range questions(s.rng, &ins[i], 2) {
			if err := s.store.NewReader().Read(ctx, sel, q.Key, nil, feature.Instant{AsOf: q.AsOf}, &out); err != nil {
				return err
			}
			for j, st := range out.Status {
				if st != feature.Incomplete && st != feature.BeforeHistory {
					return fmt.Errorf("%s of %s is %s after a loss", sel.Columns[j].Name, q, st)
				}
			}
		}
	}
	s.say("checked that answers are incomplete")
	return nil
}

// checkDead: every dead or late record is stored once, or was sent once at least.
func (s *Sim) checkDead(ins []oracle.Ingested) error {
	want := map[string]bool{}
	for _, in := range ins {
		for _, v := range in.Verdicts {
			switch {
			case v.Outcome == oracle.Late, v.Outcome == oracle.Dead && v.Reason == "key":
				want[letter(v.Partition, v.Offset, in.View.Name)] = true
			case v.Outcome == oracle.Dead:
				want[letter(v.Partition, v.Offset, "")] = true
			}
		}
	}
	got := map[string]int{}
	if s.sink != nil {
		got = s.sink.flushed
	} else if err := s.store.StoredDead(func(d *feature.DeadLetter) error {
		got[letter(d.Partition, d.Offset, d.View)]++
		return nil
	}); err != nil {
		return err
	}
	for l := range want {
		if got[l] == 0 {
			return fmt.Errorf("no dead letter of %s", l)
		}
	}
	for l, n := range got {
		if s.sink == nil && n > 1 {
			return fmt.Errorf("%d dead letters of %s", n, l)
		}
		if !want[l] && s.sink == nil {
			return fmt.Errorf("a dead letter of %s, which is not dead", l)
		}
	}
	return nil
}
