package schemas

import (
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/penstock-ml/penstock/event"
)

// transactions is the schema of the house's workload.
const transactions = `{"type":"record","name":"Transaction","namespace":"shop","fields":[
	{"name":"user_id","type":"string"},
	{"name":"merchant_id","type":"string"},
	{"name":"amount","type":"double"},
	{"name":"country","type":"string"},
	{"name":"card_present","type":"boolean"},
	{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}`

func parse(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func paths(s *Schema) []string {
	var out []string
	for _, f := range s.Fields() {
		out = append(out, f.Path)
	}
	return out
}

func compile(t testing.TB, writer, reader *Schema, columns ...string) *Decoder {
	t.Helper()
	d, err := Compile(writer, reader, columns)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// transaction returns a datum of the workload, about 39 bytes.
func transaction(t testing.TB) []byte {
	c, err := goavro.NewCodec(transactions)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.BinaryFromNative(nil, map[string]any{
		"user_id": "u000123", "merchant_id": "m04567", "amount": 12.75, "country": "DE",
		"card_present": true, "ts": event.Time(1700000000123000).Go(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeTransaction(t *testing.T) {
	s := parse(t, transactions)
	b := transaction(t)
	row := make([]event.Value, 6)
	var scratch Scratch
	if err := compile(t, s, s, paths(s)...).Decode(b, row, &scratch); err != nil {
		t.Fatal(err)
	}
	want := []event.Value{
		event.StringOf("u000123"), event.StringOf("m04567"), event.DoubleOf(12.75), event.StringOf("DE"),
		event.BoolOf(true), event.TimestampOf(1700000000123000),
	}
	for i := range want {
		if row[i] != want[i] {
			t.Errorf("column %d: %v, want %v", i, row[i], want[i])
		}
	}
	three := make([]event.Value, 3)
	if err := compile(t, s, s, "ts", "user_id", "ts").Decode(b, three, &scratch); err != nil {
		t.Fatal(err)
	}
	if three[0] != want[5] || three[1] != want[0] || three[2] != want[5] {
		t.Errorf("projection: %v", three)
	}
	for n := range b {
		if err := compile(t, s, s, "ts").Decode(b[:n], three, &scratch); err == nil {
			t.Errorf("%d of %d bytes decode", n, len(b))
		}
	}
	if err := compile(t, s, s, "user_id").Decode(append(b[:len(b):len(b)], 0), three, &scratch); err == nil {
		t.Error("a byte too many decodes")
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	lists := `{"type":"record","name":"R","fields":[
		{"name":"aa","type":{"type":"array","items":{"type":"array","items":["null","double"]}}},
		{"name":"m","type":{"type":"map","values":"string"}},
		{"name":"d","type":["null",{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}]},
		{"name":"u","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}},
		{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
		{"name":"n","type":["null","int","double"]},
		{"name":"gone","type":{"type":"array","items":{"type":"record","name":"Q","fields":[{"name":"q","type":["null","string","Q"]}]}}}]}`
	listed := num(1, 2, 0, 0, 0, 0) + num(1) + str("k") + str("v") + num(0) + num(1) + str("\x01\x02\x03\x04\x05\x06\x07\x08\x09") +
		strings.Repeat("u", 16) + num(1) + num(1, 7) + num(2, 1) + str("x") + num(2, 0, 0)
	for _, c := range []struct {
		text, data string
	}{{transactions, string(transaction(t))}, {lists, listed}} {
		s := parse(t, c.text)
		cols := paths(s)
		d := compile(t, s, s, cols...)
		b, row := []byte(c.data), make([]event.Value, len(cols))
		var scratch Scratch
		if n := testing.AllocsPerRun(1000, func() {
			if err := d.Decode(b, row, &scratch); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations per datum of %s", n, s.Name())
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	s := parse(b, transactions)
	data := transaction(b)
	for _, c := range []struct {
		name    string
		columns []string
	}{{"six", paths(s)}, {"three", []string{"user_id", "amount", "ts"}}} {
		b.Run(c.name, func(b *testing.B) {
			d := compile(b, s, s, c.columns...)
			row := make([]event.Value, len(c.columns))
			var scratch Scratch
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(data, row, &scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("goavro", func(b *testing.B) {
		c, err := goavro.NewCodec(transactions)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := c.NativeFromBinary(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
