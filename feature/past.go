package feature

import (
	"context"
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Past is a cut written down, from which it can be taken again later.
type Past struct {
	Offsets    []Offset
	Watermarks []Watermark
}

// Watermark is the least watermark of a source's partitions, as it decides the horizon; MinTime: none yet.
type Watermark struct {
	Source string
	Least  event.Time
}

// Past writes the cut down.
func (c *Cut) Past() Past {
	p := Past{Offsets: c.Offsets()}
	for _, src := range c.s.sources {
		p.Watermarks = append(p.Watermarks, Watermark{src.plan.Name, c.minWM[src]})
	}
	return p
}

// CutError says why a past cannot be read any more, or not yet.
type CutError struct{ Message, Hint string }

func (e *CutError) Error() string { return e.Message }

// CutAt takes a cut of before again, on the newest snapshot: rows beyond its offsets are not read, whatever came
// since, and the horizon is what it was. So it answers what the first one did, late corrections notwithstanding,
// as long as the rows are kept: see Doubtful. An error that the caller can mend is a *CutError.
func (s *Store) CutAt(ctx context.Context, past Past) (*Cut, error) {
	if err := s.waitApplied(ctx); err != nil {
		return nil, err
	}
	s.holdLimits()
	defer s.releaseLimits()
	c := s.newCut()
	for _, src := range s.sources {
		c.minWM[src] = event.MinTime
	}
	for _, w := range past.Watermarks {
		src, err := s.sourceOf(w.Source)
		if err != nil {
			return nil, err
		}
		c.minWM[src] = w.Least
	}
	for _, o := range past.Offsets {
		src, err := s.sourceOf(o.Source)
		if err != nil {
			return nil, err
		}
		if have := src.reachedOf(o.Partition); have < o.Next {
			return nil, &CutError{
				Message: fmt.Sprintf("source %q, partition %d has been read up to %d, not up to %d", o.Source, o.Partition, have, o.Next),
				Hint:    "wait until it has been read, or ask the state that the cut was taken of",
			}
		}
		c.offsets[src][o.Partition] = o.Next
	}
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *Store) sourceOf(name string) (*source, error) {
	for _, src := range s.sources {
		if src.plan.Name == name {
			return src, nil
		}
	}
	return nil, &CutError{Message: fmt.Sprintf("the pipeline has no source %q any more", name)}
}

// reachedOf is up to where a partition has been applied; 0 if it is not known.
func (s *source) reachedOf(partition int32) int64 {
	s.mu.Lock()
	p := s.parts[partition]
	s.mu.Unlock()
	if p == nil {
		return 0
	}
	return p.reached()
}

// Span is instants of [From, To).
type Span struct{ From, To event.Time }

// Has tells whether t lies in it.
func (s Span) Has(t event.Time) bool { return s.From <= t && t < s.To }

// Doubtful lists the instants at which an answer of sel may lack rows by now, since trimming may have taken them: of
// each view that sel reads those from the cut's horizon to the horizon of what is durable. Of a new cut there are none.
func (c *Cut) Doubtful(sel *Selector) (out []Span) {
	for v := range sel.reads() {
		if s := (Span{horizon(v, c.watermark(v)), c.kept[v].instant}); s.From < s.To {
			out = append(out, s)
		}
	}
	return out
}

// DoubtfulRows is where rows of a view may be missing from Rows, since trimming may have taken them; it is empty if
// none are.
func (c *Cut) DoubtfulRows(v *pipeline.View) Span {
	return Span{c.Horizon(v), c.kept[c.s.byName[v.Name]].row}
}
