package export

import (
	"iter"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// storedSpine gives the rows that a view keeps: entity by entity in the order of the store, and in tie order
// within one.
type storedSpine struct {
	of   *pipeline.Spine
	next func() (feature.EntityRow, error, bool)
	stop func()
	row  int64
}

func newStoredSpine(cut *feature.Cut, of *pipeline.Spine) *storedSpine {
	s := &storedSpine{of: of}
	s.next, s.stop = iter.Pull2(cut.Rows(feature.RowQuery{View: of.View, From: of.From, To: of.To, Filter: of.Filter}))
	return s
}

func (s *storedSpine) columns() []spineColumn { return declaredColumns(s.of) }

func declaredColumns(of *pipeline.Spine) (cols []spineColumn) {
	for _, c := range of.Columns {
		cols = append(cols, spineColumn{name: c.Name, typ: c.Type})
	}
	return cols
}

func (s *storedSpine) need([]bool) {}

func (s *storedSpine) close() error {
	s.stop()
	return nil
}

func (s *storedSpine) read(c *chunk) error {
	c.first = s.row + 1
	for c.rows < c.most {
		r, err, ok := s.next()
		if !ok || err != nil {
			return err
		}
		for i, col := range s.of.Columns {
			switch {
			case col.Time:
				c.put(i, event.TimestampOf(r.Row.Time))
			case col.Key >= 0:
				c.put(i, r.Keys[col.Key])
			default:
				c.put(i, r.Row.Values[col.Input])
			}
		}
		c.rows++
		s.row++
	}
	return nil
}
