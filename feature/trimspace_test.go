package feature

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/penstock-ml/penstock/event"
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
	rounds := 60
	if os.Getenv("PENSTOCK_LONG") != "" {
		rounds = 1000
	}
	// A round is 40 s of event time: 1,500 events of which half are of 50 hot users and half of as many others. Keep
	// is 120 s, three rounds.
	p := s.Partition(plan.Sources[0], 0)
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns))}
	const each, size = 1500, 2000
	var early, most, rows int64
	pad := string(make([]byte, size))
	for round := range rounds {
		for i := range each {
			n := round*each + i
			at := event.Time(n) * event.Time(40*event.Second) / each
			user := binary.BigEndian.AppendUint32([]byte("hot"), uint32(n%50))
			if i%2 == 0 {
				user = binary.BigEndian.AppendUint32([]byte("cold"), uint32(n))
			}
			for j, c := range plan.Sources[0].Columns {
				rec.Slots[j] = map[string]event.Value{
					"user": event.StringOf(string(user)), "amount": event.DoubleOf(float64(n)), "s": event.StringOf(pad), "ts": event.TimestampOf(at),
				}[c.Name]
			}
			rec.Offset, rec.Arrival = int64(n), at
			p.Add(&rec)
		}
		if err := p.End(t.Context(), int64(round+1)*each, false); err != nil {
			t.Fatal(err)
		}
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
	if written := int64(rounds * each * size); most > written*2/3 {
		t.Errorf("the files take up to %d bytes, %d early on, and %d were written", most, early, written)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
