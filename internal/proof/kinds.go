package proof

import (
	"math/rand/v2"
	"strings"
)

// Kind is what shapes the rows that a view sees.
type Kind struct{ Dedupe, Flatten, Sample, Union, Lookup bool }

// String names a kind: "plain", or what it is made of.
func (k Kind) String() string {
	var parts []string
	for _, p := range []struct {
		is   bool
		name string
	}{{k.Dedupe, "dedupe"}, {k.Flatten, "flatten"}, {k.Sample, "sample"}, {k.Union, "union"}, {k.Lookup, "lookup"}} {
		if p.is {
			parts = append(parts, p.name)
		}
	}
	if parts == nil {
		return "plain"
	}
	return strings.Join(parts, " ")
}

// Kinds lists all kinds that the grammar knows, alone and together, in an order that a seed decides; those
// that read other views only with lookups.
func Kinds(seed uint64, lookups bool) (out []Kind) {
	for i := range 32 {
		k := Kind{i&1 > 0, i&2 > 0, i&4 > 0, i&8 > 0, i&16 > 0}
		if k.Dedupe && k.Flatten || k.Lookup && !lookups {
			continue // a record would be a duplicate in parts
		}
		out = append(out, k)
	}
	rng := rand.New(rand.NewPCG(seed, 10))
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// KindsOf deals the kinds of the three views of a seed's pipeline: v0, v1, and the one that they read.
func KindsOf(seed uint64) []Kind {
	deal := func(i uint64, lookups bool) Kind {
		n := uint64(len(Kinds(0, lookups)))
		return Kinds(i/n, lookups)[i%n]
	}
	return []Kind{deal(2*seed, true), deal(2*seed+1, true), deal(seed, false)}
}
