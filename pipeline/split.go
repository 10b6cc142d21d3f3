package pipeline

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

// Split tells which part of a split a row is in.
type Split struct {
	By     []string // columns of the spine that are hashed; none: by time
	Parts  []SplitPart
	Gap    event.Duration // by time: rows so long behind the end of a part are in none
	Salt   string
	Files  bool // a file for each part, in place of a column
	ByTime bool
}

// SplitPart is a part of a split, in the order of the file: train, validation, test.
type SplitPart struct {
	Name   string
	Below  int64      // by hash: the bucket of a million that is behind its last
	Before event.Time // by time: its end
}

// Part is the part of an instant in a split by time: -1 for none, in a gap or behind the last.
func (s *Split) Part(t event.Time) int {
	for i, p := range s.Parts {
		if t < p.Before {
			if i > 0 && t < s.Parts[i-1].Before.Add(s.Gap) {
				return -1
			}
			return i
		}
	}
	return -1
}

// Bucket is the part of a bucket in a split by hash.
func (s *Split) Bucket(b int64) int {
	for i, p := range s.Parts {
		if b < p.Below {
			return i
		}
	}
	return -1 // the parts hold all buckets
}

var splitParts = []string{"train", "validation", "test"}

func (x *exportScope) compileSplit() {
	n := x.n.get("split")
	by := n.get("by")
	if n == nil || n.kind != mappingNode || by == nil {
		return
	}
	s := &Split{Salt: textOr(n.get("salt"), "split"), Gap: durationOr(n.get("gap"), 0)}
	if files := n.get("files"); files != nil {
		s.Files = files.text == "true"
	}
	s.ByTime = by.kind == scalarNode && by.text == "time"
	if !s.ByTime {
		s.By = x.columnsOf(by, "split: by")
	}
	for key, means := range map[string]bool{"gap": s.ByTime, "salt": !s.ByTime} {
		if at := n.keyNode(key); at != nil && !means {
			kind := map[bool]string{true: "by time", false: "by hash"}[s.ByTime]
			x.c.fail(at, "delete it", "%s: split: %s means nothing in a split %s", x.in, key, kind)
			return
		}
	}
	if x.splitParts(n, s) {
		x.export.Split = s
		x.warnGap(n, s)
	}
}

// splitParts reads the parts.
func (x *exportScope) splitParts(n *node, s *Split) bool {
	var list []*node
	for _, name := range splitParts {
		if part := n.get(name); part != nil {
			list = append(list, part)
			s.Parts = append(s.Parts, SplitPart{Name: name})
		} else if n.has(name) {
			return false
		}
	}
	if len(list) < 2 {
		x.c.failAt(n.span, "add test: rest", "%s: split has one part", x.in)
		return false
	}
	below, before := int64(0), event.MinTime
	for i, part := range list {
		p := &s.Parts[i]
		in := fmt.Sprintf("%s: split: %s", x.in, p.Name)
		last := i == len(list)-1
		switch {
		case part.kind == scalarNode && part.text == "rest" && !last:
			x.c.fail(part, "only the last part can be the rest", "%s: rest is not the last part", in)
			return false
		case part.kind == scalarNode && part.text == "rest":
			p.Below, p.Before = shareBuckets, event.MaxTime
			if below == shareBuckets {
				x.c.fail(part, "", "%s: nothing is left", in)
				return false
			}
		case s.ByTime:
			if !x.partBefore(part, p, before, in) {
				return false
			}
			before = p.Before
			continue
		case part.kind != scalarNode:
			x.c.failAt(part.span, "write a share like 80%, or by: time", "%s: before means nothing in a split by hash", in)
			return false
		default:
			share, ok := parseShare(part.text)
			if !ok {
				return false
			}
			p.Below = below + share
		}
		below = p.Below
		if below > shareBuckets {
			x.c.fail(part, "write rest for the last part", "%s: the parts are more than 100%%", in)
			return false
		}
	}
	if !s.ByTime && below < shareBuckets {
		x.c.fail(list[len(list)-1], "write rest for the last one, or sample: to leave rows out", "%s: split: the parts are %g%% together, not 100%%", x.in, float64(below)/(shareBuckets/100))
		return false
	}
	return true
}

// partBefore reads the end of a part of a split by time.
func (x *exportScope) partBefore(n *node, p *SplitPart, before event.Time, in string) bool {
	if n.kind != mappingNode {
		x.c.fail(n, "write {before: 2013-03-01}, or rest for the last part", "%s: a share means nothing in a split by time", in)
		return false
	}
	at := n.get("before")
	if at == nil {
		return false
	}
	t, _, err := parseInstant(at.text)
	if err != nil {
		return false
	}
	if t <= before && before != event.MinTime {
		x.c.fail(at, "", "%s: before %s is not behind the part before it", in, at.shown())
		return false
	}
	p.Before = t
	return true
}

// warnGap warns of labels that look from one part into the next.
func (x *exportScope) warnGap(n *node, s *Split) {
	if !s.ByTime {
		return
	}
	for _, l := range x.export.Labels {
		if l.To > s.Gap {
			x.c.warn(n, fmt.Sprintf("write gap: %s", l.To), "%s: split: label %q looks %s ahead, from one part into the next", x.in, l.Name, l.To)
			return
		}
	}
}
