package feature

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestHeads compares heads with a map over random adds, rows, positions, replacements, removals and tidying:
// every head is found with its bytes, and what is held stays in proportion to what lives.
func TestHeads(t *testing.T) {
	type model struct {
		rows    []byte
		counted map[int32]int64
	}
	rng := rand.New(rand.NewPCG(3, 5))
	h := newHeads(0, slots)
	want := map[string]*model{}
	prefix := func() []byte {
		b := appendPrefix(nil, uint16(rng.IntN(2)))
		b = append(b, fmt.Sprint(rng.IntN(3000))...)
		sealPrefix(b)
		return b
	}
	for range 200_000 {
		key := prefix()
		id, x := h.find(key)
		m := want[string(key)]
		if (x == nil) != (m == nil) {
			t.Fatalf("%q is found: %v", key, x != nil)
		}
		switch n := rng.IntN(100); {
		case m == nil:
			h.add(h.tab(key), key, hashPrefix(key), rng.IntN(60))
			want[string(key)] = &model{counted: map[int32]int64{}}
		case n < 60:
			row := bytes.Repeat([]byte{byte(n)}, 1+rng.IntN(50))
			if rng.IntN(500) == 0 {
				row = bytes.Repeat([]byte{byte(n)}, arenaOwnBytes)
			}
			h.appendRow(id, x, row)
			m.rows = append(m.rows, row...)
		case n < 80:
			part, next := int32(rng.IntN(5)), rng.Int64N(1000)
			h.countTo(id, x, part, next)
			m.counted[part] = max(m.counted[part], next)
		case n < 90:
			cut := rng.IntN(len(m.rows) + 1)
			h.setRows(id, x, 0, m.rows[:cut/2], m.rows[cut:])
			m.rows = append(append([]byte(nil), m.rows[:cut/2]...), m.rows[cut:]...)
		case n < 92:
			h.setArchive(id, x, archive{lastID: uint64(n)})
		default:
			h.remove(id)
			delete(want, string(key))
		}
		h.tidy(1)
	}
	for key, m := range want {
		_, x := h.find([]byte(key))
		if x == nil || !bytes.Equal(h.rows(x), m.rows) {
			t.Fatalf("%q lost its rows", key)
		}
		for part, next := range m.counted {
			if got := h.counted(x, part); got != next {
				t.Fatalf("%q has counted %d of partition %d, want %d", key, got, part, next)
			}
		}
	}
	if h.count != int64(len(want)) {
		t.Errorf("%d heads, want %d", h.count, len(want))
	}
	if h.mem.holes() > h.mem.live/2+8*arenaPageBytes {
		t.Errorf("holes take %d bytes beside %d", h.mem.holes(), h.mem.live)
	}
	for key := range want {
		id, _ := h.find([]byte(key))
		h.remove(id)
	}
	if m := h.memory(); m != 0 {
		t.Errorf("without heads, %d bytes are held", m)
	}
}

// TestAppendNew: rows that a stored head has counted are told from new ones by their positions.
func TestAppendNew(t *testing.T) {
	row := func(part, off uint64) []byte {
		b := make([]byte, 10)
		b = binary.AppendVarint(b, 7) // arrival
		b = binary.AppendUvarint(binary.AppendUvarint(b, part), off)
		binary.LittleEndian.PutUint16(b, uint16(len(b)-2))
		return b
	}
	s := storedHead{counted: []offset{{1, 5}, {300, 1 << 40}}}
	var rows, want []byte
	for _, x := range []struct {
		part, off uint64
		fresh     bool
	}{{1, 4, false}, {1, 5, true}, {0, 0, true}, {300, 1<<40 - 1, false}, {300, 1 << 40, true}, {1, 0, false}} {
		rows = append(rows, row(x.part, x.off)...)
		if x.fresh {
			want = append(want, row(x.part, x.off)...)
		}
	}
	got, n, err := s.appendNew(nil, rows)
	if err != nil || n != 3 || !bytes.Equal(got, want) {
		t.Errorf("got %d rows, %x, %v; want 3, %x", n, got, err, want)
	}
	if _, _, err := s.appendNew(nil, rows[:len(rows)-1]); err == nil {
		t.Error("a cut row is taken")
	}
}

// TestEvictGivesRoom: blocks leave the ends of small pages free, and these holes cannot be closed. Heads go
// instead; a shard that counts on its holes is never under its budget, and ingestion waits for ever.
func TestEvictGivesRoom(t *testing.T) {
	for _, size := range []int{300, 1200, 2500, 3000, 3600, 9000, 15_000} {
		s := &shard{heads: newHeads(0, slots)}
		h := s.heads
		for i := range 60 {
			prefix := fmt.Append(appendPrefix(nil, 0), i)
			sealPrefix(prefix)
			tab, hash := h.tab(prefix), hashPrefix(prefix)
			id, x := h.add(tab, prefix, hash, size)
			h.appendRow(id, x, make([]byte, size))
		}
		for range 5 {
			before := h.memory()
			s.evict(before / 20)
			if got := h.memory(); got > before-before/40 && h.count > 0 {
				t.Errorf("blocks of %d bytes: %d bytes of %d are left, %d of them holes, with %d heads", size, got, before, h.mem.holes(), h.count)
			}
		}
		if h.count < 10 {
			t.Errorf("blocks of %d bytes: only %d heads of 60 are left, and about a quarter should be gone", size, h.count)
		}
	}
}
