package expr

import (
	"math"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// fn computes a T from a row; ok is false for null, and then the T means nothing.
type fn[T any] func(row []event.Value) (v T, ok bool)

// code is a compiled part of an expression: its type, its canonical text and one closure, in the
// field that its kind says. The zero Kind is the literal nil, which has no closure.
type code struct {
	t    event.Type
	text string

	b fn[bool]        // Bool
	i fn[int64]       // Long, Timestamp, LocalTimestamp, Date, TimeOfDay
	f fn[float64]     // Double; never -0
	s fn[string]      // String, Bytes, List, Map: Value.Str
	v fn[event.Value] // Decimal

	slot  int  // 1 + the slot, if it is nothing but a column
	konst bool // the same for every row, and not null
	val   event.Value
}

// class is the representation of a kind.
type class uint8

const (
	noClass class = iota
	boolClass
	intClass
	floatClass
	strClass
	valueClass
)

func classOf(k event.Kind) class {
	switch k {
	case event.Bool:
		return boolClass
	case event.Long, event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
		return intClass
	case event.Double:
		return floatClass
	case event.String, event.Bytes, event.List, event.Map:
		return strClass
	case event.Decimal:
		return valueClass
	}
	return noClass
}

// isNil tells whether c is the literal nil (or a column that can only be null).
func (c code) isNil() bool { return c.t.Kind == event.Null }

// nilCode is the literal nil.
func nilCode() code {
	return code{t: event.Type{Kind: event.Null, Nullable: true}, text: "nil"}
}

// always returns a closure that gives x for every row.
func always[T any](x T) fn[T] {
	return func([]event.Value) (T, bool) { return x, true }
}

// constant is code that gives v, which is not null, for every row.
func constant(v event.Value, t event.Type) code {
	t.Nullable = false
	c := code{t: t, text: literal(v), konst: true, val: v}
	switch classOf(t.Kind) {
	case boolClass:
		c.b = always(v.Bool())
	case intClass:
		c.i = always(v.Long())
	case floatClass:
		c.f = always(v.Double())
	case strClass:
		c.s = always(v.Str)
	case valueClass:
		c.v = always(v)
	}
	return c
}

func longConst(n int64) code { return constant(event.LongOf(n), event.Type{Kind: event.Long}) }

func doubleConst(f float64) code { return constant(event.DoubleOf(f), event.Type{Kind: event.Double}) }

// literal is the text of a constant: what compiles to it again in its place.
func literal(v event.Value) string {
	switch v.Kind {
	case event.String:
		return quote(v.Str)
	case event.Bytes:
		return "b" + quoteBytes(v.Str)
	case event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
		return instantNames[v.Kind] + `("` + v.String() + `")`
	case event.Double:
		f := v.Double()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return `double("` + event.FormatDouble(f) + `")`
		}
		s := strconv.FormatFloat(f, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return negative(s)
	case event.Long:
		if v.Long() == math.MinInt64 { // the grammar reads the sign apart, and then it does not fit
			return "(-9223372036854775807 - 1)"
		}
	}
	return negative(v.String())
}

// instantNames are the functions that read a literal of an instant.
var instantNames = map[event.Kind]string{
	event.Timestamp: "timestamp", event.LocalTimestamp: "local_timestamp", event.Date: "date", event.TimeOfDay: "time",
}

// writable tells whether a literal of v is read again: years have four digits.
func writable(v event.Value) bool {
	switch v.Kind {
	case event.Timestamp, event.LocalTimestamp:
		return v.Long() >= minWritten && v.Long() < maxWritten
	case event.Date:
		return v.Long() >= minWritten/dayMicros && v.Long() < maxWritten/dayMicros
	case event.TimeOfDay:
		return v.Long() >= 0 && v.Long() < dayMicros
	}
	return true
}

// negative puts a negative number in parentheses: -2 ** x is -(2 ** x).
func negative(s string) string {
	if strings.HasPrefix(s, "-") {
		return "(" + s + ")"
	}
	return s
}

// quote writes s as a literal of the grammar, which reads fewer escapes than Go.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteString(`\u00` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15]))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// quoteBytes writes s as a bytes literal without its b.
func quoteBytes(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		x := s[i]
		if x < ' ' || x >= 0x7f || x == '"' || x == '\\' {
			b.WriteString(`\x` + string("0123456789abcdef"[x>>4]) + string("0123456789abcdef"[x&15]))
			continue
		}
		b.WriteByte(x)
	}
	b.WriteByte('"')
	return b.String()
}

// column is code that loads a slot. A value of another kind than declared reads as null.
func column(slot int, t event.Type, name string) code {
	c := code{t: t, text: name, slot: slot + 1}
	kind := t.Kind
	switch classOf(kind) {
	case boolClass:
		c.b = func(row []event.Value) (bool, bool) {
			v := &row[slot]
			return v.Num != 0, v.Kind == kind
		}
	case intClass:
		c.i = func(row []event.Value) (int64, bool) {
			v := &row[slot]
			return int64(v.Num), v.Kind == kind
		}
	case floatClass:
		c.f = func(row []event.Value) (float64, bool) {
			v := &row[slot]
			return math.Float64frombits(v.Num) + 0, v.Kind == kind
		}
	case strClass:
		c.s = func(row []event.Value) (string, bool) {
			v := &row[slot]
			return v.Str, v.Kind == kind
		}
	case valueClass:
		c.v = func(row []event.Value) (event.Value, bool) {
			v := &row[slot]
			return *v, v.Kind == kind && int32(v.Num) == t.Scale
		}
	}
	return c
}

// evaluator is what Program.Eval calls.
func (c code) evaluator() func(row []event.Value) event.Value {
	kind := c.t.Kind
	switch classOf(kind) {
	case boolClass:
		f := c.b
		return func(row []event.Value) event.Value {
			if x, ok := f(row); ok {
				return event.BoolOf(x)
			}
			return event.Value{}
		}
	case intClass:
		f := c.i
		return func(row []event.Value) event.Value {
			if x, ok := f(row); ok {
				return event.Value{Kind: kind, Num: uint64(x)}
			}
			return event.Value{}
		}
	case floatClass:
		f := c.f
		return func(row []event.Value) event.Value {
			if x, ok := f(row); ok {
				return event.DoubleOf(x)
			}
			return event.Value{}
		}
	case strClass:
		f := c.s
		return func(row []event.Value) event.Value {
			if x, ok := f(row); ok {
				return event.Value{Kind: kind, Str: x}
			}
			return event.Value{}
		}
	case valueClass:
		f := c.v
		return func(row []event.Value) event.Value {
			if x, ok := f(row); ok {
				return x
			}
			return event.Value{}
		}
	}
	return func([]event.Value) event.Value { return event.Value{} }
}

// fromValue is code of type t whose values, of that kind or null, f computes.
func fromValue(t event.Type, text string, f func(row []event.Value) event.Value) code {
	c := code{t: t, text: text}
	kind := t.Kind
	switch classOf(kind) {
	case boolClass:
		c.b = func(row []event.Value) (bool, bool) { v := f(row); return v.Bool(), v.Kind == kind }
	case intClass:
		c.i = func(row []event.Value) (int64, bool) { v := f(row); return v.Long(), v.Kind == kind }
	case floatClass:
		c.f = func(row []event.Value) (float64, bool) { v := f(row); return v.Double() + 0, v.Kind == kind }
	case strClass:
		c.s = func(row []event.Value) (string, bool) { v := f(row); return v.Str, v.Kind == kind }
	case valueClass:
		c.v = func(row []event.Value) (event.Value, bool) {
			v := f(row)
			return v, v.Kind == kind && int32(v.Num) == t.Scale
		}
	}
	return c
}

// isNull computes whether c is null; it is never null itself.
func (c code) isNull() fn[bool] {
	switch classOf(c.t.Kind) {
	case boolClass:
		return absent(c.b)
	case intClass:
		return absent(c.i)
	case floatClass:
		return absent(c.f)
	case strClass:
		return absent(c.s)
	case valueClass:
		return absent(c.v)
	}
	return always(true)
}

func absent[T any](f fn[T]) fn[bool] {
	return func(row []event.Value) (bool, bool) {
		_, ok := f(row)
		return !ok, true
	}
}

// map1 is null where a is null, else f of it.
func map1[A, R any](a fn[A], f func(A) R) fn[R] {
	return func(row []event.Value) (r R, ok bool) {
		x, ok := a(row)
		if !ok {
			return r, false
		}
		return f(x), true
	}
}

// try1 is null where a is null or f gives no value.
func try1[A, R any](a fn[A], f func(A) (R, bool)) fn[R] {
	return func(row []event.Value) (r R, ok bool) {
		x, ok := a(row)
		if !ok {
			return r, false
		}
		return f(x)
	}
}

// try2 is null where a or b is null or f gives no value.
func try2[A, B, R any](a fn[A], b fn[B], f func(A, B) (R, bool)) fn[R] {
	return func(row []event.Value) (r R, ok bool) {
		x, ok := a(row)
		if !ok {
			return r, false
		}
		y, ok := b(row)
		if !ok {
			return r, false
		}
		return f(x, y)
	}
}

// describe names the type of c in messages, without its nullability.
func (c code) describe() string {
	if c.isNil() {
		return "nil"
	}
	t := c.t
	t.Nullable = false
	return t.String()
}
