package serve

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// logFiles writes lines to files NAME.NUMBER.jsonl, a name for each selection, numbered as they begin. One goroutine
// uses it.
type logFiles struct {
	cfg  LogConfig
	next int64 // number of the next file
	open map[string]*logFile
	old  []closedFile // oldest first
	size int64        // of all files
}

type logFile struct {
	f    *os.File
	w    *bufio.Writer
	size int64
	path string
}

type closedFile struct {
	path string
	size int64
}

// maxLogFiles bounds the files that are open at once: selections beyond it end the others' files.
const maxLogFiles = 16

// newLogFiles finds the files that are there already: they count, and are deleted in their turn.
func newLogFiles(cfg LogConfig) (*logFiles, error) {
	w := &logFiles{cfg: cfg, open: map[string]*logFile{}}
	paths, err := filepath.Glob(filepath.Join(cfg.Dir, "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list the serving log: %w", err)
	}
	numbers := map[string]int64{}
	paths = slices.DeleteFunc(paths, func(p string) bool {
		n, ok := logNumber(p)
		numbers[p] = n
		return !ok
	})
	slices.SortFunc(paths, func(a, b string) int { return int(numbers[a] - numbers[b]) })
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("list the serving log: %w", err)
		}
		w.old = append(w.old, closedFile{p, info.Size()})
		w.size += info.Size()
		w.next = numbers[p] + 1
	}
	return w, nil
}

// logNumber reads the number of a file's name.
func logNumber(path string) (n int64, ok bool) {
	parts := strings.Split(filepath.Base(path), ".")
	if len(parts) < 3 {
		return 0, false
	}
	_, err := fmt.Sscanf(parts[len(parts)-2], "%09d", &n)
	return n, err == nil
}

func (w *logFiles) write(x logged) error {
	f := w.open[x.stream]
	if f == nil {
		if len(w.open) >= maxLogFiles {
			if err := w.closeAll(); err != nil {
				return err
			}
		}
		path := filepath.Join(w.cfg.Dir, fmt.Sprintf("%s.%09d.jsonl", x.stream, w.next))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
		if err != nil {
			return fmt.Errorf("begin a file of the serving log: %w", err)
		}
		w.next++
		f = &logFile{f: file, w: bufio.NewWriterSize(file, 64<<10), path: path}
		w.open[x.stream] = f
	}
	n, err := f.w.Write(x.line)
	f.size += int64(n)
	w.size += int64(n)
	if err != nil {
		return fmt.Errorf("write the serving log: %w", err)
	}
	if f.size >= w.cfg.FileBytes {
		return w.end(x.stream, f)
	}
	return nil
}

// end closes a file, and deletes the oldest ones beyond what is kept.
func (w *logFiles) end(stream string, f *logFile) error {
	delete(w.open, stream)
	w.old = append(w.old, closedFile{f.path, f.size})
	err := errors.Join(f.w.Flush(), f.f.Close())
	for w.size > w.cfg.KeepBytes && len(w.old) > 0 {
		if rerr := os.Remove(w.old[0].path); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("delete an old file of the serving log: %w", rerr))
		}
		w.size -= w.old[0].size
		w.old = w.old[1:]
	}
	return err
}

func (w *logFiles) flush() error {
	var errs []error
	for _, f := range w.open {
		errs = append(errs, f.w.Flush())
	}
	return errors.Join(errs...)
}

func (w *logFiles) closeAll() error {
	var errs []error
	for stream, f := range w.open {
		errs = append(errs, w.end(stream, f))
	}
	return errors.Join(errs...)
}
