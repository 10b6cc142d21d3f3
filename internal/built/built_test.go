package built

import (
	"os/exec"
	"strings"
	"testing"
)

// TestInto: what is put there is the program.
func TestInto(t *testing.T) {
	file, err := Into(t.TempDir(), Penstock)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), file, "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "penstock ") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := Into(t.TempDir(), Penstock+"/none"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("there is no such program: %v", err)
	}
}
