package state_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-ml/penstock/state"
)

func put(t *testing.T, s state.Store, kv ...string) {
	t.Helper()
	var b state.Batch
	for i := 0; i < len(kv); i += 2 {
		b.Put([]byte(kv[i]), []byte(kv[i+1]))
	}
	if err := s.Commit(&b); err != nil {
		t.Fatal(err)
	}
}

func closeStore(t *testing.T, s state.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir)
	_, err := state.OpenBadger(dir, childOptions)
	var locked *state.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("got %v, want a *LockedError with process %d", err, os.Getpid())
	}
	if held, pid, err := state.Locked(dir); !held || pid != os.Getpid() || err != nil {
		t.Fatal(held, pid, err)
	}
	out, err := child(t, "commit", dir).Output()
	if err == nil || !strings.Contains(string(out), fmt.Sprint("in use by process ", os.Getpid())) {
		t.Fatalf("another process: %v, %s", err, out)
	}
	closeStore(t, s)
	if held, _, err := state.Locked(dir); held || err != nil {
		t.Fatal("still locked", err)
	}
	closeStore(t, small(t, dir))
}

// TestRefusesToOpen: what does not fit together is named, not repaired.
func TestRefusesToOpen(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	s := small(t, base)
	put(t, s, "a", "1")
	closeStore(t, s)
	old := t.TempDir()
	copyDir(t, base, old)
	s = small(t, base)
	put(t, s, "b", "2")
	put(t, s, "c", "3")
	closeStore(t, s)
	other := t.TempDir()
	s = small(t, other)
	put(t, s, "a", "1")
	closeStore(t, s)

	identity := func(dir string, change func(map[string]any)) {
		path := filepath.Join(dir, "STORE.json")
		var m map[string]any
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		if text, err = json.Marshal(m); err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) func(string) {
		return func(dir string) {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(from, name string) func(string) {
		return func(dir string) {
			remove(name)(dir)
			copyDir(t, filepath.Join(from, name), filepath.Join(dir, name))
		}
	}
	var rollback *state.RollbackError
	var corrupt *state.CorruptError
	var format *state.FormatError
	for name, c := range map[string]struct {
		harm func(dir string)
		want any
	}{
		"database of yesterday":        {replace(old, "badger"), &rollback},
		"database gone":                {remove("badger"), &rollback},
		"database of another store":    {func(dir string) { replace(other, "badger")(dir); replace(old, "COMMITS")(dir) }, &corrupt},
		"manifest gone":                {remove("badger/MANIFEST"), &corrupt},
		"identity gone":                {remove("STORE.json"), &corrupt},
		"mark gone":                    {remove("COMMITS"), &corrupt},
		"mark of another store":        {replace(other, "COMMITS"), &corrupt},
		"a later format":               {func(dir string) { identity(dir, func(m map[string]any) { m["format"] = 2 }) }, &format},
		"identity that makes no sense": {func(dir string) { identity(dir, func(m map[string]any) { m["id"] = "x" }) }, &corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyDir(t, base, dir)
			c.harm(dir)
			s, err := state.OpenBadger(dir, childOptions)
			if err == nil {
				s.Close()
			}
			if !errors.As(err, c.want) || !strings.Contains(err.Error(), "hint:") {
				t.Fatalf("got %v, want %T with a hint", err, c.want)
			}
			if held, _, _ := state.Locked(dir); held {
				t.Fatal("the lock was kept")
			}
		})
	}
	t.Run("whole", func(t *testing.T) {
		if err := state.Probe(base); err != nil {
			t.Fatal(err)
		}
		if err := state.Probe(filepath.Join(t.TempDir(), "new")); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFailStop: a store that can write no tables fails once, for good, and nothing panics or hangs.
func TestFailStop(t *testing.T) {
	dir := t.TempDir()
	s := small(t, dir)
	put(t, s, "kept", "1")
	if err := os.Rename(filepath.Join(dir, "badger"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	var b state.Batch
	var failed error
	for i := 0; failed == nil; i++ {
		b.Reset()
		b.Put(fmt.Append(nil, i), make([]byte, 200<<10))
		failed = s.Commit(&b)
		if i > 1000 {
			t.Fatal("never failed")
		}
	}
	for range 3 {
		if err := s.Commit(&b); err != failed {
			t.Fatalf("got %v, then %v", failed, err)
		}
	}
	if s.Err() != failed {
		t.Fatalf("Err is %v", s.Err())
	}
	snap := s.Snapshot()
	v, gerr := snap.Get([]byte("kept"), nil) // an answer or an error, as the database can
	if gerr == nil && string(v) != "1" || errors.Is(gerr, state.ErrNotFound) {
		t.Fatalf("got %q, %v", v, gerr)
	}
	for e, err := range snap.Scan([]byte("kept"), nil) {
		if (err == nil) != (gerr == nil) || err == nil && string(e.Value) != "1" {
			t.Fatalf("scan gave %q, %v, get %v", e, err, gerr)
		}
	}
	snap.Close()
	if err := s.Close(); err == nil {
		t.Fatal("closed without a word, though nothing could be written")
	}
	if held, _, _ := state.Locked(dir); held {
		t.Fatal("the lock was kept")
	}
}

func TestMemoryFailStop(t *testing.T) {
	m := state.NewMemory()
	put(t, m, "a", "1")
	boom := errors.New("boom")
	m.FailNext(boom)
	var b state.Batch
	b.Put([]byte("b"), []byte("2"))
	first := m.Commit(&b)
	if !errors.Is(first, boom) || m.Commit(&b) != first || m.Err() != first {
		t.Fatalf("got %v, Err %v", first, m.Err())
	}
	m = m.Reopen()
	put(t, m, "c", "3")
	m.SetLimits(1, 10)
	b.Put([]byte("d"), []byte("4"))
	var refused *state.BatchError
	if err := m.Commit(&b); !errors.As(err, &refused) {
		t.Fatal(err)
	}
}

// TestDiskGuard: below the limit nothing is written, above it writing goes on; the ballast is given
// up at open and laid again later.
func TestDiskGuard(t *testing.T) {
	dir := t.TempDir()
	free, total := uint64(100<<30), uint64(100<<30)
	opt := state.BadgerOptions{Memory: 1 << 20, Ballast: 1 << 20, Measure: func(string) (uint64, uint64, error) {
		return free, total, nil
	}}
	s, err := state.OpenBadger(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if fi, err := os.Stat(ballast); err != nil || fi.Size() != 1<<20 {
		t.Fatal("no ballast", err)
	}
	put(t, s, "a", "1")
	var b state.Batch
	b.Put([]byte("b"), []byte("2"))
	for _, c := range []struct {
		free, total uint64
		limit       uint64 // 0: goes on
	}{
		{2<<30 - 1, 100 << 30, 2 << 30},      // at most 2 GiB
		{2 << 30, 100 << 30, 0},              //
		{499 << 20, 10_000 << 20, 500 << 20}, // 5 %
		{500 << 20, 10_000 << 20, 0},         //
		{15 << 20, 100 << 20, 16 << 20},      // four memory tables
	} {
		free, total = c.free, c.total
		err := s.Commit(&b)
		var full *state.DiskFullError
		if c.limit == 0 && err != nil {
			t.Fatalf("%d of %d free: %v", c.free, c.total, err)
		}
		if c.limit != 0 && (!errors.As(err, &full) || full.Need != c.limit || full.Free != c.free) {
			t.Fatalf("%d of %d free: got %v, want a limit of %d", c.free, c.total, err, c.limit)
		}
		if s.Err() != nil {
			t.Fatal("a full disk failed the store")
		}
	}
	closeStore(t, s)

	free, total = 20<<20, 100<<30
	if s, err = state.OpenBadger(dir, opt); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ballast); err == nil {
		t.Fatal("the ballast was not given up")
	}
	free = 100 << 30
	put(t, s, "c", "3")
	if _, err := os.Stat(ballast); err != nil {
		t.Fatal("the ballast was not laid again")
	}
	closeStore(t, s)
	free = 1 << 20
	var full *state.DiskFullError
	if _, err := state.OpenBadger(dir, opt); !errors.As(err, &full) {
		t.Fatalf("opened on a full disk: %v", err)
	}
	if f, tot, err := state.DiskFree(dir); err != nil || f == 0 || tot < f {
		t.Fatal(f, tot, err)
	}
}

// TestSmallerMemory: a log written for large memory tables opens under a smaller budget.
func TestSmallerMemory(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	s, err := state.OpenBadger(from, state.BadgerOptions{Memory: 256 << 20, DiskFree: 1, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	var b state.Batch
	for i := range 20 { // 12 MiB of log: three times the smallest table
		b.Reset()
		for j := range 4000 {
			b.Put(fmt.Appendf(nil, "%02d/%05d", i, j), make([]byte, 100))
		}
		if err := s.Commit(&b); err != nil {
			t.Fatal(err)
		}
	}
	want, err := sumOf(s)
	if err != nil {
		t.Fatal(err)
	}
	copyDir(t, from, to) // as a killed process leaves it
	closeStore(t, s)
	for range 2 {
		s = small(t, to)
		if got, err := sumOf(s); got != want || err != nil {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
		put(t, s, "x", "y")
		put(t, s, "x", "z")
		if want, err = sumOf(s); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
	}
}

// TestTwins: the same random operations on both stores give the same answers, with Badger reopened
// in between.
func TestTwins(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	disk, mem := small(t, dir), state.NewMemory()
	type pair struct{ a, b state.Snapshot }
	var held []pair
	key := func() []byte {
		k := make([]byte, r.IntN(4))
		for i := range k {
			k[i] = "\x00ab\xff"[r.IntN(4)]
		}
		return k
	}
	same := func(p pair) {
		t.Helper()
		from, to := key(), key()
		if r.IntN(3) == 0 {
			to = nil
		}
		var got, want []string
		for e, err := range p.a.Scan(from, to) {
			got = append(got, fmt.Sprintf("%q %q %v", e.Key, e.Value, err))
		}
		for e, err := range p.b.Scan(from, to) {
			want = append(want, fmt.Sprintf("%q %q %v", e.Key, e.Value, err))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("scan %q..%q: %d entries on disk, %d in memory", from, to, len(got), len(want))
		}
		k := key()
		va, ea := p.a.Get(k, nil)
		vb, eb := p.b.Get(k, nil)
		if string(va) != string(vb) || !errors.Is(ea, eb) {
			t.Fatalf("get %q: %q, %v on disk, %q, %v in memory", k, va, ea, vb, eb)
		}
	}
	drop := func() {
		for _, p := range held {
			same(p)
			p.a.Close()
			p.b.Close()
		}
		held = held[:0]
	}
	var b state.Batch
	steps := 800
	if os.Getenv("PENSTOCK_FULL") != "" {
		steps = 3000
	}
	for step := range steps {
		switch n := r.IntN(100); {
		case n < 60:
			b.Reset()
			for range r.IntN(12) {
				if r.IntN(4) == 0 {
					b.Delete(key())
				} else {
					b.Put(key(), fmt.Appendf(make([]byte, r.IntN(2)*r.IntN(3000)), "%d", step))
				}
			}
			if ea, eb := disk.Commit(&b), mem.Commit(&b); ea != nil || eb != nil {
				t.Fatal(ea, eb)
			}
		case n < 80:
			held = append(held, pair{disk.Snapshot(), mem.Snapshot()})
			if len(held) > 20 {
				drop()
			}
		case n < 99:
			if len(held) > 0 {
				same(held[r.IntN(len(held))])
			}
		default:
			drop()
			closeStore(t, disk)
			disk, mem = small(t, dir), mem.Reopen()
		}
		if disk.Stats().Commits != mem.Stats().Commits {
			t.Fatalf("%d and %d commits", disk.Stats().Commits, mem.Stats().Commits)
		}
	}
	drop()
	closeStore(t, disk)
}

func TestNoLeaks(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := small(t, t.TempDir())
	put(t, s, "a", "1")
	snap := s.Snapshot()
	for range snap.Scan(nil, nil) {
		break
	}
	snap.Close()
	if st := s.Stats(); st.DiskBytes <= 0 || st.MemoryBytes <= 0 || st.Commits != 1 {
		t.Fatalf("%+v", st)
	}
	closeStore(t, s)
}

// TestReadMostly: a store opened to be read leaves tables as they are, however many there are, and does not
// wait for room that nothing makes.
func TestReadMostly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opt := childOptions
	opt.ReadMostly = true
	open := func() *state.Badger {
		s, err := state.OpenBadger(dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	value := strings.Repeat("x", 200<<10)
	const keys, rounds = 20, 24 // a round fills a memory table of 4 MiB; Badger's levels stall at 20
	for i := range keys * rounds {
		put(t, s, fmt.Sprint("k", i%keys), fmt.Sprint(i, " ", value))
	}
	closeStore(t, s)
	before := tableFiles(t, dir)
	if len(before) < 20 {
		t.Fatalf("%d tables: a store with compactors would have had room", len(before))
	}
	s = open()
	snap := s.Snapshot()
	for i := range keys {
		want := fmt.Sprint(keys*(rounds-1)+i, " ")
		if v, err := snap.Get([]byte(fmt.Sprint("k", i)), nil); err != nil || !strings.HasPrefix(string(v), want) {
			t.Fatalf("key %d: %v, %.10q, want %q", i, err, v, want)
		}
	}
	snap.Close()
	closeStore(t, s)
	if after := tableFiles(t, dir); !slices.Equal(before, after) {
		t.Fatalf("tables changed from %v to %v", before, after)
	}
}

func tableFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "badger", "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
