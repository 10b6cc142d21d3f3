package schemas

import (
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
	s := parse(t, transactions)
	d := compile(t, s, s, paths(s)...)
	b, row := transaction(t), make([]event.Value, 6)
	var scratch Scratch
	if n := testing.AllocsPerRun(1000, func() {
		if err := d.Decode(b, row, &scratch); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per datum", n)
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
