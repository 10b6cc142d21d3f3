package stream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// jsonRows reads one JSON object a line; columns of nested objects by their dotted path. Blank lines
// are no rows.
type jsonRows struct {
	in      io.Closer
	lines   *bufio.Reader
	columns []pipeline.Column
	paths   [][]string
}

func (f *fileSource) openJSONL(in io.ReadCloser) (rowReader, error) {
	j := &jsonRows{in: in, lines: bufio.NewReaderSize(in, maxLine), columns: f.src.Columns}
	for _, c := range j.columns {
		j.paths = append(j.paths, strings.Split(c.Name, "."))
	}
	return j, nil
}

func (j *jsonRows) close() error { return j.in.Close() }

func (j *jsonRows) read(slots []event.Value) error {
	line, err := j.line()
	if err != nil {
		return err
	}
	v, err := decodeJSON(line)
	if err != nil {
		return &badRow{raw: line, err: err}
	}
	root, ok := v.(map[string]any)
	if !ok {
		return &badRow{raw: line, err: fmt.Errorf("a JSON %s, not an object", jsonKind(v))}
	}
	for i, c := range j.columns {
		leaf, err := walk(root, j.paths[i], c.Type.Nullable)
		if err == nil {
			slots[i], err = fromJSON(leaf, c.Type)
		}
		if err != nil {
			return &badRow{raw: line, err: fmt.Errorf("field %q: %w", c.Name, err)}
		}
	}
	return nil
}

// line returns the next line that is not blank, valid until the next call.
func (j *jsonRows) line() ([]byte, error) {
	for {
		line, err := j.lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			raw := bytes.Clone(line)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = j.lines.ReadSlice('\n')
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return nil, err
			}
			return nil, &badRow{raw: raw, err: fmt.Errorf("line longer than %d bytes; the dead letter holds its beginning", maxLine)}
		}
		if line = bytes.TrimSpace(line); len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// walk follows a path into nested objects; nil if nullable and something on the way is missing or null.
func walk(root map[string]any, path []string, nullable bool) (any, error) {
	var v any = root
	for i, name := range path {
		if items, ok := v.([]any); ok && i > 0 {
			return walkItems(items, path[i:])
		}
		m, ok := v.(map[string]any)
		if !ok {
			if v == nil && nullable {
				return nil, nil
			}
			return nil, fmt.Errorf("%q is no object", strings.Join(path[:i], "."))
		}
		if v, ok = m[name]; !ok {
			if nullable {
				return nil, nil
			}
			return nil, errors.New("missing")
		}
	}
	return v, nil
}

// walkItems follows a path into each object of an array: an array of what is found there.
func walkItems(items []any, path []string) (any, error) {
	out := make([]any, len(items))
	for i, item := range items {
		if item == nil {
			continue
		}
		m, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("element %d is no object", i)
		}
		var err error
		if out[i], err = walk(m, path, true); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
