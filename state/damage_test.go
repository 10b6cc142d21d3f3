package state_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/state"
)

// written fills a new store with commits enough for several tables and closes it.
func written(t *testing.T, dir string) (sum string) {
	t.Helper()
	s := small(t, dir)
	r := rand.New(rand.NewPCG(3, 4))
	value := make([]byte, 300)
	var b state.Batch
	for c := range 60 {
		b.Reset()
		for range 400 {
			for i := range value {
				value[i] = byte(r.Uint32() & 0x0f)
			}
			b.Put(fmt.Appendf(nil, "k%05d", r.Uint32N(20_000)), value)
		}
		b.Delete(fmt.Appendf(nil, "k%05d", c))
		if err := s.Commit(&b); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := sumOf(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return sum
}

// crashed is a copy of a store as a killed process leaves it, with the newest commits in two logs:
// the older one not yet written to a table. It returns the paths of both inside the copy.
func crashed(t *testing.T, to string) (older, newer, sum string) {
	t.Helper()
	from := t.TempDir()
	s := small(t, from)
	defer s.Close()
	inner := filepath.Join(from, "badger")
	second := filepath.Join(inner, "00002.mem")
	var b state.Batch
	value := bytes.Repeat([]byte("value of some length "), 12)
	after := 0
	for c := 0; after < 5; c++ {
		b.Reset()
		for i := range 100 {
			b.Put(fmt.Appendf(nil, "c%05d/%03d", c, i), value)
		}
		b.Put([]byte("newest"), fmt.Append(nil, c))
		if err := s.Commit(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(second); err == nil {
			after++
		} else if c > 90 {
			copyDir(t, from, to)
		}
		if c > 1000 {
			t.Fatal("the log never changed")
		}
	}
	older, newer = filepath.Join(to, "badger", "00001.mem"), filepath.Join(to, "badger", "00002.mem")
	if err := errors.Join(copyFile(second, newer), copyFile(filepath.Join(from, "COMMITS"), filepath.Join(to, "COMMITS"))); err != nil {
		t.Fatal(err)
	}
	sum, err := sumOf(s)
	if err != nil {
		t.Fatal(err)
	}
	return older, newer, sum
}

// dataEnd is the length of a file without the zeros at its end.
func dataEnd(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return len(bytes.TrimRight(data, "\x00"))
}

func patch(t *testing.T, path string, f func(data []byte)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f(data)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBitFlips: one bit flipped anywhere on disk is an error, or changes nothing; never is an answer
// silently wrong. What kills the process kills only the probe.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	closedDir, crashedDir := filepath.Join(t.TempDir(), "s"), filepath.Join(t.TempDir(), "s")
	closedSum := written(t, closedDir)
	_, _, crashedSum := crashed(t, crashedDir)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	p := &prober{t: t}
	defer p.stop()
	for _, c := range []struct {
		name, dir, glob, sum string
		flips                int
	}{
		{"tables", closedDir, "badger/*.sst", closedSum, 64},
		{"manifest", closedDir, "badger/MANIFEST", closedSum, 16},
		{"registry", closedDir, "badger/KEYREGISTRY", closedSum, 6},
		{"value log", closedDir, "badger/*.vlog", closedSum, 6},
		{"identity", closedDir, "STORE.json", closedSum, 12},
		{"mark", closedDir, "COMMITS", closedSum, 12},
		{"logs", crashedDir, "badger/*.mem", crashedSum, 24},
	} {
		if os.Getenv("PENSTOCK_FULL") == "" {
			c.flips = c.flips/4 + 1
		}
		t.Run(c.name, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(c.dir, c.glob))
			if err != nil || len(files) == 0 {
				t.Fatalf("no files %s: %v", c.glob, err)
			}
			loud := 0
			for range c.flips {
				to := t.TempDir()
				copyDir(t, c.dir, to)
				file := files[r.IntN(len(files))]
				rel, _ := filepath.Rel(c.dir, file)
				at := r.IntN(max(dataEnd(t, file), 1))
				bit := byte(1) << r.IntN(8)
				patch(t, filepath.Join(to, rel), func(data []byte) { data[at] ^= bit })
				got := p.probe(to)
				switch {
				case strings.HasPrefix(got, "error:"), got == "died":
					loud++
				case got != "same "+c.sum+" <nil>":
					t.Errorf("%s, byte %d, bit %08b: silently wrong: %s, want %s", rel, at, bit, got, c.sum)
				}
			}
			t.Logf("%d flips, %d loud, the rest harmless", c.flips, loud)
			if c.name == "tables" && loud < c.flips/3 {
				t.Errorf("only %d of %d flips noticed: the test reaches nothing", loud, c.flips)
			}
		})
	}
	t.Logf("the probe died %d times", p.deaths)
}

// TestHole: a page of an older log that never reached the disk loses commits in the middle, which
// Badger replays without a word.
func TestHole(t *testing.T) {
	t.Parallel()
	base := filepath.Join(t.TempDir(), "s")
	older, newer, sum := crashed(t, base)
	open := func(t *testing.T, dir string) error {
		s, err := state.OpenBadger(dir, childOptions)
		if err == nil {
			got, serr := sumOf(s)
			if serr != nil || got != sum {
				t.Errorf("silently wrong: %s, want %s, %v", got, sum, serr)
			}
			err = s.Close()
		}
		return err
	}
	copyOf := func(t *testing.T, file string) (dir, path string) {
		dir = t.TempDir()
		copyDir(t, base, dir)
		rel, _ := filepath.Rel(base, file)
		return dir, filepath.Join(dir, rel)
	}
	t.Run("untouched", func(t *testing.T) {
		dir, _ := copyOf(t, older)
		if err := open(t, dir); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("logs of no length", func(t *testing.T) { // killed between creating a log and sizing it
		dir, _ := copyOf(t, older)
		for _, name := range []string{"00003.mem", "000009.vlog"} {
			if err := os.WriteFile(filepath.Join(dir, "badger", name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := open(t, dir); err != nil {
			t.Fatal(err)
		}
	})
	end := dataEnd(t, older)
	for _, part := range []int{10, 50, 90} {
		t.Run(fmt.Sprintf("older log at %d%%", part), func(t *testing.T) {
			dir, path := copyOf(t, older)
			patch(t, path, func(data []byte) { clear(data[end*part/100&^4095:][:4096]) })
			var hole *state.HoleError
			err := open(t, dir)
			if !errors.As(err, &hole) {
				t.Fatalf("got %v, want a *HoleError", err)
			}
			if hole.First > hole.Last || hole.Last >= hole.Newest {
				t.Fatalf("odd hole %+v", hole)
			}
		})
	}
	t.Run("newest log", func(t *testing.T) {
		dir, path := copyOf(t, newer)
		patch(t, path, func(data []byte) { data[dataEnd(t, newer)/2] ^= 1 })
		var back *state.RollbackError
		if err := open(t, dir); !errors.As(err, &back) {
			t.Fatalf("got %v, want a *RollbackError", err)
		}
	})
	t.Run("newest log missing", func(t *testing.T) {
		dir, path := copyOf(t, newer)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		var back *state.RollbackError
		if err := open(t, dir); !errors.As(err, &back) {
			t.Fatalf("got %v, want a *RollbackError", err)
		}
	})
}

// TestKill: a process killed at random moments loses nothing that it acknowledged, and what is there
// is a prefix.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rounds := 5
	if os.Getenv("PENSTOCK_FULL") != "" {
		rounds = 20
	}
	acked := uint64(0)
	for round := range rounds {
		cmd := child(t, "commit", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		first, said := make(chan struct{}), make(chan string)
		go func() {
			in := bufio.NewReader(out)
			_, _ = in.Peek(1)
			close(first)
			all, _ := io.ReadAll(in)
			said <- string(all)
		}()
		if round%2 == 0 { // else perhaps while it opens
			<-first
		}
		time.Sleep(time.Duration(30+rand.IntN(150)) * time.Millisecond) // the moment of death, not a wait for something
		_ = cmd.Process.Kill()
		text := <-said
		_ = cmd.Wait()
		if i := strings.Index(text, "error:"); i >= 0 {
			t.Fatalf("round %d: %s", round, text[i:])
		}
		if lines := strings.Split(text, "\n"); len(lines) > 1 { // the last is whole if a newline follows
			n, err := strconv.ParseUint(lines[len(lines)-2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			acked = n
		}
		checkPrefix(t, dir, acked)
	}
	if acked < uint64(rounds/2) {
		t.Fatalf("only %d commits in %d rounds", acked, rounds)
	}
	t.Logf("%d commits", acked)
}

func checkPrefix(t *testing.T, dir string, acked uint64) {
	t.Helper()
	s := small(t, dir)
	defer s.Close()
	snap := s.Snapshot()
	defer snap.Close()
	newest := uint64(0)
	if v, err := snap.Get([]byte("newest"), nil); err == nil {
		newest, _ = strconv.ParseUint(string(v), 10, 64)
	} else if !errors.Is(err, state.ErrNotFound) {
		t.Fatal(err)
	}
	if newest < acked || newest != s.Stats().Commits {
		t.Fatalf("newest %d of %d commits, %d were acknowledged", newest, s.Stats().Commits, acked)
	}
	at := uint64(0)
	for e, err := range snap.Scan([]byte("n/"), []byte("n0")) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("n/%08d/%02d", at/batchKeys+1, at%batchKeys); string(e.Key) != want {
			t.Fatalf("got %s, want %s", e.Key, want)
		}
		at++
	}
	if at != newest*batchKeys {
		t.Fatalf("%d keys, want %d", at, newest*batchKeys)
	}
}
