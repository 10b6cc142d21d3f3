package schemas

import (
	"errors"
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
)

var (
	errTimestampRange = errors.New("a timestamp outside of what 64 bits of microseconds hold")
	errDateRange      = errors.New("a date outside of what 64 bits of microseconds hold")
	errTimeRange      = errors.New("a time of day that is not within one day")
	errDecimalSize    = errors.New("a decimal of more than 32 bytes")
	errDecimalDigits  = errors.New("a decimal of more digits than its precision")
)

const (
	maxDecimalBytes = 32
	maxDays         = math.MaxInt64 / int64(event.Day)
)

// convert makes a value of an integer. Timestamps are in microseconds, nanoseconds floored.
func convert(c conversion, kind event.Kind, n int64) (event.Value, error) {
	switch c {
	case convDouble:
		return event.DoubleOf(float64(n)), nil
	case convFloat:
		return event.DoubleOf(float64(float32(n))), nil
	case convDate:
		if n > maxDays || n < -maxDays {
			return event.Value{}, errDateRange
		}
	case convMillis:
		if n > math.MaxInt64/1000 || n < math.MinInt64/1000 {
			return event.Value{}, errTimestampRange
		}
		n *= 1000
	case convNanos:
		q := n / 1000
		if n%1000 < 0 {
			q--
		}
		n = q
	case convTimeMillis:
		if n < 0 || n >= int64(event.Day/event.Millisecond) {
			return event.Value{}, errTimeRange
		}
		n *= 1000
	case convTimeMicros:
		if n < 0 || n >= int64(event.Day) {
			return event.Value{}, errTimeRange
		}
	}
	return event.Value{Kind: kind, Num: uint64(n)}, nil
}

// logicalOf tells what integers of a logical type become.
func logicalOf(l logicalKind) (conversion, event.Kind) {
	switch l {
	case logicalDate:
		return convDate, event.Date
	case logicalTimeMillis:
		return convTimeMillis, event.TimeOfDay
	case logicalTimeMicros:
		return convTimeMicros, event.TimeOfDay
	case logicalTimestampMillis:
		return convMillis, event.Timestamp
	case logicalTimestampMicros:
		return convMicros, event.Timestamp
	case logicalTimestampNanos:
		return convNanos, event.Timestamp
	case logicalLocalMillis:
		return convMillis, event.LocalTimestamp
	case logicalLocalMicros:
		return convMicros, event.LocalTimestamp
	case logicalLocalNanos:
		return convNanos, event.LocalTimestamp
	}
	return convLong, event.Long
}

// double makes a value of a float or double; all NaNs become one.
func double(f float64) event.Value {
	if f != f {
		return event.Value{Kind: event.Double, Num: math.Float64bits(math.NaN())}
	}
	return event.DoubleOf(f)
}

// digitBound is the largest unscaled integer of a precision: 10^precision-1.
type digitBound struct {
	small uint64 // if it fits
	big   string // big-endian, without leading zeros; "" if small holds it
}

// newDigitBound returns nil if no integer of 32 bytes has more digits.
func newDigitBound(precision int) *digitBound {
	if precision > maxDecimalScale {
		return nil
	}
	n := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	n.Sub(n, big.NewInt(1))
	if n.IsUint64() {
		return &digitBound{small: n.Uint64()}
	}
	return &digitBound{big: string(n.Bytes())}
}

// decimal checks and shortens a big-endian two's complement integer; the result aliases s.
func decimal(s string, limit *digitBound) (string, error) {
	if s == "" {
		return "\x00", nil
	}
	for len(s) > 1 && (s[0] == 0 && s[1] < 0x80 || s[0] == 0xff && s[1] >= 0x80) {
		s = s[1:]
	}
	if len(s) > maxDecimalBytes {
		return "", errDecimalSize
	}
	if limit != nil && !limit.holds(s) {
		return "", errDecimalDigits
	}
	return s, nil
}

// holds compares the magnitude of a shortest two's complement integer with the bound.
func (d *digitBound) holds(s string) bool {
	negative := s[0] >= 0x80
	if len(s) <= 8 {
		var u uint64
		if negative {
			u = math.MaxUint64
		}
		for i := range len(s) {
			u = u<<8 | uint64(s[i])
		}
		if negative {
			u = -u
		}
		return d.big != "" || u <= d.small
	}
	var buf [maxDecimalBytes]byte
	mag := buf[:len(s)]
	carry := uint(1)
	for i := len(s) - 1; i >= 0; i-- {
		mag[i] = s[i]
		if negative {
			c := uint(^s[i]) + carry
			mag[i], carry = byte(c), c>>8
		}
	}
	for len(mag) > 0 && mag[0] == 0 {
		mag = mag[1:]
	}
	if d.big == "" {
		if len(mag) > 8 {
			return false
		}
		var u uint64
		for _, x := range mag {
			u = u<<8 | uint64(x)
		}
		return u <= d.small
	}
	return len(mag) < len(d.big) || len(mag) == len(d.big) && string(mag) <= d.big
}

const hexDigits = "0123456789abcdef"

// appendUUID writes 16 bytes in the form of RFC 4122.
func appendUUID(dst []byte, b []byte) []byte {
	for i, x := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[x>>4], hexDigits[x&15])
	}
	return dst
}
