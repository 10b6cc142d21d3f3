package schemas

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// maxDecoders bounds the decoders that are kept; beyond it they are all compiled anew.
const maxDecoders = 10_000

// Decoders gives the decoder of each writer's schema id for one reader's schema and columns. Safe for
// concurrent use; For takes no lock once an id is known.
type Decoders struct {
	registry *Registry
	reader   *Schema
	columns  []string
	own      *Decoder // of data that the reader's schema wrote
	now      func() time.Time
	known    atomic.Pointer[map[uint32]*Decoder]
	mu       sync.Mutex
	failed   *lru[uint32, failure]
}

// failure is an id whose schema does not resolve or cannot be used, until when that is believed.
type failure struct {
	err   error
	until time.Time
	pause time.Duration
}

// NewDecoders returns the decoders of columns of reader. Without a registry, reader is the writer of
// everything. It is an error if a column is none of reader's.
func NewDecoders(registry *Registry, reader *Schema, columns []string) (*Decoders, error) {
	own, err := Compile(reader, reader, columns)
	if err != nil {
		return nil, err
	}
	d := &Decoders{
		registry: registry, reader: reader, columns: columns, own: own, now: time.Now,
		failed: newLRU[uint32, failure](maxCachedSchemas),
	}
	d.known.Store(&map[uint32]*Decoder{})
	return d, nil
}

// Own is the decoder of data that the reader's schema wrote.
func (d *Decoders) Own() *Decoder { return d.own }

// For returns the decoder of an id. The error is ErrUnknownSchema (the record is a dead letter),
// ErrUnavailable (wait and ask again), ErrResolve or ErrUnusable (the partition cannot go on until the
// schemas are mended; asked again after a pause that grows to a minute), or ctx's.
func (d *Decoders) For(ctx context.Context, id uint32) (*Decoder, error) {
	if dec, ok := (*d.known.Load())[id]; ok {
		return dec, nil
	}
	if d.registry == nil {
		return d.own, nil
	}
	d.mu.Lock()
	f, ok := d.failed.get(id)
	d.mu.Unlock()
	if ok && d.now().Before(f.until) {
		return nil, f.err
	}
	writer, err := d.registry.ByID(ctx, id)
	var dec *Decoder
	if err == nil {
		if dec, err = Compile(writer, d.reader, d.columns); err != nil {
			err = fmt.Errorf("schema %d: %w", id, err)
			d.registry.forget(id)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		d.failed.drop(id)
		d.publish(id, dec)
	case errors.Is(err, ErrResolve) || errors.Is(err, ErrUnusable):
		pause := min(max(2*f.pause, firstBackoff), maxBackoff)
		d.failed.put(id, failure{err: err, until: d.now().Add(pause), pause: pause})
	}
	return dec, err
}

// publish adds a decoder to a copy of the map.
func (d *Decoders) publish(id uint32, dec *Decoder) {
	next := map[uint32]*Decoder{}
	if old := *d.known.Load(); len(old) < maxDecoders {
		next = maps.Clone(old)
	}
	next[id] = dec
	d.known.Store(&next)
}

// forget drops an id, so that it is asked again.
func (r *Registry) forget(id uint32) {
	r.mu.Lock()
	r.known.drop(id)
	r.mu.Unlock()
}
