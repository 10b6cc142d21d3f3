package export

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// FuzzJSONLine: the members that are found are those that encoding/json finds, and what it refuses is refused.
func FuzzJSONLine(f *testing.F) {
	f.Add([]byte(`{"a": 1, "b": "x\"}", "c": {"d": [1, {"e": "]"}]}, "f": null}`))
	f.Add([]byte(`{"a":-1.5e3,"\u0061b":true}`))
	f.Add([]byte(`{"a":[],"b":{}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		line = bytes.TrimLeft(line, " \t\r\n")
		if len(line) == 0 {
			return
		}
		got := map[string]json.RawMessage{}
		err := eachMember(line, map[string]struct{}{}, func(name string, value []byte) error {
			got[string([]byte(name))] = bytes.Clone(value)
			return nil
		})
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(line, &want)
		if line[0] != '{' || !utf8.Valid(line) || wantErr != nil {
			if err == nil {
				t.Fatalf("%q is accepted", line)
			}
			return
		}
		if err != nil {
			if len(want) > 0 && bytes.Contains([]byte(err.Error()), []byte("comes twice")) {
				return // encoding/json takes the last
			}
			t.Fatalf("%q: %v", line, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d", line, len(got), len(want))
		}
		for name, value := range want {
			if !bytes.Equal(bytes.TrimSpace(value), got[name]) {
				t.Fatalf("%q: member %q is %q, want %q", line, name, got[name], value)
			}
			_ = kindOfJSON(got[name])
		}
	})
}

// FuzzArrowSpine: damaged bytes are an error, never a crash or all of the memory.
func FuzzArrowSpine(f *testing.F) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
		{Name: "t", Type: arrow.FixedWidthTypes.Timestamp_ns},
	}, nil)
	b := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	for i := range 5 {
		b.Field(0).(*array.StringBuilder).Append("text")
		l := b.Field(1).(*array.ListBuilder)
		l.Append(true)
		l.ValueBuilder().(*array.Int32Builder).Append(int32(i))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(i))
	}
	batch := b.NewRecordBatch()
	for _, option := range []ipc.Option{ipc.WithLZ4(), ipc.WithZstd(), ipc.WithDictionaryDeltas(false)} {
		var out bytes.Buffer
		w, err := ipc.NewFileWriter(&out, ipc.WithSchema(schema), option)
		if err != nil {
			f.Fatal(err)
		}
		if err := w.Write(batch); err != nil {
			f.Fatal(err)
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "spine.arrow")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		sp, err := openSpine(path, "spine.arrow")
		if err != nil {
			return
		}
		defer func() { _ = sp.close() }()
		cols := sp.columns()
		need := make([]bool, len(cols))
		for i := range need {
			need[i] = true
		}
		sp.need(need)
		for range 10 {
			c := newChunk(&layout{spine: cols})
			if err := sp.read(c); err != nil || c.rows == 0 {
				return
			}
		}
	})
}
