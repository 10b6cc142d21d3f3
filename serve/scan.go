package serve

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/event"
)

// scanner reads JSON (RFC 8259) in one pass. Strings alias the text unless they hold escapes. It
// accepts what encoding/json accepts, except text that is not UTF-8, halves of surrogate pairs, and
// nesting beyond maxDepth.
type scanner struct {
	text []byte
	pos  int
}

// syntaxError says where the text is not JSON.
type syntaxError struct {
	pos  int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.pos, e.what) }

func (s *scanner) fail(what string) error { return &syntaxError{s.pos, what} }

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos == len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

// end errs unless nothing but space is left.
func (s *scanner) end() error {
	if s.space(); s.pos < len(s.text) {
		return s.fail("text behind the end of the JSON value")
	}
	return nil
}

// skip checks and passes one value of any kind.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.fail(fmt.Sprintf("nested more than %d deep", maxDepth))
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(string) error { return s.skip(depth + 1) })
	case c == '[':
		return s.array(func(int) error { return s.skip(depth + 1) })
	case c == '"':
		return s.skipString()
	case c == '-' || c >= '0' && c <= '9':
		_, err := s.number()
		return err
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	case c == 0 && s.pos == len(s.text):
		return s.fail("the text ends early")
	}
	return s.fail("expected a value")
}

func (s *scanner) word(w string) error {
	if len(s.text)-s.pos < len(w) || string(s.text[s.pos:s.pos+len(w)]) != w {
		return s.fail("expected " + w)
	}
	s.pos += len(w)
	return nil
}

// object calls f at the value of every member; f must pass it. The name may alias the text.
func (s *scanner) object(f func(name string) error) error {
	s.pos++ // {
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.fail("expected a name in quotes")
		}
		name, err := s.str()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.fail("expected : behind a name")
		}
		s.pos++
		s.space()
		if err := f(name); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fail("expected , or }")
		}
	}
}

// array calls f at every element; f must pass it.
func (s *scanner) array(f func(i int) error) error {
	s.pos++ // [
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for i := 0; ; i++ {
		s.space()
		if err := f(i); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.fail("expected , or ]")
		}
	}
}

// number passes a number and returns its text.
func (s *scanner) number() (string, error) {
	from := s.pos
	if s.at('-') {
		s.pos++
	}
	if s.at('0') {
		s.pos++
	} else if !s.digits() {
		return "", s.fail("expected a digit")
	}
	if s.at('.') {
		s.pos++
		if !s.digits() {
			return "", s.fail("expected a digit behind the point")
		}
	}
	if s.at('e') || s.at('E') {
		s.pos++
		if s.at('+') || s.at('-') {
			s.pos++
		}
		if !s.digits() {
			return "", s.fail("expected a digit of the exponent")
		}
	}
	return event.Alias(s.text[from:s.pos]), nil
}

func (s *scanner) at(c byte) bool { return s.pos < len(s.text) && s.text[s.pos] == c }

func (s *scanner) digits() bool {
	from := s.pos
	for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > from
}

// plain passes the part of a string up to a quote or a backslash.
func (s *scanner) plain() error {
	from, ascii := s.pos, true
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"' || c == '\\':
			if !ascii && !utf8.Valid(s.text[from:s.pos]) {
				return s.fail("a string is not UTF-8")
			}
			return nil
		case c < 0x20:
			return s.fail("a control character in a string must be escaped")
		case c >= utf8.RuneSelf:
			ascii = false
		}
		s.pos++
	}
	return s.fail("a string does not end")
}

// str passes a string and returns what it says.
func (s *scanner) str() (string, error) {
	s.pos++ // "
	from := s.pos
	if err := s.plain(); err != nil {
		return "", err
	}
	if s.text[s.pos] == '"' {
		s.pos++
		return event.Alias(s.text[from : s.pos-1]), nil
	}
	out := append([]byte(nil), s.text[from:s.pos]...)
	for s.text[s.pos] == '\\' {
		var err error
		if out, err = s.escape(out); err != nil {
			return "", err
		}
		from = s.pos
		if err = s.plain(); err != nil {
			return "", err
		}
		out = append(out, s.text[from:s.pos]...)
	}
	s.pos++
	return event.Alias(out), nil
}

// skipString passes a string without building it.
func (s *scanner) skipString() error {
	s.pos++
	for {
		if err := s.plain(); err != nil {
			return err
		}
		if s.text[s.pos] == '"' {
			s.pos++
			return nil
		}
		var room [utf8.UTFMax]byte
		if _, err := s.escape(room[:0]); err != nil {
			return err
		}
	}
}

// escape passes one backslash sequence and appends what it means.
func (s *scanner) escape(out []byte) ([]byte, error) {
	s.pos++
	if s.pos == len(s.text) {
		return nil, s.fail("a string does not end")
	}
	c := s.text[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
		r, err := s.hex()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(r) {
			if !s.at('\\') || s.pos+1 >= len(s.text) || s.text[s.pos+1] != 'u' {
				return nil, s.fail("half of a surrogate pair")
			}
			s.pos += 2
			low, err := s.hex()
			if err != nil {
				return nil, err
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, s.fail("half of a surrogate pair")
			}
		}
		return utf8.AppendRune(out, r), nil
	}
	return nil, s.fail("a backslash before a character that is not escaped")
}

func (s *scanner) hex() (rune, error) {
	if len(s.text)-s.pos < 4 {
		return 0, s.fail("expected four hexadecimal digits")
	}
	var r rune
	for range 4 {
		c := s.text[s.pos]
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, s.fail("expected four hexadecimal digits")
		}
		s.pos++
	}
	return r, nil
}
