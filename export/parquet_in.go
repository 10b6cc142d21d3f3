package export

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/penstock-ml/penstock/event"
)

// parquetSpine reads Parquet, a column at a time. Flat columns that are needed are read as values; what these do not tell,
// and nested columns, is carried as it is.
type parquetSpine struct {
	f      *os.File
	name   string
	groups []parquet.RowGroup // that are not begun
	total  int64              // rows of all
	left   int64              // rows of the group that is read
	cols   []spineColumn
	in     []parquetInput // by column
	row    int64
}

// parquetInput is a column of a spine.
type parquetInput struct {
	read   func(parquet.Value) event.Value // nil for a nested one
	exact  bool                            // values tell all that is in the column
	simple bool                            // a pageReader can read it
	needed bool
	plain  *pageReader // reads a column that is exact and needed, if it is one that it can read
	leaves []*leafReader
}

// leafReader reads the values of a leaf column of a row group.
type leafReader struct {
	pages parquet.Pages
	page  parquet.Page
	vals  parquet.ValueReader
	buf   []parquet.Value
	have  []parquet.Value // of buf, that are not given
}

func newParquetSpine(f *os.File, name string) (s *parquetSpine, err error) {
	defer recoverParquet(&err, name)
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read spine %s: %w", name, err)
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, mistake("malformed", "", "spine %s is not Parquet: %v", name, err)
	}
	s = &parquetSpine{f: f, name: name, groups: file.RowGroups()}
	for _, g := range s.groups {
		s.total += g.NumRows()
	}
	for _, field := range file.Root().Fields() {
		col := spineColumn{name: field.Name(), node: carried{field}}
		var in parquetInput
		if col.nested = !field.Leaf() || field.Repeated(); !col.nested {
			col.typ, in.read = leafType(field.Type())
			col.typ.Nullable = field.Optional()
			in.exact = exact(field.Type(), col.typ.Kind)
			in.simple = isPlain(field.Type())
		}
		for range leaves(field) {
			in.leaves = append(in.leaves, &leafReader{buf: make([]parquet.Value, 512)})
		}
		s.cols, s.in = append(s.cols, col), append(s.in, in)
	}
	return s, nil
}

// recoverParquet turns a panic of the Parquet reader over a damaged file into an error.
func recoverParquet(err *error, name string) {
	if p := recover(); p != nil {
		*err = mistake("malformed", "", "spine %s is damaged: %v", name, p)
	}
}

// leaves is the number of leaf columns under n.
func leaves(n parquet.Node) int {
	if n.Leaf() {
		return 1
	}
	total := 0
	for _, f := range n.Fields() {
		total += leaves(f)
	}
	return total
}

func (s *parquetSpine) columns() []spineColumn { return s.cols }

func (s *parquetSpine) need(cols []bool) {
	for i := range s.in {
		in := &s.in[i]
		in.needed, in.plain = cols[i] && in.read != nil, nil
		if in.needed && in.exact && in.simple {
			in.plain = &pageReader{kind: s.cols[i].typ.Kind}
		}
	}
}

func (s *parquetSpine) close() error {
	for i := range s.in {
		s.in[i].plain.release()
		for _, r := range s.in[i].leaves {
			r.close()
		}
	}
	return s.f.Close()
}

func (s *parquetSpine) read(c *chunk) (err error) {
	defer recoverParquet(&err, s.name)
	c.first = s.row + 1
	if c.raw == nil {
		c.raw = make([]rawColumn, len(s.cols))
	}
	for c.rows < c.most {
		if s.left == 0 {
			if len(s.groups) == 0 {
				return nil
			}
			s.begin()
			continue
		}
		n := int(min(int64(c.most-c.rows), s.left))
		for i := range s.in {
			if err := s.in[i].take(c, i, n); err != nil {
				c.rows = 0 // columns are not of one length
				return mistake("malformed", "", "spine %s: row %d or one of the %d after it: column %q: %v", s.name, s.row+1, n-1, s.cols[i].name, err)
			}
		}
		c.rows += n
		s.row += int64(n)
		if s.left -= int64(n); s.left == 0 {
			if err := s.end(); err != nil {
				return mistake("malformed", "", "spine %s: row %d: %v", s.name, s.row, err)
			}
		}
	}
	return nil
}

// end checks that a row group has no values behind its rows.
func (s *parquetSpine) end() error {
	for i := range s.in {
		for _, r := range s.in[i].leaves {
			more := r.more
			if p := s.in[i].plain; p != nil {
				more = func() error { return p.more(r.pages) }
			}
			if err := more(); err == nil {
				return fmt.Errorf("column %q has more values than there are rows", s.cols[i].name)
			} else if !errors.Is(err, io.EOF) {
				return fmt.Errorf("column %q: %w", s.cols[i].name, err)
			}
		}
	}
	return nil
}

// begin begins the next row group.
func (s *parquetSpine) begin() {
	group := s.groups[0]
	s.groups = s.groups[1:]
	s.left = group.NumRows()
	chunks := group.ColumnChunks()
	for i := range s.in {
		s.in[i].plain.release()
		for k, r := range s.in[i].leaves {
			r.close()
			if s.left > 0 { // the reader has nowhere to begin in an empty group
				r.pages = chunks[k].Pages()
			}
		}
		chunks = chunks[len(s.in[i].leaves):]
	}
}

func (r *leafReader) close() {
	if r.page != nil {
		parquet.Release(r.page)
	}
	if r.pages != nil {
		_ = r.pages.Close()
	}
	r.page, r.pages, r.vals, r.have = nil, nil, nil, nil
}

// more makes have not empty, or tells why there is nothing.
func (r *leafReader) more() error {
	for len(r.have) == 0 {
		if r.vals == nil {
			if r.page != nil {
				parquet.Release(r.page)
				r.page = nil
			}
			page, err := r.pages.ReadPage()
			if err != nil {
				return err
			}
			r.page, r.vals = page, page.Values()
		}
		n, err := r.vals.ReadValues(r.buf)
		r.have = r.buf[:n]
		if errors.Is(err, io.EOF) {
			r.vals = nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// errShort is of a column that ends before others do.
var errShort = errors.New("it has fewer values than there are rows")

// take reads n rows of column i into c.
func (in *parquetInput) take(c *chunk, i, n int) error {
	if in.read == nil {
		return in.takeNested(c, i, n)
	}
	r := in.leaves[0]
	if in.plain != nil {
		had := len(c.vals[i].text)
		err := in.plain.read(r.pages, &c.vals[i], n)
		c.owned += len(c.vals[i].text) - had
		return err
	}
	raw := &c.raw[i]
	for n > 0 {
		if err := r.more(); errors.Is(err, io.EOF) {
			return errShort
		} else if err != nil {
			return err
		}
		vals := r.have[:min(n, len(r.have))]
		r.have = r.have[len(vals):]
		n -= len(vals)
		ownValues(c, vals)
		if in.needed {
			for k := range vals {
				value := event.Value{}
				if !vals[k].IsNull() {
					value = in.read(vals[k])
				}
				c.put(i, value)
			}
			if in.exact {
				continue
			}
		}
		for _, v := range vals {
			raw.vals = append(raw.vals, v)
			raw.ends = append(raw.ends, int32(len(raw.vals)))
		}
	}
	return nil
}

// takeNested reads rows of a nested column: of each row first the values of one leaf, then those of the next.
func (in *parquetInput) takeNested(c *chunk, i, n int) error {
	raw := &c.raw[i]
	for range n {
		for _, r := range in.leaves {
			for first := true; ; first = false {
				err := r.more()
				if errors.Is(err, io.EOF) && !first {
					break
				} else if errors.Is(err, io.EOF) {
					return errShort
				} else if err != nil {
					return err
				}
				if !first && r.have[0].RepetitionLevel() == 0 {
					break
				}
				ownValues(c, r.have[:1])
				raw.vals = append(raw.vals, r.have[0])
				r.have = r.have[1:]
			}
		}
		raw.ends = append(raw.ends, int32(len(raw.vals)))
	}
	return nil
}

// ownValues copies what values point to into the chunk.
func ownValues(c *chunk, vals []parquet.Value) {
	if len(vals) == 0 {
		return
	}
	for i := range vals {
		v := &vals[i]
		kind := v.Kind()
		if v.IsNull() || kind != parquet.ByteArray && kind != parquet.FixedLenByteArray {
			continue
		}
		own := []byte(nil)
		if b := v.ByteArray(); len(b) > 0 {
			own = viewBytes(c.own(event.Alias(b)))
		}
		rep, def, col := v.RepetitionLevel(), v.DefinitionLevel(), v.Column()
		if kind == parquet.ByteArray {
			*v = parquet.ByteArrayValue(own).Level(rep, def, col)
		} else {
			*v = parquet.FixedLenByteArrayValue(own).Level(rep, def, col)
		}
	}
}

// exact tells whether values of a leaf column can be written back as they were.
func exact(t parquet.Type, kind event.Kind) bool {
	switch t.Kind() {
	case parquet.Boolean, parquet.ByteArray:
		return kind == event.Bool || kind == event.String || kind == event.Bytes
	case parquet.Int32:
		return kind == event.Long || kind == event.Date
	case parquet.Int64:
		switch kind {
		case event.Long:
			return orderOf(t) == signedOrder // unsigned ones may be decimals
		case event.Timestamp, event.LocalTimestamp, event.TimeOfDay:
			return isMicros(t)
		}
	}
	return false
}

func isMicros(t parquet.Type) bool {
	var unit format.TimeUnit
	switch x := t.LogicalType().Value.(type) {
	case *format.TimestampType:
		unit = x.Unit
	case *format.TimeType:
		unit = x.Unit
	}
	_, ok := unit.Value.(*format.MicroSeconds)
	return ok
}

// leafType tells how values of a leaf column are read. Strings alias the value.
func leafType(t parquet.Type) (event.Type, func(parquet.Value) event.Value) {
	if lt := t.LogicalType(); lt != nil {
		switch x := lt.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return event.Type{Kind: event.String}, func(v parquet.Value) event.Value { return event.StringOf(event.Alias(v.ByteArray())) }
		case *format.UUIDType:
			return event.Type{Kind: event.String}, uuid
		case *format.DateType:
			return event.Type{Kind: event.Date}, func(v parquet.Value) event.Value {
				return event.Value{Kind: event.Date, Num: uint64(int64(v.Int32()))}
			}
		case *format.DecimalType:
			return event.Type{Kind: event.Decimal, Scale: x.Scale}, decimal(t.Kind(), x.Scale)
		case *format.TimeType:
			return event.Type{Kind: event.TimeOfDay}, instant(event.TimeOfDay, t.Kind(), &x.Unit)
		case *format.TimestampType:
			kind := event.LocalTimestamp
			if x.IsAdjustedToUTC {
				kind = event.Timestamp
			}
			return event.Type{Kind: kind}, instant(kind, t.Kind(), &x.Unit)
		case *format.IntType:
			if !x.IsSigned {
				return event.Type{Kind: event.Long}, unsigned(t.Kind())
			}
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return event.Type{Kind: event.Bool}, func(v parquet.Value) event.Value { return event.BoolOf(v.Boolean()) }
	case parquet.Int32:
		return event.Type{Kind: event.Long}, func(v parquet.Value) event.Value { return event.LongOf(int64(v.Int32())) }
	case parquet.Int64:
		return event.Type{Kind: event.Long}, func(v parquet.Value) event.Value { return event.LongOf(v.Int64()) }
	case parquet.Int96:
		return event.Type{Kind: event.Timestamp}, int96
	case parquet.Float:
		return event.Type{Kind: event.Double}, func(v parquet.Value) event.Value { return event.DoubleOf(float64(v.Float())) }
	case parquet.Double:
		return event.Type{Kind: event.Double}, func(v parquet.Value) event.Value { return event.DoubleOf(v.Double()) }
	}
	return event.Type{Kind: event.Bytes}, func(v parquet.Value) event.Value { return event.BytesOf(v.ByteArray()) }
}

// instant reads a number of a unit, floored to microseconds.
func instant(kind event.Kind, physical parquet.Kind, unit *format.TimeUnit) func(parquet.Value) event.Value {
	times, by := int64(1), int64(1)
	switch unit.Value.(type) {
	case *format.MilliSeconds:
		times = 1000
	case *format.NanoSeconds:
		by = 1000
	}
	return func(v parquet.Value) event.Value {
		var n int64
		if physical == parquet.Int32 {
			n = int64(v.Int32())
		} else {
			n = v.Int64()
		}
		if n *= times; n%by < 0 {
			n -= by
		}
		return event.Value{Kind: kind, Num: uint64(n / by)}
	}
}

// int96 reads the deprecated instant: nanoseconds of a day, and the Julian day.
func int96(v parquet.Value) event.Value {
	const epoch = 2_440_588 // the Julian day of 1970-01-01
	x := v.Int96()
	nanos := int64(uint64(x[1])<<32 | uint64(x[0]))
	at := time.Unix((int64(x[2])-epoch)*86400, nanos)
	return event.TimestampOf(event.FromGo(at))
}

// unsigned reads what fits as a long, and the rest as a decimal without a fraction.
func unsigned(kind parquet.Kind) func(parquet.Value) event.Value {
	return func(v parquet.Value) event.Value {
		if kind == parquet.Int32 {
			return event.LongOf(int64(v.Uint32()))
		}
		if n := v.Uint64(); n>>63 != 0 {
			return event.DecimalOf(new(big.Int).SetUint64(n), 0)
		}
		return event.LongOf(v.Int64())
	}
}

func decimal(kind parquet.Kind, scale int32) func(parquet.Value) event.Value {
	return func(v parquet.Value) event.Value {
		switch kind {
		case parquet.Int32:
			return event.DecimalOf(big.NewInt(int64(v.Int32())), scale)
		case parquet.Int64:
			return event.DecimalOf(big.NewInt(v.Int64()), scale)
		}
		return event.DecimalOf(event.ParseBig(event.Alias(v.ByteArray())), scale)
	}
}

// uuid writes 16 bytes in the canonical form.
func uuid(v parquet.Value) event.Value {
	b := v.ByteArray()
	if len(b) != 16 {
		return event.BytesOf(b)
	}
	h := hex.EncodeToString(b)
	return event.StringOf(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
}
