package export

import (
	"fmt"

	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
)

// column is one column of the table that is written.
type column struct {
	name string
	role string // time, key, request, spine, feature, status, or what a declared export adds: label, weight, split …
	typ  event.Type
	size int          // of a list: how many elements each value has; 0: any number
	node parquet.Node // how Parquet writes it; nil: by typ
}

// columns lists what is written: the spine's, the features, their statuses.
func (l *layout) columns() []column {
	out := make([]column, 0, len(l.spine)+2*len(l.names))
	for _, c := range l.spine {
		if c.typ.Elem != nil {
			c.typ.Nullable = true
		}
		role := "spine"
		if c.role != "" {
			role = c.role
		}
		out = append(out, column{name: c.name, role: role, typ: c.typ, size: c.size, node: c.node})
	}
	for _, in := range l.req {
		out[in.col].role = "request"
	}
	for _, in := range l.keys {
		out[in.col].role = "key"
	}
	out[l.time].role = "time"
	for i, n := range l.names {
		t := l.types[i]
		t.Nullable = true // before the horizon there is no answer
		out = append(out, column{name: n, role: "feature", typ: t, size: l.sizes[i]})
	}
	if l.status {
		for _, n := range l.names {
			out = append(out, column{name: n + statusSuffix, role: "status", typ: event.Type{Kind: event.String}})
		}
	}
	return out
}

// cell is the value of column i of the table in row r.
func (c *chunk) cell(l *layout, i, r int) event.Value {
	if i < len(l.spine) {
		return c.vals[i].at(r)
	}
	if i -= len(l.spine); i < len(l.names) {
		return c.answers[i].at(r)
	}
	return event.StringOf(c.status[i-len(l.names)][r].String())
}

// column is the cells of column i of the table.
func (c *chunk) column(l *layout, i int) *series {
	if i < len(l.spine) {
		return &c.vals[i]
	}
	if i -= len(l.spine); i < len(l.names) {
		return &c.answers[i]
	}
	out := &series{}
	for _, s := range c.status[i-len(l.names)] {
		out.append(event.StringOf(s.String()))
	}
	return out
}

// bytesOf is how much text some cells of column i hold.
func (c *chunk) bytesOf(l *layout, i, from, to int) (n int) {
	if at := i - len(l.spine) - len(l.names); at >= 0 {
		for _, s := range c.status[at][from:to] {
			n += len(s.String())
		}
		return n
	}
	ends := c.column(l, i).ends
	switch {
	case len(ends) == 0 || from == to:
		return 0
	case from == 0:
		return ends[to-1]
	}
	return ends[to-1] - ends[from-1]
}

// fits tells whether a value can stand in a column of a kind.
func fits(v event.Value, k event.Kind) error {
	if v.Kind != k && v.Kind != event.Null {
		return fmt.Errorf("%s is a %s, not a %s", quote(v.String()), v.Kind, k)
	}
	return nil
}

// cellError says which cell cannot be written.
func (l *layout) cellError(c *chunk, r, i int, err error) error {
	return mistake("row", "", "row %d: column %q: %v", c.first+int64(r), l.table[i].name, err)
}
