package stream

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/schemas"
)

// textRows reads CSV or JSON lines: read gives the columns of a row and the line where it begins.
type textRows struct {
	rows *Rows
	enc  *encoder
	read func() (row map[string]any, line int64, err error)
	csv  bool
	seen map[string]bool // columns that are no fields
}

func (r *Rows) openText(in io.ReadCloser, format string, schema *schemas.Schema) error {
	r.in = in
	t := &textRows{rows: r, csv: format == "csv", seen: map[string]bool{r.cfg.Key: true, r.cfg.Time: true}}
	var err error
	if t.enc, err = newEncoder(schema, t.extra); err != nil {
		return err
	}
	if t.csv {
		err = t.openCSV(in)
	} else {
		t.openLines(in)
	}
	r.next = t.next
	return err
}

func (t *textRows) extra(path string) {
	if !t.seen[path] && t.rows.cfg.Extra != nil {
		t.rows.cfg.Extra(path)
	}
	t.seen[path] = true
}

func (t *textRows) next() (key, datum []byte, at event.Time, err error) {
	row, line, err := t.read()
	if errors.Is(err, io.EOF) {
		return nil, nil, 0, err
	}
	if err == nil {
		key, at, err = t.envelope(row)
	}
	if err == nil {
		datum, err = t.enc.encode(nil, row)
	}
	if err != nil {
		return nil, nil, 0, t.rows.fail("line", line, err)
	}
	return key, datum, at, nil
}

// envelope takes key and timestamp of a message from their columns, which need not be in the schema.
func (t *textRows) envelope(row map[string]any) (key []byte, at event.Time, err error) {
	cfg := t.rows.cfg
	if cfg.Key != "" {
		v, ok := find(row, cfg.Key)
		if s, isText := text(v); isText && s != "" {
			key = []byte(s)
		} else if !isText && v != nil {
			return nil, 0, fmt.Errorf("key column %q: a JSON %s cannot be a key", cfg.Key, jsonKind(v))
		}
		if !ok && !t.optional(cfg.Key) {
			return nil, 0, fmt.Errorf("there is no key column %q", cfg.Key)
		}
	}
	if cfg.Time != "" {
		v, ok := find(row, cfg.Time)
		s, _ := text(v)
		if !ok || s == "" {
			return nil, 0, fmt.Errorf("no timestamp in column %q", cfg.Time)
		}
		x, err := parseText(s, event.Type{Kind: event.Timestamp})
		if err != nil {
			return nil, 0, fmt.Errorf("column %q: %w", cfg.Time, err)
		}
		if at, err = t.rows.stamp(x.Time()); err != nil {
			return nil, 0, err
		}
	}
	return key, at, nil
}

// optional tells whether a row may lack a column: not in CSV, nor if the schema does not have it.
func (t *textRows) optional(path string) bool {
	head, _, _ := strings.Cut(path, ".")
	return !t.csv && slices.ContainsFunc(t.enc.root.fields, func(f *avroField) bool { return f.name == head })
}

// text is the text of a scalar.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case cell:
		return string(v), true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// find follows a dotted path.
func find(row map[string]any, path string) (any, bool) {
	var v any = row
	for name := range strings.SplitSeq(path, ".") {
		var ok bool
		switch m := v.(type) {
		case map[string]any:
			v, ok = m[name]
		case cells:
			v, ok = m[name]
		}
		if !ok {
			return nil, false
		}
	}
	return v, true
}

// openCSV reads the header row: each column is a path of fields.
func (t *textRows) openCSV(in io.Reader) error {
	c := &capture{r: in} // bounds a row
	rows := csv.NewReader(c)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty, without a header row")
	}
	if err != nil {
		return fmt.Errorf("read header row: %w", err)
	}
	paths := make([][]string, len(header))
	for i, name := range header {
		if i == 0 {
			name = strings.TrimPrefix(name, "\ufeff")
		}
		paths[i] = strings.Split(name, ".")
	}
	if _, err := nest(paths, make([]string, len(paths))); err != nil {
		return err
	}
	from, ends := int64(0), int64(0) // of what is read, and the line ends in it
	t.read = func() (map[string]any, int64, error) {
		to := rows.InputOffset()
		ends += int64(bytes.Count(c.since(from, to), []byte("\n")))
		c.release(to)
		from = to
		fields, err := rows.Read()
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			return nil, int64(parse.Line), parse.Err
		}
		if err != nil {
			return nil, ends + 1, err
		}
		line, _ := rows.FieldPos(0)
		row, err := nest(paths, fields)
		return row, int64(line), err
	}
	return nil
}

// nest puts the fields of a row where their paths lead.
func nest(paths [][]string, fields []string) (map[string]any, error) {
	row := make(map[string]any, len(paths))
	for i, path := range paths {
		m := row
		last := len(path) - 1
		for _, name := range path[:last] {
			if m[name] == nil {
				m[name] = cells{}
			}
			inner, ok := m[name].(cells)
			if !ok {
				return nil, twice(path)
			}
			m = inner
		}
		if m[path[last]] != nil {
			return nil, twice(path)
		}
		m[path[last]] = cell(fields[i])
	}
	return row, nil
}

func twice(path []string) error {
	return fmt.Errorf("column %q stands twice in the header row", strings.Join(path, "."))
}

// openLines reads one JSON object a line; blank lines are no rows.
func (t *textRows) openLines(in io.Reader) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	n := int64(0)
	t.read = func() (map[string]any, int64, error) {
		for lines.Scan() {
			n++
			b := bytes.TrimSpace(lines.Bytes())
			if len(b) == 0 {
				continue
			}
			v, err := decodeJSON(b)
			if err != nil {
				return nil, n, err
			}
			row, ok := v.(map[string]any)
			if !ok {
				return nil, n, fmt.Errorf("%s, not an object", jsonWhat(v))
			}
			return row, n, nil
		}
		if err := lines.Err(); err != nil {
			return nil, n + 1, err
		}
		return nil, n, io.EOF
	}
}
