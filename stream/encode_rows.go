package stream

import (
	"context"
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
	var schema *schemas.Schema
	if cfg.Schema != nil {
		var err error
		if schema, err = schemas.Parse(cfg.Schema); err != nil {
			return nil, err
		}
	}
	r := &Rows{cfg: cfg, schema: string(cfg.Schema)}
	if err := r.open(format, packed, schema); err != nil {
		return nil, fmt.Errorf("read %s: %w", cfg.Path, err)
	}
	return r, nil
}

func (r *Rows) open(format, packed string, schema *schemas.Schema) error {
	in, err := openPacked(r.cfg.Path, packed, nil)
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
