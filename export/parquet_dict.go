package export

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// A dictionary of more is given up: the pages from then on are plain.
const (
	numbersOfDict = 1 << 16
	bytesOfDict   = 1 << 20
)

// dictionary numbers the values of a column in the order of their first places.
type dictionary struct {
	slots   []int32 // by hash: the number and one more; 0: none
	nums    []uint64
	text    []byte   // as PLAIN has it
	ends    []uint32 // by text: where it ends
	indexes []int32  // of the page under way
}

func (d *dictionary) size() int { return len(d.nums) + len(d.ends) }

// look numbers the values of a page, unless the dictionary would be too large, or does not pay: for numbers, where at the
// first page most are there once. (Text has one in any case: readers keep it so.) Then it is as it was before.
func (d *dictionary) look(w *leafColumn) bool {
	nums, ends, text := len(d.nums), len(d.ends), len(d.text)
	most := numbersOfDict
	if w.pages == 0 && len(w.nums) > 0 {
		most = len(w.nums) / 2
	}
	d.indexes = d.indexes[:0]
	for _, x := range w.nums {
		d.indexes = append(d.indexes, d.number(x))
		if len(d.nums) > most {
			break
		}
	}
	for at := 0; at < len(w.text) && len(d.text) <= bytesOfDict; {
		end := at + 4 + int(binary.LittleEndian.Uint32(w.text[at:]))
		d.indexes = append(d.indexes, d.word(w.text[at:end]))
		at = end
	}
	if len(d.nums) <= most && len(d.text) <= bytesOfDict {
		return true
	}
	d.nums, d.ends, d.text = d.nums[:nums], d.ends[:ends], d.text[:text]
	return false
}

// slotOf is where the search for a hash begins; the high bits of a product are the mixed ones.
func (d *dictionary) slotOf(hash uint64) int { return int(hash >> 32 * uint64(len(d.slots)) >> 32) }

func hashOfNumber(x uint64) uint64 { return (x ^ x>>32) * 0x9e3779b97f4a7c15 }

func (d *dictionary) number(x uint64) int32 {
	if 2*len(d.nums) >= len(d.slots) {
		d.grow()
	}
	for at := d.slotOf(hashOfNumber(x)); ; at = (at + 1) & (len(d.slots) - 1) {
		switch n := d.slots[at]; {
		case n == 0:
			d.nums = append(d.nums, x)
			d.slots[at] = int32(len(d.nums))
			return int32(len(d.nums)) - 1
		case d.nums[n-1] == x:
			return n - 1
		}
	}
}

// word numbers a text that has its length before it.
func (d *dictionary) word(text []byte) int32 {
	if 2*len(d.ends) >= len(d.slots) {
		d.grow()
	}
	for at := d.slotOf(xxhash.Sum64(text)); ; at = (at + 1) & (len(d.slots) - 1) {
		switch n := d.slots[at]; {
		case n == 0:
			d.text = append(d.text, text...)
			d.ends = append(d.ends, uint32(len(d.text)))
			d.slots[at] = int32(len(d.ends))
			return int32(len(d.ends)) - 1
		case string(d.entry(int(n)-1)) == string(text):
			return n - 1
		}
	}
}

func (d *dictionary) entry(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = d.ends[i-1]
	}
	return d.text[from:d.ends[i]]
}

func (d *dictionary) grow() {
	d.slots = make([]int32, max(2*len(d.slots), 1024))
	put := func(hash uint64, n int) {
		at := d.slotOf(hash)
		for d.slots[at] != 0 {
			at = (at + 1) & (len(d.slots) - 1)
		}
		d.slots[at] = int32(n) + 1
	}
	for i, x := range d.nums {
		put(hashOfNumber(x), i)
	}
	for i := range d.ends {
		put(xxhash.Sum64(d.entry(i)), i)
	}
}
