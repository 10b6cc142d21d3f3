package export

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// groupOf is a group of files to write: a table of two parts.
func groupOf(dir string) (out string, paths []string) {
	out = filepath.Join(dir, "t.csv")
	return out, []string{partPath(out, "train"), partPath(out, "test")}
}

// crashed writes a group up to some step of giving names, and leaves it there. It tells whether there were more.
func crashed(t *testing.T, dir, text string, after int, force bool) bool {
	t.Helper()
	out, paths := groupOf(dir)
	o, err := openOut(out, out, paths, paths, force)
	if err != nil {
		t.Fatal(err)
	}
	var sums []FileReport
	for i, path := range append(slices.Clone(paths), out+ManifestSuffix) {
		f, err := o.create(path, path)
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf("%s %d", text, i)
		if _, err := f.WriteString(body); err != nil {
			t.Fatal(err)
		}
		if err := settle(f); err != nil {
			t.Fatal(err)
		}
		if i < len(paths) {
			sum := sha256.Sum256([]byte(body))
			sums = append(sums, FileReport{Path: path, Bytes: int64(len(body)), SHA256: hex.EncodeToString(sum[:])})
		}
	}
	steps := o.steps(sums, true)
	for _, step := range steps[:min(after, len(steps))] {
		if err := step(); err != nil {
			t.Fatalf("after %d: %v", after, err)
		}
	}
	return after < len(steps)
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestInterruptedNames crashes between any two steps of giving names: then a manifest that is there is of files that are,
// and the next export goes on without --force, and clears up.
func TestInterruptedNames(t *testing.T) {
	want := []string{"t.csv.manifest.json", "t.test.csv", "t.train.csv"}
	for after := 0; ; after++ {
		dir := t.TempDir()
		out, _ := groupOf(dir)
		more := crashed(t, dir, "first", after, false)
		names := listing(t, dir)
		noted := slices.Contains(names, filepath.Base(out)+unfinishedSuffix)
		if slices.Contains(names, want[0]) && (!slices.Contains(names, want[1]) || !slices.Contains(names, want[2])) {
			t.Fatalf("after %d steps: a manifest without its files: %v", after, names)
		}
		if named := slices.Contains(names, want[1]) || slices.Contains(names, want[2]); named && !noted && !slices.Contains(names, want[0]) {
			t.Fatalf("after %d steps: files without a note or a manifest: %v", after, names)
		}
		whole := slices.Contains(names, want[0]) && !noted
		if whole {
			_, err := openOut(out, out, []string{filepath.Join(dir, want[1])}, []string{"t"}, false)
			var bad *Error
			if !errors.As(err, &bad) || bad.Code != "exists" {
				t.Fatalf("after %d steps: %v", after, err)
			}
		} else {
			crashed(t, dir, "second", after/2, false) // and once more, elsewhere
			crashed(t, dir, "third", 100, false)
			for i, name := range []string{want[2], want[1], want[0]} {
				if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != fmt.Sprintf("third %d", i) {
					t.Fatalf("after %d steps: %s is %q, %v", after, name, b, err)
				}
			}
		}
		parts := 0
		for _, name := range listing(t, dir) {
			if strings.HasSuffix(name, ".part") {
				parts++ // of an export that was killed before its note
			} else if !slices.Contains(want, name) {
				t.Fatalf("after %d steps: %s is left", after, name)
			}
		}
		if after > 1 && parts > 0 && whole {
			t.Fatalf("after %d steps: %d parts are left", after, parts)
		}
		if !more {
			return
		}
	}
}

// TestInterruptedNamesForeign: what has other bytes than the note says is not replaced.
func TestInterruptedNamesForeign(t *testing.T) {
	dir := t.TempDir()
	out, paths := groupOf(dir)
	crashed(t, dir, "first", 2, false)
	if err := os.WriteFile(paths[0], []byte("other 0"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openOut(out, out, paths, paths, false)
	var bad *Error
	if !errors.As(err, &bad) || bad.Code != "exists" {
		t.Fatal(err)
	}
	if _, err := openOut(out, out, paths, paths, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out+unfinishedSuffix, []byte("no note"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openOut(out, out, paths, paths, true); !errors.As(err, &bad) || bad.Hint != "remove it" {
		t.Fatal(err)
	}
}

// TestFullDisk: a disk that fills in the middle of the parts of a split leaves nothing.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	f, _ := splitFixture(t)
	before := listing(t, f.dir)
	for full := range 3 { // train, test, manifest
		n := 0
		createTemp = func(dir, pattern string) (*os.File, error) {
			if n++; n != full+1 {
				return os.CreateTemp(dir, pattern)
			}
			path := filepath.Join(dir, ".full.part")
			if err := os.Symlink("/dev/full", path); err != nil {
				return nil, err
			}
			return os.OpenFile(path, os.O_WRONLY, 0)
		}
		_, err := FromStore(t.Context(), f.store, Request{Export: "files", Manifest: true})
		createTemp = os.CreateTemp
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("file %d: %v", full, err)
		}
		if after := listing(t, f.dir); !slices.Equal(after, before) {
			t.Fatalf("file %d: %v is left, it was %v", full, after, before)
		}
	}
	if _, err := FromStore(t.Context(), f.store, Request{Export: "files", Manifest: true}); err != nil {
		t.Fatal(err)
	}
}
