package proof

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// variant is another way to count the same set of rows.
type variant struct {
	name       string
	partitions int // 0: as they are
	shuffled   bool
	badger     bool
	run        Run
}

var variants = []variant{
	{name: "one goroutine, one batch", run: Run{Shards: 1, Batch: 1 << 20}},
	{name: "two goroutines, small batches", run: Run{Shards: 2, Batch: 7, Flushes: true, Sweeps: true}},
	{name: "eight goroutines, restarts", run: Run{Shards: 8, Batch: 60, Restarts: 4, Flushes: true, Sweeps: true}},
	{name: "shuffled", shuffled: true, run: Run{Shards: 2, Batch: 100, Flushes: true}},
	{name: "one partition", partitions: 1, run: Run{Shards: 8, Batch: 30}},
	{name: "seven partitions, shuffled, restarts", partitions: 7, shuffled: true, run: Run{Shards: 2, Batch: 50, Restarts: 2, Flushes: true}},
	{name: "on disk, restarts", badger: true, run: Run{Shards: 2, Batch: 100, Restarts: 2, Flushes: true, Sweeps: true}},
	{name: "on disk, shuffled", badger: true, partitions: 3, shuffled: true, run: Run{Shards: 8, Batch: 500}},
}

// TestSameBytes: the same set of rows, none of them late, shuffled, in other batches and partitions, over any
// number of goroutines, in memory and on disk, with restarts and sweeps in between, gives byte-equal exports.
// Where history is short, and so what is late depends on positions, the same holds but for shuffles and
// partitions.
func TestSameBytes(t *testing.T) {
	n := 2
	if os.Getenv("PENSTOCK_FULL") != "" {
		n = 3
	}
	for _, seed := range seeds(t, n) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { sameBytes(t, seed, seed%3 == 1) })
	}
}

func sameBytes(t *testing.T, seed uint64, brief bool) {
	rng := rand.New(rand.NewPCG(seed, 2))
	t.Logf("PENSTOCK_SEED=%d replays this", seed)
	var pairs []Pair
	for i := range uint64(2) {
		pairs = append(pairs, pairsOf(2*seed+i)...)
	}
	dir := t.TempDir()
	c, err := Random(rng, dir, Options{Pairs: pairs, Kinds: KindsOf(seed), Order: true, Long: !brief, Brief: [2]bool{brief, brief}})
	if err != nil {
		t.Fatal(err)
	}
	records := Records(rng, c.Plan, Stream{Records: 500, Partitions: 2, Users: 3, Copies: pick(rng, []float64{0, 0.3}), Tame: true})
	whole := oracle.IngestAll(c.Plan, records)
	for _, feed := range whole.View("v0").Feeds {
		if !brief && feed.Counts[oracle.Late]+feed.Counts[oracle.Dead] > 0 {
			t.Fatalf("view v0: %v: the test shows less than it should", feed.Counts)
		}
	}
	for _, x := range whole.Views {
		if !brief { // the horizon depends on partitions: nothing is asked near it
			x.Horizon = event.MinTime
		}
	}
	var first map[string][]byte
	for _, v := range variants {
		if brief && (v.shuffled || v.partitions > 0) {
			continue
		}
		got := exported(t, rng, c, v, records, whole, dir)
		if first == nil {
			first = got
		}
		for name, b := range got {
			if !bytes.Equal(b, first[name]) {
				t.Errorf("%s: %s differs from that of %s:\n%s", v.name, name, variants[0].name, firstDifference(first[name], b))
			}
		}
		if t.Failed() {
			t.Fatal(c.Text)
		}
	}
}

// rearranged is the same set of rows at other positions.
func (v variant) rearranged(rng *rand.Rand, records []oracle.Record) []oracle.Record {
	out := append([]oracle.Record(nil), records...)
	if v.shuffled {
		rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	if !v.shuffled && v.partitions == 0 {
		return out
	}
	type partition struct {
		source uint16
		num    int32
	}
	next := map[partition]int64{}
	for i := range out {
		r := &out[i]
		if v.partitions > 0 {
			r.Partition = int32(rng.IntN(v.partitions))
		}
		p := partition{r.Source, r.Partition}
		r.Offset = next[p]
		next[p]++
	}
	return out
}

// exported counts the records as the variant says and exports every view, as of and as served.
func exported(t *testing.T, rng *rand.Rand, c *Case, v variant, records []oracle.Record, whole *oracle.Whole, dir string) map[string][]byte {
	t.Helper()
	ctx := t.Context()
	var disk Disk = &Memory{}
	if v.badger {
		disk = Directory(filepath.Join(dir, fmt.Sprint("state ", v.name)))
	}
	s, st, err := v.run.Count(ctx, rng, disk, c.Plan, v.rearranged(rng, records))
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	out := map[string][]byte{}
	for _, x := range whole.Views {
		spine := filepath.Join(dir, x.View.Name+".csv")
		if _, err := os.Stat(spine); err != nil {
			writeSpine(t, spine, Questions(rng, x, 30), x.View)
		}
		for _, served := range []bool{false, true} {
			name := fmt.Sprintf("view %s, as served %v", x.View.Name, served)
			path := filepath.Join(dir, "out.csv")
			if _, err := export.FromStore(ctx, s, export.Request{
				Selection: feature.Selection{View: x.View.Name}, Spine: spine, Out: path, AsServed: served, WithStatus: true, Force: true,
			}); err != nil {
				t.Fatalf("%s: export %s: %v", v.name, name, err)
			}
			if out[name], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// writeSpine writes questions as a spine.
func writeSpine(t *testing.T, path string, ask []Question, v *pipeline.View) {
	t.Helper()
	var b bytes.Buffer
	for _, k := range v.Entity.Keys {
		b.WriteString(k.Name + ",")
	}
	b.WriteString("event_time\n")
	for _, q := range ask {
		if slices.ContainsFunc(q.Key, func(k event.Value) bool { return k.Str == "" && k.Kind == event.String }) {
			continue // CSV has no word for it
		}
		for _, k := range q.Key {
			fmt.Fprintf(&b, "%s,", k)
		}
		b.WriteString(max(q.AsOf, event.FromGo(event.Time(0).Go().AddDate(-1960, 0, 0))).String() + "\n")
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// firstDifference is the first line that differs of two texts, and both.
func firstDifference(a, b []byte) string {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			p, q := bytes.Split(x[i], []byte(",")), bytes.Split(y[i], []byte(","))
			head := bytes.Split(x[0], []byte(","))
			for j := range min(len(p), len(q), len(head)) {
				if !bytes.Equal(p[j], q[j]) {
					return fmt.Sprintf("line %d, near %s: %s, and %s\n%s\n%s", i+1, head[j], p[j], q[j], x[i], y[i])
				}
			}
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}
