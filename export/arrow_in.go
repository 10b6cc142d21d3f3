package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// arrowSpine reads an Arrow IPC file (Feather V2) or stream, a record batch at a time.
type arrowSpine struct {
	f     *os.File
	name  string
	batch func() (arrow.RecordBatch, error) // the next one, io.EOF behind the last; valid until the next call
	stop  func()
	cols  []spineColumn
	bind  []arrowBind

	rec  arrow.RecordBatch // that is read, or nil
	from []arrowValue      // of its columns
	at   int               // its next row
	row  int64
}

// textOfArrow ends a chunk that holds so many bytes of text: damaged rows may each name all of a batch.
const textOfArrow = 32 << 20

// bytesOfArrow bounds what the record batches that are held may take, decompressed; those of a small file less.
const bytesOfArrow = 2 << 30

// boundFor is the bound for a file of some bytes.
func boundFor(size int64) int64 {
	if size > bytesOfArrow/1000 {
		return bytesOfArrow
	}
	return min(bytesOfArrow, 64<<20+1000*size)
}

func newArrowSpine(f *os.File, name string) (s *arrowSpine, err error) {
	defer recoverArrow(&err, name)
	s = &arrowSpine{f: f, name: name}
	schema, err := s.open()
	if err != nil {
		return nil, err
	}
	for _, field := range schema.Fields() {
		col, bind := arrowColumn(field.Type, field.Nullable)
		if bind == nil {
			return nil, mistake("malformed", "cast the column in what writes the spine, or leave it out",
				"spine %s: column %q: type %s cannot be read", name, field.Name, field.Type)
		}
		col.name = field.Name
		s.cols = append(s.cols, col)
		s.bind = append(s.bind, bind)
	}
	return s, nil
}

// open tells a file from a stream by its first bytes.
func (s *arrowSpine) open() (*arrow.Schema, error) {
	var magic [6]byte
	if _, err := s.f.ReadAt(magic[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read spine %s: %w", s.name, err)
	}
	info, err := s.f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read spine %s: %w", s.name, err)
	}
	bound := boundFor(info.Size())
	options := []ipc.Option{ipc.WithAllocator(&boundedMemory{left: bound, most: bound}), ipc.WithBodySizeLimit(bound)}
	switch {
	case bytes.HasPrefix(magic[:], []byte("FEA1")):
		return nil, mistake("malformed", "write it as Feather V2, which is Arrow IPC", "spine %s is Feather V1", s.name)
	case bytes.Equal(magic[:], ipc.Magic):
		if err := checkArrowFile(s.f, info.Size()); err != nil {
			return nil, mistake("malformed", "", "spine %s is not an Arrow IPC file: %v", s.name, err)
		}
		r, err := ipc.NewFileReader(s.f, options...)
		if err != nil {
			return nil, mistake("malformed", "", "spine %s is not an Arrow IPC file: %v", s.name, err)
		}
		next := 0
		s.stop = func() { _ = r.Close() }
		s.batch = func() (arrow.RecordBatch, error) {
			if next == r.NumRecords() {
				return nil, io.EOF
			}
			next++
			return r.RecordBatch(next - 1)
		}
		return r.Schema(), nil
	}
	if err := checkArrowStream(s.f, info.Size()); err != nil {
		return nil, mistake("malformed", "", "spine %s is neither an Arrow IPC file nor a stream: %v", s.name, err)
	}
	r, err := ipc.NewReader(s.f, options...)
	if err != nil {
		return nil, mistake("malformed", "", "spine %s is neither an Arrow IPC file nor a stream: %v", s.name, err)
	}
	s.stop = r.Release
	s.batch = func() (arrow.RecordBatch, error) {
		if r.Next() {
			return r.RecordBatch(), nil
		}
		if err := r.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	return r.Schema(), nil
}

// recoverArrow turns a panic of the Arrow reader over a damaged file into an error.
func recoverArrow(err *error, name string) {
	if p := recover(); p != nil {
		*err = mistake("malformed", "", "spine %s is damaged: %v", name, p)
	}
}

func (s *arrowSpine) columns() []spineColumn { return s.cols }
func (s *arrowSpine) need([]bool)            {}

func (s *arrowSpine) close() error {
	s.stop()
	return s.f.Close()
}

func (s *arrowSpine) read(c *chunk) (err error) {
	defer recoverArrow(&err, s.name)
	c.first = s.row + 1
	for c.rows < c.most {
		for s.rec == nil || s.at == int(s.rec.NumRows()) {
			if err := s.next(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return mistake("malformed", "", "spine %s: row %d: %v", s.name, s.row+1, err)
			}
		}
		n := min(c.most-c.rows, int(s.rec.NumRows())-s.at, 256)
		for i, value := range s.from {
			for r := s.at; r < s.at+n; r++ {
				c.put(i, value(r))
			}
		}
		s.at += n
		s.row += int64(n)
		c.rows += n
		if c.owned > textOfArrow {
			return nil
		}
	}
	return nil
}

// next reads the next batch.
func (s *arrowSpine) next() error {
	s.rec = nil
	rec, err := s.batch()
	if err != nil {
		return err
	}
	if rec.NumRows() < 0 {
		return errors.New("a record batch has less than no rows")
	}
	s.rec, s.at, s.from = rec, 0, s.from[:0]
	for i, bind := range s.bind {
		s.from = append(s.from, bind(rec.Column(i)))
	}
	return nil
}

// boundedMemory gives memory out until it has given too much at once; the reader recovers from the panic.
// A length that stands in the file must not be able to take all there is.
type boundedMemory struct {
	memory.GoAllocator
	left int64
	most int64
}

func (m *boundedMemory) take(n int) {
	if m.left -= int64(n); m.left < 0 {
		panic(fmt.Sprintf("a record batch takes more than %d MiB", m.most>>20))
	}
}

// Allocate implements memory.Allocator.
func (m *boundedMemory) Allocate(size int) []byte {
	m.take(size)
	return m.GoAllocator.Allocate(size)
}

// Reallocate implements memory.Allocator.
func (m *boundedMemory) Reallocate(size int, b []byte) []byte {
	m.take(size - len(b))
	return m.GoAllocator.Reallocate(size, b)
}

// Free implements memory.Allocator.
func (m *boundedMemory) Free(b []byte) { m.left += int64(len(b)) }
