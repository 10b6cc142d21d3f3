package proof

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSimulation: whole runs by their seeds.
func TestSimulation(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 40
	}
	happened := map[string]int{}
	for _, seed := range seeds(t, n) {
		first := simulate(t, seed)
		for _, line := range first {
			for _, what := range []string{"lost", "left", "the disk was full", "crashed true", "crashed false", "behind", "checked that"} {
				if strings.Contains(line, what) {
					happened[what]++
				}
			}
		}
		if seed%10 != 0 {
			continue
		}
		// The same seed gives the same run.
		if again := simulate(t, seed); !slices.Equal(first, again) {
			i := 0
			for i < min(len(first), len(again)) && first[i] == again[i] {
				i++
			}
			t.Fatalf("PENSTOCK_SEED=%d: two runs differ from line %d:\n%s\n\n%s", seed, i, strings.Join(first[i:min(i+3, len(first))], "\n"), strings.Join(again[i:min(i+3, len(again))], "\n"))
		}
	}
	t.Logf("what happened: %v", happened)
	if len(happened) < 7 && n >= 500 && os.Getenv("PENSTOCK_SEED") == "" {
		t.Error("something never happened: the simulation shows less than it should")
	}
}

func simulate(t *testing.T, seed uint64) []string {
	t.Helper()
	s, err := NewSim(seed, t.TempDir())
	if err == nil {
		err = s.Run(t.Context())
	}
	if err != nil {
		t.Fatalf("PENSTOCK_SEED=%d: %v\n%s", seed, err, strings.Join(s.Transcript(), "\n"))
	}
	return s.Transcript()
}
