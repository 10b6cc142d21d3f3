// Package python_test runs the tests of the Python package against a server.
package python_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/internal/built"
)

// TestPackage runs tests/ with a Python that has pyarrow (PENSTOCK_READERS_PYTHON, else python3). Without one it is
// skipped, loudly, unless PENSTOCK_REQUIRE_READERS=1 makes that a failure.
func TestPackage(t *testing.T) {
	python := os.Getenv("PENSTOCK_READERS_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import pyarrow").CombinedOutput(); err != nil {
		if os.Getenv("PENSTOCK_REQUIRE_READERS") == "1" {
			t.Fatalf("PENSTOCK_REQUIRE_READERS=1: %s: %v: %s", python, err, out)
		}
		skip(t, "no Python with pyarrow: the Python package was not tested")
	}
	src, err := filepath.Abs("src")
	if err != nil {
		t.Fatal(err)
	}
	unittests(t, python, "PYTHONPATH="+src)
}

// TestInstalled installs the package into a virtual environment of its own, as users do, and runs the tests with what
// is installed. pip needs a package index: only where PENSTOCK_READERS_PYTHON names a Python, whose venv and pip are used.
func TestInstalled(t *testing.T) {
	python := os.Getenv("PENSTOCK_READERS_PYTHON")
	if python == "" {
		skip(t, "PENSTOCK_READERS_PYTHON is not set: the Python package was not installed")
	}
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	pack := filepath.Join(dir, "python") // pip builds in the folder itself
	for _, name := range []string{"pyproject.toml", "README.md", "src"} {
		copied(t, name, filepath.Join(pack, name))
	}
	run(python, "-m", "venv", "fresh")
	fresh := filepath.Join(dir, "fresh", "bin", "python")
	run(fresh, "-m", "pip", "install", "--quiet", "./python")
	run(fresh, "-c", "import penstock, pathlib; assert (pathlib.Path(penstock.__file__).parent / 'py.typed').exists()")
	unittests(t, fresh)
}

func skip(t *testing.T, why string) {
	t.Helper()
	_, _ = fmt.Fprintln(os.Stderr, "SKIPPED: "+why)
	t.Skip("SKIPPED: " + why)
}

// unittests runs tests/ against a server.
func unittests(t *testing.T, python string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "-m", "unittest", "discover", "-s", "tests", "-v")
	cmd.Env = append(append(os.Environ(), "PENSTOCK_URL="+serve(t), "PYTHONDONTWRITEBYTECODE=1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "PENSTOCK_URL is not set") {
		t.Errorf("tests against the server did not run:\n%s", out)
	}
}

// copied copies a file or a folder.
func copied(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(from)
	if err == nil && info.IsDir() {
		err = os.CopyFS(to, os.DirFS(from))
	} else if err == nil {
		var b []byte
		if b, err = os.ReadFile(from); err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// splitExport is declared beside the example's own exports.
const splitExport = `
  fraud_parts:
    set: fraud
    spine: {source: transactions, columns: [country]}
    labels: [spent_6h]
    split: {by: user_id, train: 80%, validation: 10%, test: rest, files: true}
`

// serve runs examples/transactions, with one more export, until the test is over, and returns its address once all is read.
func serve(t *testing.T) (url string) {
	t.Helper()
	dir := t.TempDir()
	example := filepath.Join(dir, "example")
	copied(t, "../examples/transactions", example)
	file := filepath.Join(example, "pipeline.yaml")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(b, splitExport...), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := built.Into(dir, built.Penstock)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", file, "--state", filepath.Join(dir, "state"), "--listen", addr)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, said.String())
		}
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if idle(addr) {
			return "http://" + addr
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	t.Fatalf("nothing is read within a minute:\n%s", said.String())
	return ""
}

// idle tells whether all files are read.
func idle(addr string) bool {
	res, err := http.Get("http://" + addr + "/v1/pipeline")
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	var d struct {
		Sources []struct {
			Read int64
			Lag  *int64
		}
	}
	if err != nil || json.Unmarshal(b, &d) != nil || len(d.Sources) == 0 {
		return false
	}
	for _, s := range d.Sources {
		if s.Read == 0 || s.Lag == nil || *s.Lag > 0 {
			return false
		}
	}
	return true
}
