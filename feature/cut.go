package feature

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// Cut is a fixed position in every partition, durable, with a snapshot of the state to read it from.
// Rows beyond it that the snapshot holds are not read, so a cut answers the same whenever its state
// was written.
type Cut struct {
	s       *Store
	snap    *sharedSnapshot
	offsets map[*source]map[int32]int64
	minWM   map[*source]event.Time
	kept    map[*view]keptSince
	united  map[*view]map[int32]int64 // offsets by lane, of views of several sources
	closed  sync.Once

	mu      sync.Mutex
	cursors []state.Cursor // of its readers
}

// keptSince is what trimming has left for certain; MinTime: all.
type keptSince struct {
	instant event.Time // the rows that an answer at it or later needs
	row     event.Time // the rows at it or later
}

// Cut fixes the positions reached now, waits until they are durable, and takes a snapshot.
func (s *Store) Cut(ctx context.Context) (*Cut, error) {
	if err := s.waitApplied(ctx); err != nil {
		return nil, err
	}
	s.holdLimits()
	defer s.releaseLimits()
	c := s.newCut()
	for _, src := range s.sources {
		src.mu.Lock() // no mark becomes visible meanwhile: the horizon is that of these offsets
		c.minWM[src] = event.Time(src.minWM.Load())
		for num, p := range src.parts {
			c.offsets[src][num] = p.reached()
		}
		src.mu.Unlock()
	}
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Store) newCut() *Cut {
	c := &Cut{s: s, offsets: map[*source]map[int32]int64{}, minWM: map[*source]event.Time{}}
	for _, src := range s.sources {
		c.offsets[src] = map[int32]int64{}
	}
	return c
}

// take makes what lies below the offsets durable and takes the snapshot. Limits must be held meanwhile.
func (c *Cut) take(ctx context.Context) error {
	s := c.s
	if err := s.flushForCut(ctx); err != nil {
		return err
	}
	c.snap = s.snap.acquire()
	c.kept, c.united = map[*view]keptSince{}, map[*view]map[int32]int64{}
	for _, v := range s.views {
		c.kept[v] = keptSince{event.MinTime, event.MinTime}
		if t, ok := v.trimmer(); ok {
			c.kept[v] = keptSince{t.horizon, t.old}
		}
		if len(v.srcs) < 2 {
			continue
		}
		c.united[v] = map[int32]int64{}
		for _, src := range v.srcs {
			for num, next := range c.offsets[src] {
				c.united[v][v.lane(src, num)] = next
			}
		}
	}
	return nil
}

// lanes are the offsets of the cut by the lanes of a view.
func (c *Cut) lanes(v *view) map[int32]int64 {
	if len(v.srcs) > 1 {
		return c.united[v]
	}
	return c.offsets[v.srcs[0]]
}

// ErrDiskFull is returned where something would have to wait until the disk has room.
var ErrDiskFull = errors.New("the disk is full: consuming has stopped, and nothing new can be made durable")

// flushForCut flushes, but does not wait for a disk that is full: who asks for an export should hear of it.
func (s *Store) flushForCut(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Flush(ctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if s.work.full.Load() {
				cancel()
				<-done
				return ErrDiskFull
			}
		}
	}
}

// NewReader returns a reader at the cut.
func (c *Cut) NewReader() *Reader {
	return &Reader{s: c.s, cut: c, cache: newBlockCache(), walks: true, scratch: map[*Selector]*scratch{}}
}

// Offsets lists the cut: source name, partition, offset next to read.
func (c *Cut) Offsets() []Offset {
	var out []Offset
	for _, src := range c.s.sources {
		for _, p := range src.all() {
			if next, ok := c.offsets[src][p.num]; ok {
				out = append(out, Offset{src.plan.Name, p.num, next})
			}
		}
	}
	return out
}

// Select resolves what is asked for, as Store.Select does.
func (c *Cut) Select(sel Selection) (*Selector, error) { return c.s.Select(sel) }

// cursor opens a cursor that is closed with the cut.
func (c *Cut) cursor() (state.Cursor, error) {
	x, err := c.snap.Cursor()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cursors = append(c.cursors, x)
	return x, nil
}

// Close releases the snapshot; none of the cut's readers may be in use. A second call does nothing.
func (c *Cut) Close() {
	c.closed.Do(func() {
		for _, x := range c.cursors {
			x.Close()
		}
		c.s.snap.release(c.snap)
	})
}
