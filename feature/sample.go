package feature

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// KeySample chooses some of the entities that it is offered: those of the least hash. So what is chosen does not
// depend on the order, or on where they are offered.
type KeySample struct {
	n     int
	seed  uint64
	least []hashedKeys // ascending
	buf   []byte
}

type hashedKeys struct {
	hash uint64
	id   string
	keys []event.Value
}

// NewKeySample chooses at most n entities; another seed chooses others.
func NewKeySample(n int, seed uint64) *KeySample { return &KeySample{n: n, seed: seed} }

// Offer tells whether an entity is among the chosen, for now: a later one may take its place. keys may be the
// caller's again behind it.
func (s *KeySample) Offer(keys []event.Value) bool {
	s.buf = binary.LittleEndian.AppendUint64(s.buf[:0], s.seed)
	for _, k := range keys {
		s.buf = event.AppendValue(s.buf, k)
	}
	h := fnv.New64a()
	_, _ = h.Write(s.buf)
	x := hashedKeys{hash: mix(h.Sum64())}
	if s.n <= 0 || len(s.least) == s.n && x.hash > s.least[s.n-1].hash {
		return false
	}
	x.id = string(s.buf)
	i, in := slices.BinarySearchFunc(s.least, x, func(a, b hashedKeys) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.id, b.id))
	})
	if in || i == s.n {
		return in
	}
	for i := range keys {
		x.keys = append(x.keys, keys[i].Clone())
	}
	s.least = slices.Insert(s.least, i, x)
	s.least = s.least[:min(len(s.least), s.n)]
	return true
}

// Keys are the chosen, by hash.
func (s *KeySample) Keys() [][]event.Value {
	out := make([][]event.Value, len(s.least))
	for i := range s.least {
		out[i] = s.least[i].keys
	}
	return out
}

// mix spreads a hash over all its bits.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}

// SampleKeys chooses entities of a view.
func (c *Cut) SampleKeys(v *pipeline.View, n int, seed uint64) ([][]event.Value, error) {
	s := NewKeySample(n, seed)
	for keys, err := range c.Entities(v) {
		if err != nil {
			return nil, err
		}
		s.Offer(keys)
	}
	return s.Keys(), nil
}
