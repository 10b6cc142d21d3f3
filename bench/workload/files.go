package workload

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/snappy"
	"github.com/parquet-go/parquet-go"
)

// WriteFiles writes the events to so many files of each format, 00.avro and 00.parquet and so on, by the
// number of the user, and returns how many rows each file of a format has.
func WriteFiles(dir string, files int, o Options) (rows []int64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("write files: %w", err)
	}
	rows = make([]int64, files)
	avro, columns := make([]*avroFile, files), make([]*parquetFile, files)
	defer func() {
		for i := range files {
			err = errors.Join(err, avro[i].close(), columns[i].close())
		}
	}()
	for i := range files {
		name := filepath.Join(dir, fmt.Sprintf("%02d.", i))
		if avro[i], err = newAvroFile(name + "avro"); err != nil {
			return nil, err
		}
		if columns[i], err = newParquetFile(name + "parquet"); err != nil {
			return nil, err
		}
	}
	for e := range Events(o) {
		i := int(e.User) % files
		rows[i]++
		if err := errors.Join(avro[i].add(e), columns[i].add(e)); err != nil {
			return nil, fmt.Errorf("write files: %w", err)
		}
	}
	return rows, nil
}

// avroFile is an Avro object container file of snappy blocks.
type avroFile struct {
	f     *os.File
	w     *bufio.Writer
	block []byte
	n     int64
	buf   []byte
}

// sync stands behind every block; any 16 bytes do.
var sync = [16]byte{'p', 'e', 'n', 's', 't', 'o', 'c', 'k', ' ', 'w', 'o', 'r', 'k', 'l', 'o', 'd'}

func newAvroFile(path string) (*avroFile, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write files: %w", err)
	}
	a := &avroFile{f: f, w: bufio.NewWriterSize(f, 1<<20)}
	b := append([]byte("Obj\x01"), 4) // two entries
	for _, s := range []string{"avro.schema", Schema, "avro.codec", "snappy"} {
		b = append(binary.AppendVarint(b, int64(len(s))), s...)
	}
	b = append(append(b, 0), sync[:]...)
	_, err = a.w.Write(b)
	return a, err
}

const headerBytes = 5 // of Confluent's framing

func (a *avroFile) add(e *Event) error {
	a.buf = e.AppendValue(a.buf[:0], 0)
	a.block = append(a.block, a.buf[headerBytes:]...)
	a.n++
	if len(a.block) < 64<<10 {
		return nil
	}
	return a.flush()
}

func (a *avroFile) flush() error {
	if a.n == 0 {
		return nil
	}
	a.buf = snappy.Encode(a.buf[:cap(a.buf)], a.block)
	head := binary.AppendVarint(binary.AppendVarint(nil, a.n), int64(len(a.buf)+4))
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(a.block))
	a.block, a.n = a.block[:0], 0
	for _, b := range [][]byte{head, a.buf, sum, sync[:]} {
		if _, err := a.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (a *avroFile) close() error {
	if a == nil {
		return nil
	}
	return errors.Join(a.flush(), a.w.Flush(), a.f.Close())
}

// row is an event as Parquet.
type row struct {
	UserID      string  `parquet:"user_id"`
	MerchantID  string  `parquet:"merchant_id"`
	Amount      float64 `parquet:"amount"`
	Country     string  `parquet:"country,dict"`
	CardPresent bool    `parquet:"card_present"`
	TS          int64   `parquet:"ts,timestamp(millisecond)"`
}

// parquetFile is a Parquet file of snappy pages.
type parquetFile struct {
	f    *os.File
	w    *parquet.GenericWriter[row]
	rows []row
}

// groupRows is how many rows a row group has.
const groupRows = 200_000

func newParquetFile(path string) (*parquetFile, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("write files: %w", err)
	}
	w := parquet.NewGenericWriter[row](f, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(groupRows))
	return &parquetFile{f: f, w: w}, nil
}

func (p *parquetFile) add(e *Event) error {
	merchant := string(e.AppendMerchantID(nil))
	p.rows = append(p.rows, row{UserID(e.User), merchant, e.Amount, e.Country, e.CardPresent, e.Time.UnixMilli()})
	if len(p.rows) < 1000 {
		return nil
	}
	return p.flush()
}

func (p *parquetFile) flush() error {
	_, err := p.w.Write(p.rows)
	p.rows = p.rows[:0]
	return err
}

func (p *parquetFile) close() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.flush(), p.w.Close(), p.f.Close())
}
