package stream

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// parseText reads a value of type t from text, as CSV and JSON strings write it: booleans true and
// false, timestamps in RFC 3339 with a zone, dates 2006-01-02, times of day 15:04:05.999999, bytes in
// base64, decimals with at most the type's digits behind the point, lists and maps in JSON.
func parseText(s string, t event.Type) (event.Value, error) {
	switch t.Kind {
	case event.Bool:
		switch s {
		case "true", "TRUE", "True":
			return event.BoolOf(true), nil
		case "false", "FALSE", "False":
			return event.BoolOf(false), nil
		}
		return event.Value{}, fmt.Errorf("%.100q is no boolean", s)
	case event.Long:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return event.Value{}, fmt.Errorf("%.100q is no long", s)
		}
		return event.LongOf(n), nil
	case event.Double:
		return parseDouble(s)
	case event.String:
		return event.StringOf(s), nil
	case event.Bytes:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return event.Value{}, fmt.Errorf("%.100q is no base64", s)
		}
		return event.BytesOf(b), nil
	case event.Timestamp:
		at, err := event.ReadTime(s)
		if err != nil {
			return event.Value{}, fmt.Errorf("%.100q is not an RFC 3339 instant with a zone, like 2013-01-05T10:00:00Z", s)
		}
		return event.TimestampOf(at), nil
	case event.LocalTimestamp, event.Date, event.TimeOfDay:
		return parseLocal(s, t.Kind)
	case event.Decimal:
		return parseDecimal(s, t.Scale)
	case event.List, event.Map:
		v, err := decodeJSON([]byte(s))
		if err != nil {
			return event.Value{}, err
		}
		return fromJSON(v, t)
	}
	return event.Value{}, fmt.Errorf("a %s cannot be read from text", t)
}

func parseDouble(s string) (event.Value, error) {
	f, ok := event.ParseDouble(s)
	if !ok {
		return event.Value{}, fmt.Errorf("%.100q is no double", s)
	}
	return event.DoubleOf(f), nil
}

// parseLocal reads what has no zone: wall clocks, dates, times of day.
func parseLocal(s string, kind event.Kind) (event.Value, error) {
	switch kind {
	case event.Date:
		t, err := time.Parse("2006-01-02", s)
		if err != nil {
			return event.Value{}, fmt.Errorf("%.100q is no date, like 2013-01-05", s)
		}
		return event.Value{Kind: event.Date, Num: uint64(t.Unix() / 86400)}, nil
	case event.TimeOfDay:
		t, err := time.Parse("15:04:05", s)
		if err != nil {
			return event.Value{}, fmt.Errorf("%.100q is no time of day, like 10:00:00", s)
		}
		midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
		return event.Value{Kind: kind, Num: uint64(t.Sub(midnight).Microseconds())}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return event.Value{Kind: kind, Num: uint64(event.FromGo(t))}, nil
		}
	}
	return event.Value{}, fmt.Errorf("%.100q is no local timestamp, like 2013-01-05T10:00:00", s)
}

// parseDecimal reads a decimal of at most scale digits behind the point; none is rounded away.
func parseDecimal(s string, scale int32) (event.Value, error) {
	bad := fmt.Errorf("%.100q is no decimal of scale %d", s, scale)
	digits, sign := s, ""
	if strings.HasPrefix(digits, "-") || strings.HasPrefix(digits, "+") {
		digits, sign = digits[1:], strings.TrimPrefix(digits[:1], "+")
	}
	whole, frac, _ := strings.Cut(digits, ".")
	if len(whole)+len(frac) == 0 || len(whole)+len(frac) > 1000 || len(frac) > int(scale) || strings.Trim(whole+frac, "0123456789") != "" {
		return event.Value{}, bad
	}
	n, ok := new(big.Int).SetString(sign+whole+frac+strings.Repeat("0", int(scale)-len(frac)), 10)
	if !ok {
		return event.Value{}, bad
	}
	return event.DecimalOf(n, scale), nil
}

// decodeJSON reads exactly one JSON value, numbers kept as written.
func decodeJSON(b []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(event.Alias(b)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if dec.More() {
		return nil, fmt.Errorf("not JSON: more behind the value")
	}
	return v, nil
}

// fromJSON reads a value of type t from a decoded JSON value.
func fromJSON(v any, t event.Type) (event.Value, error) {
	switch v := v.(type) {
	case nil:
		if t.Nullable {
			return event.Value{}, nil
		}
		return event.Value{}, fmt.Errorf("null, but %s is not nullable", t)
	case bool:
		if t.Kind == event.Bool {
			return event.BoolOf(v), nil
		}
	case json.Number:
		switch t.Kind {
		case event.Long, event.Double, event.Decimal:
			return parseText(v.String(), t)
		}
	case string:
		switch t.Kind {
		case event.Bool, event.Long, event.List, event.Map:
		case event.Double: // JSON has no numbers for these
			if v == "NaN" || v == "Infinity" || v == "-Infinity" {
				return parseDouble(v)
			}
		default:
			return parseText(v, t)
		}
	case []any:
		if t.Kind == event.List {
			return listOf(v, t)
		}
	case map[string]any:
		if t.Kind == event.Map {
			return mapOf(v, t)
		}
	}
	return event.Value{}, fmt.Errorf("a JSON %s is no %s", jsonKind(v), t)
}

func jsonKind(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

func listOf(list []any, t event.Type) (event.Value, error) {
	var dst []byte
	for i, e := range list {
		v, err := fromJSON(e, *t.Elem)
		if err != nil {
			return event.Value{}, fmt.Errorf("element %d: %w", i, err)
		}
		dst = event.AppendValue(dst, v)
	}
	return event.Value{Kind: event.List, Str: string(dst)}, nil
}

// mapOf writes the keys sorted, since JSON objects have no order.
func mapOf(m map[string]any, t event.Type) (event.Value, error) {
	var dst []byte
	for _, k := range sortedKeys(m) {
		v, err := fromJSON(m[k], *t.Elem)
		if err != nil {
			return event.Value{}, fmt.Errorf("key %.100q: %w", k, err)
		}
		dst = event.AppendValue(event.AppendValue(dst, event.StringOf(k)), v)
	}
	return event.Value{Kind: event.Map, Str: string(dst)}, nil
}
