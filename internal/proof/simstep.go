package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// step is one thing that happens.
func (s *Sim) step(ctx context.Context) error {
	switch n := s.rng.IntN(100); {
	case n < 25:
		s.produce()
		return nil
	case n < 63:
		return s.poll(ctx)
	case n < 70:
		return s.flush(ctx)
	case n < 78:
		return s.sweep(ctx)
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
	case n < 95:
		return s.hold(ctx)
	case n < 96 && s.rng.IntN(25) == 0:
		return s.fillDisk(ctx)
	}
	return s.Check(ctx, 1)
}

// produce appends records to the log. The broker's timestamp is missing now and then, or of a clock that is
// ahead.
func (s *Sim) produce() {
	n := min(1+s.rng.IntN(30), len(s.todo))
	for _, r := range s.todo[:n] {
		l := s.log(r)
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
			l.end = l.room(s.todo[n:])
		}
	}
	s.todo = s.todo[n:]
	s.say("%d records produced", n)
}

// log is the partition of a record.
func (s *Sim) log(r oracle.Record) *simLog {
	for _, l := range s.logs {
		if l.src.Index == r.Source && l.num == r.Partition {
			return l
		}
	}
	panic("proof: a record of no partition")
}

// room is an end of the log at or before the next record of the partition.
func (l *simLog) room(rest []oracle.Record) int64 {
	for _, r := range rest {
		if r.Source == l.src.Index && r.Partition == l.num {
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
	s.say("%s: %d records, up to %d", l, len(batch), end)
	if atEnd && len(batch) == 0 && s.now().Sub(l.last) >= l.src.Idle {
		l.part.Leave()
		s.say("%s left", l)
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

// sweep lets the sweeper walk through all that is stored.
func (s *Sim) sweep(ctx context.Context) error {
	before := s.store.Stats().Stored
	if err := s.store.Sweep(ctx); err != nil {
		return err
	}
	s.say("swept")
	for i, v := range s.store.Stats().Stored {
		if n := v.Trimmed - before[i].Trimmed; n > 0 {
			s.say("%d rows were trimmed", n)
			if s.plan.View(v.View).Dedupe != nil {
				s.say("copies were trimmed")
			}
		}
	}
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
func (s *Sim) known() (out []oracle.Record) {
	for _, l := range s.logs {
		for _, r := range l.records {
			if r.Offset < l.next {
				out = append(out, r.Record)
			}
		}
	}
	return out
}

// Check compares counts, dead letters and answers with the oracle's over the records handed over so far.
func (s *Sim) Check(ctx context.Context, questionsOfEach int) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	records := s.known()
	whole := s.whole(records)
	if len(s.lost) > 0 {
		return s.checkLost(ctx, whole, s.store.Stats())
	}
	var behind *simLog // durable heads had seen more of it than was re-read so far
	for _, l := range s.logs {
		if l.next < l.behind {
			behind = l
		}
	}
	if err := checkCounts(s.store, whole, records, behind == nil); err != nil {
		return err
	}
	switch ready := s.store.Ready(); {
	case behind != nil && ready == nil:
		return fmt.Errorf("ready, and %s is at %d of %d", behind, behind.next, behind.behind)
	case behind != nil:
		return nil
	case ready != nil:
		return fmt.Errorf("all is re-read: %w", ready)
	}
	if err := s.checkDead(whole); err != nil {
		return err
	}
	readers := []reader{s.store.NewReader()}
	if s.rng.IntN(3) == 0 {
		cut, err := s.store.Cut(ctx)
		if err != nil {
			return err
		}
		defer cut.Close()
		readers = append(readers, cut.NewReader())
	}
	for _, x := range whole.Views {
		ask := Questions(s.rng, x, questionsOfEach)
		for _, r := range readers {
			if err := check(ctx, s.store, r, whole, x, ask); err != nil {
				return err
			}
		}
		s.note(x, ask)
	}
	s.say("checked %d records", len(records))
	return nil
}

// checkLost: after a loss answers are incomplete, and the counts still add up to what was read.
func (s *Sim) checkLost(ctx context.Context, whole *oracle.Whole, stats feature.Stats) error {
	read := map[string]int64{}
	for _, src := range stats.Sources {
		read[src.Name] = src.Read
	}
	for _, v := range stats.Views {
		if sum := v.Applied + v.Filtered + v.Duplicate + v.Late + v.Dead; sum != read[v.Source] {
			return fmt.Errorf("view %s: outcomes add up to %d of %d records of %s", v.Name, sum, read[v.Source], v.Source)
		}
	}
	var out feature.Vector
	for _, x := range whole.Views {
		sel, err := s.store.Select(feature.Selection{View: x.View.Name})
		if err != nil {
			return err
		}
		lost := slices.ContainsFunc(x.View.Branches(), func(b *pipeline.Branch) bool { return s.lost[b.Source.Name] })
		for _, q := range Questions(s.rng, x, 2) {
			if err := s.store.NewReader().Read(ctx, sel, q.Key, nil, feature.Instant{AsOf: q.AsOf}, &out); err != nil {
				return err
			}
			for j, st := range out.Status {
				if lost && st != feature.Incomplete && st != feature.BeforeHistory {
					return fmt.Errorf("%s of %s is %s after a loss", sel.Columns[j].Name, q, st)
				}
			}
		}
	}
	s.say("checked that answers are incomplete")
	return nil
}

// checkDead: every dead or late record is stored once, or was sent once at least.
func (s *Sim) checkDead(whole *oracle.Whole) error {
	want := map[string]bool{}
	for _, x := range whole.Views {
		for i, b := range x.View.Branches() {
			for _, v := range x.Feeds[i].Verdicts {
				switch {
				case v.Outcome == oracle.Late, v.Outcome == oracle.Dead && v.Reason == "key":
					want[letter(b.Source.Name, v.Partition, v.Offset, x.View.Name)] = true
				case v.Outcome == oracle.Dead:
					want[letter(b.Source.Name, v.Partition, v.Offset, "")] = true
				}
			}
		}
	}
	got := map[string]int{}
	if s.sink != nil {
		got = s.sink.flushed
	} else if err := s.store.StoredDead(func(d *feature.DeadLetter) error {
		got[letter(d.Source, d.Partition, d.Offset, d.View)]++
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
