package export

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// The Arrow reader makes room for as many fields, children, blocks and buffers as a count in the file says, before it
// looks at them, and follows fields wherever they point. A damaged count would take all of the memory, and what
// takes that cannot be recovered from. So the counts are looked at first.

// errArrow is what all damage is called here.
var errArrow = errors.New("its metadata is damaged")

const (
	metadataOfArrow = 64 << 20 // bytes that one piece of metadata may have
	fieldsOfArrow   = 1 << 16  // fields, children and entries that it may name in all
	depthOfArrow    = 64
)

// checkArrowFile looks at the footer of an Arrow IPC file and at the metadata of its batches.
func checkArrowFile(f *os.File, size int64) error {
	const tail = 4 + 6 // the footer's length and the magic
	if size < 8+tail {
		return errArrow
	}
	n, err := int32At(f, size-tail)
	if err != nil || int64(n) > size-8-tail {
		return errArrow
	}
	t, err := metadataAt(f, size-tail-int64(n), int64(n))
	if err != nil {
		return err
	}
	// Footer: version, schema, dictionaries, record batches, custom metadata.
	if schema, ok := t.table(1); ok {
		schema.schema()
	}
	t.entries(4)
	var blocks []int64
	for _, slot := range []int{2, 3} {
		at, n := t.vector(slot, 24)
		for i := range n {
			blocks = append(blocks, int64(binary.LittleEndian.Uint64(t.of.b[at+24*i:])))
		}
	}
	if t.of.bad {
		return errArrow
	}
	for _, at := range blocks {
		if _, _, err := checkArrowMessage(f, at, size); err != nil {
			return err
		}
	}
	return nil
}

// checkArrowStream looks at the metadata of all messages of an Arrow IPC stream.
func checkArrowStream(f *os.File, size int64) error {
	for at := int64(0); at < size; {
		next, end, err := checkArrowMessage(f, at, size)
		if err != nil {
			return err
		}
		if end {
			return nil
		}
		at = next
	}
	return nil
}

// checkArrowMessage looks at the message that begins at at, and tells where the next one does.
func checkArrowMessage(f *os.File, at, size int64) (next int64, end bool, err error) {
	if at < 0 || at > size-4 {
		return 0, at == size, errArrow
	}
	n, err := int32At(f, at)
	if err != nil {
		return 0, false, err
	}
	at += 4
	if n == -1 { // the mark of messages since 0.15
		if at > size-4 {
			return 0, false, errArrow
		}
		if n, err = int32At(f, at); err != nil {
			return 0, false, err
		}
		at += 4
	}
	if n == 0 {
		return at, true, nil
	}
	if int64(n) > size-at {
		return 0, false, errArrow
	}
	t, err := metadataAt(f, at, int64(n))
	if err != nil {
		return 0, false, err
	}
	// Message: version, type of the header, header, length of the body, custom metadata.
	kind, body := t.number(1, 1), t.number(3, 8)
	if header, ok := t.table(2); ok {
		switch kind {
		case 1:
			header.schema()
		case 2: // DictionaryBatch: id, data, whether it is a delta
			if batch, ok := header.table(1); ok {
				batch.batch()
			}
		case 3:
			header.batch()
		}
	}
	t.entries(4)
	at += int64(n)
	if t.of.bad || body < 0 || body > size-at {
		return 0, false, errArrow
	}
	return at + body, false, nil
}

func int32At(f *os.File, at int64) (int32, error) {
	var b [4]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return 0, err
	}
	return int32(binary.LittleEndian.Uint32(b[:])), nil
}

// metadataAt reads a flatbuffer and answers its root.
func metadataAt(f *os.File, at, n int64) (flatTable, error) {
	if n < 4 || n > metadataOfArrow {
		return flatTable{}, errArrow
	}
	x := &flat{b: make([]byte, n)}
	if _, err := io.ReadFull(io.NewSectionReader(f, at, n), x.b); err != nil {
		return flatTable{}, err
	}
	root := flatTable{x, int(binary.LittleEndian.Uint32(x.b))}
	x.fits(root.at, 4)
	if x.bad {
		return flatTable{}, errArrow
	}
	return root, nil
}

// flat is a flatbuffer (https://flatbuffers.dev/internals/) that is looked at; bad is set by what cannot be.
type flat struct {
	b    []byte
	seen int // fields, children and entries so far
	bad  bool
}

func (x *flat) fits(at, n int) bool {
	if at < 0 || n < 0 || at > len(x.b) || n > len(x.b)-at {
		x.bad = true
	}
	return !x.bad
}

// flatTable is a table of a flatbuffer.
type flatTable struct {
	of *flat
	at int
}

// slot is where the value of a slot stands; 0: it has none.
func (t flatTable) slot(i int) int {
	if !t.of.fits(t.at, 4) {
		return 0
	}
	v := t.at - int(int32(binary.LittleEndian.Uint32(t.of.b[t.at:])))
	if !t.of.fits(v, 4) {
		return 0
	}
	if n := int(binary.LittleEndian.Uint16(t.of.b[v:])); 4+2*i+2 > n || !t.of.fits(v, n) {
		return 0
	}
	off := int(binary.LittleEndian.Uint16(t.of.b[v+4+2*i:]))
	if off == 0 {
		return 0
	}
	return t.at + off
}

// number is the number in a slot, of some bytes.
func (t flatTable) number(i, size int) (n int64) {
	at := t.slot(i)
	if at == 0 || !t.of.fits(at, size) {
		return 0
	}
	for k := range size {
		n |= int64(t.of.b[at+k]) << (8 * k)
	}
	return n
}

// far is where the offset of a slot points to.
func (t flatTable) far(i int) (int, bool) {
	at := t.slot(i)
	if at == 0 || !t.of.fits(at, 4) {
		return 0, false
	}
	at += int(binary.LittleEndian.Uint32(t.of.b[at:]))
	return at, t.of.fits(at, 4)
}

func (t flatTable) table(i int) (flatTable, bool) {
	at, ok := t.far(i)
	return flatTable{t.of, at}, ok
}

// vector is where the elements of a vector begin, and how many there are; they lie within the buffer.
func (t flatTable) vector(i, size int) (at, n int) {
	at, ok := t.far(i)
	if !ok {
		return 0, 0
	}
	n = int(binary.LittleEndian.Uint32(t.of.b[at:]))
	if n > len(t.of.b) || !t.of.fits(at+4, n*size) {
		t.of.bad = true
		return 0, 0
	}
	return at + 4, n
}

// tables calls do with each table of a vector, unless there are too many in all.
func (t flatTable) tables(i int, do func(flatTable)) {
	at, n := t.vector(i, 4)
	if t.of.seen += n; t.of.seen > fieldsOfArrow {
		t.of.bad = true
	}
	for k := 0; k < n && !t.of.bad; k++ {
		p := at + 4*k
		do(flatTable{t.of, p + int(binary.LittleEndian.Uint32(t.of.b[p:]))})
	}
}

// entries looks at custom metadata, of which each has a key and a value.
func (t flatTable) entries(i int) {
	t.tables(i, func(e flatTable) {
		e.vector(0, 1)
		e.vector(1, 1)
	})
}

// schema looks at a Schema: byte order, fields, custom metadata.
func (t flatTable) schema() {
	t.entries(2)
	t.tables(1, func(f flatTable) { f.field(0) })
}

// field looks at a Field: name, whether it may be null, type of the type, type, dictionary, children, custom metadata.
func (t flatTable) field(depth int) {
	if depth > depthOfArrow {
		t.of.bad = true
		return
	}
	t.vector(0, 1)
	t.entries(6)
	if typ, ok := t.table(3); ok && t.number(2, 1) == 14 { // Union: mode, type ids
		typ.vector(1, 4)
	}
	t.tables(5, func(f flatTable) { f.field(depth + 1) })
}

// batch looks at a RecordBatch: rows, nodes, buffers, compression, counts of variadic buffers.
func (t flatTable) batch() {
	t.vector(1, 16)
	t.vector(2, 16)
	t.vector(4, 8)
}
