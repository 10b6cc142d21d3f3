package feature

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// baseOf is the base of a stored head.
func baseOf(t *testing.T, st state.Store, v *view, user string) *entry {
	t.Helper()
	key := event.StringOf(user)
	prefix := appendKeyValue(appendPrefix(nil, v.id), &key)
	sealPrefix(prefix)
	snap := st.Snapshot()
	defer snap.Close()
	b, err := snap.Get(headKey(nil, string(prefix)), nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := decodeHead(b)
	if err != nil || h.root == nil {
		t.Fatalf("%+v, %v", h, err)
	}
	return h.root.base
}

// TestTrimLargeBase: rows stay if their sum would take too much.
func TestTrimLargeBase(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(5, 33))
	plan := testPlan(t, trimPipeline("10m", []string{"list: {collect_list: n, limit: 10000}", `n: {count: "*"}`, "sum_1m: {sum: n, window: 1m}"}))
	records := randomEvents(rng, plan, 10000, 1, 1)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	for len(given(s, plan.Sources[0], records)) < len(records) {
		feed(ctx, t, rng, s, plan, records, 1000)
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
	}
	b := baseOf(t, st, s.views[0], "u0")
	if b == nil || b.size() > maxBase || b.size() < maxBase*3/4 || b.rows+s.Stats().Stored[0].Rows != s.Stats().Views[0].Applied {
		t.Fatalf("%d bytes in the base, %+v", b.size(), s.Stats().Stored[0])
	}
	compareLate(t, rng, s, s.NewReader(), plan, records, 0, 3)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	x, err := Inspect(st)
	if err != nil || x.Views[0].Trimmed != b.rows {
		t.Errorf("%+v, %v", x.Views, err)
	}
}

// TestTrimmedPast: a cut of long ago, which this process did not make, is not answered by a part of its rows.
func TestTrimmedPast(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(6, 33))
	plan := testPlan(t, trimPipeline("10m", []string{"life: {sum: n}", "sum_1m: {sum: n, window: 1m}"}))
	records := randomEvents(rng, plan, 4000, 1, 1)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	feed(ctx, t, rng, s, plan, records, 4000)
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	sel, err := s.Select(Selection{View: "all"})
	if err != nil {
		t.Fatal(err)
	}
	var out Vector
	at := Instant{AsOf: event.MaxTime}
	key := []event.Value{event.StringOf("u0")}
	if err := cut.NewReader().Read(ctx, sel, key, nil, at, &out); err != nil {
		t.Fatal(err)
	}
	cut.offsets[s.sources[0]][0] = 100
	if err := cut.NewReader().Read(ctx, sel, key, nil, at, &out); !errors.Is(err, ErrTrimmed) {
		t.Errorf("a cut before what was trimmed answers %v, %v", out.Values, err)
	}
	cut.minWM[s.sources[0]] = event.MaxTime // no instant is answered
	if err := cut.NewReader().Read(ctx, sel, key, nil, Instant{AsOf: 0}, &out); err != nil || out.Status[0] != BeforeHistory {
		t.Errorf("before the horizon: %v, %v", out.Status, err)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
