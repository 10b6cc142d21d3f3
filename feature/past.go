package feature

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
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
// as long as the rows are kept: see Kept. An error that the caller can mend is a *CutError.
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

// Kept is the least instant that can be asked of what sel names with nothing of its rows missing: the horizon of
// what is durable by now. Before it rows may have been trimmed.
func (c *Cut) Kept(sel *Selector) event.Time {
	least := event.MinTime
	for v := range sel.reads() {
		least = max(least, c.kept[v])
	}
	return least
}

// reads lists the views that sel reads, those behind their lookups too.
func (sel *Selector) reads() map[*view]bool {
	out := map[*view]bool{}
	for i := range sel.views {
		q := &sel.views[i]
		out[q.v] = true
		if q.lookup != nil {
			maps.Copy(out, q.lookup.reads())
		}
	}
	return out
}

// Meaning says what a selection stands for: two that are equal in it answer the same from the same rows.
type Meaning struct {
	Pipeline   string // name
	Path       string // of its file
	Definition string // SHA-256 of keys, request columns, features, expressions and the versions of views, hex
	Views      []ViewVersion
}

// ViewVersion is a view, and the hash of its definition.
type ViewVersion struct {
	View    string
	Version string
	History event.Duration
}

// Meaning tells what sel stands for.
func (s *Store) Meaning(sel *Selector) Meaning {
	m := Meaning{Pipeline: s.plan.Name, Path: s.plan.Path}
	for v := range sel.reads() {
		m.Views = append(m.Views, ViewVersion{v.plan.Name, v.plan.Version, v.plan.History})
	}
	slices.SortFunc(m.Views, func(a, b ViewVersion) int { return strings.Compare(a.View, b.View) })
	var b strings.Builder
	for _, k := range sel.Keys {
		fmt.Fprintf(&b, "key %q %s\n", k.Name, k.Type)
	}
	for _, k := range sel.Request {
		fmt.Fprintf(&b, "request %q %s\n", k.Name, k.Type)
	}
	for _, c := range sel.Columns {
		fmt.Fprintf(&b, "feature %q %s\n", c.Name, c.Type)
	}
	for _, line := range sel.origin {
		fmt.Fprintln(&b, line)
	}
	for _, v := range m.Views {
		fmt.Fprintf(&b, "view %q %s\n", v.View, v.Version)
	}
	sum := sha256.Sum256([]byte(b.String()))
	m.Definition = hex.EncodeToString(sum[:])
	return m
}

// Meaning tells what sel stands for.
func (c *Cut) Meaning(sel *Selector) Meaning { return c.s.Meaning(sel) }
