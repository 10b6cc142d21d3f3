package stream

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// maxLine is how long a line or a row of text may be.
const maxLine = 1 << 20

// capture remembers what was read through it since the last release, to show rows as they were.
type capture struct {
	r    io.Reader
	buf  []byte
	base int64 // offset of buf[0]
}

func (c *capture) Read(p []byte) (int, error) {
	if len(c.buf) > maxLine+64<<10 {
		return 0, fmt.Errorf("longer than %d bytes: is a quote not closed?", maxLine)
	}
	n, err := c.r.Read(p)
	c.buf = append(c.buf, p[:n]...)
	return n, err
}

// since returns what was read between two offsets.
func (c *capture) since(from, to int64) []byte { return c.buf[from-c.base : to-c.base] }

// release forgets what is before offset.
func (c *capture) release(offset int64) {
	if n := offset - c.base; n > 64<<10 {
		c.buf = append(c.buf[:0], c.buf[n:]...)
		c.base = offset
	}
}

// csvRows reads CSV by RFC 4180, with a header row. An empty field is null, or the empty string of a
// string column that is not nullable.
type csvRows struct {
	in      io.Closer
	capture *capture
	csv     *csv.Reader
	columns []pipeline.Column
	field   []int // of each column; -1: the file has none, null
	width   int
}

func (f *fileSource) openCSV(in io.ReadCloser) (rowReader, error) {
	c := &csvRows{in: in, capture: &capture{r: in}, columns: f.src.Columns}
	c.csv = csv.NewReader(c.capture)
	c.csv.ReuseRecord, c.csv.FieldsPerRecord = true, -1
	header, err := c.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty, without a header row")
	}
	if err != nil {
		return nil, fmt.Errorf("read header row: %w", err)
	}
	header = slices.Clone(header)
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	c.width = len(header)
	for _, col := range c.columns {
		i := slices.Index(header, col.Name)
		if i < 0 && !col.Type.Nullable {
			return nil, fmt.Errorf("column %q is not in the header row", col.Name)
		}
		if i >= 0 && slices.Contains(header[i+1:], col.Name) {
			return nil, fmt.Errorf("column %q stands twice in the header row", col.Name)
		}
		c.field = append(c.field, i)
	}
	return c, nil
}

func (c *csvRows) close() error { return c.in.Close() }

func (c *csvRows) read(slots []event.Value) error {
	from := c.csv.InputOffset()
	c.capture.release(from)
	fields, err := c.csv.Read()
	raw := func() []byte { return bytes.TrimRight(c.capture.since(from, c.csv.InputOffset()), "\r\n") }
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse):
		return &badRow{raw: raw(), err: fmt.Errorf("line %d, column %d: %w", parse.Line, parse.Column, parse.Err)}
	case err != nil:
		return err
	case len(fields) != c.width:
		return &badRow{raw: raw(), err: fmt.Errorf("%d fields, and the header row has %d", len(fields), c.width)}
	}
	for i, col := range c.columns {
		if slots[i], err = c.value(fields, i, col.Type); err != nil {
			return &badRow{raw: raw(), err: fmt.Errorf("column %q: %w", col.Name, err)}
		}
	}
	return nil
}

func (c *csvRows) value(fields []string, i int, t event.Type) (event.Value, error) {
	if c.field[i] < 0 {
		return event.Value{}, nil
	}
	s := fields[c.field[i]]
	switch {
	case s != "":
		return parseText(s, t)
	case t.Nullable:
		return event.Value{}, nil
	case t.Kind == event.String:
		return event.StringOf(""), nil
	}
	return event.Value{}, fmt.Errorf("empty, but %s is not nullable", t)
}
