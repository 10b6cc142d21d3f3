package expr

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// column of the rows that tests use, with its value.
type testColumn struct {
	name  string
	t     event.Type
	value event.Value
}

func must(t event.Time, err error) event.Time {
	if err != nil {
		panic(err)
	}
	return t
}

var (
	stringType = event.Type{Kind: event.String}
	longType   = event.Type{Kind: event.Long}
	doubleType = event.Type{Kind: event.Double}
	maybeLong  = event.Type{Kind: event.Long, Nullable: true}
	cents      = event.Type{Kind: event.Decimal, Scale: 2}
)

var testColumns = []testColumn{
	{"amount", event.Type{Kind: event.Double}, event.DoubleOf(100)},
	{"n", longType, event.LongOf(7)},
	{"big", longType, event.LongOf(math.MaxInt64)},
	{"least", longType, event.LongOf(math.MinInt64)},
	{"zero", longType, event.LongOf(0)},
	{"negzero", event.Type{Kind: event.Double}, event.Value{Kind: event.Double, Num: 1 << 63}},
	{"nan", event.Type{Kind: event.Double}, event.DoubleOf(math.NaN())},
	{"country", stringType, event.StringOf("US")},
	{"word", stringType, event.StringOf(" Größe ")},
	{"blob", event.Type{Kind: event.Bytes}, event.BytesOf([]byte{0, 0xff, '"'})},
	{"ok", event.Type{Kind: event.Bool}, event.BoolOf(true)},
	{"ts", event.Type{Kind: event.Timestamp}, event.TimestampOf(must(event.ParseTime("2013-07-04T23:30:00.5Z")))},
	{"old", event.Type{Kind: event.Timestamp}, event.TimestampOf(-1)},
	{"wall", event.Type{Kind: event.LocalTimestamp}, event.Value{Kind: event.LocalTimestamp, Num: 5 * 3600 * 1e6}},
	{"day", event.Type{Kind: event.Date}, event.Value{Kind: event.Date, Num: math.MaxUint64}},
	{"at", event.Type{Kind: event.TimeOfDay}, event.Value{Kind: event.TimeOfDay, Num: 13 * 3600 * 1e6}},
	{"price", cents, event.DecimalOf(big.NewInt(999), 2)},
	{"tax", event.Type{Kind: event.Decimal, Scale: 3, Nullable: true}, event.DecimalOf(big.NewInt(-1500), 3)},
	{"tags", event.Type{Kind: event.List, Elem: &stringType}, event.Value{Kind: event.List, Str: string(event.AppendList(nil, event.StringOf("a"), event.StringOf("b")))}},
	{"gaps", event.Type{Kind: event.List, Elem: &maybeLong}, event.Value{Kind: event.List, Str: string(event.AppendList(nil, event.LongOf(1), event.Value{}))}},
	{"prices", event.Type{Kind: event.List, Elem: &cents}, event.Value{Kind: event.List, Str: string(event.AppendList(nil, event.DecimalOf(big.NewInt(999), 2)))}},
	{"attrs", event.Type{Kind: event.Map, Elem: &longType}, event.Value{Kind: event.Map, Str: string(event.AppendList(nil, event.StringOf("k"), event.LongOf(5), event.StringOf("k"), event.LongOf(6)))}},
	{"user.city", stringType, event.StringOf("Rome")},
	{"user.address.city", stringType, event.StringOf("Oslo")},
	{"none", maybeLong, event.Value{}},
	{"nothing", event.Type{Kind: event.Double, Nullable: true}, event.Value{}},
	{"unknown", event.Type{Kind: event.Bool, Nullable: true}, event.Value{}},
	{"nowhere", event.Type{Kind: event.String, Nullable: true}, event.Value{}},
	{"never", event.Type{Kind: event.Timestamp, Nullable: true}, event.Value{}},
	{"vector", event.Type{Kind: event.List, Elem: &doubleType}, listOf(event.DoubleOf(1), event.DoubleOf(-2.5), event.DoubleOf(4))},
	{"wild", event.Type{Kind: event.List, Elem: &doubleType}, listOf(event.DoubleOf(1e308), event.DoubleOf(1e308), event.DoubleOf(-1e308))},
	{"odd", event.Type{Kind: event.List, Elem: &doubleType}, listOf(event.DoubleOf(math.Inf(1)), event.DoubleOf(math.NaN()), event.DoubleOf(2))},
	{"empty", event.Type{Kind: event.List, Elem: &doubleType}, listOf()},
	{"longs", event.Type{Kind: event.List, Elem: &longType}, listOf(event.LongOf(math.MaxInt64), event.LongOf(math.MaxInt64), event.LongOf(-7))},
	{"shorts", event.Type{Kind: event.List, Elem: &longType}, listOf(event.LongOf(3), event.LongOf(4), event.LongOf(-5))},
	{"inf", event.Type{Kind: event.Double}, event.DoubleOf(math.Inf(1))},
	{"first", event.Type{Kind: event.Timestamp}, event.TimestampOf(event.MinTime)},
	{"last", event.Type{Kind: event.Timestamp}, event.TimestampOf(event.MaxTime)},
	{"blank", stringType, event.StringOf("")},
	{"void", event.Type{Kind: event.Null, Nullable: true}, event.Value{}},
}

func listOf(elems ...event.Value) event.Value {
	return event.Value{Kind: event.List, Str: string(event.AppendList(nil, elems...))}
}

func testLookup(name string) (int, event.Type, bool) {
	for i, c := range testColumns {
		if c.name == name {
			return i, c.t, true
		}
	}
	return 0, event.Type{}, false
}

func testRow() []event.Value {
	row := make([]event.Value, len(testColumns))
	for i, c := range testColumns {
		row[i] = c.value
	}
	return row
}

func testNames() []string {
	names := make([]string, len(testColumns))
	for i, c := range testColumns {
		names[i] = c.name
	}
	return names
}

func TestEval(t *testing.T) {
	row := testRow()
	for _, tc := range allCases() {
		p, err := Compile(tc.src, testLookup, testNames())
		if err != nil {
			t.Errorf("%s: %v", tc.src, err)
			continue
		}
		v := p.Eval(row)
		got := v.String()
		if v.IsNull() {
			got = "null"
		}
		if got != tc.want || p.Type().String() != tc.typ {
			t.Errorf("%s\n got %s %s\nwant %s %s", tc.src, p.Type(), got, tc.typ, tc.want)
		}
		if v.IsNull() && !p.Type().Nullable || !v.IsNull() && v.Kind != p.Type().Kind {
			t.Errorf("%s: %v is not of type %s", tc.src, v, p.Type())
		}
		again, err := Compile(p.String(), testLookup, testNames())
		if err != nil || again.String() != p.String() {
			t.Errorf("%s: canonical form %s gives %v, %v", tc.src, p, again, err)
		} else if w := again.Eval(row); w != v || again.Type().String() != p.Type().String() {
			t.Errorf("%s = %v, but its canonical form %s = %v", tc.src, v, p, w)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, tc := range [][2]string{
		{"amount*1.2>100", "((amount * 1.2) > 100.0)"},
		{"100 < amount * 1.2", "((amount * 1.2) > 100.0)"},
		{"ok && !unknown || n==60*60", "((ok and (not unknown)) or (n == 3600))"},
		{"n < amount <= 5", "((n < amount) and (amount <= 5.0))"},
		{`attrs.k ?? 2`, `coalesce(attrs["k"], 2)`},
		{`user.address.city not in ['a']`, `(not (user.address.city in ["a"]))`},
		{"float(n) + int(amount)", "(double(n) + long(amount))"},
		{"hour(ts, 'UTC')", "hour(ts)"},
		{"none == null", "(none == nil)"},
		{"(-2.0) ** amount", "((-2.0) ** amount)"},
		{"-2.0 ^ amount", "(-(2.0 ** amount))"},
	} {
		p, err := Compile(tc[0], testLookup, nil)
		if err != nil {
			t.Errorf("%s: %v", tc[0], err)
		} else if p.String() != tc[1] {
			t.Errorf("%s\n got %s\nwant %s", tc[0], p, tc[1])
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range slices.Concat(errorCases, functionErrors) {
		// The wrong part stands between « and ».
		src := strings.NewReplacer("«", "", "»", "").Replace(tc.src)
		from := strings.Index(tc.src, "«")
		to := strings.Index(tc.src, "»") - len("«")
		_, err := Compile(src, testLookup, testNames())
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, want an *Error", src, err)
			continue
		}
		if e.Msg != tc.msg || !strings.Contains(e.Hint, tc.hint) || tc.hint == "" && e.Hint != "" {
			t.Errorf("%s\n got %s | %s\nwant %s | %s", src, e.Msg, e.Hint, tc.msg, tc.hint)
		}
		if e.Offset != from || e.Offset+e.Len != to {
			t.Errorf("%s: points at %d+%d %q, want %q", src, e.Offset, e.Len, src[e.Offset:e.Offset+e.Len], src[from:to])
		}
	}
}

func TestBounds(t *testing.T) {
	bad := func(src string) {
		t.Helper()
		if _, err := Compile(src, testLookup, testNames()); err == nil {
			t.Errorf("%.40s… compiled", src)
		}
	}
	bad(strings.Repeat("n+", MaxSource) + "n")
	bad(strings.Repeat("(", 2000) + "n" + strings.Repeat(")", 1000))
	bad(strings.Repeat("-", 4000) + "n")
	// The parser shares the middle of a chain: 2^n paths in a tree of 3n nodes.
	bad(strings.Repeat("ok<(", 400) + "ok" + strings.Repeat(")<ok", 400))
	bad(strings.Repeat("(", 400) + "ok" + strings.Repeat("?:ok)", 400))
	bad("n\xff")
	good := strings.Repeat("n == 1 or ", 300) + "n == 7"
	p, err := Compile(good, testLookup, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := p.Eval(testRow()); !v.Bool() {
		t.Error("300 alternatives: false")
	}
	long := []event.Value{event.StringOf(strings.Repeat("x", MaxString/2+1))}
	one := func(string) (int, event.Type, bool) { return 0, stringType, true }
	for src, null := range map[string]bool{"s + s": true, `s + "y"`: false, "upper(s + 'y')": false, "lower(s) + upper(s)": true} {
		p, err := Compile(src, one, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v := p.Eval(long); v.IsNull() != null {
			t.Errorf("%s of a long string: %d bytes", src, len(v.Str))
		}
	}
}

// TestNullRow evaluates every case over a row of nulls and over one of foreign kinds: only nulls come
// out where nulls went in, whatever else does, and nothing panics.
func TestNullRow(t *testing.T) {
	nulls := make([]event.Value, len(testColumns))
	foreign := make([]event.Value, len(testColumns))
	for i := range foreign {
		foreign[i] = event.Value{Kind: event.Kind(1 + i%12), Str: "\xff\x01\x09", Num: math.MaxUint64}
		if foreign[i].Kind == testColumns[i].t.Kind && foreign[i].Kind == event.Decimal {
			foreign[i].Num = 77
		}
	}
	for _, tc := range allCases() {
		p, err := Compile(tc.src, testLookup, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range [][]event.Value{nulls, foreign} {
			if v := p.Eval(row); !v.IsNull() && v.Kind != p.Type().Kind {
				t.Errorf("%s: %v is not %s", tc.src, v, p.Type())
			}
		}
	}
}

func TestNames(t *testing.T) {
	got, err := Names(`user.address.city == country and (n < amount < n) or attrs["k"] > tags[n].x or len(b?.c) > 1 or null == nil or lower(user.address.city) in [zz]`)
	if err != nil {
		t.Fatal(err)
	}
	want := "user.address.city country n amount attrs tags b.c zz"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
	var e *Error
	if _, err := Names("a +"); !errors.As(err, &e) {
		t.Errorf("got %v, want an *Error", err)
	}
}

func TestAllocations(t *testing.T) {
	row := testRow()
	for _, src := range []string{
		`amount*1.2 > 100 and country in ["US","DE"]`,
		`(n + 3) * 2 % 5 - abs(n) <= amount / 2 ** 2`,
		`(none ?? n) > 3 or unknown`,
		`tags[-1] == "b" and "a" in tags and attrs["k"] in 1..9`,
		`country matches "^U" and country contains "S" and len(word) > 2`,
		`hour(ts, "America/New_York") + day_of_week(ts) > 3 and ts > "2013-01-01T00:00:00Z"`,
		`max(amount, n, 3) > seconds_between(old, ts) ? country : trim(word)`,
		`n in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] and long("7") == n and double(n) == 7`,
	} {
		p, err := Compile(src, testLookup, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { p.Eval(row) }); n != 0 {
			t.Errorf("%s: %v allocations", src, n)
		}
	}
}

func TestDocs(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range Functions() {
		if seen[d.Name] || !strings.HasPrefix(d.Signature, d.Name+"(") || d.Doc == "" {
			t.Errorf("bad documentation: %+v", d)
		}
		seen[d.Name] = true
	}
	for _, d := range Operators() {
		if d.Name == "" || d.Signature == "" || d.Doc == "" {
			t.Errorf("bad documentation: %+v", d)
		}
	}
}
