package event

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends v as JSON: longs are integers; NaN and infinities, decimals, instants by Layout and bytes in
// base64 are strings; a list is an array, a map an object.
func AppendJSON(dst []byte, v Value) []byte {
	switch v.Kind {
	case Null:
		return append(dst, "null"...)
	case Bool:
		return strconv.AppendBool(dst, v.Bool())
	case Long:
		return strconv.AppendInt(dst, v.Long(), 10)
	case Double:
		return appendJSONDouble(dst, v.Double())
	case String:
		return AppendJSONString(dst, v.Str)
	case Bytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, []byte(v.Str))
		return append(dst, '"')
	case Timestamp:
		return AppendJSONTime(dst, v.Time(), Layout)
	case LocalTimestamp:
		return AppendJSONTime(dst, v.Time(), "2006-01-02T15:04:05.000000")
	case Date:
		return append(time.Unix(v.Long()*86400, 0).UTC().AppendFormat(append(dst, '"'), time.DateOnly), '"')
	case TimeOfDay:
		return AppendJSONTime(dst, v.Time(), "15:04:05.000000")
	case Decimal:
		return AppendJSONString(dst, v.String())
	case List, Map:
		return appendJSONElements(dst, v)
	}
	return AppendJSONString(dst, v.String())
}

// AppendJSONTime appends an instant by a layout of package time, as a string.
func AppendJSONTime(dst []byte, t Time, layout string) []byte {
	return append(t.Go().AppendFormat(append(dst, '"'), layout), '"')
}

func appendJSONDouble(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	return AppendDouble(dst, f)
}

// appendJSONElements appends a List as an array and a Map as an object; null if its bytes are damaged.
func appendJSONElements(dst []byte, v Value) []byte {
	from, open, shut := len(dst), byte('['), byte(']')
	if v.Kind == Map {
		open, shut = '{', '}'
	}
	dst = append(dst, open)
	err := EachElem(v.Str, func(i int, e Value) error {
		switch {
		case v.Kind == Map && i%2 == 1:
			dst = append(dst, ':')
		case i > 0:
			dst = append(dst, ',')
		}
		dst = AppendJSON(dst, e)
		return nil
	})
	if err != nil {
		return append(dst[:from], "null"...)
	}
	return append(dst, shut)
}

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
