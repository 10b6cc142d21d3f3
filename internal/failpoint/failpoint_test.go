package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

// The test runs itself as a process that passes places.
func TestMain(m *testing.M) {
	if os.Getenv("PENSTOCK_FAILPOINT_CHILD") == "" {
		os.Exit(m.Run())
	}
	for range 3 {
		Hit(Commit)
		Hit(Committed)
	}
}

func TestHit(t *testing.T) {
	for point, dies := range map[string]bool{
		"commit:0": true, "committed:2": true, "committed:3": false, "ready:0": false, "": false, "commit": false, "commit:-1": false, "commit:x": false,
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(slices.Clone(os.Environ()), "PENSTOCK_FAILPOINT_CHILD=1", Variable+"="+point)
		err := cmd.Run()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if killed != dies || err != nil && !killed {
			t.Errorf("%q: %v, and dying is %v", point, err, dies)
		}
	}
}

func TestOn(t *testing.T) {
	p := parse("spill:1")
	old := armed
	armed = p
	defer func() { armed = old }()
	if On(Spill) || On(Commit) {
		t.Error("on before its time")
	}
	Hit(Spill)
	if !On(Spill) {
		t.Error("not on at its time")
	}
}

func BenchmarkOff(b *testing.B) {
	for b.Loop() {
		Hit(Commit)
	}
}
