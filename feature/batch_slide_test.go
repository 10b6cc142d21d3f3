package feature

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// TestSlide compares windows that slide from instant to instant with readers that meet each instant for the first
// time, bit for bit: random features in both pasts, at the cut as it was made and at one that lies before much of
// what is stored.
func TestSlide(t *testing.T) {
	for _, x := range []struct {
		seed    uint64
		records int
	}{{1, 2000}, {2, 300}, {3, 4000}} {
		t.Run(fmt.Sprint("seed", x.seed), func(t *testing.T) {
			ctx := t.Context()
			rng := rand.New(rand.NewPCG(x.seed, 1))
			plan := testPlan(t, testPipeline)
			records := randomEvents(rng, plan, x.records, 3, 2)
			tie(rng, plan, records)
			st := state.NewMemory()
			defer st.Close()
			s := testOpen(t, st, plan, 2)
			for limit := x.records / 6; limit < len(records); limit += x.records / 6 {
				feed(ctx, t, rng, s, plan, records, limit)
				if err := s.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
			feed(ctx, t, rng, s, plan, records, len(records))
			cut, err := s.Cut(ctx)
			if err != nil {
				t.Fatal(err)
			}
			compareSlides(t, rng, cut, records)
			for _, parts := range cut.offsets {
				for num := range parts {
					parts[num] = parts[num] * 2 / 3
				}
			}
			compareSlides(t, rng, cut, records)
			cut.Close()
			if err := s.Close(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestSlideTrimmed: lifetimes that begin with what was trimmed slide to the same answers.
func TestSlideTrimmed(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(7, 33))
	plan := testPlan(t, trimPipeline("10m", []string{
		"life: {sum: n}", `n: {count: "*"}`, "last: {last: s}", "sum_1m: {sum: n, window: 1m}", "max_5m: {max: amount, window: 5m}", "last_1h: {last: s, window: 1h}",
	}))
	records := randomEvents(rng, plan, 6000, 1, 2)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	feed(ctx, t, rng, s, plan, records, len(records))
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if baseOf(t, st, s.views[0], "u1") == nil {
		t.Fatal("nothing was trimmed: the test shows nothing")
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	compareSlides(t, rng, cut, records[len(records)*19/20:])
	cut.Close()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// tie makes many events of one instant.
func tie(rng *rand.Rand, plan *pipeline.Plan, records []oracle.Record) {
	ts := slices.IndexFunc(plan.Sources[0].Columns, func(c pipeline.Column) bool { return c.Name == "ts" })
	for i := range records {
		if v := &records[i].Slots[ts]; !v.IsNull() && rng.IntN(2) == 0 {
			*v = event.TimestampOf(v.Time() / Time60 * Time60)
		}
	}
}

func compareSlides(t *testing.T, rng *rand.Rand, cut *Cut, records []oracle.Record) {
	t.Helper()
	with := cut.NewReader()
	slid := 0
	var names []string
	for _, f := range cut.s.byName["all"].plan.Features {
		names = append(names, f.Name)
	}
	for i := range 16 {
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		sel, err := cut.Select(Selection{View: "all", Features: slices.Clone(names[:1+i%6])})
		if err != nil {
			t.Fatal(err)
		}
		var at []event.Time
		for range 1 + rng.IntN(60) {
			x := records[rng.IntN(len(records)/(1+3*rng.IntN(2)))].Arrival
			at = append(at, x.Add(event.Duration(rng.Int64N(3)-1)-event.Duration(rng.IntN(6)/5*int(event.Day))))
		}
		slices.Sort(at)
		by := cut.NewReader() // that does not know what it is to expect
		if i%4 > 0 {
			by = with
			with.Expect(len(at), at[len(at)-1])
		}
		slid += compareRun(t, rng, by, sel, fmt.Sprint("u", rng.IntN(2)), at)
	}
	if slid < 50 {
		t.Errorf("%d reads slid: the test shows little", slid)
	}
}

// compareRun reads an entity at some instants, in some calls; it tells at how many windows slid.
func compareRun(t *testing.T, rng *rand.Rand, with *Reader, sel *Selector, user string, instants []event.Time) (slid int) {
	t.Helper()
	key := []event.Value{event.StringOf(user)}
	var got, want Vector
	for len(instants) > 0 {
		n := 1 + rng.IntN(len(instants))
		run, err := with.ReadRun(t.Context(), sel, sel.AppendEntity(nil, key), nil, instants[:n])
		if err != nil {
			t.Fatal(err)
		}
		sc := &with.scratch[sel].views[0]
		if sc.slider.on && len(sc.slider.calls) > 0 {
			slid += n
		}
		for k, t0 := range instants[:n] {
			at := Instant{AsOf: t0}
			if err := with.cut.NewReader().Read(t.Context(), sel, key, nil, at, &want); err != nil {
				t.Fatal(err)
			}
			run.Corrected.row(k, &got)
			sameAnswers(t, sel, user, at, &got, &want)
			at.AsServed = true
			if !run.Later[k] && !want.Later {
				continue
			}
			if err := with.cut.NewReader().Read(t.Context(), sel, key, nil, at, &want); err != nil {
				t.Fatal(err)
			}
			if run.Later[k] { // else the two pasts must be one, though rows outside the windows came late
				run.Served.row(k, &got)
			}
			sameAnswers(t, sel, user, at, &got, &want)
		}
		instants = instants[n:]
	}
	return slid
}

// row is row k.
func (v *Vectors) row(k int, out *Vector) {
	out.Values, out.Status, out.EventTime = out.Values[:0], out.Status[:0], out.EventTime[:0]
	for c := range v.Values {
		out.Values, out.Status, out.EventTime = append(out.Values, v.Values[c][k]), append(out.Status, v.Status[c][k]), append(out.EventTime, v.EventTime[c][k])
	}
}

func sameAnswers(t *testing.T, sel *Selector, user string, at Instant, got, want *Vector) {
	t.Helper()
	for i := range want.Values {
		if got.Values[i] != want.Values[i] || got.Status[i] != want.Status[i] || got.EventTime[i] != want.EventTime[i] {
			t.Fatalf("%s of %s as of %s (as served: %v): got %v %s, want %v %s", sel.Columns[i].Name, user, at.AsOf, at.AsServed,
				got.Values[i], got.Status[i], want.Values[i], want.Status[i])
		}
	}
}

// TestRunLists: lists that are answered instant by instant are not kept for all instants of all runs.
func TestRunLists(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(3, 3))
	plan := testPlan(t, trimPipeline("10m", []string{"top: {top_k: n, k: 5, window: 1d}"}))
	records := randomEvents(rng, plan, 500, 1, 1)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	feed(ctx, t, rng, s, plan, records, len(records))
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := cut.Select(Selection{View: "all"})
	if err != nil {
		t.Fatal(err)
	}
	r := cut.NewReader()
	var at []event.Time
	for range 200 {
		at = append(at, records[len(records)-1].Arrival)
	}
	r.Expect(len(at), at[0])
	run, err := r.ReadRun(ctx, sel, sel.AppendEntity(nil, []event.Value{event.StringOf("u0")}), nil, at)
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, v := range run.Corrected.Values[0][:len(at)] {
		size += len(v.Str)
	}
	if kept := len(r.scratch[sel].lists); size < 1000 || kept > size/50 {
		t.Errorf("%d bytes are kept of lists of %d", kept, size)
	}
	cut.Close()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
