package export

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/penstock-ml/penstock/event"
)

// csvSpine reads RFC 4180 with a header. Its columns are strings, carried as they stand.
type csvSpine struct {
	f    *os.File
	stop func()
	name string
	r    *csv.Reader
	cols []spineColumn
	next []string // a record that is read and not yet given, or nil
	row  int64    // rows given
}

func newCSVSpine(f *os.File, path, name string) (*csvSpine, error) {
	text, stop, err := unpack(f, path)
	if err != nil {
		return nil, mistake("malformed", "", "spine %s: %v", name, err)
	}
	br := bufio.NewReaderSize(text, 256<<10)
	if mark, err := br.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = br.Discard(3)
	}
	s := &csvSpine{f: f, stop: stop, name: name, r: csv.NewReader(br)}
	header, err := s.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, mistake("malformed", "its first line must name the columns", "spine %s is empty", name)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	for _, h := range header {
		s.cols = append(s.cols, spineColumn{name: h, typ: event.Type{Kind: event.String}})
	}
	s.r.ReuseRecord = true
	s.next, err = s.r.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, s.fail(err)
	}
	for i, text := range s.next {
		_, err := event.ReadTime(text)
		s.cols[i].timeText = err == nil
	}
	return s, nil
}

func (s *csvSpine) fail(err error) error {
	return mistake("malformed", "", "spine %s: row %d: %v", s.name, s.row+1, err)
}

func (s *csvSpine) columns() []spineColumn { return s.cols }
func (s *csvSpine) need([]bool)            {}

func (s *csvSpine) close() error {
	s.stop()
	return s.f.Close()
}

func (s *csvSpine) read(c *chunk) error {
	c.first = s.row + 1
	for c.rows < c.most {
		record := s.next
		s.next = nil
		if record == nil {
			var err error
			if record, err = s.r.Read(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return s.fail(err)
			}
		}
		for i, text := range record {
			c.put(i, event.StringOf(text))
		}
		c.rows++
		s.row++
	}
	return nil
}

// csvSink writes RFC 4180, null as nothing.
type csvSink struct {
	w   io.WriteCloser
	l   *layout
	buf []byte
}

func newCSVSink(w io.WriteCloser, l *layout) (*csvSink, error) {
	s := &csvSink{w: w, l: l}
	for i := range l.table {
		s.cell(l.table[i].name)
	}
	s.line()
	return s, s.flush()
}

func (s *csvSink) write(c *chunk) error {
	for r := range c.rows {
		for i := range s.l.table {
			s.value(c.cell(s.l, i, r))
		}
		s.line()
		if len(s.buf) >= 256<<10 {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return s.flush()
}

func (s *csvSink) close() error { return s.w.Close() }

func (s *csvSink) flush() error {
	if _, err := s.w.Write(s.buf); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	s.buf = s.buf[:0]
	return nil
}

// line ends a line: the last cell's comma becomes the line's end.
func (s *csvSink) line() { s.buf[len(s.buf)-1] = '\n' }

func (s *csvSink) value(v event.Value) {
	switch v.Kind {
	case event.Double:
		s.buf = append(s.buf, event.FormatDouble(v.Double())...)
	case event.Timestamp:
		s.buf = v.Time().Go().AppendFormat(s.buf, event.Layout)
	case event.Long:
		s.buf = strconv.AppendInt(s.buf, v.Long(), 10)
	default:
		s.cell(v.String())
		return
	}
	s.buf = append(s.buf, ',')
}

// cell appends text, in quotes where RFC 4180 needs them, and a comma.
func (s *csvSink) cell(text string) {
	plain := true
	for i := range len(text) {
		if b := text[i]; b == ',' || b == '"' || b == '\n' || b == '\r' {
			plain = false
			break
		}
	}
	if plain {
		s.buf = append(append(s.buf, text...), ',')
		return
	}
	s.buf = append(s.buf, '"')
	for i := range len(text) {
		if text[i] == '"' {
			s.buf = append(s.buf, '"')
		}
		s.buf = append(s.buf, text[i])
	}
	s.buf = append(s.buf, '"', ',')
}
