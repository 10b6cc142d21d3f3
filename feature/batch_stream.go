package feature

import (
	"fmt"
	"slices"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// leastRow is the fewest bytes of a row: a length and an event time.
const leastRow = 2 + 8

// rowStream gives an entity's rows of a cut in tie order: of its head, and of the leaves of its archive.
type rowStream struct {
	from event.Time // rows before it are left out
	head []rowRef   // of the entity's head, those to come
	leaf int        // the next to open
	rows []byte     // of the one that is open, those to come
	part bool       // some of them lie beyond the cut
	ties []event.Row

	headT event.Time // of the first row of head; MaxTime if there is none
	rowT  event.Time // of the first of rows; MaxTime if there is none
}

// begin starts at from, behind the leaves before the given one. The entity's index has been laid.
func (s *rowStream) begin(ix *entityIndex, from event.Time, leaf int) {
	s.from, s.leaf, s.rows = from, leaf, nil
	s.leaf += sort.Search(len(ix.leaves)-leaf, func(i int) bool { return ix.leaves[leaf+i].maxT >= from })
	s.head = ix.head.rows
	s.head = s.head[sort.Search(len(s.head), func(i int) bool { return s.head[i].t >= from }):]
	s.peek()
}

// peek notes the times of the next rows.
func (s *rowStream) peek() {
	s.headT, s.rowT = event.MaxTime, event.MaxTime
	if len(s.head) > 0 {
		s.headT = s.head[0].t
	}
	if len(s.rows) > 0 {
		s.rowT = rowTime(s.rows)
	}
}

// take appends rows before a time to cols, about most of them. It returns a time before which none is to come:
// that of the next row, or the given one.
func (s *rowStream) take(r *Reader, sc *viewScan, cols *agg.Columns, before event.Time, most int) (event.Time, error) {
	end := cols.End() + most
	for {
		if err := s.open(r, sc, before); err != nil {
			return 0, err
		}
		t := min(s.headT, s.rowT)
		if t >= before || cols.End() >= end {
			return min(t, before), nil
		}
		var err error
		switch {
		case s.tied(t):
			err = s.takeTies(r, sc, cols, t)
		case t == s.headT:
			_, err = sc.q.v.c.appendTo(cols, s.head[0].b)
			s.head = s.head[1:]
			s.peek()
		default:
			err = s.takeLeaf(sc, cols, before, end)
		}
		if err != nil {
			return 0, err
		}
	}
}

// tied tells whether several rows may be of the time of the next.
func (s *rowStream) tied(t event.Time) bool {
	if s.headT == t {
		return s.rowT == t || len(s.head) > 1 && s.head[1].t == t
	}
	rest := s.rows[2+leastLength(s.rows):]
	return len(rest) < leastRow || rowTime(rest) == t
}

// takeLeaf takes rows of the open leaf, up to the first of a time with others, and to the last, which others may
// follow in the next leaf.
func (s *rowStream) takeLeaf(sc *viewScan, cols *agg.Columns, before event.Time, end int) (err error) {
	before = min(before, s.headT)
	b, t := s.rows, s.rowT
	cols.Reserve(min(end-cols.End(), len(b)/leastRow))
	for t < before && cols.End() < end {
		rest := b[2+leastLength(b):]
		if len(rest) < leastRow {
			break
		}
		next := rowTime(rest)
		if next == t {
			break
		}
		if s.part && !sc.inCut(b) {
			b, t = rest, next
			continue
		}
		if b, err = sc.q.v.c.appendTo(cols, b); err != nil {
			return err
		}
		t = next
	}
	s.rows, s.rowT = b, t
	return nil
}

// leastLength is how long a row says to be, but not longer than what there is.
func leastLength(b []byte) int { return min(int(b[0])|int(b[1])<<8, len(b)-2) }

// inCut tells whether the row at the head of b lies within the cut.
func (sc *viewScan) inCut(b []byte) bool {
	lane, off, err := rowPosition(b)
	return err != nil || off < sc.cut[lane] // a damaged row is told by who decodes it
}

// takeTies takes the rows of a time, of which there may be several.
func (s *rowStream) takeTies(r *Reader, sc *viewScan, cols *agg.Columns, t event.Time) (err error) {
	s.ties = s.ties[:0]
	for min(s.headT, s.rowT) == t {
		row := s.tie(len(sc.row.Values))
		if s.headT == t {
			_, err = sc.q.v.c.next(s.head[0].b, row)
			s.head = s.head[1:]
		} else {
			in := !s.part || sc.inCut(s.rows)
			if s.rows, err = sc.q.v.c.next(s.rows, row); !in {
				s.ties = s.ties[:len(s.ties)-1]
			}
		}
		if err != nil {
			return err
		}
		if n := len(s.rows); n > 0 && n < leastRow {
			return errCorruptRow
		}
		s.peek()
		if err := s.open(r, sc, t+1); err != nil {
			return err
		}
	}
	slices.SortFunc(s.ties, func(a, b event.Row) int { return a.Compare(&b) })
	for i := range s.ties {
		cols.Append(&s.ties[i])
	}
	return nil
}

// open opens the next leaf that has rows before a time, if none is open.
func (s *rowStream) open(r *Reader, sc *viewScan, before event.Time) (err error) {
	leaves := sc.index.leaves
	for ; len(s.rows) == 0 && s.leaf < len(leaves) && leaves[s.leaf].minT < before; s.leaf++ {
		l := &leaves[s.leaf]
		if s.rows, err = r.leaf(l.id, true); err != nil {
			return err
		}
		s.part = l.part
		for b := s.rows; len(b) > 0; s.rows = b {
			_, rest, err := splitRow(b)
			if err != nil {
				return fmt.Errorf("read block %d: %w", l.id, err)
			}
			if rowTime(b) >= s.from {
				break
			}
			b = rest
		}
		s.peek()
	}
	return nil
}

// tie is memory for another row of a time.
func (s *rowStream) tie(values int) *event.Row {
	n := len(s.ties)
	if n == cap(s.ties) {
		s.ties = append(s.ties, event.Row{})
	}
	s.ties = s.ties[:n+1]
	row := &s.ties[n]
	row.Values = resize(row.Values, values)
	return row
}
