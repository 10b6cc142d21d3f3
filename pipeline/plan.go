// Package pipeline turns the file that users write into a checked, compiled plan. It runs nothing.
package pipeline

import (
	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/expr"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Plan is a compiled pipeline. Immutable.
type Plan struct {
	Name     string
	Path     string // of the file, for messages
	State    State
	Log      *ServingLog // nil: what is served is not logged
	Sources  []*Source   // as declared; Source.Index is the place in it
	Entities []*Entity
	Views    []*View
	Sets     []*Set
	Labels   []*Label
	Exports  []*Export
}

// State is the `state:` block.
type State struct {
	Memory   int64          // bytes of all managed memory
	Flush    event.Duration // recovery bound in time
	DiskFree int64          // bytes; 0: the smaller of 5 % and 2 GiB
}

// ServingLog is the `serve: {log: …}` block.
type ServingLog struct {
	Sample    float64 // the share of entities, above 0 and at most 1
	FileBytes int64
	KeepBytes int64
	Path      string // of the folder, relative to the pipeline file's; empty: within the state directory
}

// Source is one source of events.
type Source struct {
	Index      uint16
	Name       string
	Kafka      *Kafka // exactly one of Kafka and File
	File       *File
	Registry   *RegistryRef    // where writer schemas are looked up; nil: Schema writes every value
	Schema     *schemas.Schema // the reader schema
	Time       TimeField
	Order      int            // slot of the `order:` column; -1 without one
	Ahead      event.Duration // events further ahead of their arrival are dead letters
	Idle       event.Duration
	ArrivalLag event.Duration // files: arrival is event time plus this
	Dead       DeadLetters
	Columns    []Column // the reader columns that the plan uses; slot i of a decoded row
}

// Column is a named, typed column.
type Column struct {
	Name string // dotted path for nested records
	Type event.Type
}

// Kafka is where a topic is and how to reach it.
type Kafka struct {
	Brokers  []string
	Topic    string
	Start    Start
	Group    string // id under which offsets are shown to lag monitors
	ClientID string
	TLS      *TLS
	SASL     *SASL
}

// Start is where a partition without stored offset begins.
type Start struct {
	Latest bool
	At     event.Time // records of this timestamp and later; MinTime: the earliest
}

// TLS holds paths of PEM files; empty ones mean the system's roots and no client certificate.
type TLS struct{ CA, Cert, Key, ServerName string }

// SASL holds credentials, already read from the environment or a file.
type SASL struct{ Mechanism, Username, Password string }

// String leaves out the password.
func (s SASL) String() string { return s.Mechanism + " as " + s.Username }

// File is a set of files; each is a partition, each row an offset.
type File struct {
	Path   string // glob, relative to the pipeline file's folder unless absolute
	Format string // avro, parquet, csv, jsonl; empty: by each file's name
}

// RegistryRef is a subject in a schema registry.
type RegistryRef struct {
	URL, Subject       string
	Username, Password string
}

// String leaves out the credentials.
func (r RegistryRef) String() string { return "subject " + r.Subject + " at " + r.URL }

// TimeField tells which column is the event time and, for a plain long, its unit in microseconds
// (or, for nanoseconds, -1000: divide and floor). Unit 0: the column is a timestamp already.
type TimeField struct {
	Slot int
	Name string
	Unit int64
}

// DeadLetters tells where records that cannot be counted go.
type DeadLetters struct {
	Topic  string         // empty: kept in the store
	Budget int64          // bytes kept in the store
	Keep   event.Duration // how long they are kept there
}

// Entity is a named key.
type Entity struct {
	Name string
	Keys []Column // Boolean, Long, String, Bytes, Date or Timestamp, never null
}

// Branch is what a view makes of the events of one source. Row slots are those of Source.Columns, then one
// for each of Computed.
type Branch struct {
	Source   *Source
	Flatten  []int           // slots of arrays, all of one length: a record is a row for each element, which stands in their place
	Keys     []int           // slot of each of the entity's keys
	Computed []*expr.Program // evaluated in order into slots len(Source.Columns)+i
	Where    *expr.Program   // nil: every row
	Inputs   []Input         // what rows keep: the first of Row.Values
	Filters  []*expr.Program // Row.Pass; boolean
}

// View is a feature view.
type View struct {
	Name     string
	Branch             // of its source, or the first of them
	More     []*Branch // of further sources; Inputs and Filters have the same meaning in all
	Entity   *Entity
	Lookups  []*Lookup       // features of other views that this one reads
	Derived  []*Derived      // computed when rows are read: Row.Values behind Inputs
	Late     []*expr.Program // conditions over Derived: bits of Row.Pass behind Filters. Slots: derived value i at i, input i at MaxLookups+i
	Dedupe   *Dedupe         // nil: every row counts
	Layout   agg.Layout
	Features []*Feature // in the order written, `each` after `features`
	Ahead    []*Feature // of labels: asked as of the end of their window, and by exports only
	Hidden   bool       // not written by users: it keeps the rows of a source for labels and exports
	History  event.Duration
	Keep     event.Duration // rows older than the watermark less Keep are late: History + longest bounded window
	Version  string         // hash of the definition, hex
	Storage  string         // canonical text of all that decides what is stored: hashed into Version
}

// Dedupe tells which rows are copies: of the rows of an entity with one id, in tie order, a row counts if none
// that counts lies up to Within before it. A row whose id is null counts.
type Dedupe struct {
	Input  int // the id
	Within event.Duration
}

// Input is one value that a row keeps: a slot, or an expression computed from the slots.
type Input struct {
	Slot    int // used if Program is nil
	Program *expr.Program
	Type    event.Type
	Text    string // as users wrote it
}

// Lookup is a feature of another view as an input: its value as of each row's own time. It is never stored:
// a late event of the other view changes it.
type Lookup struct {
	Feature *Feature
	Keys    []int // input that holds each of Feature.View.Entity.Keys
}

// Derived is a column over lookups. Slots of Program: lookup i at i, input i at MaxLookups+i.
type Derived struct {
	Name    string
	Program *expr.Program
}

// MaxLookups is the most features of other views that a view may read.
const MaxLookups = 64

// DerivedGroup tells whether group i of the layout reads a Derived: it is not kept with rows.
func (v *View) DerivedGroup(i int) bool {
	g, n := &v.Layout.Groups[i], len(v.Inputs)
	return g.Input >= n || g.Second > n || g.By > n || g.Filter >= len(v.Filters)
}

// Feature is one column of a view.
type Feature struct {
	View     *View
	Name     string
	agg.Call     // over View.Layout; over Inner.Layout for an aggregate of an aggregate
	Filter   int // bit of Row.Pass that a LastN's rows must have; -1: every row
	Window   window.Spec
	Inner    *Inner         // nil: the aggregate reads rows
	TTL      event.Duration // 0: none
	Default  event.Value    // Null: none; already of Type
	Type     event.Type
	Doc      string // one line that says what it is: "sum of amount over the 1h before, where abroad"
}

// Inner is the inner aggregate of an aggregate of an aggregate: the outer one reads a row for each of
// the windows of Window that end within (start, end] of the outer window, at its end, with Call's answer. If
// the feature's Call has a By, so have the groups of this one: each key is answered as if its rows were alone.
type Inner struct {
	agg.Call // over View.Layout
	Window   window.Spec
	Empty    bool        // windows without a row count too, with the answer over nothing
	Nothing  event.Value // the answer of a window in which nothing counts, in place of null
	Default  event.Value // in place of any other null
	Layout   agg.Layout  // of the outer aggregate: one group, whose input 0 is the answer
}

// Set is a feature set: the ordered columns that a model takes.
type Set struct {
	Name     string
	Entities []*Entity
	Keys     []Column // union of the entities' key columns, in order
	Request  []Column
	Features []*SetFeature
}

// SetFeature is a reference to a view's feature, or an expression over the row. Slots of Expr: the
// request columns, then Deps[i] at len(Request)+i; a dep is a view's feature or an earlier feature
// of the set.
type SetFeature struct {
	Name    string
	Ref     *Feature // nil for an expression
	Expr    *expr.Program
	Text    string // of the expression, as users wrote it
	Deps    []Dep
	Default event.Value
	Type    event.Type
}

// Dep is one input of a set's expression: Ref, or (if nil) the feature Set.Features[Earlier].
type Dep struct {
	Ref     *Feature
	Earlier int
}

// Branches lists what the view makes of each of its sources, in the order declared.
func (v *View) Branches() []*Branch { return append([]*Branch{&v.Branch}, v.More...) }

// View finds a view by name, or nil.
func (p *Plan) View(name string) *View {
	for _, v := range p.Views {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// Set finds a feature set by name, or nil.
func (p *Plan) Set(name string) *Set {
	for _, s := range p.Sets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Feature finds a view's feature by name, or nil.
func (v *View) Feature(name string) *Feature {
	for _, f := range v.Features {
		if f.Name == name {
			return f
		}
	}
	return nil
}
