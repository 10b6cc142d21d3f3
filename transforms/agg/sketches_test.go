package agg

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/axiomhq/hyperloglog"

	"github.com/penstock-ml/penstock/event"
)

func newSketch(t testing.TB, kind Kept, in event.Type, accuracy float64) keeper {
	t.Helper()
	return newKeeper(&Group{Type: in, Filter: -1, Keeps: Structure{Kind: kind, Accuracy: accuracy}})
}

// distinctOf is a sketch of the strings "0" to "n-1" behind a prefix.
func distinctOf(t testing.TB, prefix string, n int) *distinct {
	k := newSketch(t, KeepSketchDistinct, event.Type{Kind: event.String}, 0).(*distinct)
	for i := range n {
		k.add(event.StringOf(fmt.Sprint(prefix, i)), event.Value{}, nil)
	}
	return k
}

// Few values are counted exactly; of many, the errors have the standard deviation that Error states.
func TestApproxDistinctError(t *testing.T) {
	for _, n := range []int{1, 10, 100, 500, 1000} {
		for trial := range 20 {
			got := distinctOf(t, fmt.Sprint("few ", trial, " "), n).answer(nil, nil, At{}).Long()
			if d := got - int64(n); d < -1 || d > 1 {
				t.Errorf("%d values are about %d", n, got)
			}
		}
	}
	const stated = 1.04 / 64
	many := []int{1100, 5000, 12_000}
	if os.Getenv("PENSTOCK_FULL") != "" {
		many = append(many, 2000, 40_000, 150_000)
	}
	for _, n := range many {
		trials, sum, squares := 24, 0.0, 0.0
		for trial := range trials {
			got := distinctOf(t, fmt.Sprint("many ", trial, " "), n).answer(nil, nil, At{}).Long()
			e := float64(got)/float64(n) - 1
			sum, squares = sum+e, squares+e*e
			if math.Abs(e) > 4*stated {
				t.Errorf("%d values are about %d", n, got)
			}
		}
		if bias := sum / float64(trials); math.Abs(bias) > 3*stated/math.Sqrt(float64(trials)) {
			t.Errorf("%d values: biased by %.4f", n, bias)
		}
		if deviation := math.Sqrt(squares / float64(trials)); deviation > 1.6*stated {
			t.Errorf("%d values: a standard error of %.4f, stated is %.4f", n, deviation, stated)
		}
	}
}

// The library's registers are ours: one hash, one register. Its estimate is another, and near.
func TestApproxDistinctAsTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	for _, n := range []int{0, 1, 700, 1024, 1025, 3000, 20_000, 300_000} {
		ours := newSketch(t, KeepSketchDistinct, event.Type{Kind: event.String}, 0).(*distinct)
		theirs, err := hyperloglog.NewSketch(sketchBits, false)
		if err != nil {
			t.Fatal(err)
		}
		tops := map[uint64]bool{}
		for range n {
			h := r.Uint64()
			if r.IntN(8) == 0 {
				h &= math.MaxUint64 >> r.IntN(64) // many leading zeros, in registers and behind them
			}
			tops[h>>restBits] = true
			ours.addHash(h)
			theirs.InsertHash(h)
		}
		ours.tidy()
		if few := len(ours.registers) == 0; few != (len(tops) <= sparseEntries) {
			t.Errorf("after %d values there are %d entries and %d registers", n, len(ours.entries), len(ours.registers))
		}
		ours.toRegisters()
		enc, err := theirs.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if regs := enc[8:]; !slices.Equal(regs, ours.registers) {
			t.Fatalf("the registers of %d values differ", n)
		}
		got, want := ours.estimate(), float64(theirs.Estimate())
		if math.Abs(got-want) > 0.02*want+1 {
			t.Errorf("%d values are about %.0f, for the library %.0f", n, got, want)
		}
	}
}

func TestApproxDistinctIsSmall(t *testing.T) {
	for n, most := range map[int]int{0: 2, 1: 6, 10: 42, 512: 1600, 1024: 3100, 1025: 2100, 100_000: 2100, 1_000_000: 2150} {
		if size := len(distinctOf(t, "", n).append(nil)); size > most {
			t.Errorf("a sketch of %d values takes %d bytes, want at most %d", n, size, most)
		}
	}
}

// distributions that quantiles are asked of.
var distributions = map[string]func(r *rand.Rand) float64{
	"uniform":      func(r *rand.Rand) float64 { return r.Float64() * 1000 },
	"normal":       func(r *rand.Rand) float64 { return r.NormFloat64() },
	"lognormal":    func(r *rand.Rand) float64 { return math.Exp(3 * r.NormFloat64()) },
	"heavy tail":   func(r *rand.Rand) float64 { return math.Pow(1-r.Float64(), -2) },
	"two sides":    func(r *rand.Rand) float64 { return math.Copysign(r.ExpFloat64(), r.NormFloat64()) },
	"few values":   func(r *rand.Rand) float64 { return float64(r.IntN(5)) },
	"one value":    func(*rand.Rand) float64 { return 0.1 },
	"powers":       func(r *rand.Rand) float64 { return math.Ldexp(1, r.IntN(2000)-1000) },
	"wild":         func(r *rand.Rand) float64 { return drawDouble(r, "wild").Double() },
	"infinities":   func(r *rand.Rand) float64 { return drawDouble(r, "both").Double() },
	"near an edge": func(r *rand.Rand) float64 { return math.Nextafter(64, float64(r.IntN(3)*64)) },
}

var someQuantiles = []float64{0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1}

// The answers lie within the stated accuracy of the exact ones.
func TestQuantileError(t *testing.T) {
	for name, next := range distributions {
		for _, accuracy := range []float64{leastAccuracy, 0.01, 0.05, mostAccuracy} {
			for _, n := range []int{1, 2, 7, 100, 5000} {
				r := rand.New(rand.NewPCG(uint64(n), uint64(accuracy*1e6)))
				k := newSketch(t, KeepQuantiles, event.Type{Kind: event.Double}, accuracy).(*quantiles)
				xs := make([]float64, n)
				for i := range xs {
					xs[i] = next(r)
					k.add(event.DoubleOf(xs[i]), event.Value{}, nil)
				}
				slices.Sort(xs)
				for _, q := range someQuantiles {
					want, got := xs[int(math.Floor(q*float64(n-1)))], k.quantile(q)
					if !within(got, want, accuracy) {
						t.Fatalf("%s: quantile %v of %d values is %v, want within %v of %v", name, q, n, got, accuracy, want)
					}
				}
				if got, want := [2]float64{k.quantile(0), k.quantile(1)}, [2]float64{xs[0], xs[n-1]}; got != want {
					t.Errorf("%s: the ends of %d values are %v, want %v", name, n, got, want)
				}
			}
		}
	}
}

// within tells whether got is as near to want as accuracy says; below the normal numbers, half a unit more.
func within(got, want, accuracy float64) bool {
	if got == want || math.IsNaN(got) && math.IsNaN(want) {
		return true
	}
	limit := accuracy * math.Abs(want) * (1 + 1e-10)
	if math.Abs(want) < 0x1p-1022 {
		limit += math.SmallestNonzeroFloat64
	}
	return math.Abs(got-want) <= limit
}

// Every double is within the accuracy of its bucket's middle, and buckets ascend.
func FuzzBuckets(f *testing.F) {
	for _, x := range []float64{1, 1.5, math.Pi, math.MaxFloat64, math.SmallestNonzeroFloat64, 0x1p-1022, 1e-310} {
		f.Add(x, 0.01)
	}
	f.Fuzz(func(t *testing.T, x, accuracy float64) {
		x = math.Abs(x)
		if !(accuracy >= leastAccuracy && accuracy <= mostAccuracy) || x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
			return
		}
		k := newSketch(t, KeepQuantiles, event.Type{Kind: event.Double}, accuracy).(*quantiles)
		i := k.bucketOf(x)
		if got := k.middle(i); !within(got, x, accuracy) {
			t.Fatalf("the middle of the bucket of %v is %v, not within %v", x, got, accuracy)
		}
		if y := math.Nextafter(x, math.Inf(1)); !math.IsInf(y, 0) && k.bucketOf(y) < i {
			t.Fatalf("%v is in bucket %d, the next double in %d", x, i, k.bucketOf(y))
		}
	})
}

// The library answers about the same.
func TestQuantilesAsTheLibrary(t *testing.T) {
	for _, name := range []string{"uniform", "normal", "lognormal", "heavy tail", "two sides", "few values"} {
		r := rand.New(rand.NewPCG(1, 2))
		theirs, err := ddsketch.NewDefaultDDSketch(0.01)
		if err != nil {
			t.Fatal(err)
		}
		ours := newSketch(t, KeepQuantiles, event.Type{Kind: event.Double}, 0.01).(*quantiles)
		for range 10_000 {
			x := distributions[name](r)
			if err := theirs.Add(x); err != nil {
				t.Fatal(err)
			}
			ours.add(event.DoubleOf(x), event.Value{}, nil)
		}
		for _, q := range someQuantiles {
			want, err := theirs.GetValueAtQuantile(q)
			if err != nil {
				t.Fatal(err)
			}
			// Each is within 1 % of the same value, or of one a rank away at most.
			if got := ours.quantile(q); math.Abs(got-want) > 0.0202*math.Abs(want) {
				t.Errorf("%s: quantile %v is %v, for the library %v", name, q, got, want)
			}
		}
		var enc []byte
		theirs.Encode(&enc, true)
		if got := len(ours.append(nil)); got > 2*len(enc)+20 {
			t.Errorf("%s: %d bytes, the library's %d", name, got, len(enc))
		}
	}
}

func TestQuantilesAreSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	k := newSketch(t, KeepQuantiles, event.Type{Kind: event.Double}, 0.01).(*quantiles)
	for n := 1; n <= 100_000; n++ {
		k.add(event.DoubleOf(distributions["lognormal"](r)), event.Value{}, nil)
		if most, ok := map[int]int{1: 15, 10: 60, 100: 330, 1000: 1100, 10_000: 2200, 100_000: 3200}[n]; ok {
			if size := len(k.append(nil)); size > most {
				t.Errorf("%d values take %d bytes, want at most %d", n, size, most)
			}
		}
	}
}

// The buckets of a few values, on every machine.
func TestBucketsAreStable(t *testing.T) {
	k := newSketch(t, KeepQuantiles, event.Type{Kind: event.Double}, 0.01).(*quantiles)
	for _, c := range []struct {
		x      float64
		bucket int32
		middle string
	}{
		{1, 0, "3ff028c233482979"},
		{100, 249, "4059267757642edc"},
		{0.001, -374, "3f507a7a3668a9c3"},
		{math.MaxFloat64, 38398, "7fefdc02b5ce3a65"},
		{math.SmallestNonzeroFloat64, -40274, "0000000000000001"},
	} {
		i := k.bucketOf(c.x)
		if got := fmt.Sprintf("%016x", math.Float64bits(k.middle(i))); i != c.bucket || got != c.middle {
			t.Errorf("%v is in bucket %d around %s, want %d around %s", c.x, i, got, c.bucket, c.middle)
		}
	}
}

func TestLog2(t *testing.T) {
	for i := -1074; i < 1024; i++ {
		if got := log2(math.Ldexp(1, i)); got != float64(i) {
			t.Errorf("log2 of 2^%d is %v", i, got)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		x := math.Abs(drawDouble(r, "wild").Double())
		if r.IntN(2) == 0 {
			x = 1 + (r.Float64()-0.5)*math.Ldexp(1, -r.IntN(50))
		}
		if x == 0 {
			continue
		}
		got, want := log2(x), math.Log1p(x-1)/math.Ln2
		if x < 0.5 || x > 2 {
			want = math.Log2(x)
		}
		if math.Abs(got-want) > 6e-16*math.Abs(want) {
			t.Fatalf("log2 of %v is %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float64]uint64{3: 0x3ff95c01a39fbd69, 0.1: 0xc00a934f0979a371, 1e300: 0x408f24a09f1a8b89} {
		if got := math.Float64bits(log2(x)); got != want {
			t.Errorf("log2 of %v is %016x, want %016x: is a product fused?", x, got, want)
		}
	}
}

// Two values whose hashes are equal are two values all the same.
func TestBoundedWithEqualHashes(t *testing.T) {
	b := newBounded(event.Type{Kind: event.Long}, 4)
	for i := range int32(4) {
		slot, fresh, _ := b.place(atom{num: int64(i)})
		if slot != i || !fresh {
			t.Fatalf("%d is in slot %d", i, slot)
		}
	}
	// As if all hashes were those of the first.
	clear(b.index)
	for i := range b.slots {
		b.slots[i].hash, b.slots[i].next = 7, b.index[7]
		b.index[7] = int32(i) + 1
	}
	for _, i := range []int32{2, 0, 3, 1} {
		b.unlink(i)
		n := 0
		for at := b.index[7]; at != 0; at = b.slots[at-1].next {
			if at == i+1 {
				t.Errorf("slot %d is still linked", i)
			}
			n++
		}
		if n != 3 {
			t.Errorf("%d slots are left, want 3", n)
		}
		b.fill(i, 7, atom{num: int64(i)})
	}
	b.heapify()
	if top := b.at(b.heap[0]).num; top != 3 {
		t.Errorf("of equal hashes %d would leave first, want the greatest value", top)
	}
}

// Of many values those of smallest hash are kept, with all their rows, in any order and split.
func TestManyValues(t *testing.T) {
	const limit, distinct = 1000, 20_000
	text := event.Type{Kind: event.String}
	all := make([]event.Value, distinct)
	for i := range all {
		all[i] = event.StringOf(fmt.Sprint("value ", i))
	}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, compareHashes)
	want := map[string]uint64{}
	for i, v := range sorted[:limit] {
		want[v.Str] = uint64(i%7 + 1)
	}
	r := rand.New(rand.NewPCG(6, 6))
	var whole []byte
	for range 3 {
		parts := make([]*values, 4)
		for i := range parts {
			parts[i] = newKeeper(&Group{Type: text, Keeps: Structure{Kind: KeepValues, Limit: limit}}).(*values)
		}
		for round := range 7 {
			r.Shuffle(distinct, func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, v := range all {
				if n, ok := want[v.Str]; !ok || uint64(round) < n {
					parts[r.IntN(4)].add(v, event.Value{}, nil)
				}
			}
		}
		for _, p := range parts[1:] {
			if err := parts[0].mergeEncoded(p.append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]uint64{}
		for i := range parts[0].set.slots {
			got[parts[0].set.at(int32(i)).str] = parts[0].counts[i]
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%d values are kept, want the %d of smallest hash with all their rows", len(got), len(want))
		}
		if enc := parts[0].append(nil); whole == nil {
			whole = enc
		} else if !slices.Equal(enc, whole) {
			t.Fatal("another order gives other bytes")
		}
	}
}

// FuzzValuesOfLeastHash: what is kept of longs in any order is what the rule says.
func FuzzValuesOfLeastHash(f *testing.F) {
	f.Add([]byte("abcabcd"), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, limit uint8) {
		in := event.Type{Kind: event.Long}
		l := &Layout{Groups: []Group{{Type: in, Filter: -1, Keeps: Structure{Kind: KeepValues, Limit: int(limit%9) + 1}}}}
		var rows []event.Row
		for i, x := range b[:min(len(b), 100)] {
			n := int64(x) % 32
			if i%5 == 0 {
				n = int64(binary.LittleEndian.Uint32([]byte{x, x, x, x}))
			}
			rows = append(rows, event.Row{Pos: event.Position{Offset: int64(i)}, Values: []event.Value{event.LongOf(n)}})
		}
		cut := len(rows) / 3
		p := merged(t, l, true, partialOf(l, rows[cut:]), partialOf(l, rows[:cut]))
		for _, fn := range []Func{Mode, CollectSet, CountDistinct, Frequent} {
			c := Call{Func: fn, K: 3}
			if got, want := p.Answer(&c, At{}).Value, naiveStructure(rows, l.Groups[0], c); got != want {
				t.Fatalf("%s is %s, want %s", fn, got, want)
			}
		}
	})
}
