package export

import (
	"errors"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
)

// errNull is of a column that has no way to write it.
var errNull = errors.New("it is null")

// addColumn adds some rows of column i; an error that is not of a row, counted from 0, is of row -1.
func (s *parquetSink) addColumn(c *chunk, i, from, to int, z *zstd.Encoder) (int, error) {
	col := &s.cols[i]
	var err error
	switch {
	case c.isRaw(i) && len(col.leaves) == 1:
		err = col.leaves[0].addValues(c.raw[i].of(from, to), z)
	case c.isRaw(i):
		err = col.addNested(c.raw[i].of(from, to), z)
	case s.l.table[i].typ.Elem != nil:
		t := &s.l.table[i].typ
		vals := c.column(s.l, i)
		for r := from; r < to && err == nil; r++ {
			col.row = appendNested(col.row[:0], vals.at(r), t, 0)
			err = col.addNested(col.row, z)
		}
	default:
		return col.leaves[0].addCells(c.column(s.l, i), from, to, s.l.table[i].typ.Kind, z)
	}
	return -1, err
}

// addCells adds values of a kind. Of an error it tells at which of them, or -1.
func (w *leafColumn) addCells(vals *series, from, to int, kind event.Kind, z *zstd.Encoder) (int, error) {
	for from < to {
		if w.full() {
			if err := w.endRows(z); err != nil {
				return -1, err
			}
		}
		n := min(to-from, levelsOfPage-len(w.defs))
		if w.kind == parquet.ByteArray {
			n = w.addTexts(vals, from, n)
		} else {
			n = w.addNumbers(vals, from, n, kind)
		}
		if from += n; n == 0 {
			if v := vals.at(from); !v.IsNull() {
				return from, fits(v, kind)
			}
			return from, errNull
		}
	}
	w.rows = len(w.defs)
	return -1, nil
}

// addNumbers adds values up to one that cannot be written; it tells how many.
func (w *leafColumn) addNumbers(vals *series, from, n int, kind event.Kind) int {
	kinds, nulls := vals.kinds[from:from+n], 0
	for r, k := range kinds {
		if k == kind {
			continue
		}
		if k != event.Null || w.def == 0 {
			n = r
			break
		}
		nulls++
	}
	w.values += n - nulls
	at := len(w.defs)
	w.defs = slices.Grow(w.defs, n)[:at+n]
	defs := w.defs[at:]
	if nulls == n {
		clear(defs)
		return n
	}
	nums := vals.nums[from : from+n]
	if nulls == 0 {
		for r := range defs {
			defs[r] = w.def
		}
		w.nums = append(w.nums, nums...)
	} else {
		for r, k := range kinds[:n] {
			if defs[r] = 0; k != event.Null {
				defs[r] = w.def
				w.nums = append(w.nums, nums[r])
			}
		}
	}
	w.narrow(w.nums[len(w.nums)-(n-nulls):])
	return n
}

// narrow makes of numbers what the column holds.
func (w *leafColumn) narrow(nums []uint64) {
	switch w.kind {
	case parquet.Float:
		for i, x := range nums {
			nums[i] = uint64(math.Float32bits(float32(math.Float64frombits(x))))
		}
	case parquet.Int32:
		for i, x := range nums {
			nums[i] = uint64(uint32(x))
		}
	}
}

// addTexts adds values, up to one that cannot be written or the end of a page; it tells how many.
func (w *leafColumn) addTexts(vals *series, from, n int) int {
	plain := len(vals.ends) > 0
	for r := from; r < from+n; r++ {
		if len(w.text) >= bytesOfPage {
			return r - from
		}
		switch k := vals.kinds[r]; {
		case k == event.Null && w.def == 0:
			return r - from
		case k == event.Null:
			w.defs = append(w.defs, 0)
			continue
		case k != event.String && k != event.Bytes:
			w.addText(vals.at(r).String())
		case plain:
			w.addText(vals.textAt(r))
		default:
			w.addText("")
		}
		w.defs = append(w.defs, w.def)
		w.values++
	}
	return n
}

// endRows ends a page of a flat column between two rows.
func (w *leafColumn) endRows(z *zstd.Encoder) error {
	w.rows = len(w.defs)
	return w.flush(z)
}

// addValues adds values of Parquet, which have their levels.
func (w *leafColumn) addValues(vals []parquet.Value, z *zstd.Encoder) error {
	for i := range vals {
		v := &vals[i]
		if v.RepetitionLevel() == 0 && w.full() {
			if err := w.flush(z); err != nil {
				return err
			}
		}
		def := byte(v.DefinitionLevel())
		w.level(byte(v.RepetitionLevel()), def)
		if def != w.def {
			continue
		}
		switch w.kind {
		case parquet.Boolean:
			w.nums = append(w.nums, event.BoolOf(v.Boolean()).Num)
		case parquet.Int32:
			w.nums = append(w.nums, uint64(v.Uint32()))
		case parquet.Int64:
			w.nums = append(w.nums, v.Uint64())
		case parquet.Float:
			w.nums = append(w.nums, uint64(math.Float32bits(v.Float())))
		case parquet.Double:
			w.nums = append(w.nums, math.Float64bits(v.Double()))
		case parquet.Int96:
			w.text = v.AppendBytes(w.text)
		default:
			w.addText(event.Alias(v.ByteArray()))
		}
	}
	return nil
}

// addNested deals values out to the leaves of a column. A row has those of one leaf after those of the one before.
func (col *parquetColumn) addNested(vals []parquet.Value, z *zstd.Encoder) error {
	if len(vals) == 0 {
		return nil
	}
	base := vals[0].Column()
	for from := 0; from < len(vals); {
		to := from + 1
		for to < len(vals) && vals[to].Column() == vals[from].Column() {
			to++
		}
		if err := col.leaves[vals[from].Column()-base].addValues(vals[from:to], z); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// isRaw tells whether a column has values of Parquet as they were read.
func (c *chunk) isRaw(i int) bool { return i < len(c.raw) && len(c.raw[i].ends) > 0 }

// of are the values of some rows.
func (c *rawColumn) of(from, to int) []parquet.Value {
	begin := int32(0)
	if from > 0 {
		begin = c.ends[from-1]
	}
	if to == from {
		return nil
	}
	return c.vals[begin:c.ends[to-1]]
}
