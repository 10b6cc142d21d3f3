package export

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// The sample holds so many rows, or fewer of a wide table, so that it has at most so many cells. Text is cut.
const (
	rowsOfSample  = 1 << 16
	cellsOfSample = 1 << 20
	textOfSample  = 64
)

// sample is which rows of a table are kept: those whose numbers have the smallest hashes. Each has a slot, in which
// columns keep its cell.
type sample struct {
	heap  []sampleRow // once there are enough: the greatest hash first
	most  int         // rows
	picks []pick
}

// sampleRow is a row of the sample.
type sampleRow struct {
	hash uint64
	slot int32
}

// pick is a row of a chunk that comes into the sample.
type pick struct{ row, slot int32 }

// choose takes the next rows, of which the first has a number; it tells which of them are kept, until the next call.
func (s *sample) choose(first int64, rows int) []pick {
	s.picks = s.picks[:0]
	for r := range rows {
		h := scramble(uint64(first + int64(r)))
		slot := int32(len(s.heap))
		if len(s.heap) < s.most {
			if s.heap = append(s.heap, sampleRow{h, slot}); len(s.heap) == s.most {
				slices.SortFunc(s.heap, func(a, b sampleRow) int { return cmp.Compare(b.hash, a.hash) })
			}
		} else if h < s.heap[0].hash {
			slot = s.heap[0].slot
			s.heap[0].hash = h
			s.sink()
		} else {
			continue
		}
		s.picks = append(s.picks, pick{int32(r), slot})
	}
	return s.picks
}

// sink brings the first row of the heap to its place.
func (s *sample) sink() {
	h, row := s.heap, s.heap[0]
	at := 0
	for {
		below := 2*at + 1
		if below >= len(h) {
			break
		}
		if below+1 < len(h) && h[below+1].hash > h[below].hash {
			below++
		}
		if row.hash >= h[below].hash {
			break
		}
		h[at] = h[below]
		at = below
	}
	h[at] = row
}

// prune puts the rows and their cells in the order of their hashes. No more are taken then.
func (s *tableStats) prune() {
	heap := s.sample.heap
	slices.SortFunc(heap, func(a, b sampleRow) int { return cmp.Compare(a.hash, b.hash) })
	s.crew.each(len(s.cols), func(_, i int) {
		c := &s.cols[i].kept
		c.grow(len(heap)) // of a column that has had no chunk
		c.kinds, c.nums, c.texts = bySlots(c.kinds, heap), bySlots(c.nums, heap), bySlots(c.texts, heap)
	})
	for r := range heap {
		heap[r].slot = int32(r)
	}
}

// sampleCell is a number, or text; of null neither.
type sampleCell struct {
	num  float64
	text string
	kind sampleKind
}

type sampleKind uint8

const (
	isNull sampleKind = iota
	isNumber
	isText
)

// sampleColumn is the cells of the sample's rows in a column, by slot.
type sampleColumn struct {
	kinds []sampleKind
	nums  []float64
	texts []string // none: no cell has one
}

func cellOf(v *event.Value) sampleCell {
	if x, ok := numberOf(v); ok {
		return sampleCell{num: x, kind: isNumber}
	}
	if v.IsNull() {
		return sampleCell{}
	}
	text := v.String()
	return sampleCell{text: text[:min(len(text), textOfSample)], kind: isText}
}

// grow makes room for rows.
func (c *sampleColumn) grow(rows int) {
	more := rows - len(c.kinds)
	c.kinds, c.nums = append(c.kinds, make([]sampleKind, more)...), append(c.nums, make([]float64, more)...)
	if len(c.texts) > 0 {
		c.texts = append(c.texts, make([]string, more)...)
	}
}

func (c *sampleColumn) set(slot int32, x sampleCell) {
	c.kinds[slot], c.nums[slot] = x.kind, x.num
	if x.kind == isText && len(c.texts) == 0 {
		c.texts = make([]string, len(c.kinds))
	}
	if len(c.texts) > 0 {
		c.texts[slot] = strings.Clone(x.text)
	}
}

func (c *sampleColumn) at(slot int) sampleCell {
	x := sampleCell{num: c.nums[slot], kind: c.kinds[slot]}
	if x.kind == isText {
		x.text = c.texts[slot]
	}
	return x
}

// bySlots puts cells in the order of rows.
func bySlots[T any](cells []T, rows []sampleRow) []T {
	if len(cells) == 0 {
		return cells
	}
	out := make([]T, len(rows))
	for r := range rows {
		out[r] = cells[rows[r].slot]
	}
	return out
}

// sortNumbers sorts numbers that are not NaN, by their digits: some times faster than by comparing them.
func sortNumbers(nums []float64) {
	if len(nums) < 1024 {
		slices.Sort(nums)
		return
	}
	const sign = 1 << 63
	from, to := make([]uint64, len(nums)), make([]uint64, len(nums))
	var counts [8][256]int32
	for i, x := range nums {
		b := math.Float64bits(x)
		if b&sign != 0 { // so that the order is that of the bits
			b = ^b
		} else {
			b |= sign
		}
		from[i] = b
		for d := range counts {
			counts[d][byte(b>>(8*d))]++
		}
	}
	for d := range counts {
		if counts[d][byte(from[0]>>(8*d))] == int32(len(nums)) {
			continue // all have the same digit
		}
		at := int32(0)
		for i, n := range counts[d] {
			counts[d][i] = at
			at += n
		}
		for _, b := range from {
			digit := byte(b >> (8 * d))
			to[counts[d][digit]] = b
			counts[d][digit]++
		}
		from, to = to, from
	}
	for i, b := range from {
		if b&sign != 0 {
			b &^= sign
		} else {
			b = ^b
		}
		nums[i] = math.Float64frombits(b)
	}
}
