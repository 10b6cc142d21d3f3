package expr

import (
	"math"
	"sort"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

func arrayFunctions() []function {
	return []function{
		def(1, 1, compileSum, "sum(array of number) same", "The exact sum of the elements, rounded once, nulls aside; null of none, and of longs outside a long. min and max take an array too.",
			"sum(prices)", "6"),
		def(1, 1, compileAvg, "avg(array of number) double", "The mean of the elements, exact and rounded once, nulls aside; null of none. Also mean.",
			"avg(prices)", "2"),
		def(2, 2, compileDot, "dot(a array of number, b array of number) double", "The exact sum of the products of elements, rounded once; null if they are not of one length, or an element is null.",
			"dot(prices, prices)", "14"),
		def(2, 2, compileCosine, "cosine(a array of number, b array of number) double", "The cosine of the angle between two arrays, -1 to 1; null as dot, and where one has no length.",
			"cosine(prices, prices)", "1"),
		def(2, 3, compileGet, "get(x array|map, key, other?) same", "x[key], or other where that is null.",
			`get(split("a,b", ","), 5, "none")`, "none"),
		def(1, 1, compileKeys, "keys(map) array of string", "The keys of a map, each once, in bytewise order; null if they take more than 64 KiB.",
			`join(keys(attrs), "+")`, "color+size"),
	}
}

// vector checks that o is an array of longs or doubles.
func (c *compiler) vector(name string, o operand) error {
	if o.t.Kind == event.List && o.t.Elem != nil && (o.t.Elem.Kind == event.Long || o.t.Elem.Kind == event.Double) {
		return nil
	}
	hint := ""
	if o.t.Numeric() {
		hint = aggregateHint
	}
	return c.fail(o.at, name+" takes an array of numbers, not "+o.describe(), hint)
}

func compileSum(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0]
	if err := c.vector(name, x); err != nil {
		return code{}, err
	}
	r := nullable(x.t.Elem.Kind, name, x.code)
	if x.t.Elem.Kind == event.Long {
		r.i = try1(x.s, sumLongs)
		return r, nil
	}
	r.f = try1(x.s, func(s string) (float64, bool) {
		var a exactSum
		ok := sumOf(s, &a)
		return a.over(1), ok && a.n > 0
	})
	return r, nil
}

func compileAvg(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.vector(name, args[0]); err != nil {
		return code{}, err
	}
	r := nullable(event.Double, name, args[0].code)
	r.f = try1(args[0].s, func(s string) (float64, bool) {
		var a exactSum
		if !sumOf(s, &a) || a.n == 0 {
			return 0, false
		}
		return a.over(uint32(a.n)), true // each takes a byte at least of a record
	})
	return r, nil
}

// number is an element as a double.
func numberOf(e event.Value) (float64, bool) {
	switch e.Kind {
	case event.Long:
		return float64(e.Long()), true
	case event.Double:
		return e.Double(), true
	}
	return 0, false
}

// eachPair calls f with the elements of two arrays of numbers; false if they are not of one length, or one
// is null.
func eachPair(a, b string, f func(x, y float64)) bool {
	for a != "" && b != "" {
		p, rest, err := event.DecodeValue(a)
		if err != nil {
			return false
		}
		q, more, err := event.DecodeValue(b)
		if err != nil {
			return false
		}
		a, b = rest, more
		x, ok := numberOf(p)
		y, known := numberOf(q)
		if !ok || !known {
			return false
		}
		f(x, y)
	}
	return a == b
}

func (c *compiler) vectors(name string, args []operand) (code, error) {
	for _, a := range args {
		if err := c.vector(name, a); err != nil {
			return code{}, err
		}
	}
	return nullable(event.Double, name, codes(args)...), nil
}

func compileDot(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	r, err := c.vectors(name, args)
	if err != nil {
		return code{}, err
	}
	r.f = try2(args[0].s, args[1].s, func(a, b string) (float64, bool) {
		var sum exactSum
		if !eachPair(a, b, sum.addProduct) {
			return 0, false
		}
		return sum.over(1), true
	})
	return r, nil
}

func compileCosine(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	r, err := c.vectors(name, args)
	if err != nil {
		return code{}, err
	}
	r.f = try2(args[0].s, args[1].s, cosineOf)
	return r, nil
}

// cosineOf is a·b / sqrt(a·a · b·b), the three sums exact and rounded once, with exponents kept apart
// so that nothing overflows.
func cosineOf(a, b string) (float64, bool) {
	var dot, left, right exactSum
	ok := eachPair(a, b, func(x, y float64) {
		dot.addProduct(x, y)
		left.addProduct(x, x)
		right.addProduct(y, y)
	})
	if !ok {
		return 0, false
	}
	if left.extra != 0 || right.extra != 0 {
		return math.NaN(), true
	}
	const unbounded = -1 << 20
	d, de := dot.rounded(1, unbounded)
	p, pe := left.rounded(1, unbounded)
	q, qe := right.rounded(1, unbounded)
	if p == 0 || q == 0 {
		return 0, false
	}
	if d == 0 {
		return 0, true
	}
	if (pe+qe)&1 != 0 {
		p, pe = p*2, pe-1
	}
	cos := math.Ldexp(d/math.Sqrt(float64(p*q)), de-(pe+qe)/2)
	return max(-1, min(1, cos)), true
}

// extremeOf compiles min and max of an array.
func (c *compiler) extremeOf(name string, o operand) (code, error) {
	if o.t.Elem == nil || !o.t.Elem.Ordered() {
		return code{}, c.wrong(name, o, "an array of values that have an order")
	}
	t := *o.t.Elem
	t.Nullable = true
	list, kind, least := o.s, t.Kind, name == "min"
	return fromValue(t, called(name, o.code), func(row []event.Value) event.Value {
		s, ok := list(row)
		if !ok {
			return event.Value{}
		}
		var best event.Value
		for s != "" {
			e, rest, err := event.DecodeValue(s)
			if err != nil {
				return event.Value{}
			}
			if s = rest; e.Kind != kind || kind == event.Decimal && int32(e.Num) != t.Scale {
				continue
			}
			if kind == event.Double && e.Double() != e.Double() {
				return e
			}
			if best.IsNull() || (event.Compare(e, best) < 0) == least && event.Compare(e, best) != 0 {
				best = e
			}
		}
		return best
	}), nil
}

func compileGet(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	if k := args[0].t.Kind; k != event.List && k != event.Map {
		return code{}, c.wrong(name, args[0], "an array or a map")
	}
	x, err := c.index(n, args[1].at, args[0].code, args[1].code)
	if err != nil || len(args) == 2 {
		return x, err
	}
	return c.choose(n, []operand{{x, args[0].at}, args[2]}, name)
}

func compileKeys(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if args[0].t.Kind != event.Map {
		return code{}, c.wrong(name, args[0], "a map")
	}
	r := nullable(event.List, name, args[0].code)
	r.t.Elem = &stringElem
	r.s = try1(args[0].s, func(s string) (string, bool) {
		if len(s) > 16*MaxString {
			return "", false
		}
		var keys []string
		for s != "" {
			k, rest, err := event.DecodeValue(s)
			if err != nil {
				return "", false
			}
			if _, s, err = event.DecodeValue(rest); err != nil {
				return "", false
			}
			if k.Kind == event.String {
				keys = append(keys, k.Str)
			}
		}
		sort.Strings(keys)
		var out []byte
		for i, k := range keys {
			if i > 0 && k == keys[i-1] {
				continue
			}
			if out = event.AppendValue(out, event.StringOf(k)); len(out) > MaxString {
				return "", false
			}
		}
		return event.Alias(out), true
	})
	return r, nil
}
