package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// broker starts an embedded broker with a topic tx of some partitions; 0: without the topic.
func broker(t *testing.T, partitions int32, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	opts = append(opts, kfake.NumBrokers(1))
	if partitions > 0 {
		opts = append(opts, kfake.SeedTopics(partitions, "tx"))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func kafkaSourceOf(t *testing.T, addrs []string) *pipeline.Source {
	s := testSource(t)
	s.Kafka = &pipeline.Kafka{Brokers: addrs, Topic: "tx", Start: pipeline.Start{At: event.MinTime}}
	return s
}

// producer returns a franz-go client, an independent implementation of the protocol.
func producer(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func txRecord(i int) *kgo.Record {
	return &kgo.Record{
		Topic: "tx", Key: fmt.Appendf(nil, "u%d", i%7), Value: framed(1, datum(fmt.Sprintf("u%d", i%7), float64(i), int64(i)*1000)),
		Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
	}
}

func produce(t *testing.T, cl *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func txRecords(from, to int) []*kgo.Record {
	var out []*kgo.Record
	for i := from; i < to; i++ {
		out = append(out, txRecord(i))
	}
	return out
}

// amounts are the amounts handed over, in order.
func amounts(p recorded) []float64 {
	var out []float64
	for _, g := range p.got {
		if g.reason == "" {
			out = append(out, g.slots[1].Double())
		}
	}
	return out
}

func TestKafkaCodecs(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			c := broker(t, 3)
			cl := producer(t, c, kgo.ProducerBatchCompression(codec))
			const n = 5000
			for i := range n {
				r := txRecord(i)
				r.Partition = int32(i % 3)
				cl.Produce(context.Background(), r, nil)
			}
			if err := cl.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			rec := newRecorder()
			r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs())), FetchBytes: 16 << 10}, rec)
			eventually(t, "all records", func() bool { return rec.total() >= n })
			if err := r.end(); err != nil {
				t.Fatal(err)
			}
			for p := range 3 {
				s := rec.snapshot("tx", int32(p))
				for i, g := range s.got {
					at := i*3 + p
					want := txRecord(at)
					if g.offset != int64(i) || g.reason != "" || g.key != string(want.Key) || g.value != string(want.Value) ||
						g.slots[0].Str != string(want.Key) || g.slots[1].Double() != float64(at) || g.slots[2].Time() != event.Time(at)*1e6 ||
						g.ts != want.Timestamp.UnixMicro() || g.arrival != g.ts {
						t.Fatalf("partition %d, record %d: got %+v, want that of %d", p, i, g, at)
					}
				}
				if s.at != int64(len(s.got)) || !s.atEnd {
					t.Fatalf("partition %d: ended at %d, at the end %v, want %d", p, s.at, s.atEnd, len(s.got))
				}
				if s.slack > chunkRecords {
					t.Fatalf("partition %d: %d records between two Ends", p, s.slack)
				}
			}
			if rec.total() != n {
				t.Fatalf("got %d records, want %d", rec.total(), n)
			}
			if lag, known := r.Lag(); lag != 0 || !known {
				t.Fatalf("lag %d, known %v", lag, known)
			}
		})
	}
}

func TestKafkaRestart(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecords(0, 100)...)
	rec := newRecorder()
	cfg := Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}
	r := start(t, cfg, rec)
	eventually(t, "100 records", func() bool { return rec.total() == 100 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	produce(t, cl, txRecords(100, 150)...)
	rec = rec.restart()
	r = start(t, cfg, rec)
	eventually(t, "50 records", func() bool { return rec.total() == 50 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if got := rec.snapshot("tx", 0).got; got[0].offset != 100 || got[49].offset != 149 {
		t.Fatalf("read offsets %d to %d again, want 100 to 149", got[0].offset, got[49].offset)
	}
}

func TestKafkaLossAtStart(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecords(0, 10)...)
	rec := newRecorder()
	cfg := Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}
	r := start(t, cfg, rec)
	eventually(t, "10 records", func() bool { return rec.total() == 10 })
	_ = r.end()
	produce(t, cl, txRecords(10, 50)...)
	deleteTo(t, cl, 30)
	r = start(t, cfg, rec.restart())
	err := r.wait(t)
	var loss *LossError
	if !errors.As(err, &loss) || loss.From != 10 || loss.To != 30 || loss.Partition != 0 || loss.Source != "tx" {
		t.Fatalf("got %v, want the loss of [10, 30)", err)
	}
	if !strings.Contains(loss.Hint(), "--accept-loss") {
		t.Fatalf("hint %q", loss.Hint())
	}

	cfg.AcceptLoss = true
	rec = rec.restart()
	r = start(t, cfg, rec)
	eventually(t, "20 records", func() bool { return rec.total() == 20 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	s := rec.snapshot("tx", 0)
	if len(s.lost) != 1 || s.lost[0] != [2]int64{10, 30} || s.got[0].offset != 30 {
		t.Fatalf("lost %v, first offset %d", s.lost, s.got[0].offset)
	}
}

// deleteTo removes the records of tx/0 below an offset.
func deleteTo(t *testing.T, cl *kgo.Client, offset int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 1000
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = "tx"
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Offset = offset
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(context.Background(), cl)
	if err != nil {
		t.Fatal(err)
	}
	if code := res.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("delete records: code %d", code)
	}
}
