package proof

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/internal/arm64"
	"github.com/penstock-ml/penstock/internal/oracle"
)

// sumsOf are the SHA-256 of what a whole deck of pipelines exports: every aggregate over every window.
func sumsOf(t *testing.T) string {
	var b strings.Builder
	for seed := range uint64(cases()) {
		rng, dir := rand.New(rand.NewPCG(seed, 5)), t.TempDir()
		c, err := Random(rng, dir, Options{Pairs: pairsOf(seed), Kinds: KindsOf(seed), Order: true, Long: true})
		if err != nil {
			t.Fatal(err)
		}
		records := Records(rng, c.Plan, Stream{Records: 200, Partitions: 2, Users: 2, Copies: 0.1})
		tables := exported(t, rng, c, variants[0], records, oracle.IngestAll(c.Plan, records), dir)
		for _, name := range slices.Sorted(maps.Keys(tables)) {
			fmt.Fprintf(&b, "seed %d, %s: %d bytes, %x\n", seed, name, len(tables[name]), sha256.Sum256(tables[name]))
		}
	}
	return b.String()
}

// TestSums prints the sums for TestSameBytesOnARM64.
func TestSums(t *testing.T) { arm64.Print(t, sumsOf) }

// TestSameBytesOnARM64: every aggregate over every window, with random expressions, filters and views, has the same
// bytes on this machine and on an emulated arm64 one.
func TestSameBytesOnARM64(t *testing.T) { arm64.Compare(t, "TestSums", sumsOf) }
