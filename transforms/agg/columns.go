package agg

import (
	"sort"

	"github.com/penstock-ml/penstock/event"
)

// Columns holds rows in tie order, column by column: those over which windows move (Slide). A row has one number
// for good, in the order in which they were appended; the first that are not needed any more may be dropped.
type Columns struct {
	base    int // number of the first row that is held
	least   int // how many rows are dropped at once, at least
	times   []event.Time
	arrived []event.Time
	passes  bool // some group has a filter
	pass    []uint64
	inputs  []inputColumn // by input; those that no group reads hold nothing
}

// inputColumn is one input of the rows.
type inputColumn struct {
	used, text bool
	kinds      []event.Kind
	nums       []uint64
	texts      []string // of kinds whose values have some
}

const dropAtLeast = 1 << 10

// NewColumns returns empty columns of what the groups of l listed in groups read.
func NewColumns(l *Layout, groups []int) *Columns {
	c := &Columns{least: dropAtLeast}
	for _, i := range groups {
		g := &l.Groups[i]
		c.passes = c.passes || g.Filter >= 0
		if g.Input < 0 {
			continue
		}
		for len(c.inputs) <= g.Input {
			c.inputs = append(c.inputs, inputColumn{})
		}
		in := &c.inputs[g.Input]
		in.used = true
		switch g.Type.Kind {
		case event.String, event.Bytes, event.Decimal, event.List, event.Map:
			in.text = true
		}
	}
	return c
}

// Reset drops all rows; the next has number 0.
func (c *Columns) Reset() {
	c.base = 0
	c.times, c.arrived, c.pass = c.times[:0], c.arrived[:0], c.pass[:0]
	for i := range c.inputs {
		in := &c.inputs[i]
		clear(in.texts)
		in.kinds, in.nums, in.texts = in.kinds[:0], in.nums[:0], in.texts[:0]
	}
}

// Append adds the row that follows in tie order. The text of its values is not copied: it must stay.
func (c *Columns) Append(r *event.Row) {
	c.times, c.arrived = append(c.times, r.Time), append(c.arrived, r.Arrival)
	if c.passes {
		c.pass = append(c.pass, r.Pass)
	}
	for i := range c.inputs {
		in := &c.inputs[i]
		if !in.used {
			continue
		}
		v := event.Value{}
		if i < len(r.Values) {
			v = r.Values[i]
		}
		in.kinds, in.nums = append(in.kinds, v.Kind), append(in.nums, v.Num)
		if in.text {
			in.texts = append(in.texts, v.Str)
		}
	}
}

// Begin is the number of the first row that is held.
func (c *Columns) Begin() int { return c.base }

// End is the number of the next row.
func (c *Columns) End() int { return c.base + len(c.times) }

// Held is how many rows are held.
func (c *Columns) Held() int { return len(c.times) }

// RowSize is about how many bytes a row takes here, without its text.
func (c *Columns) RowSize() int {
	n := 16
	if c.passes {
		n += 8
	}
	for i := range c.inputs {
		if in := &c.inputs[i]; in.text {
			n += 25
		} else if in.used {
			n += 9
		}
	}
	return n
}

// Time is the event time of a row that is held.
func (c *Columns) Time(row int) event.Time { return c.times[row-c.base] }

// Arrival is when a row that is held arrived.
func (c *Columns) Arrival(row int) event.Time { return c.arrived[row-c.base] }

// Seek is the number of the first row, not before from, that is of t or later; End if there is none.
func (c *Columns) Seek(from int, t event.Time) int {
	i := from - c.base
	step := 1
	for i+step < len(c.times) && c.times[i+step] < t {
		i, step = i+step, 2*step
	}
	rest := c.times[i:min(i+step+1, len(c.times))]
	return c.base + i + sort.Search(len(rest), func(k int) bool { return rest[k] >= t })
}

// Drop lets rows before the given one go, when they are most of what is held; it tells whether they went.
func (c *Columns) Drop(before int) bool {
	n := before - c.base
	if n < c.least || n < len(c.times)/2 {
		return false
	}
	c.base = before
	c.times, c.arrived = dropped(c.times, n), dropped(c.arrived, n)
	if c.passes {
		c.pass = dropped(c.pass, n)
	}
	for i := range c.inputs {
		in := &c.inputs[i]
		if !in.used {
			continue
		}
		in.kinds, in.nums = dropped(in.kinds, n), dropped(in.nums, n)
		if in.text {
			kept := dropped(in.texts, n)
			clear(in.texts[len(kept):])
			in.texts = kept
		}
	}
	return true
}

func dropped[T any](s []T, n int) []T { return s[:copy(s, s[n:])] }
