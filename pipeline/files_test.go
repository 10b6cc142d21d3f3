package pipeline

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/penstock-ml/penstock/event"
)

const fileView = `
entities: {user: {user_id: string}}
views: {v: {source: s, entity: user, features: {n: {count: "*", window: 1h}, m: {max: %s}}}}
`

// compileIn writes a pipeline file into dir and loads it.
func compileIn(t *testing.T, dir, source, column string) (*Plan, string) {
	t.Helper()
	path := filepath.Join(dir, "p.yaml")
	text := "pipeline: p\nsources: {s: " + source + "}" + fmt.Sprintf(fileView, column)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	plan, diags := Load(path, Options{Env: checkEnv})
	return plan, diags.String()
}

func writeAvro(t *testing.T, path string, pack bool) {
	t.Helper()
	var b bytes.Buffer
	w, err := goavro.NewOCFWriter(goavro.OCFConfig{W: &b, Schema: transactionsSchema})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append([]any{}); err != nil {
		t.Fatal(err)
	}
	out := b.Bytes()
	if pack {
		var z bytes.Buffer
		g := gzip.NewWriter(&z)
		if _, err := g.Write(out); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		out = z.Bytes()
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestContainerFilesBringTheirSchema(t *testing.T) {
	dir := t.TempDir()
	writeAvro(t, filepath.Join(dir, "b.avro"), false)
	writeAvro(t, filepath.Join(dir, "c.avro.gz"), true)
	for glob, format := range map[string]string{"*.avro": "avro", "c*": "", "*.avro.gz": "avro"} {
		plan, text := compileIn(t, dir, "{file: {path: '"+glob+"'}, time: ts}", "amount")
		if plan == nil {
			t.Fatalf("%s:\n%s", glob, text)
		}
		s := plan.Sources[0]
		if s.File.Path != glob || s.File.Format != format || fmt.Sprint(s.Columns) != "[{user_id string} {amount double} {ts timestamp}]" {
			t.Errorf("%s: %+v, columns %v", glob, s.File, s.Columns)
		}
	}
}

func TestParquetFilesBringTheirSchema(t *testing.T) {
	type device struct {
		OS    string   `parquet:"os"`
		Score *float64 `parquet:"score,optional"`
	}
	type row struct {
		User   string           `parquet:"user_id"`
		Amount float64          `parquet:"amount"`
		Count  int32            `parquet:"count"`
		Big    int64            `parquet:"big,optional"`
		Small  uint32           `parquet:"small"`
		Huge   uint64           `parquet:"huge"`
		Float  float32          `parquet:"float"`
		Ok     bool             `parquet:"ok"`
		Raw    []byte           `parquet:"raw"`
		Time   time.Time        `parquet:"ts,timestamp(microsecond)"`
		Nanos  int64            `parquet:"nanos,timestamp(nanosecond)"`
		Day    int32            `parquet:"day,date"`
		Price  int64            `parquet:"price,decimal(2:12)"`
		ID     [16]byte         `parquet:"id,uuid"`
		Kind   string           `parquet:"kind,enum"`
		Spaced string           `parquet:"a b"`
		Tags   []string         `parquet:"tags,list"`
		Spark  deprecated.Int96 `parquet:"spark"`
		Device device           `parquet:"device"`
	}
	dir := t.TempDir()
	if err := parquet.WriteFile(filepath.Join(dir, "a.parquet"), []row{{User: "u"}}); err != nil {
		t.Fatal(err)
	}
	plan, text := compileIn(t, dir, "{file: {path: a.parquet}, time: ts}", "device.score")
	if plan == nil {
		t.Fatal(text)
	}
	want := map[string]string{
		"user_id": "string", "amount": "double", "count": "long", "big": "long?", "small": "long", "huge": "",
		"float": "double", "ok": "boolean", "raw": "bytes", "ts": "timestamp", "nanos": "timestamp", "day": "date",
		"price": "decimal(scale 2)", "id": "string", "kind": "string", "a b": "", "tags": "", "spark": "timestamp", "device.os": "string",
		"device.score": "double?",
	}
	schema := plan.Sources[0].Schema
	for name, typ := range want {
		got, ok := schema.Field(name)
		if ok != (typ != "") || ok && got.String() != typ {
			t.Errorf("%s: %s, want %s", name, got, typ)
		}
	}
}

func TestTextFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"e.avsc": transactionsSchema, "x.csv": "user_id\n", "bad.parquet": "PAR1 not PAR1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plan, text := compileIn(t, dir, "{file: {path: x.csv}, schema: {file: e.avsc}, time: ts, arrival_lag: 2h}", "amount")
	if plan == nil || text != "" || plan.Sources[0].ArrivalLag != 2*event.Hour {
		t.Errorf("plan %v:\n%s", plan != nil, text)
	}
	_, text = compileIn(t, dir, "{file: {path: bad.parquet}, time: ts}", "amount")
	if !strings.Contains(text, "not a Parquet file") {
		t.Error(text)
	}
}
