package kafkatest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Record is one record to produce, or one that was consumed.
type Record struct {
	Partition int32 // -1 to produce by the hash of the key
	Offset    int64 // of a consumed one
	Key       []byte
	Value     []byte
	Time      time.Time // milliseconds count; zero to produce at the clock's time
	Headers   []Header
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte
}

// ready waits until the broker answers and every partition of every topic has a leader.
func (b *Broker) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.leaders(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for broker %s: %w: %w", b.Addr, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// leaders asks with a connection of its own, so that nothing cached answers.
func (b *Broker) leaders(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := b.client()
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		return err
	}
	if len(resp.Brokers) == 0 {
		return fmt.Errorf("no broker is registered yet")
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("partition %d of %s: %w", p.Partition, *t.Topic, err)
			}
		}
	}
	return nil
}

func (b *Broker) client(opts ...kgo.Opt) (*kgo.Client, error) {
	opts = append([]kgo.Opt{kgo.SeedBrokers(b.Addr), kgo.RecordPartitioner(partitioner)}, opts...)
	return kgo.NewClient(opts...)
}

// partitioner honours Record.Partition and hashes the key as Java's client does for -1.
var partitioner = kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
	hash := kgo.StickyKeyPartitioner(nil).ForTopic("")
	return func(r *kgo.Record, n int) int {
		if r.Partition >= 0 {
			return int(r.Partition)
		}
		return hash.Partition(r, n)
	}
})

// Topic creates a topic whose records stay whatever their timestamps: event times of years ago as
// record timestamps would be deleted within a minute by the default retention.
func (b *Broker) Topic(t testing.TB, name string, partitions int) {
	t.Helper()
	if err := b.CreateTopic(t.Context(), name, partitions, nil); err != nil {
		t.Fatal(err)
	}
}

// CreateTopic is Topic for callers without a test; config adds to retention.ms=-1.
func (b *Broker) CreateTopic(ctx context.Context, name string, partitions int, config map[string]string) error {
	c, err := b.client()
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, int32(partitions), 1
	all := map[string]string{"retention.ms": "-1"}
	for k, v := range config {
		all[k] = v
	}
	for k, v := range all {
		entry := kmsg.NewCreateTopicsRequestTopicConfig()
		entry.Name, entry.Value = k, &v
		topic.Configs = append(topic.Configs, entry)
	}
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	for _, r := range resp.Topics {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	return b.ready(ctx)
}

// DeleteRecords moves the start of a partition's log to before, as retention would.
func (b *Broker) DeleteRecords(t testing.TB, topic string, partition int32, before int64) {
	t.Helper()
	c, err := b.client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 30_000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = partition, before
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), c)
	if err != nil {
		t.Fatalf("delete records of %s/%d below %d: %v", topic, partition, before, err)
	}
	for _, r := range resp.Topics {
		for _, p := range r.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				t.Fatalf("delete records of %s/%d below %d: %v", topic, partition, before, err)
			}
		}
	}
}

// Consume reads a topic from its start, committed records only, until it has n of them; the records of
// a partition come in offset order.
func (b *Broker) Consume(t testing.TB, topic string, n int) []Record {
	t.Helper()
	c, err := b.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []Record
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("consume %s: %d of %d records: %v", topic, len(out), n, err)
		}
		fetches.EachError(func(_ string, p int32, err error) { t.Fatalf("consume %s/%d: %v", topic, p, err) })
		fetches.EachRecord(func(r *kgo.Record) {
			rec := Record{Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Time: r.Timestamp}
			for _, h := range r.Headers {
				rec.Headers = append(rec.Headers, Header{h.Key, h.Value})
			}
			out = append(out, rec)
		})
	}
	return out
}

// EndOffsets returns the offset that the next record of each partition will have.
func (b *Broker) EndOffsets(ctx context.Context, topic string) (map[int32]int64, error) {
	c, err := b.client()
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	defer c.Close()
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	meta.Topics = append(meta.Topics, mt)
	known, err := meta.RequestWith(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for _, t := range known.Topics {
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Partition, rp.Timestamp = p.Partition, -1 // the end
			rt.Partitions = append(rt.Partitions, rp)
		}
	}
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	out := map[int32]int64{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("list offsets of %s/%d: %w", topic, p.Partition, err)
			}
			out[p.Partition] = p.Offset
		}
	}
	return out, nil
}
