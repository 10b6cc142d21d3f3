package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro/ocf"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// TestJSONL: a line for each row, values as look-ups answer them, and back as a spine.
func TestJSONL(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.jsonl", `{"id": 1, "user_id": "u1", "event_time": "2013-01-05T10:00:00Z", "x": 0.5, "ok": true, "any": {"b": [1, "}"]}}

 {"event_time":"2013-01-05T10:00:00Z","user_id":"nob\u006fdy","id":9007199254740993,"any":"te\"xt","later":null}
{"id": -3, "user_id": "u2", "event_time": "2013-01-05T10:00:00Z", "x": 2, "later": [ ]}
`)
	out := f.out("out.jsonl")
	if _, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out, WithStatus: true}); err != nil {
		t.Fatal(err)
	}
	want := `{"id":1,"user_id":"u1","event_time":"2013-01-05T10:00:00Z","x":0.5,"ok":true,"any":"{\"b\": [1, \"}\"]}","later":null,"sum_1h":12.6,"n_1h":2,"last_country":"a,\"b\"\n","last_ts":"2013-01-05T09:50:00.000000Z","price":"0.50","sum_1h__status":"present","n_1h__status":"present","last_country__status":"present","last_ts__status":"present","price__status":"present"}
{"id":9007199254740993,"user_id":"nobody","event_time":"2013-01-05T10:00:00Z","x":null,"ok":null,"any":"te\"xt","later":null,"sum_1h":null,"n_1h":0,"last_country":null,"last_ts":null,"price":null,"sum_1h__status":"not_found","n_1h__status":"not_found","last_country__status":"not_found","last_ts__status":"not_found","price__status":"not_found"}
{"id":-3,"user_id":"u2","event_time":"2013-01-05T10:00:00Z","x":2,"ok":null,"any":null,"later":"[ ]","sum_1h":3,"n_1h":1,"last_country":null,"last_ts":"2013-01-05T09:59:00.000000Z","price":"0.99","sum_1h__status":"present","n_1h__status":"present","last_country__status":"null","last_ts__status":"present","price__status":"present"}
`
	if got := f.read(out); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestAvroOut: what goavro and another decoder read is what JSONL says.
func TestAvroOut(t *testing.T) {
	store, dir := richStore(t)
	spine := filepath.Join(dir, "spine.csv")
	if err := os.WriteFile(spine, []byte(richSpine(300)), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(ext string) []byte {
		t.Helper()
		out := filepath.Join(dir, "out."+ext)
		if _, err := FromStore(t.Context(), store, Request{Selection: feature.Selection{View: "v"}, Spine: spine, Out: out, WithStatus: true}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	file := read("avro")
	var want []map[string]any
	for _, line := range strings.Split(strings.TrimSpace(string(read("jsonl"))), "\n") {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		want = append(want, row)
	}
	r, err := goavro.NewOCFReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; r.Scan(); n++ {
		row, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range row.(map[string]any) {
			if got, want := asJSON(t, jsonOf(name, v)), asJSON(t, want[n][name]); got != want {
				t.Fatalf("goavro: row %d: %s: %s, want %s", n, name, got, want)
			}
		}
	}
	if r.Err() != nil || n != len(want) {
		t.Fatalf("goavro reads %d rows of %d: %v", n, len(want), r.Err())
	}
	second, err := ocf.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for n = 0; ; n++ {
		var row any
		if err := second.Decode(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if got := row.(map[string]any)["n_sum"]; fmt.Sprint(got) != fmt.Sprint(toLong(want[n]["n_sum"])) {
			t.Fatalf("row %d: n_sum %v, want %v", n, got, want[n]["n_sum"])
		}
	}
	if n != len(want) {
		t.Errorf("%d rows of %d", n, len(want))
	}
}

func toLong(v any) any {
	if f, ok := v.(float64); ok {
		return int64(f)
	}
	return v
}

// TestFormatMistakes: what an extension promises and a format cannot hold is told before anything is written.
func TestFormatMistakes(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.csv", spineCSV)
	odd := f.write("odd.csv", "user id,user_id,event_time\n1,u1,2013-01-05T10:00:00Z\n")
	for _, c := range []struct{ spine, out, want string }{
		{spine, "out.xlsx", "the extension tells no format to write"},
		{spine, "out.parquet.gz", "only .csv and .jsonl may be compressed as a whole"},
		{spine, "out.gz", "the extension tells no format"},
		{odd, "out.avro", `column "user id" cannot be a field of Avro`},
		{f.write("a.jsonl", "[1]\n"), "out.csv", "row 1: the line is not an object"},
		{f.write("b.jsonl", `{"a":1,"a":2}`), "out.csv", `row 1: the member "a" comes twice`},
		{f.write("c.jsonl", "{\"a\":1}\n{\"a\":\n"), "out.csv", "row 2: the line is not JSON"},
		{f.write("d.jsonl", "\n\n"), "out.csv", "is empty"},
		{f.write("e.jsonl", "{\"a\":\"\xff\"}"), "out.csv", "row 1: the line is not UTF-8"},
		{f.write("f.csv.gz", "no gzip"), "out.csv", "read gzip"},
		{f.write("g.jsonl.zst", "no zstd"), "out.csv", "row 1"},
		{f.write("h.arrow", "ARROW1 and then nothing of the kind"), "out.csv", "is not an Arrow IPC file"},
		{f.write("i.arrow", "nothing of the kind"), "out.csv", "is neither an Arrow IPC file nor a stream"},
		{f.write("j.arrow", ""), "out.csv", "is neither an Arrow IPC file nor a stream"},
	} {
		_, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{View: "spend"}, Spine: c.spine, Out: f.out(c.out)})
		var own *Error
		if !errors.As(err, &own) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s: %v, want %s", filepath.Base(c.spine), c.out, err, c.want)
		}
	}
	if left := f.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSameBytes: no format's bytes depend on the number of workers, or on when they were written.
func TestSameBytesOfEachFormat(t *testing.T) {
	store, dir := richStore(t)
	spine := filepath.Join(dir, "spine.csv")
	if err := os.WriteFile(spine, []byte(richSpine(sized(20_000, 70_000))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ext := range []string{"parquet", "arrow", "avro", "csv.zst", "jsonl.gz"} {
		var first []byte
		for _, workers := range []int{1, 3} {
			out := filepath.Join(dir, fmt.Sprintf("out%d.%s", workers, ext))
			req := Request{Selection: feature.Selection{View: "v", Features: []string{"n_1h", "mean_vec"}}, Spine: spine, Out: out, Workers: workers}
			if _, err := FromStore(t.Context(), store, req); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = b
			}
			if !bytes.Equal(b, first) {
				t.Errorf("%s: %d workers write another file", ext, workers)
			}
		}
	}
}

// jsonOf is a value of goavro as look-ups would answer it.
func jsonOf(name string, v any) any {
	switch x := v.(type) {
	case map[string]any:
		for typ, inner := range x { // a union has one member, named by its type
			if len(x) == 1 && unionNames[typ] {
				return jsonOf(name, inner)
			}
		}
		out := map[string]any{}
		for k, e := range x {
			out[k] = jsonOf(name, e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = jsonOf(name, e)
		}
		return out
	case float64:
		switch {
		case math.IsNaN(x):
			return "NaN"
		case math.IsInf(x, 0):
			return map[bool]string{true: "Infinity", false: "-Infinity"}[x > 0]
		}
	}
	return goavroTime(name, v)
}

var unionNames = map[string]bool{
	"boolean": true, "long": true, "double": true, "string": true, "bytes": true, "array": true, "map": true,
	"int.date": true, "long.time-micros": true, "long.timestamp-micros": true, "long.local-timestamp-micros": true,
}

// goavroTime writes the other values as look-ups do.
func goavroTime(name string, v any) any {
	switch x := v.(type) {
	case []byte:
		return event.BytesOf(x).String()
	case time.Duration:
		return event.Value{Kind: event.TimeOfDay, Num: uint64(x.Microseconds())}.String()
	case time.Time:
		switch name {
		case "last_day":
			return x.Format(time.DateOnly)
		case "last_wall":
			return event.Value{Kind: event.LocalTimestamp, Num: uint64(x.UnixMicro())}.String()
		}
		return event.FromGo(x).String()
	case int64:
		if name == "last_wall" { // a logical type that goavro does not know
			return event.Value{Kind: event.LocalTimestamp, Num: uint64(x)}.String()
		}
	}
	return v
}
