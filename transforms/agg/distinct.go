package agg

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// distinct is KeepSketchDistinct: HyperLogLog with 4,096 registers, for approx_distinct. Up to 1,024
// distinct values it is a list of 25 bits of each hash, and the answer is exact but for a chance of two
// hashes being equal in them (one in 66 for all of 1,024 values together, and then by one). Above, the
// standard error is 1.04/√4096 = 1.6 %.
//
// Written here and not taken from axiomhq/hyperloglog, which the tests compare with: there the moment at
// which the list becomes registers depends on the order of insertions and of reads (so do its bytes, and
// its estimate by a little), and the estimate is a polynomial of math.Log that compilers may fuse.
// Here which of the two it is depends on the set alone, and the estimate is Ertl's, which needs no
// constants that were fitted and no logarithms ("New cardinality estimation algorithms for HyperLogLog
// sketches", 2017, algorithm 6).
//
//	structure = 0, number of entries, then each, ascending: its 25 bits as distance to the one before (the
//	            first: to 0), and, if their lower 13 are zero, a byte more
//	          | 1, least register, then a nibble for each register, the first in the lower half of a
//	            byte: the register less the least, or 15: then its value less the least less 15 follows
//	            behind all nibbles, a byte each in order
//
// An entry is the upper 25 bits of the hash, shifted left by 6, and, if the lower 13 of them are zero,
// the number of leading zeros in the rest of the hash, plus 1: in the byte more.
type distinct struct {
	form      form
	entries   []uint32 // sorted and unique up to tidied; none if there are registers
	tidied    int
	spare     []uint32
	registers []uint8 // nil or empty: entries
	memory    []uint8 // of registers
	scratch   []byte
}

const (
	sketchBits    = 12 // of a register's number
	registers     = 1 << sketchBits
	sparseBits    = 25
	sparseEntries = 1024
	maxRegister   = 64 - sketchBits + 1
	restBits      = 64 - sparseBits
	innerBits     = sparseBits - sketchBits // those of an entry that a register's value begins with
)

func newDistinct(g *Group) keeper { return &distinct{form: formOf(g.Type)} }

func (k *distinct) add(v, _ event.Value, _ *event.Row) {
	h, scratch := k.form.hash(k.form.atom(v), k.scratch)
	k.scratch = scratch
	k.addHash(h)
}

func (k *distinct) addHash(h uint64) {
	if len(k.registers) == 0 {
		k.addEntry(entryOf(h))
		return
	}
	k.raise(h>>(64-sketchBits), uint8(bits.LeadingZeros64(h<<sketchBits|1<<(sketchBits-1))+1))
}

// entryOf is what is kept of a hash while there are few.
func entryOf(h uint64) uint32 {
	e := uint32(h>>restBits) << 6
	if h>>restBits&(1<<innerBits-1) == 0 {
		e |= uint32(bits.LeadingZeros64(h<<sparseBits|1<<(sparseBits-1)) + 1)
	}
	return e
}

// register tells which register an entry belongs to, and the value it gives it.
func register(e uint32) (i uint64, value uint8) {
	top := uint64(e >> 6)
	if inner := top & (1<<innerBits - 1); inner != 0 {
		return top >> innerBits, uint8(bits.LeadingZeros64(inner<<(64-innerBits)) + 1)
	}
	return top >> innerBits, innerBits + uint8(e&63)
}

func (k *distinct) addEntry(e uint32) {
	if len(k.registers) != 0 {
		k.raise(register(e))
		return
	}
	if len(k.entries) == cap(k.entries) && len(k.entries) >= 64 {
		k.tidy()
		if len(k.registers) != 0 {
			k.raise(register(e))
			return
		}
	}
	k.entries = append(k.entries, e)
}

func (k *distinct) raise(i uint64, value uint8) {
	k.registers[i] = max(k.registers[i], value)
}

// tidy sorts the entries, leaves one for each 25 bits, and makes registers of them if they are many: so
// whether there are registers depends on the set alone.
func (k *distinct) tidy() {
	if len(k.registers) != 0 || k.tidied == len(k.entries) {
		return
	}
	fresh := k.entries[k.tidied:]
	slices.Sort(fresh)
	if k.tidied > 0 && k.entries[k.tidied-1] > fresh[0] {
		k.unite(k.entries[:k.tidied], fresh)
	}
	w := 0
	for i, e := range k.entries { // of equal ones the last has the most zeros
		if i+1 == len(k.entries) || k.entries[i+1]>>6 != e>>6 {
			k.entries[w] = e
			w++
		}
	}
	k.entries = k.entries[:w]
	k.tidied = w
	if w > sparseEntries {
		k.toRegisters()
		return
	}
	if cap(k.entries) < 2*w { // so that sorting is rare
		k.entries = slices.Grow(k.entries, w)
	}
}

// unite makes one sorted list of two that lie one behind the other.
func (k *distinct) unite(x, y []uint32) {
	k.spare = append(k.spare[:0], x...)
	x = k.spare
	for i := range k.entries {
		if len(y) == 0 || len(x) > 0 && x[0] <= y[0] {
			k.entries[i], x = x[0], x[1:]
		} else {
			k.entries[i], y = y[0], y[1:]
		}
	}
}

func (k *distinct) toRegisters() {
	if len(k.registers) != 0 {
		return
	}
	if k.memory == nil {
		k.memory = make([]uint8, registers)
	}
	clear(k.memory)
	k.registers = k.memory
	for _, e := range k.entries {
		k.raise(register(e))
	}
	k.entries, k.tidied = k.entries[:0], 0
}

func (k *distinct) merge(other keeper) {
	o := other.(*distinct)
	o.tidy()
	if len(o.registers) != 0 {
		k.toRegisters()
		for i, r := range o.registers {
			k.raise(uint64(i), r)
		}
		return
	}
	for _, e := range o.entries {
		k.addEntry(e)
	}
}

func (k *distinct) reset() {
	k.entries, k.tidied, k.registers = k.entries[:0], 0, nil
}

func (k *distinct) append(dst []byte) []byte {
	k.tidy()
	if len(k.registers) == 0 {
		dst = append(dst, 0)
		dst = binary.AppendUvarint(dst, uint64(len(k.entries)))
		prev := uint32(0)
		for _, e := range k.entries {
			dst = binary.AppendUvarint(dst, uint64(e>>6-prev))
			if e>>6&(1<<innerBits-1) == 0 {
				dst = append(dst, byte(e&63))
			}
			prev = e >> 6
		}
		return dst
	}
	low := slices.Min(k.registers)
	dst = append(dst, 1, low)
	for i := 0; i < registers; i += 2 {
		dst = append(dst, min(k.registers[i]-low, 15)|min(k.registers[i+1]-low, 15)<<4)
	}
	for _, r := range k.registers {
		if r-low >= 15 {
			dst = append(dst, r-low-15)
		}
	}
	return dst
}

func (k *distinct) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	switch d.byte() {
	case 0:
		d.entries(k)
	case 1:
		d.registers(k)
	default:
		d.fail()
	}
	return d.end()
}

func (d *decoder) entries(k *distinct) {
	n, top := d.uvarint(), uint64(0)
	if n > sparseEntries {
		d.fail()
	}
	for i := uint64(0); i < n && !d.bad; i++ {
		step := d.uvarint()
		top += step
		if step >= 1<<sparseBits || top >= 1<<sparseBits {
			d.fail()
			return
		}
		rest := byte(0)
		if top&(1<<innerBits-1) == 0 {
			if rest = d.byte(); rest < 1 || rest > restBits+1 {
				d.fail()
				return
			}
		}
		if !d.bad {
			k.addEntry(uint32(top)<<6 | uint32(rest))
		}
	}
}

func (d *decoder) registers(k *distinct) {
	low := d.byte()
	nibbles := d.bytes(registers / 2)
	if d.bad {
		return
	}
	k.toRegisters()
	for i := range uint64(registers) {
		r := nibbles[i/2] >> (i % 2 * 4) & 15
		if r == 15 {
			r += min(d.byte(), maxRegister)
		}
		if low > maxRegister || r > maxRegister-low {
			d.fail()
			return
		}
		k.raise(i, low+r)
	}
}

func (k *distinct) answer(*Call, *group, At) event.Value {
	k.tidy()
	if len(k.registers) == 0 {
		return event.LongOf(int64(len(k.entries)))
	}
	return event.LongOf(int64(math.Round(min(k.estimate(), 1<<62)))) // more only of foreign bytes
}

// estimate is Ertl's: α∞·m² over the sum of 2^-register, where the registers that are 0, and those that
// could not rise further, are corrected for. Everything is a function of how many registers have each value.
func (k *distinct) estimate() float64 {
	var counts [maxRegister + 1]float64
	for _, r := range k.registers {
		counts[r]++
	}
	const m = registers
	z := float64(m * tau(1-float64(counts[maxRegister]/m)))
	for i := maxRegister - 1; i >= 1; i-- {
		z = 0.5 * (z + counts[i])
	}
	z += float64(m * sigma(counts[0]/m))
	return float64(m*m/(2*math.Ln2)) / z
}

// sigma is x + Σ x^(2^k)·2^(k-1), k >= 1.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	z, y := x, 1.0
	for {
		x = float64(x * x)
		last := z
		z += float64(x * y)
		y += y
		if z == last {
			return z
		}
	}
}

// tau is (1 - x - Σ (1 - x^(2^-k))²·2^-k) / 3, k >= 1.
func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	z, y := 1-x, 1.0
	for {
		x = math.Sqrt(x)
		last := z
		y *= 0.5
		z -= float64(float64((1-x)*(1-x)) * y)
		if z == last {
			return z / 3
		}
	}
}
