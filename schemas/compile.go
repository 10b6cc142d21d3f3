package schemas

import (
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// ErrResolve marks a writer schema that cannot be read as the reader's.
var ErrResolve = errors.New("the schemas do not resolve")

// Decoder is a program that reads a writer's bytes into the reader's columns. Immutable, safe for
// concurrent use except for the Scratch it is given.
type Decoder struct {
	ops     []op
	columns int
	copies  [][2]int32 // columns that were asked for twice: to, from
}

// Compile resolves writer against reader by the Avro rules and returns a decoder of the reader's
// columns (dotted paths). An error says which field does not resolve and why. Fields that no column
// needs are passed over, so they need not resolve.
func Compile(writer, reader *Schema, columns []string) (*Decoder, error) {
	c := &compiler{skipper: skipper{widths: widths{}, records: map[*node]*program{}}}
	root := &want{slot: -1}
	d := &Decoder{columns: len(columns)}
	for i, path := range columns {
		from, err := root.add(reader, path, int32(i))
		if err != nil {
			return nil, fmt.Errorf("compile decoder: %w", err)
		}
		if from != int32(i) {
			d.copies = append(d.copies, [2]int32{int32(i), from})
		}
	}
	var b builder
	if len(columns) == 0 {
		c.skipper.skip(&b, writer.root, "")
	} else if err := c.resolve(&b, writer.root, reader.root, root); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResolve, err)
	}
	d.ops = b.ops
	return d, nil
}

// Decode reads exactly one datum from b into row (one Value per column, as given to Compile). Values
// alias b and scratch: valid until the next Decode with the same scratch. It consumes all of b, never
// panics, and allocates nothing in the steady state.
func (d *Decoder) Decode(b []byte, row []event.Value, scratch *Scratch) error {
	n, err := d.DecodeNext(b, row, scratch)
	if err == nil && n != len(b) {
		return fmt.Errorf("%d bytes are left over behind the datum of %d", len(b)-n, n)
	}
	return err
}

// DecodeNext is Decode for data that stand one behind the other: it returns how many bytes of b the
// first datum takes.
func (d *Decoder) DecodeNext(b []byte, row []event.Value, scratch *Scratch) (int, error) {
	if len(row) < d.columns {
		return 0, fmt.Errorf("a row of %d values for %d columns", len(row), d.columns)
	}
	scratch.reset(len(b))
	p, err := run(d.ops, b, 0, row, scratch)
	if err != nil {
		return 0, err
	}
	for _, c := range d.copies {
		row[c[0]] = row[c[1]]
	}
	return p, nil
}

// want is what the columns need of a reader's type: a slot, or some fields of a record.
type want struct {
	slot   int32
	path   string
	typ    event.Type
	level  int // of lists
	fields map[int]*want
	lists  []*want // of an array of records: a list for each field of theirs that is wanted
	item   *want   // of one of lists: what is wanted of each record
}

// add notes a column and returns its slot: that of an earlier column of the same path, if there is one.
func (w *want) add(reader *Schema, path string, slot int32) (int32, error) {
	t, ok := reader.Field(path)
	if !ok {
		if why, known := reader.NotColumn(path); known {
			return 0, fmt.Errorf("%q is not a column of the reader's schema: %s", path, why)
		}
		return 0, fmt.Errorf("the reader's schema has no field %q", path)
	}
	n := reader.root
	names := strings.Split(path, ".")
	for i, name := range names {
		rec := n.record()
		at := rec.fieldIndex(name)
		if w.fields == nil {
			w.fields = map[int]*want{}
		}
		next := w.fields[at]
		if next == nil {
			next = &want{slot: -1, path: strings.Join(names[:i+1], ".")}
			w.fields[at] = next
		}
		w, n = next, rec.fields[at].node
		if elem := n.elements(); elem != nil && elem.record() != nil && i+1 < len(names) {
			return w.addItems(elem.record(), path, names[i+1:], slot, t), nil
		}
	}
	if w.slot < 0 {
		w.slot, w.typ = slot, t
	}
	return w.slot, nil
}

// addItems notes a column that is a field of the records in w, an array.
func (w *want) addItems(rec *node, path string, names []string, slot int32, t event.Type) int32 {
	for _, l := range w.lists {
		if l.path == path {
			return l.slot
		}
	}
	list := &want{slot: slot, path: path, typ: t, level: w.level, item: &want{slot: -1, path: w.path + "[]", level: w.level + 1}}
	w.lists = append(w.lists, list)
	at := list.item
	for i, name := range names {
		f := rec.fieldIndex(name)
		next := &want{slot: -1, path: path, level: at.level}
		at.fields = map[int]*want{f: next}
		at = next
		if i+1 < len(names) {
			rec = rec.fields[f].node.record()
		}
	}
	at.slot, at.typ = 0, *t.Elem
	return slot
}

// slots lists the slots of w.
func (w *want) slots(dst []int32) []int32 {
	if w.slot >= 0 {
		return append(dst, w.slot)
	}
	for _, f := range w.fields {
		dst = f.slots(dst)
	}
	for _, l := range w.lists {
		dst = append(dst, l.slot)
	}
	return dst
}

// errorf is an error of resolution that names the field.
func (w *want) errorf(format string, args ...any) error {
	return &fieldError{path: w.name(), err: fmt.Errorf(format, args...)}
}

func (w *want) name() string {
	if w.path == "" {
		return "(the record)"
	}
	return w.path
}

// compiler turns a writer's and a reader's type into operations.
type compiler struct {
	skipper skipper
	depth   int
}

// resolve compiles the reading of what w wants of r from bytes of writer's type wr.
func (c *compiler) resolve(b *builder, wr, r *node, w *want) error {
	if wr.kind == nodeUnion {
		return c.writerUnion(b, wr, r, w)
	}
	return c.branch(b, wr, r, w, true)
}

// branch compiles a writer's type that is no union. Only is false if it is one of several of a union.
func (c *compiler) branch(b *builder, wr, r *node, w *want, only bool) error {
	if r.kind == nodeUnion {
		chosen := pick(wr, r, only)
		if chosen == nil {
			return w.errorf("%s, which the reader's type, %s, lacks", wr, r)
		}
		r = chosen
	}
	switch {
	case wr.kind == nodeNull && r.kind == nodeNull:
		for _, slot := range w.slots(nil) {
			b.add(op{code: opNull, slot: slot})
		}
		return nil
	case wr.kind == nodeNull:
		return w.errorf("null, but the reader's type is %s", r)
	case wr.kind == nodeRecord && r.kind == nodeRecord:
		return c.record(b, wr, r, w)
	case wr.kind == nodeArray && r.kind == nodeArray && len(w.lists) > 0:
		return c.lists(b, wr, r, w)
	}
	return c.leaf(b, wr, r, w)
}

// pick chooses the branch of the reader's union for a writer's type: the first of the same type and
// name, else the first that it promotes to, else the only record if there is only one on both sides.
func pick(wr, r *node, only bool) *node {
	for _, b := range r.branches {
		if b.kind == wr.kind && (!b.named() || sameName(wr, b)) {
			return b
		}
	}
	for _, b := range r.branches {
		if promotes(wr.kind, b.kind) {
			return b
		}
	}
	if rec := r.record(); rec != nil && wr.kind == nodeRecord && only {
		return rec
	}
	return nil
}

// promotes tells whether the specification lets a reader read one type as another.
func promotes(from, to nodeKind) bool {
	switch from {
	case nodeInt:
		return to == nodeLong || to == nodeFloat || to == nodeDouble
	case nodeLong:
		return to == nodeFloat || to == nodeDouble
	case nodeFloat:
		return to == nodeDouble
	case nodeString:
		return to == nodeBytes
	case nodeBytes:
		return to == nodeString
	}
	return false
}

// writerUnion compiles a choice by the branch on the wire. A branch that does not resolve is an error
// of the datum, unless no branch but null does.
func (c *compiler) writerUnion(b *builder, wr, r *node, w *want) error {
	only := len(wr.present()) == 1
	if null, other := optional(wr); other != nil {
		o := op{code: opNullable, n: int64(null), x: &extra{name: w.path}}
		if r.nullable() {
			o.x.slots = w.slots(nil)
		} else {
			o.x.err = fmt.Errorf("null, but the reader's type is %s", r)
		}
		return b.nullable(o, func() error { return c.branch(b, other, r, w, only) })
	}
	o := op{code: opUnion, x: &extra{name: w.path}}
	var firstErr error
	resolved := 0
	for _, branch := range wr.branches {
		var body builder
		err := c.branch(&body, branch, r, w, only)
		switch {
		case err == nil && branch.kind != nodeNull:
			resolved++
		case err != nil:
			var at *fieldError
			errors.As(err, &at)
			body.ops = []op{{code: opFail, x: &extra{name: at.path, err: at.err}}}
			if firstErr == nil {
				firstErr = err
			}
		}
		o.x.branches = append(o.x.branches, body.ops)
	}
	if resolved == 0 && firstErr != nil {
		return firstErr
	}
	b.add(o)
	return nil
}

// record compiles the fields in the writer's order. The names of the outermost records must be the
// same, apart from namespaces and aliases; of those below they are not compared. Fields that nothing
// wants are passed over, and those that only the reader has get its defaults.
func (c *compiler) record(b *builder, wr, r *node, w *want) error {
	if w.slot >= 0 {
		return w.errorf("%s, but the reader's type is a column", wr)
	}
	if c.depth == 0 && !sameName(wr, r) {
		return w.errorf("%s, but the reader's type is %s; if it was renamed, the reader needs an alias", wr, r)
	}
	if c.depth++; c.depth > maxPathFields+1 {
		return w.errorf("nested too deep")
	}
	defer func() { c.depth-- }()
	source := matchFields(wr, r)
	for i := range wr.fields {
		f := &wr.fields[i]
		ri := source[i]
		if ri < 0 || w.fields[ri] == nil {
			name := f.name
			if w.path != "" {
				name = w.path + "." + f.name
			}
			c.skipper.skip(b, f.node, name)
			continue
		}
		if err := c.resolve(b, f.node, r.fields[ri].node, w.fields[ri]); err != nil {
			return err
		}
	}
	for ri := range r.fields {
		fw := w.fields[ri]
		if fw == nil || containsIndex(source, ri) {
			continue
		}
		f := &r.fields[ri]
		if f.def == nil {
			return fw.errorf("the writer's %s lacks it, and the reader has no default", wr)
		}
		if err := fillDefault(b, f.node, f.def, fw); err != nil {
			return err
		}
	}
	return nil
}

// matchFields gives each writer's field the reader's field that takes it, or -1: the one of its name,
// else the first that has its name as an alias and is not taken by a writer's field of its own name.
func matchFields(wr, r *node) []int {
	byName, byAlias := map[string]int{}, map[string]int{}
	for i := range r.fields {
		byName[r.fields[i].name] = i
		for _, a := range r.fields[i].aliases {
			if _, taken := byAlias[a]; !taken {
				byAlias[a] = i
			}
		}
	}
	out := make([]int, len(wr.fields))
	taken := map[int]bool{}
	for i := range wr.fields {
		out[i] = -1
		if ri, ok := byName[wr.fields[i].name]; ok {
			out[i], taken[ri] = ri, true
		}
	}
	for i := range wr.fields {
		if ri, ok := byAlias[wr.fields[i].name]; ok && out[i] < 0 && !taken[ri] {
			out[i], taken[ri] = ri, true
		}
	}
	return out
}

func containsIndex(list []int, i int) bool {
	for _, x := range list {
		if x == i {
			return true
		}
	}
	return false
}
