package stream

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

func TestKafkaBadValues(t *testing.T) {
	c := broker(t, 1)
	good := txRecord(0).Value
	values := []struct {
		value  []byte
		reason string
	}{
		{good, ""},
		{nil, "empty"},
		{[]byte{}, "empty"},
		{[]byte{1, 0, 0, 0, 1, 2}, "magic"},
		{[]byte("{\"user\": 1}"), "magic"},
		{[]byte{0, 0, 0}, "truncated"},
		{good[:len(good)-3], "decode"},
		{append(append([]byte{}, good...), 1), "decode"},
		{framed(1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), "decode"},
		{good, ""},
	}
	cl := producer(t, c)
	for i, v := range values {
		key := fmt.Appendf(nil, "k%d", i)
		if i == 1 {
			key = nil
		}
		produce(t, cl, &kgo.Record{Topic: "tx", Key: key, Value: v.value})
	}
	rec := newRecorder()
	readAll(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}, rec, len(values))
	s := rec.snapshot("tx", 0)
	if len(s.got) != len(values) {
		t.Fatalf("got %d records, want %d", len(s.got), len(values))
	}
	for i, g := range s.got {
		if g.reason != values[i].reason || g.offset != int64(i) || g.value != string(values[i].value) || g.nullValue != (values[i].value == nil) {
			t.Errorf("record %d: got %+v, want reason %q", i, g, values[i].reason)
		}
		if (g.reason == "") != (g.detail == "") || g.nullKey != (i == 1) {
			t.Errorf("record %d: detail %q, key null %v", i, g.detail, g.nullKey)
		}
	}
}

// registry starts a schema registry; while shut is set it answers 503.
func registry(t *testing.T) (reg *srfake.Registry, shut *atomic.Bool) {
	t.Helper()
	reg, shut = srfake.New(), new(atomic.Bool)
	t.Cleanup(reg.Close)
	reg.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if shut.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return shut.Load()
	})
	return reg, shut
}

func withRegistry(src *pipeline.Source, reg *srfake.Registry) *pipeline.Source {
	src.Registry = &pipeline.RegistryRef{URL: reg.URL(), Subject: "tx-value"}
	return src
}

// waiting is why a partition waits.
func waiting(r *running, n int32) string {
	for _, p := range r.Status()[0].Partitions {
		if p.Partition == n {
			return p.Waiting
		}
	}
	return ""
}

func TestKafkaRegistry(t *testing.T) {
	c := broker(t, 2)
	reg, shut := registry(t)
	src := withRegistry(kafkaSourceOf(t, c.ListenAddrs()), reg)
	ref := *src.Registry
	one, err := Register(context.Background(), ref, testSchema)
	if err != nil {
		t.Fatal(err)
	}
	// A later version, reordered, with a field more and one promoted.
	two, err := Register(context.Background(), ref, `{"type":"record","name":"Tx","fields":[
		{"name":"more","type":"long"},{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},
		{"name":"amount","type":"float"},{"name":"user","type":"string"}]}`)
	if err != nil || one == two {
		t.Fatal(one, two, err)
	}
	second := append([]byte{4, 2}, 0, 0, 0x80, 0x3f, 4, 'v', '2') // more 2, ts 1 ms, amount 1, user v2
	cl := producer(t, c)
	send := func(value []byte) { produce(t, cl, &kgo.Record{Topic: "tx", Value: value}) }
	send(Frame(nil, one, datum("u", 5, 7)))
	send(Frame(nil, 999, datum("u", 5, 7)))
	send(Frame(nil, two, second))
	rec := newRecorder()
	readAll(t, Config{Plan: testPlan(src)}, rec, 3)
	s := rec.snapshot("tx", 0)
	if s.got[0].reason != "" || s.got[0].slots[1].Double() != 5 {
		t.Errorf("first version: %+v", s.got[0])
	}
	if s.got[1].reason != "schema" || !strings.Contains(s.got[1].detail, "999") {
		t.Errorf("unknown id: %+v", s.got[1])
	}
	if g := s.got[2]; g.reason != "" || g.slots[0].Str != "v2" || g.slots[1].Double() != 1 || g.slots[2].Time() != 1000 {
		t.Errorf("second version: %+v", g)
	}

	// The registry is away: what is known is read on, what is not waits, and resumes by itself.
	three, err := Register(context.Background(), ref, strings.Replace(testSchema, `"Tx"`, `"Tx","doc":"3"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	shut.Store(true)
	send(Frame(nil, three, datum("u", 6, 7)))
	rec = rec.restart()
	r := start(t, Config{Plan: testPlan(src)}, rec)
	eventually(t, "waiting", func() bool { return strings.Contains(waiting(r, 0), "registry") })
	shut.Store(false)
	eventually(t, "the record", func() bool { return rec.total() == 1 })
	if g := rec.snapshot("tx", 0).got[0]; g.reason != "" || g.slots[1].Double() != 6 {
		t.Errorf("after the registry came back: %+v", g)
	}
	if r.log.count("waiting: ") != 1 {
		t.Errorf("not said once:\n%s", r.log.b.String())
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

// A writer's schema that does not resolve stops its partition with the reason, and no other.
func TestKafkaUnresolvable(t *testing.T) {
	c := broker(t, 2)
	reg, _ := registry(t)
	src := withRegistry(kafkaSourceOf(t, c.ListenAddrs()), reg)
	good, err := Register(context.Background(), *src.Registry, testSchema)
	if err != nil {
		t.Fatal(err)
	}
	bad, err := Register(context.Background(), *src.Registry, `{"type":"record","name":"Tx","fields":[{"name":"user","type":"string"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	cl := producer(t, c)
	produce(t, cl,
		&kgo.Record{Topic: "tx", Value: Frame(nil, good, datum("a", 1, 1))},
		&kgo.Record{Topic: "tx", Value: Frame(nil, bad, []byte{2, 'b'})},
		&kgo.Record{Topic: "tx", Value: Frame(nil, good, datum("c", 3, 1))},
		&kgo.Record{Topic: "tx", Partition: 1, Value: Frame(nil, good, datum("d", 4, 1))})
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(src)}, rec)
	eventually(t, "stopped", func() bool {
		w := waiting(r, 0)
		return strings.Contains(w, "amount") || strings.Contains(w, "ts")
	})
	eventually(t, "the other partition", func() bool { return len(rec.snapshot("tx", 1).got) == 1 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if s := rec.snapshot("tx", 0); len(s.got) != 1 || s.at != 1 {
		t.Fatalf("partition 0: %d records, ended at %d, want 1 and 1", len(s.got), s.at)
	}
}

func TestKafkaArrival(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	base := time.UnixMilli(1_700_000_000_000)
	now := event.FromGo(base)
	for _, d := range []time.Duration{-time.Second, time.Hour, -time.Minute, 2 * time.Hour} {
		r := txRecord(0)
		r.Timestamp = base.Add(d)
		produce(t, cl, r)
	}
	cfg := Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs())), Now: func() event.Time { return now }}
	first := newRecorder()
	readAll(t, cfg, first, 4)
	got := first.snapshot("tx", 0).got
	for i, want := range []event.Time{now - 1e6, now, now - 60e6, now} {
		if event.Time(got[i].arrival) != want {
			t.Errorf("record %d arrived at %v, want %v", i, event.Time(got[i].arrival), want)
		}
		if late := i == 1 || i == 3; late && !got[i].verdict {
			t.Errorf("record %d was added before the verdict was stored", i)
		}
	}
	// A crash before anything but the verdicts was durable: the replay, a day later and fetched in
	// other portions, repeats them.
	again := newRecorder()
	p := again.of("tx", 0)
	p.stored, p.arrivals = true, first.snapshot("tx", 0).arrivals
	cfg.Now, cfg.FetchBytes = func() event.Time { return now + 86400e6 }, 1
	readAll(t, cfg, again, 4)
	for i, g := range again.snapshot("tx", 0).got {
		if g.arrival != got[i].arrival {
			t.Errorf("record %d arrived at %d when replayed, %d before", i, g.arrival, got[i].arrival)
		}
	}
	if n := len(again.snapshot("tx", 0).arrivals); n != len(p.arrivals) {
		t.Errorf("the replay stored %d verdicts more", n-len(p.arrivals))
	}
	// A crash after durable heads had seen them all, and a clock that was set back: the same.
	back := newRecorder()
	q := back.of("tx", 0)
	q.stored, q.arrivals, q.seen, q.haveSeen = true, first.snapshot("tx", 0).arrivals, first.snapshot("tx", 0).seen, true
	if last := got[3]; q.seen.Offset < last.offset {
		q.seen = feature.Seen{Offset: last.offset, Timestamp: event.Time(last.ts), CRC: last.crc}
	}
	cfg.Now = func() event.Time { return now - 3600e6 }
	readAll(t, cfg, back, 4)
	for i, g := range back.snapshot("tx", 0).got {
		if g.arrival != got[i].arrival {
			t.Errorf("record %d arrived at %d when replayed by an earlier clock, %d before", i, g.arrival, got[i].arrival)
		}
	}
}

func TestKafkaBomb(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			c := broker(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "33554432"}))
			small, big := producer(t, c), producer(t, c, kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(16<<20))
			produce(t, small, txRecord(0))
			produce(t, big, &kgo.Record{Topic: "tx", Value: make([]byte, 8<<20)})
			produce(t, small, txRecord(2))
			rec := newRecorder()
			readAll(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs())), BatchLimit: 1 << 20}, rec, 3)
			s := rec.snapshot("tx", 0)
			if len(s.got) != 3 || s.got[0].reason != "" || s.got[1].reason != "batch" || s.got[1].offset != 1 || s.got[2].reason != "" {
				t.Fatalf("got %+v", s.got)
			}
			if !strings.Contains(s.got[1].detail, "more than the limit") {
				t.Fatalf("detail %q", s.got[1].detail)
			}
		})
	}
}

func TestKafkaSASLAndTLS(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mech := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mech, func(t *testing.T) {
			c := broker(t, 1, kfake.EnableSASL(), kfake.Superuser(mech, "me", "secret"), kfake.TLS(cert.TLS.Clone()))
			src := kafkaSourceOf(t, c.ListenAddrs())
			src.Kafka.TLS = &pipeline.TLS{CA: ca, ServerName: "example.com"}
			src.Kafka.SASL = &pipeline.SASL{Mechanism: mech, Username: "me", Password: "secret"}
			n, err := Produce(context.Background(), ProduceConfig{Kafka: src.Kafka, Topic: "tx"}, func(yield func(Message, error) bool) {
				yield(Message{Key: []byte("k"), Value: txRecord(0).Value}, nil)
			})
			if n != 1 || err != nil {
				t.Fatal(n, err)
			}
			rec := newRecorder()
			readAll(t, Config{Plan: testPlan(src)}, rec, 1)

			wrong := *src.Kafka
			wrong.SASL = &pipeline.SASL{Mechanism: mech, Username: "me", Password: "wrong"}
			src.Kafka = &wrong
			r := start(t, Config{Plan: testPlan(src)}, newRecorder())
			eventually(t, "a reason", func() bool { return r.Status()[0].Waiting != "" })
			if w := r.Status()[0].Waiting; strings.Contains(w, "wrong") || !strings.Contains(w, "SASL") {
				t.Fatalf("waiting: %s", w)
			}
			if err := r.end(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
