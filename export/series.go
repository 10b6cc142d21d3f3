package export

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// series are values of a column, closer together than values are by themselves, and nothing that the garbage collector
// follows. Numbers and texts are there from the first value on that has one.
type series struct {
	kinds []event.Kind
	nums  []uint64 // as many as kinds, or none: no value has a number
	ends  []int    // as many as kinds, or none: where the text of each ends
	text  []byte   // never written again, since who reads a row may hold its texts; only added to
}

func (s *series) len() int { return len(s.kinds) }

// at is value r. Its text is the series'.
func (s *series) at(r int) event.Value {
	v := event.Value{Kind: s.kinds[r]}
	if len(s.nums) > 0 {
		v.Num = s.nums[r]
	}
	if len(s.ends) > 0 {
		v.Str = s.textAt(r)
	}
	return v
}

// textAt is the text of value r, of a series that has some.
func (s *series) textAt(r int) string {
	from := 0
	if r > 0 {
		from = s.ends[r-1]
	}
	return event.Alias(s.text[from:s.ends[r]])
}

// append copies a value.
func (s *series) append(v event.Value) {
	if len(s.nums) > 0 || v.Num != 0 || v.Kind != event.Null && !inText(v.Kind) {
		s.nums = append(padded(s.nums, len(s.kinds)), v.Num)
	}
	if len(s.ends) > 0 || v.Str != "" {
		s.ends = padded(s.ends, len(s.kinds))
		s.text = append(s.text, v.Str...)
		s.ends = append(s.ends, len(s.text))
	}
	s.kinds = append(s.kinds, v.Kind)
}

// padded makes s as long as what stands beside it.
func padded[T any](s []T, n int) []T {
	if len(s) == n {
		return s
	}
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// appendRows copies values of another series.
func (s *series) appendRows(from *series, rows []int32) {
	for _, r := range rows {
		s.append(from.at(int(r)))
	}
}

// nulls counts what is not there.
func (s *series) nulls() (n int) {
	for _, k := range s.kinds {
		if k == event.Null {
			n++
		}
	}
	return n
}

// retain keeps the rows that are marked.
func (s *series) retain(keep []bool) {
	if len(s.ends) > 0 {
		ends, text := s.ends[:0], make([]byte, 0, len(s.text))
		from := 0
		for r, end := range s.ends {
			if keep[r] {
				text = append(text, s.text[from:end]...)
				ends = append(ends, len(text))
			}
			from = end
		}
		s.ends, s.text = ends, text
	}
	if len(s.nums) > 0 {
		s.nums = retained(s.nums, keep, 1)
	}
	s.kinds = retained(s.kinds, keep, 1)
}

// reset empties s. Texts that were read of it stay whole.
func (s *series) reset() {
	s.kinds, s.nums, s.ends = s.kinds[:0], s.nums[:0], s.ends[:0]
	if n := len(s.text); n > 0 {
		s.text = make([]byte, 0, n+n/16) // the next rows have about as much
	}
}

// size is what the values take beside their texts.
func (s *series) size() int64 {
	return int64(len(s.kinds)) + 8*int64(len(s.nums)+len(s.ends))
}
