package pipeline

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// constant reads a default of type t; problem says why it does not fit.
func constant(n *node, t event.Type) (v event.Value, problem string) {
	text := n.text
	plain := n.plain || n.env
	switch t.Kind {
	case event.Bool:
		if text != "true" && text != "false" || !plain {
			return v, "is not true or false"
		}
		return event.BoolOf(text == "true"), ""
	case event.Long:
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !plain {
			return v, "is not a whole number"
		}
		return event.LongOf(i), ""
	case event.Double:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !plain || strings.ContainsAny(text, "xX_") {
			return v, "is not a number"
		}
		return event.DoubleOf(f), ""
	case event.String:
		return event.StringOf(text), ""
	case event.Bytes:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return v, "is not base64"
		}
		return event.BytesOf(b), ""
	case event.Timestamp:
		at, err := event.ParseTime(text)
		if err != nil {
			return v, "is not an instant like 2013-01-05T10:00:00Z"
		}
		return event.TimestampOf(at), ""
	case event.Date:
		d, err := time.Parse("2006-01-02", text)
		if err != nil {
			return v, "is not a date like 2013-01-05"
		}
		return event.Value{Kind: event.Date, Num: uint64(floorDays(d))}, ""
	case event.Decimal:
		return decimalConstant(text, t.Scale, plain)
	}
	return v, "cannot be given"
}

func floorDays(t time.Time) int64 {
	s := t.Unix()
	if s < 0 {
		return -((-s + 86399) / 86400)
	}
	return s / 86400
}

func decimalConstant(text string, scale int32, plain bool) (event.Value, string) {
	whole, fraction, _ := strings.Cut(text, ".")
	digits := strings.TrimLeft(whole, "+-") + fraction
	if !plain || digits == "" || strings.Trim(digits, "0123456789") != "" || len(digits) > 1000 || len(whole) > 1 && strings.ContainsAny(whole[1:], "+-") {
		return event.Value{}, "is not a number"
	}
	if len(fraction) > int(scale) {
		return event.Value{}, fmt.Sprintf("has more than %d digits behind the point", scale)
	}
	n, _ := new(big.Int).SetString(digits+strings.Repeat("0", int(scale)-len(fraction)), 10)
	if strings.HasPrefix(whole, "-") {
		n.Neg(n)
	}
	return event.DecimalOf(n, scale), ""
}
