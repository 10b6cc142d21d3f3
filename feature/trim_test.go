package feature

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// trimPipeline is one view with a history and features.
func trimPipeline(history string, features []string) string {
	return `pipeline: trim
state: {memory: 64MiB, flush: 1h}
sources:
  e:
    kafka: {brokers: ["b:9092"], topic: e}
    schema: {file: e.avsc}
    time: ts
    ahead: 10m
entities:
  user: {user: string}
views:
  all:
    source: e
    entity: user
    where: s != "drop" or s == nil
    columns: {big: amount > 50}
    history: ` + history + `
    features:
      ` + strings.Join(features, "\n      ") + "\n"
}

var boundedFeatures = []string{
	"sum_1m: {sum: amount, window: 1m}", "avg_1h: {avg: amount, window: 1h, default: -1}", "max_40m: {max: amount, window: 40m}",
	`big_10m: {count: "*", where: big, window: 10m}`, "list: {collect_list: s, limit: 30, window: 25m}",
	"ttl: {last: n, window: 50m, ttl: 5m}", "first_s: {first: s, window: 20m}", "tumbling: {sum: n, window: {tumbling: 10m}}",
	`now: {count: "*", window: {tumbling: 90m, current: true}}`, "hopping: {avg: n, window: {hopping: 1h, every: 25m}}",
	"offset: {sum: amount, window: {from: 2h, to: 20m}}", "offset_last: {last: n, window: {from: 30m, to: 10m}, where: flag}",
	"by_s: {sum: n, by: s, limit: 3, window: 1h}", "drawdown: {drawdown: amount, window: 30m}",
	"outer: {max: {sum: n, window: {tumbling: 5m}}, window: 30m}", "day_now: {count: s, window: {calendar: day, zone: Asia/Kolkata, current: true}}",
}

var lifetimeFeatures = []string{
	`life_n: {count: "*"}`, "life_sum: {sum: amount}", "life_avg: {avg: n, where: big}", "life_sd: {stddev: amount}", "life_min: {min: s}",
	"life_max: {max: ts}", "life_first: {first: s}", "life_last: {last: n, ttl: 3h}", "life_by: {sum: n, by: s, limit: 3}",
	"life_distinct: {count_distinct: n, limit: 20}", "life_list: {collect_list: s, limit: 5}", "life_median: {median: n}",
	"life_since: {time_since_last: flag}", "life_decayed: {decayed_sum: n, half_life: 3h}", "life_top: {top_k: amount, k: 3}",
}

var lastFeatures = []string{
	"last_3: {avg: amount, last: 3}", "last_100: {sum: n, last: 100, where: flag}", "last_5: {first: s, last: 5}", "last_1: {sum: n, last: 1, where: big}",
	`last_rare: {collect_list: n, limit: 20, last: 20, where: 'n > 480'}`, `last_never: {count: "*", last: 2, where: 'n > 5000'}`, "last_dd: {drawdown: amount, last: 7}",
}

// The gaps are such that sessions of some users end now and then.
var sessionFeatures = []string{
	"session: {sum: n, window: {session: 1m}}", `session_n: {count: "*", window: {session: 40s}, where: big}`, "session_s: {last: s, window: {session: 15s}}",
	"closed: {last: s, window: {session: 50s, closed: true}}", `closed_n: {count: "*", window: {session: 20s, closed: true}}`,
	"session_3m: {avg: amount, window: {session: 3m}}", "closed_2m: {sum: n, window: {session: 2m, closed: true}}",
}

// draw takes some of a list.
func draw(rng *rand.Rand, list []string, n int) []string {
	list = slices.Clone(list)
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

// given are the records that a store has been given.
func given(s *Store, src *pipeline.Source, records []oracle.Record) (out []oracle.Record) {
	for _, r := range records {
		if next, ok := s.Partition(src, r.Partition).Next(); ok && r.Offset < next {
			out = append(out, r)
		}
	}
	return out
}

// compareLate reads users at instants that are not before the horizon, or hardly, and compares each cell with the
// oracle.
func compareLate(t *testing.T, rng *rand.Rand, s *Store, r *Reader, plan *pipeline.Plan, records []oracle.Record, users, reads int) {
	t.Helper()
	ing := oracle.Ingest(plan.Sources[0], plan.Views, given(s, plan.Sources[0], records))[0]
	v := ing.View
	horizon := r.horizon(s.byName[v.Name])
	if horizon == event.MinTime || len(ing.Rows) == 0 {
		return
	}
	sel, err := s.Select(Selection{View: v.Name})
	if err != nil {
		t.Fatal(err)
	}
	newest := horizon
	for _, row := range ing.Rows {
		newest = max(newest, row.Time)
	}
	span := newest.Sub(horizon) + 10*event.Minute
	var out Vector
	for range reads {
		key := []event.Value{event.StringOf(fmt.Sprint("u", rng.IntN(users+1)))}
		at := horizon.Add(event.Duration(rng.Int64N(int64(span))))
		switch rng.IntN(8) {
		case 0:
			at = horizon.Add(event.Duration(rng.IntN(3) - 1))
		case 1:
			at = at.Add(v.Keep)
		case 2, 3, 4:
			row := ing.Rows[rng.IntN(len(ing.Rows))]
			key = row.Key
			edge := row.Time.Add([]event.Duration{0, 1, event.Minute, event.Hour, event.Hour + 1, v.Keep, v.Keep + 1, v.History}[rng.IntN(8)])
			if edge >= horizon {
				at = edge
			}
		}
		served := rng.IntN(3) == 0
		if err := r.Read(t.Context(), sel, key, nil, Instant{AsOf: at, AsServed: served}, &out); err != nil {
			t.Fatal(err)
		}
		want := oracle.Read(v, ing.Rows, key, at, served, horizon)
		for i, f := range v.Features {
			if !want[i].Agrees(out.Values[i]) || out.Status[i].String() != want[i].Status || out.EventTime[i] != want[i].EventTime {
				t.Fatalf("%s of %s as of %s (as served: %v, horizon %s): got %v %s %s, want %v %s %s", f.Name, key[0].Str, at, served, horizon,
					out.Values[i], out.Status[i], out.EventTime[i], want[i].Value, want[i].Status, want[i].EventTime)
			}
		}
	}
}

// mustKeep is how many rows of a view of bounded windows must stay.
func mustKeep(s *Store, plan *pipeline.Plan, records []oracle.Record) (rows, users int64) {
	ing := oracle.Ingest(plan.Sources[0], plan.Views, given(s, plan.Sources[0], records))[0]
	v := ing.View
	limit := event.Time(s.views[0].limit.Load())
	h, old := limit.Add(-v.History), limit.Add(-v.Keep)
	newest := map[string]event.Time{}
	kept := map[string]event.Time{}
	for _, r := range ing.Rows {
		k := r.Key[0].Str
		seen := r.Time < h && r.Arrival <= h
		if seen && r.Time.Add(v.Keep) >= h {
			newest[k] = max(newest[k], r.Time)
		}
		if r.Time >= old || r.Arrival > h && r.Time.Add(v.Keep) >= h {
			rows++
			if kept[k] = max(kept[k], 1); seen {
				kept[k] = max(kept[k], r.Time)
			}
		}
	}
	for k, at := range newest {
		if kept[k] < at {
			kept[k] = at
			rows++
		}
	}
	return rows, int64(len(kept))
}

func TestTrimOracle(t *testing.T) {
	for name, more := range map[string][]string{
		"bounded": nil, "lifetime": lifetimeFeatures, "last": lastFeatures, "last and lifetime": slices.Concat(lifetimeFeatures, lastFeatures),
		"session": sessionFeatures, "all": slices.Concat(lifetimeFeatures, lastFeatures, sessionFeatures),
	} {
		for seed := range uint64(runs(1, 2, 3)) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) { trimRun(t, seed, trimCase{more: more, records: runs(1200, 0, 0)}) })
		}
	}
}

// trimCase is what a view that is trimmed is like.
type trimCase struct {
	more    []string // features, beside bounded ones
	always  []string // features that it has whatever is drawn
	dedupe  string
	share   float64 // of copies
	records int     // at most
}

// trimRun counts random records with sweeps, crashes and restarts in between; at many moments the answers from
// the horizon on are those of the oracle, which forgets nothing.
func trimRun(t *testing.T, seed uint64, c trimCase) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 31))
	history := []string{"2m", "20m", "1h", "4h"}[rng.IntN(4)]
	features := append(draw(rng, boundedFeatures, 1+rng.IntN(6)), draw(rng, c.more, 1+rng.IntN(6))...)
	text := trimPipeline(history, append(features, c.always...))
	if c.dedupe != "" {
		text = strings.Replace(text, "    history:", "    dedupe: "+c.dedupe+"\n    history:", 1)
	}
	plan := testPlan(t, text)
	users := []int{1, 3, 10, 200}[rng.IntN(4)]
	n := 3500
	if users <= 3 {
		n = 1300 // the oracle reads all rows of an entity for every cell
	}
	if c.records > 0 {
		n = min(n, c.records)
	}
	records := randomEvents(rng, plan, n, 1+rng.IntN(3), users)
	if c.share > 0 {
		copyEvents(rng, plan, records, c.share, plan.Views[0].Dedupe.Within)
	}
	st := state.NewMemory()
	defer st.Close()
	trimmed := int64(0)
	for life := range 5 {
		s := testOpen(t, st, plan, []int{1, 2, 8}[rng.IntN(3)])
		for range 3 + rng.IntN(4) {
			limit := rng.IntN(n / 10)
			if life == 4 {
				limit = n / 6
			}
			feed(ctx, t, rng, s, plan, records, limit)
			trimStep(t, rng, s)
			if err := s.waitApplied(ctx); err != nil {
				t.Fatal(err)
			}
			compareLate(t, rng, s, s.NewReader(), plan, records, users, 6)
		}
		cut, err := s.Cut(ctx)
		if err != nil {
			t.Fatal(err)
		}
		feed(ctx, t, rng, s, plan, records, n/20)
		if err := s.waitApplied(ctx); err != nil {
			t.Fatal(err)
		}
		compareLate(t, rng, s, s.NewReader(), plan, records, users, 5)
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		compareLate(t, rng, s, s.NewReader(), plan, records, users, 10)
		cut.Close()
		if life == 4 {
			feed(ctx, t, rng, s, plan, records, n)
			for range 3 { // a head goes in two passes
				if err := s.Sweep(ctx); err != nil {
					t.Fatal(err)
				}
			}
			compareLate(t, rng, s, s.NewReader(), plan, records, users, 30)
			cutNow(t, rng, s, plan, records, users)
			sameCount(t, s, st)
			checkCounts(t, s, oracle.Ingest(plan.Sources[0], plan.Views, records)[0], len(records))
			c.checkKept(t, s, plan, records)
		}
		trimmed += s.Stats().Stored[0].Trimmed
		if rng.IntN(2) == 0 {
			s.abandon()
		} else if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if trimmed == 0 && plan.Views[0].Keep < 12*event.Hour && (users < 200 || c.dedupe == "") {
		t.Error("nothing was trimmed: the test shows less than it should")
	}
}

// checkKept: rows go, and entities that nobody knows any more.
func (c *trimCase) checkKept(t *testing.T, s *Store, plan *pipeline.Plan, records []oracle.Record) {
	t.Helper()
	got := s.Stats().Stored[0]
	rows, keys := mustKeep(s, plan, records)
	most := rows
	mostKeys := keys
	if s.views[0].fromStart {
		rows, most, mostKeys = startKeep(s, plan, records)
	}
	if c.more != nil || c.always != nil {
		keys, mostKeys = got.Keys, got.Keys // none goes
		rows -= min(rows, keys)             // no witness is needed
	}
	v := plan.Views[0]
	t.Logf("history %s, keep %s: %d of %d rows are kept, %d must be; %d entities, %d must", v.History, v.Keep, got.Rows, len(records), rows, got.Keys, keys)
	if got.Rows < rows || len(s.views[0].sessions) == 0 && got.Rows > (most+keys*200)*4/3+keys*leafRows/8+leafRows {
		t.Errorf("%d rows are kept, %d must be", got.Rows, rows)
	}
	if got.Keys < keys || got.Keys > max(keys, mostKeys) {
		t.Errorf("%d entities are kept, %d must be, %d may", got.Keys, keys, mostKeys)
	}
}

// trimStep flushes, sweeps or evicts, perhaps.
func trimStep(t *testing.T, rng *rand.Rand, s *Store) {
	t.Helper()
	if rng.IntN(3) > 0 {
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rng.IntN(2) == 0 {
		for _, sh := range s.shards {
			sh.in <- message{evict: 1 << 30}
		}
	}
}

// cutNow compares what a new cut answers.
func cutNow(t *testing.T, rng *rand.Rand, s *Store, plan *pipeline.Plan, records []oracle.Record, users int) {
	t.Helper()
	cut, err := s.Cut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	compareLate(t, rng, s, cut.NewReader(), plan, records, users, 20)
	cut.Close()
}

// TestTrimUnderCuts: what is trimmed after a cut was made is still there for it.
func TestTrimUnderCuts(t *testing.T) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(8, 31))
	plan := testPlan(t, trimPipeline("10m", boundedFeatures[:6]))
	const users = 5
	records := randomEvents(rng, plan, 5000, 2, users)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 2)
	feed(ctx, t, rng, s, plan, records, 2500)
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	cut, err := s.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	before := given(s, plan.Sources[0], records)
	feed(ctx, t, rng, s, plan, records, 2500)
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if s.Stats().Stored[0].Trimmed < 1000 {
		t.Error("not much was trimmed: the test shows less than it should")
	}
	compareLate(t, rng, s, cut.NewReader(), plan, before, users, 100)
	cut.Close()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestTrimCrash stops the state after every so many commits: a replay counts nothing twice, whatever was trimmed.
func TestTrimCrash(t *testing.T) {
	t.Run("bounded", func(t *testing.T) { trimCrash(t, trimPipeline("5m", boundedFeatures[:5]), 59) })
	t.Run("copies", func(t *testing.T) {
		text := trimPipeline("40m", []string{boundedFeatures[0], drawdowns[0], lifetimeFeatures[0], lifetimeFeatures[1], "last_3: {sum: n, last: 3}"})
		trimCrash(t, strings.Replace(text, "    history:", "    dedupe: {by: n, within: 10m}\n    history:", 1), 13)
	})
}

func trimCrash(t *testing.T, text string, step int64) {
	ctx := t.Context()
	plan := testPlan(t, text)
	plan.Sources[0].Dead = pipeline.DeadLetters{Budget: 1 << 30, Keep: 1000 * event.Week}
	const users = 3
	records := randomEvents(rand.New(rand.NewPCG(12, 0)), plan, 1500, 2, users)
	if d := plan.Views[0].Dedupe; d != nil {
		copyEvents(rand.New(rand.NewPCG(13, 0)), plan, records, 0.3, d.Within)
		late := map[[2]int64]bool{}
		for _, x := range oracle.Ingest(plan.Sources[0], plan.Views, records)[0].Verdicts {
			late[[2]int64{int64(x.Partition), x.Offset}] = x.Outcome == oracle.Late
		}
		// Dead letters take most of the time.
		records = slices.DeleteFunc(records, func(r oracle.Record) bool { return late[[2]int64{int64(r.Partition), r.Offset}] })
	}
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	value := make([]byte, 200<<10)
	if os.Getenv("PENSTOCK_LONG") != "" {
		step = 1
	}
	for k := int64(1); ; k += step {
		rng := rand.New(rand.NewPCG(uint64(k), 4))
		mem, c := crashAt(k)
		s := testOpen(t, c, plan, 2)
		err := offer(ctx, rng, s, plan, records, value)
		s.abandon()
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatalf("crash at commit %d: %v", k, err)
		}
		done := err == nil
		mem = mem.Reopen()
		s = testOpen(t, mem, plan, 3)
		err = nil
		if rng.IntN(2) == 0 {
			err = s.Sweep(ctx)
		}
		if err == nil {
			err = offer(ctx, rng, s, plan, records, value)
		}
		if err != nil {
			t.Fatalf("crash at commit %d: replay: %v", k, err)
		}
		compareLate(t, rng, s, s.NewReader(), plan, records, users, 10)
		cutNow(t, rng, s, plan, records, users)
		checkCounts(t, s, ing, len(records))
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := Inspect(mem); err != nil {
			t.Fatalf("crash at commit %d: inspect: %v", k, err)
		}
		if err := mem.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("crash at commit %d", k)
		}
		if done {
			t.Logf("%d commits", k)
			return
		}
	}
}

const idlePipeline = `pipeline: idle
state: {memory: 64MiB, flush: 1h}
sources:
  e: {kafka: {brokers: ["b:9092"], topic: e}, schema: {file: e.avsc}, time: ts}
entities:
  user: {user: string}
views:
  v:
    source: e
    entity: user
    history: 10s
    features:
      n_5s: {count: "*", window: 5s}
`

// adder counts events of users at seconds, in one partition.
type adder struct {
	t       *testing.T
	s       *Store
	plan    *pipeline.Plan
	arrival event.Time
}

func (a *adder) add(part int32, offset int64, user string, second int) {
	a.t.Helper()
	p := a.s.Partition(a.plan.Sources[0], part)
	rec := Record{Offset: offset, Arrival: a.arrival, Slots: make([]event.Value, len(a.plan.Sources[0].Columns))}
	for j, c := range a.plan.Sources[0].Columns {
		rec.Slots[j] = map[string]event.Value{
			"user": event.StringOf(user), "n": event.LongOf(1), "ts": event.TimestampOf(event.Time(second) * event.Time(event.Second)),
		}[c.Name]
	}
	p.Add(&rec)
	if err := p.End(a.t.Context(), offset+1, false); err != nil {
		a.t.Fatal(err)
	}
	if err := a.s.waitApplied(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// answer is the value and status of the first feature.
func answer(t *testing.T, s *Store, user string, second int) string {
	t.Helper()
	return answerAt(t, s, user, Instant{AsOf: event.Time(second) * event.Time(event.Second)})
}

func answerAt(t *testing.T, s *Store, user string, at Instant) string {
	t.Helper()
	sel, err := s.Select(Selection{View: "v"})
	if err != nil {
		t.Fatal(err)
	}
	var out Vector
	if err := s.NewReader().Read(t.Context(), sel, []event.Value{event.StringOf(user)}, nil, at, &out); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(out.Values[0], " ", out.Status[0])
}

func sweepOnce(ctx context.Context, t *testing.T, s *Store) StoredStats {
	t.Helper()
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	return s.Stats().Stored[0]
}

// TestTrimIdle: an entity whose rows nobody may ask for is forgotten; it is unknown then, and may come back.
func TestTrimIdle(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, idlePipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	a := &adder{t, s, plan, event.Time(event.Day)}
	a.arrival = 10 * event.Time(event.Second)
	a.add(0, 0, "idle", 10)
	a.add(0, 1, "busy", 20)
	if got := answer(t, s, "idle", 25); got != "0 present" {
		t.Errorf("an idle user is %s", got)
	}
	if got := sweepOnce(ctx, t, s); got.Keys != 2 || got.Rows != 2 {
		t.Errorf("%+v: too much went", got)
	}
	// Keep is 15 s: at 30 the horizon is 20, and the idle user is known for 25.
	a.add(0, 2, "busy", 30)
	if got := sweepOnce(ctx, t, s); got.Keys != 2 || got.Rows != 3 {
		t.Errorf("%+v: too much went", got)
	}
	if got := answer(t, s, "idle", 25); got != "0 present" {
		t.Errorf("an idle user is %s", got)
	}
	if got := answer(t, s, "idle", 26); got != "0 not_found" {
		t.Errorf("a user who is idle for long is %s", got)
	}
	a.add(0, 3, "busy", 25)
	a.add(0, 4, "busy", 36)
	if got := sweepOnce(ctx, t, s); got.Keys != 1 || got.Rows != 3 {
		t.Errorf("%+v: the idle user and the first row of the other should be gone", got)
	}
	if n := s.shards[0].heads.count; n != 1 {
		t.Errorf("%d heads in memory", n)
	}
	a.add(0, 5, "idle", 37)
	if got := answer(t, s, "idle", 38); got != "1 present" {
		t.Errorf("a user who came back is %s", got)
	}
	if got := sweepOnce(ctx, t, s); got.Keys != 2 || got.Rows != 4 {
		t.Errorf("%+v", got)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if x, err := Inspect(st); err != nil || x.Views[0].Rows != 4 {
		t.Errorf("%+v, %v", x, err)
	}
}

// TestTrimReplay: rows that were trimmed are not counted anew by a replay, even if nothing is left of their head.
func TestTrimReplay(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, idlePipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	a := &adder{t, s, plan, 0}
	// Partition 1 leaves the watermark to partition 0, which is far ahead, and comes back with old rows.
	a.add(1, 0, "other", 1)
	s.Partition(plan.Sources[0], 1).Leave()
	a.add(0, 0, "busy", 100)
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	a.add(1, 1, "old", 2)
	a.add(1, 2, "old", 3)
	askAll(s) // its head is durable, but no restart offset
	for newest := int64(0); newest < 2; {
		snap := st.Snapshot()
		if b, err := snap.Get(partitionKey(keySeen, "e", 1), nil); err == nil && strings.Contains(string(b), `"Offset":2`) {
			newest = 2
		}
		snap.Close()
	}
	s.abandon()

	s = testOpen(t, st, plan, 1)
	a.s = s
	if next, _ := s.Partition(plan.Sources[0], 1).Next(); next != 1 {
		t.Fatalf("next is %d", next)
	}
	if got := sweepOnce(ctx, t, s); got.Rows != 1 || got.Trimmed != 3 || got.Keys != 2 {
		t.Errorf("%+v, want the newest row alone, and the head of what will be replayed", got)
	}
	a.add(1, 1, "old", 2)
	a.add(1, 2, "old", 3)
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if x, err := Inspect(st); err != nil || x.Views[0].Rows != 1 {
		t.Errorf("after the replay: %+v, %v", x, err)
	}
	if v := s.Stats().Views[0]; v.Applied != 4 {
		t.Errorf("%d of 4 rows are counted", v.Applied)
	}
	if got := sweepOnce(ctx, t, s); got.Keys != 1 {
		t.Errorf("%+v: the empty head should be gone", got)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestTrimLate: a row that arrived late stays until the horizon has passed its arrival, and the row that makes its
// entity known before, even if that is in a block that goes.
func TestTrimLate(t *testing.T) {
	ctx := t.Context()
	plan := testPlan(t, idlePipeline)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	second := event.Time(event.Second)
	a := &adder{t, s, plan, 81 * second}
	offset := int64(0)
	add := func(user string, at, n int) {
		for range n {
			a.add(0, offset, user, at)
			offset++
		}
	}
	add("hot", 81, leafRows)
	a.arrival = 100 * second
	add("busy", 95, 1)
	a.arrival = 99 * second
	add("hot", 88, 300)
	add("late", 88, 1)
	if got := sweepOnce(ctx, t, s); got.Trimmed != 0 || got.Blocks < 2 {
		t.Fatalf("%+v", got)
	}
	// Keep is 15 s: at 105 the horizon is 95, and rows before 80 make nobody known.
	add("busy", 105, 1)
	if got := sweepOnce(ctx, t, s); got.Trimmed != leafRows-1 {
		t.Errorf("%+v: all of a block but one row should be gone", got)
	}
	for _, c := range []struct {
		user   string
		second int
		served bool
		want   string
	}{
		{"late", 96, false, "0 present"},
		{"late", 96, true, "0 not_found"},
		{"late", 99, true, "0 present"},
		{"late", 103, true, "0 present"},
		{"late", 104, true, "0 not_found"},
		{"hot", 96, true, "0 present"},
		{"hot", 97, true, "0 not_found"},
		{"hot", 99, true, "0 present"},
	} {
		if got := answerAt(t, s, c.user, Instant{AsOf: event.Time(c.second) * second, AsServed: c.served}); got != c.want {
			t.Errorf("%s as of %d (as served: %v) is %s, want %s", c.user, c.second, c.served, got, c.want)
		}
	}
	add("busy", 109, 1) // the horizon is 99
	sweepOnce(ctx, t, s)
	if got := answerAt(t, s, "late", Instant{AsOf: 100 * second, AsServed: true}); got != "0 present" {
		t.Errorf("late is %s", got)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
