package event

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// Kind is the kind of a Value. The numbers are stored on disk: only append.
type Kind uint8

// The kinds of a value.
const (
	Null           Kind = iota
	Bool                // Num 0 or 1
	Long                // Num is the int64
	Double              // Num holds the IEEE 754 bits
	String              // Str is UTF-8; enums and UUIDs are strings too
	Bytes               // Str is the bytes; fixed and Avro durations too
	Timestamp           // Num is a Time: microseconds since the epoch, UTC
	LocalTimestamp      // Num is microseconds of a wall clock without a zone
	Date                // Num is days since 1970-01-01
	TimeOfDay           // Num is microseconds since midnight
	Decimal             // Str is the unscaled integer, big-endian two's complement; Num the scale
	List                // Str is AppendList's encoding
	Map                 // Str is AppendList's encoding of key, value, key, value …
)

var kindNames = [...]string{
	"null", "boolean", "long", "double", "string", "bytes", "timestamp",
	"local timestamp", "date", "time", "decimal", "array", "map",
}

// String is the name that users read.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Type is the static type of a column.
type Type struct {
	Kind     Kind
	Nullable bool
	Scale    int32 // of a Decimal
	Elem     *Type // of a List, or of the values of a Map (whose keys are strings)
}

// String is the name that users read, with "?" behind what may be null.
func (t Type) String() string {
	s := t.Kind.String()
	switch {
	case t.Kind == Decimal:
		s = fmt.Sprintf("decimal(scale %d)", t.Scale)
	case t.Elem != nil:
		s += " of " + t.Elem.String()
	}
	if t.Nullable {
		s += "?"
	}
	return s
}

// Numeric tells whether arithmetic is defined on t: long, double, decimal.
func (t Type) Numeric() bool { return t.Kind == Long || t.Kind == Double || t.Kind == Decimal }

// Ordered tells whether min, max and < are defined on t.
func (t Type) Ordered() bool { return t.Kind != Null && t.Kind != List && t.Kind != Map }

// Value is one typed value; the zero Value is null. Str may alias a buffer that belongs to
// somebody else: Clone before keeping it.
type Value struct {
	Str  string
	Num  uint64
	Kind Kind
}

// BoolOf returns a boolean value.
func BoolOf(b bool) Value {
	if b {
		return Value{Kind: Bool, Num: 1}
	}
	return Value{Kind: Bool}
}

// LongOf returns a long value.
func LongOf(n int64) Value { return Value{Kind: Long, Num: uint64(n)} }

// DoubleOf returns a double value; -0 becomes +0, and every NaN the same one, so that equal answers are
// equal bits.
func DoubleOf(f float64) Value {
	if f != f {
		f = math.NaN()
	}
	return Value{Kind: Double, Num: math.Float64bits(f + 0)}
}

// StringOf returns a string value that aliases s.
func StringOf(s string) Value { return Value{Kind: String, Str: s} }

// BytesOf returns a bytes value that aliases b.
func BytesOf(b []byte) Value { return Value{Kind: Bytes, Str: Alias(b)} }

// TimestampOf returns a timestamp value.
func TimestampOf(t Time) Value { return Value{Kind: Timestamp, Num: uint64(t)} }

// DecimalOf returns the decimal unscaled × 10^-scale.
func DecimalOf(unscaled *big.Int, scale int32) Value {
	return Value{Kind: Decimal, Num: uint64(scale), Str: string(AppendBig(nil, unscaled))}
}

// IsNull tells whether v is null.
func (v Value) IsNull() bool { return v.Kind == Null }

// Bool returns a Bool's value.
func (v Value) Bool() bool { return v.Num != 0 }

// Long returns the integer of a Long, Timestamp, LocalTimestamp, Date or TimeOfDay.
func (v Value) Long() int64 { return int64(v.Num) }

// Double returns a Double's value.
func (v Value) Double() float64 { return math.Float64frombits(v.Num) }

// Time returns a Timestamp's value.
func (v Value) Time() Time { return Time(v.Num) }

// Unscaled returns a Decimal's integer.
func (v Value) Unscaled() *big.Int { return ParseBig(v.Str) }

// Clone returns v with its own copy of Str.
func (v Value) Clone() Value {
	v.Str = string([]byte(v.Str))
	return v
}

// Alias views b as a string without copying: it is valid as long as b is not changed.
func Alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// AppendBig appends n as the shortest big-endian two's complement, one byte at least.
func AppendBig(dst []byte, n *big.Int) []byte {
	if n.Sign() >= 0 {
		b := n.Bytes()
		if len(b) == 0 || b[0]&0x80 != 0 {
			dst = append(dst, 0)
		}
		return append(dst, b...)
	}
	// -n-1 has the complement's bits.
	b := new(big.Int).Not(n).Bytes()
	if len(b) == 0 || b[0]&0x80 != 0 {
		dst = append(dst, 0xff)
	}
	for _, x := range b {
		dst = append(dst, ^x)
	}
	return dst
}

// ParseBig reads a big-endian two's complement integer.
func ParseBig(s string) *big.Int {
	n := new(big.Int).SetBytes([]byte(s))
	if len(s) > 0 && s[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(s))))
	}
	return n
}

// Compare orders two values of one kind; false is before true, strings and bytes go bytewise,
// NaN is above +Inf. Null is below all; values of two kinds go by kind.
func Compare(a, b Value) int {
	if a.Kind != b.Kind {
		return cmp.Compare(uint16(a.Kind), uint16(b.Kind))
	}
	switch a.Kind {
	case Null:
		return 0
	case Bool, Long, Timestamp, LocalTimestamp, Date, TimeOfDay:
		return cmp.Compare(int64(a.Num), int64(b.Num))
	case Double:
		x, y := a.Double(), b.Double()
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		case x == y:
			return 0
		case math.IsNaN(x) && math.IsNaN(y):
			return 0
		case math.IsNaN(x):
			return 1
		}
		return -1
	case Decimal:
		x, y := a.Unscaled(), b.Unscaled()
		if a.Num != b.Num {
			if d := int32(a.Num) - int32(b.Num); d > 0 {
				y.Mul(y, pow10(d))
			} else {
				x.Mul(x, pow10(-d))
			}
		}
		return x.Cmp(y)
	}
	switch {
	case a.Str < b.Str:
		return -1
	case a.Str > b.Str:
		return 1
	}
	return 0
}

func pow10(n int32) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// String formats v for people and CSV: null is empty, doubles in the shortest form that reads back,
// decimals with their scale, bytes in base64, instants by Layout, lists and maps as JSON.
func (v Value) String() string {
	switch v.Kind {
	case Null:
		return ""
	case Bool:
		return strconv.FormatBool(v.Bool())
	case Long:
		return strconv.FormatInt(v.Long(), 10)
	case Double:
		return FormatDouble(v.Double())
	case String:
		return v.Str
	case Bytes:
		return base64.StdEncoding.EncodeToString([]byte(v.Str))
	case Timestamp:
		return v.Time().String()
	case LocalTimestamp:
		return v.Time().Go().Format("2006-01-02T15:04:05.000000")
	case Date:
		return time.Unix(v.Long()*86400, 0).UTC().Format("2006-01-02")
	case TimeOfDay:
		return v.Time().Go().Format("15:04:05.000000")
	case Decimal:
		return FormatDecimal(v.Unscaled(), int32(v.Num))
	}
	return string(AppendJSON(nil, v))
}

// FormatDouble writes the shortest form that reads back: NaN, Infinity and -Infinity by these names.
func FormatDouble(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return string(AppendDouble(nil, f))
}

// AppendDouble appends a finite f as JSON writes it: shortest digits, an exponent only below 1e-6
// and from 1e21 on.
func AppendDouble(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// ParseDouble reads a double as people and programs write it: digits with a point and an exponent, or NaN,
// Infinity, Inf in letters of either case, with a sign. False for what is none: what is beyond the range of
// doubles, hexadecimal digits and digits with underscores too. -0 becomes +0.
func ParseDouble(s string) (f float64, ok bool) {
	if strings.ContainsAny(s, "_xXpP") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f + 0, err == nil
}

// FormatDecimal writes unscaled × 10^-scale with exactly scale digits behind the point.
func FormatDecimal(unscaled *big.Int, scale int32) string {
	s := new(big.Int).Abs(unscaled).String()
	if scale > 0 {
		for len(s) <= int(scale) {
			s = "0" + s
		}
		s = s[:len(s)-int(scale)] + "." + s[len(s)-int(scale):]
	}
	if unscaled.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// ErrCorrupt is returned for bytes that AppendValue cannot have written.
var ErrCorrupt = errors.New("corrupt value encoding")

// AppendValue appends a self-describing encoding of v: a kind byte, then a zigzag varint (Bool, Long,
// instants), 8 bytes little-endian (Double), or a length varint and bytes (the rest; a Decimal's
// scale stands before as a varint).
func AppendValue(dst []byte, v Value) []byte {
	dst = append(dst, byte(v.Kind))
	switch v.Kind {
	case Null:
		return dst
	case Bool, Long, Timestamp, LocalTimestamp, Date, TimeOfDay:
		return binary.AppendVarint(dst, int64(v.Num))
	case Double:
		return binary.LittleEndian.AppendUint64(dst, v.Num)
	case Decimal:
		dst = binary.AppendUvarint(dst, v.Num)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v.Str)))
	return append(dst, v.Str...)
}

// DecodeValue reads one value from the head of s and returns the rest; Str aliases s.
func DecodeValue(s string) (Value, string, error) {
	if s == "" {
		return Value{}, "", ErrCorrupt
	}
	v := Value{Kind: Kind(s[0])}
	s = s[1:]
	switch v.Kind {
	case Null:
		return v, s, nil
	case Bool, Long, Timestamp, LocalTimestamp, Date, TimeOfDay:
		n, w := binary.Varint(viewBytes(s))
		if w <= 0 {
			return Value{}, "", ErrCorrupt
		}
		v.Num = uint64(n)
		return v, s[w:], nil
	case Double:
		if len(s) < 8 {
			return Value{}, "", ErrCorrupt
		}
		v.Num = binary.LittleEndian.Uint64(viewBytes(s))
		return v, s[8:], nil
	case Decimal:
		n, w := binary.Uvarint(viewBytes(s))
		if w <= 0 {
			return Value{}, "", ErrCorrupt
		}
		v.Num = n
		s = s[w:]
	case String, Bytes, List, Map:
	default:
		return Value{}, "", ErrCorrupt
	}
	n, w := binary.Uvarint(viewBytes(s))
	if w <= 0 || n > uint64(len(s)-w) {
		return Value{}, "", ErrCorrupt
	}
	v.Str = s[w : w+int(n)]
	return v, s[w+int(n):], nil
}

// viewBytes views s as bytes that must not be written.
func viewBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// AppendList appends the encoding of a List's (or a Map's key, value, …) elements: each by AppendValue.
func AppendList(dst []byte, elems ...Value) []byte {
	for _, e := range elems {
		dst = AppendValue(dst, e)
	}
	return dst
}

// EachElem calls f with every element of a List's or Map's Str, in order, until f errs.
func EachElem(s string, f func(i int, e Value) error) error {
	for i := 0; s != ""; i++ {
		e, rest, err := DecodeValue(s)
		if err != nil {
			return err
		}
		if err := f(i, e); err != nil {
			return err
		}
		s = rest
	}
	return nil
}
