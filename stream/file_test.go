package stream

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/linkedin/goavro/v2"
	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

func fileSourceOf(t testing.TB, path string) *pipeline.Source {
	s := testSource(t)
	s.File = &pipeline.File{Path: path}
	s.ArrivalLag = 2 * event.Second
	return s
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func zipped(t testing.TB, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

// row i of every format: user u<i>, amount i/2 or null for each third, ts i ms.
func csvFile(n int) []byte {
	b := []byte("ts,other,amount,user\n")
	for i := range n {
		amount := fmt.Sprint(float64(i) / 2)
		if i%3 == 0 {
			amount = ""
		}
		b = fmt.Appendf(b, "%s,x,%s,u%d\n", time.UnixMilli(int64(i)).UTC().Format(time.RFC3339Nano), amount, i)
	}
	return b
}

func jsonlFile(n int) []byte {
	var b []byte
	for i := range n {
		amount := fmt.Sprint(float64(i) / 2)
		if i%3 == 0 {
			amount = "null"
		}
		b = fmt.Appendf(b, `{"ts": %q, "amount": %s, "user": "u%d", "more": {"a": [1]}}`+"\n", time.UnixMilli(int64(i)).UTC().Format(time.RFC3339Nano), amount, i)
		if i%10 == 0 {
			b = append(b, " \n"...)
		}
	}
	return b
}

func avroFile(t testing.TB, n int) []byte {
	var out bytes.Buffer
	w, err := goavro.NewOCFWriter(goavro.OCFConfig{W: &out, Schema: testSchema, CompressionName: "deflate"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var amount any = map[string]any{"double": float64(i) / 2}
		if i%3 == 0 {
			amount = nil
		}
		if err := w.Append([]any{map[string]any{"user": fmt.Sprintf("u%d", i), "amount": amount, "ts": time.UnixMilli(int64(i))}}); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

type parquetTx struct {
	User   string    `parquet:"user"`
	Amount *float32  `parquet:"amount,optional"`
	TS     time.Time `parquet:"ts,timestamp(nanosecond)"`
	Other  []int64   `parquet:"other,list"`
}

func parquetFile(t testing.TB, n int) []byte {
	var out bytes.Buffer
	w := parquet.NewGenericWriter[parquetTx](&out, parquet.MaxRowsPerRowGroup(700), parquet.PageBufferSize(500), parquet.Compression(&parquet.Zstd))
	for i := range n {
		row := parquetTx{User: fmt.Sprintf("u%d", i), TS: time.UnixMilli(int64(i)), Other: make([]int64, i%3)}
		if v := float32(i) / 2; i%3 != 0 {
			row.Amount = &v
		}
		if _, err := w.Write([]parquetTx{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readFiles reads a source to its end.
func readFiles(t *testing.T, plan *pipeline.Plan, rec *recorder) {
	t.Helper()
	r := start(t, Config{Plan: plan}, rec)
	eventually(t, "the end", func() bool {
		select {
		case err := <-r.done:
			t.Fatal(err)
		default:
		}
		return r.Status()[0].Done
	})
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	const n = 1300
	for name, content := range map[string][]byte{
		"a.csv": csvFile(n), "a.csv.gz": zipped(t, csvFile(n)), "a.csv.zst": zstandard(t, csvFile(n)),
		"a.jsonl": jsonlFile(n), "a.jsonl.gz": zipped(t, jsonlFile(n)),
		"a.avro": avroFile(t, n), "a.avro.zst": zstandard(t, avroFile(t, n)),
		"a.parquet": parquetFile(t, n),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, name), content)
			plan := testPlan(fileSourceOf(t, name))
			plan.Path = filepath.Join(dir, "pipeline.yaml")
			rec := newRecorder()
			readFiles(t, plan, rec)
			check := func(s recorded, from int) {
				t.Helper()
				if len(s.got) != n-from || s.at != n || !s.atEnd || s.left != 1 {
					t.Fatalf("%d rows, ended at %d (%v), left %d times, want %d rows", len(s.got), s.at, s.atEnd, s.left, n-from)
				}
				for j, g := range s.got {
					i := j + from
					want := float64(i) / 2
					if g.offset != int64(i) || g.reason != "" || g.slots[0].Str != fmt.Sprintf("u%d", i) || g.slots[2].Time() != event.Time(i)*1000 ||
						g.slots[1].IsNull() != (i%3 == 0) || i%3 != 0 && g.slots[1].Double() != want {
						t.Fatalf("row %d: got %+v", i, g)
					}
					if g.arrival != int64(i)*1000+2e6 || event.Time(g.ts) != event.MinTime {
						t.Fatalf("row %d arrived at %d", i, g.arrival)
					}
				}
			}
			check(rec.snapshot("tx", 0), 0)
			mark := rec.snapshot("tx", 0).meta
			sum := sha256.Sum256(content)
			if m, ok := feature.ParseFileMark(mark); !ok || m.Name != name || m.Rows != n || m.SHA256 != hex.EncodeToString(sum[:]) {
				t.Errorf("mark %q", mark)
			}

			// A crash after 1,234 rows were durable.
			again := newRecorder()
			p := again.of("tx", 0)
			p.next, p.stored, p.meta = 1234, true, strings.Join(strings.Split(mark, "\n")[:2], "\n")
			readFiles(t, plan, again)
			check(again.snapshot("tx", 0), 1234)
			if got := again.snapshot("tx", 0).meta; got != mark {
				t.Errorf("mark %q, and %q after a restart", mark, got)
			}

			// After the end nothing is read again.
			third := rec.restart()
			readFiles(t, plan, third)
			if s := third.snapshot("tx", 0); len(s.got) != 0 || s.at != n || !s.atEnd || s.left != 1 {
				t.Fatalf("read again: %d rows, ended at %d", len(s.got), s.at)
			}

			// Nor of a state that did not keep the hash.
			old := rec.restart()
			old.of("tx", 0).meta = strings.Join(strings.Split(mark, "\n")[:3], "\n")
			readFiles(t, plan, old)
			if s := old.snapshot("tx", 0); len(s.got) != 0 || s.at != n {
				t.Fatalf("read again: %d rows, ended at %d", len(s.got), s.at)
			}
		})
	}
}

func TestFilesInOrder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.csv", "B.csv", "a10.csv", "a9.csv"} {
		writeFile(t, filepath.Join(dir, name), []byte("user,amount,ts\n"+name+",1,2013-01-05T10:00:00Z\n"))
	}
	plan := testPlan(fileSourceOf(t, filepath.Join(dir, "*.csv")))
	rec := newRecorder()
	readFiles(t, plan, rec)
	var names []string
	for i := range int32(4) {
		names = append(names, rec.snapshot("tx", i).got[0].slots[0].Str)
	}
	if want := []string{"B.csv", "a10.csv", "a9.csv", "b.csv"}; !slices.Equal(names, want) {
		t.Fatalf("read %v, want %v", names, want)
	}

	// A file that sorts behind is read; anything else is an error that says why.
	add := filepath.Join(dir, "c.csv")
	writeFile(t, add, []byte("user,amount,ts\nc,1,2013-01-05T10:00:00Z\n"))
	next := rec.restart()
	readFiles(t, plan, next)
	if next.total() != 1 {
		t.Fatalf("%d rows of the new file", next.total())
	}
	fails := func(want string) {
		t.Helper()
		err := start(t, Config{Plan: plan}, next.restart()).wait(t)
		var fe *FileError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), want) || fe.Hint() == "" {
			t.Fatalf("got %v, want that it %s", err, want)
		}
	}
	writeFile(t, filepath.Join(dir, "A.csv"), []byte("user,amount,ts\n"))
	fails("stands where B.csv stood")
	if err := os.Remove(filepath.Join(dir, "A.csv")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "a9.csv"), []byte("user,amount,ts\na9,2,2013-01-05T10:00:00Z\n"))
	fails("changed after it was read")
	writeFile(t, filepath.Join(dir, "a9.csv"), []byte("user,amount,ts\na9.csv,1,2013-01-05T10:00:00Z\n"))
	if err := os.Remove(add); err != nil {
		t.Fatal(err)
	}
	fails("gone")
}

// badAvroFile has a text that is none in its second row, and an instant that no one can write in its third.
func badAvroFile(t testing.TB) []byte {
	var out bytes.Buffer
	plain := strings.Replace(testSchema, `{"type":"long","logicalType":"timestamp-millis"}`, `"long"`, 1)
	w, err := goavro.NewOCFWriter(goavro.OCFConfig{W: &out, Schema: plain})
	if err != nil {
		t.Fatal(err)
	}
	var rows []any
	for _, r := range []struct {
		user string
		ts   int64
	}{{"a", 1}, {"\xff", 1}, {"b", math.MaxInt64}, {"c", 2}} {
		rows = append(rows, map[string]any{"user": r.user, "amount": map[string]any{"double": 1.0}, "ts": r.ts})
	}
	if err := w.Append(rows); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFileBadRows(t *testing.T) {
	long := `{"user": "` + strings.Repeat("x", maxLine) + `"}`
	for name, tc := range map[string]struct {
		content string
		want    []string // detail of each row, "" if it is good
		raw     string   // of the first bad row
	}{
		"a.csv": {
			"user,amount,ts\r\na,1,2013-01-05T10:00:00Z\r\nb,x,2013-01-05T10:00:00Z\r\nc,1\r\nd,1,2013-01-05T10:00:00\r\n\"e\ne\",,2013-01-05T10:00:00+01:00\r\nf\"g,1,2013-01-05T10:00:00Z\r\nh,NaN,2013-01-05T10:00:00Z\r\n,1,\r\n",
			[]string{"", `"amount"`, "2 fields", "zone", "", "quote", "", "nullable"},
			"b,x,2013-01-05T10:00:00Z",
		},
		"b.jsonl": {
			`{"user":"a","ts":"2013-01-05T10:00:00Z"}` + "\n" + `{"user":1,"ts":"2013-01-05T10:00:00Z"}` + "\n[]\n{\n" + `{"user":"a"}` + "\n" + long + "\n" +
				`{"user":"a","amount":"NaN","ts":"2013-01-05T10:00:00Z"} x` + "\n" + `{"user":"a","amount":1e400,"ts":"2013-01-05T10:00:00Z"}` + "\n" + `{"user":"z","amount":1,"ts":"2013-01-05T10:00:00Z"}`,
			[]string{"", "number is no string", "array, not an object", "not JSON", "missing", "longer than", "more behind", "no double", ""},
			`{"user":1,"ts":"2013-01-05T10:00:00Z"}`,
		},
		"c.avro": { // as long as their ends can be found
			string(badAvroFile(t)),
			[]string{"", "UTF-8", "64 bits", ""},
			"\x02\xff\x02\x00\x00\x00\x00\x00\x00\xf0\x3f\x02",
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			writeFile(t, path, []byte(tc.content))
			rec := newRecorder()
			readFiles(t, testPlan(fileSourceOf(t, path)), rec)
			s := rec.snapshot("tx", 0)
			if len(s.got) != len(tc.want) {
				t.Fatalf("%d rows, want %d: %+v", len(s.got), len(tc.want), s.got)
			}
			first := true
			for i, g := range s.got {
				bad := g.reason == "decode"
				if bad != (tc.want[i] != "") || !strings.Contains(g.detail, tc.want[i]) {
					t.Errorf("row %d: %s %q, want %q", i, g.reason, g.detail, tc.want[i])
				}
				if bad && first && g.value != tc.raw {
					t.Errorf("row %d: raw %q, want %q", i, g.value, tc.raw)
				}
				first = first && !bad
			}
		})
	}
}

func TestFileErrors(t *testing.T) {
	pq := parquetFile(t, 500)
	for name, tc := range map[string]struct{ content, want string }{
		"none.csv":      {"", "empty"},
		"header.csv":    {"user,amount\n", `"ts" is not in the header row`},
		"twice.csv":     {"user,ts,ts\n", "twice"},
		"open.csv":      {"user,amount,ts\n\"" + strings.Repeat("x", 2*maxLine), "quote"},
		"a.txt":         {"x", "format"},
		"no.avro":       {"x", "container"},
		"no.parquet":    {"x", ""},
		"a.parquet.gz":  {"x", "unpack it"},
		"a.csv.gz":      {"x", "gzip"},
		"part.avro":     {string(avroFile(t, 500)[:710]), ""},
		"part.parquet":  {string(pq[len(pq)/2:]), ""},
		"cut.csv.gz":    {string(zipped(t, csvFile(5000))[:3000]), ""},
		"wrong.parquet": {string(wrongParquet(t)), "cannot be read as"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			writeFile(t, path, []byte(tc.content))
			err := start(t, Config{Plan: testPlan(fileSourceOf(t, path))}, newRecorder()).wait(t)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), name) {
				t.Fatalf("got %v, want %q and the file's name", err, tc.want)
			}
		})
	}
	err := start(t, Config{Plan: testPlan(fileSourceOf(t, filepath.Join(t.TempDir(), "*.csv")))}, newRecorder()).wait(t)
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Fatalf("got %v", err)
	}
}

// TestFileTimes: an event whose time, or the instant behind it, no answer could write is a dead letter.
func TestFileTimes(t *testing.T) {
	last := time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).Add(-2 * time.Second) // it arrives two seconds later
	times := []time.Time{
		time.UnixMilli(0), last, last.Add(time.Millisecond), last.Add(time.Hour), time.Date(200_000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 12, 31, 23, 59, 59, 999e6, time.UTC),
	}
	var b bytes.Buffer
	w, err := goavro.NewOCFWriter(goavro.OCFConfig{W: &b, Schema: testSchema})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range times {
		if err := w.Append([]any{map[string]any{"user": "u", "amount": nil, "ts": at}}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "e.avro")
	writeFile(t, path, b.Bytes())
	src := fileSourceOf(t, path)
	rec := newRecorder()
	readFiles(t, testPlan(src), rec)
	got := rec.snapshot(src.Name, 0).got
	if len(got) != len(times) {
		t.Fatalf("%d of %d rows", len(got), len(times))
	}
	for i, x := range got {
		dead := i >= 2 && i != 5
		if (x.reason == "time") != dead || dead != strings.Contains(x.detail, "years 0 to 9999") {
			t.Errorf("an event of %s: reason %q, %s", times[i], x.reason, x.detail)
		}
	}
}

func wrongParquet(t *testing.T) []byte {
	var out bytes.Buffer
	type row struct {
		User string `parquet:"user"`
		TS   int64  `parquet:"ts"`
	}
	w := parquet.NewGenericWriter[row](&out)
	if _, err := w.Write([]row{{"a", 1}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestParseText(t *testing.T) {
	list := event.Type{Kind: event.List, Elem: &event.Type{Kind: event.Long}}
	dict := event.Type{Kind: event.Map, Elem: &event.Type{Kind: event.Double, Nullable: true}}
	for _, tc := range []struct {
		t    event.Type
		in   string
		want string // Value.String; "!" is an error
	}{
		{event.Type{Kind: event.Bool}, "true", "true"},
		{event.Type{Kind: event.Bool}, "1", "!"},
		{event.Type{Kind: event.Long}, "-9223372036854775808", "-9223372036854775808"},
		{event.Type{Kind: event.Long}, "9223372036854775808", "!"},
		{event.Type{Kind: event.Long}, "1.0", "!"},
		{event.Type{Kind: event.Double}, "-0", "0"},
		{event.Type{Kind: event.Double}, "-Infinity", "-Infinity"},
		{event.Type{Kind: event.Double}, "0x1p3", "!"},
		{event.Type{Kind: event.Bytes}, "AAE=", "AAE="},
		{event.Type{Kind: event.Bytes}, "!!", "!"},
		{event.Type{Kind: event.Timestamp}, "1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"},
		{event.Type{Kind: event.Timestamp}, "2013-01-05T10:00:00-05:00", "2013-01-05T15:00:00.000000Z"},
		{event.Type{Kind: event.Timestamp}, "2013-01-05 10:00", "!"},
		{event.Type{Kind: event.LocalTimestamp}, "2013-01-05T10:00:00.5", "2013-01-05T10:00:00.500000"},
		{event.Type{Kind: event.Date}, "1969-12-31", "1969-12-31"},
		{event.Type{Kind: event.Date}, "2013-02-30", "!"},
		{event.Type{Kind: event.TimeOfDay}, "23:59:59.999999", "23:59:59.999999"},
		{event.Type{Kind: event.Decimal, Scale: 2}, "-12.3", "-12.30"},
		{event.Type{Kind: event.Decimal, Scale: 2}, ".05", "0.05"},
		{event.Type{Kind: event.Decimal, Scale: 2}, "1.234", "!"},
		{event.Type{Kind: event.Decimal, Scale: 2}, "1e3", "!"},
		{event.Type{Kind: event.Decimal, Scale: 2}, "-", "!"},
		{list, "[1, 2]", "[1,2]"},
		{list, "[1.5]", "!"},
		{list, "[1] [2]", "!"},
		{dict, `{"b": null, "a": 1}`, `{"a":1,"b":null}`},
	} {
		v, err := parseText(tc.in, tc.t)
		if err != nil && tc.want == "!" {
			continue
		}
		if err != nil || v.String() != tc.want || v.Kind != tc.t.Kind {
			t.Errorf("%s %q: got %s %q, %v, want %q", tc.t, tc.in, v.Kind, v, err, tc.want)
		}
	}
}

// FuzzRows: no text crashes a reader, and every reader comes to an end.
func FuzzRows(f *testing.F) {
	f.Add(csvFile(5), true)
	f.Add(jsonlFile(5), false)
	src := fileSourceOf(f, "x")
	f.Fuzz(func(t *testing.T, b []byte, isCSV bool) {
		fs := &fileSource{src: src}
		open := fs.openJSONL
		if isCSV {
			open = fs.openCSV
		}
		rows, err := open(&packedFile{bytes.NewReader(b), func() error { return nil }})
		if err != nil {
			return
		}
		defer rows.close()
		slots := make([]event.Value, len(src.Columns))
		for n := 0; ; n++ {
			err := rows.read(slots)
			var bad *badRow
			if err != nil && !errors.As(err, &bad) {
				return
			}
			if n > len(b) {
				t.Fatalf("%d rows of %d bytes", n, len(b))
			}
		}
	})
}

// A file that grows without end stops with the context.
func TestFileStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	writeFile(t, path, csvFile(100_000))
	rec := newRecorder()
	rec.block = make(chan struct{})
	r := start(t, Config{Plan: testPlan(fileSourceOf(t, path))}, rec)
	eventually(t, "some rows", func() bool { return rec.total() > 0 })
	began := time.Now()
	if err := r.end(); err != nil || errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if time.Since(began) > 5*time.Second || rec.total() >= 100_000 {
		t.Fatal("read on")
	}
}

func TestInt96Time(t *testing.T) {
	day := uint32(2440588) // 1970-01-01
	for _, c := range []struct {
		v    [3]uint32
		want string
	}{
		{[3]uint32{0, 0, day}, "1970-01-01T00:00:00.000000Z"},
		{[3]uint32{1999, 0, day - 1}, "1969-12-31T00:00:00.000001Z"},
		{[3]uint32{uint32(86399999999999 & 0xffffffff), uint32(86399999999999 >> 32), day + 15999}, "2013-10-21T23:59:59.999999Z"},
	} {
		if got := int96Time(c.v).String(); got != c.want {
			t.Errorf("%v is %s, want %s", c.v, got, c.want)
		}
	}
}
