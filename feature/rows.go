package feature

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// RowQuery names rows of a view: those of [From, To) that pass a filter.
type RowQuery struct {
	View     *pipeline.View
	From, To event.Time
	Filter   int // bit of Row.Pass; -1: every row
}

// EntityRow is a stored row with the key of its entity. It is valid until the next one is asked for.
type EntityRow struct {
	Keys []event.Value // of the view's entity
	Row  *event.Row
}

// Horizon is the least instant that may be asked of a view at the cut; MinTime while it has no watermark.
func (c *Cut) Horizon(v *pipeline.View) event.Time {
	x := c.s.byName[v.Name]
	return horizon(x, c.watermark(x))
}

// Watermark is the least watermark of a view's sources at the cut; MinTime while one has none.
func (c *Cut) Watermark(v *pipeline.View) event.Time { return c.watermark(c.s.byName[v.Name]) }

func (c *Cut) watermark(v *view) event.Time {
	return v.watermark(func(src *source) event.Time { return c.minWM[src] })
}

// Rows yields rows of a view at the cut, none before its horizon: entity by entity in the order of the state,
// which is the same on every machine, and in tie order within an entity. Of a view with dedupe, copies are left
// out. After an error nothing follows.
func (c *Cut) Rows(q RowQuery) iter.Seq2[EntityRow, error] {
	return func(yield func(EntityRow, error) bool) {
		v := c.s.byName[q.View.Name]
		w := &rowWalk{
			q: q, v: v, lanes: c.lanes(v), reader: &Reader{s: c.s, cut: c},
			row: event.Row{Values: make([]event.Value, len(v.plan.Inputs))}, yield: yield,
		}
		w.q.From = max(w.q.From, c.Horizon(q.View))
		w.from = w.q.From
		if v.plan.Dedupe != nil {
			w.from = event.MinTime // what comes before tells which rows are copies
		}
		for e, err := range c.entities(v) {
			if err == nil {
				w.keys = e.keys
				err = w.entity(e)
			}
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				yield(EntityRow{}, fmt.Errorf("read rows of view %q: %w", v.plan.Name, err))
				return
			}
		}
	}
}

// Entities yields the keys of all entities that a view stores, in the order of the state; what is yielded is
// valid until the next one is asked for. Some may have no row before an instant that is asked for: then a
// Reader answers NotFound.
func (c *Cut) Entities(v *pipeline.View) iter.Seq2[[]event.Value, error] {
	return func(yield func([]event.Value, error) bool) {
		for e, err := range c.entities(c.s.byName[v.Name]) {
			if err != nil {
				err = fmt.Errorf("read entities of view %q: %w", v.Name, err)
			}
			if !yield(e.keys, err) || err != nil {
				return
			}
		}
	}
}

// storedEntity is the head of an entity as the cut's snapshot has it.
type storedEntity struct {
	prefix []byte
	keys   []event.Value
	head   []byte
}

// entities yields the heads of a view.
func (c *Cut) entities(v *view) iter.Seq2[storedEntity, error] {
	return func(yield func(storedEntity, error) bool) {
		x := storedEntity{keys: make([]event.Value, len(v.plan.Entity.Keys))}
		cur, err := c.snap.Cursor() // values of blocks are not read
		if err != nil {
			yield(x, err)
			return
		}
		defer cur.Close()
		for slot := range slots {
			from := binary.BigEndian.AppendUint16(nil, uint16(slot))
			from = binary.BigEndian.AppendUint16(from, v.id)
			for ok := cur.Seek(from); ok && bytes.HasPrefix(cur.Key(), from); ok = cur.Next() {
				key := cur.Key()
				rest, err := decodeKey(key[4:], v.plan.Entity.Keys, x.keys)
				switch {
				case err != nil || len(rest) == 0:
					err = fmt.Errorf("key %x is no entity of the view", key)
				case rest[0] != kindHead:
					continue
				default:
					x.prefix = key[:len(key)-1]
					x.head, err = cur.Value(x.head)
				}
				if !yield(x, err) || err != nil {
					return
				}
			}
		}
	}
}

// decodeKey reads what appendKeyValue has written for each of the columns, and returns what follows.
func decodeKey(b []byte, cols []pipeline.Column, out []event.Value) ([]byte, error) {
	for i, c := range cols {
		switch c.Type.Kind {
		case event.String, event.Bytes:
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w) {
				return nil, errors.New("corrupt key")
			}
			out[i] = event.Value{Kind: c.Type.Kind, Str: event.Alias(b[w : w+int(n)])}
			b = b[w+int(n):]
		default:
			n, w := binary.Varint(b)
			if w <= 0 {
				return nil, errors.New("corrupt key")
			}
			out[i] = event.Value{Kind: c.Type.Kind, Num: uint64(n)}
			b = b[w:]
		}
	}
	return b, nil
}

// errEnough ends a walk whose rows nobody wants any more.
var errEnough = errors.New("enough")

// rowWalk yields the rows of one entity after another.
type rowWalk struct {
	q       RowQuery
	v       *view
	lanes   map[int32]int64
	reader  *Reader
	keys    []event.Value
	from    event.Time // earlier rows are passed over
	waiting []idRow    // of times that a later leaf may have too
	copies  copyJudge
	row     event.Row
	yield   func(EntityRow, error) bool
}

func (w *rowWalk) entity(e storedEntity) error {
	h, err := decodeHead(e.head)
	if err != nil {
		return err
	}
	w.reader.prefix = append(w.reader.prefix[:0], e.prefix...)
	w.waiting = w.waiting[:0]
	w.copies.begin(w.v.plan.Dedupe)
	if err := w.gather(h.rows); err != nil {
		return err
	}
	if h.root != nil {
		if err := w.walk(h.root); err != nil {
			return err
		}
	}
	return w.emit(event.MaxTime)
}

// walk reads the leaves below n, which lie one behind the other in time, and yields what is before each.
func (w *rowWalk) walk(n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if e.maxT < w.from || e.minT >= w.q.To {
			continue
		}
		if n.level > 0 {
			child, err := w.reader.node(e)
			if err != nil {
				return err
			}
			if err := w.walk(child); err != nil {
				return err
			}
			continue
		}
		if err := w.emit(e.minT); err != nil {
			return err
		}
		b, err := w.reader.leaf(e.id, true)
		if err != nil {
			return err
		}
		if err := w.gather(b); err != nil {
			return err
		}
	}
	return nil
}

// gather keeps the rows of b that are asked for, or tell of those that are.
func (w *rowWalk) gather(b []byte) error {
	for len(b) > 0 {
		rest, err := w.v.c.next(b, &w.row)
		if err != nil {
			return err
		}
		row := b[:len(b)-len(rest)]
		b = rest
		switch {
		case w.row.Time < w.from || w.row.Time >= w.q.To:
		case w.row.Pos.Offset >= w.lanes[w.v.c.lanes.of(w.row.Pos)]: // beyond the cut
		case w.copies.by == nil && !w.passes():
		default:
			w.waiting = append(w.waiting, idRow{t: w.row.Time, b: row})
		}
	}
	return nil
}

// emit yields the rows before an instant, in tie order.
func (w *rowWalk) emit(before event.Time) error {
	if err := sortTie(w.v.c, len(w.v.plan.Inputs), w.waiting); err != nil {
		return err
	}
	n := 0
	for ; n < len(w.waiting) && (w.waiting[n].t < before || before == event.MaxTime); n++ {
		if _, err := w.v.c.next(w.waiting[n].b, &w.row); err != nil {
			return err
		}
		if w.copies.by != nil && (!w.copies.keeps(&w.row) || w.row.Time < w.q.From || !w.passes()) {
			continue
		}
		if !w.yield(EntityRow{Keys: w.keys, Row: &w.row}, nil) {
			return errEnough
		}
	}
	w.waiting = append(w.waiting[:0], w.waiting[n:]...)
	return nil
}

// passes tells whether the row passes the filter that is asked for.
func (w *rowWalk) passes() bool { return w.q.Filter < 0 || w.row.Pass&(1<<w.q.Filter) != 0 }

// Plan is what the store runs.
func (s *Store) Plan() *pipeline.Plan { return s.plan }

// SelectAhead resolves features as Store.SelectAhead does.
func (c *Cut) SelectAhead(features []*pipeline.Feature) (*Selector, error) {
	return c.s.SelectAhead(features)
}

// SelectAhead resolves features that labels read, which no Selection can name: answered in the order given, for
// the keys of their entities. A Reader answers them as of the end of their window.
func (s *Store) SelectAhead(features []*pipeline.Feature) (*Selector, error) {
	b := &selectorBuilder{s: s, sel: &Selector{}, slotOf: map[*pipeline.Feature]int{}, queryOf: map[*view]int{}}
	for i, f := range features {
		if k, ok := b.addKeys(f.View.Entity.Keys); !ok {
			return nil, &SelectError{Code: "malformed", Message: fmt.Sprintf("key %q is of another type in label %q than in those before it", k, f.Name)}
		}
		if err := b.answer(SelectorColumn{Name: f.Name, Type: f.Type, Doc: f.Doc}, b.slot(f), i); err != nil {
			return nil, err
		}
	}
	b.finish()
	return b.sel, nil
}
