package schemas

import (
	"errors"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"

	"github.com/penstock-ml/penstock/event"
)

// checkAgainstGoavro encodes random values of a random schema by goavro and compares all columns.
func checkAgainstGoavro(t *testing.T, seed uint64) {
	src := newSource(seed)
	rec := src.record(0)
	text := printNode(rec)
	codec, err := goavro.NewCodec(text)
	if err != nil {
		t.Fatalf("seed %d: goavro: %v\n%s", seed, err, text)
	}
	s := parse(t, text)
	if s.String() != text {
		t.Fatalf("seed %d: printed %s\nparsed %s", seed, text, s)
	}
	cols := paths(s)
	all, row := compile(t, s, s, cols...), make([]event.Value, len(cols))
	var scratch Scratch
	for range 8 {
		b, err := codec.BinaryFromNative(nil, src.value(rec))
		if err != nil {
			t.Fatalf("seed %d: encode: %v\n%s", seed, err, text)
		}
		native, _, err := codec.NativeFromBinary(b)
		if err != nil {
			t.Fatal(err)
		}
		native = untag(rec, native)
		if err := all.Decode(b, row, &scratch); err != nil {
			t.Fatalf("seed %d: decode: %v\n%s\n%x", seed, err, text, b)
		}
		for i, f := range s.Fields() {
			want := oracle(f.Type, at(native, f.Path))
			if !sameValue(row[i], want) {
				t.Fatalf("seed %d: %s: %v, want %v\n%s\n%x", seed, f.Path, row[i], want, text, b)
			}
			if row[i].Kind != f.Type.Kind && (row[i].Kind != event.Null || !f.Type.Nullable) {
				t.Fatalf("seed %d: %s: a %v in a column of %v", seed, f.Path, row[i].Kind, f.Type)
			}
			// One column alone skips all others, and must give the same.
			one := make([]event.Value, 1)
			if err := compile(t, s, s, f.Path).Decode(b, one, new(Scratch)); err != nil || one[0] != row[i] {
				t.Fatalf("seed %d: %s alone: %v, %v, want %v", seed, f.Path, one[0], err, row[i])
			}
		}
	}
}

// mutate makes a reader's type of a writer's: what users do to schemas, allowed and not.
func (s *source) mutate(n *node) *node {
	m := *n
	switch {
	case n.kind == nodeRecord:
		m.fields = nil
		for _, f := range n.fields {
			f.node = s.mutate(f.node)
			switch s.IntN(12) {
			case 0: // removed
				continue
			case 1: // renamed
				f.aliases, f.name = []string{f.name}, s.name("renamed")
			}
			m.fields = append(m.fields, f)
			if s.IntN(4) == 0 {
				m.fields = append(m.fields, s.added())
			}
		}
		s.Shuffle(len(m.fields), func(i, j int) { m.fields[i], m.fields[j] = m.fields[j], m.fields[i] })
		if len(m.fields) == 0 {
			m.fields = append(m.fields, s.added())
		}
	case n.kind == nodeUnion:
		m.branches = nil
		for _, b := range n.branches {
			b = s.mutate(b)
			if b.kind != nodeUnion && s.IntN(20) > 0 {
				m.branches = append(m.branches, b)
			}
		}
		s.Shuffle(len(m.branches), func(i, j int) { m.branches[i], m.branches[j] = m.branches[j], m.branches[i] })
		if len(m.branches) == 0 {
			return n
		}
	case n.kind == nodeArray || n.kind == nodeMap:
		m.items = s.mutate(n.items)
	case n.kind == nodeEnum && s.IntN(3) == 0:
		m.symbols = append([]string{"NEW"}, n.symbols[s.IntN(len(n.symbols)):]...)
		if s.IntN(2) == 0 {
			m.enumDefault = "NEW"
		}
	case n.logical == logicalNone && s.IntN(3) == 0:
		for _, k := range []nodeKind{nodeLong, nodeFloat, nodeDouble, nodeString, nodeBytes} {
			if promotes(n.kind, k) && s.IntN(2) == 0 {
				m.kind = k
			}
		}
	}
	if m.kind != nodeUnion && m.kind != nodeNull && s.IntN(6) == 0 {
		return &node{kind: nodeUnion, branches: []*node{{kind: nodeNull}, &m}}
	}
	return &m
}

// added is a new field with a default.
func (s *source) added() field {
	d := [][2]string{
		{`"string"`, `"né"`},
		{`"long"`, `-7`},
		{`["null","double"]`, `null`},
		{`["double","null"]`, `1.5`},
		{`{"type":"array","items":"long"}`, `[1,2]`},
		{`{"type":"map","values":"boolean"}`, `{"a":true}`},
		{`"bytes"`, `"\u00ff\u0001"`},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `1000`},
		{`"float"`, `0.1`},
		{`{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}`, `"\u0004\u00d2"`},
		{`{"type":"record","name":"D` + s.name("") + `","fields":[{"name":"x","type":"int"},{"name":"y","type":"string","default":"z"}]}`, `{"x":3}`},
	}[s.IntN(11)]
	p := parser{names: map[string]*node{}}
	n, err := p.parse([]byte(d[0]))
	if err != nil {
		panic(err)
	}
	v, err := readJSON([]byte(d[1]))
	if err != nil {
		panic(err)
	}
	return field{name: s.name("added"), node: n, def: &v}
}

// checkAgainstResolve decodes by a mutated reader's schema, and compares with twmb/avro's resolution.
// It reports whether both resolved.
func checkAgainstResolve(t *testing.T, seed uint64) bool {
	src := newSource(seed)
	rec := src.record(0)
	wtext := printNode(rec)
	rtext := printNode(src.mutateTop(rec))
	codec, err := goavro.NewCodec(wtext)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := Parse([]byte(rtext))
	if err != nil {
		return false // a union of two equal types, say
	}
	writer := parse(t, wtext)
	resolved, theirs := avro.Resolve(avro.MustParse(wtext), avro.MustParse(rtext))
	cols := paths(reader)
	d, ours := Compile(writer, reader, cols)
	if theirs == nil && ours != nil {
		t.Fatalf("seed %d: resolves elsewhere: %v\nwriter %s\nreader %s", seed, ours, wtext, rtext)
	}
	if theirs != nil || ours != nil {
		return false
	}
	row := make([]event.Value, len(cols))
	var scratch Scratch
	for range 8 {
		b, err := codec.BinaryFromNative(nil, src.value(rec))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		_, theirs := resolved.Decode(b, &v)
		ours := d.Decode(b, row, &scratch)
		if errors.Is(ours, errUTF8) { // bytes read as a string: twmb/avro does not look
			continue
		}
		if (theirs == nil) != (ours == nil) {
			t.Fatalf("seed %d: %v, elsewhere %v\nwriter %s\nreader %s\n%x", seed, ours, theirs, wtext, rtext, b)
		}
		if ours != nil {
			continue
		}
		for i, f := range reader.Fields() {
			if want := oracle(f.Type, at(v, f.Path)); !sameValue(row[i], want) {
				t.Fatalf("seed %d: %s: %v, want %v\nwriter %s\nreader %s\n%x", seed, f.Path, row[i], want, wtext, rtext, b)
			}
		}
	}
	return true
}

func (s *source) mutateTop(n *node) *node {
	if r := s.mutate(n); r.kind == nodeRecord {
		return r
	}
	return n
}

func TestDecodeAgainstGoavro(t *testing.T) {
	for seed := range uint64(250) {
		checkAgainstGoavro(t, seed)
	}
}

func TestResolveAgainstTwmb(t *testing.T) {
	both := 0
	for seed := range uint64(900) {
		if checkAgainstResolve(t, seed) {
			both++
		}
	}
	if both < 180 {
		t.Errorf("only %d of 900 pairs resolve: the test compares too little", both)
	}
}

func FuzzDecodeAgainstGoavro(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(checkAgainstGoavro)
}

func FuzzResolveAgainstTwmb(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkAgainstResolve(t, seed) })
}
