// Package arm64 runs a test on an emulated arm64 machine, to compare what it prints with what it prints here.
package arm64

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	wanted   = "PENSTOCK_ARM64" // 1: run the tests that need the emulator
	required = "PENSTOCK_REQUIRE_ARM64"
	output   = "PENSTOCK_SUMS"
)

// Compare fails t if the test of that name, of the package in the working directory, does not hand Print on an
// emulated arm64 machine what want returns here. It is skipped unless PENSTOCK_ARM64=1, since it builds everything for
// another processor, and where there is no emulator unless PENSTOCK_REQUIRE_ARM64=1.
func Compare(t *testing.T, name string, want func(*testing.T) string) {
	t.Helper()
	if os.Getenv(wanted) != "1" {
		t.Skip("make arm64 runs it")
	}
	emulator, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		const line = "SKIPPED: no qemu-aarch64 (Debian: qemu-user): nothing was compared with arm64"
		if os.Getenv(required) == "1" {
			t.Fatal(line)
		}
		fmt.Fprintln(os.Stderr, line)
		t.Skip(line)
	}
	dir := t.TempDir()
	program, sums := filepath.Join(dir, "package.test"), filepath.Join(dir, "sums")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for arm64: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), emulator, program, "-test.run", "^"+name+"$")
	run.Env = append(os.Environ(), output+"="+sums)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("run on arm64: %v\n%s", err, out)
	}
	got, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	if here := want(t); string(got) != here {
		t.Errorf("on arm64\n%s\nhere\n%s", got, here)
	}
}

// Print writes what of returns to where Compare reads it; the test t is skipped if it was not Compare that ran it.
func Print(t *testing.T, of func(*testing.T) string) {
	t.Helper()
	path := os.Getenv(output)
	if path == "" {
		t.Skip("run by a test that compares machines")
	}
	if err := os.WriteFile(path, []byte(of(t)), 0o600); err != nil {
		t.Fatal(err)
	}
}
