package expr

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

func stringFunctions() []function {
	return []function{
		def(1, 1, compileCase, "lower(s string) string", "Letters in lower case, by Unicode, one by one.", `lower("ÄB")`, "äb"),
		def(1, 1, compileCase, "upper(s string) string", "Letters in upper case, by Unicode, one by one.", `upper("äb")`, "ÄB"),
		def(1, 1, compileCase, "trim(s string) string", "Without white space at both ends.", `trim("  a b ")`, "a b"),
		def(1, 1, compileLen, "len(x) long", "Characters of a string, bytes of bytes, elements of an array, entries of a map.", `len("Größe")`, "5"),
		def(1, 1, compileByteLen, "byte_len(x string|bytes) long", "Bytes of a string in UTF-8.", `byte_len("Größe")`, "7"),
		def(2, 3, compileSubstring, "substring(s string, start long, length? long) string",
			"Characters from start on, all or so many. The first is 1; a negative start counts from the end. What lies outside is left out; a negative length is null.",
			`substring("penstock", 4)`, "stock", `substring("penstock", 1, 3)`, "pen", `substring("penstock", -5, 2)`, "st"),
		def(2, 2, compileEnd, "left(s string, n long) string", "The first n characters; without the last -n if n is negative.", `left("penstock", 3)`, "pen", `left("penstock", -5)`, "pen"),
		def(2, 2, compileEnd, "right(s string, n long) string", "The last n characters; without the first -n if n is negative.", `right("penstock", 5)`, "stock"),
		def(2, 2, compileStrpos, "strpos(s string, part string) long", "Where part first begins in s, in characters from 1; 0 if it is not in s.", `strpos("penstock", "st")`, "4", `strpos("penstock", "x")`, "0"),
		def(3, 3, compileReplace, "replace(s string, part string, by string) string", "s with every part replaced, from left to right; s itself if part is empty.", `replace("a-b-c", "-", "+")`, "a+b+c"),
		def(2, 2, compileSplit, "split(s string, separator string) array of string", "The parts between separators; null if the separator is empty or the parts take more than 64 KiB.", `split("a,b,,c", ",")`, `["a","b","","c"]`, `len(split("", ","))`, "1"),
		def(3, 3, compileSplitPart, "split_part(s string, separator string, n long) string", "The n-th part between separators, from 1, or from the end if n is negative; null if there is none.", `split_part("a@b.org", "@", 2)`, "b.org", `split_part("a/b/c", "/", -1)`, "c"),
		def(2, 2, compileJoin, "join(parts array of string, separator string) string", "The elements with separators between, nulls left out.", `join(split("a b c", " "), "-")`, "a-b-c"),
		def(1, -1, compileConcat, "concat(a string, b string, …) string", "All behind one another, as with +.", `concat("a", "b", "c")`, "abc"),
		def(2, 2, compileRepeat, "repeat(s string, n long) string", "s n times; null if n is negative.", `repeat("ab", 3)`, "ababab"),
		def(1, 1, compileReverse, "reverse(s string) string", "The characters from last to first.", `reverse("abc")`, "cba"),
		def(2, 3, compilePad, "lpad(s string, n long, fill? string) string", "s brought to n characters by filling up before it, with spaces or with fill again and again; cut behind if it is longer.", `lpad("7", 3, "0")`, "007", `lpad("abcd", 3)`, "abc"),
		def(2, 3, compilePad, "rpad(s string, n long, fill? string) string", "As lpad, but filled up behind.", `rpad("ab", 4, ".")`, "ab.."),
		def(1, -1, compileFormat, "format(template string, x, …) string",
			"The template, a literal, with the values in place of {}: as string writes them, or a number with {:.2f} to so many digits behind the point, with {:05d} a long to so many digits. {{ and }} stand for brackets.",
			`format("{}/{:.1f} {:03d}", "a", 2.25, 7)`, "a/2.2 007"),
	}
}

func compileCase(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	if x.t.Kind != event.String {
		return code{}, c.wrong(name, args[0], "a string")
	}
	r := code{t: x.t, text: called(name, x)}
	if name == "trim" {
		r.s = map1(x.s, strings.TrimSpace)
		return fold(r, x), nil
	}
	f := map[string]func(string) string{"lower": strings.ToLower, "upper": strings.ToUpper}[name]
	r.t.Nullable = true
	r.s = try1(x.s, func(s string) (string, bool) {
		if len(s) > MaxString {
			return "", false
		}
		s = f(s)
		return s, len(s) <= MaxString
	})
	return fold(r, x), nil
}

func compileLen(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	r := result(event.Long, name, x)
	var f func(string) int
	switch x.t.Kind {
	case event.String:
		f = utf8.RuneCountInString
	case event.Bytes:
		f = func(s string) int { return len(s) }
	case event.List:
		f = count
	case event.Map:
		f = func(s string) int { return count(s) / 2 }
	default:
		return code{}, c.wrong(name, args[0], "a string, bytes, an array or a map")
	}
	r.i = map1(x.s, func(s string) int64 { return int64(f(s)) })
	return fold(r, x), nil
}

func compileByteLen(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	if x.t.Kind != event.String && x.t.Kind != event.Bytes {
		return code{}, c.wrong(name, args[0], "a string or bytes")
	}
	r := result(event.Long, name, x)
	r.i = map1(x.s, func(s string) int64 { return int64(len(s)) })
	return fold(r, x), nil
}

// skip is the byte at which the character behind the first n begins, and how many there were.
func skip(s string, n int64) (at int, had int64) {
	for at < len(s) && had < n {
		_, w := utf8.DecodeRuneInString(s[at:])
		at += w
		had++
	}
	return at, had
}

// skipBack is the byte at which the last n characters begin, and how many there were.
func skipBack(s string, n int64) (at int, had int64) {
	at = len(s)
	for at > 0 && had < n {
		_, w := utf8.DecodeLastRuneInString(s[:at])
		at -= w
		had++
	}
	return at, had
}

// substring is length characters of s from start on, which counts from 1, or from the end. Both may
// lie outside.
func substring(s string, start, length int64) (string, bool) {
	if length < 0 {
		return "", false
	}
	switch {
	case start > 0:
		at, _ := skip(s, start-1)
		s = s[at:]
	case start < 0:
		if start == math.MinInt64 { // which has no opposite
			start, length = start+1, max(length-1, 0)
		}
		n := -start
		at, had := skipBack(s, n)
		s, length = s[at:], length-(n-had) // what lies before s counts
	default:
		length-- // one before the first
	}
	at, _ := skip(s, length)
	return s[:at], true
}

func compileSubstring(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.Long, event.Long); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := result(event.String, name, xs...)
	if len(xs) == 2 {
		r.s = try2(xs[0].s, xs[1].i, func(s string, start int64) (string, bool) { return substring(s, start, 1<<62) })
		return fold(r, xs...), nil
	}
	r.t.Nullable = r.t.Nullable || !xs[2].konst || xs[2].val.Long() < 0
	r.s = try3(xs[0].s, xs[1].i, xs[2].i, substring)
	return fold(r, xs...), nil
}

// compileEnd compiles left and right.
func compileEnd(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.Long); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := result(event.String, name, xs...)
	left := name == "left"
	r.s = try2(xs[0].s, xs[1].i, func(s string, n int64) (string, bool) {
		at := 0
		if left == (n >= 0) {
			at, _ = skip(s, max(n, -max(n, -1<<62)))
		} else {
			at, _ = skipBack(s, max(n, -max(n, -1<<62)))
		}
		if left {
			return s[:at], true
		}
		return s[at:], true
	})
	return fold(r, xs...), nil
}

func compileStrpos(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.String); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := result(event.Long, name, xs...)
	r.i = try2(xs[0].s, xs[1].s, func(s, part string) (int64, bool) {
		i := strings.Index(s, part)
		if i < 0 {
			return 0, true
		}
		return int64(utf8.RuneCountInString(s[:i])) + 1, true
	})
	return fold(r, xs...), nil
}

func compileReplace(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.String, event.String); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	r.s = try3(xs[0].s, xs[1].s, xs[2].s, func(s, part, by string) (string, bool) {
		if len(s) > MaxString {
			return "", false
		}
		n := 0
		if part != "" {
			n = strings.Count(s, part)
		}
		if n == 0 {
			return s, true
		}
		if int64(len(s))+int64(n)*int64(len(by)-len(part)) > MaxString {
			return "", false
		}
		return strings.ReplaceAll(s, part, by), true
	})
	return fold(r, xs...), nil
}

func compileConcat(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	for _, a := range args {
		if a.t.Kind != event.String {
			hint := ""
			if a.t.Kind != event.List && a.t.Kind != event.Map && !a.isNil() {
				hint = "write string(" + a.text + ")"
			}
			return code{}, c.fail(a.at, name+" takes strings, not "+a.describe(), hint)
		}
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	parts := make([]fn[string], len(xs))
	for i, x := range xs {
		parts[i] = x.s
	}
	r.s = func(row []event.Value) (string, bool) {
		var scratch [128]byte
		out := scratch[:0]
		for _, p := range parts {
			s, ok := p(row)
			if !ok || len(out)+len(s) > MaxString {
				return "", false
			}
			out = append(out, s...)
		}
		return string(out), true
	}
	return fold(r, xs...), nil
}

func compileRepeat(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.Long); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	r.s = try2(xs[0].s, xs[1].i, func(s string, n int64) (string, bool) {
		switch {
		case n < 0 || s != "" && n > MaxString/int64(len(s)):
			return "", false
		case s == "":
			return "", true
		}
		return strings.Repeat(s, int(n)), true
	})
	return fold(r, xs...), nil
}

func compileReverse(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String); err != nil {
		return code{}, err
	}
	r := nullable(event.String, name, args[0].code)
	r.s = try1(args[0].s, func(s string) (string, bool) {
		if len(s) > MaxString {
			return "", false
		}
		out := make([]byte, len(s))
		for i := 0; i < len(s); {
			_, w := utf8.DecodeRuneInString(s[i:])
			copy(out[len(s)-i-w:], s[i:i+w])
			i += w
		}
		return event.Alias(out), true
	})
	return fold(r, args[0].code), nil
}

// compilePad compiles lpad and rpad.
func compilePad(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	if err := c.kinds(name, args, event.String, event.Long, event.String); err != nil {
		return code{}, err
	}
	xs := codes(args)
	r := nullable(event.String, name, xs...)
	if len(xs) == 2 {
		xs = append(xs, constant(event.StringOf(" "), event.Type{Kind: event.String}))
	}
	before := name == "lpad"
	r.s = try3(xs[0].s, xs[1].i, xs[2].s, func(s string, n int64, fill string) (string, bool) {
		at, had := skip(s, max(n, 0))
		if had >= n || fill == "" {
			return s[:at], at <= MaxString
		}
		if n > MaxString || len(fill) > MaxString {
			return "", false
		}
		missing := n - had
		per := int64(utf8.RuneCountInString(fill))
		end, _ := skip(fill, missing%per)
		size := int64(len(s)+end) + missing/per*int64(len(fill))
		if size > MaxString {
			return "", false
		}
		out := make([]byte, 0, size)
		if !before {
			out = append(out, s...)
		}
		for range missing / per {
			out = append(out, fill...)
		}
		out = append(out, fill[:end]...)
		if before {
			out = append(out, s...)
		}
		return event.Alias(out), true
	})
	return fold(r, xs...), nil
}
