package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Reproduction says where a table is made again.
type Reproduction struct {
	Manifest     *Manifest
	ManifestPath string
	Spine        string // path; empty: as the manifest has it, from here or from the manifest's folder
	Out          string
	Force        bool
	Plan         *pipeline.Plan // for a server, if the export is a declared one
}

// Differs is the code of the error of Reproduce that tells other bytes than the manifest's.
const Differs = "differs"

// Reproduce makes a table again, by FromStore or a client of a server, and tells whether its bytes are the same: if
// they are not, nothing is written, and the error is an *Error with the code Differs.
func Reproduce(ctx context.Context, r Reproduction, export func(context.Context, Request) (*Report, error)) (*Report, error) {
	m := r.Manifest
	want, codec := splitName(m.Out[0].Path)
	if ext, c := splitName(r.Out); ext != want || c != codec {
		return nil, mistake("malformed", "", "%s: the manifest is of a table named %s: give this one the same extension", r.Out, filepath.Base(m.Out[0].Path))
	}
	spine, err := r.spine()
	if err != nil {
		return nil, err
	}
	return export(ctx, Request{
		Export: m.Options.Export, Selection: feature.Selection{Set: m.Options.Set, View: m.Options.View, Features: m.Options.Features},
		Spine: spine, SpineTime: m.Options.SpineTime, Out: r.Out, AsServed: m.Options.AsServed, WithStatus: m.Options.WithStatus,
		Force: r.Force, Manifest: true, Label: m.Options.Label, Plan: r.Plan,
		At: &At{Pipeline: m.Pipeline, Cut: m.Cut, Out: m.Out, Rows: m.Rows, Penstock: m.Penstock},
	})
}

// spine finds the spine and looks whether it is the same.
func (r *Reproduction) spine() (string, error) {
	m := r.Manifest
	if m.Spine == nil {
		return "", nil
	}
	tries := []string{r.Spine}
	if r.Spine == "" {
		dir := filepath.Dir(r.ManifestPath)
		tries = []string{m.Spine.Path, filepath.Join(dir, m.Spine.Path), filepath.Join(dir, filepath.Base(m.Spine.Path))}
	}
	for _, path := range tries {
		sum, err := sumOf(path, path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if sum.SHA256 != m.Spine.SHA256 {
			return "", mistake("changed", "name the spine that the table was made of with --spine",
				"spine %s is not the manifest's: SHA-256 %.12s… of %d bytes, not %.12s… of %d", path, sum.SHA256, sum.Bytes, m.Spine.SHA256, m.Spine.Bytes)
		}
		return path, nil
	}
	return "", mistake("gone", "name it with --spine", "the spine %s is not there", tries[0])
}

// summed is a file that is written and hashed.
type summed struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (s *summed) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.h.Write(b[:n])
	s.n += int64(n)
	return n, err
}

// sumFiles hashes what is written to files; the second result tells the sums, by the files' names.
func sumFiles(files []io.Writer) ([]io.Writer, func(names []string) []FileReport) {
	out := make([]io.Writer, 0, len(files))
	all := make([]*summed, 0, len(files))
	for _, w := range files {
		s := &summed{w: w, h: sha256.New()}
		out, all = append(out, s), append(all, s)
	}
	return out, func(names []string) []FileReport {
		sums := make([]FileReport, 0, len(all))
		for i, s := range all {
			sums = append(sums, FileReport{Path: names[i], Bytes: s.n, SHA256: hex.EncodeToString(s.h.Sum(nil))})
		}
		return sums
	}
}

// gone tells what was trimmed from what failed.
func (at *At) gone(err error, r *Report) error {
	if at != nil && errors.Is(err, feature.ErrTrimmed) {
		hint := "history in the pipeline file says how long rows are kept"
		for _, m := range r.Missing {
			hint = fmt.Sprintf("%s before %s: what is needed has been trimmed, or may have been; %s", m.Of, m.Before, hint)
		}
		return mistake("gone", hint, "the manifest's cut cannot be read any more: %v", err)
	}
	return err
}

// sameBytes tells whether what was written is what a manifest has.
func (at *At) sameBytes(have []FileReport, build Build, r *Report) error {
	if at == nil || at.Out == nil {
		return nil
	}
	if len(have) != len(at.Out) {
		return mistake(Differs, "", "%d files are written, the manifest has %d", len(have), len(at.Out))
	}
	for i, f := range have {
		want := at.Out[i]
		if f.SHA256 == want.SHA256 {
			continue
		}
		hint := strings.Join(r.lacks(at.Rows), "; ")
		if hint == "" && build != at.Penstock {
			hint = fmt.Sprintf("it was written by version %s (commit %s), this is %s (commit %s)", at.Penstock.Version, at.Penstock.Commit, build.Version, build.Commit)
		}
		return mistake(Differs, hint, "%s would have other bytes than the manifest's table: SHA-256 %.12s… of %d bytes, not %.12s… of %d; it is not written",
			f.Path, f.SHA256, f.Bytes, want.SHA256, want.Bytes)
	}
	return nil
}

// MissingReport is what may be missing of a table that is made again, since trimming has taken rows.
type MissingReport struct {
	Of     string `json:"of"`     // "spine", "features" or a label
	Before string `json:"before"` // what lies before it has been trimmed, or may have been
	Rows   int64  `json:"rows"`   // of the table that rest on it; of the spine those that are there

	spans []feature.Span // of instants
	ahead event.Duration // of a label: its end, behind a row's instant
}

// text is m for people; before is how many rows the table had.
func (m *MissingReport) text(before int64) string {
	if m.Of == "spine" {
		return fmt.Sprintf("rows of the spine before %s have been trimmed, or may have been: the table would have %d rows, and had %d", m.Before, m.Rows, before)
	}
	return fmt.Sprintf("%s: %d rows ask for instants before %s: what they rest on has been trimmed, or may have been", m.Of, m.Rows, m.Before)
}

// lacks tells all that may be missing, or is another.
func (r *Report) lacks(rows int64) (out []string) {
	out = append(out, r.OtherFiles...)
	for _, m := range r.Missing {
		if m.Of == "spine" && m.Rows != rows || m.Of != "spine" && m.Rows > 0 {
			out = append(out, m.text(rows))
		}
	}
	return out
}

// missing lists what may be missing of a past, by its cut.
func missing(cfg *Config) (out []*MissingReport, err error) {
	add := func(of string, spans []feature.Span, ahead event.Duration) {
		m := &MissingReport{Of: of, spans: spans, ahead: ahead}
		latest := event.MinTime
		for _, s := range spans {
			latest = max(latest, s.To)
		}
		if len(spans) > 0 {
			m.Before = latest.Add(-ahead).String()
			out = append(out, m)
		}
	}
	add("features", cfg.Cut.Doubtful(cfg.Selector), 0)
	x := cfg.Export
	if x == nil {
		return out, nil
	}
	for _, l := range x.Labels {
		sel, err := cfg.Cut.SelectAhead([]*pipeline.Feature{l.Feature})
		if err != nil {
			return nil, err
		}
		add("label "+quote(l.Name), cfg.Cut.Doubtful(sel), l.To)
	}
	spans, err := doubtfulRows(cfg)
	add("spine", spans, 0)
	return out, err
}

// doubtfulRows is where rows of a declared spine may be missing: events that a view kept, or of a grid the instants
// at which it may not be told any more who was known.
func doubtfulRows(cfg *Config) (out []feature.Span, err error) {
	of := &cfg.Export.Spine
	if of.View == nil {
		return nil, nil
	}
	spans := []feature.Span{cfg.Cut.DoubtfulRows(of.View)}
	if of.Grid != nil {
		sel, err := knownBy(cfg.Cut, of.View)
		if err != nil {
			return nil, err
		}
		spans = cfg.Cut.Doubtful(sel)
	}
	for _, s := range spans {
		if s.From = max(s.From, of.From); s.From < s.To {
			out = append(out, s)
		}
	}
	return out, nil
}

// countMissing notes how many rows of a chunk rest on what may be missing.
func (r *Report) countMissing(c *chunk) {
	for _, m := range r.Missing {
		if m.Of == "spine" {
			m.Rows += int64(c.rows)
			continue
		}
		for _, t := range c.instants {
			if slices.ContainsFunc(m.spans, func(s feature.Span) bool { return s.Has(t.Add(m.ahead)) }) {
				m.Rows++
			}
		}
	}
}
