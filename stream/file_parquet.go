package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// parquetBatch is how many values of a column are read at once.
const parquetBatch = 1024

// parquetRows reads the needed columns of a Parquet file, page by page.
type parquetRows struct {
	file    *os.File
	groups  []parquet.RowGroup // not yet begun
	left    int64              // rows left in the current group
	columns []*parquetColumn
}

// parquetColumn walks one column of the current row group.
type parquetColumn struct {
	col   pipeline.Column
	leaf  int // -1: the file has none, null
	get   func(parquet.Value) (event.Value, error)
	pages parquet.Pages
	page  parquet.Page
	read  parquet.ValueReader
	buf   []parquet.Value
	vals  []parquet.Value // not yet handed out, of buf
}

func (f *fileSource) openParquet(path string) (_ rowReader, err error) {
	defer recoverParquet(&err)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	pf, err := parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	p := &parquetRows{file: file, groups: pf.RowGroups()}
	for _, col := range f.src.Columns {
		c, err := newParquetColumn(pf.Root(), col)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", col.Name, err)
		}
		p.columns = append(p.columns, c)
	}
	return p, nil
}

// recoverParquet makes an error of a panic of the library over damaged bytes.
func recoverParquet(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", r)
	}
}

func newParquetColumn(root *parquet.Column, col pipeline.Column) (*parquetColumn, error) {
	node := root
	for _, name := range strings.Split(col.Name, ".") {
		if node = node.Column(name); node == nil {
			if col.Type.Nullable {
				return &parquetColumn{col: col, leaf: -1}, nil
			}
			return nil, errors.New("the file has no such column")
		}
	}
	if !node.Leaf() {
		return nil, errors.New("the file has a group there, not a column")
	}
	if node.MaxRepetitionLevel() > 0 {
		return nil, errors.New("it is repeated, and lists of Parquet are not read")
	}
	get, err := parquetGetter(node.Type(), col.Type)
	if err != nil {
		return nil, err
	}
	return &parquetColumn{col: col, leaf: node.Index(), get: get, buf: make([]parquet.Value, parquetBatch)}, nil
}

func (p *parquetRows) close() error {
	p.endGroup()
	return p.file.Close()
}

func (p *parquetRows) endGroup() {
	for _, c := range p.columns {
		c.endPage()
		if c.pages != nil {
			_ = c.pages.Close()
			c.pages = nil
		}
	}
}

func (p *parquetRows) read(slots []event.Value) (err error) {
	defer recoverParquet(&err)
	for p.left == 0 {
		p.endGroup()
		if len(p.groups) == 0 {
			return io.EOF
		}
		g := p.groups[0]
		p.groups, p.left = p.groups[1:], g.NumRows()
		chunks := g.ColumnChunks()
		for _, c := range p.columns {
			if c.leaf >= 0 {
				c.pages = chunks[c.leaf].Pages()
			}
		}
	}
	p.left--
	var bad error
	for i, c := range p.columns {
		v, err := c.next()
		if err != nil {
			return fmt.Errorf("column %q: %w", c.col.Name, err)
		}
		if slots[i], err = c.value(v); err != nil && bad == nil {
			bad = &badRow{err: fmt.Errorf("column %q: %w", c.col.Name, err)}
		}
	}
	return bad
}

func (c *parquetColumn) value(v parquet.Value) (event.Value, error) {
	switch {
	case c.leaf >= 0 && !v.IsNull():
		return c.get(v)
	case c.col.Type.Nullable:
		return event.Value{}, nil
	}
	return event.Value{}, fmt.Errorf("null, but %s is not nullable", c.col.Type)
}

// next returns the column's value in the next row. It aliases the page, which stays until the next call.
func (c *parquetColumn) next() (parquet.Value, error) {
	if c.leaf < 0 {
		return parquet.Value{}, nil
	}
	for len(c.vals) == 0 {
		if c.read == nil {
			c.endPage()
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.read = page, page.Values()
		}
		n, err := c.read.ReadValues(c.buf)
		c.vals = c.buf[:n]
		switch {
		case errors.Is(err, io.EOF):
			c.read = nil
		case err != nil:
			return parquet.Value{}, err
		}
	}
	v := c.vals[0]
	c.vals = c.vals[1:]
	return v, nil
}

func (c *parquetColumn) endPage() {
	if c.page != nil {
		parquet.Release(c.page)
	}
	c.page, c.read, c.vals = nil, nil, nil
}

// parquetGetter returns how values of a column of type from are read as type to.
func parquetGetter(from parquet.Type, to event.Type) (func(parquet.Value) (event.Value, error), error) {
	var logical format.LogicalTypeValue
	if lt := from.LogicalType(); lt != nil {
		logical = lt.Value
	}
	_, isUUID := logical.(*format.UUIDType)
	_, isDate := logical.(*format.DateType)
	instant, _ := logical.(*format.TimestampType)
	clock, _ := logical.(*format.TimeType)
	decimal, _ := logical.(*format.DecimalType)
	integer, _ := logical.(*format.IntType)
	unsigned := integer != nil && !integer.IsSigned
	kind := from.Kind()
	isBytes := kind == parquet.ByteArray || kind == parquet.FixedLenByteArray
	isInt := kind == parquet.Int32 || kind == parquet.Int64
	plain := func(f func(v parquet.Value) event.Value) (func(parquet.Value) (event.Value, error), error) {
		return func(v parquet.Value) (event.Value, error) { return f(v), nil }, nil
	}
	switch to.Kind {
	case event.Bool:
		if kind == parquet.Boolean {
			return plain(func(v parquet.Value) event.Value { return event.BoolOf(v.Boolean()) })
		}
	case event.Long:
		if isInt && decimal == nil {
			get := parquetInt(kind, unsigned)
			return plain(func(v parquet.Value) event.Value { return event.LongOf(get(v)) })
		}
	case event.Double:
		switch {
		case kind == parquet.Double:
			return plain(func(v parquet.Value) event.Value { return event.DoubleOf(v.Double()) })
		case kind == parquet.Float:
			return plain(func(v parquet.Value) event.Value { return event.DoubleOf(float64(v.Float())) })
		case isInt && decimal == nil:
			get := parquetInt(kind, unsigned)
			return plain(func(v parquet.Value) event.Value { return event.DoubleOf(float64(get(v))) })
		}
	case event.String:
		switch {
		case isBytes && isUUID:
			return plain(func(v parquet.Value) event.Value { return event.StringOf(uuidText(v.ByteArray())) })
		case isBytes && decimal == nil:
			return plain(func(v parquet.Value) event.Value { return event.StringOf(event.Alias(v.ByteArray())) })
		}
	case event.Bytes:
		if isBytes {
			return plain(func(v parquet.Value) event.Value { return event.BytesOf(v.ByteArray()) })
		}
	case event.Timestamp, event.LocalTimestamp:
		if instant != nil && kind == parquet.Int64 {
			return parquetInstant(to.Kind, instant.Unit), nil
		}
		if kind == parquet.Int96 && to.Kind == event.Timestamp {
			return plain(func(v parquet.Value) event.Value { return event.TimestampOf(int96Time(v.Int96())) })
		}
	case event.Date:
		if isDate && kind == parquet.Int32 {
			return plain(func(v parquet.Value) event.Value { return event.Value{Kind: event.Date, Num: uint64(int64(v.Int32()))} })
		}
	case event.TimeOfDay:
		if clock != nil && isInt {
			return parquetInstant(event.TimeOfDay, clock.Unit), nil
		}
	case event.Decimal:
		if decimal != nil && decimal.Scale <= to.Scale {
			return parquetDecimal(kind, decimal.Scale, to.Scale), nil
		}
	}
	return nil, fmt.Errorf("a Parquet %s cannot be read as %s", from, to)
}

// parquetInt reads integers; those without sign that a long holds too.
func parquetInt(kind parquet.Kind, unsigned bool) func(parquet.Value) int64 {
	switch {
	case kind == parquet.Int32 && unsigned:
		return func(v parquet.Value) int64 { return int64(uint32(v.Int32())) }
	case kind == parquet.Int32:
		return func(v parquet.Value) int64 { return int64(v.Int32()) }
	}
	return func(v parquet.Value) int64 { return v.Int64() }
}

// parquetInstant reads an instant or a time of day of a unit; nanoseconds are floored.
func parquetInstant(kind event.Kind, unit format.TimeUnit) func(parquet.Value) (event.Value, error) {
	return func(v parquet.Value) (event.Value, error) {
		n := v.Int64()
		if v.Kind() == parquet.Int32 {
			n = int64(v.Int32())
		}
		switch unit.Value.(type) {
		case *format.MilliSeconds:
			if n*1000/1000 != n {
				return event.Value{}, fmt.Errorf("%d ms is out of range", n)
			}
			n *= 1000
		case *format.NanoSeconds:
			q := n / 1000
			if n%1000 < 0 {
				q--
			}
			n = q
		}
		return event.Value{Kind: kind, Num: uint64(n)}, nil
	}
}

func parquetDecimal(kind parquet.Kind, from, to int32) func(parquet.Value) (event.Value, error) {
	up := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(to-from)), nil)
	return func(v parquet.Value) (event.Value, error) {
		var n *big.Int
		switch kind {
		case parquet.Int32:
			n = big.NewInt(int64(v.Int32()))
		case parquet.Int64:
			n = big.NewInt(v.Int64())
		default:
			b := v.ByteArray()
			if len(b) > 32 {
				return event.Value{}, fmt.Errorf("a decimal of %d bytes", len(b))
			}
			n = event.ParseBig(event.Alias(b))
		}
		return event.DecimalOf(n.Mul(n, up), to), nil
	}
}

// int96Time reads the old timestamps of Spark and Impala: nanoseconds of the day, Julian day.
func int96Time(v [3]uint32) event.Time {
	nanos := int64(v[1])<<32 | int64(v[0])
	const julianEpoch = 2440588
	return event.Time((int64(v[2])-julianEpoch)*int64(event.Day) + nanos/1000)
}

// uuidText writes 16 bytes as UUIDs are read.
func uuidText(b []byte) string {
	if len(b) != 16 {
		return string(b)
	}
	be := binary.BigEndian
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", be.Uint32(b), be.Uint16(b[4:]), be.Uint16(b[6:]), be.Uint16(b[8:]),
		uint64(be.Uint16(b[10:]))<<32|uint64(be.Uint32(b[12:])))
}
