package export

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// leafIndex is where the pages of a leaf column lie, and their bounds.
type leafIndex struct {
	place  format.OffsetIndex
	bounds *format.ColumnIndex // nil: a page has none
}

// endGroup writes the row group under way.
func (s *parquetSink) endGroup() error {
	dicts, errs := make([][][]byte, len(s.cols)), make([]error, len(s.cols))
	s.each(func(i int, z *zstd.Encoder) {
		for _, w := range s.cols[i].leaves {
			dict, err := w.finish(z)
			dicts[i] = append(dicts[i], dict)
			if err != nil {
				errs[i] = err
				return
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	group := format.RowGroup{NumRows: int64(s.have), FileOffset: s.at, Ordinal: int16(len(s.meta.RowGroups))}
	var index []*leafIndex
	for i := range s.cols {
		for k, w := range s.cols[i].leaves {
			x, err := s.putLeaf(w, dicts[i][k])
			if err != nil {
				return err
			}
			index = append(index, x)
			group.Columns = append(group.Columns, format.ColumnChunk{MetaData: w.meta})
			group.TotalByteSize += w.meta.TotalUncompressedSize
			group.TotalCompressedSize += w.meta.TotalCompressedSize
			w.reset()
		}
	}
	s.meta.RowGroups = append(s.meta.RowGroups, group)
	s.index = append(s.index, index)
	s.meta.NumRows += group.NumRows
	s.have, s.size = 0, 0
	return nil
}

// putLeaf writes what a leaf column has of the row group.
func (s *parquetSink) putLeaf(w *leafColumn, dict []byte) (*leafIndex, error) {
	if len(dict) > 0 {
		w.meta.DictionaryPageOffset = s.at
		if err := s.put(dict); err != nil {
			return nil, err
		}
	}
	w.meta.DataPageOffset = s.at
	for i := range w.place.PageLocations {
		w.place.PageLocations[i].Offset += s.at
	}
	x := &leafIndex{place: w.place}
	if !w.blind {
		index := w.index
		x.bounds = &index
		w.meta.Statistics.MinValue, w.meta.Statistics.MaxValue = w.low, w.high
	}
	for _, page := range w.out {
		if err := s.put(page); err != nil {
			return nil, err
		}
	}
	clear(w.out)
	return x, nil
}

func (s *parquetSink) put(b []byte) error {
	n, err := s.w.Write(b)
	s.at += int64(n)
	if err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// putThrift writes a structure of the format; it tells its length.
func (s *parquetSink) putThrift(v any) (int32, error) {
	var b bytes.Buffer
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&b)).Encode(v); err != nil {
		return 0, fmt.Errorf("write parquet: %w", err)
	}
	return int32(b.Len()), s.put(b.Bytes())
}

func (s *parquetSink) close() error {
	if s.have > 0 {
		if err := s.endGroup(); err != nil {
			return err
		}
	}
	if err := s.putIndexes(); err != nil {
		return err
	}
	n, err := s.putThrift(&s.meta)
	if err != nil {
		return err
	}
	return s.put(append(binary.LittleEndian.AppendUint32(nil, uint32(n)), magic...))
}

// putIndexes writes the bounds and places of all pages.
func (s *parquetSink) putIndexes() (err error) {
	for g, leaves := range s.index {
		for i, x := range leaves {
			if x.bounds == nil {
				continue
			}
			c := &s.meta.RowGroups[g].Columns[i]
			c.ColumnIndexOffset = s.at
			if c.ColumnIndexLength, err = s.putThrift(x.bounds); err != nil {
				return err
			}
		}
	}
	for g, leaves := range s.index {
		for i, x := range leaves {
			c := &s.meta.RowGroups[g].Columns[i]
			c.OffsetIndexOffset = s.at
			if c.OffsetIndexLength, err = s.putThrift(&x.place); err != nil {
				return err
			}
		}
	}
	return nil
}
