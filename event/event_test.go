package event

import (
	"math"
	"math/big"
	"testing"
)

func TestDoubleOf(t *testing.T) {
	for _, f := range []float64{math.NaN(), -math.NaN(), math.Float64frombits(0xfff8_0000_0000_0001)} {
		if got := DoubleOf(f).Num; got != math.Float64bits(math.NaN()) {
			t.Errorf("NaN %x reads as %x", math.Float64bits(f), got)
		}
	}
	if got := DoubleOf(math.Copysign(0, -1)).Num; got != 0 {
		t.Errorf("-0 reads as %x", got)
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]Duration{"1h": Hour, "90m": 90 * Minute, "1d12h": 36 * Hour, "250us": 250, "2w": 2 * Week, "1h30m": 90 * Minute} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
		if back, err := ParseDuration(got.String()); err != nil || back != got {
			t.Errorf("%s is written %s, which reads as %d, %v", text, got, back, err)
		}
	}
	for _, text := range []string{"", "1", "h", "1hr", "-1h", "1.5h", "1h ", "9999999999999w", "1 h"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q reads as %s", text, d)
		}
	}
}

func TestTimeSaturates(t *testing.T) {
	if MaxTime.Add(1) != MaxTime || MinTime.Add(-1) != MinTime || Time(5).Add(-7) != -2 {
		t.Error("Add does not saturate")
	}
	if MaxTime.Sub(MinTime) != Duration(MaxTime) || MinTime.Sub(MaxTime) != Duration(MinTime) || Time(3).Sub(5) != -2 {
		t.Error("Sub does not saturate")
	}
	at, err := ParseTime("1969-12-31T23:59:59.9999999Z")
	if err != nil || at != -1 {
		t.Errorf("nanoseconds before 1970 are not floored: %d, %v", at, err)
	}
	if _, err := ParseTime("2013-01-05T10:00:00"); err == nil {
		t.Error("an instant without a zone is read")
	}
}

func TestValueRoundTrip(t *testing.T) {
	big1, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	values := []Value{
		{},
		BoolOf(true), LongOf(-1), DoubleOf(0.1), StringOf("é"), BytesOf([]byte{0, 255}), TimestampOf(-5),
		{Kind: Date, Num: 19000},
		DecimalOf(big1, 7), DecimalOf(big.NewInt(-128), 2),
	}
	values = append(values, Value{Kind: List, Str: string(AppendList(nil, values...))})
	for _, v := range values {
		got, rest, err := DecodeValue(string(AppendValue(nil, v)) + "x")
		if err != nil || rest != "x" || got != v {
			t.Errorf("%v: got %v, rest %q, %v", v, got, rest, err)
		}
		enc := string(AppendValue(nil, v))
		for n := range len(enc) {
			if _, _, err := DecodeValue(enc[:n]); err == nil {
				t.Errorf("%v cut to %d bytes is read", v, n)
			}
		}
	}
	if got := DecimalOf(big1, 7).String(); got != "-12345678901234567890123.4567890" {
		t.Error(got)
	}
	if Compare(DecimalOf(big.NewInt(150), 2), DecimalOf(big.NewInt(15), 1)) != 0 {
		t.Error("1.50 and 1.5 differ")
	}
}

func FuzzDecodeValue(f *testing.F) {
	f.Add(string(AppendValue(nil, DecimalOf(big.NewInt(-7), 3))))
	f.Fuzz(func(t *testing.T, s string) {
		v, _, err := DecodeValue(s)
		if err != nil {
			return
		}
		if got, _, err := DecodeValue(string(AppendValue(nil, v))); err != nil || got != v {
			t.Fatalf("%v becomes %v, %v", v, got, err)
		}
		_ = EachElem(v.Str, func(int, Value) error { return nil })
	})
}

func TestListsAsText(t *testing.T) {
	list := Value{Kind: List, Str: string(AppendList(nil, StringOf(`a,"b"`), Value{}, LongOf(3), DoubleOf(math.NaN())))}
	if got := list.String(); got != `["a,\"b\"",null,3,"NaN"]` {
		t.Errorf("list: %s", got)
	}
	m := Value{Kind: Map, Str: string(AppendList(nil, StringOf("DE"), DoubleOf(1.5), StringOf("US"), list))}
	if got := m.String(); got != `{"DE":1.5,"US":["a,\"b\"",null,3,"NaN"]}` {
		t.Errorf("map: %s", got)
	}
}

func TestReadTime(t *testing.T) {
	want, err := ParseTime("2013-10-26T02:16:44.801Z")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{ // as they stand in files of pandas, Polars, DuckDB, BigQuery
		"2013-10-26T02:16:44.801Z", "2013-10-26 02:16:44.801000+00:00", "2013-10-26T02:16:44.801000+0000", "2013-10-26 02:16:44.801+00",
		"2013-10-26 02:16:44.801 UTC", "2013-10-26t02:16:44.801z", "2013-10-25 22:16:44.801-04", "2013-10-26T07:46:44.801+0530",
	} {
		if got, err := ReadTime(text); err != nil || got != want {
			t.Errorf("%q is read as %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "2013-10-26", "2013-10-26 02:16:44", "2013-10-26 02:16:44.801", "2013-10-26 02:16:44+0", "2013-10-26 02:16:44+123", "2013-10-26 02:16:44 CET",
		"2013-10-26  02:16:44Z", "2013-10-26_02:16:44Z", "2013-10-26 02:16:44+00:00:00", "2013-10-26 02:16:44 UTC+01", "+00", "-02:16:44 2013-10-26",
	} {
		if got, err := ReadTime(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}
