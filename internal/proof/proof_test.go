package proof

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"
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
	n := cases()
	if testing.Short() {
		n = 4
	}
	made, ran := map[Pair]bool{}, 0 // -run may leave seeds out
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			ran++
			c := oracleCase(t, seed)
			for p := range c.Pairs {
				made[p] = true
			}
		})
	}
	if testing.Short() || os.Getenv("PENSTOCK_SEED") != "" || ran < n {
		return
	}
	// Everything that the grammar knows was there.
	for _, p := range Pairs(0) {
		if !made[p] {
			t.Errorf("no pipeline had %s over the window %q", p.Aggregate, p.Window)
		}
	}
}

func oracleCase(t *testing.T, seed uint64) *Case {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("PENSTOCK_SEED=%d replays this", seed)
	c, err := Random(rng, t.TempDir(), Options{Pairs: pairsOf(seed), Order: rng.IntN(2) == 0})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log(c.Text)
		}
	}()
	records := Records(rng, c.Plan.Sources[0], Stream{
		Records: pick(rng, []int{30, 200, 600, 900}), Partitions: 1 + rng.IntN(3), Users: pick(rng, []int{1, 2, 6}),
	})
	ins := byView(c.Plan, records)
	disk := &Memory{}
	if rng.IntN(2) == 0 {
		disk.Entries, disk.Bytes = 8, 300<<10
	}
	run := Run{Shards: pick(rng, []int{1, 2, 8}), Batch: pick(rng, []int{1, 10, 300}), Restarts: rng.IntN(4), Flushes: rng.IntN(3) > 0}
	s, st, err := run.Count(ctx, rng, disk, c.Plan, records)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkCounts(s, ins, len(records)); err != nil {
		t.Error(err)
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ins {
		ask := questions(rng, &ins[i], 10)
		if err := check(ctx, s, s.NewReader(), &ins[i], ask); err != nil {
			t.Errorf("memory: %v", err)
		}
		if err := check(ctx, s, cut.NewReader(), &ins[i], ask[:4]); err != nil {
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

// TestPairsAreOnes: the deck has each pair once, for any seed.
func TestPairsAreOnes(t *testing.T) {
	a, b := Pairs(0), Pairs(7)
	less := func(x, y Pair) int {
		return slices.Compare([]string{x.Aggregate, x.Window}, []string{y.Aggregate, y.Window})
	}
	slices.SortFunc(a, less)
	slices.SortFunc(b, less)
	if !slices.Equal(a, b) || len(slices.Compact(a)) != len(b) {
		t.Error("two decks differ")
	}
}
