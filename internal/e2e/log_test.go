package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// embedded starts the in-process broker with topics of some partitions, on a port that it keeps.
func embedded(t *testing.T, partitions int, topics ...string) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(int32(partitions), topics...),
		kfake.BrokerConfigs(map[string]string{"log.retention.ms": "-1"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func client(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// idHeader tells the tests which record stands where; Penstock does not look at headers.
const idHeader = "e2e-id"

// topicLog is a topic and what was made for it.
type topicLog struct {
	brokers []string
	name    string
	records []*record
	rng     *rand.Rand
	plain   []*kgo.Client // one for each codec
	txn     *kgo.Client

	deadTopic string // where its dead letters go; empty: kept in the state
}

var kgoCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

var codecNames = []string{"none", "gzip", "snappy", "lz4", "zstd"}

func newTopicLog(t *testing.T, rng *rand.Rand, brokers []string, name string, records []*record) *topicLog {
	l := &topicLog{brokers: brokers, name: name, records: records, rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	for _, codec := range codecNames {
		l.plain = append(l.plain, client(t, brokers, kgo.ProducerBatchCompression(kgoCodecs[codec])))
	}
	l.txn = client(t, brokers, kgo.TransactionalID("e2e-"+name), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	return l
}

func (l *topicLog) kgoRecords(list []*record) []*kgo.Record {
	out := make([]*kgo.Record, len(list))
	for i, r := range list {
		out[i] = &kgo.Record{
			Topic: l.name, Partition: r.partition, Key: r.key, Value: r.value, Timestamp: r.arrival,
			Headers: []kgo.RecordHeader{{Key: idHeader, Value: strconv.AppendInt(nil, int64(r.id), 10)}},
		}
	}
	return out
}

// produce sends records in chunks: each codec, and transactions of which some are aborted (and their
// records sent again, so that all are in the log once).
func (l *topicLog) produce(ctx context.Context, list []*record) error {
	for len(list) > 0 {
		n := min(1+l.rng.IntN(60), len(list))
		chunk := list[:n]
		list = list[n:]
		if l.rng.IntN(4) > 0 {
			if err := l.plain[l.rng.IntN(len(l.plain))].ProduceSync(ctx, l.kgoRecords(chunk)...).FirstErr(); err != nil {
				return fmt.Errorf("produce to %s: %w", l.name, err)
			}
			continue
		}
		ends := []kgo.TransactionEndTry{kgo.TryCommit}
		if l.rng.IntN(2) == 0 {
			ends = []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit}
		}
		for _, end := range ends {
			if err := l.txn.BeginTransaction(); err != nil {
				return fmt.Errorf("begin: %w", err)
			}
			if err := l.txn.ProduceSync(ctx, l.kgoRecords(chunk)...).FirstErr(); err != nil {
				return fmt.Errorf("produce to %s in a transaction: %w", l.name, err)
			}
			if err := l.txn.EndTransaction(ctx, end); err != nil {
				return fmt.Errorf("end transaction: %w", err)
			}
		}
	}
	return nil
}

// placed is a record where the log has it.
type placed struct {
	*record
	partition int32
	offset    int64
	timestamp time.Time
}

// read reads the whole topic back, committed records only, with a client that is not ours, and checks
// that it holds what was made.
func (l *topicLog) read(t *testing.T) []placed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := client(t, l.brokers, kgo.ConsumeTopics(l.name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	var out []placed
	seen := map[int]int{}
	for len(out) < len(l.records) {
		fetches := c.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("read %s: %d of %d records: %v", l.name, len(out), len(l.records), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			id, err := strconv.Atoi(string(r.Headers[0].Value))
			if err != nil {
				t.Fatalf("read %s/%d@%d: %v", l.name, r.Partition, r.Offset, err)
			}
			made := l.records[id]
			if !bytes.Equal(made.value, r.Value) || made.partition != r.Partition {
				t.Fatalf("read %s/%d@%d: not what was produced", l.name, r.Partition, r.Offset)
			}
			seen[id]++
			out = append(out, placed{made, r.Partition, r.Offset, r.Timestamp})
		})
	}
	if len(seen) != len(out) {
		t.Fatalf("%s holds %d records, %d different ones", l.name, len(out), len(seen))
	}
	return out
}

// rows are the records as the oracle takes them, with what each column of src must hold.
func rows(src *pipeline.Source, list []placed) []oracle.Record {
	out := make([]oracle.Record, len(list))
	for i, r := range list {
		out[i] = oracle.Record{Partition: r.partition, Offset: r.offset, Arrival: event.FromGo(r.timestamp), Dead: r.reason}
		if r.purchase == nil {
			continue
		}
		for _, c := range src.Columns {
			out[i].Slots = append(out[i].Slots, r.purchase.value(c.Name))
		}
	}
	return out
}

// committedOffsets are what a group shows to lag monitors.
func committedOffsets(t *testing.T, brokers []string, group, topic string, partitions int) map[int32]int64 {
	t.Helper()
	c := client(t, brokers)
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic = topic
	for p := range int32(partitions) {
		rt.Partitions = append(rt.Partitions, p)
	}
	req.Topics = append(req.Topics, rt)
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = topic, rt.Partitions
	rg.Topics = append(rg.Topics, gt)
	req.Groups = append(req.Groups, rg)
	out := map[int32]int64{}
	for _, shard := range c.RequestSharded(t.Context(), req) {
		if shard.Err != nil {
			return out // no coordinator yet
		}
		resp := shard.Resp.(*kmsg.OffsetFetchResponse)
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				out[p.Partition] = p.Offset
			}
		}
		for _, g := range resp.Groups {
			for _, rt := range g.Topics {
				for _, p := range rt.Partitions {
					out[p.Partition] = p.Offset
				}
			}
		}
	}
	return out
}
