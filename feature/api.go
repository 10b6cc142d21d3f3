// Package feature knows how a view lives in state. It is the only reader and writer of views:
// serving and exports call the same Reader, and nothing else computes a feature.
package feature

import (
	"context"
	"log/slog"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// Options tune a Store; the zero value is ready for use.
type Options struct {
	Shards     int                 // goroutines that own heads; 0: one for each CPU. Answers do not depend on it
	Now        func() event.Time   // the adapters' clock; nil: the wall clock
	Log        *slog.Logger        // nil: discards
	Dead       map[string]DeadSink // by source name; a source without one keeps dead letters in the store
	AcceptLoss bool                // go on over lost records and answer incomplete
	Observe    Observer
}

// Observer is told what happens, for metrics; nil fields are skipped. Called from several goroutines.
type Observer struct {
	Commit   func(took time.Duration, values, bytes int)
	Servable func(sinceArrival time.Duration) // of the newest record of each batch
}

// Record is one decoded record. All slices belong to the caller again after Partition.Add returns.
type Record struct {
	Offset    int64
	Timestamp event.Time    // of the record; MinTime if it has none
	Arrival   event.Time    // Semantics 4; equal on every replay (see Partition.Arrivals)
	CRC       uint32        // CRC-32C of key and value, to recognise the record again
	Key       []byte        // raw, for dead letters
	Value     []byte        // raw, for dead letters
	Slots     []event.Value // of Source.Columns; room for computed columns is the Store's business
}

// DeadLetter is a record that could not be counted, wholly or by one view.
type DeadLetter struct {
	Source    string
	Partition int32
	Offset    int64
	View      string // empty: every view of the source
	Reason    string // a word: decode, schema, magic, key, time, ahead, late, empty …
	Detail    string // a sentence
	Timestamp event.Time
	Arrival   event.Time
	Key       []byte
	Value     []byte
}

// DeadSink takes dead letters away from the store, a topic for instance: at least once.
type DeadSink interface {
	// Send queues d; it copies what it keeps.
	Send(d *DeadLetter) error
	// Flush returns when all that was sent is durable. Restart offsets pass a record only after it.
	Flush(ctx context.Context) error
}

// Seen is the newest record of a partition that any durable head may rest on.
type Seen struct {
	Offset    int64
	Timestamp event.Time
	CRC       uint32
}

// Arrival is a stored verdict of the wall clock: the records of [From, To) whose timestamp is
// missing or later than Time arrived at Time.
type Arrival struct {
	From, To int64
	Time     event.Time
}

// Open opens the views of plan in st. It fails with *PlanError if st was written by another plan.
func Open(st state.Store, plan *pipeline.Plan, opt Options) (*Store, error) { panic("stub") }

// Store is all views of a plan over one state.
type Store struct{}

// Close flushes what is in memory and stops; it does not close the state.
func (s *Store) Close(ctx context.Context) error { panic("stub") }

// Flush makes all that was handed over so far durable, with restart offsets.
func (s *Store) Flush(ctx context.Context) error { panic("stub") }

// Failed is closed when the store cannot go on (a commit error, a full disk); Err says why.
func (s *Store) Failed() <-chan struct{} { panic("stub") }

// Err is why the store failed, or nil.
func (s *Store) Err() error { panic("stub") }

// Partition returns the handle through which one partition of a source is ingested: one per
// partition, used by one goroutine at a time.
func (s *Store) Partition(src *pipeline.Source, partition int32) *Partition { panic("stub") }

// Partition ingests one partition of a source in offset order.
type Partition struct{}

// Next is the restart offset: the next to read; ok is false if nothing of this partition is stored.
func (p *Partition) Next() (offset int64, ok bool) { panic("stub") }

// Seen is the newest record that a durable head may rest on; ok is false if there is none.
func (p *Partition) Seen() (s Seen, ok bool) { panic("stub") }

// Arrivals lists the stored verdicts of the wall clock at or above Next, ascending. A replay must use them.
func (p *Partition) Arrivals() []Arrival { panic("stub") }

// StoreArrival makes a verdict of the wall clock durable, before any record under it is added.
func (p *Partition) StoreArrival(a Arrival) error { panic("stub") }

// Meta is a small text that an adapter keeps about the partition (a file's name, size and checksum),
// durable from the next checkpoint on; empty if never set.
func (p *Partition) Meta() string { panic("stub") }

// SetMeta sets the text that Meta answers.
func (p *Partition) SetMeta(text string) { panic("stub") }

// Add counts one record in every view of the source.
func (p *Partition) Add(r *Record) { panic("stub") }

// Dead counts a record that could not be decoded as dead in every view of the source. r.Slots is not used.
func (p *Partition) Dead(r *Record, reason, detail string) { panic("stub") }

// End hands over what was added since the last End; next is the offset to read next, behind gaps,
// aborted and control records too. atEnd tells that the partition is read to its end. End blocks
// while queues or the memory budget are full, and errs when the store has failed.
func (p *Partition) End(ctx context.Context, next int64, atEnd bool) error { panic("stub") }

// Leave takes the partition out of the minimum of watermarks until its next record: it is fully
// read, and a file or without a record for `idle:`.
func (p *Partition) Leave() { panic("stub") }

// Lost marks records [from, to) as lost: answers become incomplete. Only under Options.AcceptLoss.
func (p *Partition) Lost(from, to int64) error { panic("stub") }

// Status tells where a value comes from.
type Status uint8

// The statuses of a value.
const (
	Present Status = iota
	IsNull
	Expired
	NotFound
	BeforeHistory
	Incomplete
)

var statusNames = [...]string{"present", "null", "expired", "not_found", "before_history", "incomplete"}

// String is the name of s in answers and exports.
func (s Status) String() string { return statusNames[s] }

// Selection names what is asked for: exactly one of Set, View, or dotted Features alone; within a set
// or a view Features selects and orders.
type Selection struct {
	Set, View string
	Features  []string
}

// SelectError says what of a Selection does not exist. Code is one of malformed, unknown_set,
// unknown_view, unknown_feature; At is where: "set", "view", "features[0]".
type SelectError struct{ Code, Message, Hint, At string }

func (e *SelectError) Error() string { return e.Message }

// Selector is a resolved Selection. Immutable, safe for concurrent use.
type Selector struct {
	Keys    []pipeline.Column // what names an entity, in order
	Request []pipeline.Column // request columns that must be given
	Columns []SelectorColumn  // the answers, in order
}

// SelectorColumn is one answer of a Selector.
type SelectorColumn struct {
	Name string // the answer name
	Type event.Type
	Doc  string
}

// Select resolves what is asked for. The error is a *SelectError.
func (s *Store) Select(sel Selection) (*Selector, error) { panic("stub") }

// Vector is one answered row; each slice has one element per Selector column. A Reader reuses it:
// strings are valid until its next Read.
type Vector struct {
	Values    []event.Value
	Status    []Status
	EventTime []event.Time // of the newest row each value rests on; MinTime if none
	Later     bool         // some row it rests on arrived after the instant asked: the as-served past differs perhaps
}

// Instant is the past that is asked for.
type Instant struct {
	AsOf     event.Time
	AsServed bool // only rows that had arrived by AsOf
}

// Reader reads vectors. Not safe for concurrent use: one per goroutine.
type Reader struct{}

// NewReader returns a reader of the newest state: memory first.
func (s *Store) NewReader() *Reader { panic("stub") }

// Read answers one entity. keys has one value per Selector.Keys, request one per Selector.Request.
func (r *Reader) Read(ctx context.Context, sel *Selector, keys, request []event.Value, at Instant, out *Vector) error {
	panic("stub")
}

// Cut is a fixed position in every partition, durable, with a snapshot of the state to read it from.
type Cut struct{}

// Cut fixes the positions reached now, waits until they are durable, and takes a snapshot.
func (s *Store) Cut(ctx context.Context) (*Cut, error) { panic("stub") }

// NewReader returns a reader at the cut.
func (c *Cut) NewReader() *Reader { panic("stub") }

// Offsets lists the cut: source name, partition, offset next to read.
func (c *Cut) Offsets() []Offset { panic("stub") }

// Close releases the snapshot.
func (c *Cut) Close() { panic("stub") }

// Offset is a position next to read.
type Offset struct {
	Source    string
	Partition int32
	Next      int64
}

// Latest is one microsecond after the newest accepted event time over the sources of sel.
func (s *Store) Latest(sel *Selector) event.Time { panic("stub") }

// Ready is nil when every partition has passed what durable heads had seen (Semantics 11), else why not.
func (s *Store) Ready() error { panic("stub") }

// Stats is a reading of all counters.
type Stats struct {
	Sources []SourceStats
	Views   []ViewStats
	State   state.Stats
	Memory  int64 // bytes of heads, queues and caches in memory
	Dirty   int64 // bytes of them not yet durable
	Latest  event.Time
}

// SourceStats are the counters of a source.
type SourceStats struct {
	Name       string
	Read       int64 // records read, each position once
	Partitions []PartitionStats
}

// PartitionStats are the counters of a partition.
type PartitionStats struct {
	Partition int32
	Next      int64 // next to read
	Restart   int64 // durable
	Watermark event.Time
	Left      bool // out of the minimum of watermarks
}

// ViewStats are the counters of a view: they add up to the records read of its source.
type ViewStats struct {
	Name, Source                             string
	Applied, Filtered, Duplicate, Late, Dead int64
	Horizon                                  event.Time
	Overflows                                int64 // answers of a sum of longs outside int64
}

// Stats reads all counters.
func (s *Store) Stats() Stats { panic("stub") }

// StoredDead yields the dead letters kept in the store, by source and position.
func (s *Store) StoredDead(f func(d *DeadLetter) error) error { panic("stub") }
