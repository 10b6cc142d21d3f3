package schemas

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// leaf compiles the reading of one column's value; neither type is a union.
func (c *compiler) leaf(b *builder, wr, r *node, w *want) error {
	if wr.kind != r.kind && !promotes(wr.kind, r.kind) || w.slot < 0 {
		return w.errorf("%s, but the reader's type is %s", wr, r)
	}
	o := op{slot: w.slot, x: &extra{name: w.path}}
	var err error
	switch r.kind {
	case nodeBoolean:
		o.code = opBool
	case nodeInt, nodeLong, nodeFloat, nodeDouble:
		err = number(&o, wr, r, w)
	case nodeBytes, nodeString:
		err = text(&o, wr, r, w)
	case nodeFixed:
		err = fixed(&o, wr, r, w)
	case nodeEnum:
		o.code = opEnum
		for _, s := range wr.symbols {
			v := event.StringOf(s)
			if !slices.Contains(r.symbols, s) {
				if v = event.StringOf(r.enumDefault); r.enumDefault == "" {
					v = event.Value{Str: s} // null: an error that names the symbol
				}
			}
			o.x.values = append(o.x.values, v)
		}
	case nodeArray, nodeMap:
		o.code = opList
		if r.kind == nodeMap {
			o.code = opMap
		}
		err = c.list(&o, wr, r, w)
	}
	if err != nil {
		return err
	}
	b.add(o)
	return nil
}

// logical returns the logical type by which a value is read: the reader's; of two that differ in
// their unit only, the writer's, which is what the numbers are in.
func logical(wr, r *node, w *want) (logicalKind, error) {
	if r.logical == logicalNone || wr.logical == logicalNone {
		return r.logical, nil
	}
	_, from := logicalOf(wr.logical)
	_, to := logicalOf(r.logical)
	if from != to {
		return 0, w.errorf("%s, but the reader's type is %s", wr, r)
	}
	return wr.logical, nil
}

// number compiles int, long, float and double.
func number(o *op, wr, r *node, w *want) error {
	switch wr.kind {
	case nodeFloat:
		o.code = opFloat
		return nil
	case nodeDouble:
		o.code = opDouble
		return nil
	case nodeInt:
		o.code = opInt
	default:
		o.code = opLong
	}
	o.kind = w.typ.Kind
	switch {
	case r.kind == nodeFloat:
		o.conv = convFloat
	case r.kind == nodeDouble:
		o.conv = convDouble
	default:
		l, err := logical(wr, r, w)
		if err != nil {
			return err
		}
		if o.conv, _ = logicalOf(l); o.conv == convLong && o.kind == event.Double {
			o.conv = convDouble // a branch of a union of integers and floating point numbers
		}
	}
	return nil
}

// text compiles bytes and string, either way.
func text(o *op, wr, r *node, w *want) error {
	switch {
	case r.logical == logicalDecimal:
		return decimalOp(o, wr, r, w, -1)
	case r.kind == nodeString:
		o.code = opString
	default:
		o.code = opBytes
	}
	return nil
}

func fixed(o *op, wr, r *node, w *want) error {
	if wr.size != r.size {
		return w.errorf("%s of %d bytes, but the reader's %s has %d", wr, wr.size, r, r.size)
	}
	if !sameName(wr, r) {
		return w.errorf("%s, but the reader's type is %s", wr, r)
	}
	o.n = int64(r.size)
	switch r.logical {
	case logicalDecimal:
		return decimalOp(o, wr, r, w, o.n)
	case logicalUUID:
		o.code = opUUID
	default:
		o.code = opFixed
	}
	return nil
}

func decimalOp(o *op, wr, r *node, w *want, n int64) error {
	if wr.logical == logicalDecimal && wr.scale != r.scale {
		return w.errorf("a decimal with %d digits behind the point, but the reader's has %d", wr.scale, r.scale)
	}
	o.code, o.n = opDecimal, n
	o.x.limit = newDigitBound(r.precision)
	o.x.values = []event.Value{{Kind: event.Decimal, Num: uint64(r.scale)}}
	return nil
}

// lists compiles an array of records as a list for each field of theirs that is wanted. Each reads the
// array anew: a list must lie in one piece.
func (c *compiler) lists(b *builder, wr, r *node, w *want) error {
	o := op{code: opEach, x: &extra{name: w.path}}
	for _, l := range w.lists {
		one := op{code: opList, slot: l.slot, x: &extra{name: l.path}}
		if err := c.list(&one, wr, r, l); err != nil {
			return err
		}
		o.x.branches = append(o.x.branches, []op{one})
	}
	b.add(o)
	return nil
}

// list compiles an array or a map; its items are read into a place of Scratch.
func (c *compiler) list(o *op, wr, r *node, w *want) error {
	item := w.item
	if item == nil {
		item = &want{path: w.path + "[]", typ: *w.typ.Elem, level: w.level + 1}
	}
	var b builder
	if err := c.resolve(&b, wr.items, r.items, item); err != nil {
		return err
	}
	o.x.level = w.level
	o.x.elem = &program{ops: b.ops, width: c.skipper.widths.of(wr.items)}
	return nil
}
