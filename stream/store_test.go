package stream

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

const storePipeline = `pipeline: test
state: {memory: 64MiB, flush: 1h}
sources:
  tx:
    kafka: {brokers: ["%s"], topic: tx}
    schema: {file: tx.avsc}
    time: ts
    on_error: {dead_letter: tx.dead}
entities:
  user: {user: string}
views:
  spend:
    source: tx
    entity: user
    where: amount != 13
    features:
      n: {count: "*"}
      total: {sum: amount}
`

// From a broker through the store to a vector, with a crash in the middle: every record counts once,
// and the counts add up.
func TestStoreEndToEnd(t *testing.T) {
	c := broker(t, 2)
	cl := producer(t, c)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "tx.avsc"), []byte(testSchema))
	text := fmt.Sprintf(storePipeline, c.ListenAddrs()[0])
	plan, mistakes := pipeline.Compile(filepath.Join(dir, "pipeline.yaml"), []byte(text), pipeline.Options{})
	if plan == nil {
		t.Fatal(mistakes)
	}
	const n = 4000
	var want float64
	dead, filtered := 0, 0
	send := func(from, to int) {
		for i := from; i < to; i++ {
			r := txRecord(i)
			r.Partition = int32(i % 2)
			r.Value = framed(1, datum("u", float64(i), 1_699_999_000_000+int64(i)))
			switch {
			case i%100 == 50:
				r.Value = r.Value[:8]
				dead++
			case i == 13:
				filtered++
			default:
				want += float64(i)
			}
			cl.Produce(context.Background(), r, nil)
		}
		if err := cl.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	mem := state.NewMemory()
	run := func(until int64, crash bool) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		letters, err := NewDeadTopic(DeadConfig{Kafka: plan.Sources[0].Kafka, Topic: plan.Sources[0].Dead.Topic, Done: ctx})
		if err != nil {
			t.Fatal(err)
		}
		defer letters.Close()
		st, err := feature.Open(mem, plan, feature.Options{Shards: 2, Dead: map[string]feature.DeadSink{"tx": letters}})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		r := New(Config{Plan: plan, Store: st, FetchBytes: 4096})
		go func() { done <- r.Run(ctx) }()
		eventually(t, "all read", func() bool {
			var next int64
			for _, p := range st.Stats().Sources[0].Partitions {
				next += p.Next
			}
			return next == until && st.Ready() == nil
		})
		if until == n {
			checkStore(t, st, n, dead, filtered, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if crash { // what was not flushed is gone, and read again
			gone, stop := context.WithCancel(t.Context())
			stop()
			_ = st.Close(gone)
			mem = mem.Reopen()
			return
		}
		closing, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if err := st.Close(closing); err != nil {
			t.Fatal(err)
		}
	}
	send(0, n/2)
	run(n/2, true)
	send(n/2, 3*n/4)
	run(3*n/4, false)
	send(3*n/4, n)
	run(n, false)
	seen := map[string]bool{}
	for _, r := range consume(t, c, "tx.dead", dead) {
		seen[header(r, HeaderPartition)+"@"+header(r, HeaderOffset)] = true
	}
	if len(seen) != dead {
		t.Errorf("%d dead letters in the topic, want %d", len(seen), dead)
	}
}

func checkStore(t *testing.T, st *feature.Store, n, dead, filtered int, want float64) {
	t.Helper()
	s := st.Stats()
	v := s.Views[0]
	if s.Sources[0].Read != int64(n) || v.Applied != int64(n-dead-filtered) || v.Dead != int64(dead) || v.Filtered != int64(filtered) || v.Late != 0 {
		t.Errorf("read %d: %+v, want %d dead and %d filtered", s.Sources[0].Read, v, dead, filtered)
	}
	sel, err := st.Select(feature.Selection{View: "spend"})
	if err != nil {
		t.Fatal(err)
	}
	var out feature.Vector
	keys := []event.Value{event.StringOf("u")}
	if err := st.NewReader().Read(t.Context(), sel, keys, nil, feature.Instant{AsOf: st.Latest(sel)}, &out); err != nil {
		t.Fatal(err)
	}
	if out.Values[0].Long() != int64(n-dead-filtered) || out.Values[1].Double() != want {
		t.Errorf("count %s, sum %s, want %d and %v", out.Values[0], out.Values[1], n-dead-filtered, want)
	}
}
