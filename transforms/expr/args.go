package expr

import (
	"fmt"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// result is the shell of an answer: null where an argument is.
func result(kind event.Kind, name string, args ...code) code {
	r := code{t: event.Type{Kind: kind}, text: called(name, args...)}
	for _, a := range args {
		r.t.Nullable = r.t.Nullable || a.t.Nullable
	}
	return r
}

// nullable is result for what may be null of values too.
func nullable(kind event.Kind, name string, args ...code) code {
	r := result(kind, name, args...)
	r.t.Nullable = true
	return r
}

// codes are the operands without their places.
func codes(args []operand) []code {
	out := make([]code, len(args))
	for i, a := range args {
		out[i] = a.code
	}
	return out
}

// numbers are arguments brought to doubles.
func (c *compiler) numbers(name string, args []operand) ([]code, error) {
	out := make([]code, len(args))
	for i, a := range args {
		if !a.t.Numeric() {
			return nil, c.wrong(name, a, "a number")
		}
		out[i] = toDouble(a.code)
	}
	return out, nil
}

// kinds checks that argument i is of kinds[i].
func (c *compiler) kinds(name string, args []operand, kinds ...event.Kind) error {
	for i, a := range args {
		if a.t.Kind != kinds[i] {
			return c.wrong(name, a, article(kinds[i].String()))
		}
	}
	return nil
}

func article(word string) string {
	switch word {
	case "array":
		return "an array"
	case "bytes":
		return word
	}
	return "a " + word
}

// text is an argument that must be a string literal; what names it in messages.
func (c *compiler) text(o operand, what, hint string) (string, error) {
	if !o.konst || o.t.Kind != event.String {
		return "", c.fail(o.at, what+" is a string literal", hint)
	}
	return o.val.Str, nil
}

// at puts the place of o on a mistake that knows none.
func (c *compiler) at(o operand, err error) error {
	hint := ""
	if e, ok := err.(*Error); ok {
		hint = e.Hint
	}
	return c.fail(o.at, err.Error(), hint)
}

// try3 is null where one of the three is null or f gives no value.
func try3[A, B, C, R any](a fn[A], b fn[B], c fn[C], f func(A, B, C) (R, bool)) fn[R] {
	return func(row []event.Value) (r R, ok bool) {
		x, ok := a(row)
		if !ok {
			return r, false
		}
		y, ok := b(row)
		if !ok {
			return r, false
		}
		z, ok := c(row)
		if !ok {
			return r, false
		}
		return f(x, y, z)
	}
}

// doubles1 compiles a function of one number to a double.
func doubles1(f func(float64) float64) compileFunc {
	return func(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
		xs, err := c.numbers(name, args)
		if err != nil {
			return code{}, err
		}
		r := result(event.Double, name, xs...)
		r.f = map1(xs[0].f, func(v float64) float64 { return f(v) + 0 })
		return fold(r, xs...), nil
	}
}

// asBinary compiles a function that is an operator.
func asBinary(op string) compileFunc {
	return func(c *compiler, n ast.Node, name string, args []operand) (code, error) {
		for _, a := range args {
			if !a.t.Numeric() {
				return code{}, c.wrong(name, a, "numbers")
			}
		}
		return c.arithmetic(n, op, args[0].code, args[1].code)
	}
}

// choice looks a literal up among the words that a function knows.
func choice[T any](c *compiler, o operand, what string, words []string, of func(i int) T) (v T, err error) {
	s, err := c.text(o, what, "write one of "+list(words, "and"))
	if err != nil {
		return v, err
	}
	for i, w := range words {
		if w == s {
			return of(i), nil
		}
	}
	hint := "write one of " + list(words, "and")
	if best, ok := Nearest(s, words); ok {
		hint = "did you mean " + best + "?"
	}
	return v, c.fail(o.at, fmt.Sprintf("%q is not %s that exists", s, what), hint)
}
