package pipeline

import (
	"bufio"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/penstock-ml/penstock/schemas"
)

// containerSchema reads the schema in the header of an Avro container file, compressed as a whole
// or not.
func containerSchema(name string) (*schemas.Schema, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, closeReader, err := decompress(name, bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	defer closeReader()
	o, err := schemas.NewOCF(r)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return o.Schema(), nil
}

// decompress reads what the extension of a file's name says.
func decompress(name string, r io.Reader) (out io.Reader, done func(), err error) {
	switch {
	case strings.HasSuffix(strings.ToLower(name), ".gz"):
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	case strings.HasSuffix(strings.ToLower(name), ".zst"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}
