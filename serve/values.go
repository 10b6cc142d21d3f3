package serve

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// typeError says that a well-formed JSON value is not one of a column's type.
type typeError struct{ what, hint string }

func (e *typeError) Error() string { return e.what }

// value reads the JSON value at s as one of type t. Strings may alias the text. The error is a
// *syntaxError or a *typeError; behind the latter s stands anywhere.
func (s *scanner) value(t event.Type, depth int) (event.Value, error) {
	if depth > maxDepth {
		return event.Value{}, s.fail(fmt.Sprintf("nested more than %d deep", maxDepth))
	}
	c := s.peek()
	if c == 'n' {
		if err := s.word("null"); err != nil {
			return event.Value{}, err
		}
		if !t.Nullable {
			return event.Value{}, &typeError{what: "is null, but must be a " + t.String()}
		}
		return event.Value{}, nil
	}
	switch t.Kind {
	case event.Bool:
		if c == 't' {
			return event.BoolOf(true), s.word("true")
		}
		if c == 'f' {
			return event.BoolOf(false), s.word("false")
		}
	case event.Long:
		if c == '-' || c >= '0' && c <= '9' {
			return s.long()
		}
	case event.Double:
		if c == '-' || c >= '0' && c <= '9' {
			return s.double()
		}
	case event.Decimal:
		if c == '-' || c >= '0' && c <= '9' {
			text, err := s.number()
			if err != nil {
				return event.Value{}, err
			}
			return parseText(text, t)
		}
	case event.List:
		if c == '[' {
			return s.list(t, depth)
		}
	case event.Map:
		if c == '{' {
			return s.members(t, depth)
		}
	}
	if c == '"' && t.Kind != event.Bool && t.Kind != event.Long && t.Kind != event.List && t.Kind != event.Map {
		text, err := s.str()
		if err != nil {
			return event.Value{}, err
		}
		return parseText(text, t)
	}
	from := s.pos
	if err := s.skip(depth); err != nil {
		return event.Value{}, err
	}
	return event.Value{}, wrongType(t, string(s.text[from:s.pos]))
}

func wrongType(t event.Type, got string) error {
	e := &typeError{what: fmt.Sprintf("is %s, but must be a %s", clip(got), t.Kind)}
	switch t.Kind {
	case event.Long:
		e.hint = "write an integer without quotes, fraction or exponent"
	case event.String:
		e.hint = "write it in quotes"
	case event.Bytes:
		e.hint = "write base64 in quotes"
	case event.Timestamp:
		e.hint = "write an RFC 3339 instant with a zone in quotes, like \"2013-01-05T10:00:00Z\""
	}
	return e
}

func (s *scanner) long() (event.Value, error) {
	text, err := s.number()
	if err != nil {
		return event.Value{}, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return event.Value{}, &typeError{what: fmt.Sprintf("is %s, beyond 64 bits", clip(text))}
	}
	if err != nil {
		return event.Value{}, wrongType(event.Type{Kind: event.Long}, text)
	}
	return event.LongOf(n), nil
}

func (s *scanner) double() (event.Value, error) {
	text, err := s.number()
	if err != nil {
		return event.Value{}, err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return event.Value{}, &typeError{what: fmt.Sprintf("is %s, beyond a double", clip(text)), hint: `infinity is written "Infinity"`}
	}
	return event.DoubleOf(f), nil
}

func (s *scanner) list(t event.Type, depth int) (event.Value, error) {
	var out []byte
	err := s.array(func(i int) error {
		v, err := s.value(*t.Elem, depth+1)
		if err != nil {
			return inElement(err, strconv.Itoa(i))
		}
		out = event.AppendValue(out, v)
		return nil
	})
	return event.Value{Kind: event.List, Str: event.Alias(out)}, err
}

func (s *scanner) members(t event.Type, depth int) (event.Value, error) {
	var out []byte
	err := s.object(func(name string) error {
		out = event.AppendValue(out, event.StringOf(name))
		v, err := s.value(*t.Elem, depth+1)
		if err != nil {
			return inElement(err, name)
		}
		out = event.AppendValue(out, v)
		return nil
	})
	return event.Value{Kind: event.Map, Str: event.Alias(out)}, err
}

func inElement(err error, name string) error {
	var e *typeError
	if errors.As(err, &e) {
		return &typeError{what: fmt.Sprintf("has an element %s that %s", clip(name), e.what), hint: e.hint}
	}
	return err
}

// parseText reads what stands in a JSON string (of a Decimal: or number) as a value of type t.
func parseText(text string, t event.Type) (event.Value, error) {
	switch t.Kind {
	case event.String:
		return event.StringOf(text), nil
	case event.Double:
		switch text {
		case "NaN":
			return event.DoubleOf(math.NaN()), nil
		case "Infinity":
			return event.DoubleOf(math.Inf(1)), nil
		case "-Infinity":
			return event.DoubleOf(math.Inf(-1)), nil
		}
	case event.Bytes:
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			return event.BytesOf(b), nil
		}
	case event.Timestamp:
		if at, err := event.ParseTime(text); err == nil {
			return event.TimestampOf(at), nil
		}
	case event.LocalTimestamp:
		if at, err := time.Parse("2006-01-02T15:04:05.999999", text); err == nil {
			return event.Value{Kind: event.LocalTimestamp, Num: uint64(at.UnixMicro())}, nil
		}
	case event.Date:
		if at, err := time.Parse("2006-01-02", text); err == nil {
			return event.Value{Kind: event.Date, Num: uint64(at.Unix() / 86400)}, nil
		}
	case event.TimeOfDay:
		if at, err := time.Parse("15:04:05.999999", text); err == nil {
			midnight := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
			return event.Value{Kind: event.TimeOfDay, Num: uint64(at.Sub(midnight).Microseconds())}, nil
		}
	case event.Decimal:
		return parseDecimal(text, t)
	}
	return event.Value{}, wrongType(t, strconv.Quote(text))
}

// parseDecimal reads plain digits with at most t.Scale of them behind the point.
func parseDecimal(text string, t event.Type) (event.Value, error) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := whole + fraction
	plain := whole != "" && len(digits) <= 1000 && strings.Trim(digits, "0123456789") == ""
	if !plain || strings.HasSuffix(text, ".") {
		return event.Value{}, wrongType(t, strconv.Quote(text))
	}
	if len(fraction) > int(t.Scale) {
		return event.Value{}, &typeError{
			what: fmt.Sprintf("is %s, with more than the %d digits behind the point that the column has", clip(text), t.Scale),
		}
	}
	n, _ := new(big.Int).SetString(digits+strings.Repeat("0", int(t.Scale)-len(fraction)), 10)
	if text[0] == '-' {
		n.Neg(n)
	}
	return event.DecimalOf(n, t.Scale), nil
}
