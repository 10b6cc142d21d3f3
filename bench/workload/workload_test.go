package workload

import (
	"hash/fnv"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"

	"github.com/penstock-ml/penstock/internal/kafkatest"
)

func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

// TestEventsAreFixed holds the bytes of the workload: results of two days compare only if it stays.
func TestEventsAreFixed(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the exponential function rounds differently on other architectures")
	}
	for _, c := range []struct {
		keys Keys
		want uint64
	}{{Zipf, 0x6ccadebfa1b5c21d}, {Uniform, 0xfadf4c5fc81352f8}} {
		h := fnv.New64a()
		var b []byte
		for e := range Events(Options{Events: 20_000, Keys: c.keys}) {
			b = e.AppendValue(e.AppendKey(b[:0]), SchemaID)
			_, _ = h.Write(b)
		}
		if got := h.Sum64(); got != c.want {
			t.Errorf("%s: hash %#x, want %#x", c.keys, got, c.want)
		}
	}
}

// TestValues decodes values with another Avro and compares every field.
func TestValues(t *testing.T) {
	codec, err := goavro.NewCodec(Schema)
	if err != nil {
		t.Fatal(err)
	}
	size, n := 0, 0
	for e := range Events(Options{Events: 5_000}) {
		v := e.AppendValue(nil, 7)
		if string(v[:5]) != "\x00\x00\x00\x00\x07" {
			t.Fatalf("header % x", v[:5])
		}
		native, rest, err := codec.NativeFromBinary(v[5:])
		if err != nil || len(rest) > 0 {
			t.Fatalf("decode % x: %v, %d bytes left", v, err, len(rest))
		}
		m := native.(map[string]any)
		if m["user_id"] != UserID(e.User) || m["amount"] != e.Amount || m["country"] != e.Country ||
			m["card_present"] != e.CardPresent || !m["ts"].(time.Time).Equal(e.Time) {
			t.Fatalf("decoded %v, want %+v", m, *e)
		}
		if got := string(e.AppendKey(nil)); got != m["user_id"] {
			t.Fatalf("key %s, user %s", got, m["user_id"])
		}
		size += len(v) + len(e.AppendKey(nil))
		n++
	}
	if mean := size / n; mean < 44 || mean > 50 {
		t.Errorf("%d bytes an event, want about 47", mean)
	}
}

// TestShape checks what the figures of docs/benchmarks say of the workload.
func TestShape(t *testing.T) {
	o := Options{Events: 200_000}
	users, behind, n := map[uint32]int{}, 0, 0
	newest, oldest := time.Time{}, time.Time{}
	for e := range Events(o) {
		users[e.User]++
		if oldest.IsZero() || e.Time.Before(oldest) {
			oldest = e.Time
		}
		if newest.After(e.Time) {
			behind++
			if newest.Sub(e.Time) > Disorder {
				t.Fatalf("event %d comes %v late", n, newest.Sub(e.Time))
			}
		} else {
			newest = e.Time
		}
		n++
	}
	if n != o.Events {
		t.Errorf("%d events, want %d", n, o.Events)
	}
	if share := float64(behind) / float64(n); share < 0.09 || share > 0.11 {
		t.Errorf("%.3f of the events are out of order, want a tenth", share)
	}
	if span := newest.Sub(oldest); span < 119*time.Minute || span > 2*time.Hour {
		t.Errorf("events span %v, want 2 h", span)
	}
	if share := float64(users[0]) / float64(n); share < 0.05 || share > 0.15 {
		t.Errorf("the busiest user has %.3f of the events", share)
	}
}

// TestLoad produces to a real Kafka and reads the same events back, in order within each user.
func TestLoad(t *testing.T) {
	b := kafkatest.Shared(t)
	const n = 20_000
	o := Options{Events: n, Users: 500}
	b.Topic(t, "load", 4)
	if _, err := Load(t.Context(), b.Addr, "load", o); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for e := range Events(o) {
		k := string(e.AppendKey(nil))
		want[k] = append(want[k], string(e.AppendValue(nil, SchemaID)))
	}
	partitions := map[int32]bool{}
	for _, r := range b.Consume(t, "load", n) {
		k := string(r.Key)
		if len(want[k]) == 0 || want[k][0] != string(r.Value) {
			t.Fatalf("offset %d of partition %d is not the next event of %s", r.Offset, r.Partition, k)
		}
		want[k] = want[k][1:]
		partitions[r.Partition] = true
	}
	if len(partitions) != 4 {
		t.Errorf("events are in %d partitions, want 4", len(partitions))
	}
}
