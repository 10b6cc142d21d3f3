package schemas

import (
	"math"
	"strconv"

	"github.com/penstock-ml/penstock/event"
)

// fillDefault compiles the default of a field that the writer lacks.
func fillDefault(b *builder, n *node, v *jsonValue, w *want) error {
	if w.slot >= 0 {
		value, ok := defaultValue(n, v, w.typ)
		if !ok {
			return w.errorf("its default %s does not fit its type, %s", clip(string(v.append(nil))), n)
		}
		b.add(op{code: opConst, slot: w.slot, x: &extra{name: w.path, values: []event.Value{value}}})
		return nil
	}
	if v.kind == jsonNull && n.nullable() {
		for _, slot := range w.slots(nil) {
			b.add(op{code: opNull, slot: slot})
		}
		return nil
	}
	if len(w.lists) > 0 && v.kind == jsonArray && len(v.items) == 0 {
		for _, l := range w.lists {
			b.add(op{code: opConst, slot: l.slot, x: &extra{name: l.path, values: []event.Value{{Kind: event.List}}}})
		}
		return nil
	}
	rec := n.record()
	if rec == nil || v.kind != jsonObject {
		return w.errorf("its default %s does not fit its type, %s", clip(string(v.append(nil))), n)
	}
	for i := range rec.fields {
		fw := w.fields[i]
		if fw == nil {
			continue
		}
		f := &rec.fields[i]
		def, ok := v.get(f.name)
		if !ok {
			def = f.def
		}
		if def == nil {
			return fw.errorf("the writer lacks it, and neither it nor the record around it has a default for it")
		}
		if err := fillDefault(b, f.node, def, fw); err != nil {
			return err
		}
	}
	return nil
}

// defaultValue reads a default as a value of column type t; of a union the first branch that it fits.
func defaultValue(n *node, v *jsonValue, t event.Type) (event.Value, bool) {
	switch n.kind {
	case nodeUnion:
		for _, b := range n.branches {
			if x, ok := defaultValue(b, v, t); ok {
				return x, true
			}
		}
		return event.Value{}, false
	case nodeNull:
		return event.Value{}, v.kind == jsonNull
	case nodeBoolean:
		return event.BoolOf(v.truth), v.kind == jsonBool
	case nodeInt, nodeLong:
		return defaultInteger(n, v, t)
	case nodeFloat, nodeDouble:
		return defaultFloat(n, v)
	case nodeEnum:
		if v.kind == jsonString {
			for _, s := range n.symbols {
				if s == v.text {
					return event.StringOf(s), true
				}
			}
		}
		return event.Value{}, false
	case nodeArray, nodeMap:
		return defaultList(n, v, t)
	case nodeString:
		return event.StringOf(v.text), v.kind == jsonString
	}
	return defaultBytes(n, v)
}

func defaultInteger(n *node, v *jsonValue, t event.Type) (event.Value, bool) {
	if v.kind != jsonNumber {
		return event.Value{}, false
	}
	bits := 64
	if n.kind == nodeInt {
		bits = 32
	}
	i, err := strconv.ParseInt(v.text, 10, bits)
	if err != nil {
		// 1.0 and 1e3 are integers too.
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil || f != math.Trunc(f) || math.Abs(f) >= math.Ldexp(1, bits-1) {
			return event.Value{}, false
		}
		i = int64(f)
	}
	conv, kind := logicalOf(n.logical)
	if conv == convLong && t.Kind == event.Double {
		conv = convDouble
	}
	x, err := convert(conv, kind, i)
	return x, err == nil
}

func defaultFloat(n *node, v *jsonValue) (event.Value, bool) {
	switch {
	case v.kind == jsonString && v.text == "NaN":
		return double(math.NaN()), true
	case v.kind == jsonString && (v.text == "Infinity" || v.text == "INF"):
		return double(math.Inf(1)), true
	case v.kind == jsonString && (v.text == "-Infinity" || v.text == "-INF"):
		return double(math.Inf(-1)), true
	case v.kind != jsonNumber:
		return event.Value{}, false
	}
	bits := 64
	if n.kind == nodeFloat {
		bits = 32
	}
	f, err := strconv.ParseFloat(v.text, bits)
	return double(f), err == nil
}

// defaultBytes reads the default of bytes or fixed: one byte for each code point below 256.
func defaultBytes(n *node, v *jsonValue) (event.Value, bool) {
	if v.kind != jsonString || n.kind == nodeRecord {
		return event.Value{}, false
	}
	b := make([]byte, 0, len(v.text))
	for _, r := range v.text {
		if r > 255 {
			return event.Value{}, false
		}
		b = append(b, byte(r))
	}
	if n.kind == nodeFixed && len(b) != n.size {
		return event.Value{}, false
	}
	switch n.logical {
	case logicalDecimal:
		s, err := decimal(string(b), newDigitBound(n.precision))
		return event.Value{Kind: event.Decimal, Num: uint64(n.scale), Str: s}, err == nil
	case logicalUUID:
		return event.StringOf(string(appendUUID(nil, b))), true
	}
	return event.Value{Kind: event.Bytes, Str: string(b)}, true
}

func defaultList(n *node, v *jsonValue, t event.Type) (event.Value, bool) {
	kind, shape := event.List, jsonArray
	if n.kind == nodeMap {
		kind, shape = event.Map, jsonObject
	}
	if v.kind != shape || t.Elem == nil {
		return event.Value{}, false
	}
	var b []byte
	for i := range v.items {
		x, ok := defaultValue(n.items, &v.items[i], *t.Elem)
		if !ok {
			return event.Value{}, false
		}
		if kind == event.Map {
			b = event.AppendValue(b, event.StringOf(v.keys[i]))
		}
		b = event.AppendValue(b, x)
	}
	return event.Value{Kind: kind, Str: string(b)}, true
}
