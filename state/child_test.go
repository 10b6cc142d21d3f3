package state_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/state"
)

// TestMain lets the test binary be the child process of its own tests.
func TestMain(m *testing.M) {
	switch os.Getenv("STATE_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "commit":
		childCommit(os.Getenv("STATE_TEST_DIR"))
	case "probe":
		childProbe()
	}
}

func child(t *testing.T, verb, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "STATE_TEST_CHILD="+verb, "STATE_TEST_DIR="+dir)
	return cmd
}

func die(err error) {
	fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
	os.Exit(1)
}

var childOptions = state.BadgerOptions{Memory: 1 << 20, DiskFree: 1, Ballast: -1}

// batchKeys is how many keys one numbered batch of childCommit writes.
const batchKeys = 10

// childCommit commits numbered batches and says each number once it is acknowledged.
func childCommit(dir string) {
	s, err := state.OpenBadger(dir, childOptions)
	if err != nil {
		die(err)
	}
	var b state.Batch
	value := make([]byte, 6<<10)
	for n := s.Stats().Commits + 1; ; n++ {
		b.Reset()
		for i := range batchKeys {
			binary.BigEndian.PutUint64(value, n)
			b.Put(fmt.Appendf(nil, "n/%08d/%02d", n, i), value)
		}
		b.Put([]byte("newest"), fmt.Appendf(nil, "%d", n))
		if err := s.Commit(&b); err != nil {
			die(err)
		}
		fmt.Println(n)
	}
}

// childProbe opens the directories named on its input and says what it found, a line each; every
// fourth one is probed before, and must then open if the probe was content.
func childProbe() {
	in := bufio.NewScanner(os.Stdin)
	for n := 0; in.Scan(); n++ {
		dir := in.Text()
		probed := n%4 == 0
		var perr error
		if probed {
			perr = state.Probe(dir)
		}
		if perr != nil {
			fmt.Println("error:", strings.ReplaceAll(perr.Error(), "\n", " "))
			continue
		}
		s, err := state.OpenBadger(dir, childOptions)
		if err != nil {
			what := "error:"
			if probed {
				what = "the probe was content, but:"
			}
			fmt.Println(what, strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		sum, err := sumOf(s)
		if err == nil {
			err = s.Close()
		}
		fmt.Println("same", sum, err)
	}
}

// sumOf is a hash of all that a store says.
func sumOf(s state.Store) (string, error) {
	snap := s.Snapshot()
	defer snap.Close()
	h := sha256.New()
	for e, err := range snap.Scan(nil, nil) {
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%d %s %d %s\n", len(e.Key), e.Key, len(e.Value), e.Value)
	}
	return fmt.Sprintf("%x %d", h.Sum(nil)[:8], s.Stats().Commits), nil
}

// prober is a child that probes directories, started anew when damage kills it.
type prober struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errs   strings.Builder
	deaths int
}

func (p *prober) probe(dir string) string {
	p.t.Helper()
	if p.cmd == nil {
		p.errs.Reset()
		p.cmd = child(p.t, "probe", "")
		p.cmd.Stderr = &p.errs
		var err error
		if p.in, err = p.cmd.StdinPipe(); err != nil {
			p.t.Fatal(err)
		}
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			p.t.Fatal(err)
		}
		p.out = bufio.NewReader(out)
		if err := p.cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
	}
	fmt.Fprintln(p.in, dir)
	line, err := p.out.ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		p.cmd = nil
		p.deaths++
		p.t.Logf("the probe died: %.300s", p.errs.String())
		return "died"
	}
	return strings.TrimSpace(line)
}

func (p *prober) stop() {
	if p.cmd != nil {
		p.in.Close()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// copyDir copies a directory, holes of sparse files included.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o750)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	size := int64(len(data))
	for len(data) > 0 && data[len(data)-1] == 0 {
		data = data[:len(data)-1]
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		return err
	}
	return os.Truncate(to, size)
}
