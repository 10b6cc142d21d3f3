package event

import "cmp"

// Row is one accepted event as a view keeps it: when it happened, when it arrived, where it came
// from, and the values that the view's aggregates read.
type Row struct {
	Time    Time
	Arrival Time
	Pos     Position
	Order   Value   // of the source's `order:` column; null without one
	Pass    uint64  // bit i is set if the row passes filter i of the view
	Values  []Value // input i of the view; may alias a buffer (see Value)
}

// Before tells whether r comes before q in tie order: event time, order column, position. No two
// rows are equal in it, since positions differ.
func (r *Row) Before(q *Row) bool { return r.Compare(q) < 0 }

// Compare orders rows by event time, order column, position.
func (r *Row) Compare(q *Row) int {
	if c := cmp.Compare(int64(r.Time), int64(q.Time)); c != 0 {
		return c
	}
	if r.Order.Kind != Null || q.Order.Kind != Null {
		if c := Compare(r.Order, q.Order); c != 0 {
			return c
		}
	}
	return r.Pos.Compare(q.Pos)
}
