package export

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// A page ends behind so many levels, or at the first row behind so many bytes of text.
const (
	levelsOfPage = 1 << 15
	bytesOfPage  = 256 << 10
)

// leafColumn encodes a leaf column of a row group. Its values are added typed, and stand in pages when a page is
// full; what it does depends on its values alone, so columns may be encoded at the same time.
type leafColumn struct {
	path     []string
	kind     parquet.Kind
	order    order
	def, rep byte // the greatest levels
	fixed    bool // texts have one length, and none is written before them

	// Of the page under way:
	defs, reps []byte
	rows       int
	values     int      // those that are not null
	nums       []uint64 // of numbers and booleans; narrow ones as the low bits
	text       []byte   // of texts, as PLAIN has them

	dict  *dictionary // nil: none, or no more
	first *dictionary // that of the pages before it was given up
	pages int         // that it has encoded

	// Of the row group:
	out   [][]byte // pages
	size  int64    // of out
	meta  format.ColumnMetaData
	index format.ColumnIndex
	place format.OffsetIndex // counted from the first page, until it is written
	total int64              // rows in pages
	low   []byte             // the least value, as statistics have it
	high  []byte
	blind bool // a page has no bounds

	packer rle.DictionaryEncoding
	packed []byte // what is encoded
	body   []byte // the same, compressed
}

func newLeafColumn(c *parquet.Column) *leafColumn {
	t := c.Type()
	w := &leafColumn{
		path: c.Path(), kind: t.Kind(), order: orderOf(t), def: byte(c.MaxDefinitionLevel()), rep: byte(c.MaxRepetitionLevel()),
		fixed: t.Kind() == parquet.FixedLenByteArray || t.Kind() == parquet.Int96,
	}
	w.reset()
	return w
}

func (w *leafColumn) reset() {
	w.dict, w.first, w.pages = nil, nil, 0
	if w.kind != parquet.Boolean && !w.fixed {
		w.dict = &dictionary{}
	}
	w.out, w.size, w.total, w.low, w.high, w.blind = w.out[:0], 0, 0, nil, nil, w.order == noOrder
	w.meta = format.ColumnMetaData{Type: format.Type(w.kind), PathInSchema: w.path, Codec: format.Zstd}
	w.index, w.place = format.ColumnIndex{}, format.OffsetIndex{}
}

// full tells whether the page under way is to end.
func (w *leafColumn) full() bool { return len(w.defs) >= levelsOfPage || len(w.text) >= bytesOfPage }

// level notes a value that is there, or with a lesser definition one that is not.
func (w *leafColumn) level(rep, def byte) {
	w.defs = append(w.defs, def)
	if w.rep > 0 {
		w.reps = append(w.reps, rep)
	}
	if rep == 0 {
		w.rows++
	}
	if def == w.def {
		w.values++
	}
}

// addText adds the text of a value whose level was noted.
func (w *leafColumn) addText(text string) {
	if !w.fixed {
		w.text = binary.LittleEndian.AppendUint32(w.text, uint32(len(text)))
	}
	w.text = append(w.text, text...)
}

// flush encodes the page under way.
func (w *leafColumn) flush(z *zstd.Encoder) error {
	if w.rows == 0 {
		return nil
	}
	encoding, err := w.encode()
	if err != nil {
		return err
	}
	reps, err := encodeLevels(w.reps, w.rep)
	if err != nil {
		return err
	}
	defs, err := encodeLevels(w.defs, w.def)
	if err != nil {
		return err
	}
	nulls := len(w.defs) - w.values
	header := format.PageHeader{Type: format.DataPageV2, DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{
		NumValues: int32(len(w.defs)), NumNulls: int32(nulls), NumRows: int32(w.rows), Encoding: encoding,
		DefinitionLevelsByteLength: int32(len(defs)), RepetitionLevelsByteLength: int32(len(reps)), IsCompressed: thrift.New(true),
	})}
	page, err := w.page(&header, z, reps, defs)
	if err != nil {
		return err
	}
	w.place.PageLocations = append(w.place.PageLocations, format.PageLocation{
		Offset: w.size, CompressedPageSize: int32(len(page)), FirstRowIndex: w.total,
	})
	w.out, w.size = append(w.out, page), w.size+int64(len(page))
	w.meta.NumValues += int64(len(w.defs))
	w.meta.Statistics.NullCount += int64(nulls)
	w.bound(nulls)
	w.total += int64(w.rows)
	w.defs, w.reps, w.nums, w.text, w.rows, w.values = w.defs[:0], w.reps[:0], w.nums[:0], w.text[:0], 0, 0
	return nil
}

// page is a page of what stands in packed.
func (w *leafColumn) page(header *format.PageHeader, z *zstd.Encoder, reps, defs []byte) ([]byte, error) {
	w.body = z.EncodeAll(w.packed, w.body[:0])
	body := w.body
	size := len(reps) + len(defs)
	if size+max(len(body), len(w.packed)) > math.MaxInt32 {
		return nil, fmt.Errorf("a page of column %q is too long", w.path[0])
	}
	header.UncompressedPageSize, header.CompressedPageSize = int32(size+len(w.packed)), int32(size+len(body))
	header.CRC = int32(crc32.Update(crc32.Update(crc32.ChecksumIEEE(reps), crc32.IEEETable, defs), crc32.IEEETable, body))
	var b bytes.Buffer
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&b)).Encode(header); err != nil {
		return nil, fmt.Errorf("encode the header of a page: %w", err)
	}
	page := slices.Concat(b.Bytes(), reps, defs, body)
	w.meta.TotalUncompressedSize += int64(b.Len() + size + len(w.packed))
	w.meta.TotalCompressedSize += int64(b.Len() + size + len(body))
	stats := format.PageEncodingStats{PageType: header.Type, Encoding: format.Plain, Count: 1}
	if header.DataPageHeaderV2.Valid {
		stats.Encoding = header.DataPageHeaderV2.V.Encoding
	}
	for i := range w.meta.EncodingStats {
		if s := &w.meta.EncodingStats[i]; s.PageType == stats.PageType && s.Encoding == stats.Encoding {
			s.Count++
			return page, nil
		}
	}
	w.meta.EncodingStats = append(w.meta.EncodingStats, stats)
	return page, nil
}

// encodeLevels is the hybrid of runs and packed bits.
func encodeLevels(levels []byte, most byte) ([]byte, error) {
	if most == 0 {
		return nil, nil
	}
	width := 1
	for most>>width != 0 {
		width++
	}
	if bytes.Count(levels, levels[:1]) == len(levels) { // mostly: nothing is null
		return append(binary.AppendUvarint(nil, uint64(len(levels))<<1), levels[0]), nil
	}
	b, err := (&rle.Encoding{BitWidth: width}).EncodeLevels(nil, levels)
	if err != nil {
		return nil, fmt.Errorf("encode levels: %w", err)
	}
	return b, nil
}

// encode leaves the values of the page in packed: by the dictionary while that pays, else whole numbers by their
// differences, which are short and cost less than to compress them, and the rest plain.
func (w *leafColumn) encode() (format.Encoding, error) {
	if w.dict != nil && w.values > 0 {
		if w.dict.look(w) {
			w.pages++
			var err error
			if w.packed, err = w.packer.EncodeInt32(w.packed[:0], w.dict.indexes); err != nil {
				return 0, fmt.Errorf("encode a page: %w", err)
			}
			return format.RLEDictionary, nil
		}
		if w.pages > 0 {
			w.first = w.dict
		}
		w.dict = nil
	}
	if w.values > 0 && (w.kind == parquet.Int32 || w.kind == parquet.Int64) {
		w.packed = appendDeltas(w.packed[:0], w.nums, w.kind)
		return format.DeltaBinaryPacked, nil
	}
	w.packed = w.appendPlain(w.packed[:0], w.nums, w.text)
	return format.Plain, nil
}

func (w *leafColumn) appendPlain(to []byte, nums []uint64, text []byte) []byte {
	switch w.kind {
	case parquet.Boolean:
		for i, x := range nums {
			if i%8 == 0 {
				to = append(to, 0)
			}
			to[len(to)-1] |= byte(x&1) << (i % 8)
		}
	case parquet.Int32, parquet.Float:
		for _, x := range nums {
			to = binary.LittleEndian.AppendUint32(to, uint32(x))
		}
	case parquet.Int64, parquet.Double:
		for _, x := range nums {
			to = binary.LittleEndian.AppendUint64(to, x)
		}
	default:
		to = append(to, text...)
	}
	return to
}

// finish ends the last page. What is to be written is the dictionary's page, which may be empty, and out.
func (w *leafColumn) finish(z *zstd.Encoder) (dict []byte, err error) {
	if err := w.flush(z); err != nil {
		return nil, err
	}
	d := w.first
	if d == nil && w.pages > 0 {
		d = w.dict
	}
	if d == nil {
		w.listEncodings()
		return nil, nil
	}
	w.packed = w.appendPlain(w.packed[:0], d.nums, d.text)
	dict, err = w.page(&format.PageHeader{Type: format.DictionaryPage, DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{
		NumValues: int32(d.size()), Encoding: format.Plain,
	})}, z, nil, nil)
	w.listEncodings()
	return dict, err
}

// listEncodings says which encodings the pages have.
func (w *leafColumn) listEncodings() {
	if w.def > 0 || w.rep > 0 {
		w.meta.Encoding = append(w.meta.Encoding, format.RLE)
	}
	for _, s := range w.meta.EncodingStats {
		if !slices.Contains(w.meta.Encoding, s.Encoding) {
			w.meta.Encoding = append(w.meta.Encoding, s.Encoding)
		}
	}
}
