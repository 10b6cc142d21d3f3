package expr

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

func conditionFunctions() []function {
	return []function{
		def(3, 3, compileIf, "if(cond boolean, a, b) same", "cond ? a : b: a where cond is true, b where it is false or null.",
			`if(2 > 1, "yes", "no")`, "yes"),
		def(2, -1, compileCaseOf, "case(cond, a, cond, b, …, other?) same", "The value behind the first condition that is true; other, or null without it, where none is.",
			`case(2 > 3, "low", 2 > 1, "high", "none")`, "high"),
		def(1, -1, compileCoalesce, "coalesce(a, b, …) same", "The first that is not null; a ?? b is the same.",
			"coalesce(nil, 3)", "3"),
		def(2, 2, compileNullIf, "nullif(x, y) same", "x, or null where x == y.",
			`nullif("n/a", "n/a")`, "", `nullif(5, 0)`, "5"),
	}
}

func compileIf(c *compiler, n ast.Node, _ string, args []operand) (code, error) {
	return c.either(n, args[0], args[1:])
}

// compileCaseOf compiles case: conditions and values in turn.
func compileCaseOf(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	var conds []code
	var values []operand
	for i := 0; i+1 < len(args); i += 2 {
		if args[i].t.Kind != event.Bool {
			return code{}, c.fail(args[i].at, fmt.Sprintf("condition %d of case is %s, not boolean", i/2+1, args[i].describe()), "case(cond, a, cond, b, …, other)")
		}
		conds = append(conds, args[i].code)
		values = append(values, args[i+1])
	}
	other := operand{nilCode(), n}
	if len(args)%2 == 1 {
		other = args[len(args)-1]
	}
	xs, t, err := c.unify(n, append(values, other), "the values of case are")
	if err != nil {
		return code{}, err
	}
	if t.Kind == event.Null {
		return nilCode(), nil
	}
	t.Nullable = false
	var texts []string
	folds := append([]code(nil), conds...)
	for i, x := range xs {
		t.Nullable = t.Nullable || x.t.Nullable
		if i < len(conds) {
			texts = append(texts, conds[i].text)
		}
		if i < len(conds) || len(args)%2 == 1 {
			texts = append(texts, x.text)
		}
		folds = append(folds, x)
	}
	r := code{t: t, text: name + "(" + strings.Join(texts, ", ") + ")"}
	switch classOf(t.Kind) {
	case boolClass:
		r.b = cases(conds, xs, func(x code) fn[bool] { return x.b })
	case intClass:
		r.i = cases(conds, xs, func(x code) fn[int64] { return x.i })
	case floatClass:
		r.f = cases(conds, xs, func(x code) fn[float64] { return x.f })
	case strClass:
		r.s = cases(conds, xs, func(x code) fn[string] { return x.s })
	case valueClass:
		r.v = cases(conds, xs, func(x code) fn[event.Value] { return x.v })
	}
	return fold(r, folds...), nil
}

// cases takes the first value whose condition holds, else the last.
func cases[T any](conds, values []code, of func(code) fn[T]) fn[T] {
	tests, xs := make([]fn[bool], len(conds)), make([]fn[T], len(values))
	for i, c := range conds {
		tests[i] = c.b
	}
	for i, x := range values {
		xs[i] = of(x)
	}
	other := xs[len(xs)-1]
	return func(row []event.Value) (T, bool) {
		for i, test := range tests {
			if yes, ok := test(row); yes && ok {
				return xs[i](row)
			}
		}
		return other(row)
	}
}

// compileNullIf compiles nullif: x evaluated once.
func compileNullIf(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	if args[0].isNil() || args[1].isNil() {
		return code{}, c.fail(n, name+" with nil is of no use", "leave it out")
	}
	x, y, err := c.align(args[0], args[1])
	if err != nil {
		return code{}, err
	}
	if k := x.t.Kind; k == event.List || k == event.Map || compareCode("==", x.code, y.code) == nil {
		return code{}, c.fail(n, fmt.Sprintf("cannot compare %s with %s", x.describe(), y.describe()), compareHint(x.code, y.code))
	}
	return c.nullIf(name, x, y), nil
}

// nullIf is x where it is not y. Both are of kinds that compare.
func (c *compiler) nullIf(name string, x, y operand) code {
	r := nullable(x.t.Kind, name, x.code, y.code)
	r.t.Scale, r.t.Elem = x.t.Scale, x.t.Elem
	switch a, b := x.t.Kind, y.t.Kind; {
	case a == event.Bool:
		r.b = unless(x.b, y.b, func(p, q bool) bool { return p == q })
	case classOf(a) == intClass && classOf(b) == intClass:
		r.i = unless(x.i, y.i, func(p, q int64) bool { return p == q })
	case a == event.Long:
		r.i = unless(x.i, y.f, func(p int64, q float64) bool { return q == q && exactly(p, q) })
	case a == event.Double && b == event.Long:
		r.f = unless(x.f, y.i, func(p float64, q int64) bool { return p == p && exactly(q, p) })
	case a == event.Double:
		r.f = unless(x.f, y.f, func(p, q float64) bool { return p == q })
	case classOf(a) == strClass:
		r.s = unless(x.s, y.s, func(p, q string) bool { return p == q })
	default:
		r.v = unless(x.v, y.v, func(p, q event.Value) bool { return event.Compare(p, q) == 0 })
	}
	return fold(r, x.code, y.code)
}

// unless is x, or null where it equals y.
func unless[A, B any](x fn[A], y fn[B], same func(A, B) bool) fn[A] {
	return func(row []event.Value) (A, bool) {
		p, ok := x(row)
		if q, known := y(row); ok && known && same(p, q) {
			return p, false
		}
		return p, ok
	}
}
