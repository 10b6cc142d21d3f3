package feature

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// partitionRecord is the JSON of a partition at its restart offset: all that a replay from there
// needs to come to the same verdicts and counts.
type partitionRecord struct {
	Next      int64              `json:"next"`
	Watermark event.Time         `json:"watermark"`
	Latest    event.Time         `json:"latest"`
	Left      bool               `json:"left,omitempty"`
	Read      int64              `json:"read"`
	Views     map[string][]int64 `json:"views"` // outcomes by view name: applied, filtered, duplicate, late, dead
	Meta      string             `json:"meta,omitempty"`
	Lost      [][2]int64         `json:"lost,omitempty"`
}

// sourceRecord is the JSON of a source: what never moves back.
type sourceRecord struct {
	MinWatermark event.Time `json:"min_watermark"`
	Latest       event.Time `json:"latest"`
}

// records puts the sources' and the partitions' records into the current job, and moves the restart offsets
// on when it is durable. A source's goes first: what it says of the horizon is true of the partitions' marks,
// and of partitions of which nothing is known yet, so that a restart need not guess.
func (c *committer) records(marks []noted) error {
	var moved []noted
	touched := map[*source]bool{}
	for _, x := range marks {
		x.p.mu.Lock()
		if x.p.known && (x.p.durable != x.m || x.p.changed) {
			moved = append(moved, x)
			touched[x.p.src] = true
			x.p.changed = false
		}
		x.p.mu.Unlock()
	}
	for _, src := range c.store.sources {
		if !touched[src] {
			continue
		}
		minWM := event.Time(src.minWM.Load())
		b, err := json.Marshal(sourceRecord{minWM, event.Time(src.latest.Load())})
		if err != nil {
			return err
		}
		if err := c.put([]byte(keySources+src.plan.Name), b); err != nil {
			return err
		}
		c.cur.after = append(c.cur.after, func() { c.store.raiseLimits(src, minWM) })
	}
	for _, x := range moved {
		if err := c.partitionRecord(x.p, x.m); err != nil {
			return err
		}
	}
	return nil
}

// partitionRecord puts the record of p at m into the current job, and deletes the verdicts of the wall clock
// that no replay needs any more.
func (c *committer) partitionRecord(p *Partition, m *mark) error {
	p.mu.Lock()
	var over []Arrival
	for len(p.arrivals) > 0 && p.arrivals[0].To <= m.next {
		over = append(over, p.arrivals[0])
		p.arrivals = p.arrivals[1:]
	}
	p.mu.Unlock()
	p.stored = true
	if err := c.put(partitionKey(keyParts, p.src.plan.Name, p.num), p.record(m)); err != nil {
		return err
	}
	for _, a := range over {
		if err := c.reserve(context.Background(), 100, 1); err != nil {
			return err
		}
		c.cur.batch.Delete(arrivalKey(p, a.From))
	}
	c.cur.after = append(c.cur.after, func() {
		p.restart.Store(m.next)
		p.mu.Lock()
		p.durable = m
		p.mu.Unlock()
	})
	return nil
}

// record encodes what is stored of p at m.
func (p *Partition) record(m *mark) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	rec := partitionRecord{
		Next: m.next, Watermark: m.watermark, Latest: m.latest, Left: m.left, Read: m.counters.read,
		Views: map[string][]int64{}, Meta: p.meta, Lost: p.lost,
	}
	for i, v := range p.src.views {
		n := m.counters.views[i]
		rec.Views[v.plan.Name] = n[:]
	}
	b, err := json.Marshal(rec)
	if err != nil {
		panic(err) // integers and strings
	}
	return b
}

// restore reads what the last checkpoint stored.
func (s *Store) restore() error {
	snap := s.snap.acquire()
	defer s.snap.release(snap)
	for _, src := range s.sources {
		if err := s.restoreSource(snap, src); err != nil {
			return fmt.Errorf("restore source %q: %w", src.plan.Name, err)
		}
	}
	if err := s.work.restoreCensus(snap); err != nil {
		return err
	}
	for _, v := range s.views {
		if v.dropped != nil {
			if err := v.restoreDropped(snap); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) restoreSource(snap state.Snapshot, src *source) error {
	if err := s.countDead(snap, src); err != nil {
		return err
	}
	b, err := snap.Get([]byte(keySources+src.plan.Name), nil)
	if err == nil {
		var rec sourceRecord
		if err := json.Unmarshal(b, &rec); err != nil {
			return err
		}
		src.minWM.Store(int64(rec.MinWatermark))
		s.raiseLimits(src, rec.MinWatermark)
		src.latest.Store(int64(rec.Latest))
	} else if !errors.Is(err, state.ErrNotFound) {
		return err
	}
	if err := scanPartitions(snap, keyParts, src.plan.Name, func(num int32, _, val []byte) error {
		return s.restorePartition(src, num, val)
	}); err != nil {
		return err
	}
	if err := scanPartitions(snap, keySeen, src.plan.Name, func(num int32, _, val []byte) error {
		var seen Seen
		if err := json.Unmarshal(val, &seen); err != nil {
			return err
		}
		p := s.partition(src, num)
		p.now.seen, p.seenDone, p.behind = seen, seen.Offset+1, seen.Offset+1
		p.publish()
		p.visible, p.durable = p.handed, p.handed
		return nil
	}); err != nil {
		return err
	}
	return scanPartitions(snap, keyArrivals, src.plan.Name, func(num int32, rest, val []byte) error {
		if len(rest) != 8 || len(val) != 16 {
			return errors.New("a stored arrival is damaged")
		}
		p := s.partition(src, num)
		p.arrivals = append(p.arrivals, Arrival{
			From: int64(binary.BigEndian.Uint64(rest)),
			To:   int64(binary.BigEndian.Uint64(val)), Time: event.Time(binary.BigEndian.Uint64(val[8:])),
		})
		return nil
	})
}

func (s *Store) restorePartition(src *source, num int32, val []byte) error {
	var rec partitionRecord
	if err := json.Unmarshal(val, &rec); err != nil {
		return err
	}
	p := s.partition(src, num)
	p.known, p.stored, p.meta, p.lost = true, true, rec.Meta, rec.Lost
	p.now.next, p.now.watermark, p.now.latest, p.now.left = rec.Next, rec.Watermark, rec.Latest, rec.Left
	p.now.counters.read = rec.Read
	for i, v := range src.views {
		copy(p.now.counters.views[i][:], rec.Views[v.plan.Name])
	}
	p.restart.Store(rec.Next)
	if len(rec.Lost) > 0 {
		src.lost.Store(true)
	}
	storeMax(&src.latest, int64(rec.Latest)) // the source's record may be of the checkpoint before
	p.publish()
	p.visible, p.durable = p.handed, p.handed
	return nil
}

// scanPartitions calls f with each entry under prefix of one source: its partition, the rest of the
// key, the value.
func scanPartitions(snap state.Snapshot, prefix, source string, f func(num int32, rest, val []byte) error) error {
	from := append([]byte(prefix+source), 0)
	for e, err := range snap.Scan(from, prefixEnd(from)) {
		if err != nil {
			return err
		}
		k := e.Key[len(from):]
		if len(k) < 4 {
			return fmt.Errorf("the key %x is damaged", e.Key)
		}
		if err := f(int32(binary.BigEndian.Uint32(k)), k[4:], e.Value); err != nil {
			return err
		}
	}
	return nil
}

func arrivalKey(p *Partition, from int64) []byte {
	return binary.BigEndian.AppendUint64(partitionKey(keyArrivals, p.src.plan.Name, p.num), uint64(from))
}

// StoreArrival makes a verdict of the wall clock durable, before any record under it is added.
func (p *Partition) StoreArrival(a Arrival) error {
	var b state.Batch
	val := binary.BigEndian.AppendUint64(nil, uint64(a.To))
	b.Put(arrivalKey(p, a.From), binary.BigEndian.AppendUint64(val, uint64(a.Time)))
	if err := p.store.commitBatch(&b); err != nil {
		return fmt.Errorf("store an arrival of %s/%d@%d: %w", p.src.plan.Name, p.num, a.From, err)
	}
	p.mu.Lock()
	p.arrivals = append(p.arrivals, a)
	p.mu.Unlock()
	return nil
}

// deadPiece is how many bytes of a dead letter go into one value.
const deadPiece = 128 << 10

// deadRoom bounds the dead letters that wait for a checkpoint.
const deadRoom = 16 << 20

// deadLetter hands a record to the sink of its source, or keeps it for the store.
func (p *Partition) deadLetter(r *Record, view, reason, detail string) {
	if _, told := p.src.told.LoadOrStore(reason, true); !told {
		p.store.log.Warn("first dead letter of its kind; further ones are counted", "source", p.src.plan.Name,
			"partition", p.num, "offset", r.Offset, "view", view, "reason", reason, "detail", detail)
	}
	d := DeadLetter{
		Source: p.src.plan.Name, Partition: p.num, Offset: r.Offset, View: view, Reason: reason, Detail: detail,
		Timestamp: r.Timestamp, Arrival: r.Arrival, Key: r.Key, Value: r.Value,
	}
	if p.src.dead != nil {
		if err := p.src.dead.Send(&d); err != nil {
			p.store.fail(fmt.Errorf("send dead letter: %w", err))
		}
		return
	}
	d.Key, d.Value = append([]byte(nil), r.Key...), append([]byte(nil), r.Value...)
	d.Detail = strings.Clone(detail)
	p.mu.Lock()
	p.dead = append(p.dead, d)
	p.deadSize += int64(len(d.Key) + len(d.Value) + 200)
	p.mu.Unlock()
	if p.store.deadWaiting.Add(int64(len(d.Key)+len(d.Value)+200)) > deadRoom {
		p.store.work.kick()
	}
}

// deadLetters makes the dead letters below the marks durable, and drops stored ones over budget.
func (c *committer) deadLetters(ctx context.Context, marks []noted) error {
	for _, src := range c.store.sources {
		if src.dead != nil {
			if err := src.dead.Flush(ctx); err != nil {
				return fmt.Errorf("send dead letters of %q: %w", src.plan.Name, err)
			}
		}
	}
	for _, x := range marks {
		x.p.mu.Lock()
		list, size := x.p.dead, x.p.deadSize
		x.p.dead, x.p.deadSize = nil, 0
		x.p.mu.Unlock()
		c.store.deadWaiting.Add(-size)
		for i := range list {
			if err := c.storeDead(x.p, &list[i]); err != nil {
				return err
			}
		}
	}
	for _, src := range c.store.sources {
		if src.dead == nil {
			if err := c.trimDead(src); err != nil {
				return err
			}
		}
	}
	return nil
}

// deadKey orders the dead letters of a source by arrival, oldest first.
func deadKey(d *DeadLetter) []byte {
	k := append([]byte(keyDead+d.Source), 0)
	k = binary.BigEndian.AppendUint64(k, uint64(d.Arrival)^1<<63)
	k = binary.BigEndian.AppendUint32(k, uint32(d.Partition))
	k = binary.BigEndian.AppendUint64(k, uint64(d.Offset))
	k = append(k, d.View...)
	return append(k, 0)
}

// storeDead puts one dead letter, in pieces if it is long, behind the time at which it is stored: how
// long it is kept counts from then, since what a topic or a file tells may be of years ago. A replayed
// one has the same key: it is stored once. Only the last piece tells that all are there: a crash may
// have come between two.
func (c *committer) storeDead(p *Partition, d *DeadLetter) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	b := append(binary.BigEndian.AppendUint64(nil, uint64(c.store.opt.Now())), text...)
	key := deadKey(d)
	snap := c.store.snap.acquire()
	defer c.store.snap.release(snap)
	stored := func(piece int) (bool, error) {
		_, err := snap.Get(binary.BigEndian.AppendUint16(key, uint16(piece)), nil)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return false, fmt.Errorf("store dead letter: %w", err)
		}
		return err == nil, nil
	}
	if whole, err := stored((len(b) - 1) / deadPiece); whole || err != nil {
		return err
	}
	for i := 0; len(b) > 0; i++ {
		n := min(len(b), deadPiece)
		was, err := stored(i)
		if err != nil {
			return err
		}
		if err := c.put(binary.BigEndian.AppendUint16(key, uint16(i)), b[:n]); err != nil {
			return err
		}
		if !was {
			p.src.deadBytes += int64(len(key) + 2 + n)
		}
		b = b[n:]
	}
	return nil
}

// trimDead deletes the oldest dead letters of a source while they are over budget or too old.
func (c *committer) trimDead(src *source) error {
	now := c.store.opt.Now()
	from := append([]byte(keyDead+src.plan.Name), 0)
	aged := now >= src.deadChecked.Add(event.Hour)
	if src.deadBytes <= src.plan.Dead.Budget && !aged {
		return nil
	}
	if aged {
		src.deadChecked = now
	}
	last, drop := "", false
	snap := c.store.snap.acquire()
	defer c.store.snap.release(snap)
	for e, err := range snap.Scan(from, prefixEnd(from)) {
		if err != nil {
			return fmt.Errorf("trim dead letters: %w", err)
		}
		if len(e.Key) < len(from)+10 {
			return fmt.Errorf("trim dead letters: the key %x is damaged", e.Key)
		}
		if id := string(e.Key[:len(e.Key)-2]); id != last { // never between the pieces of one
			old := aged && len(e.Value) >= 8 && event.Time(binary.BigEndian.Uint64(e.Value)).Add(src.plan.Dead.Keep) < now
			last, drop = id, old || src.deadBytes > src.plan.Dead.Budget
			if drop {
				src.deadDropped.Add(1)
			}
		}
		if !drop {
			if !aged {
				break // within the budget
			}
			continue
		}
		if err := c.reserve(context.Background(), len(e.Key), 1); err != nil {
			return err
		}
		c.cur.batch.Delete(e.Key)
		src.deadBytes -= int64(len(e.Key) + len(e.Value))
	}
	return nil
}

// StoredDead calls f with the dead letters kept in the store, by source and arrival, until it errs.
func (s *Store) StoredDead(f func(d *DeadLetter) error) error {
	snap := s.snap.acquire()
	defer s.snap.release(snap)
	return scanDead(snap, f)
}

// ReadDead calls f with the dead letters that a state keeps; it needs no plan.
func ReadDead(st state.Store, f func(d *DeadLetter) error) error {
	snap := st.Snapshot()
	defer snap.Close()
	return scanDead(snap, f)
}

// scanDead puts pieces together; the pieces of one dead letter are neighbours. One of which a crash has
// left the first pieces or the last ones only is passed over: it is being stored, or dropped.
func scanDead(snap state.Snapshot, f func(d *DeadLetter) error) error {
	var whole []byte
	var last string
	var next uint16 // piece
	flush := func() error {
		if len(whole) < 8 { // when it was stored
			whole = whole[:0]
			return nil
		}
		var d DeadLetter
		err := json.Unmarshal(whole[8:], &d)
		whole = whole[:0]
		var torn *json.SyntaxError
		if errors.As(err, &torn) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dead letter: %w", err)
		}
		return f(&d)
	}
	for e, err := range snap.Scan([]byte(keyDead), prefixEnd([]byte(keyDead))) {
		if err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		if len(e.Key) < len(keyDead)+2 {
			return fmt.Errorf("read dead letters: the key %x is damaged", e.Key)
		}
		if id := string(e.Key[:len(e.Key)-2]); id != last {
			if err := flush(); err != nil {
				return err
			}
			last, next = id, 0
		}
		if binary.BigEndian.Uint16(e.Key[len(e.Key)-2:]) == next {
			whole = append(whole, e.Value...)
			next++
		}
	}
	return flush()
}

// countDead sums the stored dead letters up when the store is opened.
func (s *Store) countDead(snap state.Snapshot, src *source) error {
	from := append([]byte(keyDead+src.plan.Name), 0)
	for e, err := range snap.Scan(from, prefixEnd(from)) {
		if err != nil {
			return err
		}
		src.deadBytes += int64(len(e.Key) + len(e.Value))
	}
	return nil
}
