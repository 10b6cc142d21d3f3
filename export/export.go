// Package export turns a spine (rows of keys, an instant, and any other columns) into training rows:
// the same rows, in order, with features as of each row's instant. It reads values through
// feature.Reader at one cut, as look-ups do, and computes none.
package export

import (
	"context"
	"fmt"
	"io"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Error is a mistake of the caller: a spine that does not fit, an OUT that exists.
type Error struct {
	Code    string `json:"code"` // malformed, exists, clash, row, busy …
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	At      string `json:"at,omitempty"`

	null bool // a key or the instant of a row is null
}

func (e *Error) Error() string { return e.Message }

func mistake(code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Config is one export.
type Config struct {
	Cut       *feature.Cut
	Selector  *feature.Selector
	Export    *pipeline.Export // what is declared of it; nil: rows in = rows out, no label
	Spine     string           // path; its extension tells the format. Not read if Export says that the rows come from elsewhere
	SpineName string           // how messages name the spine; empty: Spine
	SpineTime string           // the time column; empty: event_time, else the only timestamp column
	Out       string           // path; its extension tells the format. Written beside and renamed when whole
	OutName   string           // how the report and messages name it; empty: Out
	AsServed  bool             // use only rows that had arrived by each instant
	// WithStatus adds a column <name>__status behind the features, for each of them.
	WithStatus bool
	Force      bool // replace an existing Out
	Workers    int  // goroutines that read; 0: one for each CPU. The file does not depend on it
	Behind     bool // run on threads of low priority, on Linux
	// Memory is about how many bytes the export may take, whatever its rows; 0: DefaultMemory. The file does not
	// depend on it.
	Memory int64
	Meter  *Meter // is told how far the export is; may be nil

	// Manifest asks for a Report.Manifest; the rest is for it.
	Manifest bool
	Label    string // the column that predictions are about; empty: the first label
	Options  Options
	Meaning  PipelineReport
	Build    Build
	At       *At // the past that Cut is of, if a table is made again; else nil

	beside bool // write the manifest too
}

// Report says what an export did.
type Report struct {
	Out          string          `json:"out"`
	Rows         int64           `json:"rows"`
	SpineColumns int             `json:"spine_columns"`
	Features     []FeatureReport `json:"features"`
	AsServed     bool            `json:"as_served"`
	// Differ counts the cells whose value or status is not the same in the two pasts: as of the
	// instant, and as served at the instant.
	Differ int64          `json:"cells_that_differ"`
	Cut    []OffsetReport `json:"cut"`

	// Manifest is told if it was asked for. It stands beside the report, not in it.
	Manifest *Manifest `json:"-"`

	// Missing is what may be missing of a table that is made again.
	Missing []*MissingReport `json:"missing,omitempty"`
	// OtherFiles tells, of such a table, which source files the state was made of that are not the manifest's.
	OtherFiles []string `json:"other_files,omitempty"`

	// Of exports that the pipeline declares.
	Export    string        `json:"export,omitempty"`
	SpineRows int64         `json:"spine_rows,omitempty"` // those in the table, and those left out
	LeftOut   *LeftOut      `json:"left_out,omitempty"`
	Labels    []LabelReport `json:"labels,omitempty"`
	Parts     []PartReport  `json:"parts,omitempty"` // of a split

	stats *tableStats // nil without a manifest
}

// PartReport is a part of a split.
type PartReport struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	Out  string `json:"out,omitempty"`  // its file, if it has one of its own
	Size int64  `json:"size,omitempty"` // bytes of that file
}

// FeatureReport counts the cells of one feature.
type FeatureReport struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Nulls  int64  `json:"nulls"`
	Differ int64  `json:"cells_that_differ"`
}

// OffsetReport is one position of the cut: the offset next to read.
type OffsetReport struct {
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	Next      int64  `json:"next"`
}

// Request is an export by names, as users ask for it; its fields are those of Config.
type Request struct {
	Export     string // one that the pipeline declares; then it says the selection and the spine
	Selection  feature.Selection
	Spine      string
	SpineTime  string
	Out        string
	AsServed   bool
	WithStatus bool
	Force      bool
	Workers    int
	Memory     int64

	// Fast lets an export of a server take all CPUs, as urgently as look-ups; else it takes half, behind them.
	Fast bool

	Show func(Progress) // called about each second while it runs; may be nil

	// Manifest asks for a manifest beside Out, with the name of ManifestSuffix.
	Manifest bool
	Label    string
	Build    Build
	At       *At // read this past instead of a new cut; nil: a new one

	// Plan is the client's, of an Export that a server is asked for: what it declares of files is read here, and
	// the server must have the same.
	Plan *pipeline.Plan
}

// FromStore runs one export against an open store, at a cut it takes. A selection of what does not
// exist is a *feature.SelectError.
func FromStore(ctx context.Context, store *feature.Store, req Request) (*Report, error) {
	var declared *pipeline.Export
	if req.Export != "" {
		var err error
		if req, declared, err = req.declare(store.Plan()); err != nil {
			return nil, err
		}
	}
	sel, err := store.Select(req.Selection)
	if err != nil {
		return nil, err
	}
	meaning := meaningOf(store, sel, declared)
	cut, err := cutFor(ctx, store, meaning, req.At)
	if err != nil {
		return nil, err
	}
	defer cut.Close()
	var m Meter
	defer watch(ctx, &m, req.Show)()
	return Run(ctx, Config{
		Cut: cut, Selector: sel, Export: declared, Spine: req.Spine, SpineTime: req.SpineTime, Out: req.Out,
		AsServed: req.AsServed, WithStatus: req.WithStatus, Force: req.Force, Workers: req.Workers, Memory: req.Memory, Meter: &m,
		Manifest: req.Manifest, Label: req.Label, Options: optionsOf(&req), Meaning: meaning, Build: req.Build, At: req.At,
		beside: true,
	})
}

// Run reads the spine and writes Out. The bytes of Out depend on the spine, the selection, the
// options and the rows up to the cut only. An Out that is not whole is never left behind.
func Run(ctx context.Context, cfg Config) (report *Report, err error) {
	if cfg.Workers <= 0 {
		cfg.Workers = spare.count()
	}
	cfg.crew().lead(func() { report, err = runBy(ctx, cfg) })
	return report, err
}

func (cfg *Config) crew() crew { return crew{cfg.Workers, cfg.Behind && canStepBack} }

// runBy is Run, by a goroutine of the crew.
func runBy(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.SpineName == "" {
		cfg.SpineName = cfg.Spine
	}
	if cfg.OutName == "" {
		cfg.OutName = cfg.Out
	}
	paths, names := cfg.outputs()
	o, err := openOut(cfg.Out, cfg.OutName, paths, names, cfg.Force)
	if err != nil {
		return nil, err
	}
	sp, shaped, err := openRows(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sp.close() }()
	l, err := newLayout(&cfg, sp)
	if err != nil {
		return nil, err
	}
	if shaped != nil {
		if err := shaped.bind(l); err != nil {
			return nil, err
		}
	}
	report := newReport(&cfg, l)
	if cfg.At != nil {
		if report.Missing, err = missing(&cfg); err != nil {
			return nil, err
		}
		report.OtherFiles = cfg.At.Cut.otherFiles(filesOf(cfg.Cut))
	}
	spineSum, err := cfg.sumSpine()
	if err != nil {
		return nil, err
	}
	if cfg.Manifest {
		report.stats = newTableStats(l, isFormat(cfg.Spine, "csv"))
		report.stats.crew = cfg.crew()
	}
	cfg.Meter.begin()
	err = o.write(func(files []io.Writer) ([]FileReport, *Manifest, error) {
		sums, err := cfg.table(ctx, files, names, sp, l, report)
		if err != nil || !cfg.Manifest {
			return sums, nil, err
		}
		report.Manifest = newManifest(&cfg, spineSum, sums, report)
		if !cfg.beside {
			return sums, nil, nil
		}
		return sums, report.Manifest, nil
	})
	if err != nil {
		return nil, countNulls(ctx, &cfg, cfg.At.gone(err, report))
	}
	if shaped != nil {
		shaped.report(report, paths, names)
	}
	return report, nil
}

// table writes the table, and tells the sums of its files.
func (cfg *Config) table(ctx context.Context, files []io.Writer, names []string, sp spine, l *layout, report *Report) ([]FileReport, error) {
	files, sumsOf := sumFiles(files)
	out, err := newSinks(files, cfg, l)
	if err != nil {
		return nil, err
	}
	if err := run(ctx, cfg, sp, l, out, report); err != nil {
		return nil, err
	}
	if err := out.close(); err != nil {
		return nil, err
	}
	sums := sumsOf(names)
	return sums, cfg.At.sameBytes(sums, cfg.Build, report)
}

// sumSpine hashes the spine's file for the manifest, if a file has the rows.
func (cfg *Config) sumSpine() (*FileReport, error) {
	if !cfg.Manifest || cfg.Export != nil && cfg.Export.Spine.File == "" {
		return nil, nil
	}
	sum, err := sumOf(cfg.Spine, cfg.SpineName)
	return &sum, err
}

// newSinks opens what is written: a file, or one for each part of a split.
func newSinks(files []io.Writer, cfg *Config, l *layout) (sink, error) {
	all := &partSink{}
	for _, w := range files {
		out, err := newSink(w, cfg.Out, l, cfg.crew())
		if err != nil {
			return nil, err
		}
		if len(files) == 1 {
			return out, nil
		}
		all.sinks = append(all.sinks, out)
	}
	return all, nil
}

func newReport(cfg *Config, l *layout) *Report {
	r := &Report{Out: cfg.OutName, SpineColumns: len(l.spine), AsServed: cfg.AsServed, Cut: []OffsetReport{}, Features: []FeatureReport{}}
	for _, c := range cfg.Selector.Columns {
		r.Features = append(r.Features, FeatureReport{Name: c.Name, Type: c.Type.String()})
	}
	for _, o := range cfg.Cut.Offsets() {
		r.Cut = append(r.Cut, OffsetReport(o))
	}
	return r
}

// sameCell tells whether a cell of two vectors is the same in value and status.
func sameCell(a, b event.Value, s, t feature.Status) bool {
	return s == t && a.Kind == b.Kind && event.Compare(a, b) == 0
}
