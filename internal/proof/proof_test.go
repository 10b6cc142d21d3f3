package proof

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-ml/penstock/internal/oracle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seeds are those of a test: PENSTOCK_SEED alone if it is set, else n of them, or PENSTOCK_SEEDS.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if s := os.Getenv("PENSTOCK_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	if s := os.Getenv("PENSTOCK_SEEDS"); s != "" {
		many, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		n = max(n, many)
	}
	var out []uint64
	for i := range n {
		out = append(out, uint64(i))
	}
	return out
}

// perCase is how many pairs one random pipeline has a feature of.
const perCase = 24

// cases is how many pipelines it takes to have every pair.
func cases() int { return (len(Pairs(0)) + perCase - 1) / perCase }

// pairsOf are the pairs of the pipeline of a seed: the deck is dealt once every cases() seeds.
func pairsOf(seed uint64) []Pair {
	n := uint64(cases())
	deck := Pairs(seed / n)
	i := int(seed % n)
	return deck[i*perCase : min((i+1)*perCase, len(deck))]
}

// TestOracle: random pipelines over random events, counted with crashes and restarts, answer what the oracle
// does, from memory and from cuts.
func TestOracle(t *testing.T) {
	n := cases() * 5 / 4 // some kinds of views are read by others only now and then
	if testing.Short() {
		n = 4
	}
	had, ran := map[string]bool{}, 0 // -run may leave seeds out
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			ran++
			c := oracleCase(t, seed)
			maps.Copy(had, c.Has)
		})
	}
	if testing.Short() || os.Getenv("PENSTOCK_SEED") != "" || ran < n {
		return
	}
	// Everything that the grammar knows was there.
	for _, what := range Needed() {
		if !had[what] {
			t.Errorf("no pipeline had this: %s", what)
		}
	}
}

func oracleCase(t *testing.T, seed uint64) *Case {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("PENSTOCK_SEED=%d replays this", seed)
	c, err := Random(rng, t.TempDir(), Options{
		Pairs: pairsOf(seed), Kinds: KindsOf(seed), Order: rng.IntN(2) == 0, Brief: [2]bool{rng.IntN(2) == 0, false},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log(c.Text)
		}
	}()
	records := Records(rng, c.Plan, Stream{
		Records: pick(rng, []int{30, 200, 600, 900}), Partitions: 1 + rng.IntN(3), Users: pick(rng, []int{1, 2, 6}),
		Copies: pick(rng, []float64{0, 0.1, 0.6}),
	})
	whole := oracle.IngestAll(c.Plan, records)
	disk := &Memory{}
	if rng.IntN(2) == 0 {
		disk.Entries, disk.Bytes = 12, 300<<10
	}
	run := Run{Shards: pick(rng, []int{1, 2, 8}), Batch: pick(rng, []int{1, 10, 300}), Restarts: rng.IntN(4), Flushes: rng.IntN(3) > 0, Sweeps: rng.IntN(2) == 0}
	s, st, err := run.Count(ctx, rng, disk, c.Plan, records)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkCounts(s, whole, records, true); err != nil {
		t.Error(err)
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range whole.Views {
		ask := Questions(rng, x, 10)
		if err := check(ctx, s, s.NewReader(), whole, x, ask); err != nil {
			t.Errorf("memory: %v", err)
		}
		if err := check(ctx, s, cut.NewReader(), whole, x, ask[:4]); err != nil {
			t.Errorf("cut: %v", err)
		}
	}
	cut.Close()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDecks: a deck has each pair and each kind once, for any seed, and four decks have each pair with a map.
func TestDecks(t *testing.T) {
	var sorted [][]string
	by := map[string]int{}
	for seed := range uint64(4) {
		var names []string
		for _, p := range Pairs(seed) {
			names = append(names, p.String())
			if p.By {
				by[p.String()]++
			}
		}
		for _, k := range Kinds(seed, true) {
			names = append(names, k.String())
		}
		slices.Sort(names)
		if sorted = append(sorted, names); !slices.Equal(names, sorted[0]) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("the deck of seed %d has not each once", seed)
		}
	}
	for _, p := range Pairs(0) {
		if n := by[p.String()]; n != 1 {
			t.Errorf("%d of four decks have %s with a map", n, p)
		}
	}
}
