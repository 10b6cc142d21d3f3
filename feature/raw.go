package feature

import (
	"errors"
	"fmt"
	"math"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Incomplete tells whether records of a source of the view were lost.
func (c *Cut) Incomplete(v *pipeline.View) bool { return c.s.byName[v.Name].lost() }

// RawRows lists every row that a view keeps of an entity, up to the cut, in no order: copies too, and no matter
// what summaries say. They are the caller's. It is for recomputing answers in another way than a Reader's.
func (c *Cut) RawRows(v *pipeline.View, keys []event.Value) ([]event.Row, error) {
	rows, _, err := c.SomeRawRows(v, keys, math.MaxInt)
	return rows, err
}

// SomeRawRows is RawRows, of an entity with up to most rows; all is false, and there are none, if it has more.
func (c *Cut) SomeRawRows(v *pipeline.View, keys []event.Value, most int) (rows []event.Row, all bool, err error) {
	x := c.s.byName[v.Name]
	r := &Reader{s: c.s, cut: c}
	r.prefix = appendPrefix(nil, x.id)
	for i := range keys {
		r.prefix = appendKeyValue(r.prefix, &keys[i])
	}
	sealPrefix(r.prefix)
	w := &rawRows{r: r, v: x, cut: c.lanes(x), most: most}
	head, root, err := r.head()
	if err == nil {
		err = w.take(head)
	}
	if err == nil && root != nil {
		err = w.walk(root)
	}
	if errors.Is(err, errEnough) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read rows of view %q: %w", v.Name, err)
	}
	return w.rows, true, nil
}

// Trimmed is how many rows of an entity a view keeps as a sum alone, for its lifetime features: RawRows lacks them.
func (c *Cut) Trimmed(v *pipeline.View, keys []event.Value) (int64, error) {
	x := c.s.byName[v.Name]
	r := &Reader{s: c.s, cut: c}
	r.prefix = appendPrefix(nil, x.id)
	for i := range keys {
		r.prefix = appendKeyValue(r.prefix, &keys[i])
	}
	sealPrefix(r.prefix)
	_, root, err := r.head()
	if err != nil || root == nil || root.base == nil {
		return 0, err
	}
	return root.base.rows, nil
}

// rawRows gathers an entity's rows.
type rawRows struct {
	r    *Reader
	v    *view
	cut  map[int32]int64
	rows []event.Row
	most int
}

func (w *rawRows) walk(n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if n.level > 0 {
			child, err := w.r.node(e)
			if err != nil {
				return err
			}
			if err := w.walk(child); err != nil {
				return err
			}
			continue
		}
		b, err := w.r.leaf(e.id, true)
		if err != nil {
			return err
		}
		if err := w.take(b); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
	}
	return nil
}

func (w *rawRows) take(b []byte) error {
	for len(b) > 0 {
		row := event.Row{Values: make([]event.Value, len(w.v.plan.Inputs))}
		rest, err := w.v.c.next(b, &row)
		if err != nil {
			return err
		}
		b = rest
		if row.Pos.Offset >= w.cut[w.v.c.lanes.of(row.Pos)] {
			continue
		}
		if len(w.rows) == w.most {
			return errEnough
		}
		row.Values, row.Order = cloned(row.Values), row.Order.Clone()
		w.rows = append(w.rows, row)
	}
	return nil
}
