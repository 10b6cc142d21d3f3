package schemas

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// A block may unpack to maxBlockBytes at most, and to maxRatio times its size if that is above
// freeUnpack.
const (
	maxRatio   = 4096
	freeUnpack = 1 << 20
	maxWindow  = 32 << 20 // of zstandard
)

var errUnpacked = errors.New("a block that unpacks to too many bytes")

// codec unpacks blocks of one compression into a buffer that it reuses.
type codec struct {
	name  string
	most  int64 // bytes that a block may unpack to
	out   bytes.Buffer
	plain []byte // of snappy
	flate io.ReadCloser
	zstd  *zstd.Decoder
}

func newCodec(name string) (codec, error) {
	c := codec{name: name, most: maxBlockBytes}
	switch name {
	case "", "null", "deflate", "snappy", "bzip2":
		return c, nil
	case "zstandard":
		var err error
		c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxBlockBytes))
		return c, err
	}
	return c, fmt.Errorf("unknown codec %q; there are null, deflate, snappy, zstandard and bzip2", clip(name))
}

func (c *codec) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
}

// unpack returns the bytes of a block, valid until the next call.
func (c *codec) unpack(b []byte) ([]byte, error) {
	switch c.name {
	case "deflate":
		if c.flate == nil {
			c.flate = flate.NewReader(bytes.NewReader(b))
		} else if err := c.flate.(flate.Resetter).Reset(bytes.NewReader(b), nil); err != nil {
			return nil, err
		}
		return c.drain(c.flate, len(b))
	case "bzip2":
		return c.drain(bzip2.NewReader(bytes.NewReader(b)), len(b))
	case "zstandard":
		if err := c.zstd.Reset(bytes.NewReader(b)); err != nil {
			return nil, err
		}
		return c.drain(c.zstd, len(b))
	case "snappy":
		return c.snappy(b)
	}
	return b, nil
}

// drain reads all of r within the bounds for a block of size packed bytes.
func (c *codec) drain(r io.Reader, packed int) ([]byte, error) {
	limit := min(c.most, max(freeUnpack, maxRatio*int64(packed)))
	c.out.Reset()
	n, err := io.Copy(&c.out, io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, errUnpacked
	}
	return c.out.Bytes(), nil
}

// snappy unpacks one raw block with the checksum of what it holds behind it.
func (c *codec) snappy(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	n, err := snappy.DecodedLen(body)
	if err != nil {
		return nil, err
	}
	// Three bytes copy 64 at most.
	if int64(n) > c.most || n > 64+32*len(body) {
		return nil, errUnpacked
	}
	if c.plain, err = snappy.Decode(c.plain[:cap(c.plain)], body); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(c.plain) != sum {
		return nil, errors.New("the checksum of a block does not fit")
	}
	return c.plain, nil
}
