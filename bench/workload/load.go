package workload

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// SchemaID is the id in the header of values that Load produces.
const SchemaID = 1

// Load produces the events to a topic that exists: lz4, keyed by user (or by merchant), partitioned by the
// key's hash as Java's client does, acknowledged, in order within each partition. The record's timestamp is the
// event's time, so the topic needs retention.ms=-1.
func Load(ctx context.Context, broker, topic string, o Options) (time.Duration, error) {
	c, err := kgo.NewClient(
		kgo.SeedBrokers(broker),
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerBatchMaxBytes(900<<10),
		kgo.ProducerLinger(50*time.Millisecond),
		kgo.MaxBufferedRecords(200_000),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	if err != nil {
		return 0, fmt.Errorf("load %s: %w", topic, err)
	}
	defer c.Close()
	began := time.Now()
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	for e := range Events(o) {
		buf := make([]byte, 0, 64)
		if o.ByMerchant {
			buf = e.AppendMerchantID(buf)
		} else {
			buf = e.AppendKey(buf)
		}
		n := len(buf)
		buf = e.AppendValue(buf, SchemaID)
		c.Produce(ctx, &kgo.Record{Key: buf[:n:n], Value: buf[n:], Timestamp: e.Time}, done)
		if failed.Load() != nil {
			break
		}
	}
	if err := c.Flush(ctx); err != nil {
		return 0, fmt.Errorf("load %s: %w", topic, err)
	}
	if err := failed.Load(); err != nil {
		return 0, fmt.Errorf("load %s: %w", topic, *err)
	}
	return time.Since(began), nil
}
