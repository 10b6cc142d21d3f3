package agg

import (
	"github.com/penstock-ml/penstock/event"
)

// Kept is a kind of structure that a group keeps beside its scalar parts. The numbers are part of a
// view's version: only append.
type Kept uint8

// The kinds of structures.
const (
	KeepCross          Kept = iota + 1 // sums, squares and products of two columns
	KeepTrend                          // products of values and event times
	KeepDecay                          // decayed sums
	KeepVectorSum                      // of every element of a vector
	KeepVectorMin                      // of every element of a vector
	KeepVectorMax                      // of every element of a vector
	KeepVectorDecay                    // of every element of a vector
	KeepFirst                          // the first K values
	KeepLast                           // the last K values
	KeepTop                            // the K greatest values
	KeepBottom                         // the K least values
	KeepValues                         // the distinct values of least hash, up to Limit, with their counts
	KeepSketchDistinct                 // of how many distinct values there are
	KeepQuantiles                      // a sketch of the distribution
	KeepHistogram                      // counts between Bounds
	KeepDrawdown                       // the largest fall from an earlier peak
	KeepArgMax                         // the value at the greatest of a second column
	KeepArgMin                         // the value at the least of a second column
)

// ordered tells whether the structure unites in tie order only.
func (k Kept) ordered() bool { return k == KeepDrawdown }

// Structure describes what a group keeps beside its scalar parts, with the parameters that decide what
// is stored. Groups share a structure if theirs are equal, so it is comparable. The zero Structure is none.
type Structure struct {
	Kind     Kept
	K        int            // how many values
	Limit    int            // the most distinct values, or keys, that are kept
	Distinct bool           // each value once
	HalfLife event.Duration // of decay
	Accuracy float64        // relative, of quantiles
	Bounds   string         // edges of a histogram, each as 8 bytes of its bits
	Dim      int            // of vectors: the group's input is a list of this many numbers; others do not count
}

// keeper is a structure of one group. Its laws are Partial's. What it answers may alias it. It is encoded
// and asked only if the group has counted a row.
type keeper interface {
	// add takes in one row whose input v (null for "*") and, for two columns, second the group counts.
	// v.Str aliases a buffer: copy what is kept.
	add(v, second event.Value, r *event.Row)
	merge(k keeper) // of the same Structure
	reset()
	// append writes the canonical encoding: equal sets give equal bytes.
	append(dst []byte) []byte
	// mergeEncoded adds what append wrote. It never panics, and allocates in proportion to b, which it
	// does not keep.
	mergeEncoded(b []byte) error
	answer(c *Call, g *group, at At) event.Value
}

// newKeeper returns an empty keeper for g, nil if it needs none.
func newKeeper(g *Group) keeper {
	if g.By != 0 {
		return newKeyed(g)
	}
	switch g.Keeps.Kind {
	case 0:
		return nil
	case KeepCross:
		return newCross(g)
	case KeepTrend:
		return newTrend(g)
	case KeepDecay:
		return newDecay(g.Keeps.HalfLife, g.Type)
	case KeepVectorSum:
		return newVectorSum(g)
	case KeepVectorMin:
		return newVectorExtreme(g, false)
	case KeepVectorMax:
		return newVectorExtreme(g, true)
	case KeepVectorDecay:
		return newVectorDecay(g)
	case KeepFirst, KeepLast:
		return newRanked(g)
	case KeepTop, KeepBottom:
		return newGreatest(g)
	case KeepValues:
		return newValues(g)
	case KeepSketchDistinct:
		return newDistinct(g)
	case KeepQuantiles:
		return newQuantiles(g)
	case KeepHistogram:
		return newHistogram(g)
	case KeepDrawdown:
		return newDrawdown(g)
	case KeepArgMax, KeepArgMin:
		return newArgument(g)
	}
	panic("agg: unknown structure")
}
