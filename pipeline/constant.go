package pipeline

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// defaultOf reads a default of type t, and reports what does not fit. where begins the message.
func (c *compiler) defaultOf(n *node, t event.Type, hint, where string, args ...any) (event.Value, bool) {
	v, at, problem := constant(n, t)
	if problem == "" {
		return v, true
	}
	what := "default"
	switch {
	case at != n && at.kind == scalarNode:
		what = fmt.Sprintf("default: %q", at.shown())
	case at.kind == scalarNode:
		what = fmt.Sprintf("default %q", at.shown())
	}
	c.fail(at, hint, "%s%s %s, and the feature is %s", fmt.Sprintf(where, args...), what, problem, bare(t))
	return event.Value{}, false
}

// constant reads a constant of type t; problem says why it does not fit, of which part.
func constant(n *node, t event.Type) (v event.Value, at *node, problem string) {
	switch {
	case n.kind == nullNode && t.Nullable:
		return event.Value{}, n, ""
	case n.kind == nullNode:
		return event.Value{}, n, "holds a null"
	case t.Kind == event.List:
		return listConstant(n, t)
	case t.Kind == event.Map:
		return mapConstant(n, t)
	case n.kind == sequenceNode:
		return event.Value{}, n, "is a list"
	case n.kind == mappingNode:
		return event.Value{}, n, "is a mapping"
	}
	v, problem = scalarConstant(n, t)
	return v, n, problem
}

func listConstant(n *node, t event.Type) (event.Value, *node, string) {
	if n.kind != sequenceNode {
		return event.Value{}, n, "is not a list like [1, 2]"
	}
	var b []byte
	for _, item := range n.items {
		v, at, problem := constant(item, *t.Elem)
		if problem != "" {
			return event.Value{}, at, problem
		}
		b = event.AppendValue(b, v)
	}
	return event.Value{Kind: event.List, Str: string(b)}, n, ""
}

// mapConstant reads a map. Keys are in the order of their bytes, as in those that aggregates answer.
func mapConstant(n *node, t event.Type) (event.Value, *node, string) {
	if n.kind != mappingNode {
		return event.Value{}, n, "is not a map like {a: 1}"
	}
	fields := slices.Clone(n.fields)
	slices.SortStableFunc(fields, func(a, b field) int { return strings.Compare(a.key.text, b.key.text) })
	var b []byte
	for i, f := range fields {
		if i > 0 && fields[i-1].key.text == f.key.text {
			return event.Value{}, f.key, "is there twice"
		}
		v, at, problem := constant(f.value, *t.Elem)
		if problem != "" {
			return event.Value{}, at, problem
		}
		b = event.AppendValue(event.AppendValue(b, event.StringOf(f.key.text)), v)
	}
	return event.Value{Kind: event.Map, Str: string(b)}, n, ""
}

func scalarConstant(n *node, t event.Type) (v event.Value, problem string) {
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
