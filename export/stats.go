package export

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
)

// tableStats gathers statistics while a table is written, in memory that does not grow with its rows: counts of
// all rows, the smallest hashes of each column's values, and a sample of whole rows. Rows come in the order of
// the table, so the statistics depend on the table alone.
type tableStats struct {
	l       *layout
	blank   bool // the spine has no other way to write null than nothing
	rows    int64
	cols    []colStats
	samples []sampleRow // once there are enough: a heap, the greatest hash first
	most    int         // rows of the sample
	workers int         // goroutines that add
}

// The sample holds so many rows, or fewer of a wide table, so that it has at most so many cells. Text is cut.
const (
	rowsOfSample  = 1 << 16
	cellsOfSample = 1 << 20
	textOfSample  = 64
)

// colStats is what is known of a column.
type colStats struct {
	nulls  int64
	hashes smallest
	seen   bool // a number
	min    float64
	max    float64
	sum    float64
	finite int64
}

// sampleRow is a row of the sample.
type sampleRow struct {
	hash  uint64
	cells []sampleCell
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

func newTableStats(l *layout, blank bool) *tableStats {
	s := &tableStats{l: l, blank: blank, cols: make([]colStats, len(l.table)), workers: 1}
	s.most = min(rowsOfSample, max(cellsOfSample/max(len(l.table), 1), 256))
	return s
}

// add takes the rows of a chunk that is about to be written.
func (s *tableStats) add(c *chunk) {
	inParallel(s.workers, len(s.cols), func(_, i int) { s.addColumn(c, i) })
	for r := range c.rows {
		h := scramble(uint64(s.rows + int64(r)))
		switch {
		case len(s.samples) < s.most:
			s.samples = append(s.samples, sampleRow{h, make([]sampleCell, len(s.cols))})
			s.keep(c, r, s.samples[len(s.samples)-1].cells)
			if len(s.samples) == s.most {
				s.prune()
				slices.Reverse(s.samples)
			}
		case h < s.samples[0].hash:
			s.samples[0].hash = h
			s.keep(c, r, s.samples[0].cells)
			s.sink()
		}
	}
	s.rows += int64(c.rows)
}

func (s *tableStats) addColumn(c *chunk, i int) {
	col := &s.cols[i]
	if s.l.carried(c, i) {
		col.nulls += c.raw[i].nulls()
		return
	}
	blank := s.blank && i < len(s.l.spine)
	vals := c.column(s.l, i)
	for r := range c.rows {
		v := vals.at(r)
		if v.Kind == event.Null || blank && v.Kind == event.String && v.Str == "" {
			col.nulls++
			continue
		}
		col.hashes.add(hashOf(&v))
		if x, ok := numberOf(&v); ok {
			col.number(x)
		}
	}
}

// cell is a cell of the table, as it is meant.
func (s *tableStats) cell(c *chunk, i, r int) event.Value {
	v := c.cell(s.l, i, r)
	if s.blank && v.Kind == event.String && v.Str == "" && i < len(s.l.spine) {
		return event.Value{}
	}
	return v
}

// carried tells whether a column is written as it was read, with no values of ours.
func (l *layout) carried(c *chunk, i int) bool { return i < len(c.raw) && c.vals[i].len() < c.rows }

// nulls counts the rows of a carried column that hold nothing.
func (c *rawColumn) nulls() (n int64) {
	from := int32(0)
	for _, end := range c.ends {
		if end > from && c.vals[from].IsNull() && c.vals[from].DefinitionLevel() == 0 {
			n++
		}
		from = end
	}
	return n
}

func (c *colStats) number(x float64) {
	if math.IsNaN(x) {
		return
	}
	if !c.seen {
		c.seen, c.min, c.max = true, x, x
	}
	c.min, c.max = min(c.min, x), max(c.max, x)
	if !math.IsInf(x, 0) {
		c.sum += x
		c.finite++
	}
}

// keep copies a row into the sample.
func (s *tableStats) keep(c *chunk, r int, cells []sampleCell) {
	for i := range s.cols {
		cells[i] = sampleCell{}
		if s.l.carried(c, i) {
			continue
		}
		v := s.cell(c, i, r)
		if x, ok := numberOf(&v); ok {
			cells[i] = sampleCell{num: x, kind: isNumber}
		} else if !v.IsNull() {
			text := v.String()
			cells[i] = sampleCell{text: strings.Clone(text[:min(len(text), textOfSample)]), kind: isText}
		}
	}
}

// sink brings the first row of the heap to its place.
func (s *tableStats) sink() {
	for at := 0; ; {
		below := 2*at + 1
		if below >= len(s.samples) {
			return
		}
		if below+1 < len(s.samples) && s.samples[below+1].hash > s.samples[below].hash {
			below++
		}
		if s.samples[at].hash >= s.samples[below].hash {
			return
		}
		s.samples[at], s.samples[below] = s.samples[below], s.samples[at]
		at = below
	}
}

// prune puts the sample in the order of its hashes. To add more, it is to be reversed.
func (s *tableStats) prune() {
	slices.SortFunc(s.samples, func(a, b sampleRow) int { return cmp.Compare(a.hash, b.hash) })
}

// scramble mixes the bits of a number (the finalizer of SplitMix64); it maps no two to one.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func hashOf(v *event.Value) uint64 {
	if inText(v.Kind) {
		return xxhash.Sum64String(v.Str)
	}
	return scramble(v.Num)
}

// numberOf is what is counted as a number: booleans as 0 and 1, instants in microseconds, days, decimals rounded.
func numberOf(v *event.Value) (float64, bool) {
	switch v.Kind {
	case event.Bool, event.Long, event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
		return float64(v.Long()), true
	case event.Double:
		return v.Double(), true
	case event.Decimal:
		f, ok := event.ParseDouble(v.String())
		return f, ok
	}
	return 0, false
}

// hashesKept bounds what is kept of a column's distinct values.
const hashesKept = 2048

// smallest keeps the smallest hashes of a set of values, from which its size is told: exactly while there are fewer
// than it keeps, else with a standard error of 1/√(hashesKept-2), 2.2 %.
type smallest struct {
	set    []uint64
	limit  uint64 // those from it on are not kept; 0: none yet
	recent [64]uint64
}

func (s *smallest) add(h uint64) {
	if s.limit != 0 && h >= s.limit || s.recent[h%64] == h {
		return
	}
	s.recent[h%64] = h
	if s.set = append(s.set, h); len(s.set) == 4*hashesKept {
		s.compact()
	}
}

func (s *smallest) compact() {
	slices.Sort(s.set)
	s.set = slices.Compact(s.set)
	if len(s.set) > hashesKept {
		s.set = s.set[:hashesKept]
		s.limit = s.set[hashesKept-1]
	}
}

// distinct is how many values there are, and whether that is exact.
func (s *smallest) distinct() (n int64, exact bool) {
	s.compact()
	if s.limit == 0 {
		return int64(len(s.set)), true
	}
	at := float64(s.set[hashesKept-1]) / (1 << 64)
	return int64(math.Round((hashesKept - 1) / at)), false
}
