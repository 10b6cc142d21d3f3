package export

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/event"
)

// jsonlSpine reads an object a line. It is read twice: what the columns are is known at the end only. A column is
// boolean, long, double or text if all its values are; any others are carried as JSON text.
type jsonlSpine struct {
	f    *os.File
	path string
	name string
	text *lines
	cols []spineColumn
	at   map[string]int
	seen map[string]struct{} // the names of the line
	row  int64

	values []event.Value // of the line, by column
}

// bytesOfLine bounds a line.
const bytesOfLine = 16 << 20

func newJSONLSpine(f *os.File, path, name string) (*jsonlSpine, error) {
	s := &jsonlSpine{f: f, path: path, name: name, at: map[string]int{}, seen: map[string]struct{}{}}
	if err := s.rewind(); err != nil {
		return nil, err
	}
	if err := s.learn(); err != nil {
		return nil, err
	}
	s.row, s.values = 0, make([]event.Value, len(s.cols))
	return s, s.rewind()
}

// rewind reads from the first line on.
func (s *jsonlSpine) rewind() error {
	if s.text != nil {
		s.text.stop()
	}
	if _, err := s.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read spine %s: %w", s.name, err)
	}
	r, stop, err := unpack(s.f, s.path)
	if err != nil {
		return mistake("malformed", "", "spine %s: %v", s.name, err)
	}
	s.text = &lines{r: bufio.NewReaderSize(r, 256<<10), stop: stop}
	return nil
}

// learn finds the columns, in the order in which they come first, and their types.
func (s *jsonlSpine) learn() error {
	var kinds []jsonKind
	for {
		err := s.object(func(name string, value []byte) error {
			i, ok := s.at[name]
			if !ok {
				i = len(s.cols)
				name = strings.Clone(name)
				s.at[name] = i
				s.cols = append(s.cols, spineColumn{name: name})
				kinds = append(kinds, 0)
			}
			k := kindOfJSON(value)
			if k == jsonText && kinds[i] == 0 {
				_, err := event.ReadTime(text(value))
				s.cols[i].timeText = err == nil
			}
			kinds[i] |= k
			return nil
		})
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if len(s.cols) == 0 {
		return mistake("malformed", "each line must be an object with a member for each column", "spine %s is empty", s.name)
	}
	for i := range s.cols {
		s.cols[i].typ = event.Type{Kind: kinds[i].kind(), Nullable: true}
	}
	return nil
}

// jsonKind is a set of kinds of JSON values.
type jsonKind uint8

const (
	jsonBool jsonKind = 1 << iota
	jsonLong
	jsonDouble
	jsonText
	jsonOther
)

func (k jsonKind) kind() event.Kind {
	switch k {
	case jsonBool:
		return event.Bool
	case jsonLong:
		return event.Long
	case jsonDouble, jsonLong | jsonDouble:
		return event.Double
	}
	return event.String
}

// kindOfJSON is the kind of a value; null has none.
func kindOfJSON(value []byte) jsonKind {
	switch value[0] {
	case 'n':
		return 0
	case 't', 'f':
		return jsonBool
	case '"':
		return jsonText
	case '{', '[':
		return jsonOther
	}
	if _, err := strconv.ParseInt(event.Alias(value), 10, 64); err == nil && string(value) != "-0" {
		return jsonLong
	}
	if _, err := strconv.ParseFloat(event.Alias(value), 64); err == nil {
		return jsonDouble
	}
	return jsonOther // too large for a double
}

func (s *jsonlSpine) columns() []spineColumn { return s.cols }
func (s *jsonlSpine) need([]bool)            {}

func (s *jsonlSpine) close() error {
	s.text.stop()
	return s.f.Close()
}

func (s *jsonlSpine) read(c *chunk) error {
	c.first = s.row + 1
	for c.rows < c.most {
		clear(s.values)
		err := s.object(func(name string, value []byte) error {
			i, ok := s.at[name]
			if !ok {
				return errors.New("the spine was changed while it was read")
			}
			s.values[i] = jsonValue(value, s.cols[i].typ.Kind)
			return nil
		})
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for i := range s.values {
			c.put(i, s.values[i])
		}
		c.rows++
	}
	return nil
}

// jsonValue is a value of a column's kind; learn has seen that it can be. It aliases the line.
func jsonValue(value []byte, kind event.Kind) event.Value {
	switch {
	case value[0] == 'n':
		return event.Value{}
	case kind == event.Bool:
		return event.BoolOf(value[0] == 't')
	case kind == event.Long:
		n, _ := strconv.ParseInt(event.Alias(value), 10, 64)
		return event.LongOf(n)
	case kind == event.Double:
		f, _ := strconv.ParseFloat(event.Alias(value), 64)
		return event.DoubleOf(f)
	case value[0] == '"':
		return event.StringOf(text(value))
	}
	return event.StringOf(event.Alias(value))
}

// object calls f with the members of the next line's object.
func (s *jsonlSpine) object(f func(name string, value []byte) error) error {
	line, err := s.text.next()
	if errors.Is(err, io.EOF) {
		return err
	}
	s.row++
	if err == nil {
		err = eachMember(line, s.seen, f)
	}
	if err != nil {
		return mistake("malformed", "each line must be one JSON object", "spine %s: row %d: %v", s.name, s.row, err)
	}
	return nil
}

// lines reads lines that are not blank.
type lines struct {
	r    *bufio.Reader
	stop func()
	buf  []byte
}

// next returns a line, valid until the next call.
func (l *lines) next() ([]byte, error) {
	for {
		l.buf = l.buf[:0]
		for {
			part, err := l.r.ReadSlice('\n')
			l.buf = append(l.buf, part...)
			if err == nil || errors.Is(err, io.EOF) && len(l.buf) > 0 {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
			if len(l.buf) > bytesOfLine {
				return nil, fmt.Errorf("the line is longer than %d MiB", bytesOfLine>>20)
			}
		}
		if i := skipSpace(l.buf, 0); i < len(l.buf) {
			return l.buf[i:], nil
		}
	}
}

// eachMember calls f with the members of a JSON object, in order; a name twice is an error. Names and values
// alias line. seen is room for names.
func eachMember(line []byte, seen map[string]struct{}, f func(name string, value []byte) error) error {
	if !utf8.Valid(line) {
		return errors.New("the line is not UTF-8")
	}
	if !json.Valid(line) {
		return errors.New("the line is not JSON")
	}
	if line[0] != '{' {
		return errors.New("the line is not an object")
	}
	clear(seen)
	at := skipSpace(line, 1)
	for line[at] != '}' {
		end := endOfJSON(line, at)
		name := text(line[at:end])
		if _, twice := seen[name]; twice {
			return fmt.Errorf("the member %s comes twice", quote(name))
		}
		seen[name] = struct{}{}
		at = skipSpace(line, skipSpace(line, end)+1) // the colon
		end = endOfJSON(line, at)
		if err := f(name, line[at:end]); err != nil {
			return err
		}
		if at = skipSpace(line, end); line[at] == ',' {
			at = skipSpace(line, at+1)
		}
	}
	return nil
}

func skipSpace(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\t' || b[at] == '\n' || b[at] == '\r') {
		at++
	}
	return at
}

// endOfJSON is where the value that begins at ends, in valid JSON.
func endOfJSON(b []byte, at int) int {
	depth := 0
	for ; ; at++ {
		switch b[at] {
		case '"':
			for at++; b[at] != '"'; at++ {
				if b[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ',', ':', ' ', '\t', '\n', '\r':
			continue
		default: // a number or a word
			for at+1 < len(b) && !isPunct(b[at+1]) {
				at++
			}
		}
		if depth == 0 {
			return at + 1
		}
	}
}

func isPunct(c byte) bool {
	switch c {
	case ',', ':', '}', ']', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

// text is a JSON string's text; it aliases the string if that has no escapes.
func text(s []byte) string {
	for _, c := range s {
		if c == '\\' {
			var out string
			if err := json.Unmarshal(s, &out); err == nil {
				return out
			}
		}
	}
	return event.Alias(s[1 : len(s)-1])
}
