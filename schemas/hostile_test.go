package schemas

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/penstock-ml/penstock/event"
)

// hostileSchemas are what the hostile bytes are read by.
var hostileSchemas = []string{
	transactions,
	`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"long"}}]}`,
	`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"null"}},{"name":"z","type":"int","default":0}]}`,
	`{"type":"record","name":"R","fields":[{"name":"m","type":{"type":"map","values":"long"}}]}`,
	`{"type":"record","name":"R","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","R"]}]}`,
	`{"type":"record","name":"R","fields":[{"name":"kids","type":{"type":"array","items":"R"}}]}`,
	`{"type":"record","name":"R","fields":[{"name":"aa","type":{"type":"array","items":{"type":"array","items":{"type":"map","values":["null","string"]}}}}]}`,
	`{"type":"record","name":"R","fields":[{"name":"z","type":{"type":"array","items":{"type":"fixed","name":"F","size":0}}}]}`,
	`{"type":"record","name":"R","fields":[{"name":"u","type":{"type":"array","items":{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}}},
		{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}},
		{"name":"e","type":{"type":"array","items":{"type":"enum","name":"E","symbols":["` + strings.Repeat("A", 1000) + `"]}}},
		{"name":"t","type":{"type":"int","logicalType":"time-millis"}},{"name":"x","type":["int","double","null","string"]}]}`,
}

func varints(n ...int64) []byte {
	var b []byte
	for _, x := range n {
		b = binary.AppendVarint(b, x)
	}
	return b
}

// hostile are the bytes that are known to have killed decoders.
func hostile() map[string][]byte {
	return map[string][]byte{
		"count of 2^31-1":           varints(1<<31 - 1),
		"count of 2^62":             varints(1 << 62),
		"count of -2^63":            varints(-1<<63, 0),
		"nulls, 10^8":               varints(1e8, 0),
		"nulls in blocks":           bytes.Repeat(varints(60000), 1000),
		"map of 5*10^7":             varints(5e7),
		"negative count, huge size": varints(-5, 1<<40),
		"negative count, negative":  varints(-5, -5),
		"recursion, 1 M deep":       bytes.Repeat([]byte{2}, 1<<20),
		"recursion by arrays":       bytes.Repeat([]byte{2}, 100000),
		"overlong varint":           bytes.Repeat([]byte{0xff}, 1<<20),
		"eleven bytes":              append(bytes.Repeat([]byte{0x80}, 10), 1),
		"empty":                     {},
		"zeros":                     make([]byte, 1<<16),
	}
}

// allocated runs f and returns the bytes that it allocated.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// decoders returns, for each hostile schema, a decoder of all columns and one that skips everything
// but the first.
func decoders(t testing.TB) []*Decoder {
	var out []*Decoder
	for _, text := range hostileSchemas {
		s := parse(t, text)
		cols := paths(s)
		out = append(out, compile(t, s, s, cols...), compile(t, s, s, cols[:min(1, len(cols))]...), compile(t, s, s))
	}
	return out
}

// maxAllocated is what the decoding of n bytes may allocate: the arena grows by doubling.
func maxAllocated(n int) uint64 { return 4*(arenaFloor+arenaPerByte*uint64(n)) + 64<<10 }

func TestHostileBytes(t *testing.T) {
	for i, d := range decoders(t) {
		for name, b := range hostile() {
			row := make([]event.Value, 8)
			var err error
			if n := allocated(func() { err = d.Decode(b, row, new(Scratch)) }); n > maxAllocated(len(b)) {
				t.Errorf("decoder %d, %s: allocated %d bytes for %d", i, name, n, len(b))
			}
			list := i/3 == 4 && name == "nulls, 10^8" // a list of one, whose value is 10^8
			if err == nil && name != "zeros" && name != "empty" && !list {
				t.Errorf("decoder %d, %s: decodes", i, name)
			}
		}
	}
}

// walker reads a datum item by item, as no decoder has to, and tells whether each block is as long as it says.
type walker struct{ budget int } // of types read

// walk reads a value of n from p on; ok is false if it is not to be read, or says a size that it has not.
func (w *walker) walk(n *node, b []byte, p int) (end int, ok bool) {
	if w.budget--; w.budget < 0 {
		return p, false
	}
	var err error
	switch n.kind {
	case nodeNull:
	case nodeBoolean:
		p++
	case nodeInt, nodeEnum:
		_, p, err = readInt(b, p)
	case nodeLong:
		_, p, err = long(b, p)
	case nodeFloat:
		p += 4
	case nodeDouble:
		p += 8
	case nodeFixed:
		p += n.size
	case nodeBytes, nodeString:
		_, p, err = span(b, p)
	case nodeRecord:
		for _, f := range n.fields {
			if p, ok = w.walk(f.node, b, p); !ok {
				return p, false
			}
		}
	case nodeUnion:
		var branch int64
		if branch, p, err = long(b, p); err != nil || branch < 0 || branch >= int64(len(n.branches)) {
			return p, false
		}
		return w.walk(n.branches[branch], b, p)
	case nodeArray, nodeMap:
		return w.blocks(n, b, p)
	}
	return p, err == nil && p <= len(b)
}

func (w *walker) blocks(n *node, b []byte, p int) (end int, ok bool) {
	for {
		count, p2, err := long(b, p)
		if p = p2; err != nil || count == 0 {
			return p, err == nil
		}
		size := int64(-1)
		if count < 0 {
			if size, p, err = long(b, p); err != nil {
				return p, false
			}
			count = -count
		}
		start := p
		for ; count > 0; count-- {
			if n.kind == nodeMap {
				if _, p, err = span(b, p); err != nil {
					return p, false
				}
			}
			if p, ok = w.walk(n.items, b, p); !ok {
				return p, false
			}
		}
		if count < 0 || size >= 0 && int64(p-start) != size {
			return p, false
		}
	}
}

func FuzzHostile(f *testing.F) {
	for _, b := range hostile() {
		f.Add(uint8(0), b[:min(len(b), 1000)])
	}
	f.Add(uint8(0), transaction(f))
	ds := decoders(f)
	var codecs []*goavro.Codec
	var roots []*node
	for _, text := range hostileSchemas {
		roots = append(roots, parse(f, text).root)
		c, err := goavro.NewCodec(text)
		if err != nil {
			c = nil // goavro has no fixed of no bytes
		}
		codecs = append(codecs, c)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		i := int(which) % len(ds)
		row := make([]event.Value, 8)
		var err error
		if n := allocated(func() { err = ds[i].Decode(b, row, new(Scratch)) }); n > maxAllocated(len(b))+1<<20 {
			t.Fatalf("allocated %d bytes for %d", n, len(b))
		}
		if err != nil || i%3 != 0 || codecs[i/3] == nil {
			return
		}
		for _, v := range row {
			if v.Kind == event.List || v.Kind == event.Map {
				if err := event.EachElem(v.Str, func(int, event.Value) error { return nil }); err != nil {
					t.Fatalf("a list that does not read back: %v", err)
				}
			}
		}
		// What we accept, goavro accepts too, with the same end. It reads each item and looks at no size of a
		// block, where we pass over what is not wanted by its size: a size that lies moves the two apart.
		w := walker{budget: 1 << 16}
		end, ok := w.walk(roots[i/3], b, 0)
		if !ok {
			return
		}
		if end != len(b) {
			t.Fatalf("decodes, but item by item it ends after %d of %d bytes", end, len(b))
		}
		_, rest, err := codecs[i/3].NativeFromBinary(b)
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro: %v, %d bytes left", err, len(rest))
		}
	})
}

// TestBlockSizes passes over blocks that tell their size, rightly and wrongly.
func TestBlockSizes(t *testing.T) {
	s := parse(t, `{"type":"record","name":"R","fields":[
		{"name":"nulls","type":{"type":"array","items":"null"}},
		{"name":"pairs","type":{"type":"array","items":{"type":"fixed","name":"F","size":2}}},
		{"name":"z","type":"long"}]}`)
	d := compile(t, s, s, "z")
	for _, tc := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"right", varints(-3, 0, 0, -2, 4, 0, 0, 0, 0, 0, 9), true},
		{"nulls of a byte", varints(-3, 1, 0, 0, -2, 4, 0, 0, 0, 0, 0, 9), false},
		{"pairs of five bytes", varints(-3, 0, 0, -2, 5, 0, 0, 0, 0, 0, 0, 9), false},
		{"pairs of three bytes", varints(-3, 0, 0, -2, 3, 0, 0, 0, 0, 9), false},
	} {
		row := make([]event.Value, 1)
		err := d.Decode(tc.b, row, new(Scratch))
		if (err == nil) != tc.ok || tc.ok && row[0] != event.LongOf(9) {
			t.Errorf("%s: %v, %v", tc.name, row[0], err)
		}
	}
}

func TestHostileSchemas(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 9000) + `"int"` + strings.Repeat("}", 9000)
	wide := `{"type":"record","name":"R","fields":[` + strings.Repeat(`{"name":"a","type":"int"},`, 6000) + `{"name":"b","type":"int"}]}`
	// Each record holds the next twice: 2^24 paths in a few lines.
	var doubling strings.Builder
	for i := range 24 {
		if i == 0 {
			doubling.WriteString(`{"type":"record","name":"R0","fields":[`)
		} else {
			doubling.WriteString(`{"name":"a","type":{"type":"record","name":"R` + string(rune('A'+i)) + `","fields":[`)
		}
	}
	doubling.WriteString(`{"name":"leaf","type":"int"}`)
	for i := 23; i > 0; i-- {
		doubling.WriteString(`]}},{"name":"b","type":"R` + string(rune('A'+i)) + `"}`)
	}
	doubling.WriteString(`]}`)
	for name, text := range map[string]string{
		"deep": deep, "wide": wide, "large": `"` + strings.Repeat("x", 300<<10) + `"`, "empty": "", "brackets": strings.Repeat("[", 1e5),
	} {
		var err error
		if n := allocated(func() { _, err = Parse([]byte(text)) }); n > 32<<20 {
			t.Errorf("%s: allocated %d bytes", name, n)
		}
		if err == nil {
			t.Errorf("%s: parses", name)
		}
	}
	s := parse(t, doubling.String())
	if n := len(s.Fields()); n > maxColumns {
		t.Errorf("%d columns", n)
	}
	first := s.Fields()[0].Path
	d := compile(t, s, s, first)
	if len(d.ops) > 10000 {
		t.Errorf("a program of %d operations", len(d.ops))
	}
	if err := d.Decode(make([]byte, 100), make([]event.Value, 1), new(Scratch)); err == nil {
		t.Error("a hundred bytes hold 2^23 integers")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range hostileSchemas {
		f.Add([]byte(s))
	}
	f.Add([]byte(`["null",{"type":"record","name":"a.b","aliases":["x"],"fields":[{"name":"f","aliases":["g"],"type":["null","a.b"],"default":null}]}]`))
	f.Add([]byte(`{"type":"enum","name":"E","symbols":["A"],"default":"A"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse([]byte(s.String()))
		if err != nil {
			t.Fatalf("%s\nis printed as %s\nwhich does not parse: %v", text, s, err)
		}
		if again.String() != s.String() {
			t.Fatalf("%s\nis printed as %s\nand then as %s", text, s, again)
		}
		cols := paths(s)
		d, err := Compile(s, again, cols)
		if err != nil {
			t.Fatalf("%s does not resolve with itself: %v", s, err)
		}
		err = d.Decode(text, make([]event.Value, len(cols)), new(Scratch))
		_ = errors.Unwrap(err)
	})
}
