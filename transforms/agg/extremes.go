package agg

import (
	"sort"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// extreme is a value of a window and its row.
type extreme struct {
	row int
	key int64 // of numbers: by which they are compared, the less the better
}

// extremes are the values of a window that may still become its least (or greatest): of two the worse is not one
// if it leaves before the better. So they are by row, each better than all behind it.
type extremes struct {
	of    []extreme // the first, left, have left
	left  int
	sign  int // 1 if the least is sought, -1 the greatest
	class class
}

func (x *extremes) reset() { x.of, x.left = x.of[:0], 0 }

// worse tells whether a is not better than b; their texts, if they are some, are in c.
func (x *extremes) worse(a, b extreme, c *Columns, in *InputColumn) bool {
	switch x.class {
	case classText:
		return x.sign*strings.Compare(in.Texts[a.row-c.base], in.Texts[b.row-c.base]) >= 0
	case classDecimal:
		return x.sign*compareIntegers(minimal(in.Texts[a.row-c.base]), minimal(in.Texts[b.row-c.base])) >= 0
	}
	return a.key >= b.key
}

// push takes in the value of a row, mostly the last.
func (x *extremes) push(e extreme, c *Columns, in *InputColumn) {
	n := len(x.of)
	at := n // where it goes
	if n > x.left && x.of[n-1].row > e.row {
		at = x.left + sort.Search(n-x.left, func(i int) bool { return x.of[x.left+i].row > e.row })
		if x.worse(e, x.of[at], c, in) {
			return
		}
	}
	from := at // what is replaced
	for from > x.left && x.worse(x.of[from-1], e, c, in) {
		from--
	}
	switch {
	case from < at:
		x.of[from] = e
		x.of = x.of[:from+1+copy(x.of[from+1:], x.of[at:])]
	case at < n:
		x.of = append(x.of, extreme{})
		copy(x.of[at+1:], x.of[at:])
		x.of[at] = e
	default:
		if n == cap(x.of) && x.left > n/2 {
			x.of = x.of[:copy(x.of, x.of[x.left:])]
			x.left = 0
		}
		x.of = append(x.of, e)
	}
}

// drop lets the values of rows before the given one go.
func (x *extremes) drop(before int) {
	for x.left < len(x.of) && x.of[x.left].row < before {
		x.left++
	}
	if x.left == len(x.of) {
		x.of, x.left = x.of[:0], 0
	}
}

// front is the least (or greatest); nil if there is none.
func (x *extremes) front() *extreme {
	if x.left == len(x.of) {
		return nil
	}
	return &x.of[x.left]
}

// arrival is when a row arrived.
type arrival struct {
	at  event.Time
	row int
}

// arrivals is a heap: the earliest comes first.
type arrivals []arrival

func (h *arrivals) push(a arrival) {
	x := append(*h, a)
	for i := len(x) - 1; i > 0 && x[i].at < x[(i-1)/2].at; i = (i - 1) / 2 {
		x[i], x[(i-1)/2] = x[(i-1)/2], x[i]
	}
	*h = x
}

// pop takes the earliest out and returns its row.
func (h *arrivals) pop() int {
	x := *h
	row, n := x[0].row, len(x)-1
	x[0] = x[n]
	x = x[:n]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < n; c++ {
			if x[c].at < x[least].at {
				least = c
			}
		}
		if least == i {
			break
		}
		x[i], x[least] = x[least], x[i]
		i = least
	}
	*h = x
	return row
}
