package workload

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/parquet-go/parquet-go"
)

// TestWriteFiles reads both formats with other readers and compares them with the events.
func TestWriteFiles(t *testing.T) {
	dir, o := t.TempDir(), Options{Events: 8000, Users: 900}
	rows, err := WriteFiles(dir, 3, o)
	if err != nil {
		t.Fatal(err)
	}
	want := make([][]row, 3)
	for e := range Events(o) {
		i := e.User % 3
		want[i] = append(want[i], row{UserID(e.User), string(e.AppendMerchantID(nil)), e.Amount, e.Country, e.CardPresent, e.Time.UnixMilli()})
	}
	for i, name := range []string{"00", "01", "02"} {
		if rows[i] != int64(len(want[i])) {
			t.Errorf("file %s: %d rows, want %d", name, rows[i], len(want[i]))
		}
		got, err := parquet.ReadFile[row](filepath.Join(dir, name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		equalRows(t, name+".parquet", got, want[i])
		equalRows(t, name+".avro", readAvro(t, filepath.Join(dir, name+".avro")), want[i])
	}
}

func equalRows(t *testing.T, name string, got, want []row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", name, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: row %d is %+v, want %+v", name, i, got[i], want[i])
		}
	}
}

func readAvro(t *testing.T, path string) (out []row) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := goavro.NewOCFReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r.Scan() {
		v, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		m := v.(map[string]any)
		out = append(out, row{
			m["user_id"].(string), m["merchant_id"].(string), m["amount"].(float64), m["country"].(string), m["card_present"].(bool),
			m["ts"].(interface{ UnixMilli() int64 }).UnixMilli(),
		})
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
