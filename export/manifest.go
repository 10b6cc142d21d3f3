package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// ManifestVersion is the version of the manifests that this package writes.
const ManifestVersion = 1

// ManifestSuffix is what the name of a manifest has behind that of its table.
const ManifestSuffix = ".manifest.json"

// Manifest says how a table was made: enough to make it again, byte for byte.
type Manifest struct {
	Version    int            `json:"manifest"`
	Penstock   Build          `json:"penstock"`
	Pipeline   PipelineReport `json:"pipeline"`
	Options    Options        `json:"options"`
	Spine      *FileReport    `json:"spine,omitempty"` // nothing if no file has the rows
	Cut        CutReport      `json:"cut"`
	Out        []FileReport   `json:"out"` // a file, or one for each part of a split
	Rows       int64          `json:"rows"`
	Differ     int64          `json:"cells_that_differ"`
	Statistics *Statistics    `json:"statistics"`
}

// Build is the program that wrote a table.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// PipelineReport says what a selection meant.
type PipelineReport struct {
	Name string `json:"name"`
	File string `json:"file"`
	// Definition is the SHA-256 of all that decides the values of the selection, versions of views included.
	Definition string       `json:"definition"`
	Views      []ViewReport `json:"views"`
	// Parts are what Definition is made of beside the views: each with a hash of what it says.
	Parts []PartHash `json:"parts"`
}

// PartHash is a part of a definition, like a feature or a label, and the beginning of the SHA-256 of what it says.
type PartHash struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
}

// ViewReport is a view that was read, and the hash of its definition.
type ViewReport struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	History string `json:"history"`
}

// Options are what was asked for, as Request has it.
type Options struct {
	Export     string   `json:"export,omitempty"`
	Set        string   `json:"set,omitempty"`
	View       string   `json:"view,omitempty"`
	Features   []string `json:"features,omitempty"`
	SpineTime  string   `json:"spine_time,omitempty"`
	AsServed   bool     `json:"as_served"`
	WithStatus bool     `json:"with_status"`
	Label      string   `json:"label,omitempty"` // of the statistics
}

// FileReport is a file and the hash of its bytes.
type FileReport struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// CutReport is the cut that was read.
type CutReport struct {
	Offsets    []OffsetReport    `json:"offsets"`
	Watermarks []WatermarkReport `json:"watermarks"`
	Files      []CutFileReport   `json:"files,omitempty"` // of sources that are files
}

// CutFileReport is a file that is a partition of a source.
type CutFileReport struct {
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	Name      string `json:"name"` // without folders
	Bytes     int64  `json:"bytes"`
	SHA256    string `json:"sha256,omitempty"` // nothing if it had not been read to its end
	Edges     string `json:"edges"`            // the first half of the SHA-256 of its first and last 64 KiB
}

// WatermarkReport is the least watermark of a source's partitions; Least is nothing if there was none yet.
type WatermarkReport struct {
	Source string `json:"source"`
	Least  string `json:"least,omitempty"`
}

// At is a past that a request reads, what its selection must mean, and what must come of it.
type At struct {
	Pipeline PipelineReport `json:"pipeline"`
	Cut      CutReport      `json:"cut"`
	Out      []FileReport   `json:"-"`
	Rows     int64          `json:"rows"`
	Penstock Build          `json:"-"`
}

func optionsOf(r *Request) Options {
	return Options{
		Export: r.Export, Set: r.Selection.Set, View: r.Selection.View, Features: r.Selection.Features, SpineTime: r.SpineTime,
		AsServed: r.AsServed, WithStatus: r.WithStatus, Label: r.Label,
	}
}

// meaningOf says what a selection means, in an export that is declared or not.
func meaningOf(store *feature.Store, sel *feature.Selector, declared *pipeline.Export) PipelineReport {
	m := store.Meaning(sel, declared)
	p := PipelineReport{Name: m.Pipeline, File: m.Path, Definition: m.Definition}
	for _, v := range m.Views {
		p.Views = append(p.Views, ViewReport{v.View, v.Version, v.History.String()})
	}
	for _, part := range m.Parts {
		sum := sha256.Sum256([]byte(part.Text))
		p.Parts = append(p.Parts, PartHash{part.Name, hex.EncodeToString(sum[:8])})
	}
	return p
}

func cutOf(cut *feature.Cut) CutReport {
	p, c := cut.Past(), CutReport{Offsets: []OffsetReport{}, Watermarks: []WatermarkReport{}}
	for _, o := range p.Offsets {
		c.Offsets = append(c.Offsets, OffsetReport(o))
	}
	for _, w := range p.Watermarks {
		r := WatermarkReport{Source: w.Source}
		if w.Least != event.MinTime {
			r.Least = w.Least.String()
		}
		c.Watermarks = append(c.Watermarks, r)
	}
	c.Files = filesOf(cut)
	return c
}

func filesOf(cut *feature.Cut) (out []CutFileReport) {
	for _, f := range cut.Files() {
		out = append(out, CutFileReport{f.Source, f.Partition, f.Name, f.Bytes, f.SHA256, f.Edges})
	}
	return out
}

func (f *CutFileReport) mark() feature.FileMark {
	return feature.FileMark{Name: f.Name, Bytes: f.Bytes, Edges: f.Edges, SHA256: f.SHA256}
}

func (f *CutFileReport) text() string {
	text := fmt.Sprintf("%s of %d bytes", f.Name, f.Bytes)
	if f.SHA256 != "" {
		text += fmt.Sprintf(", SHA-256 %.12s…", f.SHA256)
	}
	return text
}

// otherFiles tells which files that c names a state was not read from, by what it was read from.
func (c *CutReport) otherFiles(have []CutFileReport) (out []string) {
	for _, was := range c.Files {
		i := slices.IndexFunc(have, func(f CutFileReport) bool { return f.Source == was.Source && f.Partition == was.Partition })
		switch {
		case i < 0:
			out = append(out, fmt.Sprintf("source %q has not read %s", was.Source, was.text()))
		case !have[i].mark().Same(was.mark()):
			out = append(out, fmt.Sprintf("source %q has read another file, %s; the table was made of %s", was.Source, have[i].text(), was.text()))
		}
	}
	return out
}

// past reads what cutOf wrote.
func (c *CutReport) past() (feature.Past, error) {
	var p feature.Past
	for _, o := range c.Offsets {
		p.Offsets = append(p.Offsets, feature.Offset(o))
	}
	for _, w := range c.Watermarks {
		least := event.MinTime
		if w.Least != "" {
			var err error
			if least, err = event.ParseTime(w.Least); err != nil {
				return p, mistake("malformed", "", "the manifest's watermark of source %q: %v", w.Source, err)
			}
		}
		p.Watermarks = append(p.Watermarks, feature.Watermark{Source: w.Source, Least: least})
	}
	return p, nil
}

// cutFor takes the cut that a request reads: a new one, or that of a manifest, if the selection still means the same.
func cutFor(ctx context.Context, store *feature.Store, meaning PipelineReport, at *At) (*feature.Cut, error) {
	if at == nil {
		cut, err := store.Cut(ctx)
		if err != nil {
			return nil, fmt.Errorf("fix a cut: %w", err)
		}
		return cut, nil
	}
	if err := at.Pipeline.sameAs(meaning); err != nil {
		return nil, err
	}
	past, err := at.Cut.past()
	if err != nil {
		return nil, err
	}
	cut, err := store.CutAt(ctx, past)
	var gone *feature.CutError
	if errors.As(err, &gone) {
		return nil, mistake("gone", gone.Hint, "the manifest's cut cannot be read: %s", gone.Message)
	}
	if err != nil {
		return nil, fmt.Errorf("take the manifest's cut: %w", err)
	}
	return cut, nil
}

// sameAs tells what of a selection is not what it was: everything, not the first of it.
func (p *PipelineReport) sameAs(now PipelineReport) error {
	if p.Definition == now.Definition {
		return nil
	}
	var changes []string
	of := func(r *PipelineReport) (names []string, hashes map[string]string) {
		hashes = map[string]string{}
		add := func(name, hash string) {
			names, hashes[name] = append(names, name), hash
		}
		for _, v := range r.Views {
			add("view "+quote(v.Name), "version "+v.Version[:min(8, len(v.Version))])
		}
		for _, x := range r.Parts {
			add(x.Name, x.Hash[:min(8, len(x.Hash))])
		}
		return names, hashes
	}
	then, was := of(p)
	today, is := of(&now)
	for _, name := range then {
		switch have, ok := is[name]; {
		case !ok:
			changes = append(changes, name+" is not there any more")
		case have != was[name]:
			changes = append(changes, fmt.Sprintf("%s has another definition: %s made the table, this is %s", name, was[name], have))
		}
	}
	for _, name := range today {
		if _, ok := was[name]; !ok {
			changes = append(changes, name+" was not there")
		}
	}
	if len(changes) == 0 {
		changes = []string{fmt.Sprintf("what is exported has another definition: %.8s made the table, this is %.8s", p.Definition, now.Definition)}
	}
	const most = 10
	if more := len(changes) - most; more > 0 {
		changes = append(changes[:most], fmt.Sprintf("and %d more", more))
	}
	return mistake("changed", "use the pipeline file that it was made with, and a state of it", "%s", strings.Join(changes, "; "))
}

// ReadManifest reads a manifest.
func ReadManifest(path string) (*Manifest, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, mistake("malformed", "an export writes it beside its table, as OUT"+ManifestSuffix, "manifest %s: there is no such file", path)
	}
	if err != nil {
		return nil, mistake("malformed", "", "read manifest %s: %v", path, err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, mistake("malformed", "an export writes it beside its table, as OUT"+ManifestSuffix, "%s is not a manifest: %v", path, err)
	}
	if m.Version != ManifestVersion {
		return nil, mistake("malformed", "", "manifest %s has version %d; this program reads version %d", path, m.Version, ManifestVersion)
	}
	if len(m.Out) == 0 || m.Statistics == nil {
		return nil, mistake("malformed", "", "manifest %s is not whole", path)
	}
	return m, nil
}

// ManifestOf reads the manifest that lies beside a table. That of a split whose parts are files has the name of all of
// them, OUT without a part: it is the one that names the file among what it wrote.
func ManifestOf(table string) (*Manifest, error) {
	m, err := ReadManifest(table + ManifestSuffix)
	if _, gone := os.Stat(table + ManifestSuffix); err == nil || !errors.Is(gone, os.ErrNotExist) {
		return m, err
	}
	dir, name := filepath.Split(table)
	words := strings.Split(name, ".")
	for i := 1; i+1 < len(words); i++ {
		whole := dir + strings.Join(slices.Delete(slices.Clone(words), i, i+1), ".")
		m, partOf := ReadManifest(whole + ManifestSuffix)
		if partOf == nil && slices.ContainsFunc(m.Out, func(f FileReport) bool { return filepath.Base(f.Path) == name }) {
			return m, nil
		}
	}
	return nil, err
}

// newManifest says what an export did.
func newManifest(cfg *Config, spine *FileReport, sums []FileReport, r *Report) *Manifest {
	return &Manifest{
		Version: ManifestVersion, Penstock: cfg.Build, Pipeline: cfg.Meaning, Options: cfg.Options, Spine: spine,
		Cut: cutOf(cfg.Cut), Out: sums, Rows: r.Rows, Differ: r.Differ, Statistics: r.stats.finish(cfg.Label, r.Features),
	}
}

// encode writes the manifest as JSON.
func (m *Manifest) encode(w io.Writer) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// sumOf hashes a file.
func sumOf(path, name string) (FileReport, error) {
	f, err := os.Open(path)
	if err != nil {
		return FileReport{}, fmt.Errorf("hash %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return FileReport{}, fmt.Errorf("hash %s: %w", name, err)
	}
	return FileReport{Path: name, Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
