package export

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
)

// tableStats gathers statistics while a table is written, in memory that does not grow with its rows: counts of
// all rows, the smallest hashes of each column's values, and a sample of whole rows. Rows come in the order of
// the table, so the statistics depend on the table alone.
type tableStats struct {
	l      *layout
	blank  bool // the spine has no other way to write null than nothing
	rows   int64
	cols   []colStats
	sample sample
	crew   crew
}

// colStats is what is known of a column.
type colStats struct {
	nulls  int64
	hashes smallest
	seen   bool // a number
	min    float64
	max    float64
	sum    float64
	finite int64
	kept   sampleColumn
}

func newTableStats(l *layout, blank bool) *tableStats {
	s := &tableStats{l: l, blank: blank, cols: make([]colStats, len(l.table)), crew: crew{workers: 1}}
	s.sample.most = min(rowsOfSample, max(cellsOfSample/max(len(l.table), 1), 256))
	return s
}

// add takes the rows of a chunk that is about to be written.
func (s *tableStats) add(c *chunk) {
	picks := s.sample.choose(s.rows, c.rows)
	s.crew.each(len(s.cols), func(_, i int) { s.addColumn(c, i, picks) })
	s.rows += int64(c.rows)
}

func (s *tableStats) addColumn(c *chunk, i int, picks []pick) {
	col := &s.cols[i]
	col.kept.grow(len(s.sample.heap))
	if s.l.carried(c, i) {
		col.nulls += c.raw[i].nulls()
		return
	}
	vals := c.column(s.l, i)
	if inText(s.l.table[i].typ.Kind) || len(vals.ends) > 0 { // some numbers of others are decimals here
		col.addTexts(vals, s.blank && i < len(s.l.spine), picks)
		return
	}
	if len(vals.nums) == 0 {
		col.nulls += int64(c.rows)
		for _, p := range picks {
			col.kept.set(p.slot, sampleCell{})
		}
		return
	}
	col.addNumbers(vals, picks)
}

// addTexts adds the values of a column of texts, decimals, lists or maps.
func (col *colStats) addTexts(vals *series, blank bool, picks []pick) {
	cell := func(r int) (v event.Value, there bool) {
		v = vals.at(r)
		return v, v.Kind != event.Null && (!blank || v.Kind != event.String || v.Str != "")
	}
	for r := range vals.len() {
		v, there := cell(r)
		if !there {
			col.nulls++
			continue
		}
		if inText(v.Kind) {
			col.hashes.add(xxhash.Sum64String(v.Str))
		} else {
			col.hashes.add(scramble(v.Num))
		}
		if x, ok := numberOf(&v); ok {
			col.number(x)
		}
	}
	for _, p := range picks {
		v, there := cell(int(p.row))
		if !there {
			v = event.Value{}
		}
		col.kept.set(p.slot, cellOf(&v))
	}
}

// addNumbers adds the values of a column of numbers, instants or booleans.
func (col *colStats) addNumbers(vals *series, picks []pick) {
	for r, k := range vals.kinds {
		if k == event.Null {
			col.nulls++
		} else if h := scramble(vals.nums[r]); h <= col.hashes.limit-1 {
			col.hashes.put(h)
		}
	}
	for r, k := range vals.kinds {
		if k != event.Null {
			col.number(plainNumber(k, vals.nums[r]))
		}
	}
	for _, p := range picks {
		x := sampleCell{}
		if k := vals.kinds[p.row]; k != event.Null {
			x = sampleCell{num: plainNumber(k, vals.nums[p.row]), kind: isNumber}
		}
		col.kept.set(p.slot, x)
	}
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
	if x != x {
		return
	}
	if !c.seen {
		c.seen, c.min, c.max = true, x, x
	}
	c.min, c.max = min(c.min, x), max(c.max, x)
	if x-x == 0 { // it is finite
		c.sum += x
		c.finite++
	}
}

// scramble mixes the bits of a number (the finalizer of SplitMix64); it maps no two to one.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// numberOf is what is counted as a number: booleans as 0 and 1, instants in microseconds, days, decimals rounded.
func numberOf(v *event.Value) (float64, bool) {
	switch {
	case v.Kind == event.Decimal:
		f, ok := event.ParseDouble(v.String())
		return f, ok
	case v.Kind == event.Null || inText(v.Kind):
		return 0, false
	}
	return plainNumber(v.Kind, v.Num), true
}

// plainNumber is that of a value without text.
func plainNumber(k event.Kind, num uint64) float64 {
	if k == event.Double {
		return math.Float64frombits(num)
	}
	return float64(int64(num))
}

// hashesKept bounds what is kept of a column's distinct values.
const hashesKept = 2048

// smallest keeps the smallest hashes of a set of values, from which its size is told: exactly while there are fewer
// than it keeps, else with a standard error of 1/√(hashesKept-2), 2.2 %.
type smallest struct {
	set    []uint64
	limit  uint64   // those from it on are not kept; 0: none yet
	recent []uint64 // some of those in set, by their last bits
}

func (s *smallest) add(h uint64) {
	if h > s.limit-1 { // of no limit that is the greatest number
		return
	}
	s.put(h)
}

func (s *smallest) put(h uint64) {
	if s.recent == nil {
		s.recent = make([]uint64, 2*hashesKept)
		s.recent[0] = 1 // no hash that has this place
	}
	if at := &s.recent[h%(2*hashesKept)]; *at != h {
		*at = h
		if s.set = append(s.set, h); len(s.set) == 4*hashesKept {
			s.compact()
		}
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
