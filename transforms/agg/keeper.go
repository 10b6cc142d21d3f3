package agg

import (
	"github.com/penstock-ml/penstock/event"
)

// Kept is a kind of structure that a group keeps beside its scalar parts. The numbers are part of a
// view's version: only append.
type Kept uint8

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
	Dim      int            // of vectors: the group's input is a list of this many numbers
}

// keeper is a structure of one group. Its laws are Partial's. What it answers may alias it.
type keeper interface {
	// add takes in one row whose input v (and, for two columns, second) is not null. v.Str aliases a
	// buffer: copy what is kept.
	add(v, second event.Value, r *event.Row)
	merge(k keeper) // of the same Structure
	reset()
	// append writes the canonical encoding: equal sets give equal bytes.
	append(dst []byte) []byte
	// mergeEncoded adds what append wrote. It never panics, and allocates in proportion to b.
	mergeEncoded(b []byte) error
	answer(c *Call, g *group, at At) event.Value
}

// newKeeper returns an empty keeper for g, nil if it needs none.
func newKeeper(g *Group) keeper {
	if g.Keeps.Kind == 0 {
		return nil
	}
	return keepers[g.Keeps.Kind](g)
}

// keepers makes a keeper of each kind.
var keepers = map[Kept]func(g *Group) keeper{}
