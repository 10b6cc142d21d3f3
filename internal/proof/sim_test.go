package proof

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// happenings are in the transcripts of many runs.
var happenings = []string{
	"lost", "left", "the disk was full", "crashed true", "crashed false", "behind", "checked that", "swept", "rows were trimmed", "copies were trimmed",
	"asked before the horizon", "asked at the horizon", "asked a cut made earlier",
}

// TestSimulation: whole runs by their seeds.
func TestSimulation(t *testing.T) {
	n := 500
	if testing.Short() || os.Getenv("PENSTOCK_FULL") == "" {
		n = 15
	}
	happened := map[string]int{}
	for _, seed := range seeds(t, n) {
		first := simulate(t, seed)
		for _, line := range first {
			for _, what := range happenings {
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
	if len(happened) < len(happenings) && n >= 500 && os.Getenv("PENSTOCK_SEED") == "" {
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
		if s == nil {
			t.Fatalf("PENSTOCK_SEED=%d: %v", seed, err)
		}
		t.Fatalf("PENSTOCK_SEED=%d: %v\n%s\n%s", seed, err, strings.Join(s.Transcript(), "\n"), s.Text())
	}
	return s.Transcript()
}
