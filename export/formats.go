package export

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// formatNames are the formats, as messages name them. Spines and tables have the same ones.
var formatNames = map[string]string{
	"parquet": "Parquet", "csv": "CSV", "arrow": "Arrow", "jsonl": "JSONL", "avro": "Avro",
}

// howToName is the hint where an extension tells no format.
const howToName = "name it .parquet, .csv, .arrow, .jsonl or .avro; .csv and .jsonl may be followed by .gz or .zst"

// splitName returns the lower-case extension of a path without its dot, and that of a compression behind it.
func splitName(path string) (ext, codec string) {
	name := strings.ToLower(filepath.Base(path))
	for _, c := range []string{"gz", "zst"} {
		if rest, ok := strings.CutSuffix(name, "."+c); ok {
			name, codec = rest, c
			break
		}
	}
	return strings.TrimPrefix(filepath.Ext(name), "."), codec
}

// formatOf is the format of a path by its extension; what it returns is in formatNames only if it is one.
func formatOf(path string) string {
	ext, _ := splitName(path)
	switch ext {
	case "feather", "ipc":
		return "arrow"
	case "ndjson":
		return "jsonl"
	}
	return ext
}

// checkFormat tells whether a path names a format; what is the act, for the message.
func checkFormat(path, what, act string) error {
	_, codec := splitName(path)
	format := formatOf(path)
	if formatNames[format] == "" {
		return mistake("malformed", howToName, "%s: the extension tells no format%s", what, act)
	}
	if codec != "" && format != "csv" && format != "jsonl" {
		return mistake("malformed", "leave out ."+codec+": the format compresses its own data, or is meant to be mapped into memory",
			"%s: only .csv and .jsonl may be compressed as a whole", what)
	}
	return nil
}

// safeName is a name of the same format as path with nothing else of it.
func safeName(stem, path string) string {
	ext, codec := splitName(path)
	if codec != "" {
		ext += "." + codec
	}
	return stem + "." + ext
}

// compressed wraps a writer by the compression that a name asks for. Closing it ends the stream, not the file.
func compressed(w io.Writer, path string) (io.WriteCloser, error) {
	switch _, codec := splitName(path); codec {
	case "gz":
		return gzip.NewWriterLevel(w, gzip.DefaultCompression)
	case "zst":
		// One goroutine: the bytes do not depend on how the work is spread.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// unpack reads f by the compression of its name; stop ends that, and leaves f open.
func unpack(f *os.File, path string) (r io.Reader, stop func(), err error) {
	switch _, codec := splitName(path); codec {
	case "gz":
		z, err := gzip.NewReader(bufio.NewReaderSize(f, 256<<10))
		if err != nil {
			return nil, nil, fmt.Errorf("read gzip: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case "zst":
		z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("read zstd: %w", err)
		}
		return z, z.Close, nil
	}
	return f, func() {}, nil
}

// newSink writes rows in the format of a name, by a crew if the format can.
func newSink(w io.Writer, path string, l *layout, by crew) (sink, error) {
	switch formatOf(path) {
	case "parquet":
		return newParquetSink(w, l, by)
	case "arrow":
		return newArrowSink(w, l)
	case "avro":
		return newAvroSink(w, l)
	}
	z, err := compressed(w, path)
	if err != nil {
		return nil, err
	}
	if formatOf(path) == "csv" {
		return newCSVSink(z, l)
	}
	return newJSONLSink(z, l), nil
}

// isFormat tells whether format is one of some.
func isFormat(path string, some ...string) bool { return slices.Contains(some, formatOf(path)) }
