package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// exporter is FromStore or a client of a server: both must answer the same.
type exporter func(context.Context, Request) (*Report, error)

func exporters(f *fixture) map[string]exporter {
	srv := f.server(JobOptions{})
	return map[string]exporter{
		"store":  func(ctx context.Context, r Request) (*Report, error) { return FromStore(ctx, f.store, r) },
		"server": (&Client{URL: srv.URL}).Export,
	}
}

const spineCSV = `id,user_id,event_time,amount,label
1,u1,2013-01-05T10:00:00Z,25,"x, ""y"""
2,u2,2013-01-05T10:00:00+00:00,,0
3,u1,2013-01-05T10:00:00Z,25,"x, ""y"""
4,nobody,2013-01-05T10:00:00.000001Z,1,
5,u1,2013-01-05T11:30:00+01:00,1,é
`

func TestCSV(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.csv", spineCSV)
	for name, export := range exporters(f) {
		t.Run(name, func(t *testing.T) {
			out := f.out(name + ".csv")
			report, err := export(t.Context(), Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out, WithStatus: true})
			if err != nil {
				t.Fatal(err)
			}
			want := `id,user_id,event_time,amount,label,sum_1h,n_1h,last_country,last_ts,price,sum_1h__status,n_1h__status,last_country__status,last_ts__status,price__status
1,u1,2013-01-05T10:00:00Z,25,"x, ""y""",12.6,2,"a,""b""
",2013-01-05T09:50:00.000000Z,0.50,present,present,present,present,present
2,u2,2013-01-05T10:00:00+00:00,,0,3,1,,2013-01-05T09:59:00.000000Z,0.99,present,present,null,present,present
3,u1,2013-01-05T10:00:00Z,25,"x, ""y""",12.6,2,"a,""b""
",2013-01-05T09:50:00.000000Z,0.50,present,present,present,present,present
4,nobody,2013-01-05T10:00:00.000001Z,1,,,0,,,,not_found,not_found,not_found,not_found,not_found
5,u1,2013-01-05T11:30:00+01:00,1,é,12.6,2,"a,""b""
",2013-01-05T09:50:00.000000Z,0.50,present,present,present,present,present
`
			if got := f.read(out); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			// Rows 1 and 3 see an event that had not arrived: sum, count, country, time and (no) price.
			wantReport := fmt.Sprintf(`{"out":%q,"rows":5,"spine_columns":5,"features":[{"name":"sum_1h","type":"double?","nulls":1,"cells_that_differ":2},{"name":"n_1h","type":"long","nulls":0,"cells_that_differ":2},{"name":"last_country","type":"string?","nulls":2,"cells_that_differ":2},{"name":"last_ts","type":"timestamp?","nulls":1,"cells_that_differ":2},{"name":"price","type":"decimal(scale 2)?","nulls":1,"cells_that_differ":0}],"as_served":false,"cells_that_differ":8,"cut":[{"source":"tx","partition":0,"next":3}]}`, out)
			if got := asJSON(t, report); got != wantReport {
				t.Errorf("got\n%s\nwant\n%s", got, wantReport)
			}
		})
	}
	if left := f.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if dirs, _ := filepath.Glob(filepath.Join(f.dir, "penstock-export-*")); len(dirs) > 0 {
		t.Errorf("left behind: %v", dirs)
	}
}

func asJSON(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAsServed(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.csv", "when,user_id\n2013-01-05T10:00:00Z,u1\n2013-01-05T10:20:00Z,u1\n2013-01-05T10:19:59.999999Z,u1\n")
	for name, export := range exporters(f) {
		out := f.out(name + ".csv")
		report, err := export(t.Context(), Request{Selection: feature.Selection{View: "spend", Features: []string{"n_1h", "sum_1h"}}, Spine: spine, Out: out, AsServed: true})
		if err != nil {
			t.Fatal(err)
		}
		want := "when,user_id,n_1h,sum_1h\n2013-01-05T10:00:00Z,u1,1,12.5\n2013-01-05T10:20:00Z,u1,2,12.6\n2013-01-05T10:19:59.999999Z,u1,1,12.5\n"
		if got := f.read(out); got != want || report.Differ != 4 || !report.AsServed {
			t.Errorf("%s: %d differ, got\n%s\nwant\n%s", name, report.Differ, got, want)
		}
	}
}

func TestSetTakesRequestColumnsOfTheSpine(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.csv", spineCSV)
	out := f.out("out.csv")
	if _, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{Set: "fraud"}, Spine: spine, Out: out}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range f.csv(out) {
		got = append(got, strings.Join(r[5:], " "))
	}
	want := []string{"sum_1h ratio", "12.6 1.9841269841269842", "3 -1", "12.6 1.9841269841269842", " -1", "12.6 0.07936507936507936"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// spineRow is a Parquet spine of many types, in an order that is not that of the names.
type spineRow struct {
	Z     *int32            `parquet:"z,optional"`
	User  string            `parquet:"user_id"`
	Shop  int32             `parquet:"shop"`
	When  int64             `parquet:"event_time,timestamp(nanosecond)"`
	Float float32           `parquet:"f"`
	Enum  string            `parquet:"e,enum"`
	Vec   []float64         `parquet:"vec,list"`
	Tags  map[string]string `parquet:"tags,optional"`
	In    struct {
		A *int64 `parquet:"a,optional"`
		B string `parquet:"b"`
	} `parquet:"in"`
	Raw [3]byte `parquet:"raw"`
	A   bool    `parquet:"a"`
}

func parquetRows(n int) []spineRow {
	rows := make([]spineRow, n)
	base := int64(at("2013-01-05T10:00:00Z"))
	for i := range rows {
		r := &rows[i]
		if i%3 != 0 {
			r.Z = ptr(int32(-i))
		}
		r.User, r.Shop, r.When = fmt.Sprintf("u%d", i%4), int32(i%9), (base+int64(i))*1000+999
		r.Float, r.Enum, r.Raw, r.A = float32(i)/10, "E"+fmt.Sprint(i%2), [3]byte{byte(i), 1, 2}, i%2 == 0
		for j := range i % 4 {
			r.Vec = append(r.Vec, float64(j)+0.5)
		}
		if i%5 == 1 {
			r.Tags = map[string]string{"k": fmt.Sprint(i)}
		}
		if i%2 == 1 {
			r.In.A = ptr(int64(i))
		}
		r.In.B = "b" + fmt.Sprint(i)
	}
	return rows
}

func ptr[T any](v T) *T { return &v }

func writeParquet[T any](t *testing.T, path string, rows []T) {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.MaxRowsPerRowGroup(1000))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParquet(t *testing.T) {
	f := newFixture(t)
	f.some()
	const n = 30_001 // several chunks and row groups
	rows := parquetRows(n)
	spine := f.out("spine.parquet")
	writeParquet(t, spine, rows)
	var first []byte
	for workers := 1; workers <= 3; workers++ {
		out := f.out(fmt.Sprintf("out%d.parquet", workers))
		report, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out, Workers: workers, WithStatus: true})
		if err != nil {
			t.Fatal(err)
		}
		if report.Rows != n || report.SpineColumns != 11 {
			t.Errorf("report %+v", report)
		}
		b := []byte(f.read(out))
		if first == nil {
			first = b
		}
		if !bytes.Equal(b, first) {
			t.Errorf("%d workers write another file", workers)
		}
	}
	checkParquet(t, first, rows)
	sameLeaves(t, spine, f.out("out1.parquet"))
}

// sameLeaves compares the leaves of the spine with the first ones of what was written, levels and all.
func sameLeaves(t *testing.T, spine, out string) {
	t.Helper()
	read := func(path string) (rows []parquet.Row) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range file.RowGroups() {
			r := g.Rows()
			for {
				buf := make([]parquet.Row, 1)
				n, err := r.ReadRows(buf)
				for _, row := range buf[:n] {
					rows = append(rows, row.Clone())
				}
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			_ = r.Close()
		}
		return rows
	}
	want, got := read(spine), read(out)
	if len(want) != len(got) {
		t.Fatalf("%d rows of %d", len(got), len(want))
	}
	for i := range want {
		for j := range want[i] {
			w, g := want[i][j], got[i][j]
			if !parquet.DeepEqual(w, g) {
				t.Fatalf("row %d: %+v, want %+v", i, got[i], want[i])
			}
		}
	}
}

// outRow is what TestParquet reads back: the features.
type outRow struct {
	Sum     *float64 `parquet:"sum_1h,optional"`
	N       *int64   `parquet:"n_1h,optional"`
	Country *string  `parquet:"last_country,optional"`
	Last    *int64   `parquet:"last_ts,optional"`
	Price   *string  `parquet:"price,optional"`
	Status  string   `parquet:"sum_1h__status"`
}

func checkParquet(t *testing.T, b []byte, rows []spineRow) {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, fd := range file.Root().Fields() {
		names = append(names, fd.Name()+" "+fd.Type().String())
	}
	want := "z INT(32,true)|user_id STRING|shop INT(32,true)|event_time TIMESTAMP(isAdjustedToUTC=true,unit=NANOS)|f FLOAT|e STRING|vec LIST|tags MAP|in group|raw FIXED_LEN_BYTE_ARRAY(3)|a BOOLEAN|" +
		"sum_1h DOUBLE|n_1h INT(64,true)|last_country STRING|last_ts TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)|price STRING|" +
		"sum_1h__status STRING|n_1h__status STRING|last_country__status STRING|last_ts__status STRING|price__status STRING"
	if got := strings.Join(names, "|"); got != want {
		t.Errorf("columns\n%s\nwant\n%s", got, want)
	}
	r := parquet.NewGenericReader[outRow](file)
	got := make([]outRow, len(rows)+1)
	n, err := r.Read(got)
	if n != len(rows) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%d rows: %v", n, err)
	}
	for i := range rows {
		g := got[i]
		switch rows[i].User {
		case "u1":
			if *g.Sum != 12.6 || *g.N != 2 || *g.Country != "a,\"b\"\n" || *g.Last != int64(at("2013-01-05T09:50:00Z")) || *g.Price != "0.50" || g.Status != "present" {
				t.Fatalf("row %d: %s", i, asJSON(t, g))
			}
		case "u2":
			if *g.Sum != 3 || *g.N != 1 || g.Country != nil || *g.Price != "0.99" {
				t.Fatalf("row %d: %s", i, asJSON(t, g))
			}
		default:
			if g.Sum != nil || *g.N != 0 || g.Status != "not_found" {
				t.Fatalf("row %d: %s", i, asJSON(t, g))
			}
		}
	}
}

// TestTimesAreFloored: nanoseconds, an instant before 1970, and the half-open edge.
func TestTimesAreFloored(t *testing.T) {
	type row struct {
		User string `parquet:"user_id"`
		When int64  `parquet:"event_time,timestamp(nanosecond)"`
	}
	f := newFixture(t)
	f.add(tx{user: "u", ts: "2013-01-05T10:00:00Z", amount: 1})
	edge := int64(at("2013-01-05T10:00:00Z"))
	spine := f.out("spine.parquet")
	writeParquet(t, spine, []row{{"u", edge * 1000}, {"u", edge*1000 + 999}, {"u", (edge + 1) * 1000}, {"u", -1}})
	out := f.out("out.csv")
	if _, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{View: "spend", Features: []string{"n_1h"}}, Spine: spine, Out: out}); err != nil {
		t.Fatal(err)
	}
	want := "user_id,event_time,n_1h\nu,2013-01-05T10:00:00.000000Z,0\nu,2013-01-05T10:00:00.000000Z,0\nu,2013-01-05T10:00:00.000001Z,1\nu,1969-12-31T23:59:59.999999Z,\n"
	if got := f.read(out); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAvro(t *testing.T) {
	f := newFixture(t)
	f.some()
	schema := avro.MustParse(`{"type": "record", "name": "S", "fields": [
	  {"name": "b", "type": ["null", "int"]},
	  {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
	  {"name": "shop", "type": "int"},
	  {"name": "user_id", "type": ["string", "null"]},
	  {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
	  {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 3}},
	  {"name": "day", "type": {"type": "int", "logicalType": "date"}},
	  {"name": "fl", "type": "float"},
	  {"name": "tags", "type": {"type": "map", "values": "long"}},
	  {"name": "again", "type": ["null", "E"]}]}`)
	var b bytes.Buffer
	w, err := ocf.NewWriter(&b, schema, ocf.WithCodec(ocf.DeflateCodec(6)))
	if err != nil {
		t.Fatal(err)
	}
	for i, user := range []string{"u1", "u2"} {
		row := map[string]any{
			"b": nil, "at": int64(at("2013-01-05T10:00:00Z")) / 1000, "shop": int32(7), "user_id": user, "e": "Y", "d": []byte{0xff},
			"day": int32(-1), "fl": float32(0.5), "tags": map[string]any{"z": int64(1), "a": int64(2)}, "again": "X",
		}
		if i == 1 {
			row["b"] = int32(5)
		}
		if err := w.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	spine := f.write("spine.avro", b.String())
	out := f.out("out.csv")
	req := Request{Selection: feature.Selection{View: "by_shop"}, Spine: spine, Out: out}
	if _, err := FromStore(t.Context(), f.store, req); err != nil {
		t.Fatal(err)
	}
	want := "b,at,shop,user_id,e,d,day,fl,tags,again,n\n,2013-01-05T10:00:00.000000Z,7,u1,Y,-0.001,1969-12-31,0.5,\"{\"\"a\"\":2,\"\"z\"\":1}\",X,1\n5,2013-01-05T10:00:00.000000Z,7,u2,Y,-0.001,1969-12-31,0.5,\"{\"\"a\"\":2,\"\"z\"\":1}\",X,1\n"
	if got := f.read(out); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	req.Out = f.out("out.parquet")
	if _, err := FromStore(t.Context(), f.store, req); err != nil {
		t.Fatal(err)
	}
	type row struct {
		B     *int32  `parquet:"b,optional"`
		At    int64   `parquet:"at,timestamp(microsecond)"`
		Day   int32   `parquet:"day,date"`
		Float float32 `parquet:"fl"`
		Dec   string  `parquet:"d"`
		N     *int64  `parquet:"n,optional"`
	}
	got, err := parquet.ReadFile[row](req.Out)
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	if g := asJSON(t, got); g != `[{"B":null,"At":1357380000000000,"Day":-1,"Float":0.5,"Dec":"-0.001","N":1},{"B":5,"At":1357380000000000,"Day":-1,"Float":0.5,"Dec":"-0.001","N":1}]` {
		t.Error(g)
	}
}

// TestOrder: rows in = rows out, in order, over chunks and workers, each answered as a look-up would.
func TestOrder(t *testing.T) {
	f := newFixture(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	base := at("2013-01-05T00:00:00Z")
	var events []tx
	for range 3000 {
		events = append(events, tx{user: fmt.Sprint("u", rnd.IntN(50)), ts: base.Add(event.Duration(rnd.Int64N(86400)) * event.Second).String(), amount: rnd.Float64()})
	}
	f.add(events...)
	var b strings.Builder
	b.WriteString("n,user_id,event_time\n")
	n := sized(30_000, 100_000)
	for i := range n {
		fmt.Fprintf(&b, "%d,u%d,%s\n", i, rnd.IntN(60), base.Add(event.Duration(rnd.Int64N(90000))*event.Second))
	}
	spine := f.write("spine.csv", b.String())
	out := f.out("out.csv")
	if _, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{View: "spend", Features: []string{"sum_1h", "n_1h"}}, Spine: spine, Out: out, Workers: 3}); err != nil {
		t.Fatal(err)
	}
	got := f.csv(out)
	if len(got) != n+1 {
		t.Fatalf("%d rows", len(got)-1)
	}
	sel, err := f.store.Select(feature.Selection{View: "spend", Features: []string{"sum_1h", "n_1h"}})
	if err != nil {
		t.Fatal(err)
	}
	reader := f.store.NewReader()
	var v feature.Vector
	for i, row := range got[1:] {
		if row[0] != fmt.Sprint(i) {
			t.Fatalf("row %d is %v", i, row)
		}
		if i%37 != 0 {
			continue
		}
		if err := reader.Read(t.Context(), sel, []event.Value{event.StringOf(row[1])}, nil, feature.Instant{AsOf: at(row[2])}, &v); err != nil {
			t.Fatal(err)
		}
		if row[3] != v.Values[0].String() || row[4] != v.Values[1].String() {
			t.Fatalf("row %d: %v, a look-up answers %v", i, row, v.Values)
		}
	}
}

// sized is how much a test does: full in CI (PENSTOCK_FULL), few elsewhere.
func sized(few, full int) int {
	if os.Getenv("PENSTOCK_FULL") != "" {
		return full
	}
	return few
}

// TestMemory: neither the bytes nor the report depend on how many rows are answered together.
func TestMemory(t *testing.T) {
	f := newFixture(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	base := at("2013-01-05T00:00:00Z")
	var events []tx
	for range 2000 {
		events = append(events, tx{user: fmt.Sprint("u", rnd.IntN(20)), ts: base.Add(event.Duration(rnd.Int64N(86400)) * event.Second).String(), amount: rnd.Float64()})
	}
	f.add(events...)
	var b strings.Builder
	b.WriteString("n,user_id,event_time,text\n")
	for i := range sized(25_000, 70_000) {
		fmt.Fprintf(&b, "%d,u%d,%s,%s\n", i, rnd.IntN(25), base.Add(event.Duration(rnd.Int64N(90000))*event.Second), strings.Repeat("é", rnd.IntN(20)))
	}
	spine := f.write("spine.csv", b.String())
	for ext, served := range map[string]bool{".csv": true, ".parquet": false} {
		want := f.out("want" + ext)
		req := Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: want, WithStatus: true, AsServed: served}
		first, err := FromStore(t.Context(), f.store, req)
		if err != nil {
			t.Fatal(err)
		}
		req.Out, req.Memory, req.Workers = f.out("got"+ext), 1, 1
		second, err := FromStore(t.Context(), f.store, req)
		if err != nil {
			t.Fatal(err)
		}
		second.Out = first.Out
		if !reflect.DeepEqual(first, second) {
			t.Errorf("%s: with little memory the report is %+v, want %+v", ext, second, first)
		}
		if f.read(want) != f.read(req.Out) {
			t.Errorf("%s: with little memory the bytes differ", ext)
		}
		sel, err := f.store.Select(req.Selection)
		if err != nil {
			t.Fatal(err)
		}
		cut, err := cutFor(t.Context(), f.store, meaningOf(f.store, sel, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, memory := range []int64{1, 1 << 20} { // behind all else, and by several
			cfg := Config{Cut: cut, Selector: sel, Spine: spine, Out: f.out(fmt.Sprint("behind", memory, ext)), WithStatus: true, AsServed: served, Workers: 3, Behind: true, Memory: memory}
			third, err := Run(t.Context(), cfg)
			if err != nil || third.Rows != first.Rows || third.Differ != first.Differ || f.read(want) != f.read(cfg.Out) {
				t.Errorf("%s: behind all else: %v, %+v, want %+v and the same bytes", ext, err, third, first)
			}
		}
		cut.Close()
	}
}

// TestParquetEmptyGroup reads a file of Arrow with row groups of 2, 0 and 1 rows: an empty table is one group of none.
func TestParquetEmptyGroup(t *testing.T) {
	f := newFixture(t)
	f.some()
	report, err := FromStore(t.Context(), f.store, Request{
		Selection: feature.Selection{View: "spend"}, Spine: filepath.Join("testdata", "arrow-empty-group.parquet"), Out: f.out("t.csv"),
	})
	if err != nil || report.Rows != 3 {
		t.Fatalf("%v, %+v, want 3 rows", err, report)
	}
}

// TestParquetOfOthers reads what Arrow wrote: two page versions, codecs, INT96, unsigned, decimals,
// lists, structs, a column of nulls.
func TestParquetOfOthers(t *testing.T) {
	f := newFixture(t)
	f.some()
	for _, name := range []string{"arrow-v2.parquet", "arrow-int96.parquet"} {
		spine := filepath.Join("testdata", name)
		out := f.out(name)
		if _, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out}); err != nil {
			t.Fatal(err)
		}
		sameLeaves(t, spine, out)
		type row struct {
			N   *int64   `parquet:"n_1h,optional"`
			Sum *float64 `parquet:"sum_1h,optional"`
		}
		got, err := parquet.ReadFile[row](out)
		if g := asJSON(t, got); err != nil || g != `[{"N":2,"Sum":12.6},{"N":1,"Sum":3},{"N":2,"Sum":12.6},{"N":0,"Sum":null},{"N":2,"Sum":12.6}]` {
			t.Error(name, g, err)
		}
	}
}
