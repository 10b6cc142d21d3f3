package expr

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// logic compiles `and` and `or` of three values: what is decided by one side is not null.
func (c *compiler) logic(n *ast.BinaryNode, l, r code) (code, error) {
	and := n.Operator == "and" || n.Operator == "&&"
	word := map[bool]string{true: "and", false: "or"}[and]
	for _, o := range []operand{{l, n.Left}, {r, n.Right}} {
		if o.t.Kind != event.Bool {
			return code{}, c.fail(o.at, fmt.Sprintf("%s joins booleans, not %s", word, o.describe()),
				"write a condition, like x > 0 or x != nil")
		}
	}
	x := code{t: event.Type{Kind: event.Bool, Nullable: l.t.Nullable || r.t.Nullable}}
	x.text = "(" + l.text + " " + word + " " + r.text + ")"
	a, b := l.b, r.b
	x.b = func(row []event.Value) (bool, bool) {
		p, known := a(row)
		if known && p != and {
			return !and, true
		}
		q, ok := b(row)
		if ok && q != and {
			return !and, true
		}
		return and, known && ok
	}
	return fold(x, l, r), nil
}

// conditional compiles cond ? a : b; a null condition takes b.
func (c *compiler) conditional(n *ast.ConditionalNode) (code, error) {
	cond, err := c.expr(n.Cond)
	if err != nil {
		return code{}, err
	}
	sides := make([]operand, 2)
	for i, k := range []ast.Node{n.Exp1, n.Exp2} {
		x, err := c.expr(k)
		if err != nil {
			return code{}, err
		}
		sides[i] = operand{x, k}
	}
	return c.either(n, operand{cond, n.Cond}, sides)
}

// either takes the first side where cond holds, else the second.
func (c *compiler) either(n ast.Node, cond operand, sides []operand) (code, error) {
	if cond.t.Kind != event.Bool {
		return code{}, c.fail(cond.at, "the condition of ?: is "+cond.describe()+", not boolean", "")
	}
	xs, t, err := c.unify(n, sides, "the two sides of ?: are")
	if err != nil {
		return code{}, err
	}
	if t.Kind == event.Null {
		return nilCode(), nil
	}
	a, b := xs[0], xs[1]
	t.Nullable = a.t.Nullable || b.t.Nullable
	r := code{t: t, text: "(" + cond.text + " ? " + a.text + " : " + b.text + ")"}
	switch classOf(t.Kind) {
	case boolClass:
		r.b = pick(cond.b, a.b, b.b)
	case intClass:
		r.i = pick(cond.b, a.i, b.i)
	case floatClass:
		r.f = pick(cond.b, a.f, b.f)
	case strClass:
		r.s = pick(cond.b, a.s, b.s)
	case valueClass:
		r.v = pick(cond.b, a.v, b.v)
	}
	return fold(r, cond.code, a, b), nil
}

func pick[T any](cond fn[bool], a, b fn[T]) fn[T] {
	return func(row []event.Value) (T, bool) {
		if yes, ok := cond(row); yes && ok {
			return a(row)
		}
		return b(row)
	}
}

// choose compiles the first operand that is not null: ?? and coalesce.
func (c *compiler) choose(n ast.Node, in []operand, name string) (code, error) {
	xs, t, err := c.unify(n, in, name+" chooses among")
	if err != nil {
		return code{}, err
	}
	t.Nullable = true
	var texts []string
	for _, x := range xs {
		texts = append(texts, x.text)
		t.Nullable = t.Nullable && x.t.Nullable
	}
	r := code{t: t, text: "coalesce(" + strings.Join(texts, ", ") + ")"}
	switch classOf(t.Kind) {
	case boolClass:
		r.b = first(xs, func(x code) fn[bool] { return x.b })
	case intClass:
		r.i = first(xs, func(x code) fn[int64] { return x.i })
	case floatClass:
		r.f = first(xs, func(x code) fn[float64] { return x.f })
	case strClass:
		r.s = first(xs, func(x code) fn[string] { return x.s })
	case valueClass:
		r.v = first(xs, func(x code) fn[event.Value] { return x.v })
	}
	return fold(r, xs...), nil
}

func first[T any](xs []code, of func(code) fn[T]) fn[T] {
	f := of(xs[len(xs)-1])
	for i := len(xs) - 2; i >= 0; i-- {
		a, rest := of(xs[i]), f
		f = func(row []event.Value) (T, bool) {
			if x, ok := a(row); ok {
				return x, true
			}
			return rest(row)
		}
	}
	return f
}

func compileCoalesce(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	x, err := c.choose(n, args, name)
	if err == nil && x.isNil() {
		return nilCode(), nil
	}
	return x, err
}

// unify brings operands to one type: nil takes any, long and double meet in double (long and decimal
// in decimal), a string literal is read as the instant, date or time that the others are.
func (c *compiler) unify(n ast.Node, in []operand, what string) ([]code, event.Type, error) {
	var t event.Type // of what is no literal, else of any
	for _, soft := range []bool{false, true} {
		for _, o := range in {
			if o.isNil() || o.konst != soft {
				continue
			}
			with := o.t
			if soft && t.Kind == event.Decimal {
				if d, ok := asDecimal(o.code); ok {
					with = d.t
				}
			}
			if m, ok := meet(t, with); ok {
				t = m
			} else if !soft || o.t.Kind != event.String || !written(t.Kind) {
				return nil, t, c.fail(n, fmt.Sprintf("%s of two kinds: %s and %s", what, (code{t: t}).describe(), o.describe()), "")
			}
		}
	}
	xs := make([]code, len(in))
	for i, o := range in {
		x, err := c.convert(o, t)
		if err != nil {
			return nil, t, err
		}
		xs[i] = x
	}
	return xs, t, nil
}

// meet is the type to which values of a and b can be brought without loss of meaning.
func meet(a, b event.Type) (event.Type, bool) {
	b.Nullable = false
	switch {
	case a.Kind == event.Null:
		return b, true
	case a.Kind == event.Long && b.Kind == event.Double:
		return b, true
	case a.Kind == event.Double && b.Kind == event.Long:
		return a, true
	case a.Kind == event.Decimal && b.Kind == event.Long:
		return a, true
	case a.Kind == event.Long && b.Kind == event.Decimal:
		return b, true
	case a.Kind != b.Kind:
		return a, false
	case a.Kind == event.Decimal:
		a.Scale = max(a.Scale, b.Scale)
		return a, true
	case a.Kind == event.List || a.Kind == event.Map:
		return a, a.Elem != nil && b.Elem != nil && a.String() == b.String()
	}
	return a, true
}

// convert brings o to t, to which unify or meet found that it can be brought.
func (c *compiler) convert(o operand, t event.Type) (code, error) {
	switch {
	case o.isNil():
		t.Nullable = true
		return fromValue(t, o.text, func([]event.Value) event.Value { return event.Value{} }), nil
	case o.t.Kind == event.Long && t.Kind == event.Double:
		return toDouble(o.code), nil
	case t.Kind == event.Decimal:
		d, _ := asDecimal(o.code)
		return rescale(d, t.Scale), nil
	case o.konst && o.t.Kind == event.String && written(t.Kind):
		return c.instant(o, t.Kind)
	}
	return o.code, nil
}
