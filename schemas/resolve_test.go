package schemas

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// of wraps types into records of one field x.
func of(t string) string {
	return `{"type":"record","name":"R","fields":[{"name":"x","type":` + t + `}]}`
}

const (
	nanos    = `{"type":"long","logicalType":"timestamp-nanos"}`
	micros   = `{"type":"long","logicalType":"timestamp-micros"}`
	millis   = `{"type":"long","logicalType":"timestamp-millis"}`
	date     = `{"type":"int","logicalType":"date"}`
	dec42    = `{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`
	dec30    = `{"type":"bytes","logicalType":"decimal","precision":30,"scale":0}`
	uuid16   = `{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}`
	enumABC  = `{"type":"enum","name":"E","symbols":["A","B","C"]}`
	enumAD   = `{"type":"enum","name":"E","symbols":["A","D"],"default":"D"}`
	enumA    = `{"type":"enum","name":"E","symbols":["A"]}`
	point    = `{"type":"record","name":"P","fields":[{"name":"lat","type":"double"},{"name":"lon","type":"double"}]}`
	bigBytes = "\x01\x00\x00\x00\x00\x00\x00\x00\x00" // 2^64
)

func str(s string) string { return string(binary.AppendVarint(nil, int64(len(s)))) + s }

func num(n ...int64) string { return string(varints(n...)) }

func TestResolve(t *testing.T) {
	long := event.LongOf
	ts := func(us int64) event.Value { return event.TimestampOf(event.Time(us)) }
	for _, c := range []struct {
		name, writer, reader, data string
		want                       event.Value
		err                        string
	}{
		{"null where none may be", `["null","double"]`, `"double"`, num(0), event.Value{}, `field "x": null, but the reader's type is double`},
		{"a branch that the reader lacks", `["int","string","boolean"]`, `["int","double"]`, num(2) + "\x01", event.Value{}, `field "x": boolean, which the reader's type, union of int, double, lacks`},
		{"symbol with default", enumABC, enumAD, num(1), event.StringOf("D"), ""},
		{"symbol without default", enumABC, enumA, num(2), event.Value{}, `field "x": symbol "C": a symbol that the reader's enum lacks, and it has no default`},
		{"symbol out of range", enumABC, enumABC, num(3), event.Value{}, `field "x": a number that is no symbol of the writer's enum`},
		{"long to float rounds", `"long"`, `"float"`, num(1<<24 + 1), event.DoubleOf(1 << 24), ""},
		{"int beyond 32 bits", `"int"`, `"int"`, num(1 << 40), event.Value{}, `field "x": an integer outside of 32 bits`},
		{"int least", `"int"`, `"long"`, num(math.MinInt32), long(math.MinInt32), ""},
		{"long least", `"long"`, `"long"`, num(math.MinInt64), long(math.MinInt64), ""},
		{"nanos are floored", nanos, nanos, num(-1), ts(-1), ""},
		{"nanos are floored exactly", nanos, nanos, num(-2000), ts(-2), ""},
		{"millis overflow", millis, millis, num(math.MaxInt64 / 999), event.Value{}, `field "x": a timestamp outside of what 64 bits of microseconds hold`},
		{"the writer's unit counts", millis, micros, num(5), ts(5000), ""},
		{"plain to timestamp", `"long"`, millis, num(5), ts(5000), ""},
		{"int to timestamp", `"int"`, millis, num(5), ts(5000), ""},
		{"timestamp to plain", millis, `"long"`, num(5), long(5), ""},
		{"instant to wall clock", millis, `{"type":"long","logicalType":"local-timestamp-millis"}`, num(5), event.Value{}, "the schemas do not resolve"},
		{"date", date, date, num(-1), event.Value{Kind: event.Date, Num: uint64(math.MaxUint64)}, ""},
		{"date out of range", date, date, num(math.MaxInt32), event.Value{}, `field "x": a date outside`},
		{"time of day", `{"type":"int","logicalType":"time-millis"}`, `{"type":"int","logicalType":"time-millis"}`, num(86400000), event.Value{}, "a time of day"},
		{"decimal", dec42, dec42, str("\x00\x00\x04\xd2"), event.DecimalOf(big.NewInt(1234), 2), ""},
		{"decimal, negative", dec42, dec42, str("\xff\xff\xff"), event.DecimalOf(big.NewInt(-1), 2), ""},
		{"decimal, empty", dec42, dec42, str(""), event.DecimalOf(big.NewInt(0), 2), ""},
		{"decimal, too many digits", dec42, dec42, str("\x27\x10"), event.Value{}, "a decimal of more digits"},
		{"decimal, least", dec42, dec42, str("\xd8\xf1"), event.DecimalOf(big.NewInt(-9999), 2), ""},
		{"decimal, below", dec42, dec42, str("\xd8\xf0"), event.Value{}, "a decimal of more digits"},
		{"decimal, large", dec30, dec30, str(bigBytes), event.DecimalOf(new(big.Int).Lsh(big.NewInt(1), 64), 0), ""},
		{"decimal, huge", dec30, dec30, str(strings.Repeat("\x7f", 33)), event.Value{}, "a decimal of more than 32 bytes"},
		{"decimal, another scale", dec42, dec30, str(""), event.Value{}, "the schemas do not resolve"},
		{"uuid", uuid16, uuid16, "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", event.StringOf("00112233-4455-6677-8899-aabbccddeeff"), ""},
		{"fixed of another size", `{"type":"fixed","name":"F","size":3}`, `{"type":"fixed","name":"F","size":4}`, "", event.Value{}, "the schemas do not resolve"},
		{"string to bytes", `"string"`, `"bytes"`, str("é"), event.BytesOf([]byte("é")), ""},
		{"bytes to string, not UTF-8", `"bytes"`, `"string"`, str("\xff"), event.Value{}, "not UTF-8"},
		{"boolean 2", `"boolean"`, `"boolean"`, "\x02", event.Value{}, "a boolean that is neither"},
		{"string to int", `"string"`, `"int"`, "", event.Value{}, `field "x": string, but the reader's type is int`},
		{"string to int, nullable", `["null","string"]`, `["null","int"]`, "", event.Value{}, "the schemas do not resolve"},
		{"branch index", `["null","int"]`, `["null","int"]`, num(2), event.Value{}, "no branch"},
		{"negative branch", `["null","int"]`, `["null","int"]`, num(-1), event.Value{}, "no branch"},
		{"to a union", `"int"`, `["null","double"]`, num(3), event.DoubleOf(3), ""},
		{"to a union of numbers", `"int"`, `["null","long","double"]`, num(3), event.DoubleOf(3), ""},
		{"negative length", `"string"`, `"string"`, num(-1), event.Value{}, "a negative length"},
		{
			"list", `{"type":"array","items":"int"}`, `{"type":"array","items":["null","double"]}`, num(2, 1, 2, -1, 1, 3, 0),
			event.Value{Kind: event.List, Str: string(event.AppendList(nil, event.DoubleOf(1), event.DoubleOf(2), event.DoubleOf(3)))},
			"",
		},
		{"list whose block lies", `{"type":"array","items":"int"}`, `{"type":"array","items":"int"}`, num(-1, 2, 3, 0), event.Value{}, "a block of items"},
	} {
		t.Run(c.name, func(t *testing.T) {
			row := []event.Value{{}}
			d, err := Compile(parse(t, of(c.writer)), parse(t, of(c.reader)), []string{"x"})
			if err != nil && !errors.Is(err, ErrResolve) {
				t.Fatalf("%v is not ErrResolve", err)
			}
			if err == nil {
				err = d.Decode([]byte(c.data), row, new(Scratch))
			}
			switch {
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, want %s", err, c.err)
			case c.err == "" && (err != nil || row[0] != c.want):
				t.Errorf("%v, %v, want %v", row[0], err, c.want)
			}
		})
	}
}

func TestResolveRecords(t *testing.T) {
	writer := parse(t, `{"type":"record","name":"old.Ride","fields":[
		{"name":"gone","type":{"type":"map","values":{"type":"array","items":"string"}}},
		{"name":"from","type":["null",`+point+`]},
		{"name":"km","type":"int"}]}`)
	reader := parse(t, `{"type":"record","name":"new.Trip","aliases":["Ride"],"fields":[
		{"name":"distance","aliases":["km"],"type":"double"},
		{"name":"tip","type":["null","long"],"default":null},
		{"name":"to","type":{"type":"record","name":"Q","fields":[{"name":"lat","type":"double"},{"name":"zone","type":"string","default":"z"}]},"default":{"lat":7}},
		{"name":"from","type":["null",{"type":"record","name":"Place","fields":[{"name":"lon","type":"double"},{"name":"alt","type":"int","default":9}]}]}]}`)
	cols := []string{"from.lon", "from.alt", "distance", "tip", "to.lat", "to.zone"}
	d := compile(t, writer, reader, cols...)
	row := make([]event.Value, len(cols))
	head := num(1) + str("k") + num(1) + str("v") + num(0, 0)
	eight := func(f float64) string { return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(f))) }
	if err := d.Decode([]byte(head+num(1)+eight(1)+eight(2)+num(5)), row, new(Scratch)); err != nil {
		t.Fatal(err)
	}
	want := []event.Value{event.DoubleOf(2), event.LongOf(9), event.DoubleOf(5), {}, event.DoubleOf(7), event.StringOf("z")}
	for i := range want {
		if row[i] != want[i] {
			t.Errorf("%s: %v, want %v", cols[i], row[i], want[i])
		}
	}
	if err := d.Decode([]byte(head+num(0)+num(5)), row, new(Scratch)); err != nil {
		t.Fatal(err)
	}
	if !row[0].IsNull() || !row[1].IsNull() || row[2] != want[2] {
		t.Errorf("null record: %v", row)
	}
	other := parse(t, `{"type":"record","name":"Refund","fields":[{"name":"km","type":"int"}]}`)
	if _, err := Compile(writer, other, []string{"km"}); !errors.Is(err, ErrResolve) || !strings.Contains(err.Error(), "record old.Ride, but the reader's type is record Refund") {
		t.Errorf("a record of another name: %v", err)
	}
	strict := parse(t, `{"type":"record","name":"other.Ride","fields":[{"name":"lost","type":"int"},{"name":"km","type":"int"}]}`)
	if _, err := Compile(writer, strict, []string{"lost"}); !errors.Is(err, ErrResolve) || !strings.Contains(err.Error(), `field "lost": the writer's record old.Ride lacks it`) {
		t.Errorf("a field without default: %v", err)
	}
	if _, err := Compile(writer, strict, []string{"km"}); err != nil {
		t.Errorf("a field that no column needs: %v", err)
	}
}

func TestColumns(t *testing.T) {
	s := parse(t, `{"type":"record","name":"R","fields":[
		{"name":"a","type":["null",`+point+`]},
		{"name":"e","type":`+enumABC+`},
		{"name":"l","type":{"type":"array","items":["null","float"]}},
		{"name":"m","type":{"type":"map","values":`+dec42+`}},
		{"name":"n","type":["int","double"]},
		{"name":"bad","type":["int","string"]},
		{"name":"ps","type":{"type":"array","items":"P"}},
		{"name":"self","type":["null","R"]},
		{"name":"nothing","type":"null"},
		{"name":"odd","type":{"type":"string","logicalType":"timestamp-millis"}},
		{"name":"span","type":{"type":"fixed","name":"D","size":12,"logicalType":"duration"}},
		{"name":"wide","type":{"type":"fixed","name":"W","size":2,"logicalType":"decimal","precision":5}}]}`)
	var got []string
	for _, f := range s.Fields() {
		got = append(got, f.Path+" "+f.Type.String())
	}
	want := "a.lat double?|a.lon double?|e string|l array of double?|m map of decimal(scale 2)|n double|ps.lat array of double|ps.lon array of double|odd string|span bytes|wide bytes"
	if strings.Join(got, "|") != want {
		t.Errorf("columns\n%s\nwant\n%s", strings.Join(got, "|"), want)
	}
	for path, why := range map[string]string{
		"bad": "no one type", "ps": "an array of records; their fields are columns, an array each: ps.lat, ps.lon", "self": "holds itself", "nothing": "always null", "a": "a.lat, a.lon",
	} {
		if got, ok := s.NotColumn(path); !ok || !strings.Contains(got, why) {
			t.Errorf("%s: %q, want %q", path, got, why)
		}
		if _, err := Compile(s, s, []string{path}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("compile %s: %v", path, err)
		}
	}
	if _, ok := s.NotColumn("e"); ok {
		t.Error("a column has a reason")
	}
}

func TestParseNames(t *testing.T) {
	for text, why := range map[string]string{
		`{"type":"record","name":"R","fields":[{"name":"x","type":"Y"}]}`:                             `unknown type "Y"`,
		`{"type":"record","name":"R","fields":[{"name":"x","type":"int"},{"name":"x","type":"int"}]}`: `two fields are called "x"`,
		`{"type":"record","name":"R","fields":[{"name":"x-y","type":"int"}]}`:                         `"x-y" is not a name`,
		`["int","int"]`:    "twice",
		`[["int"],"null"]`: "another union",
		`{"type":"enum","name":"E","symbols":["A","A"]}`:           "stands twice",
		`{"type":"fixed","name":"F","size":-1}`:                    "size",
		`{"type":"array"}`:                                         "items",
		`{"type":"record","name":"R","fields":[]} trailing`:        "more after the end",
		`{"type":"enum","name":"E","symbols":["A"],"default":"B"}`: "default",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %s", text, err, why)
		}
	}
	s := parse(t, `{"type":"record","namespace":"a.b","name":"R","fields":[
		{"name":"x","type":{"type":"enum","name":"E","symbols":["A"]}},
		{"name":"y","type":["null","E","a.b.R"]},
		{"name":"z","type":{"type":"fixed","name":"c.F","size":2}},{"name":"w","type":"c.F"}]}`)
	if again := parse(t, s.String()); again.String() != s.String() || !strings.Contains(s.String(), `"a.b.E"`) {
		t.Errorf("%s, again %s", s, again)
	}
}

func TestHeader(t *testing.T) {
	for b, want := range map[string]error{"": ErrEmpty, "\x01\x00\x00\x00\x07": ErrMagic, "\x00\x00\x00\x00": ErrTruncated, "{\"a\":1}": ErrMagic} {
		if _, _, err := Header([]byte(b)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", b, err, want)
		}
	}
	id, datum, err := Header([]byte("\x00\x00\x01\x00\x07rest"))
	if id != 65543 || string(datum) != "rest" || err != nil {
		t.Errorf("%d %q %v", id, datum, err)
	}
}

// TestDecimalBound compares the bound of a precision with big integers.
func TestDecimalBound(t *testing.T) {
	for precision := 1; precision <= maxDecimalScale; precision++ {
		limit := newDigitBound(precision)
		ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		for _, d := range []int64{-1, 0, 1} {
			n := new(big.Int).Add(ten, big.NewInt(d))
			for _, n := range []*big.Int{n, new(big.Int).Neg(n)} {
				_, err := decimal(string(event.AppendBig(nil, n)), limit)
				if want := d < 0; (err == nil) != want {
					t.Errorf("precision %d: %v: %v", precision, n, err)
				}
			}
		}
	}
}
