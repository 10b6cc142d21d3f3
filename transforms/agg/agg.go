// Package agg holds the aggregates: what is kept of a set of rows (a Partial), how two sets are
// united, and how an answer is finished from it. Pure: no clocks, no I/O, no goroutines.
//
// Sums and sums of squares are exact: they are kept in a wide fixed-point number (accumulator.go)
// and rounded once, when they are read. So an answer depends on the set of rows alone, never on
// their order or on how they were split over partials.
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
	Skew
	SkewPop
	Kurtosis
	KurtosisPop
	FirstK
	LastK
	Nth
	Lag
	TopK
	BottomK
	Mode
	CountDistinct
	ApproxDistinct
	Quantile
	Quantiles
	Median
	Histogram
	Frequent
	Entropy
	Ratio
	Rate
	TimeSinceLast
	TimeBetween
	DecayedSum
	DecayedCount
	DecayedMean
	BoolAnd
	BoolOr
	Drawdown
	Slope
	Covariance
	CovariancePop
	Correlation
	CollectList
	CollectSet
	ArgMax
	ArgMin
)

// Parts is the set of things a Partial keeps for one group; functions share them.
type Parts uint16

// The parts. Count and the newest event time are always kept.
const (
	PartSum Parts = 1 << iota
	PartSquares
	PartMin
	PartMax
	PartFirst
	PartLast
	PartCubes
	PartFourths
	PartOldest // the oldest event time
)

// Group is what is kept over one input under one filter. A row counts in it if it passes the filter and
// its input, its second input and its By are of their types, not null, and (if Keeps.Dim is not 0) a list
// of Keeps.Dim elements.
type Group struct {
	Input      int        // index into Row.Values; -1: every row counts (count "*")
	Type       event.Type // of the input
	Second     int        // number of a second input, counted from 1, for functions of two columns; 0: none. A row counts if neither is null
	SecondType event.Type
	Filter     int // bit of Row.Pass that must be set; -1: every row
	Parts      Parts
	Keeps      Structure
	By         int        // number of the input, counted from 1, whose values keep partials of their own; 0: none
	ByType     event.Type // of that input
	ByLimit    int        // the most values of it that are kept apart, those with the smallest hash; the rest is united
}

// Layout is the list of groups of a view, fixed by its plan; partials are encoded by it.
type Layout struct{ Groups []Group }

// Ordered tells whether the group's partials unite in tie order only: rows must then be added in tie order,
// and all rows of what is merged into a Partial must come after its own.
func (g *Group) Ordered() bool { return g.Keeps.Kind.ordered() }

// Ordered tells whether one of the groups is.
func (l *Layout) Ordered() bool {
	for i := range l.Groups {
		if l.Groups[i].Ordered() {
			return true
		}
	}
	return false
}
