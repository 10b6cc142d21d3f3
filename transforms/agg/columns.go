package agg

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// Columns holds rows in tie order, column by column: those over which windows move (Ranges, Slide) and that are added
// to lifetimes (Partial.AddRows). A row has one number for good, in the order in which they were appended; the first
// that are not needed any more may be dropped. Who appends rows column by column appends to each that is kept.
type Columns struct {
	Times   []event.Time
	Arrived []event.Time
	Pass    []uint64         // kept if Passes
	Places  []event.Position // kept if Placed, until the row has been added
	Orders  []event.Value    // kept if Ordered, until the row has been added
	Inputs  []InputColumn    // by input of the view

	Passes  bool // some group has a filter
	Placed  bool // some lifetime keeps rows by their place
	Ordered bool // the same, of a view with an order column

	base  int // number of the first row that is held
	added int // number of the first row of what is kept until rows have been added
	least int // how many rows are dropped at once, at least
}

// InputColumn is one input of the rows.
type InputColumn struct {
	Used, Text bool // some group reads it; its values have text
	Kinds      []event.Kind
	Nums       []uint64
	Texts      []string // kept if Text
	once       bool     // it is kept until the row has been added: no window moves over it
}

const dropAtLeast = 1 << 10

// NewColumns returns empty columns of what the groups of l that are listed in windows read, over which windows move,
// and those in grown, whose rows are added to Partials (AddRows) and then not needed any more. The view has so many
// inputs, and perhaps an order column.
func NewColumns(l *Layout, windows, grown []int, inputs int, order bool) *Columns {
	c := &Columns{least: dropAtLeast, Inputs: make([]InputColumn, inputs)}
	for _, i := range grown {
		g := &l.Groups[i]
		c.Placed = c.Placed || g.Parts&(PartFirst|PartLast) != 0 || !g.Slides()
	}
	c.Ordered = c.Placed && order
	for k, groups := range [][]int{grown, windows} {
		for _, i := range groups {
			g := &l.Groups[i]
			c.Passes = c.Passes || g.Filter >= 0
			c.use(g.Input, g.Type, k == 0)
			c.use(g.Second-1, g.SecondType, k == 0)
			c.use(g.By-1, g.ByType, k == 0)
		}
	}
	return c
}

// use keeps an input, unless it is -1.
func (c *Columns) use(input int, t event.Type, once bool) {
	if input < 0 {
		return
	}
	in := &c.Inputs[input]
	in.Used, in.once = true, once
	switch t.Kind {
	case event.String, event.Bytes, event.Decimal, event.List, event.Map:
		in.Text = true
	}
}

// Reset drops all rows; the next has number 0.
func (c *Columns) Reset() {
	c.base, c.added = 0, 0
	c.Times, c.Arrived, c.Pass, c.Places, c.Orders = c.Times[:0], c.Arrived[:0], c.Pass[:0], c.Places[:0], c.Orders[:0]
	for i := range c.Inputs {
		in := &c.Inputs[i]
		clear(in.Texts)
		in.Kinds, in.Nums, in.Texts = in.Kinds[:0], in.Nums[:0], in.Texts[:0]
	}
}

// Reserve makes room for n more rows.
func (c *Columns) Reserve(n int) {
	c.Times, c.Arrived = reserved(c.Times, n), reserved(c.Arrived, n)
	if c.Passes {
		c.Pass = reserved(c.Pass, n)
	}
	for i := range c.Inputs {
		if in := &c.Inputs[i]; in.Used {
			in.Kinds, in.Nums = reserved(in.Kinds, n), reserved(in.Nums, n)
		}
	}
}

// reserved makes room for n more, and for as much again as there is: append grows what is large by less.
func reserved[T any](s []T, n int) []T {
	if len(s)+n <= cap(s) {
		return s
	}
	return slices.Grow(s, max(n, len(s)))
}

// Append adds the row that follows in tie order. The text of its values is not copied: it must stay.
func (c *Columns) Append(r *event.Row) {
	c.Times, c.Arrived = append(c.Times, r.Time), append(c.Arrived, r.Arrival)
	if c.Passes {
		c.Pass = append(c.Pass, r.Pass)
	}
	if c.Placed {
		c.Places = append(c.Places, r.Pos)
	}
	if c.Ordered {
		c.Orders = append(c.Orders, r.Order)
	}
	for i := range c.Inputs {
		in := &c.Inputs[i]
		if !in.Used {
			continue
		}
		v := event.Value{}
		if i < len(r.Values) {
			v = r.Values[i]
		}
		in.Kinds, in.Nums = append(in.Kinds, v.Kind), append(in.Nums, v.Num)
		if in.Text {
			in.Texts = append(in.Texts, v.Str)
		}
	}
}

// Row makes r a row that is held, as far as it is kept; r.Values has the inputs of the view.
func (c *Columns) Row(row int, r *event.Row) {
	i := row - c.base
	r.Time, r.Arrival, r.Pass, r.Pos, r.Order = c.Times[i], c.Arrived[i], 0, event.Position{}, event.Value{}
	if c.Passes {
		r.Pass = c.Pass[i]
	}
	if c.Placed {
		r.Pos = c.Places[row-c.added]
	}
	if c.Ordered {
		r.Order = c.Orders[row-c.added]
	}
	for k := range c.Inputs {
		if in := &c.Inputs[k]; in.Used {
			r.Values[k] = in.at(row - c.first(in))
		}
	}
}

// first is the number of the first row whose input is held.
func (c *Columns) first(in *InputColumn) int {
	if in.once {
		return c.added
	}
	return c.base
}

// Added tells that the rows before the given one have been added.
func (c *Columns) Added(before int) {
	n := before - c.added
	if n < len(c.Times)-(before-c.base) { // fewer than what stays
		return
	}
	c.added = before
	if c.Placed {
		c.Places = dropped(c.Places, n)
	}
	if c.Ordered {
		c.Orders = dropped(c.Orders, n)
	}
	for i := range c.Inputs {
		if in := &c.Inputs[i]; in.once {
			in.drop(n)
		}
	}
}

// drop lets the first n values go.
func (in *InputColumn) drop(n int) {
	in.Kinds, in.Nums = dropped(in.Kinds, n), dropped(in.Nums, n)
	if in.Text {
		kept := dropped(in.Texts, n)
		clear(in.Texts[len(kept):])
		in.Texts = kept
	}
}

// at is value i of those that are held.
func (in *InputColumn) at(i int) event.Value {
	v := event.Value{Kind: in.Kinds[i], Num: in.Nums[i]}
	if in.Text {
		v.Str = in.Texts[i]
	}
	return v
}

// End is the number of the next row.
func (c *Columns) End() int { return c.base + len(c.Times) }

// Held is how many rows are held.
func (c *Columns) Held() int { return len(c.Times) }

// RowSize is about how many bytes a row takes here, without its text.
func (c *Columns) RowSize() int {
	n := 16
	if c.Passes {
		n += 8
	}
	for i := range c.Inputs {
		if in := &c.Inputs[i]; in.once || !in.Used {
			continue
		} else if n += 9; in.Text {
			n += 16
		}
	}
	return n
}

// Time is the event time of a row that is held.
func (c *Columns) Time(row int) event.Time { return c.Times[row-c.base] }

// Arrival is when a row that is held arrived.
func (c *Columns) Arrival(row int) event.Time { return c.Arrived[row-c.base] }

// Seek is the number of the first row, not before from, that is of t or later; End if there is none.
func (c *Columns) Seek(from int, t event.Time) int {
	i := from - c.base
	step := 1
	for i+step < len(c.Times) && c.Times[i+step] < t {
		i, step = i+step, 2*step
	}
	end := min(i+step+1, len(c.Times))
	for i < end {
		if mid := int(uint(i+end) >> 1); c.Times[mid] < t {
			i = mid + 1
		} else {
			end = mid
		}
	}
	return c.base + i
}

// Drop lets rows before the given one go, which have been added, when they are most of what is held; it tells whether
// they went.
func (c *Columns) Drop(before int) bool {
	n := before - c.base
	if n < c.least || n < len(c.Times)/2 {
		return false
	}
	c.base = before
	c.Times, c.Arrived = dropped(c.Times, n), dropped(c.Arrived, n)
	if c.Passes {
		c.Pass = dropped(c.Pass, n)
	}
	for i := range c.Inputs {
		if in := &c.Inputs[i]; in.Used && !in.once {
			in.drop(n)
		}
	}
	return true
}

func dropped[T any](s []T, n int) []T { return s[:copy(s, s[n:])] }
