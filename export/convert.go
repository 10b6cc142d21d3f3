package export

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// convertible tells whether values of a spine's column can be read as a wanted kind at all.
func convertible(have, want event.Kind) bool {
	switch {
	case have == want:
		return want != event.Null
	case have == event.String:
		return want != event.List && want != event.Map && want != event.Null
	case want == event.Double:
		return have == event.Long
	case want == event.Decimal:
		return have == event.Long
	case want == event.Long:
		return have == event.Decimal
	}
	return false
}

// convert reads v, which is not null, as a value of type want.
func convert(v event.Value, want event.Type) (event.Value, error) {
	switch {
	case v.Kind == want.Kind && v.Kind != event.Decimal:
		if v.Kind == event.Double {
			return event.DoubleOf(v.Double()), nil
		}
		return v, nil
	case v.Kind == event.String:
		return parse(v.Str, want)
	case want.Kind == event.Double && v.Kind == event.Long:
		return event.DoubleOf(float64(v.Long())), nil
	case want.Kind == event.Decimal && v.Kind == event.Long:
		return rescale(big.NewInt(v.Long()), 0, want.Scale)
	case want.Kind == event.Decimal && v.Kind == event.Decimal:
		return rescale(v.Unscaled(), int32(v.Num), want.Scale)
	case want.Kind == event.Long && v.Kind == event.Decimal:
		n, err := rescale(v.Unscaled(), int32(v.Num), 0)
		if err == nil && n.Unscaled().IsInt64() {
			return event.LongOf(n.Unscaled().Int64()), nil
		}
	}
	return event.Value{}, fmt.Errorf("%s is not a %s", quote(v.String()), want.Kind)
}

// rescale gives n × 10^-have with exactly want digits behind the point, or errs if that would round.
func rescale(n *big.Int, have, want int32) (event.Value, error) {
	for ; have < want; have++ {
		n.Mul(n, big.NewInt(10))
	}
	for ; have > want; have-- {
		var digit big.Int
		if n.QuoRem(n, big.NewInt(10), &digit); digit.Sign() != 0 {
			return event.Value{}, fmt.Errorf("the value has more than %d digits behind the point", want)
		}
	}
	return event.DecimalOf(n, want), nil
}

func quote(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

// parse reads text as a value of type want.
func parse(text string, want event.Type) (event.Value, error) {
	switch want.Kind {
	case event.String:
		return event.StringOf(text), nil
	case event.Bool:
		if text == "true" || text == "false" {
			return event.BoolOf(text == "true"), nil
		}
	case event.Long:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return event.LongOf(n), nil
		}
	case event.Double:
		if f, ok := event.ParseDouble(text); ok {
			return event.DoubleOf(f), nil
		}
	case event.Bytes:
		if b, err := base64.StdEncoding.DecodeString(text); err == nil {
			return event.BytesOf(b), nil
		}
	case event.Timestamp:
		t, err := event.ReadTime(text)
		if err != nil {
			return event.Value{}, err
		}
		return event.TimestampOf(t), nil
	case event.LocalTimestamp:
		if t, err := time.Parse("2006-01-02T15:04:05.999999", text); err == nil {
			return event.Value{Kind: event.LocalTimestamp, Num: uint64(t.UnixMicro())}, nil
		}
	case event.Date:
		if t, err := time.Parse(time.DateOnly, text); err == nil {
			return event.Value{Kind: event.Date, Num: uint64(t.Unix() / 86400)}, nil
		}
	case event.TimeOfDay:
		if t, err := time.Parse("15:04:05.999999", text); err == nil {
			midnight := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
			return event.Value{Kind: event.TimeOfDay, Num: uint64(t.Sub(midnight).Microseconds())}, nil
		}
	case event.Decimal:
		if n, scale, ok := parseDecimal(text); ok {
			return rescale(n, scale, want.Scale)
		}
	}
	return event.Value{}, fmt.Errorf("%s is not a %s", quote(text), want.Kind)
}

// parseDecimal reads plain digits with an optional sign and point.
func parseDecimal(text string) (n *big.Int, scale int32, ok bool) {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	digits := whole + fraction
	if whole == "" || point && fraction == "" || len(digits) > 1000 || strings.Trim(digits, "0123456789") != "" {
		return nil, 0, false
	}
	n, _ = new(big.Int).SetString(digits, 10)
	if strings.HasPrefix(text, "-") {
		n.Neg(n)
	}
	return n, int32(len(fraction)), true
}
