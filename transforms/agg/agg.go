// Package agg holds the aggregates: what is kept of a set of rows (a Partial), how two sets are
// united, and how an answer is finished from it. Pure: no clocks, no I/O, no goroutines.
//
// Sums and sums of squares are exact: they are kept in a wide fixed-point number (accumulator.go)
// and rounded once, when they are read. So an answer depends on the set of rows alone, never on
// their order or on how they were split over partials.
package agg

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

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
)

// Group is what is kept over one input under one filter.
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

// functions describes each Func, at its number less one.
var functions = [...]struct {
	name  string
	parts Parts
}{
	{"count", 0},
	{"sum", PartSum},
	{"avg", PartSum},
	{"min", PartMin},
	{"max", PartMax},
	{"first", PartFirst},
	{"last", PartLast},
	{"variance", PartSum | PartSquares},
	{"stddev", PartSum | PartSquares},
	{"variance_pop", PartSum | PartSquares},
	{"stddev_pop", PartSum | PartSquares},
}

func (f Func) known() bool { return f >= 1 && int(f) <= len(functions) }

// ByName finds a function by the name that users write.
func ByName(name string) (Func, bool) {
	for i, d := range functions {
		if d.name == name {
			return Func(i + 1), true
		}
	}
	return 0, false
}

// Names lists the names that users write, in the order of the constants.
func Names() []string {
	names := make([]string, len(functions))
	for i, d := range functions {
		names[i] = d.name
	}
	return names
}

// String is the name that users write.
func (f Func) String() string {
	if !f.known() {
		return fmt.Sprintf("func(%d)", uint8(f))
	}
	return functions[f-1].name
}

// Parts tells what f needs beside the count.
func (f Func) Parts() Parts {
	if !f.known() {
		return 0
	}
	return functions[f-1].parts
}

// Result is the type of f's answer over an input of type in (for count "*", pass the zero Type), or
// an error that says why f is not defined on it and what is. All answers but count are nullable.
func (f Func) Result(in event.Type) (event.Type, error) {
	if !f.known() {
		return event.Type{}, fmt.Errorf("%s is not an aggregate", f)
	}
	if f == Count {
		return event.Type{Kind: event.Long}, nil
	}
	if in.Kind == event.Null {
		return event.Type{}, fmt.Errorf("%s needs a column or an expression; only count works over \"*\"", f)
	}
	switch f {
	case First, Last:
	case Min, Max:
		if !in.Ordered() {
			return event.Type{}, fmt.Errorf("%s of %s is not defined: its values have no order; count, first and last work on it", f, bare(in))
		}
	case Sum:
		if !in.Numeric() {
			return event.Type{}, f.notNumeric(in)
		}
	default:
		if !in.Numeric() {
			return event.Type{}, f.notNumeric(in)
		}
		return event.Type{Kind: event.Double, Nullable: true}, nil
	}
	in.Nullable = true
	return in, nil
}

// notNumeric says what to do about arithmetic on a type that has none.
func (f Func) notNumeric(in event.Type) error {
	hint := "count, min, max, first and last work on it"
	switch in.Kind {
	case event.Bool:
		hint = "to count the true ones, write count: \"*\" with where: naming the column"
	case event.List, event.Map:
		hint = "count, first and last work on it"
	}
	return fmt.Errorf("%s of %s is not defined: it needs long, double or decimal; %s", f, bare(in), hint)
}

// bare is t's name without the mark of what may be null.
func bare(t event.Type) string {
	t.Nullable = false
	return t.String()
}
