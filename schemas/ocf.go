package schemas

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/penstock-ml/penstock/event"
)

// Bounds of a container file.
const (
	maxHeaderBytes   = 2 << 20
	maxHeaderEntries = 1000
	maxBlockBytes    = 64 << 20 // of a block, compressed or not
	maxEmptyRows     = 65536    // of one block, if rows take no bytes
)

// ErrContainer marks a file that is no Avro container file, or a broken one.
var ErrContainer = errors.New("not a sound Avro container file")

// OCF reads an Avro object container file block by block: codecs null, deflate, snappy, zstandard and
// bzip2. What a block may unpack to is bounded.
type OCF struct {
	r      *bufio.Reader
	schema *Schema
	meta   map[string]string
	codec  codec
	sync   [16]byte
	packed bytes.Buffer
	least  int64 // bytes of a datum
	skip   []op  // passes over a datum

	data []byte // of the current block, not yet read by Read
	raw  []byte // of the datum last read by Read
	left int    // datums in data
	read int64  // datums read by Read
}

// NewOCF reads the header of a file.
func NewOCF(r io.Reader) (*OCF, error) {
	o := &OCF{r: bufio.NewReaderSize(r, 64<<10)}
	if err := o.header(); err != nil {
		return nil, fmt.Errorf("read header: %w: %w", ErrContainer, noEOF(err))
	}
	return o, nil
}

// Schema is the schema that the file was written with.
func (o *OCF) Schema() *Schema { return o.schema }

// Meta returns an entry of the header, like "avro.codec".
func (o *OCF) Meta(key string) string { return o.meta[key] }

// Close frees what the codec holds; the file itself belongs to the caller.
func (o *OCF) Close() { o.codec.close() }

func (o *OCF) header() error {
	var magic [4]byte
	if _, err := io.ReadFull(o.r, magic[:]); err != nil {
		return err
	}
	if string(magic[:]) != "Obj\x01" {
		return errors.New("it does not begin with the magic bytes Obj 1")
	}
	if err := o.metadata(); err != nil {
		return err
	}
	if _, err := io.ReadFull(o.r, o.sync[:]); err != nil {
		return err
	}
	p := parser{names: map[string]*node{}}
	root, err := p.parse([]byte(o.meta["avro.schema"]))
	if err != nil {
		return fmt.Errorf("parse schema: %w", err)
	}
	o.schema = newSchema(root)
	k := skipper{widths: widths{}, records: map[*node]*program{}}
	o.least, o.skip = k.widths.of(root).least, k.program(root).ops
	o.codec, err = newCodec(o.meta["avro.codec"])
	return err
}

// metadata reads the header's map of bytes.
func (o *OCF) metadata() error {
	o.meta = map[string]string{}
	budget := int64(maxHeaderBytes)
	for {
		n, err := o.long()
		if err != nil || n == 0 {
			return err
		}
		if n < 0 {
			if _, err := o.long(); err != nil {
				return err
			}
			n = -n
		}
		if n < 0 || n+int64(len(o.meta)) > maxHeaderEntries {
			return fmt.Errorf("more than %d entries in its header", maxHeaderEntries)
		}
		for range n {
			key, err := o.text(&budget)
			if err != nil {
				return err
			}
			if o.meta[key], err = o.text(&budget); err != nil {
				return err
			}
		}
	}
}

// text reads a length and bytes, of which budget is left.
func (o *OCF) text(budget *int64) (string, error) {
	n, err := o.long()
	if err != nil {
		return "", err
	}
	if n < 0 || n > *budget {
		return "", fmt.Errorf("a header of more than %d bytes", maxHeaderBytes)
	}
	*budget -= n
	var b bytes.Buffer
	if _, err := io.CopyN(&b, o.r, n); err != nil {
		return "", noEOF(err)
	}
	return b.String(), nil
}

// long reads a varint; io.EOF only if there is no byte at all.
func (o *OCF) long() (int64, error) {
	var b [maxVarintBytes]byte
	for i := range b {
		c, err := o.r.ReadByte()
		if err != nil {
			if i > 0 {
				err = noEOF(err)
			}
			return 0, err
		}
		if b[i] = c; c < 0x80 {
			n, _, err := long(b[:i+1], 0)
			return n, err
		}
	}
	return 0, errVarint
}

// Next reads a block: how many datums there are in data, which are valid until the next call. It
// returns io.EOF behind the last block.
func (o *OCF) Next() (count int, data []byte, err error) {
	o.data, o.left = nil, 0
	n, err := o.long()
	if err == io.EOF {
		return 0, nil, io.EOF
	}
	if err == nil {
		data, err = o.block(n)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read block: %w: %w", ErrContainer, noEOF(err))
	}
	return int(n), data, nil
}

func (o *OCF) block(n int64) ([]byte, error) {
	size, err := o.long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > math.MaxInt32 || size < 0 {
		return nil, errors.New("a negative count or size")
	}
	if size > maxBlockBytes {
		return nil, fmt.Errorf("a block of more than %d bytes", maxBlockBytes)
	}
	// The buffer grows by what is there, not by what the header promises.
	o.packed.Reset()
	if _, err := io.CopyN(&o.packed, o.r, size); err != nil {
		return nil, err
	}
	var sync [16]byte
	if _, err := io.ReadFull(o.r, sync[:]); err != nil {
		return nil, err
	}
	if sync != o.sync {
		return nil, errors.New("the marker behind a block is not the file's")
	}
	data, err := o.codec.unpack(o.packed.Bytes())
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	if o.least > 0 && n > int64(len(data))/o.least || o.least == 0 && n > maxEmptyRows {
		return nil, errors.New("a block promises more rows than its bytes can hold")
	}
	return data, nil
}

// Read decodes the next datum of the file into row; the values are valid until the next call. It
// returns io.EOF behind the last. An error that is ErrContainer ends the reading; any other is of this
// datum alone, which Raw returns, and the next call reads the one behind it.
func (o *OCF) Read(d *Decoder, row []event.Value, scratch *Scratch) error {
	o.raw = nil
	for o.left == 0 {
		n, data, err := o.Next()
		if err != nil {
			return err
		}
		o.left, o.data = n, data
		if n == 0 && len(data) > 0 {
			return fmt.Errorf("%w: a block without rows has bytes", ErrContainer)
		}
	}
	n, err := d.DecodeNext(o.data, row, scratch)
	if err != nil {
		err = fmt.Errorf("decode row %d: %w", o.read, err)
		var lost error
		scratch.reset(len(o.data))
		if n, lost = run(o.skip, o.data, 0, nil, scratch); lost != nil {
			return fmt.Errorf("%w: %w", ErrContainer, err)
		}
	}
	o.raw, o.data = o.data[:n], o.data[n:]
	o.left--
	o.read++
	if o.left == 0 && len(o.data) > 0 {
		return fmt.Errorf("%w: row %d: bytes are left over at the end of its block", ErrContainer, o.read-1)
	}
	return err
}

// Raw is the datum that Read has read last, valid until the next call.
func (o *OCF) Raw() []byte { return o.raw }

// noEOF makes an early end an error that nobody takes for the regular one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
