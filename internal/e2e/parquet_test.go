package e2e

import (
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
)

// checkParquet compares an exported Parquet file with the oracle, cell by cell, types included.
func (sp spine) checkParquet(t *testing.T, path string, served bool) {
	t.Helper()
	names, rows := readParquet(t, path)
	want := append(sp.header(), sp.columns()...)
	for _, c := range sp.columns() {
		want = append(want, c+"__status")
	}
	if strings.Join(names, "|") != strings.Join(want, "|") || len(rows) != len(sp.list) {
		t.Fatalf("%s: %d rows with columns %v, want %d with %v", path, len(rows), names, len(sp.list), want)
	}
	before := len(sp.header())
	for i, x := range sp.list {
		for k, cell := range sp.cells(i) {
			if got := rows[i][k]; got.Kind() != parquet.ByteArray || string(got.ByteArray()) != cell {
				t.Fatalf("%s: row %d carries %v, want %q", path, i+1, got, cell)
			}
		}
		answers := sp.answer(x, served)
		for k, a := range answers {
			value, status := rows[i][before+k], rows[i][before+len(answers)+k]
			if !sameParquet(value, a.Value) || string(status.ByteArray()) != a.Status {
				t.Fatalf("%s: row %d, %s of %v as of %s (as served: %v): got %v %s, want %v %s", path, i+1,
					sp.columns()[k], x.key, x.at, served, value, status, a.Value, a.Status)
			}
		}
	}
}

func readParquet(t *testing.T, path string) (names []string, rows []parquet.Row) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := parquet.NewReader(f)
	defer func() { _ = r.Close() }()
	for _, c := range r.Schema().Fields() {
		names = append(names, c.Name())
	}
	for {
		buf := make([]parquet.Row, 64)
		n, err := r.ReadRows(buf)
		for _, row := range buf[:n] {
			rows = append(rows, row.Clone())
		}
		if errors.Is(err, io.EOF) {
			return names, rows
		}
		if err != nil {
			t.Fatalf("read %s: %v", path, err)
		}
	}
}

func sameParquet(got parquet.Value, want event.Value) bool {
	if want.IsNull() || got.IsNull() {
		return want.IsNull() && got.IsNull()
	}
	switch want.Kind {
	case event.Bool:
		return got.Kind() == parquet.Boolean && got.Boolean() == want.Bool()
	case event.Long, event.Timestamp:
		return got.Kind() == parquet.Int64 && got.Int64() == want.Long()
	case event.Double:
		f := got.Double()
		return got.Kind() == parquet.Double && (math.Float64bits(f) == math.Float64bits(want.Double()) || math.IsNaN(f) && math.IsNaN(want.Double()))
	}
	return got.Kind() == parquet.ByteArray && string(got.ByteArray()) == want.String()
}
