package stream

import (
	"bytes"
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

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// rowReader reads the rows of one file in order. Avro, Parquet, CSV and JSON lines implement it.
type rowReader interface {
	// read decodes the next row into slots, whose values are valid until the next call. io.EOF ends the
	// file; a *badRow is one row that cannot be decoded, the rest of the file goes on; any other error
	// ends reading.
	read(slots []event.Value) error
	close() error
}

// badRow is a row that does not decode, with its bytes as far as the format has them.
type badRow struct {
	raw []byte
	err error
}

func (e *badRow) Error() string { return e.err.Error() }

// FileError is a file that is not as it was when it was read, or cannot be read.
type FileError struct {
	Path string
	Why  string
	hint string
}

func (e *FileError) Error() string { return fmt.Sprintf("file %s: %s", e.Path, e.Why) }

// Hint says what can be done; perhaps nothing.
func (e *FileError) Hint() string { return e.hint }

// runFiles reads the files of a source one after the other, each to its end.
func (r *Runner) runFiles(ctx context.Context, src *pipeline.Source, st *sourceStatus) error {
	paths, err := listFiles(r.cfg.Plan, src)
	if err != nil {
		return err
	}
	f := &fileSource{r: r, src: src, st: st, slots: make([]event.Value, len(src.Columns))}
	parts := make([]partition, len(paths))
	for i, path := range paths {
		parts[i] = r.store.partition(src, int32(i))
		st.partition(int32(i), path)
		if err := f.known(path, parts[i]); err != nil {
			return err
		}
	}
	if err := f.missing(paths); err != nil {
		return err
	}
	for i, path := range paths {
		if err := f.file(ctx, path, int32(i), parts[i]); err != nil {
			return err
		}
	}
	st.done()
	return nil
}

// listFiles finds the files of a source, bytewise sorted. Relative globs are relative to the pipeline
// file's folder.
func listFiles(plan *pipeline.Plan, src *pipeline.Source) ([]string, error) {
	glob := src.File.Path
	if !filepath.IsAbs(glob) {
		glob = filepath.Join(filepath.Dir(plan.Path), glob)
	}
	paths, err := filepath.Glob(glob)
	if err != nil {
		return nil, fmt.Errorf("list files %s: %w", glob, err)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool {
		info, err := os.Stat(p)
		return err == nil && info.IsDir()
	})
	slices.Sort(paths)
	if len(paths) == 0 {
		return nil, &FileError{Path: src.File.Path, Why: "there is no such file", hint: "the path is a glob, relative to the pipeline file's folder"}
	}
	return paths, nil
}

// fileSource reads the files of one source.
type fileSource struct {
	r     *Runner
	src   *pipeline.Source
	st    *sourceStatus
	slots []event.Value
	rec   feature.Record

	sum    hash.Hash // of the file under way
	summed int64     // its first bytes that sum has
}

// known compares a file with what is stored about its partition.
func (f *fileSource) known(path string, h partition) error {
	before, ok := feature.ParseFileMark(h.Meta())
	if !ok {
		return nil
	}
	if before.Name != filepath.Base(path) {
		return &FileError{
			Path: path, Why: fmt.Sprintf("stands where %s stood when the files were read", before.Name),
			hint: "the number of a file is its place in the bytewise order of paths: a new file must sort behind all that were read, and none may be taken away; or start with a new state directory",
		}
	}
	now, err := fingerprint(path)
	if err != nil {
		return err
	}
	if !now.Same(before) {
		return &FileError{Path: path, Why: "changed after it was read", hint: "restore it, or start with a new state directory; put new rows into a new file"}
	}
	return nil
}

// missing is an error if files that were read before are gone from the end of the list.
func (f *fileSource) missing(paths []string) error {
	for n := range f.r.store.restarts(f.src) {
		if int(n) < len(paths) {
			continue
		}
		m, _ := feature.ParseFileMark(f.r.store.partition(f.src, n).Meta())
		return &FileError{Path: m.Name, Why: "was read before and is gone", hint: "restore it, or start with a new state directory"}
	}
	return nil
}

// edge is how much of a file's head and tail its fingerprint covers.
const edge = 64 << 10

// fingerprint is a file's size and a hash of its first and last 64 KiB: enough to notice what was
// appended, truncated, replaced or written anew, at a cost that does not grow with the file. A change
// in the middle that keeps the size is not noticed before the file is read again.
func fingerprint(path string) (m feature.FileMark, err error) {
	file, err := os.Open(path)
	if err != nil {
		return m, fmt.Errorf("open file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return m, fmt.Errorf("stat file: %w", err)
	}
	h := sha256.New()
	if _, err := io.CopyN(h, file, edge); err != nil && !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("read file %s: %w", path, err)
	}
	if info.Size() > edge {
		if _, err := io.Copy(h, io.NewSectionReader(file, max(info.Size()-edge, edge), edge)); err != nil {
			return m, fmt.Errorf("read file %s: %w", path, err)
		}
	}
	return feature.FileMark{Name: filepath.Base(path), Bytes: info.Size(), Edges: hex.EncodeToString(h.Sum(nil)[:16]), Rows: -1}, nil
}

// file reads one file from its restart row to its end.
func (f *fileSource) file(ctx context.Context, path string, n int32, h partition) error {
	st := f.st.partition(n, path)
	mark, err := fingerprint(path)
	if err != nil {
		return err
	}
	from, _ := h.Next()
	next := from
	if was, ok := feature.ParseFileMark(h.Meta()); !ok || !was.Same(mark) || was.Rows != from { // not read to its end before
		h.SetMeta(mark.String())
		if mark.Rows, mark.SHA256, err = f.readFile(ctx, path, from, h, st); err != nil {
			return err
		}
		if after, err := fingerprint(path); err != nil || !after.Same(mark) {
			return errors.Join(err, &FileError{Path: path, Why: "changed while it was read", hint: "write files under another name and rename them when they are whole"})
		}
		next = mark.Rows
		h.SetMeta(mark.String())
	}
	if err := h.End(ctx, next, true); err != nil {
		return err
	}
	h.Leave()
	st.at(next, next)
	st.done()
	return nil
}

// readFile reads a file to its end, and tells how many rows it has and the SHA-256 of its bytes.
func (f *fileSource) readFile(ctx context.Context, path string, from int64, h partition, st *partitionStatus) (int64, string, error) {
	f.sum, f.summed = sha256.New(), 0
	rows, err := f.open(path)
	if err != nil {
		return 0, "", fmt.Errorf("open file %s: %w", path, err)
	}
	defer rows.close()
	next, err := f.rows(ctx, path, rows, from, h, st)
	if err == nil && next < from {
		err = &FileError{Path: path, Why: fmt.Sprintf("ends at row %d, and row %d was read before", next, from-1)}
	}
	if err != nil {
		return 0, "", err
	}
	if err := f.sumRest(ctx, path); err != nil {
		return 0, "", err
	}
	return next, hex.EncodeToString(f.sum.Sum(nil)), nil
}

// sumRest hashes what the reader of rows did not take in order: perhaps a few bytes at the end, of a Parquet file all.
func (f *fileSource) sumRest(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open file: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(f.summed, io.SeekStart); err != nil {
		return fmt.Errorf("read file %s: %w", path, err)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := io.CopyN(f.sum, file, 16<<20)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read file %s: %w", path, err)
		}
	}
}

// Write hashes bytes of the file as they are read.
func (f *fileSource) Write(b []byte) (int, error) {
	f.summed += int64(len(b))
	return f.sum.Write(b)
}

// rows hands over the rows from from on and returns how many the file has.
func (f *fileSource) rows(ctx context.Context, path string, rows rowReader, from int64, h partition, st *partitionStatus) (int64, error) {
	pending := 0
	for row := int64(0); ; row++ {
		err := rows.read(f.slots)
		var bad *badRow
		switch {
		case errors.Is(err, io.EOF):
			return row, nil
		case errors.As(err, &bad):
		case err != nil:
			return 0, fmt.Errorf("read file %s: row %d: %w", path, row, err)
		}
		if row >= from {
			f.add(row, bad, h)
			pending++
		}
		if row%chunkRecords == chunkRecords-1 {
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			if row >= from {
				if err := h.End(ctx, row+1, false); err != nil {
					return 0, err
				}
				st.at(row+1, -1)
				if o := f.r.cfg.Observe.Batch; o != nil {
					o(f.src.Name, pending)
				}
				pending = 0
			}
		}
	}
}

// add counts one row. It arrived at its event time plus `arrival_lag`; one without an event time is
// dead anyway.
func (f *fileSource) add(row int64, bad *badRow, h partition) {
	f.rec = feature.Record{Offset: row, Timestamp: event.MinTime, Arrival: event.MinTime, Slots: f.slots}
	if bad != nil {
		f.rec.Slots, f.rec.Value = nil, bytes.Clone(bad.raw)
		f.rec.CRC = checksum(nil, f.rec.Value)
		h.Dead(&f.rec, "decode", bad.Error())
		return
	}
	if t, ok := feature.EventTime(f.src, f.slots); ok {
		f.rec.Arrival = t.Add(f.src.ArrivalLag)
		// The latest instant is one microsecond behind the newest event. Of topics the wall clock keeps such events out.
		if !t.Writable() || !t.Add(event.Microsecond).Writable() || !f.rec.Arrival.Writable() {
			h.Dead(&f.rec, "time", fmt.Sprintf("the event time %q, %d us since 1970, or the arrival is out of the years 0 to 9999, which answers can have", f.src.Time.Name, t))
			return
		}
	}
	h.Add(&f.rec)
}
