// Package agg holds the aggregates: what is kept of a set of rows (a Partial), how two sets are
// united, and how an answer is finished from it. Pure: no clocks, no I/O, no goroutines.
package agg

import "github.com/penstock-ml/penstock/event"

// Func is an aggregate function. The numbers are part of a view's version: only append.
type Func uint8

// The aggregate functions.
const (
	Count Func = iota + 1
	Sum
	Avg
	Min
	Max
	First
	Last
	Variance
	Stddev
	VariancePop
	StddevPop
)

// Parts is the set of things a Partial keeps for one group; functions share them.
type Parts uint8

// The parts. Count and the newest event time are always kept.
const (
	PartSum Parts = 1 << iota
	PartSquares
	PartMin
	PartMax
	PartFirst
	PartLast
)

// Group is what is kept over one input under one filter.
type Group struct {
	Input  int        // index into Row.Values; -1: every row counts (count "*")
	Type   event.Type // of the input
	Filter int        // bit of Row.Pass that must be set; -1: every row
	Parts  Parts
}

// Layout is the list of groups of a view, fixed by its plan; partials are encoded by it.
type Layout struct{ Groups []Group }

// ByName finds a function by the name that users write.
func ByName(name string) (Func, bool) { panic("stub") }

// Names lists the names that users write, in the order of the constants.
func Names() []string { panic("stub") }

// String is the name that users write.
func (f Func) String() string { panic("stub") }

// Parts tells what f needs beside the count.
func (f Func) Parts() Parts { panic("stub") }

// Result is the type of f's answer over an input of type in (for count "*", pass the zero Type), or
// an error that says why f is not defined on it and what is.
func (f Func) Result(in event.Type) (event.Type, error) { panic("stub") }

// Partial is what is kept of a set of rows, for some of a Layout's groups. Its laws: Merge is
// associative and commutative, a reset Partial is its identity, Add is Merge of one row, Append and
// MergeEncoded round-trip, and Append gives equal bytes for equal sets of rows however they came together.
// Not safe for concurrent use.
type Partial struct{}

// NewPartial returns an empty partial that keeps the groups of l listed in groups (nil: all). The
// other groups are skipped by Add, Merge and MergeEncoded.
func NewPartial(l *Layout, groups []int) *Partial { panic("stub") }

// Reset empties p and keeps its memory.
func (p *Partial) Reset() { panic("stub") }

// Add adds one row. It allocates nothing in the steady state, and copies what it keeps of r.
func (p *Partial) Add(r *event.Row) { panic("stub") }

// Merge adds all that q holds; both have the same Layout and groups.
func (p *Partial) Merge(q *Partial) { panic("stub") }

// MergeEncoded adds what Append wrote for a Partial of all groups of the same Layout; the groups
// that p does not keep are skipped. It never panics and allocates in proportion to b.
func (p *Partial) MergeEncoded(b []byte) error { panic("stub") }

// Append appends the encoding of p, which must keep all groups of its layout.
func (p *Partial) Append(dst []byte) []byte { panic("stub") }

// Count is the number of rows counted in a group (non-null input, filter passed).
func (p *Partial) Count(group int) int64 { panic("stub") }

// Finish answers f over a group: the value (null over nothing, but count is 0), the event time of
// the newest row counted in the group (MinTime over nothing), and whether a sum of longs fell outside
// int64 (the value is then null). The value may alias p: valid until p changes.
func (p *Partial) Finish(group int, f Func) (v event.Value, newest event.Time, overflow bool) {
	panic("stub")
}
