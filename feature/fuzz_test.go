package feature

import (
	"bytes"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// FuzzDecode reads arbitrary bytes as heads, nodes, leaves and rows: an error or a value, never a panic,
// and nothing larger than the bytes warrant. What decodes as a row encodes to a row that decodes to the same.
func FuzzDecode(f *testing.F) {
	plan := testPlan(f, testPipeline)
	c := newCodec(plan.Views[0])
	row := event.Row{Values: make([]event.Value, len(c.kinds)), Time: 1_700_000_000_000_000, Arrival: 1_700_000_000_000_001}
	b, _ := c.append(nil, &row)
	f.Add(b)
	n := &node{entries: []entry{{id: 1, minT: 1, maxT: 2, rows: 1, offsets: []offset{{0, 1}}, sum: []byte{1, 2}}}}
	f.Add(appendHead(nil, 7, []offset{{0, 9}}, func(int32) int64 { return 0 }, n, b))
	f.Add(appendHead(nil, 7, nil, nil, &node{base: &n.entries[0]}, b))
	f.Add(appendHead(nil, 7, nil, nil, &node{level: 1, entries: n.entries, base: &n.entries[0]}, nil))
	f.Add(appendNode([]byte{blockVersion}, n))
	two := &node{entries: []entry{n.entries[0], {id: 2, minT: 3, maxT: 4, rows: 1, offsets: []offset{{0, 2}, {3, 4}}}}}
	f.Add(appendHead(nil, 7, []offset{{0, 9}, {1, 8}}, func(int32) int64 { return 0 }, two, b))
	var memory nodeMemory
	encode := func(h storedHead) []byte {
		return appendHead(nil, h.lastID, h.counted, func(int32) int64 { return -1 }, h.root, h.rows)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHead(b)
		for range 2 { // in memory that holds another head
			again, errAgain := memory.decodeHead(b)
			if (err == nil) != (errAgain == nil) || err == nil && !bytes.Equal(encode(h), encode(again)) {
				t.Fatalf("%x decodes to %v, %v, and where another was to %v, %v", b, h, err, again, errAgain)
			}
		}
		if err == nil {
			_, _, _ = h.appendNew(nil, h.rows)
		}
		_, _ = decodeNode(b)
		if rows, err := leafOf(b); err == nil {
			_, _ = splitRows(nil, rows)
		}
		got := event.Row{Values: make([]event.Value, len(c.kinds))}
		if _, err := c.next(b, &got); err != nil {
			return
		}
		again, ok := c.append(nil, &got)
		if !ok {
			t.Fatal("a decoded row does not encode")
		}
		twice := event.Row{Values: make([]event.Value, len(c.kinds))}
		if _, err := c.next(again, &twice); err != nil {
			t.Fatalf("an encoded row does not decode: %v", err)
		}
		third, _ := c.append(nil, &twice)
		if !bytes.Equal(again, third) {
			t.Fatalf("encoding is not stable: %x, %x", again, third)
		}
	})
}
