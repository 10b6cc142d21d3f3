package schemas

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"

	"github.com/penstock-ml/penstock/event"
)

func init() {
	// goavro allocates what a block promises; here it sees foreign bytes.
	goavro.MaxBlockCount, goavro.MaxBlockSize = maxItems, 1<<20
}

// source makes random schemas and values of them, the same for the same seed.
type source struct {
	*rand.Rand
	names int
}

func newSource(seed uint64) *source { return &source{Rand: rand.New(rand.NewPCG(seed, 1))} }

func (s *source) name(prefix string) string {
	s.names++
	return fmt.Sprintf("%s%d", prefix, s.names)
}

// record makes a record of random fields.
func (s *source) record(depth int) *node {
	n := &node{kind: nodeRecord, name: s.name("ns.Rec")}
	for range 1 + s.IntN(6) {
		n.fields = append(n.fields, field{name: s.name("f"), node: s.node(depth + 1)})
	}
	return n
}

func (s *source) node(depth int) *node {
	if depth > 3 {
		return s.leaf()
	}
	switch s.IntN(12) {
	case 0:
		return &node{kind: nodeArray, items: s.node(depth + 1)}
	case 1:
		return &node{kind: nodeMap, items: s.node(depth + 1)}
	case 2, 3:
		return s.record(depth)
	case 4, 5, 6:
		other := s.node(depth + 1)
		if other.kind == nodeUnion || other.kind == nodeNull {
			other = &node{kind: nodeString}
		}
		u := &node{kind: nodeUnion, branches: []*node{{kind: nodeNull}, other}}
		if s.IntN(2) == 0 {
			u.branches[0], u.branches[1] = u.branches[1], u.branches[0]
		}
		return u
	case 7:
		u := &node{kind: nodeUnion, branches: []*node{{kind: nodeInt}, {kind: nodeDouble}}}
		if s.IntN(2) == 0 {
			u.branches = append(u.branches, &node{kind: nodeNull})
		}
		if s.IntN(3) == 0 {
			u.branches = append(u.branches, &node{kind: nodeString})
		}
		return u
	}
	return s.leaf()
}

func (s *source) leaf() *node {
	switch s.IntN(8) {
	case 0:
		n := &node{kind: nodeEnum, name: s.name("ns.Enum")}
		for i := range 1 + s.IntN(5) {
			n.symbols = append(n.symbols, fmt.Sprintf("S%d", i))
		}
		return n
	case 1:
		return &node{kind: nodeFixed, name: s.name("ns.Fixed"), size: 1 + s.IntN(20)}
	case 2:
		return &node{kind: nodeBytes, logical: logicalDecimal, precision: 10, scale: s.IntN(5)}
	case 3:
		l := []logicalKind{logicalTimestampMillis, logicalTimestampMicros, logicalTimeMicros}[s.IntN(3)]
		return &node{kind: nodeLong, logical: l}
	case 4:
		return &node{kind: nodeInt, logical: []logicalKind{logicalDate, logicalTimeMillis}[s.IntN(2)]}
	}
	return &node{kind: []nodeKind{nodeBoolean, nodeInt, nodeLong, nodeFloat, nodeDouble, nodeBytes, nodeString, nodeNull}[s.IntN(8)]}
}

var words = []string{"", "a", "héllo", "plain ascii text", "日本語", "x\x00y", "🙂", strings.Repeat("long", 40)}

// value makes a value of n as goavro wants it.
func (s *source) value(n *node) any {
	switch n.logical {
	case logicalDecimal:
		limit := int64(math.Pow10(n.precision))
		return new(big.Rat).SetFrac(big.NewInt(s.Int64N(2*limit-1)-limit+1),
			new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n.scale)), nil))
	case logicalDate:
		return time.Unix(86400*(s.Int64N(40000)-20000), 0).UTC()
	case logicalTimeMillis:
		return time.Duration(s.Int64N(86400000)) * time.Millisecond
	case logicalTimeMicros:
		return time.Duration(s.Int64N(86400000000)) * time.Microsecond
	case logicalTimestampMillis:
		return time.UnixMilli(s.Int64N(8e12) - 4e12).UTC()
	case logicalTimestampMicros:
		return time.UnixMicro(s.Int64N(8e15) - 4e15).UTC()
	}
	switch n.kind {
	case nodeNull:
		return nil
	case nodeBoolean:
		return s.IntN(2) == 0
	case nodeInt:
		return int32(s.Uint32()) >> s.IntN(32)
	case nodeLong:
		return int64(s.Uint64()) >> s.IntN(64)
	case nodeFloat:
		return math.Float32frombits(s.Uint32())
	case nodeDouble:
		return []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), 1.5, math.Float64frombits(s.Uint64())}[s.IntN(6)]
	case nodeString:
		return words[s.IntN(len(words))]
	case nodeBytes, nodeFixed:
		b := make([]byte, s.IntN(20))
		if n.kind == nodeFixed {
			b = make([]byte, n.size)
		}
		for i := range b {
			b[i] = byte(s.Uint32())
		}
		return b
	case nodeEnum:
		return n.symbols[s.IntN(len(n.symbols))]
	case nodeArray:
		list := make([]any, s.IntN(4))
		for i := range list {
			list[i] = s.value(n.items)
		}
		return list
	case nodeMap:
		m := map[string]any{}
		for i := range s.IntN(4) {
			m[fmt.Sprint("k", i)] = s.value(n.items)
		}
		return m
	case nodeUnion:
		b := n.branches[s.IntN(len(n.branches))]
		if b.kind == nodeNull {
			return nil
		}
		return goavro.Union(goavroName(b), s.value(b))
	}
	m := map[string]any{}
	for _, f := range n.fields {
		m[f.name] = s.value(f.node)
	}
	return m
}

// goavroName is how goavro calls a branch of a union.
func goavroName(n *node) string {
	switch {
	case n.named():
		return n.name
	case n.logical != logicalNone:
		return nodeKindNames[n.kind] + "." + logicalNames[n.logical]
	}
	return nodeKindNames[n.kind]
}

// untag takes goavro's wrapping off of unions.
func untag(n *node, v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = untag(n.items, v[i])
		}
	case map[string]any:
		switch n.kind {
		case nodeUnion:
			for _, b := range n.branches {
				if x, ok := v[goavroName(b)]; ok {
					return untag(b, x)
				}
			}
		case nodeMap:
			for k := range v {
				v[k] = untag(n.items, v[k])
			}
		case nodeRecord:
			for _, f := range n.fields {
				v[f.name] = untag(f.node, v[f.name])
			}
		}
	}
	return v
}

// oracle is the value of a column as another decoder's generic value tells it. Maps are compared
// apart (see sameValue): Go's have no order.
func oracle(t event.Type, v any) any {
	switch v := v.(type) {
	case nil:
		return event.Value{}
	case bool:
		return event.BoolOf(v)
	case int32:
		return oracle(t, int64(v))
	case int:
		return oracle(t, int64(v))
	case int64:
		if t.Kind == event.Double {
			return double(float64(v))
		}
		return event.Value{Kind: t.Kind, Num: uint64(v)}
	case float32:
		return double(float64(v))
	case float64:
		return double(v)
	case string:
		return event.Value{Kind: t.Kind, Str: v}
	case []byte:
		return event.Value{Kind: t.Kind, Str: string(v)}
	case avro.Duration:
		b := v.Bytes()
		return event.Value{Kind: t.Kind, Str: string(b[:])}
	case time.Time:
		if t.Kind == event.Date {
			return event.Value{Kind: t.Kind, Num: uint64(v.Unix() / 86400)}
		}
		return event.Value{Kind: t.Kind, Num: uint64(v.UnixMicro())}
	case time.Duration:
		return event.Value{Kind: t.Kind, Num: uint64(v.Microseconds())}
	case *big.Rat:
		x := new(big.Rat).Mul(v, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Scale)), nil)))
		if !x.IsInt() {
			return fmt.Errorf("%v has more digits than %d", v, t.Scale)
		}
		return event.DecimalOf(x.Num(), t.Scale)
	case []any:
		var out []any
		for _, e := range v {
			out = append(out, oracle(*t.Elem, e))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = oracle(*t.Elem, e)
		}
		return out
	}
	return fmt.Errorf("a %T", v)
}

// sameValue compares a decoded value with an oracle's.
func sameValue(got event.Value, want any) bool {
	switch want := want.(type) {
	case event.Value:
		return got == want
	case []any:
		i := 0
		err := event.EachElem(got.Str, func(_ int, e event.Value) error {
			if i >= len(want) || !sameValue(e, want[i]) {
				return fmt.Errorf("element %d", i)
			}
			i++
			return nil
		})
		return got.Kind == event.List && err == nil && i == len(want)
	case map[string]any:
		key, n := "", 0
		err := event.EachElem(got.Str, func(i int, e event.Value) error {
			if i%2 == 0 {
				key = e.Str
				return nil
			}
			n++
			if w, ok := want[key]; !ok || !sameValue(e, w) {
				return fmt.Errorf("key %s", key)
			}
			return nil
		})
		return got.Kind == event.Map && err == nil && n == len(want)
	}
	return got.Kind == event.List && want == nil && got.Str == ""
}

// at follows a dotted path into generic records, and into each record of an array; null on the way is null.
func at(v any, path string) any {
	names := strings.Split(path, ".")
	for i, name := range names {
		if list, ok := v.([]any); ok {
			out := make([]any, len(list))
			for j := range list {
				out[j] = at(list[j], strings.Join(names[i:], "."))
			}
			return out
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// printNode is a schema's text.
func printNode(n *node) string {
	p := printer{seen: map[*node]bool{}}
	p.node(n, "")
	return string(p.dst)
}
