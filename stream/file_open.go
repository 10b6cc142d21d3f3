package stream

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a zstd file may ask for.
const maxWindow = 128 << 20

// open opens the reader that the source's format, or else the file's name, asks for.
func (f *fileSource) open(path string) (rowReader, error) {
	name := strings.ToLower(filepath.Base(path))
	packed := ""
	for _, ext := range []string{".gz", ".zst"} {
		if strings.HasSuffix(name, ext) {
			name, packed = strings.TrimSuffix(name, ext), ext
		}
	}
	format := f.src.File.Format
	if format == "" {
		format = strings.TrimPrefix(filepath.Ext(name), ".")
	}
	if format == "parquet" {
		if packed != "" {
			return nil, fmt.Errorf("a Parquet file is compressed inside and cannot be read through %s: unpack it", packed)
		}
		return f.openParquet(path)
	}
	in, err := openPacked(path, packed, f)
	if err != nil {
		return nil, err
	}
	var rows rowReader
	switch format {
	case "avro":
		rows, err = f.openAvro(in)
	case "csv":
		rows, err = f.openCSV(in)
	case "jsonl", "ndjson":
		rows, err = f.openJSONL(in)
	default:
		err = fmt.Errorf("format %q is not known: avro, parquet, csv, jsonl", format)
	}
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	return rows, nil
}

// packedFile is a file read through its decompressor.
type packedFile struct {
	io.Reader
	close func() error
}

func (p *packedFile) Close() error { return p.close() }

// openPacked opens a plain file, or a compressed one as a stream: memory does not grow with it. What is read of the
// file is also written to raw, if that is not nil.
func openPacked(path, packed string, raw io.Writer) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	in := io.Reader(file)
	if raw != nil {
		in = io.TeeReader(file, raw)
	}
	switch packed {
	case ".gz":
		gz, err := gzip.NewReader(in)
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return &packedFile{gz, file.Close}, nil
	case ".zst":
		zs, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return &packedFile{zs, func() error { zs.Close(); return file.Close() }}, nil
	}
	return &packedFile{in, file.Close}, nil
}
