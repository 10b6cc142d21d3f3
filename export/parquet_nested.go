package export

import (
	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
)

// appendNested appends a nullable list or map as the values of its leaf columns, from column base on: those of a
// leaf column stand together, in order.
func appendNested(row parquet.Row, v event.Value, t *event.Type, base int) parquet.Row {
	for leaf := range leavesOf(t) {
		row = appendLeaf(row, v, t, leaf, levels{col: base + leaf})
	}
	return row
}

// leavesOf is the number of leaf columns of a type.
func leavesOf(t *event.Type) int {
	switch t.Kind {
	case event.List:
		return leavesOf(t.Elem)
	case event.Map:
		return 1 + leavesOf(t.Elem)
	}
	return 1
}

// levels are where a value stands: in which leaf column, how much of its path is there (definition), how deep
// the list is that it continues (repetition), and how deep the list is that it lies in.
type levels struct {
	col, rep, def, depth int
}

func (at levels) null() parquet.Value { return parquet.NullValue().Level(at.rep, at.def, at.col) }

// appendLeaf appends what v, which may be null, has in leaf column number leaf of its type.
func appendLeaf(row parquet.Row, v event.Value, t *event.Type, leaf int, at levels) parquet.Row {
	if v.IsNull() {
		return append(row, at.null())
	}
	at.def++
	if t.Elem == nil {
		return append(row, parquetValue(v, kindOf(*t), at.col, false).Level(at.rep, at.def, at.col))
	}
	key := t.Kind == event.Map && leaf == 0
	if t.Kind == event.Map {
		leaf--
	}
	depth, first := at.depth+1, true
	at.def++
	at.depth = depth
	_ = event.EachElem(v.Str, func(i int, e event.Value) error {
		switch {
		case t.Kind == event.Map && (i%2 == 0) != key:
			return nil
		case key:
			row = append(row, parquetValue(e, parquet.ByteArray, at.col, false).Level(at.rep, at.def, at.col))
		default:
			row = appendLeaf(row, e, t.Elem, leaf, at)
		}
		at.rep, first = depth, false
		return nil
	})
	if first { // empty
		at.def--
		row = append(row, at.null())
	}
	return row
}

// kindOf is how the values of a flat type are stored.
func kindOf(t event.Type) parquet.Kind {
	switch t.Kind {
	case event.Bool:
		return parquet.Boolean
	case event.Long, event.Timestamp, event.LocalTimestamp, event.TimeOfDay:
		return parquet.Int64
	case event.Date:
		return parquet.Int32
	case event.Double:
		return parquet.Double
	}
	return parquet.ByteArray
}
