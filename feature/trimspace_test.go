package feature

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

const spacePipeline = `pipeline: space
state: {memory: 64MiB, flush: 1h}
sources:
  e: {kafka: {brokers: ["b:9092"], topic: e}, schema: {file: e.avsc}, time: ts}
entities:
  user: {user: string}
views:
  v:
    source: e
    entity: user
    history: 100s
    features:
      sum_20s: {sum: amount, window: 20s}
      last_20s: {last: s, window: 20s}
`

// TestFlatDisk: under a constant load with a short history, what is stored levels off, and so do the files.
// PENSTOCK_LONG=1 goes on for longer.
func TestFlatDisk(t *testing.T) {
	plan := testPlan(t, spacePipeline)
	st, err := state.OpenBadger(t.TempDir(), state.BadgerOptions{Memory: 16 << 20, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s, err := Open(st, plan, Options{Shards: 1, Now: func() event.Time { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	rounds := runs(12, 60, 60)
	if os.Getenv("PENSTOCK_LONG") != "" {
		rounds = 1000
	}
	// Keep is 120 s, three rounds.
	const each, size = 1500, 2000
	var early, most, rows int64
	pad := string(make([]byte, size))
	for round := range rounds {
		steadyRound(t, s, plan, round, each, 50, pad)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, disk := s.Stats().Stored[0], st.Stats().DiskBytes
		if round < rounds/3 {
			early, rows = max(early, disk), max(rows, got.Rows)
			continue
		}
		most = max(most, disk)
		if got.Rows > 6*each || got.Rows > rows*5/4 || got.Rows < 3*each {
			t.Fatalf("round %d: %d rows are stored, %d early on; %d may still be asked for", round, got.Rows, rows, 3*each)
		}
	}
	t.Logf("at most %.1f MiB in the first third, %.1f MiB after it; at the end %+v", float64(early)/(1<<20), float64(most)/(1<<20), s.Stats().Stored[0])
	// Deleted rows leave the files when tables are merged: they grow and shrink between about 25 and 55 MiB.
	if written := int64(rounds * each * size); rounds >= 60 && most > written*2/3 {
		t.Errorf("the files take up to %d bytes, %d early on, and %d were written", most, early, written)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// steadyRound counts a round of a constant load: 40 s of event time with each events, of which half are of hot users and
// half of as many others. A third of the hot ones are copies by n. Then all is swept.
func steadyRound(t *testing.T, s *Store, plan *pipeline.Plan, round, each, hot int, pad string) {
	t.Helper()
	p := s.Partition(plan.Sources[0], 0)
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns))}
	for i := range each {
		n := round*each + i
		at := event.Time(n) * event.Time(40*event.Second) / event.Time(each)
		user := binary.BigEndian.AppendUint32([]byte("hot"), uint32(n%hot))
		if i%2 == 0 {
			user = binary.BigEndian.AppendUint32([]byte("cold"), uint32(n))
		}
		for j, c := range plan.Sources[0].Columns {
			rec.Slots[j] = map[string]event.Value{
				"user": event.StringOf(string(user)), "amount": event.DoubleOf(float64(n)), "s": event.StringOf(pad), "ts": event.TimestampOf(at),
				"n": event.LongOf(int64(n - n/hot%3/2*hot)),
			}[c.Name]
		}
		rec.Offset, rec.Arrival = int64(n), at
		p.Add(&rec)
	}
	if err := p.End(t.Context(), int64(round+1)*int64(each), false); err != nil {
		t.Fatal(err)
	}
}

// TestFlatStart: so it is where rows go from the earliest on only.
func TestFlatStart(t *testing.T) {
	plan := testPlan(t, spacePipeline+`  once:
    source: e
    entity: user
    history: 100s
    dedupe: {by: n, within: 20s}
    features:
      sum_20s: {sum: amount, window: 20s}
      last_20s: {last: s, window: 20s}
  fall:
    source: e
    entity: user
    history: 100s
    features:
      fall: {drawdown: amount}
      last: {last: s}
  both:
    source: e
    entity: user
    history: 100s
    dedupe: {by: n, within: 20s}
    features:
      fall: {drawdown: amount}
      last: {last: s}
      last_3: {sum: n, last: 3}
      session: {last: s, window: {session: 1s}}
`)
	st := state.NewMemory()
	defer st.Close()
	s := testOpen(t, st, plan, 1)
	const each, hot = 300, 10
	rounds := runs(15, 40, 40)
	early := map[string]int64{}
	for round := range rounds {
		steadyRound(t, s, plan, round, each, hot, string(make([]byte, 500)))
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, x := range s.Stats().Stored {
			// Of those who were here once a row stays for their lifetime, unless a sum is smaller.
			once := int64(0)
			if x.View == "fall" || x.View == "both" {
				once = int64(round+1) * each / 2
			}
			if round < rounds/3 {
				early[x.View] = max(early[x.View], x.Rows-once)
			} else if x.Rows-once > early[x.View]*5/4 {
				t.Errorf("round %d: %d rows of %s are stored, at most %d early on", round, x.Rows-once, x.View, early[x.View])
			}
			if round == rounds-1 {
				t.Logf("%+v", x)
				if x.Rows < 2*each || x.Rows-once > 8*each {
					t.Errorf("%d rows of %s are stored", x.Rows, x.View)
				}
			}
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
