package stream

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/linkedin/goavro/v2"

	"github.com/penstock-ml/penstock/event"
)

// scalar reads a leaf by the rules of file sources, and checks the bounds of its Avro type.
func (t *avroType) scalar(v any) (any, error) {
	text, isText := v.(cell)
	s, isString := v.(string)
	if isText {
		s = string(text)
	}
	if at := t.read.Kind; (isText || isString) && (at == event.Timestamp || at == event.LocalTimestamp) {
		return t.instant(s)
	}
	var x event.Value
	var err error
	switch {
	case isText && s == "" && t.read.Kind != event.String:
		err = fmt.Errorf("empty, but %s is not nullable", t.read)
	case isText:
		x, err = parseText(s, t.read)
	default:
		x, err = fromJSON(v, t.read)
	}
	if err != nil {
		return nil, err
	}
	return t.bounded(x)
}

// bounded turns a value that was read into goavro's, if the type can hold it.
func (t *avroType) bounded(x event.Value) (any, error) {
	switch {
	case x.Kind == event.Bool:
		return x.Bool(), nil
	case x.Kind == event.Decimal:
		return t.decimal(x.Unscaled())
	case t.logical == "time-millis" && x.Long()%1000 != 0:
		return nil, errors.New("finer than milliseconds, the unit of the type")
	case t.logical == "time-millis":
		return x.Long() / 1000, nil
	case t.kind == "int" && x.Long() != int64(int32(x.Long())):
		return nil, fmt.Errorf("%d is beyond the 32 bits of an int", x.Long())
	case t.kind == "int", t.kind == "long":
		return x.Long(), nil
	case t.kind == "float" && math.Abs(x.Double()) > math.MaxFloat32 && !math.IsInf(x.Double(), 0):
		return nil, fmt.Errorf("%v is beyond a float", x.Double())
	case x.Kind == event.Double:
		return x.Double(), nil
	case t.kind == "enum" && !slices.Contains(t.symbols, x.Str):
		return nil, fmt.Errorf("%.100q is no symbol of enum %s", x.Str, t.name)
	case t.kind == "fixed" && t.logical == "uuid":
		b, err := hex.DecodeString(strings.ReplaceAll(x.Str, "-", ""))
		if err != nil || len(b) != 16 {
			return nil, fmt.Errorf("%.100q is no UUID", x.Str)
		}
		return b, nil
	case t.kind == "fixed" && len(x.Str) != t.size:
		return nil, fmt.Errorf("%d bytes, and %s has %d", len(x.Str), t.name, t.size)
	case x.Kind == event.String && !utf8.ValidString(x.Str):
		return nil, fmt.Errorf("%.100q is not UTF-8", x.Str)
	case x.Kind == event.Bytes:
		return []byte(x.Str), nil
	}
	return x.Str, nil
}

// decimal is the two's complement of n, as long as a fixed type.
func (t *avroType) decimal(n *big.Int) (any, error) {
	if digits := int64(len(new(big.Int).Abs(n).String())); digits > t.precision {
		return nil, fmt.Errorf("%d digits, more than the precision %d", digits, t.precision)
	}
	b := event.AppendBig(nil, n)
	if t.kind != "fixed" {
		return b, nil
	}
	pad := byte(0)
	if n.Sign() < 0 {
		pad = 0xff
	}
	for len(b) < t.size {
		b = slices.Insert(b, 0, pad)
	}
	if len(b) != t.size {
		return nil, fmt.Errorf("more than the %d bytes of %s", t.size, t.name)
	}
	return b, nil
}

// instant reads RFC 3339 with a zone, or a local timestamp without. Nothing is rounded away.
func (t *avroType) instant(s string) (any, error) {
	at, err := time.Parse(time.RFC3339, s)
	if t.read.Kind == event.LocalTimestamp {
		if at, err = time.Parse("2006-01-02T15:04:05", s); err != nil {
			at, err = time.Parse("2006-01-02 15:04:05", s)
		}
	}
	if err != nil {
		_, err = parseText(s, t.read) // says what is wanted
		return nil, err
	}
	unit, perSecond := "nanoseconds", int64(1e9)
	switch {
	case strings.HasSuffix(t.logical, "-millis"):
		unit, perSecond = "milliseconds", 1e3
	case strings.HasSuffix(t.logical, "-micros"):
		unit, perSecond = "microseconds", 1e6
	}
	nanos := int64(at.Nanosecond())
	if nanos%(1e9/perSecond) != 0 {
		return nil, fmt.Errorf("%q is finer than %s, the unit of the type", s, unit)
	}
	if sec := at.Unix(); sec > math.MaxInt64/perSecond-1 || sec < math.MinInt64/perSecond+1 {
		return nil, fmt.Errorf("%q is beyond what a long of %s holds", s, unit)
	}
	return at.Unix()*perSecond + nanos/(1e9/perSecond), nil
}

// maxDefaultDepth ends a default of a record that holds itself.
const maxDefaultDepth = 64

// fromDefault reads the JSON of a field's default, by Avro's own rules: a union's is of the first type
// that it fits, bytes are code points, instants and decimals are what is stored.
func (t *avroType) fromDefault(v any, depth int) (any, error) {
	bad := fmt.Errorf("the default does not fit its type %s", t.name)
	if depth > maxDefaultDepth {
		return nil, fmt.Errorf("%w: it holds itself", bad)
	}
	switch x := v.(type) {
	case []any:
		if t.kind == "array" {
			out := make([]any, len(x))
			for i := range x {
				var err error
				if out[i], err = t.items.fromDefault(x[i], depth+1); err != nil {
					return nil, err
				}
			}
			return out, nil
		}
	case map[string]any:
		if t.kind == "map" || t.kind == "record" {
			return t.objectDefault(x, depth)
		}
	case string:
		if t.kind == "bytes" || t.kind == "fixed" {
			b := make([]byte, 0, len(x))
			for _, r := range x {
				b = append(b, byte(r))
			}
			if t.kind == "fixed" && len(b) != t.size {
				return nil, bad
			}
			return b, nil
		}
	}
	switch t.kind {
	case "union":
		for _, b := range t.branches {
			if n, err := b.fromDefault(v, depth+1); err == nil {
				return goavro.Union(b.name, n), nil
			}
		}
		return nil, bad
	case "null":
		if v != nil {
			return nil, bad
		}
		return nil, nil
	case "array", "map", "record":
		return nil, bad
	}
	stored := *t
	stored.logical, stored.read = "", event.Type{}
	n, err := leaf(&stored).scalar(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", bad, err)
	}
	return n, nil
}

func (t *avroType) objectDefault(m map[string]any, depth int) (any, error) {
	out := make(map[string]any, len(m))
	var err error
	if t.kind == "map" {
		for k, v := range m {
			if out[k], err = t.items.fromDefault(v, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	for _, f := range t.fields {
		v, ok := m[f.name]
		if !ok {
			if v, ok = f.preset, f.has; !ok {
				return nil, fmt.Errorf("the default lacks field %q of %s", f.name, t.name)
			}
		}
		if out[f.name], err = f.typ.fromDefault(v, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}
