package export

import (
	"context"
	"fmt"
	"iter"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// gridSpine gives each entity of a view at each instant of a grid at which it is known: at which a look-up
// would not answer not_found.
type gridSpine struct {
	ctx    context.Context
	of     *pipeline.Spine
	from   event.Time
	to     event.Time
	reader *feature.Reader
	known  *feature.Selector
	vector feature.Vector
	next   func() ([]event.Value, error, bool)
	stop   func()
	entity []event.Value        // under way; nil: none
	at     pipeline.GridInstant // the next one of it
	row    int64
}

func newGridSpine(ctx context.Context, cfg *Config) (*gridSpine, error) {
	of := &cfg.Export.Spine
	s := &gridSpine{ctx: ctx, of: of, from: max(of.From, cfg.Cut.Horizon(of.View)), to: of.To, reader: cfg.Cut.NewReader()}
	mark := cfg.Cut.Watermark(of.View)
	if s.to == event.MaxTime {
		s.to = mark
	}
	if s.from == event.MinTime && s.to > s.from {
		return nil, mistake("malformed", "write from: beside the grid, or wait until every partition has an event",
			"spine %s: the sources have no watermark yet, so the grid has no beginning", cfg.SpineName)
	}
	var err error
	if s.known, err = knownBy(cfg.Cut, of.View); err != nil {
		return nil, err
	}
	s.next, s.stop = iter.Pull2(cfg.Cut.Entities(of.View))
	return s, nil
}

// knownBy selects what tells whether an entity is known to a view.
func knownBy(cut *feature.Cut, v *pipeline.View) (*feature.Selector, error) {
	sel, err := cut.Select(feature.Selection{View: v.Name, Features: []string{v.Features[0].Name}})
	if err != nil {
		return nil, fmt.Errorf("look for known entities: %w", err)
	}
	return sel, nil
}

func (s *gridSpine) columns() []spineColumn { return declaredColumns(s.of) }
func (s *gridSpine) need([]bool)            {}

func (s *gridSpine) close() error {
	s.stop()
	return nil
}

func (s *gridSpine) read(c *chunk) error {
	c.first = s.row + 1
	for c.rows < c.most {
		if s.entity == nil || s.at.Time >= s.to {
			keys, err, ok := s.next()
			if !ok || err != nil {
				return err
			}
			s.entity, s.at = keys, s.of.Grid.First(s.from)
			continue
		}
		t := s.at.Time
		s.at = s.at.Next()
		if err := s.ctx.Err(); err != nil {
			return err
		}
		if err := s.reader.Read(s.ctx, s.known, s.entity, nil, feature.Instant{AsOf: t}, &s.vector); err != nil {
			return err
		}
		if s.vector.Status[0] == feature.NotFound {
			continue
		}
		for i, col := range s.of.Columns {
			v := event.TimestampOf(t)
			if !col.Time {
				v = s.entity[col.Key]
			}
			c.put(i, v)
		}
		c.rows++
		s.row++
	}
	return nil
}
