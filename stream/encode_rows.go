package stream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

// RowsConfig says which rows to produce, and as what.
type RowsConfig struct {
	Path   string // .csv, .jsonl, .ndjson or .avro; each with .gz or .zst behind it
	Schema []byte // an Avro schema of a record; nil: a container file's own
	Key    string // column of the message key; empty: none
	Time   string // column with the record's timestamp; empty: the time of producing
	// Extra is told, once each, of columns that the schema lacks, which are left out; nil: nobody is.
	Extra func(column string)
}

// RowError is a row that cannot be produced.
type RowError struct {
	Path string
	Unit string // line, or row of a container file
	N    int64  // from 1
	Err  error
}

// Error places the row.
func (e *RowError) Error() string {
	return fmt.Sprintf("%s: %s %d: %v", e.Path, e.Unit, e.N, e.Err)
}

// Unwrap returns what is wrong with the row.
func (e *RowError) Unwrap() error { return e.Err }

// FormatError is a file of a format that cannot be produced, or that lacks its schema.
type FormatError struct{ why, hint string }

// Error says what is wrong.
func (e *FormatError) Error() string { return e.why }

// Hint says what to do.
func (e *FormatError) Hint() string { return e.hint }

// Rows reads the rows of a file as messages, one after the other, in bounded memory.
//
// Values of CSV and JSON lines are written as file sources read them: RFC 3339 with a zone for
// timestamps, base64 for bytes. An empty field of CSV is null where the schema allows it; nested fields
// stand in columns named by their dotted path; arrays, maps and records may stand in one column as
// JSON. A column that the file lacks has its field's default, else null. Of a union the first type
// is taken that a value fits. A container file's datums are passed on as they are.
type Rows struct {
	cfg    RowsConfig
	schema string
	in     io.Closer
	next   func() (key, datum []byte, at event.Time, err error) // io.EOF behind the last
}

// OpenRows opens a file and checks that it can be encoded. Close it.
func OpenRows(cfg RowsConfig) (*Rows, error) {
	name, packed := strings.ToLower(filepath.Base(cfg.Path)), ""
	for _, ext := range []string{".gz", ".zst"} {
		if strings.HasSuffix(name, ext) {
			name, packed = strings.TrimSuffix(name, ext), ext
		}
	}
	format := strings.TrimPrefix(filepath.Ext(name), ".")
	if !slices.Contains([]string{"csv", "jsonl", "ndjson", "avro"}, format) {
		return nil, &FormatError{fmt.Sprintf("file %s: format %q cannot be produced", cfg.Path, format), "name it .csv, .jsonl or .avro, with .gz or .zst behind if it is compressed"}
	}
	if format != "avro" && cfg.Schema == nil {
		return nil, &FormatError{fmt.Sprintf("file %s has no schema of its own", cfg.Path), "give an Avro schema"}
	}
	r := &Rows{cfg: cfg, schema: string(cfg.Schema)}
	if err := r.open(format, packed); err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.Path, err)
	}
	return r, nil
}

func (r *Rows) open(format, packed string) error {
	var schema *schemas.Schema
	var err error
	if r.cfg.Schema != nil {
		if schema, err = schemas.Parse(r.cfg.Schema); err != nil {
			return err
		}
	}
	in, err := openPacked(r.cfg.Path, packed)
	if err != nil {
		return err
	}
	if format == "avro" {
		err = r.openContainer(in, schema)
	} else {
		err = r.openText(in, format, schema)
	}
	if err != nil {
		return errors.Join(err, in.Close())
	}
	return nil
}

// Schema is the schema to register, in JSON: as it was given, or as the container file has it.
func (r *Rows) Schema() string { return r.schema }

// Close closes the file.
func (r *Rows) Close() error { return r.in.Close() }

// Send produces all rows under a schema id and returns how many are acknowledged. A row that does not
// fit ends it with a RowError: the rows before are sent, it and those behind are not.
func (r *Rows) Send(ctx context.Context, cfg ProduceConfig, id uint32) (int64, error) {
	var bad error
	n, err := Produce(ctx, cfg, func(yield func(Message, error) bool) {
		for {
			key, datum, at, err := r.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					bad = err
				}
				return
			}
			if !yield(Message{Key: key, Value: Frame(nil, id, datum), Timestamp: at}, nil) {
				return
			}
		}
	})
	return n, errors.Join(bad, err)
}

func (r *Rows) fail(unit string, n int64, err error) error {
	return &RowError{Path: r.cfg.Path, Unit: unit, N: n, Err: err}
}

// stamp is the timestamp of a record. Kafka counts from 1970, and 0 would be the time of producing.
func (r *Rows) stamp(at event.Time) (event.Time, error) {
	if at < event.Time(event.Millisecond) {
		return 0, fmt.Errorf("column %q: %s cannot be a record's timestamp, which begins in 1970", r.cfg.Time, at)
	}
	return at, nil
}

// openContainer passes datums on; only the columns of key and time are decoded.
func (r *Rows) openContainer(in io.ReadCloser, schema *schemas.Schema) error {
	ocf, err := schemas.NewOCF(in)
	if err != nil {
		return err
	}
	r.in = closers{ocf.Close, in.Close}
	if schema == nil {
		schema, r.schema = ocf.Schema(), ocf.Meta("avro.schema")
	} else if schema.String() != ocf.Schema().String() {
		ocf.Close()
		return &FormatError{"it was written with another schema than the one given", "give none: a container file brings its own"}
	}
	var columns []string
	for _, name := range []string{r.cfg.Key, r.cfg.Time} {
		if name != "" {
			columns = append(columns, name)
		}
	}
	dec, err := schemas.Compile(ocf.Schema(), schema, columns)
	if err != nil {
		ocf.Close()
		return err
	}
	c := &container{rows: r, ocf: ocf, dec: dec, slots: make([]event.Value, len(columns))}
	r.next = c.next
	return nil
}

// closers closes what was opened, the last first.
type closers struct {
	first func()
	then  func() error
}

// Close calls both.
func (c closers) Close() error {
	c.first()
	return c.then()
}

// container reads a container file.
type container struct {
	rows    *Rows
	ocf     *schemas.OCF
	dec     *schemas.Decoder
	slots   []event.Value
	scratch schemas.Scratch
	n       int64
}

func (c *container) next() (key, datum []byte, at event.Time, err error) {
	c.n++
	if err = c.ocf.Read(c.dec, c.slots, &c.scratch); err != nil {
		if !errors.Is(err, io.EOF) {
			err = c.rows.fail("row", c.n, err)
		}
		return nil, nil, 0, err
	}
	slots, cfg := c.slots, c.rows.cfg
	if cfg.Key != "" {
		if key, err = keyOf(slots[0]); err != nil {
			return nil, nil, 0, c.rows.fail("row", c.n, fmt.Errorf("key column %q: %w", cfg.Key, err))
		}
		slots = slots[1:]
	}
	if cfg.Time != "" {
		if slots[0].Kind != event.Timestamp {
			return nil, nil, 0, c.rows.fail("row", c.n, fmt.Errorf("column %q: a %s, not a timestamp", cfg.Time, slots[0].Kind))
		}
		if at, err = c.rows.stamp(slots[0].Time()); err != nil {
			return nil, nil, 0, c.rows.fail("row", c.n, err)
		}
	}
	return key, c.ocf.Raw(), at, nil
}

// keyOf is the key of a message: the text of a value, the bytes of bytes, null of null.
func keyOf(v event.Value) ([]byte, error) {
	switch v.Kind {
	case event.Null:
		return nil, nil
	case event.List, event.Map:
		return nil, fmt.Errorf("a %s cannot be a key", v.Kind)
	case event.Bytes:
		return []byte(v.Str), nil
	}
	return []byte(v.String()), nil
}

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

// TopicExists asks the brokers for a topic.
func TopicExists(ctx context.Context, k *pipeline.Kafka, topic string) (bool, error) {
	c, err := newCluster(k, topic)
	if err != nil {
		return false, err
	}
	defer c.close()
	_, err = c.partitions(ctx, topic)
	switch {
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask for topic %s: %s", topic, c.explain(err))
	}
	return true, nil
}
