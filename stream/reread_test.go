package stream

import (
	"slices"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// TestReread: a topic is read again up to where it was counted, in the order of offsets, and no further.
func TestReread(t *testing.T) {
	c := broker(t, 3)
	cl := producer(t, c)
	for i, r := range txRecords(0, 300) {
		r.Partition = int32(i % 3)
		produce(t, cl, r)
	}
	src := kafkaSourceOf(t, c.ListenAddrs())
	src.Kafka.Group = "shown"
	cfg := Config{Plan: testPlan(src), FetchBytes: 1 << 10}
	got := map[int32][]int64{}
	var sum float64
	first, err := Reread(t.Context(), cfg, src, map[int32]int64{0: 50, 1: 100, 2: 0}, func(partition int32, r *feature.Record, dead string) {
		if dead != "" {
			t.Errorf("%d@%d is dead: %s", partition, r.Offset, dead)
		}
		got[partition] = append(got[partition], r.Offset)
		sum += r.Slots[1].Double()
	})
	if err != nil {
		t.Fatal(err)
	}
	var want float64
	for i := range 300 {
		if i%3 == 0 && i/3 < 50 || i%3 == 1 {
			want += float64(i)
		}
	}
	if len(got[0]) != 50 || len(got[1]) != 100 || len(got[2]) != 0 || sum != want {
		t.Errorf("%d, %d and %d records with the sum %g, want 50, 100 and 0 with %g", len(got[0]), len(got[1]), len(got[2]), sum, want)
	}
	for n, offsets := range got {
		if !slices.IsSorted(offsets) {
			t.Errorf("partition %d: %v", n, offsets)
		}
	}
	if first[0] != 0 || first[1] != 0 {
		t.Errorf("reading began at %v", first)
	}
	_, err = Reread(t.Context(), cfg, src, map[int32]int64{1: 101}, func(int32, *feature.Record, string) {})
	if err == nil || !strings.Contains(err.Error(), "partition 1 ends at offset 100, and was counted up to 101") {
		t.Errorf("of a log that is too short: %v", err)
	}
	deleteTo(t, cl, 20)
	n := 0
	first, err = Reread(t.Context(), cfg, src, map[int32]int64{0: 50}, func(int32, *feature.Record, string) { n++ })
	if err != nil || first[0] != 20 || n != 30 {
		t.Errorf("of a log that begins at 20: %d records from %v, %v", n, first, err)
	}
	src.Kafka.Start = pipeline.Start{Latest: true}
	if _, err = Reread(t.Context(), cfg, src, map[int32]int64{0: 1}, nil); err == nil || !strings.Contains(err.Error(), "start: latest") {
		t.Errorf("of a source that began at its end: %v", err)
	}
}
