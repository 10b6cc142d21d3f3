package export

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/penstock-ml/penstock/event"
)

// drawnTable is a table of columns of every kind, each of values of one manner: few or many of them, runs, nulls,
// numbers that have no order, long texts.
type drawnTable struct {
	l    *layout
	rows int
	vals [][]event.Value
}

var drawnKinds = []event.Kind{
	event.Bool, event.Long, event.Double, event.String, event.Bytes, event.Timestamp, event.Date, event.TimeOfDay, event.Decimal, event.List, event.Map,
}

func drawTable(rng *rand.Rand, rows int) *drawnTable {
	d := &drawnTable{l: &layout{}, rows: rows}
	for i := range 1 + rng.IntN(9) {
		typ := event.Type{Kind: drawnKinds[rng.IntN(len(drawnKinds))], Nullable: rng.IntN(2) == 0}
		if typ.Kind == event.List || typ.Kind == event.Map {
			typ.Elem, typ.Nullable = &event.Type{Kind: drawnKinds[rng.IntN(9)]}, true
			if rng.IntN(4) == 0 {
				typ.Elem = &event.Type{Kind: event.List, Elem: typ.Elem}
			}
		}
		d.l.table = append(d.l.table, column{name: fmt.Sprintf("c%d", i), typ: typ})
		d.l.spine = append(d.l.spine, spineColumn{})
		draw := drawer(rng, typ)
		nulls, run := rng.IntN(3), 1+rng.IntN(4)*rng.IntN(40)
		vals := make([]event.Value, rows)
		for r := range vals {
			switch {
			case r%run != 0:
				vals[r] = vals[r-1]
			case typ.Nullable && (nulls == 1 && rng.IntN(4) == 0 || nulls == 2 && rng.IntN(100) > 0):
			default:
				vals[r] = draw()
			}
		}
		d.vals = append(d.vals, vals)
	}
	return d
}

// drawer draws values of a type in one manner.
func drawer(rng *rand.Rand, typ event.Type) func() event.Value {
	few := []int64{2, 50, 3000, math.MaxInt64}[rng.IntN(4)]
	long := []int{0, 3, 12, 300, 3000}[rng.IntN(5)]
	elem := func() event.Value { return event.Value{} }
	if typ.Elem != nil {
		elem = drawer(rng, *typ.Elem)
	}
	odd := []float64{math.NaN(), math.Copysign(0, -1), 0, math.Inf(1), math.Inf(-1), math.MaxFloat64}[:rng.IntN(7)]
	return func() event.Value {
		n := rng.Int64N(few)
		switch typ.Kind {
		case event.Double:
			if len(odd) > 0 && rng.IntN(3) == 0 {
				return event.Value{Kind: event.Double, Num: math.Float64bits(odd[rng.IntN(len(odd))])}
			}
			return event.DoubleOf(float64(n)/100 - 5)
		case event.String, event.Bytes:
			return event.Value{Kind: typ.Kind, Str: strings.Repeat("é", long) + fmt.Sprint(n)}
		case event.Decimal:
			return event.DecimalOf(big.NewInt(n), 2)
		case event.List, event.Map:
			var parts []event.Value
			for i := range rng.IntN(4) {
				if typ.Kind == event.Map {
					parts = append(parts, event.StringOf(fmt.Sprint("k", i)))
				}
				if v := elem(); rng.IntN(4) > 0 {
					parts = append(parts, v)
				} else {
					parts = append(parts, event.Value{})
				}
			}
			return event.Value{Kind: typ.Kind, Str: string(event.AppendList(nil, parts...))}
		case event.Bool:
			return event.BoolOf(n%2 == 0)
		case event.Date:
			return event.Value{Kind: event.Date, Num: uint64(n%40_000 - 20_000)}
		}
		return event.Value{Kind: typ.Kind, Num: uint64(n - 1000)}
	}
}

// bytesOf writes the table in chunks of some rows.
func (d *drawnTable) bytesOf(t *testing.T, workers, chunk, group int) []byte {
	t.Helper()
	var b bytes.Buffer
	s, err := newParquetSink(&b, d.l, crew{workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	s.mostRows, s.mostBytes = group, math.MaxInt
	for from := 0; from < d.rows; from += chunk {
		c := chunkOf(d.l, min(chunk, d.rows-from))
		for i := range d.vals {
			c.vals[i] = seriesOf(d.vals[i][from : from+c.rows])
		}
		if err := s.write(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// row is the row that a reader of Parquet is to see.
func (d *drawnTable) row(s *parquetSink, r int) parquet.Row {
	var row parquet.Row
	leaf := 0
	for i := range d.vals {
		typ := &d.l.table[i].typ
		if typ.Elem != nil {
			row = appendNested(row, d.vals[i][r], typ, leaf)
		} else {
			row = append(row, parquetValue(d.vals[i][r], s.cols[i].kind, leaf, typ.Nullable))
		}
		leaf += len(s.cols[i].leaves)
	}
	return row
}

// checkDrawn writes a drawn table, and reads it by the library: every value, the bounds of every page and row group.
func checkDrawn(t *testing.T, seed uint64, rows, group int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := drawTable(rng, rows)
	b := d.bytesOf(t, 1, 1+rng.IntN(max(rows, 1)), group)
	if again := d.bytesOf(t, 3, 1+rng.IntN(max(rows, 1)), group); !bytes.Equal(again, b) {
		t.Errorf("seed %d: other workers and other chunks write another file", seed)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	s, err := newParquetSink(new(bytes.Buffer), d.l, crew{workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := 0
	for g, rg := range f.RowGroups() {
		want := min(group, rows-r)
		if rg.NumRows() != int64(want) {
			t.Fatalf("seed %d: row group %d has %d rows, not %d", seed, g, rg.NumRows(), want)
		}
		d.checkBounds(t, f, g, r, want)
		in := rg.Rows()
		buf := make([]parquet.Row, 64)
		for end := r + want; r < end; {
			n, err := in.ReadRows(buf)
			for i := range n {
				if want := d.row(s, r); !sameRow(buf[i], want) {
					t.Fatalf("seed %d: row %d: got %+v, want %+v", seed, r, buf[i], want)
				}
				r++
			}
			if n == 0 {
				t.Fatalf("seed %d: row %d: %v", seed, r, err)
			}
		}
		_ = in.Close()
	}
	if r != rows {
		t.Fatalf("seed %d: %d rows, not %d", seed, r, rows)
	}
	for _, needed := range []bool{true, false} {
		again := carriedAgain(t, b, needed, 1+rng.IntN(rows+1), group)
		if !bytes.Equal(beforeFooter(again), beforeFooter(b)) { // the footer has other words for the same types
			t.Fatalf("seed %d: carried from Parquet to Parquet (read as values: %t) it is another file", seed, needed)
		}
	}
}

// beforeFooter is the pages of a file, and their bounds.
func beforeFooter(b []byte) []byte {
	return b[:len(b)-8-int(binary.LittleEndian.Uint32(b[len(b)-8:]))]
}

// carriedAgain reads a file as a spine, in chunks, and writes all of its columns.
func carriedAgain(t *testing.T, b []byte, needed bool, most, group int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spine.parquet")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	sp, err := openSpine(path, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sp.close() }()
	l := &layout{spine: sp.columns()}
	need := make([]bool, len(l.spine))
	for i, c := range l.spine {
		need[i] = needed && !c.nested
		l.table = append(l.table, column{name: c.name, typ: c.typ, node: c.node})
	}
	sp.need(need)
	var out bytes.Buffer
	s, err := newParquetSink(&out, l, crew{workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	s.mostRows, s.mostBytes = group, math.MaxInt
	c := newChunk(l)
	c.most = most
	for {
		if err := sp.read(c); err != nil {
			t.Fatal(err)
		}
		if c.rows == 0 {
			break
		}
		if err := s.write(c); err != nil {
			t.Fatal(err)
		}
		c.reset()
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func sameRow(a, b parquet.Row) bool {
	return slices.EqualFunc(a, b, func(x, y parquet.Value) bool {
		return x.IsNull() == y.IsNull() && x.RepetitionLevel() == y.RepetitionLevel() && x.DefinitionLevel() == y.DefinitionLevel() &&
			x.Column() == y.Column() && bytes.Equal(x.Bytes(), y.Bytes())
	})
}

// checkBounds compares what is said of flat columns with their values.
func (d *drawnTable) checkBounds(t *testing.T, f *parquet.File, g, from, rows int) {
	t.Helper()
	leaf := 0
	for i := range d.vals {
		chunk := f.Metadata().RowGroups[g].Columns[leaf]
		if typ := &d.l.table[i].typ; typ.Elem == nil {
			all := boundsOf(d.vals[i][from : from+rows])
			if st := &chunk.MetaData.Statistics; !all.within(st.MinValue, st.MaxValue, st.NullCount, typ.Kind) {
				t.Errorf("row group %d, column %d: statistics %+v, values %+v", g, i, st, all)
			}
			at := leaf + g*len(f.Metadata().RowGroups[g].Columns)
			d.checkPages(t, &f.ColumnIndexes()[at], &f.OffsetIndexes()[at], i, from, rows)
		}
		leaf += leavesOf(&d.l.table[i].typ)
	}
}

func (d *drawnTable) checkPages(t *testing.T, index *format.ColumnIndex, places *format.OffsetIndex, i, from, rows int) {
	t.Helper()
	for p, place := range places.PageLocations {
		end := rows
		if p+1 < len(places.PageLocations) {
			end = int(places.PageLocations[p+1].FirstRowIndex)
		}
		if len(index.MinValues) == 0 {
			continue
		}
		page := boundsOf(d.vals[i][from+int(place.FirstRowIndex) : from+end])
		if index.NullPages[p] != (page.values == 0) || page.values > 0 && !page.within(index.MinValues[p], index.MaxValues[p], index.NullCounts[p], d.l.table[i].typ.Kind) {
			t.Errorf("column %d, page %d: %v to %v, values %+v", i, p, index.MinValues[p], index.MaxValues[p], page)
		}
	}
}

// drawnBounds are the least and greatest of some values that have an order.
type drawnBounds struct {
	low, high     event.Value
	values, nulls int
}

func boundsOf(vals []event.Value) (b drawnBounds) {
	for _, v := range vals {
		if v.IsNull() {
			b.nulls++
			continue
		}
		b.values++
		if v.Kind == event.Double && math.IsNaN(v.Double()) {
			continue
		}
		if b.low.IsNull() || less(v, b.low) {
			b.low = v
		}
		if b.high.IsNull() || less(b.high, v) {
			b.high = v
		}
	}
	return b
}

func less(a, b event.Value) bool {
	switch a.Kind {
	case event.Double:
		return a.Double() < b.Double()
	case event.String, event.Bytes, event.Decimal:
		return textOf(a) < textOf(b)
	}
	return a.Long() < b.Long()
}

func textOf(v event.Value) string {
	if v.Kind == event.Decimal {
		return v.String()
	}
	return v.Str
}

// within tells whether bounds that a file has are those of the values; none are right too where none are written.
func (b *drawnBounds) within(low, high []byte, nulls int64, kind event.Kind) bool {
	if nulls != int64(b.nulls) {
		return false
	}
	tooLong := len(textOf(b.low)) > textOfBound || len(textOf(b.high)) > textOfBound
	if b.low.IsNull() || kind == event.Bool || tooLong || len(low) == 0 {
		return (len(low) == 0 || b.low.Str == "") && (kind == event.Bool || kind == event.Double || tooLong || b.low.IsNull() || b.low.Str == "")
	}
	switch kind {
	case event.Double:
		l, h := parquet.Double.Value(low).Double(), parquet.Double.Value(high).Double()
		return cmp.Compare(l, b.low.Double()) == 0 && cmp.Compare(h, b.high.Double()) == 0 && (l != 0 || math.Signbit(l)) && (h != 0 || !math.Signbit(h))
	case event.Date:
		return int64(parquet.Int32.Value(low).Int32()) == b.low.Long() && int64(parquet.Int32.Value(high).Int32()) == b.high.Long()
	case event.String, event.Bytes, event.Decimal:
		return string(low) == textOf(b.low) && string(high) == textOf(b.high)
	}
	return parquet.Int64.Value(low).Int64() == b.low.Long() && parquet.Int64.Value(high).Int64() == b.high.Long()
}

func chunkOf(l *layout, rows int) *chunk {
	return &chunk{first: 1, rows: rows, vals: make([]series, len(l.spine))}
}

func seriesOf(vals []event.Value) (s series) {
	for _, v := range vals {
		s.append(v)
	}
	return s
}

// TestParquetOut: what is written is read, in pages and row groups that end anywhere.
func TestParquetOut(t *testing.T) {
	for seed := range uint64(sized(25, 60)) {
		checkDrawn(t, seed, int(seed*seed%700), 100+int(seed%7)*100)
	}
	for seed := uint64(100); seed < uint64(sized(101, 103)); seed++ {
		checkDrawn(t, seed, 70_000, 66_000)
	}
}

func FuzzParquetOut(f *testing.F) {
	f.Add(uint64(1), uint16(10), uint16(10))
	f.Add(uint64(2), uint16(3000), uint16(2000))
	f.Fuzz(func(t *testing.T, seed uint64, rows, group uint16) {
		checkDrawn(t, seed, int(rows)%4096, int(group)%4096+1)
	})
}

// TestDamagedParquetSpine: bytes that are not what they were give rows or an error, never a panic; and never more rows than
// values of any column.
func TestDamagedParquetSpine(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 2))
		d := drawTable(rng, 300)
		b := d.bytesOf(t, 1, 300, 200)
		for range 5 {
			bad := slices.Clone(b)
			for range 1 + rng.IntN(3) {
				bad[rng.IntN(len(bad))] ^= byte(1 << rng.IntN(8))
			}
			readDamaged(t, bad)
		}
	}
}

func readDamaged(t *testing.T, b []byte) {
	path := filepath.Join(t.TempDir(), "spine.parquet")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	sp, err := openSpine(path, path)
	if err != nil {
		return
	}
	defer func() { _ = sp.close() }()
	l := &layout{spine: sp.columns()}
	need := make([]bool, len(l.spine))
	for i, c := range l.spine {
		need[i] = !c.nested
	}
	sp.need(need)
	c := newChunk(l)
	c.most = 100
	for sp.read(c) == nil && c.rows > 0 {
		for i := range c.vals {
			if n := c.vals[i].len(); n > 0 && n != c.rows {
				t.Fatalf("column %d has %d values, not %d", i, n, c.rows)
			}
		}
		c.reset()
	}
}
