package export

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/feature"
)

// sumsOf are the SHA-256 of one table in each format.
func sumsOf(t *testing.T) string {
	t.Helper()
	store, dir := richStore(t)
	spine := filepath.Join(dir, "spine.csv")
	if err := os.WriteFile(spine, []byte(richSpine(2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, ext := range []string{"parquet", "arrow", "avro", "csv", "csv.gz", "csv.zst", "jsonl"} {
		out := filepath.Join(dir, "out."+ext)
		if _, err := FromStore(t.Context(), store, Request{Selection: feature.Selection{View: "v"}, Spine: spine, Out: out, WithStatus: true, Manifest: true}); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadManifest(out + ManifestSuffix)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x statistics %x\n", ext, sha256.Sum256(file), sha256.Sum256([]byte(asJSON(t, m.Statistics))))
	}
	return b.String()
}

// TestSums prints the sums for TestSameBytesOnARM64, in the file that PENSTOCK_SUMS names.
func TestSums(t *testing.T) {
	path := os.Getenv("PENSTOCK_SUMS")
	if path == "" {
		t.Skip("run by TestSameBytesOnARM64")
	}
	if err := os.WriteFile(path, []byte(sumsOf(t)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSameBytesOnARM64 writes one table in each format on this machine and on an emulated arm64 one: the same bytes.
// It is run by `make arm64`, since it builds everything for another processor.
func TestSameBytesOnARM64(t *testing.T) {
	if os.Getenv("PENSTOCK_ARM64") != "1" {
		t.Skip("make arm64 runs it")
	}
	emulator, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		const line = "SKIPPED: no qemu-aarch64 (Debian: qemu-user): tables were not written on arm64"
		fmt.Fprintln(os.Stderr, line)
		t.Skip(line)
	}
	dir := t.TempDir()
	program, sums := filepath.Join(dir, "export.test"), filepath.Join(dir, "sums")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for arm64: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), emulator, program, "-test.run", "^TestSums$")
	run.Env = append(os.Environ(), "PENSTOCK_SUMS="+sums)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("run on arm64: %v\n%s", err, out)
	}
	got, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	if want := sumsOf(t); string(got) != want {
		t.Errorf("on arm64\n%s\nhere\n%s", got, want)
	}
}
