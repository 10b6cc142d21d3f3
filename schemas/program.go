package schemas

import (
	"math"

	"github.com/penstock-ml/penstock/event"
)

// A decoder is a flat list of operations that walk over the bytes. Whatever has a shape of its own
// (a union's branch, an array's element, a skipped record that stands in several places) is a list
// of its own.

// opcode is what an operation does.
type opcode uint8

const (
	opLong      opcode = iota // varint of 64 bits, converted by conv
	opInt                     // varint of 32 bits, converted by conv
	opString                  // UTF-8
	opBytes                   // as kind
	opDouble                  //
	opFloat                   //
	opBool                    //
	opEnum                    // x.values by index
	opFixed                   // n bytes
	opDecimal                 // n bytes, or with a length if n is -1
	opUUID                    // 16 bytes, written as text
	opNull                    // no bytes; null
	opConst                   // no bytes; x.values[0]
	opFail                    // x.err
	opNullable                // branch number; n is that of null: then x.slots are null, or x.err, and jump operations are passed over
	opUnion                   // branch number; x.branches
	opList                    // array; x.elem
	opMap                     // map; x.elem
	opSkip                    // n bytes
	opSkipInt                 // varint of 32 bits
	opSkipLong                // varint of 64 bits
	opSkipEnum                // varint below n
	opSkipBytes               // length and bytes
	opSkipArray               // x.elem
	opSkipMap                 // x.elem
	opCall                    // x.elem: a record's skip program
	opEach                    // x.branches, each from the same place; all end where the last one does
)

// conversion is what an integer on the wire becomes.
type conversion uint8

const (
	convLong conversion = iota
	convDouble
	convFloat // rounded to a float first
	convDate
	convTimeMillis
	convTimeMicros
	convMillis
	convMicros
	convNanos
)

// op is one operation.
type op struct {
	code opcode
	conv conversion
	kind event.Kind
	slot int32
	jump int32
	n    int64
	x    *extra
}

// extra is what only some operations need, and the name for a message.
type extra struct {
	name     string
	err      error
	values   []event.Value
	slots    []int32
	branches [][]op
	elem     *program
	level    int         // of a list in lists: its place in Scratch.elems
	limit    *digitBound // of a decimal
}

// program is a list of operations with the width of what it reads.
type program struct {
	ops   []op
	width width
}

// width bounds the bytes of a type.
type width struct {
	least int64 // never more than saturated
	fixed bool  // exactly least
}

const saturated = 1 << 40

// builder collects operations and joins skipped bytes that lie side by side.
type builder struct {
	ops     []op
	barrier int // operations before it must not grow: a jump ends there
}

func (b *builder) add(o op) { b.ops = append(b.ops, o) }

func (b *builder) skip(n int64, name string) {
	if n == 0 {
		return
	}
	if last := len(b.ops) - 1; last >= b.barrier && b.ops[last].code == opSkip {
		b.ops[last].n = min(b.ops[last].n+n, saturated)
		return
	}
	b.add(op{code: opSkip, n: n, x: &extra{name: name}})
}

// nullable adds an operation whose jump passes over what body adds.
func (b *builder) nullable(o op, body func() error) error {
	at := len(b.ops)
	b.add(o)
	b.barrier = len(b.ops)
	err := body()
	b.barrier = len(b.ops)
	b.ops[at].jump = int32(len(b.ops) - at - 1)
	return err
}

// widths computes and remembers the widths of types.
type widths map[*node]width

func (ws widths) of(n *node) width {
	if w, ok := ws[n]; ok {
		return w
	}
	ws[n] = width{} // a record that holds itself is at least 0 wide there
	w := ws.compute(n)
	ws[n] = w
	return w
}

func (ws widths) compute(n *node) width {
	switch n.kind {
	case nodeNull:
		return width{0, true}
	case nodeBoolean:
		return width{1, true}
	case nodeFloat:
		return width{4, true}
	case nodeDouble:
		return width{8, true}
	case nodeFixed:
		return width{int64(n.size), true}
	case nodeRecord:
		w := width{0, true}
		for i := range n.fields {
			f := ws.of(n.fields[i].node)
			w.least = min(w.least+f.least, saturated)
			w.fixed = w.fixed && f.fixed
		}
		return w
	case nodeUnion:
		least := int64(math.MaxInt64)
		for _, b := range n.branches {
			least = min(least, ws.of(b).least)
		}
		return width{min(least+1, saturated), false}
	}
	return width{1, false}
}

// skipper compiles programs that pass over a type. Records that are named in several places are
// compiled once.
type skipper struct {
	widths  widths
	records map[*node]*program
}

// inlineOps is the length up to which a record's skip program is copied into its place.
const inlineOps = 8

func (s *skipper) skip(b *builder, n *node, name string) {
	switch n.kind {
	case nodeInt:
		b.add(op{code: opSkipInt, x: &extra{name: name}})
	case nodeLong:
		b.add(op{code: opSkipLong, x: &extra{name: name}})
	case nodeEnum:
		b.add(op{code: opSkipEnum, n: int64(len(n.symbols)), x: &extra{name: name}})
	case nodeBytes, nodeString:
		b.add(op{code: opSkipBytes, x: &extra{name: name}})
	case nodeArray:
		b.add(op{code: opSkipArray, x: &extra{name: name, elem: s.program(n.items)}})
	case nodeMap:
		b.add(op{code: opSkipMap, x: &extra{name: name, elem: s.program(n.items)}})
	case nodeUnion:
		s.union(b, n, name)
	case nodeRecord:
		s.record(b, n, name)
	default:
		b.skip(s.widths.of(n).least, name)
	}
}

func (s *skipper) union(b *builder, n *node, name string) {
	if i, other := optional(n); other != nil {
		_ = b.nullable(op{code: opNullable, n: int64(i), x: &extra{name: name}}, func() error {
			s.skip(b, other, name)
			return nil
		})
		return
	}
	o := op{code: opUnion, x: &extra{name: name}}
	for _, br := range n.branches {
		o.x.branches = append(o.x.branches, s.program(br).ops)
	}
	b.add(o)
}

func (s *skipper) record(b *builder, n *node, name string) {
	if w := s.widths.of(n); w.fixed {
		b.skip(w.least, name)
		return
	}
	p, known := s.records[n]
	if !known {
		p = &program{width: s.widths.of(n)}
		s.records[n] = p
		var body builder
		for i := range n.fields {
			s.skip(&body, n.fields[i].node, "")
		}
		p.ops = body.ops
	}
	if len(p.ops) == 0 || len(p.ops) > inlineOps { // empty: it is being compiled, so it holds itself
		b.add(op{code: opCall, x: &extra{name: name, elem: p}})
		return
	}
	at := len(b.ops)
	for _, o := range p.ops {
		x := *o.x
		x.name = name
		o.x = &x
		b.add(o)
	}
	b.barrier = max(b.barrier, at+len(p.ops))
}

// program passes over one n.
func (s *skipper) program(n *node) *program {
	p := &program{width: s.widths.of(n)}
	if p.width.fixed {
		if p.width.least > 0 {
			p.ops = []op{{code: opSkip, n: p.width.least, x: &extra{}}}
		}
		return p
	}
	var b builder
	s.skip(&b, n, "")
	p.ops = b.ops
	return p
}

// optional returns the place of null and the other branch of a union of null and one type.
func optional(n *node) (null int, other *node) {
	if len(n.branches) != 2 {
		return 0, nil
	}
	for i, b := range n.branches {
		if b.kind == nodeNull && n.branches[1-i].kind != nodeNull {
			return i, n.branches[1-i]
		}
	}
	return 0, nil
}
