package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codecs of a record batch.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

// errTooLarge: a batch that decompresses to more than allowed.
var errTooLarge = errors.New("batch decompresses to more than the limit")

// keepBuffer is how much of a buffer a decompressor keeps between batches.
const keepBuffer = 4 << 20

// leastWindow is the window that a zstd frame may ask for at least, whatever the limit.
const leastWindow = 8 << 20

// decompressor decompresses batches into a buffer that it reuses. Not for concurrent use.
type decompressor struct {
	limit int           // bytes of one batch, decompressed
	gate  chan struct{} // one decompressor at a time may hold more than keepBuffer
	held  bool
	buf   []byte
	src   bytes.Reader
	gz    *gzip.Reader
	lz    *lz4.Reader
	zs    *zstd.Decoder
}

// newDecompressor returns a decompressor of batches up to limit bytes. Those that share a gate (of
// capacity 1) take turns with batches beyond keepBuffer, so that memory stays bounded by one of them.
func newDecompressor(limit int, gate chan struct{}) *decompressor {
	return &decompressor{limit: limit, gate: gate}
}

// large waits for the gate; release gives it back.
func (d *decompressor) large() {
	if !d.held {
		d.gate <- struct{}{}
		d.held = true
	}
}

// release gives back what a large batch took. Call it when a batch's records are done with.
func (d *decompressor) release() {
	if cap(d.buf) > keepBuffer {
		d.buf = nil
	}
	if d.held {
		if d.zs != nil { // it may hold a large window
			d.zs.Close()
			d.zs = nil
		}
		<-d.gate
		d.held = false
	}
}

// decode returns src decompressed, valid until release or the next call. It allocates in step with
// what really comes out, or by what a zstd header promises within the limit.
func (d *decompressor) decode(codec int, src []byte) ([]byte, error) {
	if codec == codecNone {
		return src, nil
	}
	out, err := d.dispatch(codec, src)
	if err != nil {
		return nil, err
	}
	d.buf = out[:0]
	return out, nil
}

func (d *decompressor) dispatch(codec int, src []byte) ([]byte, error) {
	d.src.Reset(src)
	switch codec {
	case codecGzip:
		if d.gz == nil {
			d.gz = new(gzip.Reader)
		}
		if err := d.gz.Reset(&d.src); err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return d.drain("gzip", d.gz)
	case codecSnappy:
		return d.snappy(src)
	case codecLZ4:
		if d.lz == nil {
			d.lz = lz4.NewReader(&d.src)
		}
		d.lz.Reset(&d.src)
		return d.drain("lz4", d.lz)
	case codecZstd:
		return d.zstd(src)
	}
	return nil, fmt.Errorf("codec %d is not known", codec)
}

// drain reads r to its end into the buffer, within the limit.
func (d *decompressor) drain(name string, r io.Reader) ([]byte, error) {
	out := d.buf[:0]
	for {
		if len(out) == cap(out) {
			if 2*cap(out) > keepBuffer {
				d.large()
			}
			out = append(out, make([]byte, max(64<<10, cap(out)))...)[:len(out)]
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case len(out) > d.limit:
			return nil, fmt.Errorf("%s: %w of %d bytes", name, errTooLarge, d.limit)
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (d *decompressor) zstd(src []byte) ([]byte, error) {
	if d.zs == nil {
		zs, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(uint64(max(d.limit, leastWindow))), zstd.WithDecoderMaxWindow(uint64(max(d.limit, leastWindow))))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		d.zs = zs
	}
	var head zstd.Header
	if err := head.Decode(src); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if !head.HasFCS { // as Java's streams write it
		if head.WindowSize > keepBuffer {
			d.large()
		}
		if err := d.zs.Reset(&d.src); err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		out, err := d.drain("zstd", d.zs)
		return out, d.tooLarge(err)
	}
	if head.FrameContentSize > uint64(d.limit) {
		return nil, d.tooLarge(zstd.ErrDecoderSizeExceeded)
	}
	if head.FrameContentSize > keepBuffer {
		d.large()
	}
	out, err := d.zs.DecodeAll(src, d.buf[:0])
	if err == nil && len(out) > d.limit {
		err = zstd.ErrDecoderSizeExceeded
	}
	return out, d.tooLarge(err)
}

// tooLarge gives zstd's own words for too much the one meaning.
func (d *decompressor) tooLarge(err error) error {
	switch {
	case err == nil, errors.Is(err, errTooLarge):
		return err
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("zstd: %w of %d bytes", errTooLarge, d.limit)
	}
	return fmt.Errorf("zstd: %w", err)
}

// xerial is the head of snappy as Java's library frames it: magic, version, compatible version; then
// chunks, each a 4-byte length and a snappy block.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeaderLen = 16

func (d *decompressor) snappy(src []byte) ([]byte, error) {
	if len(src) < xerialHeaderLen || !bytes.Equal(src[:len(xerial)], xerial) {
		return d.snappyBlock(d.buf[:0], src)
	}
	out := d.buf[:0]
	for src = src[xerialHeaderLen:]; len(src) > 0; {
		if len(src) < 4 {
			return nil, fmt.Errorf("snappy: %w", io.ErrUnexpectedEOF)
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(n) > uint64(len(src)) {
			return nil, fmt.Errorf("snappy: %w", io.ErrUnexpectedEOF)
		}
		var err error
		if out, err = d.snappyBlock(out, src[:n]); err != nil {
			return nil, err
		}
		src = src[n:]
	}
	return out, nil
}

// snappyBlock appends one decompressed block to out. A block of n bytes holds at most 64 bytes for
// every 3 of them, so a length that could not be meant is refused before anything is allocated.
func (d *decompressor) snappyBlock(out, block []byte) ([]byte, error) {
	n, err := s2.DecodedLen(block)
	if err != nil {
		return nil, fmt.Errorf("snappy: %w", err)
	}
	if n > d.limit-len(out) {
		return nil, fmt.Errorf("snappy: %w of %d bytes", errTooLarge, d.limit)
	}
	if n > 64*len(block) {
		return nil, fmt.Errorf("snappy: %w", s2.ErrCorrupt)
	}
	if len(out)+n > keepBuffer {
		d.large()
	}
	if cap(out)-len(out) < n {
		out = append(make([]byte, 0, max(len(out)+n, 2*cap(out))), out...)
	}
	got, err := s2.Decode(out[len(out):len(out)+n], block)
	if err != nil {
		return nil, fmt.Errorf("snappy: %w", err)
	}
	if len(got) != n {
		return nil, fmt.Errorf("snappy: %w", s2.ErrCorrupt)
	}
	return out[:len(out)+n], nil
}

// close releases what the codecs hold.
func (d *decompressor) close() {
	d.release()
	if d.zs != nil {
		d.zs.Close()
	}
}
