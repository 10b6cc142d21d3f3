// Package feature knows how a view lives in state. It is the only reader and writer of views:
// serving and exports call the same Reader, and nothing else computes a feature.
package feature

import (
	"context"
	"encoding/binary"
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
	Offline    bool                // nothing will be ingested: what a crash left unread does not hold readers up; nothing is swept
	// After is how the sweeper waits between two steps; nil: time.After. Tests pass another: a channel that is
	// never ready leaves sweeping to Store.Sweep. Answers do not depend on it.
	After   func(d time.Duration) <-chan time.Time
	Observe Observer
}

// Observer is told what happens, for metrics; nil fields are skipped. Called from several goroutines.
type Observer struct {
	Commit   func(took time.Duration, values, bytes int)
	Servable func(sinceArrival time.Duration) // of the newest record of each batch; not of files, whose rows arrive at their event time
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

	views    []viewQuery     // what to read
	entities [][]int         // what names the entities of views: of Keys, each list once
	apart    []viewQuery     // the same for readers of a cut: what can slide is kept apart
	outs     []output        // how each answer is finished
	slots    int             // values read from views
	made     []pipeline.Part // of a set: what its columns are made of, for Meaning
}

// SelectorColumn is one answer of a Selector.
type SelectorColumn struct {
	Name string // the answer name
	Type event.Type
	Size int // of a vector: how many elements each value that is not null has; 0: any number
	Doc  string
}

// Slots is how many slots there are: the state keeps entities by slot, then by key.
const Slots = slots

// AppendEntity appends the name of an entity to dst; keys has one value per Selector.Keys. Rows are best read in the
// bytewise order of names: a Reader then finds what the row before has read, and what the next needs lies behind it in
// the state. No name begins with another. The first two bytes are the slot of the entity, big-endian, below Slots.
func (sel *Selector) AppendEntity(dst []byte, keys []event.Value) []byte {
	for _, part := range sel.entities {
		n := len(dst)
		dst = append(dst, 0, 0)
		for _, k := range part {
			dst = appendKeyValue(dst, &keys[k])
		}
		binary.BigEndian.PutUint16(dst[n:], slotOf(dst[n+2:]))
	}
	if len(sel.entities) == 0 {
		dst = append(dst, 0, 0)
	}
	return dst
}

// entitySize is how long the name of the first of some entities is, with what Keys these have.
func (sel *Selector) entitySize(name []byte, keys []int) int {
	n := 2
	for _, k := range keys {
		v, w := binary.Uvarint(name[n:])
		n += w
		if kind := sel.Keys[k].Type.Kind; kind == event.String || kind == event.Bytes {
			n += int(v)
		}
	}
	return n
}

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

	within  bool       // asked while another view is read: what had arrived is told by arrived
	arrived event.Time // the instant asked of that view
}

// Offset is a position next to read.
type Offset struct {
	Source    string
	Partition int32
	Next      int64
}

// Stats is a reading of all counters.
type Stats struct {
	Sources []SourceStats
	Views   []ViewStats
	State   state.Stats
	Memory  int64 // bytes of heads, queues and caches in memory
	Dirty   int64 // bytes of them not yet durable
	Heads   int64 // entities of views that are in memory
	Misses  int64 // rows, since the start, whose entity was not in memory
	Latest  event.Time

	Stored []StoredStats // of each view, in the plan's order

	// Sweeping is for how long, since the start, the committer has counted and trimmed what is stored.
	Sweeping time.Duration
}

// StoredStats tells what is stored of a view, all partitions and entities together, as it was last counted.
type StoredStats struct {
	View     string
	Features int        // of the view
	Keys     int64      // entities
	Rows     int64      // in heads and archive
	Blocks   int64      // of the archive: leaves and nodes
	Bytes    int64      // keys and values of heads and blocks
	At       event.Time // when the count ended; MinTime: nothing has been counted yet
	Trimmed  int64      // rows dropped or folded since the start, since no answer needs them any more
	Unjoined int64      // rows since the start that came when those of their time had been trimmed: of partitions that were idle
}

// SourceStats are the counters of a source.
type SourceStats struct {
	Name        string
	Read        int64 // records read, each position once
	Partitions  []PartitionStats
	DeadDropped int64 // dead letters dropped from the store: over its budget, or too old
}

// PartitionStats are the counters of a partition.
type PartitionStats struct {
	Partition int32
	Next      int64 // next to read
	Restart   int64 // durable
	Watermark event.Time
	Left      bool // out of the minimum of watermarks
}

// ViewStats are the counters of a view for one of its sources: they add up to the records read of it.
type ViewStats struct {
	Name, Source                             string
	Applied, Filtered, Duplicate, Late, Dead int64
	Horizon                                  event.Time
	Overflows                                int64 // answers of a sum of longs outside int64
}
