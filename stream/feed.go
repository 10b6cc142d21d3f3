package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

// Text is a value as a field of a CSV file or a plain scalar of YAML writes it: what it means depends on
// the type it is for.
type Text = cell

// Encoder writes rows as datums of one schema. Not for concurrent use.
type Encoder struct{ e *encoder }

// NewEncoder makes an encoder of a record schema. extra is told, once a row, of each column that the schema
// lacks; nil: nobody is.
func NewEncoder(s *schemas.Schema, extra func(path string)) (*Encoder, error) {
	e, err := newEncoder(s, extra)
	if err != nil {
		return nil, err
	}
	return &Encoder{e}, nil
}

// Encode appends the datum of a row to dst. Its values are nil, Text, what encoding/json gives with numbers
// kept as json.Number, and slices and maps of them. A field that the row lacks has its default, else null.
func (e *Encoder) Encode(dst []byte, row map[string]any) ([]byte, error) { return e.e.encode(dst, row) }

// ReadText reads a value of type t as file sources read it from text.
func ReadText(text string, t event.Type) (event.Value, error) { return parseText(text, t) }

// FeedRecord is one record for a Feed: the value of a Kafka record in the Confluent wire format, of any
// schema id; for a file source the row so too.
type FeedRecord struct {
	Partition  int32
	Offset     int64
	Arrival    event.Time // of a Kafka record; a file's row arrives by its event time
	Key, Value []byte     // nil is null
}

// Feed hands the records of one source to a store without a broker or a file: for tests of pipelines.
// A record takes the way of one that was fetched, from its decoding to its verdict; a row that of a
// file's row. Nothing reads the clock. One goroutine uses it.
type Feed struct {
	src   *pipeline.Source
	dec   *decoders
	kafka *kafkaSource
	file  *fileSource
	rows  *decoder
	parts map[int32]*feedPartition
}

type feedPartition struct {
	h     partition
	kafka *kafkaPartition
	next  int64
	left  bool
}

// NewFeed makes a feed of a source whose schema writes every value. cfg needs Plan and Store.
func NewFeed(cfg Config, src *pipeline.Source) (*Feed, error) {
	byID, err := schemas.NewDecoders(nil, src.Schema, columnNames(src))
	if err != nil {
		return nil, err
	}
	r := New(cfg)
	st := r.sources[src.Index]
	f := &Feed{src: src, dec: &decoders{byID: byID, slots: len(src.Columns)}, parts: map[int32]*feedPartition{}}
	f.rows = f.dec.decoder()
	if src.File != nil {
		f.file = &fileSource{r: r, src: src, st: st, slots: f.rows.slots}
	} else {
		f.kafka = &kafkaSource{r: r, src: src, st: st, dec: f.dec, big: make(chan struct{}, 1)}
	}
	return f, nil
}

func (f *Feed) partition(n int32) *feedPartition {
	p := f.parts[n]
	if p != nil {
		return p
	}
	p = &feedPartition{}
	f.parts[n] = p
	if f.file != nil {
		p.h = f.file.r.store.partition(f.src, n)
		p.next, _ = p.h.Next()
		return p
	}
	p.kafka = f.kafka.newPartition(n, false)
	p.h = p.kafka.h
	p.next, _ = p.h.Next()
	p.kafka.arrivals = p.h.Arrivals()
	return p
}

// Next is the offset that a partition reads next: after a restart, where it is read again from.
func (f *Feed) Next(n int32) int64 { return f.partition(n).next }

// Columns decodes a value into the source's columns, valid until the next call; why it is no event
// otherwise.
func (f *Feed) Columns(ctx context.Context, value []byte) (slots []event.Value, reason string) {
	v := f.rows.decode(ctx, value)
	return f.rows.slots, cmp.Or(v.reason, v.wait)
}

// Add counts one record; of each partition in the order of offsets.
func (f *Feed) Add(ctx context.Context, rec FeedRecord) error {
	p := f.partition(rec.Partition)
	if rec.Offset < p.next {
		return fmt.Errorf("add %s/%d@%d: %d is next", f.src.Name, rec.Partition, rec.Offset, p.next)
	}
	p.next, p.left = rec.Offset+1, false
	if f.file != nil {
		var bad *badRow
		if v := f.rows.decode(ctx, rec.Value); v.reason != "" {
			bad = &badRow{raw: rec.Value, err: fmt.Errorf("%s", v.detail)}
		}
		f.file.add(rec.Offset, bad, p.h)
		return nil
	}
	// Brokers keep milliseconds from 1970 on. Another arrival is one by the clock, and stored as such.
	k := record{offset: rec.Offset, millis: -1, key: rec.Key, value: rec.Value}
	a := answer{now: rec.Arrival, next: rec.Offset + 1}
	if ms := rec.Arrival / 1000; ms >= 0 && ms*1000 == rec.Arrival {
		k.millis, a.now = int64(ms), event.MaxTime
	}
	return p.kafka.record(ctx, &k, &a)
}

// End hands over what was added: every partition is read to its end. A file's rows end there.
func (f *Feed) End(ctx context.Context) error {
	for _, n := range f.numbers() {
		p := f.parts[n]
		if err := p.h.End(ctx, p.next, true); err != nil {
			return err
		}
		if f.file != nil {
			f.Leave(n)
		}
	}
	return nil
}

// Leave tells that a partition had no record for the source's `idle:`, until its next one.
func (f *Feed) Leave(n int32) {
	if p := f.partition(n); !p.left {
		p.h.Leave()
		p.left = true
	}
}

func (f *Feed) numbers() []int32 {
	var out []int32
	for n := range f.parts {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
