// Package window computes which instants a window covers. Pure: no clocks, no I/O.
package window

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

// Kind is a kind of window. The numbers are part of a view's version: only append.
type Kind uint8

// The kinds of windows.
const (
	Lifetime Kind = iota + 1 // (-inf, T)
	Rolling                  // [T-Size, T)
	LastN                    // the N latest rows before T
)

// Spec is one window as declared.
type Spec struct {
	Kind Kind
	Size event.Duration // of Rolling
	N    int            // of LastN
}

// Range returns the half-open interval [start, end) that the window covers as of t. A LastN covers
// all that is before t; it takes the latest N of it.
func (s Spec) Range(t event.Time) (start, end event.Time) {
	if s.Kind == Rolling {
		return t.Add(-s.Size), t
	}
	return event.MinTime, t
}

// Reach is how far before the instant asked for the window looks; ok is false if without bound.
func (s Spec) Reach() (d event.Duration, ok bool) {
	if s.Kind == Rolling {
		return s.Size, true
	}
	return 0, false
}

// String is the form that users read: "1h", "lifetime", "last 10".
func (s Spec) String() string {
	switch s.Kind {
	case Rolling:
		return s.Size.String()
	case LastN:
		return fmt.Sprintf("last %d", s.N)
	}
	return "lifetime"
}
