package expr

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

// stringElem is the type of the elements of arrays of strings that expressions build.
var stringElem = event.Type{Kind: event.String}

func compileSplit(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.separated(name, args, event.String, event.String); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := nullable(event.List, name, xs...)
	r.t.Elem = &stringElem
	r.s = try2(xs[0].s, xs[1].s, func(s, sep string) (string, bool) {
		if sep == "" || len(s) > MaxString {
			return "", false
		}
		out := make([]byte, 0, len(s)+16)
		for {
			part, rest, more := strings.Cut(s, sep)
			if out = event.AppendValue(out, event.StringOf(part)); len(out) > MaxString {
				return "", false
			}
			if !more {
				return event.Alias(out), true
			}
			s = rest
		}
	})
	return r, nil
}

// separated checks the arguments of functions whose second is a separator.
func (c *compiler) separated(name string, args []operand, kinds ...event.Kind) error {
	if err := c.kinds(name, args, kinds...); err != nil {
		return err
	}
	if sep := args[1]; sep.konst && sep.val.Str == "" {
		return c.fail(sep.at, "an empty separator is nowhere", "")
	}
	return nil
}

func compileSplitPart(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.separated(name, args, event.String, event.String, event.Long); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	r.s = try3(xs[0].s, xs[1].s, xs[2].i, splitPart)
	return fold(r, xs...), nil
}

// splitPart is part n of s, from 1, or from the end if n is negative.
func splitPart(s, sep string, n int64) (string, bool) {
	if sep == "" || n == 0 {
		return "", false
	}
	if n < 0 { // by number from the front, so that overlapping separators are cut as split cuts them
		if n += int64(strings.Count(s, sep)) + 2; n <= 0 {
			return "", false
		}
	}
	for ; n > 1; n-- {
		_, rest, more := strings.Cut(s, sep)
		if !more {
			return "", false
		}
		s = rest
	}
	part, _, _ := strings.Cut(s, sep)
	return part, true
}

func compileJoin(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if x := args[0]; x.t.Kind != event.List || x.t.Elem == nil || x.t.Elem.Kind != event.String {
		return code{}, c.wrong(name, x, "an array of strings")
	}
	if args[1].t.Kind != event.String {
		return code{}, c.wrong(name, args[1], "a string")
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	r.s = try2(xs[0].s, xs[1].s, func(s, sep string) (string, bool) {
		var scratch [128]byte
		out := scratch[:0]
		first := true
		for s != "" {
			e, rest, err := event.DecodeValue(s)
			if err != nil {
				return "", false
			}
			if s = rest; e.Kind != event.String {
				continue
			}
			if !first {
				out = append(out, sep...)
			}
			if out = append(out, e.Str...); len(out) > MaxString {
				return "", false
			}
			first = false
		}
		return string(out), true
	})
	return r, nil
}

// piece is a part of a template: text, then a value.
type piece struct {
	text   string
	eval   func(row []event.Value) event.Value // nil: none
	digits int                                 // behind the point (of doubles), or in all (of longs); -1: as it is
}

const maxFormatDigits = 30

func compileFormat(c *compiler, n ast.Node, name string, args []operand) (code, error) {
	template, err := c.text(args[0], "the template of format", `write format("{} of {}", a, b)`)
	if err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	var pieces []piece
	used := 1
	for template != "" {
		text, rest, found := cutTemplate(template)
		p := piece{text: text, digits: -1}
		if found {
			spec, behind, closed := strings.Cut(rest, "}")
			if !closed {
				return code{}, c.fail(args[0].at, "a { without its }", "write {{ for a bracket")
			}
			if used == len(args) {
				return code{}, c.fail(args[0].at, "the template has more {} than values follow", "")
			}
			if p.digits, err = c.spec(args[0], args[used], spec); err != nil {
				return code{}, err
			}
			p.eval = xs[used].evaluator()
			if strings.HasSuffix(spec, "f") {
				p.eval = toDouble(xs[used]).evaluator()
			}
			used, rest = used+1, behind
		}
		pieces, template = append(pieces, p), rest
	}
	if used < len(args) {
		return code{}, c.fail(args[used].at, "no {} of the template is for this value", "")
	}
	r.s = func(row []event.Value) (string, bool) { return fill(pieces, row) }
	return fold(r, xs...), nil
}

// cutTemplate cuts the text before the first { off, with doubled brackets made single.
func cutTemplate(template string) (text, rest string, found bool) {
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		switch x := template[i]; {
		case (x == '{' || x == '}') && i+1 < len(template) && template[i+1] == x:
			b.WriteByte(x)
			i++
		case x == '{':
			return b.String(), template[i+1:], true
		default:
			b.WriteByte(x)
		}
	}
	return b.String(), "", false
}

// spec reads what stands between brackets: nothing, :.2f or :05d.
func (c *compiler) spec(template, x operand, spec string) (digits int, err error) {
	if k := x.t.Kind; k == event.List || k == event.Map || k == event.Null {
		return 0, c.fail(x.at, "format writes single values, not "+x.describe(), "")
	}
	if spec == "" {
		return -1, nil
	}
	hint := "write {}, {:.2f} or {:05d}"
	body, isDouble := strings.CutPrefix(spec, ":.")
	isLong := false
	if isDouble {
		body, isDouble = strings.CutSuffix(body, "f")
	} else if body, isLong = strings.CutPrefix(spec, ":0"); isLong {
		body, isLong = strings.CutSuffix(body, "d")
	}
	n, err := strconv.ParseUint(body, 10, 8)
	if err != nil || !isDouble && !isLong || n > maxFormatDigits {
		return 0, c.fail(template.at, fmt.Sprintf("{%s} is no form of a value", spec), fmt.Sprintf("%s, with at most %d digits", hint, maxFormatDigits))
	}
	if isDouble && !x.t.Numeric() || isLong && x.t.Kind != event.Long {
		return 0, c.fail(x.at, fmt.Sprintf("{%s} does not write %s", spec, x.describe()), hint)
	}
	return int(n), nil
}

// fill writes the pieces with their values.
func fill(pieces []piece, row []event.Value) (string, bool) {
	var scratch [128]byte
	out := scratch[:0]
	for i := range pieces {
		p := &pieces[i]
		out = append(out, p.text...)
		if p.eval == nil {
			continue
		}
		v := p.eval(row)
		if v.IsNull() || len(v.Str) > MaxString {
			return "", false
		}
		switch {
		case v.Kind == event.Long && p.digits >= 0:
			out = appendPadded(out, v.Long(), p.digits)
		case v.Kind == event.Long:
			out = strconv.AppendInt(out, v.Long(), 10)
		case v.Kind == event.Double && p.digits >= 0 && !math.IsInf(v.Double(), 0) && v.Double() == v.Double():
			out = strconv.AppendFloat(out, v.Double(), 'f', p.digits, 64)
		case v.Kind == event.String:
			out = append(out, v.Str...)
		default:
			out = append(out, v.String()...)
		}
		if len(out) > MaxString {
			return "", false
		}
	}
	return string(out), true
}

// appendPadded writes n with at least so many digits.
func appendPadded(out []byte, n int64, digits int) []byte {
	u := uint64(n)
	if n < 0 {
		out, u = append(out, '-'), -u
	}
	var scratch [20]byte
	text := strconv.AppendUint(scratch[:0], u, 10)
	for range digits - len(text) {
		out = append(out, '0')
	}
	return append(out, text...)
}
