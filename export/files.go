package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// outFiles are the files that an export writes: its table, or one for each part of a split, and the manifest. They are
// written beside their places, and get their names when all are whole and on disk. Names are given one by one, so of some
// files a crash may leave a part. Hence a note stands beside them meanwhile, which says what belongs together, and
// the manifest comes last: what lacks it may be a part, and the next export goes on from the note.
type outFiles struct {
	out, name    string   // OUT
	paths, names []string // of the table
	force        bool
	left         *unfinished // of an export that was interrupted; nil: none
	temps        []*os.File
}

// unfinishedSuffix is what the name of a note has behind OUT.
const unfinishedSuffix = ".unfinished"

// unfinished is the note of files that get their names.
type unfinished struct {
	Note  string       `json:"note"`
	Files []FileReport `json:"files"` // by their names in the folder
	Parts []string     `json:"parts"` // files beside them that have no names yet
}

const unfinishedNote = "These files belong together. This one is removed when all have their names, so an export was interrupted before. " +
	"Those that are there are whole; export again to replace them."

// createTemp is replaced by tests.
var createTemp = os.CreateTemp

// openOut finds what would make the whole work be in vain.
func openOut(out, name string, paths, names []string, force bool) (*outFiles, error) {
	o := &outFiles{out: out, name: name, paths: paths, names: names, force: force}
	for i := range paths {
		if err := checkOut(paths[i], names[i]); err != nil {
			return nil, err
		}
	}
	var err error
	if o.left, err = readUnfinished(out + unfinishedSuffix); err != nil {
		return nil, err
	}
	for i := range paths {
		if _, err := os.Stat(paths[i]); err != nil || force {
			continue
		}
		if mine, err := o.left.has(paths[i]); err != nil {
			return nil, err
		} else if !mine {
			return nil, existing(names[i])
		}
	}
	return o, nil
}

func existing(name string) *Error {
	return mistake("exists", "give another name, or --force to replace it", "%s exists", name)
}

// checkOut tells whether a file can be written to a path.
func checkOut(path, name string) error {
	if err := checkFormat(path, name, " to write"); err != nil {
		return err
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return mistake("malformed", "make it first", "%s: there is no folder %s", name, filepath.Dir(name))
	}
	return nil
}

func readUnfinished(path string) (*unfinished, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	u := &unfinished{}
	if err == nil {
		err = json.Unmarshal(b, u)
	}
	if err != nil {
		return nil, mistake("malformed", "remove it", "%s is not the note of an interrupted export: %v", path, err)
	}
	return u, nil
}

// has tells whether a file is one of the interrupted export, by its bytes.
func (u *unfinished) has(path string) (bool, error) {
	if u == nil {
		return false, nil
	}
	for _, f := range u.Files {
		if f.Path != filepath.Base(path) {
			continue
		}
		if info, err := os.Stat(path); err != nil || info.Size() != f.Bytes {
			return false, nil
		}
		sum, err := sumOf(path, path)
		return sum.SHA256 == f.SHA256, err
	}
	return false, nil
}

// write lets the table be written, and gives all files their names. The manifest may be nil. On an error nothing is left.
func (o *outFiles) write(write func([]io.Writer) ([]FileReport, *Manifest, error)) (err error) {
	defer func() {
		if err != nil {
			o.remove()
		}
	}()
	var files []io.Writer
	for i := range o.paths {
		f, err := o.create(o.paths[i], o.names[i])
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	sums, m, err := write(files)
	if err != nil {
		return err
	}
	if m != nil {
		f, err := o.create(o.out+ManifestSuffix, o.name+ManifestSuffix)
		if err != nil {
			return err
		}
		if err := m.encode(f); err != nil {
			return fmt.Errorf("write %s: %w", o.name+ManifestSuffix, err)
		}
	}
	for _, f := range o.temps {
		if err := settle(f); err != nil {
			return fmt.Errorf("write %s: %w", o.name, err)
		}
	}
	for _, step := range o.steps(sums, m != nil) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (o *outFiles) create(path, name string) (*os.File, error) {
	f, err := createTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	o.temps = append(o.temps, f)
	return f, nil
}

// settle makes a file durable.
func settle(f *os.File) error {
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// remove removes what has no name yet.
func (o *outFiles) remove() {
	for _, f := range o.temps {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
}

// steps give all files their names. A crash between any two leaves what the next export can go on from.
func (o *outFiles) steps(sums []FileReport, manifest bool) (steps []func() error) {
	if o.left != nil {
		steps = append(steps, o.clear)
	}
	note := manifest || len(o.paths) > 1
	if note {
		steps = append(steps, func() error { return o.note(sums) })
	}
	if o.force { // it is of another table
		steps = append(steps, func() error { return removeIfThere(o.out + ManifestSuffix) })
	}
	for i := range o.paths {
		steps = append(steps, func() error { return o.name1(i) })
	}
	steps = append(steps, func() error { return syncDir(o.out, o.name) })
	if manifest {
		steps = append(steps, func() error {
			return rename(o.temps[len(o.paths)].Name(), o.out+ManifestSuffix, o.name+ManifestSuffix)
		})
	}
	if note {
		steps = append(steps, func() error { return removeIfThere(o.out + unfinishedSuffix) })
	}
	return append(steps, func() error { return syncDir(o.out, o.name) })
}

// clear removes what an interrupted export has left, and its note last.
func (o *outFiles) clear() error {
	if now, err := readUnfinished(o.out + unfinishedSuffix); err != nil || now == nil {
		return err // it was not interrupted, but under way
	}
	dir := filepath.Dir(o.out)
	for _, part := range o.left.Parts {
		if part == filepath.Base(part) && strings.HasPrefix(part, ".") && strings.HasSuffix(part, ".part") {
			if err := removeIfThere(filepath.Join(dir, part)); err != nil {
				return err
			}
		}
	}
	for _, path := range o.paths {
		if mine, err := o.left.has(path); err != nil {
			return err
		} else if mine {
			if err := removeIfThere(path); err != nil {
				return err
			}
		}
	}
	if err := syncDir(o.out, o.name); err != nil {
		return err
	}
	return removeIfThere(o.out + unfinishedSuffix)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

// note says which files belong together, before the first has its name.
func (o *outFiles) note(sums []FileReport) error {
	u := unfinished{Note: unfinishedNote}
	for i, s := range sums {
		u.Files = append(u.Files, FileReport{Path: filepath.Base(o.paths[i]), Bytes: s.Bytes, SHA256: s.SHA256})
	}
	for _, f := range o.temps {
		u.Parts = append(u.Parts, filepath.Base(f.Name()))
	}
	b, err := json.MarshalIndent(u, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", o.name+unfinishedSuffix, err)
	}
	return writeFile(o.out+unfinishedSuffix, o.name+unfinishedSuffix, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

// name1 gives file i of the table its name. One that came meanwhile is not replaced; then those before it go again.
func (o *outFiles) name1(i int) error {
	temp := o.temps[i].Name()
	if o.force {
		return rename(temp, o.paths[i], o.names[i])
	}
	err := os.Link(temp, o.paths[i])
	if errors.Is(err, os.ErrExist) {
		for _, path := range o.paths[:i] {
			_ = os.Remove(path)
		}
		_ = os.Remove(o.out + unfinishedSuffix)
		return existing(o.names[i])
	}
	if err != nil { // not every file system has links
		return rename(temp, o.paths[i], o.names[i])
	}
	_ = os.Remove(temp)
	return nil
}

func rename(from, to, name string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// writeFile writes a file beside path, makes it durable, and renames it to path, where it replaces another; on an error
// nothing is left.
func writeFile(path, name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.part")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := settle(f); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := rename(f.Name(), path, name); err != nil {
		return err
	}
	return syncDir(path, name)
}

func syncDir(path, name string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
