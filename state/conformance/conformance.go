// Package conformance holds the tests that every state.Store must pass.
package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-ml/penstock/state"
)

// A Maker makes stores for the suite. A store is closed by the test that asked for it.
type Maker struct {
	// New makes an empty store.
	New func(t *testing.T) state.Store
	// Reopen closes s and opens what it kept. Nil for a store that keeps nothing.
	Reopen func(t *testing.T, s state.Store) state.Store
}

// Run runs the suite.
func Run(t *testing.T, m Maker) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Maker)
	}{
		{"Basics", basics},
		{"LastWriteWins", lastWriteWins},
		{"ScanOrder", scanOrder},
		{"Cursor", cursor},
		{"ScanBreak", scanBreak},
		{"Isolation", isolation},
		{"Refusals", refusals},
		{"Limits", limits},
		{"LargeEntries", largeEntries},
		{"Buffers", buffers},
		{"Concurrent", concurrent},
		{"Closed", closed},
		{"Reopen", reopen},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, m) })
	}
}

func batch(kv ...string) *state.Batch {
	b := new(state.Batch)
	for i := 0; i < len(kv); i += 2 {
		b.Put([]byte(kv[i]), []byte(kv[i+1]))
	}
	return b
}

func commit(t *testing.T, s state.Store, b *state.Batch) {
	t.Helper()
	if err := s.Commit(b); err != nil {
		t.Fatal(err)
	}
}

func shut(t *testing.T, s state.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Dump reads the entries of s in [from, to) as "key=value" lines.
func Dump(t *testing.T, s state.Snapshot, from, to []byte) string {
	t.Helper()
	var out bytes.Buffer
	for e, err := range s.Scan(from, to) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%q=%q\n", e.Key, e.Value)
	}
	return out.String()
}

func dumpStore(t *testing.T, s state.Store) string {
	t.Helper()
	snap := s.Snapshot()
	defer snap.Close()
	return Dump(t, snap, nil, nil)
}

func want(t *testing.T, s state.Snapshot, key, value string) {
	t.Helper()
	got, err := s.Get([]byte(key), nil)
	switch {
	case value == "" && !errors.Is(err, state.ErrNotFound):
		t.Fatalf("get %q: got %q, %v, want not found", key, got, err)
	case value != "" && (err != nil || string(got) != value):
		t.Fatalf("get %q: got %q, %v, want %q", key, got, err, value)
	}
}

func basics(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	before := s.Stats().Commits
	commit(t, s, batch("a", "1", "b", "2", "", "empty key"))
	b := batch("c", "3")
	b.Delete([]byte("a"))
	b.Delete([]byte("never there"))
	commit(t, s, b)
	snap := s.Snapshot()
	defer snap.Close()
	want(t, snap, "a", "")
	want(t, snap, "b", "2")
	want(t, snap, "c", "3")
	want(t, snap, "", "empty key")
	want(t, snap, "bb", "")
	if got := s.Stats().Commits - before; got != 2 {
		t.Fatalf("%d commits counted, want 2", got)
	}
	commit(t, s, new(state.Batch))
	if got := s.Stats().Commits - before; got != 2 {
		t.Fatalf("an empty batch counted as a commit")
	}
}

func lastWriteWins(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	commit(t, s, batch("gone", "1", "back", "1"))
	b := batch("k", "1", "k", "2", "gone", "2", "k", "3")
	b.Delete([]byte("gone"))
	b.Delete([]byte("back"))
	b.Put([]byte("back"), []byte("2"))
	commit(t, s, b)
	if got, want := dumpStore(t, s), "\"back\"=\"2\"\n\"k\"=\"3\"\n"; got != want {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
}

func scanOrder(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	keys := []string{"", "\x00", "\x00\x00", "a", "a\x00", "ab", "b", "\xff", "\xff\xff", "!badger!x", "d", "j\x00\x00\x00\x00\x00\x00\x00\x01", "mid", "m"}
	b := new(state.Batch)
	for _, i := range rand.Perm(len(keys)) {
		b.Put([]byte(keys[i]), []byte("v"+keys[i]))
	}
	commit(t, s, b)
	snap := s.Snapshot()
	defer snap.Close()
	bounds := append([]string{"a\x00\x00", "zz", "\xff\xff\xff"}, keys...)
	for _, from := range bounds {
		for _, to := range append(bounds, "nil") {
			end := []byte(to)
			if to == "nil" {
				end = nil
			}
			var prev []byte
			n := 0
			for e, err := range snap.Scan([]byte(from), end) {
				if err != nil {
					t.Fatal(err)
				}
				if n > 0 && bytes.Compare(prev, e.Key) >= 0 {
					t.Fatalf("scan %q..%q: %q after %q", from, to, e.Key, prev)
				}
				if string(e.Value) != "v"+string(e.Key) {
					t.Fatalf("key %q has value %q", e.Key, e.Value)
				}
				if string(e.Key) < from || end != nil && bytes.Compare(e.Key, end) >= 0 {
					t.Fatalf("scan %q..%q gave %q", from, to, e.Key)
				}
				prev = append(prev[:0], e.Key...)
				n++
			}
			expect := 0
			for _, k := range keys {
				if k >= from && (end == nil || k < to) {
					expect++
				}
			}
			if n != expect {
				t.Fatalf("scan %q..%q: %d entries, want %d", from, to, n, expect)
			}
		}
	}
}

// cursor compares every seek, and the walk from there, with a scan.
func cursor(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	keys := []string{"", "\x00", "a", "a\x00", "ab", "b", "\xff", "\xff\xff", "mid"}
	b := new(state.Batch)
	for _, k := range keys {
		b.Put([]byte(k), []byte("v"+k))
	}
	commit(t, s, b)
	snap := s.Snapshot()
	scans := map[string]string{}
	bounds := append([]string{"a\x00\x00", "zz", "\xff\xff\xff"}, keys...)
	for _, from := range bounds {
		scans[from] = Dump(t, snap, []byte(from), nil)
	}
	c, err := snap.Cursor()
	if err != nil {
		t.Fatal(err)
	}
	snap.Close() // the cursor outlives it
	commit(t, s, batch("ac", "later"))
	for _, from := range bounds {
		var got strings.Builder
		var value []byte
		for ok := c.Seek([]byte(from)); ok; ok = c.Next() {
			if value, err = c.Value(value); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&got, "%q=%q\n", c.Key(), value)
		}
		if want := scans[from]; got.String() != want {
			t.Fatalf("seek %q: got\n%swant\n%s", from, got.String(), want)
		}
	}
	c.Close()
	c.Close() // twice is nothing
	if _, err := snap.Cursor(); !errors.Is(err, state.ErrClosed) {
		t.Fatalf("a cursor of a closed snapshot: %v, want ErrClosed", err)
	}
}

func scanBreak(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s) // fails or hangs if an iterator leaked
	commit(t, s, batch("a", "1", "b", "2", "c", "3"))
	snap := s.Snapshot()
	for range 100 {
		for e, err := range snap.Scan(nil, nil) {
			if err != nil || string(e.Key) != "a" {
				t.Fatal(e, err)
			}
			break
		}
	}
	// A scan within a scan, and reads within it.
	n := 0
	for e := range snap.Scan(nil, nil) {
		key := string(e.Key)
		for range snap.Scan(e.Key, nil) {
			n++
		}
		want(t, snap, key, map[string]string{"a": "1", "b": "2", "c": "3"}[key])
	}
	if n != 6 {
		t.Fatalf("%d inner entries, want 6", n)
	}
	snap.Close()
}

func isolation(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	type held struct {
		snap state.Snapshot
		want string
	}
	var all []held
	for i := range 50 {
		b := batch(fmt.Sprintf("k%02d", i%7), fmt.Sprint("v", i))
		b.Delete(fmt.Appendf(nil, "k%02d", (i+3)%7))
		commit(t, s, b)
		snap := s.Snapshot()
		all = append(all, held{snap, Dump(t, snap, nil, nil)})
	}
	for i, h := range all {
		if got := Dump(t, h.snap, nil, nil); got != h.want {
			t.Fatalf("snapshot %d changed: got\n%swant\n%s", i, got, h.want)
		}
		h.snap.Close()
		h.snap.Close() // twice is nothing
	}
}

func refusals(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	commit(t, s, batch("a", "1"))
	before, count := dumpStore(t, s), s.Stats().Commits
	for name, b := range map[string]*state.Batch{
		"empty value":     batch("b", "2", "c", ""),
		"long key":        batch("b", "2", string(make([]byte, state.MaxKey+1)), "x"),
		"large value":     batch("b", "2", "c", string(make([]byte, state.MaxValue+1))),
		"overwritten too": batch("c", "", "c", "x"),
	} {
		var refused *state.BatchError
		if err := s.Commit(b); !errors.As(err, &refused) {
			t.Fatalf("%s: got %v, want a *BatchError", name, err)
		}
	}
	if got := dumpStore(t, s); got != before || s.Stats().Commits != count {
		t.Fatalf("a refused batch left something: %s", got)
	}
	commit(t, s, batch("a", "2")) // and the store is not failed
}

func limits(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	entries, size := s.Limits()
	if entries < 1000 || size < state.MaxValue+state.MaxKey {
		t.Fatalf("limits of %d entries and %d bytes are too low to be of use", entries, size)
	}
	b := new(state.Batch)
	for i := range entries {
		b.Put(fmt.Appendf(nil, "%08d", i), []byte("v"))
	}
	commit(t, s, b)
	b.Delete([]byte("one more"))
	var refused *state.BatchError
	if err := s.Commit(b); !errors.As(err, &refused) {
		t.Fatalf("one entry too many: got %v", err)
	}
	b.Reset()
	value := bytes.Repeat([]byte("x"), state.MaxValue)
	for i := 0; b.Size() < size; i++ {
		key := fmt.Appendf(nil, "%08d", i)
		n := min(len(value), size-b.Size()-len(key))
		if n <= 0 {
			break
		}
		b.Put(key, value[:n])
	}
	commit(t, s, b)
	b.Put([]byte("more"), value)
	if err := s.Commit(b); !errors.As(err, &refused) {
		t.Fatalf("too many bytes: got %v", err)
	}
}

func largeEntries(t *testing.T, m Maker) {
	s := m.New(t)
	key := bytes.Repeat([]byte{0xff}, state.MaxKey)
	value := bytes.Repeat([]byte("0123456789abcdef"), state.MaxValue/16)
	b := new(state.Batch)
	b.Put(key, value)
	commit(t, s, b)
	if m.Reopen != nil {
		s = m.Reopen(t, s)
	}
	defer shut(t, s)
	snap := s.Snapshot()
	defer snap.Close()
	if got, err := snap.Get(key, nil); err != nil || !bytes.Equal(got, value) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	if _, err := snap.Get(append(key, 1), nil); !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("a key that cannot be: %v", err)
	}
}

// buffers: the batch may be reused at once, and so may what Get was given.
func buffers(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	b := new(state.Batch)
	for i := range 200 {
		b.Reset()
		b.Put(fmt.Appendf(nil, "k%03d", i), fmt.Appendf(nil, "v%03d", i))
		commit(t, s, b)
	}
	b.Reset()
	b.Put([]byte("zzzzzzzzzzzzz"), []byte("zzzzzzzzzzzz"))
	snap := s.Snapshot()
	defer snap.Close()
	dst := make([]byte, 3, 64)
	for i := range 200 {
		got, err := snap.Get(fmt.Appendf(nil, "k%03d", i), dst)
		if err != nil || string(got) != fmt.Sprintf("v%03d", i) {
			t.Fatalf("got %q, %v", got, err)
		}
		if &got[0] != &dst[0] {
			t.Fatal("the buffer given was not used")
		}
		copy(got, "????") // the caller's own: must not reach the store
	}
	want(t, snap, "k007", "v007")
}

func concurrent(t *testing.T, m Maker) {
	s := m.New(t)
	defer shut(t, s)
	const keys, rounds = 50, 60
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				snap := s.Snapshot()
				var inner sync.WaitGroup
				var first string
				if v, err := snap.Get([]byte("k00"), nil); err == nil {
					first = string(v)
				}
				for range 3 { // one snapshot, several readers: all see one commit
					inner.Go(func() {
						for e, err := range snap.Scan(nil, nil) {
							if err != nil || string(e.Value) != first {
								t.Errorf("%q=%q, %v in the snapshot of %q", e.Key, e.Value, err, first)
								return
							}
						}
						for i := range keys {
							if v, err := snap.Get(fmt.Appendf(nil, "k%02d", i), nil); first != "" && (err != nil || string(v) != first) {
								t.Errorf("get: %q, %v in the snapshot of %q", v, err, first)
								return
							}
						}
					})
				}
				inner.Wait()
				snap.Close()
			}
		})
	}
	for r := range rounds {
		b := new(state.Batch)
		for i := range keys {
			b.Put(fmt.Appendf(nil, "k%02d", i), fmt.Appendf(nil, "round %d", r))
		}
		commit(t, s, b)
		snap := s.Snapshot()
		want(t, snap, "k00", fmt.Sprintf("round %d", r))
		snap.Close()
	}
	close(stop)
	wg.Wait()
}

func closed(t *testing.T, m Maker) {
	s := m.New(t)
	commit(t, s, batch("a", "1"))
	open := s.Snapshot()
	if err := s.Close(); err == nil {
		t.Fatal("closed with a snapshot open")
	}
	want(t, open, "a", "1") // and went on
	commit(t, s, batch("b", "2"))
	open.Close()
	if _, err := open.Get([]byte("a"), nil); !errors.Is(err, state.ErrClosed) {
		t.Fatalf("a closed snapshot answers %v", err)
	}
	for _, err := range open.Scan(nil, nil) {
		if !errors.Is(err, state.ErrClosed) {
			t.Fatalf("a closed snapshot scans: %v", err)
		}
	}
	shut(t, s)
	shut(t, s)
	if err := s.Commit(batch("a", "2")); !errors.Is(err, state.ErrClosed) {
		t.Fatalf("commit after close: %v", err)
	}
	snap := s.Snapshot()
	defer snap.Close()
	if _, err := snap.Get([]byte("a"), nil); !errors.Is(err, state.ErrClosed) {
		t.Fatalf("get after close: %v", err)
	}
}

func reopen(t *testing.T, m Maker) {
	if m.Reopen == nil {
		t.Skip("keeps nothing")
	}
	s := m.New(t)
	for i := range 20 {
		b := batch(fmt.Sprintf("k%d", i), fmt.Sprint(i))
		b.Delete(fmt.Appendf(nil, "k%d", i-5))
		commit(t, s, b)
		if i%5 == 4 {
			before, count := dumpStore(t, s), s.Stats().Commits
			s = m.Reopen(t, s)
			if got := dumpStore(t, s); got != before {
				t.Fatalf("after reopen got\n%swant\n%s", got, before)
			}
			if got := s.Stats().Commits; got != count {
				t.Fatalf("after reopen %d commits, want %d", got, count)
			}
		}
	}
	shut(t, s)
}
