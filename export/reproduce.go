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
		Force: r.Force, Manifest: true, Plan: r.Plan,
		At: &At{Pipeline: m.Pipeline, Cut: m.Cut, Out: m.Out, Penstock: m.Penstock},
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
func (at *At) gone(err error) error {
	if at != nil && errors.Is(err, feature.ErrTrimmed) {
		return mistake("gone", "history in the pipeline file says how long rows are kept", "the manifest's cut cannot be read any more: %v", err)
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
		hint := ""
		switch {
		case r.BeforeKept > 0:
			hint = fmt.Sprintf("%d rows ask for instants before %s: what they rest on has been trimmed, or may have been", r.BeforeKept, r.Kept)
		case build != at.Penstock:
			hint = fmt.Sprintf("it was written by version %s (commit %s), this is %s (commit %s)", at.Penstock.Version, at.Penstock.Commit, build.Version, build.Commit)
		}
		return mistake(Differs, hint, "%s would have other bytes than the manifest's table: SHA-256 %.12s… of %d bytes, not %.12s… of %d; it is not written",
			f.Path, f.SHA256, f.Bytes, want.SHA256, want.Bytes)
	}
	return nil
}

// countKept notes how many rows ask for instants whose rows may be gone.
func (r *Report) countKept(kept event.Time, instants []event.Time) {
	for _, t := range instants {
		if t < kept {
			r.BeforeKept++
		}
	}
	if r.BeforeKept > 0 {
		r.Kept = kept.String()
	}
}
