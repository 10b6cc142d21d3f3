package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/penstock-ml/penstock/event"
)

// transaction writes records in one transaction of a client of its own, and ends it.
func transaction(t *testing.T, cl *kgo.Client, commit kgo.TransactionEndTry, records ...*kgo.Record) {
	t.Helper()
	ctx := context.Background()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, cl, records...)
	if err := cl.EndTransaction(ctx, commit); err != nil {
		t.Fatal(err)
	}
}

func TestKafkaTransactions(t *testing.T) {
	c := broker(t, 1)
	plain := producer(t, c)
	a := producer(t, c, kgo.TransactionalID("a"))
	b := producer(t, c, kgo.TransactionalID("b"))
	produce(t, plain, txRecords(0, 3)...)
	transaction(t, a, kgo.TryAbort, txRecords(100, 110)...)
	transaction(t, a, kgo.TryCommit, txRecords(3, 6)...)
	// Two transactions at once, one of each end, and records without any between them.
	for _, cl := range []*kgo.Client{a, b} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	produce(t, a, txRecords(200, 205)...)
	produce(t, b, txRecords(6, 8)...)
	produce(t, plain, txRecords(8, 9)...)
	produce(t, a, txRecords(205, 210)...)
	produce(t, b, txRecords(9, 12)...)
	if err := a.EndTransaction(context.Background(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if err := b.EndTransaction(context.Background(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	// The same producer commits after it aborted.
	transaction(t, a, kgo.TryCommit, txRecords(12, 15)...)
	transaction(t, b, kgo.TryAbort, txRecords(300, 303)...)

	for _, fetch := range []int{1, 200, 1 << 20} { // one batch a fetch, a few, all
		t.Run(fmt.Sprint(fetch), func(t *testing.T) {
			rec := newRecorder()
			r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs())), FetchBytes: fetch}, rec)
			end := endOffset(t, plain, "tx", 0)
			eventually(t, "the end", func() bool { return rec.snapshot("tx", 0).at == end })
			if err := r.end(); err != nil {
				t.Fatal(err)
			}
			s := rec.snapshot("tx", 0)
			var want []float64
			for i := range 15 {
				want = append(want, float64(i))
			}
			got := amounts(s)
			if slices.Sort(got); !slices.Equal(got, want) || !s.atEnd {
				t.Fatalf("read %v, want 0 to 14", got)
			}
		})
	}
}

// An open transaction holds back what follows it; once it ends, reading goes on.
func TestKafkaOpenTransaction(t *testing.T) {
	c := broker(t, 1)
	plain, a := producer(t, c), producer(t, c, kgo.TransactionalID("a"))
	produce(t, plain, txRecords(0, 3)...)
	if err := a.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, a, txRecords(3, 5)...)
	produce(t, plain, txRecords(5, 7)...)
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}, rec)
	eventually(t, "what is stable", func() bool { s := rec.snapshot("tx", 0); return len(s.got) == 3 && s.atEnd })
	if err := a.EndTransaction(context.Background(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rest", func() bool { return len(rec.snapshot("tx", 0).got) == 7 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

// endOffset asks for a partition's end by an independent client.
func endOffset(t *testing.T, cl *kgo.Client, topic string, partition int32) int64 {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, -1
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	for _, sh := range cl.RequestSharded(context.Background(), req) {
		if sh.Err != nil {
			t.Fatal(sh.Err)
		}
		for _, rt := range sh.Resp.(*kmsg.ListOffsetsResponse).Topics {
			return rt.Partitions[0].Offset
		}
	}
	t.Fatal("no answer")
	return 0
}

func deleteTopic(t *testing.T, cl *kgo.Client, name string) {
	t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames = []string{name}
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = &name
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(context.Background(), cl)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

func makeTopic(t *testing.T, cl *kgo.Client, name string, partitions int32) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	req.Topics = append(req.Topics, topic)
	res, err := req.RequestWith(context.Background(), cl)
	if err != nil || res.Topics[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

// readAll reads tx/0 to an offset and stops.
func readAll(t *testing.T, cfg Config, rec *recorder, n int) {
	t.Helper()
	r := start(t, cfg, rec)
	eventually(t, fmt.Sprint(n, " records"), func() bool { return rec.total() >= n })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

func TestKafkaRecreatedShorter(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecords(0, 10)...)
	cfg := Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}
	rec := newRecorder()
	readAll(t, cfg, rec, 10)
	deleteTopic(t, cl, "tx")
	makeTopic(t, cl, "tx", 1)
	cl2 := producer(t, c)
	produce(t, cl2, txRecords(100, 104)...)

	err := start(t, cfg, rec.restart()).wait(t)
	var loss *LossError
	if !errors.As(err, &loss) || loss.From != 4 || loss.To != 10 {
		t.Fatalf("got %v, want the loss of [4, 10)", err)
	}

	// Accepted: positions are identities, so reading goes on behind those that were counted.
	cfg.AcceptLoss = true
	rec = rec.restart()
	r := start(t, cfg, rec)
	eventually(t, "the mark", func() bool { return len(rec.snapshot("tx", 0).lost) == 1 })
	eventually(t, "waiting", func() bool { return r.log.count("waiting for the log to pass them") == 1 })
	produce(t, cl2, txRecords(104, 115)...)
	eventually(t, "5 records", func() bool { return rec.total() == 5 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if s := rec.snapshot("tx", 0); s.got[0].offset != 10 || s.lost[0] != [2]int64{4, 10} {
		t.Fatalf("lost %v, first offset %d", s.lost, s.got[0].offset)
	}
}

func TestKafkaRecreatedAsLong(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecords(0, 10)...)
	cfg := Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}
	rec := newRecorder()
	readAll(t, cfg, rec, 10)
	deleteTopic(t, cl, "tx")
	makeTopic(t, cl, "tx", 1)
	produce(t, producer(t, c), txRecords(100, 120)...)
	err := start(t, cfg, rec.restart()).wait(t)
	var loss *LossError
	if !errors.As(err, &loss) || loss.To != 10 || loss.From != 9 {
		t.Fatalf("got %v, want offset 9 to hold another record", err)
	}
}

func TestKafkaFewerPartitions(t *testing.T) {
	c := broker(t, 3)
	cl := producer(t, c)
	for p := range int32(3) {
		r := txRecord(int(p))
		r.Partition = p
		produce(t, cl, r)
	}
	cfg := Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}
	rec := newRecorder()
	readAll(t, cfg, rec, 3)
	deleteTopic(t, cl, "tx")
	makeTopic(t, cl, "tx", 2)
	err := start(t, cfg, rec.restart()).wait(t)
	var loss *LossError
	if !errors.As(err, &loss) || loss.Partition != 2 {
		t.Fatalf("got %v, want the loss of partition 2", err)
	}
}

// While End blocks, the log's start moves past what is to be read next.
func TestKafkaLossWhileRunning(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c, kgo.ProducerBatchMaxBytes(1024))
	for i := range 50 {
		produce(t, cl, txRecord(i)) // a batch each
	}
	rec := newRecorder()
	rec.block = make(chan struct{})
	go func() { rec.block <- struct{}{} }() // the first End, which marks the start
	r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs())), FetchBytes: 1}, rec)
	eventually(t, "the first record", func() bool { return rec.total() == 1 })
	deleteTo(t, cl, 40)
	close(rec.block)
	var loss *LossError
	if err := r.wait(t); !errors.As(err, &loss) || loss.To != 40 || loss.From < 1 || loss.From > 3 {
		t.Fatalf("got %v, want the loss of [2, 40)", err)
	}
}

// Deleting what was read already is nobody's loss, and neither is compaction.
func TestKafkaHoles(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecords(0, 20)...)
	cfg := Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}
	rec := newRecorder()
	readAll(t, cfg, rec, 20)
	deleteTo(t, cl, 20)
	produce(t, cl, txRecords(20, 30)...)
	rec = rec.restart()
	readAll(t, cfg, rec, 10)
	if got := rec.snapshot("tx", 0).got; got[0].offset != 20 {
		t.Fatalf("first offset %d, want 20", got[0].offset)
	}
}

func TestKafkaTopicLater(t *testing.T) {
	c := broker(t, 0, kfake.AllowAutoTopicCreation())
	cl := producer(t, c)
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}, rec)
	eventually(t, "waiting", func() bool { return r.Status()[0].Waiting == "topic tx does not exist yet" })
	if c.TopicInfo("tx") != nil {
		t.Fatal("asking for the topic created it")
	}
	makeTopic(t, cl, "tx", 2)
	produce(t, producer(t, c), txRecords(0, 5)...)
	eventually(t, "5 records", func() bool { return rec.total() == 5 })
	if r.log.count("waiting: topic tx does not exist yet") != 1 || r.Status()[0].Waiting != "" {
		t.Fatalf("the log does not say once what was waited for: %s", r.log.b.String())
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

func TestKafkaBrokerAway(t *testing.T) {
	dir := t.TempDir()
	c := broker(t, 1, kfake.DataDir(dir))
	addrs := c.ListenAddrs()
	var port int
	if _, err := fmt.Sscanf(addrs[0], "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	produce(t, producer(t, c), txRecords(0, 10)...)
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, addrs))}, rec)
	eventually(t, "10 records", func() bool { return rec.total() == 10 })
	c.Close()
	eventually(t, "waiting", func() bool { return waiting(r, 0) != "" })
	eventually(t, "refused", func() bool {
		return waiting(r, 0) == fmt.Sprintf("broker 127.0.0.1:%d refuses", port)
	})
	c2, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.Ports(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c2.Close)
	produce(t, producer(t, c2), txRecords(10, 20)...)
	eventually(t, "20 records", func() bool { return rec.total() == 20 })
	if r.log.count("refuses\"") > 2 { // the warning, and what was waited for
		t.Fatalf("said again and again:\n%s", r.log.b.String())
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	for i, g := range rec.snapshot("tx", 0).got {
		if g.offset != int64(i) {
			t.Fatalf("record %d has offset %d", i, g.offset)
		}
	}
}

func TestKafkaNewPartitions(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecord(0))
	rec := newRecorder()
	src := kafkaSourceOf(t, c.ListenAddrs())
	src.Kafka.Start.Latest = true
	r := start(t, Config{Plan: testPlan(src)}, rec)
	eventually(t, "the end", func() bool { return rec.snapshot("tx", 0).at == 1 })
	req := kmsg.NewPtrCreatePartitionsRequest()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = "tx", 3
	req.Topics = append(req.Topics, topic)
	if _, err := req.RequestWith(context.Background(), cl); err != nil {
		t.Fatal(err)
	}
	one := txRecord(7)
	one.Partition = 2
	eventually(t, "a partition to produce to", func() bool {
		return producer(t, c).ProduceSync(context.Background(), one).FirstErr() == nil
	})
	eventually(t, "its record, though start is latest", func() bool { return len(rec.snapshot("tx", 2).got) > 0 })
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if n := len(rec.snapshot("tx", 0).got); n != 0 {
		t.Fatalf("partition 0 was read from its start: %d records", n)
	}
}

func TestKafkaStart(t *testing.T) {
	c := broker(t, 1)
	produce(t, producer(t, c), txRecords(0, 10)...)
	for _, tc := range []struct {
		name string
		at   event.Time
		late bool
		want int64
	}{
		{"earliest", event.MinTime, false, 0},
		{"latest", 0, true, 10},
		{"instant", 1_700_000_000_004_000, false, 4},
		{"between two", 1_700_000_000_004_001, false, 5},
		{"after all", 1_800_000_000_000_000, false, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src := kafkaSourceOf(t, c.ListenAddrs())
			src.Kafka.Start.At, src.Kafka.Start.Latest = tc.at, tc.late
			rec := newRecorder()
			r := start(t, Config{Plan: testPlan(src)}, rec)
			eventually(t, "the end", func() bool { return rec.snapshot("tx", 0).at == 10 })
			if err := r.end(); err != nil {
				t.Fatal(err)
			}
			s := rec.snapshot("tx", 0)
			if int64(len(s.got)) != 10-tc.want || len(s.got) > 0 && s.got[0].offset != tc.want {
				t.Fatalf("read %d records, want those from offset %d", len(s.got), tc.want)
			}
			if s.ends[0] != tc.want {
				t.Fatalf("began at %d, want %d", s.ends[0], tc.want)
			}
		})
	}
}

func TestKafkaIdle(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecord(0))
	src := kafkaSourceOf(t, c.ListenAddrs())
	src.Idle = event.Millisecond
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(src)}, rec)
	eventually(t, "idle", func() bool { return rec.snapshot("tx", 0).left == 1 })
	produce(t, cl, txRecord(1))
	eventually(t, "idle again", func() bool { return rec.snapshot("tx", 0).left == 2 })
	began := time.Now()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 400*time.Millisecond {
		t.Fatalf("stopping took %v: it waits for the fetch under way", took)
	}
	n := rec.total()
	produce(t, cl, txRecord(2))
	if rec.total() != n {
		t.Fatal("a record was added after Run returned")
	}
}

func TestKafkaShowsOffsets(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecords(0, 10)...)
	src := kafkaSourceOf(t, c.ListenAddrs())
	src.Kafka.Group = "shown"
	rec := newRecorder()
	p := rec.of("tx", 0)
	r := start(t, Config{Plan: testPlan(src), Commit: time.Millisecond}, rec)
	eventually(t, "10 records", func() bool { return rec.total() == 10 })
	rec.mu.Lock()
	p.stored, p.next = true, 7 // durable so far
	rec.mu.Unlock()
	eventually(t, "offset 7 at the group", func() bool {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = "shown"
		topic := kmsg.NewOffsetFetchRequestTopic()
		topic.Topic, topic.Partitions = "tx", []int32{0}
		req.Topics = append(req.Topics, topic)
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "shown"
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.Partitions = "tx", []int32{0}
		g.Topics = append(g.Topics, gt)
		req.Groups = append(req.Groups, g)
		res, err := req.RequestWith(context.Background(), cl)
		if err != nil {
			t.Fatal(err)
		}
		return len(res.Groups) == 1 && len(res.Groups[0].Topics) == 1 && res.Groups[0].Topics[0].Partitions[0].Offset == 7
	})
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}

func TestStoreFails(t *testing.T) {
	c := broker(t, 1)
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}, rec)
	eventually(t, "reading", func() bool { return len(rec.snapshot("tx", 0).ends) > 0 })
	rec.cause = errors.New("disk is full")
	close(rec.fail)
	if err := r.wait(t); !errors.Is(err, rec.cause) {
		t.Fatalf("got %v, want that the disk is full", err)
	}
}

func TestKafkaLeaderMoves(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(1, "tx"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}, rec)
	for i := range 4 {
		produce(t, producer(t, c), txRecords(10*i, 10*i+10)...)
		eventually(t, "its records", func() bool { return rec.total() == 10*i+10 })
		if err := c.MoveTopicPartition("tx", 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	for i, g := range rec.snapshot("tx", 0).got {
		if g.offset != int64(i) {
			t.Fatalf("record %d has offset %d", i, g.offset)
		}
	}
}

// A batch that is damaged on the broker stops its partition, which says so once and tries again.
func TestKafkaDamagedBatch(t *testing.T) {
	c := broker(t, 1)
	cl := producer(t, c)
	produce(t, cl, txRecord(0))
	produce(t, cl, txRecord(1))
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		f := req.(*kmsg.FetchRequest)
		if f.Topics[0].Partitions[0].FetchOffset != 0 {
			return nil, nil, false
		}
		res := f.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = "tx"
		p := kmsg.NewFetchResponseTopicPartition()
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = 2, 2, 0
		value := txRecord(0).Value
		p.RecordBatches = build(t, 0, 0, 0, 0, 0, []kmsg.Record{{Value: value}}, 0)
		p.RecordBatches[len(p.RecordBatches)-3] ^= 1
		topic.Partitions = append(topic.Partitions, p)
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
	rec := newRecorder()
	r := start(t, Config{Plan: testPlan(kafkaSourceOf(t, c.ListenAddrs()))}, rec)
	var tries int
	eventually(t, "some attempts", func() bool {
		if strings.Contains(waiting(r, 0), "checksum") {
			tries++
		}
		return tries > 100
	})
	if r.log.count("waiting: ") != 1 {
		t.Errorf("not said once:\n%s", r.log.b.String())
	}
	if rec.total() != 0 {
		t.Error("a record of a damaged batch was handed over")
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
}
