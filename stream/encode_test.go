package stream

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

// wide has a field f of a type.
func wide(typ string) string {
	return `{"type":"record","name":"n.R","fields":[{"name":"f","type":` + typ + `}]}`
}

// stored decodes a datum by an independent implementation and writes it as Avro's JSON.
func stored(t testing.TB, schema string, datum []byte) string {
	t.Helper()
	s, err := avro.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	rest, err := s.Decode(datum, &v)
	if err != nil || len(rest) > 0 {
		t.Fatalf("decode %x: %v, %d bytes left", datum, err, len(rest))
	}
	text, err := s.EncodeJSON(v, avro.TaggedUnions())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func encodeRow(t testing.TB, schema string, row map[string]any) ([]byte, error) {
	t.Helper()
	e, err := newEncoder(parseSchema(t, schema), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e.encode(nil, row)
}

// TestEncodeValues encodes one value of each type, from CSV and from JSON, and compares what is stored.
func TestEncodeValues(t *testing.T) {
	const (
		money    = `{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}`
		fixed    = `{"type":"fixed","name":"D","size":4,"logicalType":"decimal","precision":9,"scale":2}`
		millis   = `{"type":"long","logicalType":"timestamp-millis"}`
		nanos    = `{"type":"long","logicalType":"timestamp-nanos"}`
		local    = `{"type":"long","logicalType":"local-timestamp-micros"}`
		enum     = `{"type":"enum","name":"E","symbols":["A","B"]}`
		inner    = `{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}`
		optional = `["null","double"]`
	)
	for _, tc := range []struct{ typ, text, json, want string }{ // json empty: none fits; want after !: of the error
		{`"boolean"`, "true", "true", `true`},
		{`"boolean"`, "1", "1", `!boolean`},
		{`"int"`, "-2147483648", "-2147483648", `-2147483648`},
		{`"int"`, "2147483648", "2147483648", `!beyond the 32 bits`},
		{`"long"`, "9223372036854775807", "9223372036854775807", `9223372036854775807`},
		{`"long"`, "1.5", "1.5", `!no long`},
		{`"long"`, "", "null", `!not nullable`},
		{`"float"`, "1.5", "1.5", `1.5`},
		{`"float"`, "1e300", "1e300", `!beyond a float`},
		{`"double"`, "-0.1", "-0.1", `-0.1`},
		{`"string"`, "Zoë", `"Zoë"`, `"Zoë"`},
		{`"string"`, "", `""`, `""`},
		{`"string"`, "\xff", "", `!not UTF-8`},
		{`"bytes"`, "AP8=", `"AP8="`, `"\u0000\u00ff"`},
		{`{"type":"fixed","name":"F","size":2}`, "AP8=", `"AP8="`, `"\u0000\u00ff"`},
		{`{"type":"fixed","name":"F","size":3}`, "AP8=", `"AP8="`, `!2 bytes`},
		{enum, "B", `"B"`, `"B"`},
		{enum, "C", `"C"`, `!no symbol`},
		{money, "-12.34", "-12.34", `"\u00fb."`},
		{money, "12345.67", "12345.67", `!precision`},
		{money, "0.001", "0.001", `!scale`},
		{fixed, "0", "0", `"\u0000\u0000\u0000\u0000"`},
		{fixed, "-0.01", `"-0.01"`, `"\u00ff\u00ff\u00ff\u00ff"`},
		{fixed, "1.28", "1.28", `"\u0000\u0000\u0000\u0080"`},
		{`{"type":"int","logicalType":"date"}`, "1969-12-31", `"1969-12-31"`, `-1`},
		{`{"type":"int","logicalType":"time-millis"}`, "00:00:01.5", `"00:00:01.5"`, `1500`},
		{`{"type":"int","logicalType":"time-millis"}`, "00:00:01.0005", `"00:00:01.0005"`, `!finer`},
		{`{"type":"long","logicalType":"time-micros"}`, "23:59:59.999999", `"23:59:59.999999"`, `86399999999`},
		{millis, "1969-12-31T23:59:59.999Z", `"1970-01-01T00:59:59.999+01:00"`, `-1`},
		{millis, "2024-03-01T08:42:00.0001Z", `"2024-03-01T08:42:00.0001Z"`, `!finer than milliseconds`},
		{millis, "2024-03-01T08:42:00", `"2024-03-01T08:42:00"`, `!zone`},
		{millis, "1709282520000", "1709282520000", `!`},
		{nanos, "1969-12-31T23:59:59.999999999Z", `"1969-12-31T23:59:59.999999999Z"`, `-1`},
		{nanos, "2400-01-01T00:00:00Z", `"2400-01-01T00:00:00Z"`, `!beyond`},
		{local, "1970-01-01 00:00:01", `"1970-01-01T00:00:01"`, `1000000`},
		{`{"type":"string","logicalType":"uuid"}`, "x-1", `"x-1"`, `"x-1"`},
		{optional, "", "null", `null`},
		{optional, "0.5", "0.5", `{"double":0.5}`},
		{optional, "x", `"x"`, `!double`},
		{`["null","string"]`, "", "null", `null`},
		{`["null",` + millis + `]`, "1970-01-01T00:00:00.001Z", `"1970-01-01T00:00:00.001Z"`, `{"long":1}`},
		{`["null",` + money + `]`, "0.01", "0.01", `{"bytes":"\u0001"}`},
		{`["null","long","double","string"]`, "7", "7", `{"long":7}`},
		{`["null","long","double","string"]`, "7.5", "7.5", `{"double":7.5}`},
		{`["null","long","double","string"]`, "seven", `"seven"`, `{"string":"seven"}`},
		{`["long",` + enum + `]`, "C", `"C"`, `!fits no type`},
		{`{"type":"array","items":` + optional + `}`, "[1,null]", "[1,null]", `[{"double":1},null]`},
		{`{"type":"map","values":"long"}`, `{"a":1}`, `{"a":1}`, `{"a":1}`},
		{`{"type":"map","values":"long"}`, `{"a":"x"}`, `{"a":"x"}`, `!key "a"`},
		{`{"type":"array","items":` + inner + `}`, `[{"x":1}]`, `[{"x":1}]`, `[{"x":1}]`},
		{`{"type":"array","items":` + inner + `}`, `[{"x":1},{}]`, `[{"x":1},{}]`, `!element 1: field "x": missing`},
		{inner, `[]`, `[]`, `!no record`},
	} {
		schema := wide(tc.typ)
		check := func(from string, v any) {
			got, err := encodeRow(t, schema, map[string]any{"f": v})
			if why, bad := strings.CutPrefix(tc.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), why) {
					t.Errorf("%s %s of %s: got %x, %v, want %q", from, tc.text, tc.typ, got, err, why)
				}
				return
			}
			if err != nil {
				t.Errorf("%s %s of %s: %v", from, tc.text, tc.typ, err)
				return
			}
			want, err := avroDatum(schema, `{"f":`+tc.want+`}`)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %s of %s: got %s, want %s (%v)", from, tc.text, tc.typ, stored(t, schema, got), tc.want, err)
			}
		}
		check("CSV", cell(tc.text))
		if tc.json != "" {
			v, err := decodeJSON([]byte(tc.json))
			if err != nil {
				t.Fatal(err)
			}
			check("JSON", v)
		}
	}
}

// avroDatum is what an independent implementation encodes for Avro's JSON, with the logical types
// taken off.
func avroDatum(schema, text string) ([]byte, error) {
	for _, l := range []string{"decimal", "date", "time-millis", "time-micros", "timestamp-millis", "timestamp-nanos", "local-timestamp-micros", "uuid"} {
		schema = strings.ReplaceAll(schema, `"logicalType":"`+l+`"`, `"was":""`)
	}
	s, err := avro.Parse(schema)
	if err != nil {
		return nil, err
	}
	var v any
	if err := s.DecodeJSON([]byte(text), &v, avro.TaggedUnions()); err != nil {
		return nil, err
	}
	return s.AppendEncode(nil, v)
}

// TestEncodeDefaults leaves every field away that may be, and compares with what a reader of the schema
// fills in for a writer that lacks them.
func TestEncodeDefaults(t *testing.T) {
	const schema = `{"type":"record","name":"n.R","fields":[
		{"name":"user","type":"string"},
		{"name":"big","type":"long","default":9007199254740993},
		{"name":"raw","type":"bytes","default":"\u00ff"},
		{"name":"fix","type":{"type":"fixed","name":"F","size":1},"default":"\u00fe"},
		{"name":"money","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"default":"\u0001"},
		{"name":"day","type":{"type":"int","logicalType":"date"},"default":3},
		{"name":"nul","type":["string","null"],"default":"null"},
		{"name":"opt","type":["null","long"],"default":null},
		{"name":"sub","type":{"type":"record","name":"S","fields":[{"name":"a","type":"int","default":5},{"name":"b","type":["null","string"]}]},"default":{"b":null}},
		{"name":"list","type":{"type":"array","items":["long","null"]},"default":[1]},
		{"name":"dict","type":{"type":"map","values":"double"},"default":{"k":1.5}},
		{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]},"default":"B"}]}`
	got, err := encodeRow(t, schema, map[string]any{"user": cell("u")})
	if err != nil {
		t.Fatal(err)
	}
	reader := parseSchema(t, schema)
	var columns []string
	for _, f := range reader.Fields() {
		columns = append(columns, f.Path)
	}
	row := func(writer string, datum []byte) string {
		dec, err := schemas.Compile(parseSchema(t, writer), reader, columns)
		if err != nil {
			t.Fatal(err)
		}
		var scratch schemas.Scratch
		slots := make([]event.Value, len(columns))
		if err := dec.Decode(datum, slots, &scratch); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%q", slots)
	}
	want := row(`{"type":"record","name":"n.R","fields":[{"name":"user","type":"string"}]}`, []byte("\x02u"))
	if row(schema, got) != want {
		t.Errorf("got  %s\nwant %s", row(schema, got), want)
	}
	if text := stored(t, schema, got); !strings.Contains(text, `"big":9007199254740993`) || !strings.Contains(text, `"nul":{"string":"null"}`) {
		t.Errorf("stored %s", text)
	}
	// Without a default a nullable field is null, and another one is missing.
	got, err = encodeRow(t, wide(`["long","null"]`), nil)
	if err != nil || !bytes.Equal(got, []byte{2}) {
		t.Errorf("got %x, %v", got, err)
	}
	for typ, why := range map[string]string{
		`"long"`:               "missing",
		`"long","default":[1]`: "default does not fit",
		`"long","default":"x"`: "default does not fit",
		`["null"],"default":1`: "default does not fit",
		`"n.R","default":{}`:   "holds itself",
		`"n.R","default":3`:    "default does not fit",
		`{"type":"array","items":"long"},"default":{"a":1}`: "default does not fit",
	} {
		if _, err := encodeRow(t, wide(typ), nil); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, want %q", typ, err, why)
		}
	}
}

// FuzzEncode: whatever a line of JSON holds, it is an error, or bytes that others decode.
func FuzzEncode(f *testing.F) {
	const schema = `{"type":"record","name":"R","fields":[
		{"name":"a","type":["null","long","double","string"]},
		{"name":"b","type":{"type":"array","items":["null","R"]},"default":[]},
		{"name":"c","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}]},
		{"name":"d","type":["null",{"type":"long","logicalType":"timestamp-nanos"}]},
		{"name":"e","type":["null",{"type":"map","values":{"type":"fixed","name":"F","size":2}}]}]}`
	f.Add(`{"a":1,"b":[{"a":"x"}],"c":-1.25,"d":"2024-01-01T00:00:00Z","e":{"k":"AAA="}}`)
	f.Add(`{"b":[null,{}],"a":1e3}`)
	e, err := newEncoder(parseSchema(f, schema), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		v, err := decodeJSON([]byte(line))
		row, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		if datum, err := e.encode(nil, row); err == nil {
			_ = stored(t, schema, datum)
		}
	})
}

// TestRowsSend produces files of each format and compares records with what an independent client reads.
func TestRowsSend(t *testing.T) {
	const n = 300
	for name, content := range map[string][]byte{
		"a.csv": csvFile(n), "b.csv.gz": zipped(t, csvFile(n)), "c.jsonl": jsonlFile(n), "d.ndjson.zst": zstandard(t, jsonlFile(n)), "e.avro": avroFile(t, n),
	} {
		t.Run(name, func(t *testing.T) {
			c := broker(t, 2)
			path := filepath.Join(t.TempDir(), name)
			writeFile(t, path, content)
			cfg := RowsConfig{Path: path, Schema: []byte(testSchema), Key: "user", Extra: func(string) {}}
			rows, err := OpenRows(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			k := &pipeline.Kafka{Brokers: c.ListenAddrs()}
			sent, err := rows.Send(t.Context(), ProduceConfig{Kafka: k, Topic: "tx"}, 7)
			if sent != n || err != nil {
				t.Fatal(sent, err)
			}
			// The values are those that a file source reads of the same file.
			rec := newRecorder()
			readFiles(t, testPlan(fileSourceOf(t, path)), rec)
			var want, got []string
			for _, g := range rec.snapshot("tx", 0).got {
				want = append(want, fmt.Sprintf("%q %q", g.slots[0], g.slots))
			}
			dec, err := schemas.Compile(parseSchema(t, testSchema), parseSchema(t, testSchema), []string{"user", "amount", "ts"})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range consume(t, c, "tx", n) {
				id, datum, err := schemas.Header(r.Value)
				if id != 7 || err != nil {
					t.Fatal(id, err)
				}
				var scratch schemas.Scratch
				slots := make([]event.Value, 3)
				if err := dec.Decode(datum, slots, &scratch); err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%q %q", r.Key, slots))
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got[:3], "\n"), strings.Join(want[:3], "\n"))
			}
		})
	}
}

// TestRowsTimes takes timestamps and keys from columns, in the schema or not.
func TestRowsTimes(t *testing.T) {
	at := func(name, content string, cfg RowsConfig) ([]string, error) {
		t.Helper()
		cfg.Path = filepath.Join(t.TempDir(), name)
		writeFile(t, cfg.Path, []byte(content))
		rows, err := OpenRows(cfg)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var out []string
		for {
			key, _, at, err := rows.next()
			if err != nil {
				return out, err
			}
			out = append(out, fmt.Sprintf("%s@%d", key, at))
		}
	}
	var extra []string
	cfg := RowsConfig{Schema: []byte(wide(`["null",{"type":"record","name":"S","fields":[{"name":"f","type":["null","string"]}]}]`))}
	cfg.Key, cfg.Time, cfg.Extra = "f.f", "when", func(c string) { extra = append(extra, c) }
	got, err := at("a.csv", "\ufefff.f,when,x\nu,2024-01-01T00:00:00Z,1\n\n,1970-01-01T00:00:00.001Z,2\n", cfg)
	if want := []string{"u@1704067200000000", "@1000"}; !slices.Equal(got, want) || err.Error() != "EOF" || !slices.Equal(extra, []string{"x"}) {
		t.Errorf("got %q, %v, extra %q", got, err, extra)
	}
	got, err = at("a.jsonl", `{"f":{"f":"u","y":1},"when":"2024-01-01T00:00:00Z"}`+"\n\n"+`{"when":"2024-01-01T00:00:00Z"}`+"\n"+`{"when":null}`, cfg)
	var bad *RowError
	if len(got) != 2 || !errors.As(err, &bad) || bad.N != 4 || !strings.Contains(err.Error(), `a.jsonl: line 4: no timestamp in column "when"`) || extra[1] != "f.y" {
		t.Errorf("got %q, %v, extra %q", got, err, extra)
	}
	tx := RowsConfig{Schema: []byte(testSchema), Time: "ts"}
	for _, tc := range []struct{ name, content, key, want string }{
		{"a.csv", "user,amount,ts\na,1,1969-01-01T00:00:00Z\n", "", "line 2: column \"ts\": 1969"},
		{"a.csv", "user,amount,ts\na,1,2024-01-01T00:00:00Z\n\"b\nb\",1,2024-01-01T00:00:00Z\nc,x,2024-01-01T00:00:00Z\n", "", "line 5: field \"amount\""},
		{"a.csv", "user,amount,ts\na,1\n", "", "line 2: wrong number of fields"},
		{"a.csv", "user,amount,ts\n\"a\nb\",1,2024-01-01T00:00:00Z\n\"" + strings.Repeat("x", 2*maxLine), "", "line 4: longer than"},
		{"a.csv", "user,amount,ts\na,1,2024-01-01T00:00:00Z\n", "usr", "no key column"},
		{"a.csv", "user,user.x,ts\n", "", "twice"},
		{"a.csv", "user.x.y,user.x,ts\n", "", "twice"},
		{"a.csv", "user.x,user.x.y.z,ts\n", "", "twice"},
		{"a.csv", "", "", "header"},
		{"a.jsonl", "\n[]", "", "line 2: a JSON array"},
		{"a.jsonl", "null", "", "line 1: null, not an object"},
		{"a.jsonl", `{"user":["a"],"ts":"2024-01-01T00:00:00Z"}`, "user", "cannot be a key"},
		{"a.jsonl", strings.Repeat(" ", 2*maxLine), "", "line 1: "},
		{"a.avro", string(avroFile(t, 3)), "", "row 1: column \"ts\": 1970"},
		{"a.avro", string(avroFile(t, 3)), "usr", "usr"},
		{"a.avro", "Obj", "", "container"},
		{"a.parquet", "", "", "cannot be produced"},
	} {
		tx.Key = tc.key
		if _, err := at(tc.name, tc.content, tx); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %.40q: got %v, want %q", tc.name, tc.content, err, tc.want)
		}
	}
	// A container brings its schema; another one is refused.
	if got, err := at("a.avro", string(avroFile(t, 3)), RowsConfig{Key: "user"}); len(got) != 3 || err.Error() != "EOF" {
		t.Errorf("got %q, %v", got, err)
	}
	var format *FormatError
	if _, err := at("a.avro", string(avroFile(t, 3)), RowsConfig{Schema: []byte(wide(`"long"`))}); !errors.As(err, &format) {
		t.Errorf("got %v", err)
	}
	if _, err := at("a.csv", "f\n1\n", RowsConfig{}); !errors.As(err, &format) {
		t.Errorf("got %v", err)
	}
}

// TestRowsStop: what stands before a row that does not fit is sent and counted, nothing else.
func TestRowsStop(t *testing.T) {
	c := broker(t, 1)
	path := filepath.Join(t.TempDir(), "a.jsonl")
	lines := bytes.SplitAfter(jsonlFile(20), []byte("\n"))
	lines[12] = []byte(`{"user":3}` + "\n") // in place of a blank line, the second
	writeFile(t, path, bytes.Join(lines, nil))
	rows, err := OpenRows(RowsConfig{Path: path, Schema: []byte(testSchema)})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	k := &pipeline.Kafka{Brokers: c.ListenAddrs()}
	n, err := rows.Send(t.Context(), ProduceConfig{Kafka: k, Topic: "tx", Batch: 5}, 1)
	var bad *RowError
	if n != 11 || !errors.As(err, &bad) || bad.N != 13 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if got := consume(t, c, "tx", 11); len(got) != 11 {
		t.Fatalf("%d records", len(got))
	}
	for topic, want := range map[string]bool{"tx": true, "ty": false} {
		if got, err := TopicExists(t.Context(), k, topic); got != want || err != nil {
			t.Errorf("topic %s: %v, %v", topic, got, err)
		}
	}
}
