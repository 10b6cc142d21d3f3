package stream

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// consume reads n records of a topic by an independent client.
func consume(t *testing.T, c *kfake.Cluster, topic string, n int) []*kgo.Record {
	t.Helper()
	cl := producer(t, c, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d records of %s", len(out), n, topic)
		}
		out = append(out, f.Records()...)
	}
	return out
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return "-"
}

func deadTopic(t *testing.T, c *kfake.Cluster, log *logged) *DeadTopic {
	t.Helper()
	d, err := NewDeadTopic(DeadConfig{
		Kafka: &pipeline.Kafka{Brokers: c.ListenAddrs()}, Topic: "tx.dead", Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.back = backoff{first: time.Millisecond, most: 10 * time.Millisecond}
	t.Cleanup(d.Close)
	return d
}

func letterOf(i int) *feature.DeadLetter {
	return &feature.DeadLetter{
		Source: "tx", Partition: int32(i % 3), Offset: int64(i), View: "v", Reason: "decode", Detail: "it is short",
		Timestamp: event.Time(i) * 1e6, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i),
	}
}

// The topic is created; requests that fail are repeated; nothing is missing and keys stay null.
func TestDeadTopic(t *testing.T) {
	c := broker(t, 0)
	log := &logged{}
	d := deadTopic(t, c, log)
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 3})
	const n = 5000
	for i := range n {
		l := letterOf(i)
		if i == 7 {
			l.Key, l.Value, l.Timestamp = nil, nil, event.MinTime
		}
		if err := d.Send(l); err != nil {
			t.Fatal(err)
		}
		l.Value = append(l.Value[:0], "overwritten"...) // Send keeps a copy
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range consume(t, c, "tx.dead", n) {
		offset := header(r, HeaderOffset)
		seen[offset] = true
		if offset == "7" {
			if r.Key != nil || r.Value != nil || header(r, HeaderTimestamp) != "-" {
				t.Errorf("offset 7: key %v, value %v", r.Key, r.Value)
			}
			continue
		}
		if string(r.Key) != "k"+offset || string(r.Value) != "v"+offset || header(r, HeaderSource) != "tx" || header(r, HeaderView) != "v" ||
			header(r, HeaderReason) != "decode" || header(r, HeaderDetail) != "it is short" || header(r, HeaderPartition) == "-" {
			t.Fatalf("offset %s: got %s %s %v", offset, r.Key, r.Value, r.Headers)
		}
	}
	if len(seen) != n {
		t.Errorf("%d letters, want %d", len(seen), n)
	}
	if log.count("waiting to write dead letters") != 1 || log.count("writing dead letters again") != 1 {
		t.Errorf("not said once:\n%s", log.b.String())
	}
}

// Flush waits for the broker until its context ends, and a later one writes what is left.
func TestDeadTopicWaits(t *testing.T) {
	c := broker(t, 0)
	d := deadTopic(t, c, &logged{})
	f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	if err := d.Send(letterOf(1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Flush(ctx); err == nil {
		t.Fatal("flushed though the broker refuses")
	}
	f.Remove()
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := consume(t, c, "tx.dead", 1); string(r[0].Value) != "v1" {
		t.Fatalf("got %s", r[0].Value)
	}
}

// A value that the broker finds too large is cut, and its letter says so.
func TestDeadTopicLarge(t *testing.T) {
	c := broker(t, 0, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "100000"}))
	d := deadTopic(t, c, &logged{})
	big := letterOf(1)
	big.Value = bytes.Repeat([]byte("x"), 300_000)
	for _, l := range []*feature.DeadLetter{letterOf(0), big, letterOf(3)} {
		l.Partition = 0
		if err := d.Send(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := consume(t, c, "tx.dead", 3)
	if string(got[0].Value) != "v0" || string(got[2].Value) != "v3" {
		t.Fatalf("got %q and %q around it", got[0].Value, got[2].Value)
	}
	if v := got[1]; header(v, HeaderTruncated) != "300000" || string(v.Value) != strings.Repeat("x", deadKeepBytes) {
		t.Fatalf("cut to %d bytes, truncated %s", len(v.Value), header(v, HeaderTruncated))
	}
}

func TestProduce(t *testing.T) {
	c := broker(t, 0)
	k := &pipeline.Kafka{Brokers: c.ListenAddrs(), Topic: "tx"}
	spec := TopicSpec{Name: "tx", Partitions: 4, Forever: true}
	for range 2 { // the second time it exists
		if err := CreateTopic(t.Context(), k, spec); err != nil {
			t.Fatal(err)
		}
	}
	if info := c.TopicInfo("tx"); info == nil || *info.Configs["retention.ms"] != "-1" {
		t.Fatalf("topic %+v", info)
	}
	const n = 3000
	for _, codec := range []string{"", "gzip", "snappy", "lz4", "zstd"} {
		got, err := Produce(t.Context(), ProduceConfig{Kafka: k, Topic: "tx", Codec: codec, Batch: 1000}, func(yield func(Message, error) bool) {
			for i := range n {
				if !yield(Message{Key: fmt.Appendf(nil, "k%d", i%10), Value: fmt.Append(nil, i), Timestamp: event.Time(i+1) * 1000}, nil) {
					return
				}
			}
		})
		if got != n || err != nil {
			t.Fatal(got, err)
		}
	}
	all := consume(t, c, "tx", 5*n)
	if len(all) != 5*n {
		t.Fatalf("%d records, want %d", len(all), 5*n)
	}
	place := map[string]int32{}
	last := map[string]int{}
	for _, r := range all {
		key := string(r.Key)
		if p, ok := place[key]; ok && p != r.Partition {
			t.Fatalf("key %s in partitions %d and %d", key, p, r.Partition)
		}
		place[key] = r.Partition
		var i int
		fmt.Sscan(string(r.Value), &i)
		if want := int64(i + 1); r.Timestamp.UnixMilli() != want {
			t.Fatalf("record %d has time %d, want %d", i, r.Timestamp.UnixMilli(), want)
		}
		if prev, ok := last[key]; ok && i != (prev+10)%n {
			t.Fatalf("key %s: %d after %d", key, i, prev)
		}
		last[key] = i
	}
	if _, err := Produce(t.Context(), ProduceConfig{Kafka: k, Topic: "tx", Codec: "rar"}, func(func(Message, error) bool) {}); err == nil {
		t.Fatal("codec rar is accepted")
	}
}
