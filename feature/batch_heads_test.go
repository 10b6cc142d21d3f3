package feature

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// TestHeadWalk compares heads and blocks that are walked to with those that are looked up: of dense and of sparse
// keys, in order, in order again, and not, known and unknown.
func TestHeadWalk(t *testing.T) {
	const keys = 6000
	rng := rand.New(rand.NewPCG(1, 2))
	st := state.NewMemory()
	b := new(state.Batch)
	prefix := func(i int) string { return fmt.Sprintf("k%06d", i%keys) }
	for i := range keys {
		if rng.IntN(3) > 0 {
			b.Put(headKey(nil, prefix(i)), fmt.Append(nil, "head ", i))
		}
		for id := range rng.IntN(20) / 19 * 30 {
			b.Put(blockKey(nil, prefix(i), uint64(id)), fmt.Append(nil, "block ", id, " of ", i))
		}
	}
	if err := st.Commit(b); err != nil {
		t.Fatal(err)
	}
	c := &Cut{snap: &sharedSnapshot{Snapshot: st.Snapshot()}}
	defer c.snap.Close()
	same := func(key, got []byte, err error) {
		t.Helper()
		if want, wantErr := c.snap.Get(key, nil); !bytes.Equal(got, want) || !errors.Is(err, wantErr) {
			t.Fatalf("%s: got %q, %v, want %q, %v", key, got, err, want, wantErr)
		}
	}
	for _, most := range []int{2, 30, 300} {
		var w headWalk
		for i := range 15_000 {
			at := rng.IntN(keys)
			if i%5000 > 300 && rng.IntN(1000) > 0 {
				at = i * most / 2
			}
			at += rng.IntN(most)
			key := headKey(nil, prefix(at))
			if w.inOrder(key) {
				got, err := w.get(c, key)
				same(key, got, err)
			}
			for id := uint64(rng.IntN(40)); id < 40; id += uint64(1 + rng.IntN(10)) {
				key := blockKey(nil, prefix(at), id-uint64(rng.IntN(50)/49)*min(id, 5))
				got, err := w.block(c, key, nil)
				same(key, got, err)
			}
		}
		if !w.placed {
			t.Error("nothing was walked to: the test shows nothing")
		}
	}
}

const walkPipeline = `pipeline: walk
state: {memory: 64MiB, flush: 1h}
sources:
  e:
    kafka: {brokers: ["b:9092"], topic: e}
    schema: {file: e.avsc}
    time: ts
    ahead: 10m
entities:
  user: {user: string}
  number: {n: long}
views:
  texts:
    source: e
    entity: user
    features:
      last:  {last: user, window: 2h}
      first: {first: s}
      least: {min: s, window: 1h}
      list:  {collect_list: s, window: 3h, limit: 5}
      sum:   {sum: amount, window: 6h}
  sessions:
    source: e
    entity: user
    features:
      newest: {last: user, window: {session: 10m}}
      n:      {count: "*", last: 10}
  numbers:
    source: e
    entity: number
    columns:
      theirs: texts.last
    features:
      latest: {last: theirs, window: 3h}
      most:   {max: theirs, window: 6h}
      count:  {count: "*"}
feature_sets:
  texts: {entities: [user], features: [texts.last, texts.first, texts.least, texts.list, texts.sum, sessions.newest, sessions.n]}
  both:  {entities: [user, number], features: [texts.last, texts.list, numbers.latest, numbers.most, numbers.count]}
`

// TestWalkedReads compares a reader that walks over the state, and decodes each head where the one before was, with
// readers that read one row each: of one view and of several, in order, in order again, and not.
func TestWalkedReads(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(3, 14))
	plan := testPlan(t, walkPipeline)
	records := randomEvents(rng, plan, 6000, 3, 400)
	for i := range records[:2000] {
		records[rng.IntN(len(records))].Slots[0] = event.StringOf(fmt.Sprint("u", 300+i%3))
	}
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	for limit := 1000; limit <= len(records); limit += 1000 {
		feed(ctx, t, rng, s, plan, records, limit)
		if err := s.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := cut.NewReader()
	for _, set := range []string{"texts", "both", "texts"} {
		sel, err := cut.Select(Selection{Set: set})
		if err != nil {
			t.Fatal(err)
		}
		for turn := range 3 {
			readWalked(t, rng, cut, r, sel, turn < 2)
		}
		x := r.scratch[sel]
		for i := range x.views {
			if h := &x.views[i].index.heads; h.placed != (i == 0 || set == "texts") {
				t.Errorf("set %s, view %d: it was walked: %v", set, i, h.placed)
			}
		}
		if set == "texts" {
			continue
		}
		for _, parts := range cut.offsets { // again, at a cut before much of what is stored
			for num := range parts {
				parts[num] = parts[num] * 2 / 3
			}
		}
	}
	cut.Close()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// readWalked reads most entities at some instants, in the order of the state or not.
func readWalked(t *testing.T, rng *rand.Rand, cut *Cut, r *Reader, sel *Selector, inOrder bool) {
	t.Helper()
	type entity struct {
		name []byte
		keys []event.Value
	}
	var all []entity
	for i := range 450 {
		keys := []event.Value{event.StringOf(fmt.Sprint("u", i)), event.LongOf(rng.Int64N(1000) - 500)}[:len(sel.Keys)]
		all = append(all, entity{sel.AppendEntity(nil, keys), keys})
	}
	if inOrder {
		slices.SortFunc(all, func(a, b entity) int { return bytes.Compare(a.name, b.name) })
	} else {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	var got, want Vector
	for _, e := range all {
		var at []event.Time
		for range rng.IntN(4) {
			at = append(at, event.Time(1_700_000_000_000_000).Add(event.Duration(rng.Int64N(int64(event.Day)))))
		}
		slices.SortFunc(at, func(a, b event.Time) int { return cmp.Compare(a, b) })
		if len(at) > 0 {
			r.Expect(len(at), at[len(at)-1])
		}
		same := func(at Instant, got func(i int) (event.Value, Status)) {
			t.Helper()
			if err := cut.NewReader().Read(t.Context(), sel, e.keys, nil, at, &want); err != nil {
				t.Fatal(err)
			}
			for i := range want.Values {
				if v, st := got(i); v != want.Values[i] || st != want.Status[i] {
					t.Fatalf("%s of %v as of %s (as served: %v): got %+v %v, want %+v %v", sel.Columns[i].Name, e.keys, at.AsOf, at.AsServed, v, st, want.Values[i], want.Status[i])
				}
			}
		}
		if rng.IntN(2) == 0 && len(at) > 0 {
			run, err := r.ReadRun(t.Context(), sel, e.name, nil, at)
			if err != nil {
				t.Fatal(err)
			}
			for k, t0 := range at {
				same(Instant{AsOf: t0}, func(i int) (event.Value, Status) { return run.Corrected.Values[i][k], run.Corrected.Status[i][k] })
				if run.Later[k] {
					same(Instant{AsOf: t0, AsServed: true}, func(i int) (event.Value, Status) { return run.Served.Values[i][k], run.Served.Status[i][k] })
				}
			}
			continue
		}
		for _, t0 := range at {
			at := Instant{AsOf: t0, AsServed: rng.IntN(2) == 0}
			if err := r.Read(t.Context(), sel, e.keys, nil, at, &got); err != nil {
				t.Fatal(err)
			}
			same(at, func(i int) (event.Value, Status) { return got.Values[i], got.Status[i] })
		}
	}
}

// TestLeafMemory: what is held of an entity stays as it was while more is read, and nothing is held of the one before.
func TestLeafMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 7))
	var m leafMemory
	for range 20 {
		m.reset()
		want, out := map[uint64][]byte{}, 0
		for id := range uint64(rng.IntN(200)) {
			block := bytes.Repeat([]byte{byte(rng.IntN(256))}, 1+rng.IntN(20<<10))
			got := append(m.room(), block...)
			if m.keep(id, got, got[1:]) {
				want[id] = block[1:]
			} else {
				out += len(block)
			}
			if held := cap(m.buf); held > leafMemoryMax || out > 0 && held < leafMemoryMax {
				t.Fatalf("%d bytes are held, and %d were not", held, out)
			}
		}
		if len(m.leaves) != len(want) {
			t.Fatalf("%d leaves are held, want %d", len(m.leaves), len(want))
		}
		for id, rows := range want {
			if !bytes.Equal(m.leaves[id], rows) {
				t.Fatalf("leaf %d changed", id)
			}
		}
	}
}
