package feature

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSchema = `{"type":"record","name":"e","fields":[
 {"name":"user","type":["null","string"]},
 {"name":"amount","type":["null","double"]},
 {"name":"n","type":["null","long"]},
 {"name":"s","type":["null","string"]},
 {"name":"flag","type":"boolean"},
 {"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}]}`

// testPipeline has every aggregate, window and option that the engine knows.
const testPipeline = `pipeline: test
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
    columns: {big: amount > 50, twice: n * 2}
    history: 30d
    features:
      sum_1m: {sum: amount, window: 1m}
      sum_1h: {sum: amount, window: 1h}
      avg_1h: {avg: amount, window: 1h, default: -1}
      var_2h: {variance: amount, window: 2h}
      sd: {stddev: amount}
      varp: {variance_pop: n}
      sdp_1d: {stddev_pop: amount, window: 1d}
      min_1h: {min: amount, window: 1h}
      max_1d: {max: amount, window: 1d}
      big_1h: {count: "*", where: big, window: 1h}
      n_life: {count: "*"}
      twice_1h: {sum: twice, window: 1h}
      nsum: {sum: n}
      first_s: {first: s}
      last_s: {last: s, window: 1d}
      last_n_ttl: {last: n, ttl: 30m}
      minstr: {min: s, window: 2h}
      maxts: {max: ts}
      avg_last3: {avg: amount, last: 3}
      sum_last100: {sum: n, last: 100, where: flag}
      first_last5: {first: s, last: 5}
      of_expr: {sum: "n * 2 + 1", window: 1h, where: "n > 3"}
      tumbling: {sum: amount, window: {tumbling: 1h}}
      tumbling_now: {count: "*", window: {tumbling: 90m, current: true}}
      hopping: {avg: n, window: {hopping: 3h, every: 25m}}
      session: {sum: n, window: {session: 10m}}
      session_n: {count: "*", window: {session: 3m}, where: big}
      closed: {last: s, window: {session: 7m, closed: true}}
      day: {max: amount, window: {calendar: day, zone: America/New_York}}
      day_now: {count: s, window: {calendar: day, zone: Asia/Kolkata, current: true}}
      week: {sum: n, window: {calendar: week}}
      offset: {sum: amount, window: {from: 7h, to: 2h}}
      offset_last: {last: n, window: {from: 20h, to: 30m}, where: flag}
      list: {collect_list: s, limit: 3000}
      by_s: {sum: n, by: s, limit: 3}
`

func testPlan(t testing.TB, src string) *pipeline.Plan { return testPlanSchema(t, src, testSchema) }

func testPlanSchema(t testing.TB, src, schema string) *pipeline.Plan {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "e.avsc"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	plan, diags := pipeline.Compile(filepath.Join(dir, "p.yaml"), []byte(src), pipeline.Options{})
	if plan == nil {
		t.Fatalf("compile: %v", diags)
	}
	return plan
}

// randomEvents makes records of a few users over a day, in parts partitions; some late, null, dead.
func randomEvents(rng *rand.Rand, plan *pipeline.Plan, n, parts, users int) []oracle.Record {
	base := event.Time(1_700_000_000_000_000)
	next := make([]int64, parts)
	var out []oracle.Record
	for i := range n {
		p := rng.IntN(parts)
		next[p] += 1 + int64(rng.IntN(20)/19*rng.IntN(5)) // holes now and then
		at := base.Add(event.Duration(i) * event.Day / event.Duration(n))
		ts := at
		switch rng.IntN(20) {
		case 0:
			ts = ts.Add(-event.Duration(rng.Int64N(int64(2 * event.Hour))))
		case 1:
			ts = base.Add(event.Duration(rng.Int64N(int64(event.Day)))) // anywhere: some ahead of arrival
		case 2:
			ts = ts / Time60 * Time60 // ties
		}
		if rng.IntN(500) == 0 {
			ts = ts.Add(-60 * event.Day)
		}
		vals := map[string]event.Value{
			"user":   event.StringOf(fmt.Sprint("u", int(math.Sqrt(float64(rng.IntN(users*users)))))),
			"amount": event.DoubleOf(math.Round(rng.NormFloat64()*1e4) / 100), "n": event.LongOf(rng.Int64N(1000) - 500),
			"s": event.StringOf([]string{"a", "bb", "drop", "ccc", ""}[rng.IntN(5)]), "flag": event.BoolOf(rng.IntN(3) > 0),
			"ts": event.TimestampOf(ts),
		}
		for _, name := range []string{"user", "amount", "n", "s", "ts"} {
			if odds := 20; rng.IntN(odds) == 0 && (name != "ts" && name != "user" || rng.IntN(10) == 0) {
				vals[name] = event.Value{}
			}
		}
		if rng.IntN(300) == 0 {
			n := 5
			if users <= 10 {
				n = 3 // the oracle's fractions of the last two are slow over many rows
			}
			x := []float64{math.Inf(1), math.NaN(), math.Copysign(0, -1), 1e308, 5e-324}[rng.IntN(n)]
			vals["amount"] = event.Value{Kind: event.Double, Num: math.Float64bits(x)}
		}
		r := oracle.Record{Partition: int32(p), Offset: next[p], Arrival: at.Add(event.Duration(rng.Int64N(int64(event.Minute))))}
		if rng.IntN(200) == 0 {
			r.Dead = "decode"
		}
		for _, c := range plan.Sources[0].Columns {
			r.Slots = append(r.Slots, vals[c.Name])
		}
		out = append(out, r)
	}
	return out
}

// Time60 is a minute, as an instant to round by.
const Time60 = event.Time(event.Minute)

// feed hands records over in offset order per partition, interleaved and batched at random, from the
// store's own restart offsets on; it stops after at most limit records.
func feed(ctx context.Context, t testing.TB, rng *rand.Rand, s *Store, plan *pipeline.Plan, records []oracle.Record, limit int) {
	t.Helper()
	feedSource(ctx, t, rng, s, plan.Sources[0], records, limit)
}

func feedSource(ctx context.Context, t testing.TB, rng *rand.Rand, s *Store, src *pipeline.Source, records []oracle.Record, limit int) {
	t.Helper()
	queue := map[int32][]oracle.Record{}
	for _, r := range records {
		p := s.Partition(src, r.Partition)
		if next, ok := p.Next(); ok && r.Offset < next {
			continue
		}
		queue[r.Partition] = append(queue[r.Partition], r)
	}
	for len(queue) > 0 && limit > 0 {
		nums := make([]int32, 0, len(queue))
		for p := range queue {
			nums = append(nums, p)
		}
		sort.Slice(nums, func(i, j int) bool { return nums[i] < nums[j] })
		num := nums[rng.IntN(len(nums))]
		p := s.Partition(src, num)
		n := min(1+rng.IntN(200), len(queue[num]), limit)
		for _, r := range queue[num][:n] {
			rec := Record{Offset: r.Offset, Timestamp: r.Arrival, Arrival: r.Arrival, Slots: r.Slots, Value: []byte("raw")}
			if r.Dead != "" {
				p.Dead(&rec, r.Dead, "")
			} else {
				p.Add(&rec)
			}
		}
		last := queue[num][n-1].Offset
		if queue[num] = queue[num][n:]; len(queue[num]) == 0 {
			delete(queue, num)
		}
		limit -= n
		if err := p.End(ctx, last+1, false); err != nil {
			t.Fatal(err)
		}
	}
}

// abandon stops a store as a crash would: nothing more is flushed.
func (s *Store) abandon() {
	s.stop()
	s.running.Wait()
	s.snap.close()
}

func testOpen(t testing.TB, st state.Store, plan *pipeline.Plan, shards int) *Store {
	t.Helper()
	s, err := Open(st, plan, Options{Shards: shards, Now: func() event.Time { return 1_800_000_000_000_000 }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// compare reads every user at random instants and compares each cell with the oracle.
func compare(ctx context.Context, t *testing.T, rng *rand.Rand, r *Reader, sel *Selector, ing oracle.Ingested, users, reads int) {
	t.Helper()
	var out Vector
	v := ing.View
	for range reads {
		key := []event.Value{event.StringOf(fmt.Sprint("u", rng.IntN(users+1)))}
		at := event.Time(1_700_000_000_000_000).Add(event.Duration(rng.Int64N(int64(26 * event.Hour))))
		switch rng.IntN(10) {
		case 0:
			at = at.Add(-60 * event.Day)
		case 1, 2:
			if len(ing.Rows) > 0 { // exactly at a row, or a window's edge behind it
				row := ing.Rows[rng.IntN(len(ing.Rows))]
				key = row.Key
				at = row.Time.Add([]event.Duration{0, 1, event.Minute, event.Hour, event.Hour + 1, event.Day}[rng.IntN(6)])
			}
		}
		served := rng.IntN(3) == 0
		if err := r.Read(ctx, sel, key, nil, Instant{AsOf: at, AsServed: served}, &out); err != nil {
			t.Fatal(err)
		}
		want := oracle.Read(v, ing.Rows, key, at, served, ing.Horizon)
		for i, f := range v.Features {
			if !want[i].Agrees(out.Values[i]) || out.Status[i].String() != want[i].Status || out.EventTime[i] != want[i].EventTime {
				t.Fatalf("%s of %s as of %s (as served: %v): got %v %s %s, want %v %s %s", f.Name, key[0].Str, at, served,
					out.Values[i], out.Status[i], out.EventTime[i], want[i].Value, want[i].Status, want[i].EventTime)
			}
		}
	}
}

// runs is how many of its runs a test makes: some in CI (PENSTOCK_FULL), all with PENSTOCK_LONG, few elsewhere.
func runs(few, some, all int) int {
	switch {
	case os.Getenv("PENSTOCK_LONG") != "":
		return all
	case os.Getenv("PENSTOCK_FULL") != "":
		return some
	}
	return few
}

func TestOracle(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 5, 6}[:runs(2, 6, 6)] {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { oracleRun(t, seed) })
	}
}

// oracleRun counts random records with random batches, flushes, crashes and restarts in between, and
// compares the answers of memory, of the restarted store and of cuts with the oracle.
func oracleRun(t *testing.T, seed uint64) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 0))
	plan := testPlan(t, testPipeline)
	users := []int{1, 3, 10, 200}[rng.IntN(4)]
	n := 6000
	if users <= 3 {
		n = 2500 // the oracle reads all rows of an entity for every cell
	}
	records := randomEvents(rng, plan, n, 1+rng.IntN(4), users)
	ing := oracle.Ingest(plan.Sources[0], plan.Views, records)[0]
	st := state.NewMemory()
	defer st.Close()
	for crash := range 4 {
		s := testOpen(t, st, plan, []int{1, 2, 8}[rng.IntN(3)])
		for range 1 + rng.IntN(4) {
			feed(ctx, t, rng, s, plan, records, rng.IntN(n/4))
			if rng.IntN(2) == 0 {
				if err := s.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if rng.IntN(3) == 0 {
				if err := s.Sweep(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if rng.IntN(3) == 0 {
				for _, sh := range s.shards {
					sh.in <- message{evict: 1 << 30}
				}
			}
		}
		if crash < 3 {
			s.abandon()
			continue
		}
		feed(ctx, t, rng, s, plan, records, len(records))
		if err := s.waitApplied(ctx); err != nil {
			t.Fatal(err)
		}
		sel, err := s.Select(Selection{View: "all"})
		if err != nil {
			t.Fatal(err)
		}
		compare(ctx, t, rng, s.NewReader(), sel, ing, users, 150)
		checkCounts(t, s, ing, len(records))
		cut, err := s.Cut(ctx)
		if err != nil {
			t.Fatal(err)
		}
		compare(ctx, t, rng, cut.NewReader(), sel, ing, users, 150)
		compare(ctx, t, rng, s.NewReader(), sel, ing, users, 150)
		cut.Close()
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	s := testOpen(t, st, plan, 2)
	sel, err := s.Select(Selection{View: "all"})
	if err != nil {
		t.Fatal(err)
	}
	compare(ctx, t, rng, s.NewReader(), sel, ing, users, 100)
	checkCounts(t, s, ing, len(records))
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// checkCounts compares the counters with the oracle's, and their sum with the records read.
func checkCounts(t *testing.T, s *Store, ing oracle.Ingested, records int) {
	t.Helper()
	st := s.Stats()
	v := st.Views[0]
	got := map[string]int64{"applied": v.Applied, "filtered": v.Filtered, "late": v.Late, "dead": v.Dead, "duplicate": v.Duplicate}
	for k, want := range ing.Counts {
		if got[k] != want {
			t.Errorf("%s: got %d, want %d", k, got[k], want)
		}
	}
	if sum := v.Applied + v.Filtered + v.Duplicate + v.Late + v.Dead; sum != st.Sources[0].Read || sum != int64(records) {
		t.Errorf("outcomes add up to %d, %d records read, %d given", sum, st.Sources[0].Read, records)
	}
	if v.Late == 0 && records > 2000 {
		t.Error("no record was late: the test shows less than it should")
	}
	if v.Horizon != ing.Horizon {
		t.Errorf("horizon: got %s, want %s", v.Horizon, ing.Horizon)
	}
	dead := 0
	if err := s.StoredDead(func(d *DeadLetter) error {
		if d.Value == nil || d.Reason == "" {
			t.Errorf("dead letter without bytes or reason: %+v", d)
		}
		dead++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
