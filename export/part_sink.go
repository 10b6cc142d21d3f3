package export

import "errors"

// partSink writes each part of a split to a file of its own.
type partSink struct {
	sinks []sink
	rows  []int32
	own   []chunk // by part: its rows of the chunk under way
}

func (s *partSink) write(c *chunk) error {
	if s.own == nil {
		s.own = make([]chunk, len(s.sinks))
	}
	for p, out := range s.sinks {
		s.rows = s.rows[:0]
		for r, part := range c.part[:c.rows] {
			if int(part) == p {
				s.rows = append(s.rows, int32(r))
			}
		}
		if len(s.rows) == 0 {
			continue
		}
		c.pick(&s.own[p], s.rows)
		if err := out.write(&s.own[p]); err != nil {
			return err
		}
	}
	return nil
}

func (s *partSink) close() error {
	var errs []error
	for _, out := range s.sinks {
		errs = append(errs, out.close())
	}
	return errors.Join(errs...)
}
