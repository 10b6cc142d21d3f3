package state

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

func FuzzUnseal(f *testing.F) {
	f.Add([]byte("dkey"), []byte("payload"), 3)
	f.Add([]byte("d"), []byte{0}, 0)
	f.Add([]byte{}, []byte{sealVersion, 1, 2, 3, 4, 5}, 40)
	f.Fuzz(func(t *testing.T, key, payload []byte, flip int) {
		if p, err := unseal(key, payload); err == nil && len(p) == 0 {
			t.Fatal("an empty payload passed")
		}
		if len(payload) == 0 {
			return
		}
		stored := appendSealed(nil, key, payload)
		if len(stored) != len(payload)+sealOverhead {
			t.Fatalf("%d bytes for %d", len(stored), len(payload))
		}
		got, err := unseal(key, stored)
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("got %x, %v, want %x", got, err, payload)
		}
		bit := int(uint(flip) % uint(len(stored)*8))
		stored[bit/8] ^= 1 << (bit % 8)
		var corrupt *CorruptError
		if _, err := unseal(key, stored); !errors.As(err, &corrupt) {
			t.Fatalf("bit %d flipped: %v", bit, err)
		}
		stored[bit/8] ^= 1 << (bit % 8)
		if _, err := unseal(append([]byte{'x'}, key...), stored); err == nil {
			t.Fatal("the value of another key passed")
		}
	})
}

// TestJournal loses ranges of commits from simulated runs: every hole that can be seen is seen, and
// no whole journal is suspected.
func TestJournal(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	for range 60 {
		n := 2 + r.Uint64N(3*ring)
		first := 1 + r.Uint64N(n)
		last := min(first+r.Uint64N(ring), n)
		whole := r.IntN(5) == 0
		if whole {
			first, last = 0, 0
		}
		entries := map[uint64]bool{}
		for seq := uint64(1); seq <= n; seq++ {
			if seq >= first && seq <= last {
				continue
			}
			entries[seq] = true
			if seq > ring {
				delete(entries, seq-ring)
			}
		}
		var seqs []uint64
		for seq := range entries {
			seqs = append(seqs, seq)
		}
		slices.Sort(seqs)
		j := checkJournal(seqs)
		// A hole at the end is a rollback, seen by the mark; one among the first 8,192 commits is out
		// of sight once as many have followed it.
		seen := !whole && last < n && (last > ring || last+ring > n)
		switch {
		case whole && j.hole != nil:
			t.Fatalf("%d commits, none missing: %v", n, j.hole)
		case seen && j.hole == nil:
			t.Fatalf("%d commits, %d..%d missing: not seen", n, first, last)
		case seen && (j.hole.First < first || j.hole.Last > last || j.newest != n):
			t.Fatalf("%d commits, %d..%d missing: %+v", n, first, last, j.hole)
		}
	}
}

func TestMark(t *testing.T) {
	dir := t.TempDir()
	id := newIdentity()
	if err := createMark(dir, id); err != nil {
		t.Fatal(err)
	}
	m, err := openMark(dir, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	for seq := uint64(1); seq < 10; seq++ {
		if err := m.put(seq); err != nil {
			t.Fatal(err)
		}
		if got, err := m.read(); got != seq || err != nil {
			t.Fatalf("got %d, %v, want %d", got, err, seq)
		}
	}
	if _, err := m.f.WriteAt([]byte("torn"), markSlot+5); err != nil { // 9 is in the second slot
		t.Fatal(err)
	}
	if got, err := m.read(); got != 8 || err != nil {
		t.Fatalf("after a torn write got %d, %v, want 8", got, err)
	}
	if _, err := m.f.WriteAt([]byte("torn"), 5); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	if _, err := m.read(); !errors.As(err, &corrupt) {
		t.Fatalf("both torn: %v", err)
	}
}

func TestSettings(t *testing.T) {
	for _, memory := range []int64{64 << 20, 128 << 20, 256 << 20, 512 << 20, 1 << 30} {
		if s := settingsFor(memory); s.held() > memory {
			t.Errorf("a budget of %d MiB holds %d", memory>>20, s.held()>>20)
		}
	}
	if n, b := batchLimits(settingsFor(1).memtable); n < 1000 || b < MaxValue+MaxKey {
		t.Errorf("the smallest store takes only %d writes, %d bytes", n, b)
	}
}
