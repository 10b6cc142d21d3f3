package expr

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	oracle "github.com/expr-lang/expr"

	"github.com/penstock-ml/penstock/event"
)

// FuzzCompile feeds any text: nothing panics, time is bounded, mistakes point into the text, and what
// compiles evaluates to its type and to its canonical form.
func FuzzCompile(f *testing.F) {
	for _, tc := range allCases() {
		f.Add(tc.src)
	}
	for _, tc := range slices.Concat(errorCases, functionErrors) {
		f.Add(strings.NewReplacer("«", "", "»", "").Replace(tc.src))
	}
	nulls := make([]event.Value, len(testColumns))
	f.Fuzz(func(t *testing.T, src string) {
		start := time.Now()
		defer func() {
			if took := time.Since(start); took > 30*time.Second { // hangs; a busy machine may be slow
				t.Errorf("took %v", took)
			}
		}()
		p, err := Compile(src, testLookup, testNames())
		_, nerr := Names(src)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) || e.Offset < 0 || e.Len < 0 || e.Offset+e.Len > len(src) || e.Msg == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		if nerr != nil {
			t.Fatalf("compiled, but has no names: %v", nerr)
		}
		var first event.Value
		for i, row := range [][]event.Value{testRow(), nulls} {
			v := p.Eval(row)
			if v.IsNull() && !p.Type().Nullable && i == 0 || !v.IsNull() && v.Kind != p.Type().Kind {
				t.Fatalf("%s: %v is not of type %s", p, v, p.Type())
			}
			if i == 0 {
				first = v
			}
		}
		if len(p.String()) > MaxSource {
			return
		}
		again, err := Compile(p.String(), testLookup, testNames())
		if err != nil {
			t.Fatalf("canonical form %s: %v", p, err)
		}
		if again.String() != p.String() || again.Type().String() != p.Type().String() || again.Eval(testRow()) != first {
			t.Fatalf("canonical form %s (%s = %v) compiles to %s (%s = %v)",
				p, p.Type(), first, again, again.Type(), again.Eval(testRow()))
		}
	})
}

// writer writes random expressions of a type, in which no long overflows and nothing is null.
type writer struct{ *rand.Rand }

func (w writer) pick(options ...func() string) string { return options[w.IntN(len(options))]() }

func (w writer) long(depth int) string {
	if depth == 0 {
		return w.pick(
			func() string { return "i" }, func() string { return "j" },
			func() string { return fmt.Sprint(w.IntN(9)) }, func() string { return fmt.Sprintf("(-%d)", w.IntN(9)) },
		)
	}
	d := depth - 1
	return w.pick(
		func() string {
			return "(" + w.long(d) + " " + []string{"+", "-", "*"}[w.IntN(3)] + " " + w.long(d) + ")"
		},
		func() string { return "(" + w.long(d) + " % " + fmt.Sprint(1+w.IntN(9)) + ")" },
		func() string { return "-" + w.long(0) },
		func() string { return "(" + w.bool(d) + " ? " + w.long(d) + " : " + w.long(d) + ")" },
		func() string { return "len(" + w.string(d) + ")" },
		func() string { return "abs(" + w.long(d) + ")" },
		func() string { return "max(" + w.long(d) + ", " + w.long(d) + ")" },
		func() string { return "int(" + w.double(d) + ")" },
		func() string { return fmt.Sprintf("li[%d]", w.IntN(3)) },
		func() string { return `m["k"]` },
		func() string { return "(" + w.long(d) + " ?? 1)" },
		func() string { return []string{"sum", "min", "max"}[w.IntN(3)] + "(li)" },
		func() string { return "sign(" + w.number(d) + ")" },
		func() string { return "clamp(" + w.long(d) + ", " + w.long(0) + ", " + w.long(0) + ")" },
		func() string { return "mod(" + w.long(d) + ", 7)" },
		func() string { return "strpos(" + w.string(d) + ", " + w.string(0) + ")" },
		func() string { return "byte_len(" + w.string(d) + ")" },
		func() string { return "len(split(" + w.string(d) + `, "b"))` },
		func() string { return "day_of_year(timestamp_seconds(mod(" + w.long(d) + ", 9973) * 86399))" },
		func() string { return "year(timestamp_seconds(mod(" + w.long(d) + ", 9973) * 8639977))" },
	)
}

func (w writer) double(depth int) string {
	if depth == 0 {
		return w.pick(
			func() string { return "x" }, func() string { return "y" },
			func() string { return fmt.Sprintf("%.2f", w.Float64()*9) },
		)
	}
	d := depth - 1
	return w.pick(
		func() string {
			return "(" + w.double(d) + " " + []string{"+", "-", "*"}[w.IntN(3)] + " " + w.number(d) + ")"
		},
		func() string { return "(" + w.number(d) + " * " + w.double(d) + ")" },
		func() string { return "(" + w.number(d) + " / (abs(" + w.number(d) + ") + 0.5))" },
		func() string { return "(" + w.number(d) + " ** " + fmt.Sprint(w.IntN(3)) + ")" },
		func() string { return []string{"floor", "ceil", "round", "abs"}[w.IntN(4)] + "(" + w.double(d) + ")" },
		func() string { return "min(" + w.double(d) + ", " + w.double(d) + ")" },
		func() string { return "float(" + w.long(d) + ")" },
		func() string { return "(" + w.bool(d) + " ? " + w.double(d) + " : " + w.double(d) + ")" },
		func() string { return "-" + w.double(0) },
		func() string { return "mean(li)" },
		func() string { return "sqrt(abs(" + w.double(d) + "))" },
		func() string { return "trunc(" + w.double(d) + ")" },
		func() string { return fmt.Sprintf("round(%s, %d)", w.double(d), w.IntN(5)-1) },
	)
}

func (w writer) number(depth int) string {
	return w.pick(func() string { return w.long(depth) }, func() string { return w.double(depth) })
}

func (w writer) string(depth int) string {
	if depth == 0 {
		return w.pick(
			func() string { return "s" }, func() string { return "r.t" },
			func() string { return fmt.Sprintf("%q", "xAbö1"[:1+w.IntN(3)]) },
		)
	}
	d := depth - 1
	return w.pick(
		func() string { return "(" + w.string(d) + " + " + w.string(d) + ")" },
		func() string { return []string{"lower", "upper", "trim"}[w.IntN(3)] + "(" + w.string(d) + ")" },
		func() string { return "string(" + w.long(d) + ")" },
		func() string { return "(" + w.bool(d) + " ? " + w.string(d) + " : " + w.string(d) + ")" },
		func() string { return fmt.Sprintf("ls[%d]", w.IntN(2)) },
		func() string { return "replace(" + w.string(d) + `, "x", ` + w.string(0) + ")" },
		func() string { return fmt.Sprintf("repeat(%s, %d)", w.string(d), w.IntN(3)) },
		func() string { return "split(" + w.string(d) + `, "A")[0]` },
		func() string { return "join(split(" + w.string(d) + `, "b"), ` + w.string(0) + ")" },
		func() string { return fmt.Sprintf("substring(%s, %d, %d)", w.string(d), w.IntN(9)-4, w.IntN(5)) },
		func() string {
			return fmt.Sprintf("%s(%s, %d)", []string{"left", "right"}[w.IntN(2)], w.string(d), w.IntN(7)-3)
		},
		func() string { return "reverse(" + w.string(d) + ")" },
		func() string {
			return fmt.Sprintf("%s(%s, %d, %q)", []string{"lpad", "rpad"}[w.IntN(2)], w.string(d), w.IntN(9), "yö.")
		},
		func() string {
			return "(split_part(" + w.string(d) + `, "x", ` + fmt.Sprint(w.IntN(5)-2) + `) ?? "none")`
		},
		func() string { return "concat(" + w.string(d) + ", " + w.string(0) + ", " + w.string(d) + ")" },
		func() string { return `regexp_replace(` + w.string(d) + `, "[a-b]+(.)", "<$1$0>")` },
		func() string { return `(regexp_extract(` + w.string(d) + `, "[bö](.*)", 1) ?? "")` },
		func() string {
			return `format("{}|{:03d}|{:.1f}", ` + w.string(0) + ", " + w.long(d) + ", " + w.double(d) + ")"
		},
	)
}

func (w writer) bool(depth int) string {
	if depth == 0 {
		return w.pick(func() string { return "b" }, func() string { return "true" }, func() string { return "false" })
	}
	d := depth - 1
	cmp := []string{"==", "!=", "<", "<=", ">", ">="}[w.IntN(6)]
	return w.pick(
		func() string { return "(" + w.number(d) + " " + cmp + " " + w.number(d) + ")" },
		func() string { return "(" + w.string(d) + " " + cmp + " " + w.string(d) + ")" },
		func() string { return "(" + w.bool(d) + " " + []string{"==", "!="}[w.IntN(2)] + " " + w.bool(d) + ")" },
		func() string {
			return "(" + w.bool(d) + " " + []string{"and", "or", "&&", "||"}[w.IntN(4)] + " " + w.bool(d) + ")"
		},
		func() string { return []string{"not ", "!"}[w.IntN(2)] + "(" + w.bool(d) + ")" },
		func() string { return "(" + w.long(d) + " in [3, -1, 4, 0])" },
		func() string { return "(" + w.long(d) + " not in -2..5)" },
		func() string { return "(" + w.string(d) + ` in ["x", "A1", "ab"])` },
		func() string { return "(" + w.string(d) + " in ls)" },
		func() string { return "(" + w.string(d) + " in m)" },
		func() string {
			return "(" + w.string(d) + " " + []string{"contains", "startsWith", "endsWith"}[w.IntN(3)] + " " + w.string(0) + ")"
		},
		func() string { return "(" + w.string(d) + ` matches "^[a-x]+b?")` },
		func() string { return fmt.Sprintf("(%s < %s <= %s)", w.long(d), w.number(d), w.long(d)) },
	)
}

// FuzzOracle compares with expr-lang's own machine on random expressions.
func FuzzOracle(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, int8(seed), -2.5*float64(seed%7), "aBc", seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, i int8, x float64, s string, b bool) {
		if math.IsNaN(x) || math.Abs(x) > 1e3 {
			x = 2.5 // int(x) of what no long holds differs on purpose
		}
		x += 0
		s = strings.ToValidUTF8(s[:min(len(s), 20)], "?")
		w := writer{rand.New(rand.NewPCG(seed, 0))}
		src := w.pick(func() string { return w.bool(4) }, func() string { return w.double(3) },
			func() string { return w.long(3) }, func() string { return w.string(3) })
		if len(src) > MaxSource {
			return
		}
		compareWithOracle(t, src, i, x, s, b)
	})
}

func compareWithOracle(t *testing.T, src string, i int8, x float64, s string, b bool) {
	t.Helper()
	double, long, text := event.Type{Kind: event.Double}, event.Type{Kind: event.Long}, event.Type{Kind: event.String}
	names := []string{"i", "j", "x", "y", "s", "r.t", "b", "li", "ls", "m"}
	types := []event.Type{
		long, long, double, double, text, text,
		{Kind: event.Bool},
		{Kind: event.List, Elem: &long},
		{Kind: event.List, Elem: &text},
		{Kind: event.Map, Elem: &long},
	}
	elems := func(k event.Kind, vs ...event.Value) event.Value {
		return event.Value{Kind: k, Str: string(event.AppendList(nil, vs...))}
	}
	j := int(i)%7 - 3
	row := []event.Value{
		event.LongOf(int64(i % 20)), event.LongOf(int64(j)), event.DoubleOf(x), event.DoubleOf(0.75),
		event.StringOf(s), event.StringOf("x"), event.BoolOf(b),
		elems(event.List, event.LongOf(4), event.LongOf(int64(j)), event.LongOf(-6)),
		elems(event.List, event.StringOf("ab"), event.StringOf(s)),
		elems(event.Map, event.StringOf("k"), event.LongOf(9), event.StringOf("x"), event.LongOf(1)),
	}
	env := map[string]any{
		"i": int(i % 20), "j": j, "x": x, "y": 0.75, "s": s, "r": map[string]any{"t": "x"}, "b": b,
		"li": []int{4, j, -6}, "ls": []string{"ab", s}, "m": map[string]int{"k": 9, "x": 1},
	}
	shown := fmt.Sprint(env)
	maps.Copy(env, naiveFunctions)
	p, err := Compile(src, func(name string) (int, event.Type, bool) {
		for i, n := range names {
			if n == name {
				return i, types[i], true
			}
		}
		return 0, event.Type{}, false
	}, names)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	machine, err := oracle.Compile(src, oracle.Env(env), oracle.Optimize(false))
	if err != nil {
		t.Fatalf("%s: the oracle: %v", src, err)
	}
	want, err := oracle.Run(machine, env)
	if err != nil {
		t.Fatalf("%s: the oracle: %v", src, err)
	}
	got := p.Eval(row)
	var same bool
	switch want := want.(type) {
	case bool:
		same = got == event.BoolOf(want)
	case int:
		same = got == event.LongOf(int64(want))
	case float64:
		same = got == event.DoubleOf(want) || math.IsNaN(want) && math.IsNaN(got.Double())
	case string:
		same = got == event.StringOf(want)
	}
	if !same {
		t.Errorf("%s\nover %v\n got %s %v\nwant %T %v", src, shown, got.Kind, got, want, want)
	}
}
