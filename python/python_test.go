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
		const line = "SKIPPED: no Python with pyarrow: the Python package was not tested"
		fmt.Fprintln(os.Stderr, line)
		t.Skip(line)
	}
	url := serve(t)
	src, err := filepath.Abs("src")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-m", "unittest", "discover", "-s", "tests", "-v")
	cmd.Env = append(os.Environ(), "PENSTOCK_URL="+url, "PYTHONPATH="+src, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "PENSTOCK_URL is not set") {
		t.Errorf("tests against the server did not run:\n%s", out)
	}
}

// serve runs examples/transactions until the test is over, and returns its address once all is read.
func serve(t *testing.T) (url string) {
	t.Helper()
	dir := t.TempDir()
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
	cmd := exec.Command(bin, "run", "../examples/transactions/pipeline.yaml", "--state", filepath.Join(dir, "state"), "--listen", addr)
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
