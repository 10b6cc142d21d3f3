package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// Run is a history of a store: how it is counted in, and how often it is stopped on the way.
type Run struct {
	Shards   int
	Batch    int // the most records handed over at once
	Restarts int // clean ones and crashes
	Flushes  bool
	Sweeps   bool // the sweeper goes on between batches; without it nothing is swept
}

// errCrash is what a commit answers once the process is dead.
var errCrash = errors.New("crash")

// crashing is a state whose process can die: from then on nothing is committed.
type crashing struct {
	state.Store
	dead atomic.Bool
}

// Commit implements state.Store.
func (c *crashing) Commit(b *state.Batch) error {
	if c.dead.Load() {
		return errCrash
	}
	return c.Store.Commit(b)
}

// ticks wake the sweeper.
type ticks chan time.Time

// after is feature.Options.After: however long is to be waited, the next tick ends it.
func (c ticks) after(time.Duration) <-chan time.Time { return c }

// tick lets the sweeper make a step while others go on, if it waits for one.
func (c ticks) tick() {
	select {
	case c <- time.Time{}:
	default:
	}
}

// now is the clock of all runs: long after every event.
func now() event.Time { return base.Add(4000 * event.Day) }

// Disk is a state that outlives the processes that open it.
type Disk interface {
	// Open opens the state: empty the first time, then with the commits of the one before, which is closed.
	Open() (state.Store, error)
}

// Memory is a Disk in memory. Limits are those of a batch, if not 0.
type Memory struct {
	Entries, Bytes int
	st             *state.Memory
}

// Open implements Disk.
func (m *Memory) Open() (state.Store, error) {
	if m.st != nil {
		m.st = m.st.Reopen()
		return kept{m.st}, nil
	}
	m.st = state.NewMemory()
	if m.Entries > 0 {
		m.st.SetLimits(m.Entries, m.Bytes)
	}
	return kept{m.st}, nil
}

// kept is a state in memory that outlives its Close.
type kept struct{ *state.Memory }

// Close implements state.Store.
func (kept) Close() error { return nil }

// Directory is a Disk in a directory.
type Directory string

// Open implements Disk.
func (d Directory) Open() (state.Store, error) {
	return state.OpenBadger(string(d), state.BadgerOptions{Memory: 64 << 20})
}

// Count counts the records in a store on a disk, as the run says, and returns the store with all of them, and
// its state.
func (run Run) Count(ctx context.Context, rng *rand.Rand, disk Disk, plan *pipeline.Plan, records []oracle.Record) (*feature.Store, state.Store, error) {
	for life := run.Restarts; ; life-- {
		st, err := disk.Open()
		if err != nil {
			return nil, nil, fmt.Errorf("open the state: %w", err)
		}
		c := &crashing{Store: st}
		clock := make(ticks, 1)
		s, err := feature.Open(c, plan, feature.Options{Shards: run.Shards, Now: now, After: clock.after})
		if err != nil {
			return nil, nil, fmt.Errorf("open: %w", err)
		}
		limit := len(records)
		if life > 0 {
			limit = rng.IntN(len(records))
		}
		if err := run.feed(ctx, rng, s, clock, plan, records, limit); err != nil {
			return nil, nil, fmt.Errorf("count: %w", err)
		}
		if life == 0 {
			err := s.Flush(ctx)
			if run.Sweeps && err == nil {
				err = s.Sweep(ctx)
			}
			return s, st, err
		}
		if rng.IntN(2) == 0 {
			err = s.Close(ctx)
		} else {
			c.dead.Store(true)
			_ = s.Close(ctx) // the crash is what it says
		}
		if err := errors.Join(err, st.Close()); err != nil {
			return nil, nil, fmt.Errorf("close: %w", err)
		}
	}
}

// feed hands records over from the restart offsets on: those of a partition in order, in batches of random
// size, the partitions interleaved; at most limit of them.
func (run Run) feed(ctx context.Context, rng *rand.Rand, s *feature.Store, clock ticks, plan *pipeline.Plan, records []oracle.Record, limit int) error {
	queue := map[*feature.Partition][]oracle.Record{}
	var parts []*feature.Partition
	for _, r := range records {
		p := s.Partition(plan.Sources[r.Source], r.Partition)
		if next, ok := p.Next(); ok && r.Offset < next {
			continue
		}
		if queue[p] == nil {
			parts = append(parts, p)
		}
		queue[p] = append(queue[p], r)
	}
	for len(parts) > 0 && limit > 0 {
		i := rng.IntN(len(parts))
		p := parts[i]
		n := min(1+rng.IntN(run.Batch), len(queue[p]), limit)
		batch := queue[p][:n]
		limit -= n
		if queue[p] = queue[p][n:]; len(queue[p]) == 0 {
			parts = slices.Delete(parts, i, i+1)
		}
		if err := hand(ctx, p, batch); err != nil {
			return err
		}
		if run.Flushes && rng.IntN(8) == 0 {
			if err := settle(ctx, rng, s); err != nil {
				return err
			}
		}
		if run.Sweeps {
			clock.tick()
			if rng.IntN(12) == 0 {
				if err := s.Sweep(ctx); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// settle makes durable what was handed over, and trims perhaps.
func settle(ctx context.Context, rng *rand.Rand, s *feature.Store) error {
	if rng.IntN(2) == 0 {
		return s.Sweep(ctx)
	}
	return s.Flush(ctx)
}

// hand hands one batch of a partition over.
func hand(ctx context.Context, p *feature.Partition, batch []oracle.Record) error {
	for _, r := range batch {
		rec := feature.Record{Offset: r.Offset, Timestamp: r.Arrival, Arrival: r.Arrival, Slots: r.Slots, Value: []byte("raw")}
		if r.Dead != "" {
			p.Dead(&rec, r.Dead, "")
		} else {
			p.Add(&rec)
		}
	}
	return p.End(ctx, batch[len(batch)-1].Offset+1, false)
}
