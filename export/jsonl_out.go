package export

import (
	"fmt"
	"io"

	"github.com/penstock-ml/penstock/event"
)

// jsonlSink writes an object a line, each with every column in order and values as look-ups answer them.
type jsonlSink struct {
	w     io.WriteCloser
	l     *layout
	names [][]byte // by column: what stands before its value
	buf   []byte
}

func newJSONLSink(w io.WriteCloser, l *layout) *jsonlSink {
	s := &jsonlSink{w: w, l: l}
	for i := range l.table {
		open := byte(',')
		if i == 0 {
			open = '{'
		}
		s.names = append(s.names, append(event.AppendJSONString([]byte{open}, l.table[i].name), ':'))
	}
	return s
}

func (s *jsonlSink) write(c *chunk) error {
	for r := range c.rows {
		for i, name := range s.names {
			s.buf = event.AppendJSON(append(s.buf, name...), c.cell(s.l, i, r))
		}
		s.buf = append(s.buf, '}', '\n')
		if len(s.buf) >= 256<<10 {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return s.flush()
}

func (s *jsonlSink) flush() error {
	if _, err := s.w.Write(s.buf); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	s.buf = s.buf[:0]
	return nil
}

func (s *jsonlSink) close() error { return s.w.Close() }
