package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/event"
)

// FuzzAppendValue: what AppendJSON writes, encoding/json reads as the same value.
func FuzzAppendValue(f *testing.F) {
	f.Add(byte(0), int64(1), 1.5, "text")
	f.Add(byte(3), int64(math.MinInt64), math.Inf(-1), "\x00\"\\\u2028\xff<é")
	f.Add(byte(4), int64(-1), 1e21, "𝄞")
	f.Add(byte(11), int64(3), 1e-7, "")
	f.Fuzz(func(t *testing.T, kind byte, n int64, x float64, s string) {
		v := valueOf(event.Kind(kind%13), n, x, s)
		b := event.AppendJSON([]byte("prefix"), v)[len("prefix"):]
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var got any
		if err := d.Decode(&got); err != nil || d.More() || !utf8.Valid(b) {
			t.Fatalf("%v is written %s: %v", v, b, err)
		}
		if want := plain(t, v); !same(got, want) {
			t.Fatalf("%s is read as %#v, want %#v", b, got, want)
		}
	})
}

// valueOf makes a value of any kind.
func valueOf(kind event.Kind, n int64, x float64, s string) event.Value {
	switch kind {
	case event.Null:
		return event.Value{}
	case event.Bool:
		return event.BoolOf(n&1 != 0)
	case event.Double:
		return event.DoubleOf(x)
	case event.String, event.Bytes:
		return event.Value{Kind: kind, Str: s}
	case event.Decimal:
		return event.DecimalOf(big.NewInt(n), int32(len(s)%20))
	case event.List:
		return event.Value{Kind: kind, Str: string(event.AppendList(nil, event.StringOf(s), event.LongOf(n), event.DoubleOf(x), event.Value{}))}
	case event.Map:
		return event.Value{Kind: kind, Str: string(event.AppendList(nil, event.StringOf(s), event.LongOf(n), event.StringOf(s+"2"), event.DoubleOf(x)))}
	case event.Long:
		return event.LongOf(n)
	}
	if kind == event.Date {
		n %= 700_000
	}
	return event.Value{Kind: kind, Num: uint64(n % (1 << 55))} // of the years that RFC 3339 has
}

// plain is what encoding/json should read for v.
func plain(t *testing.T, v event.Value) any {
	switch v.Kind {
	case event.Null:
		return nil
	case event.Bool:
		return v.Bool()
	case event.Long:
		return json.Number(strconv.FormatInt(v.Long(), 10))
	case event.Double:
		if x := v.Double(); math.IsNaN(x) || math.IsInf(x, 0) {
			return event.FormatDouble(x)
		}
		return v.Double()
	case event.String:
		return string(bytes.ToValidUTF8([]byte(v.Str), nil)) // compared below rune by rune
	case event.Bytes:
		return base64.StdEncoding.EncodeToString([]byte(v.Str))
	case event.List, event.Map:
		var all []any
		if err := event.EachElem(v.Str, func(_ int, e event.Value) error { all = append(all, plain(t, e)); return nil }); err != nil {
			t.Fatal(err)
		}
		if v.Kind == event.List {
			return all
		}
		m := map[string]any{}
		for i := 0; i < len(all); i += 2 {
			m[all[i].(string)] = all[i+1]
		}
		return m
	}
	return v.String()
}

func same(got, want any) bool {
	switch w := want.(type) {
	case float64:
		n, ok := got.(json.Number)
		if !ok {
			return false
		}
		x, err := n.Float64()
		return err == nil && x == w
	case string:
		g, ok := got.(string)
		// A byte that is not UTF-8 reads as U+FFFD: drop these on both sides.
		drop := func(s string) string { return string(bytes.ReplaceAll([]byte(s), []byte("\ufffd"), nil)) }
		return ok && drop(g) == drop(w)
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !same(g[i], w[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) > len(w) {
			return false
		}
		for k, x := range w {
			y, found := g[k]
			if found && !same(y, x) {
				return false
			}
		}
		return true
	}
	return got == want
}

// FuzzScan: the scanner accepts what encoding/json accepts, but for text that is not UTF-8, halves of
// surrogate pairs and deep nesting; and reads strings as it does.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a": [1, -2.5e+3, "x\u00e9\n", true, null]}`, `[]`, `"\ud834\udd1e"`, `01`, `{"a" 1}`, "\"\x01\"", `1e`, `[1,]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{text: text}
		err := s.skip(0)
		if err == nil {
			err = s.end()
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		valid := json.Valid(text) && d.Decode(&want) == nil
		if err == nil && !valid {
			t.Fatalf("%q is accepted", text)
		}
		if err != nil && valid && utf8.Valid(text) && !bytes.Contains(text, []byte(`\u`)) && bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= maxDepth {
			t.Fatalf("%q is refused: %v", text, err)
		}
		if wantText, ok := want.(string); ok && err == nil {
			s = scanner{text: text}
			s.space()
			if got, err := s.str(); err != nil || got != wantText {
				t.Fatalf("%q reads as %q, want %q: %v", text, got, wantText, err)
			}
		}
	})
}

// FuzzValue: what AppendJSON writes, value reads back as the same value.
func FuzzValue(f *testing.F) {
	f.Add(byte(2), int64(9007199254740993), 0.1, "x")
	f.Fuzz(func(t *testing.T, kind byte, n int64, x float64, s string) {
		v := valueOf(event.Kind(kind%11), n, x, s)
		if v.Kind == event.String && !utf8.ValidString(s) {
			return
		}
		if v.Kind == event.TimeOfDay {
			v.Num = uint64((n%86400e6 + 86400e6) % 86400e6)
		}
		typ := event.Type{Kind: v.Kind, Nullable: true, Scale: int32(len(s) % 20)}
		sc := scanner{text: event.AppendJSON(nil, v)}
		got, err := sc.value(typ, 0)
		if err != nil || event.Compare(got, v) != 0 || sc.end() != nil {
			t.Fatalf("%s is read as %v, want %v: %v", sc.text, got, v, err)
		}
	})
}

// FuzzRequest: no body makes the parser panic.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"view": "v", "entities": [{"a": 1}], "as_of": "now", "request": [{}], "features": ["x"]}`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		var q question
		if q.parse(body) == nil {
			_, _ = columns(nil, q.entities, "entities", "key column", nil)
		}
	})
}
