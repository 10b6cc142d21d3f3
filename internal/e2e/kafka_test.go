package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/penstock-ml/penstock/internal/kafkatest"
)

// python sends records with librdkafka, in one go or in a transaction, if that can be used here; else
// with franz-go.
func (s *scenario) python(t *testing.T, b *kafkatest.Broker, source string, from, to, of int) {
	l := s.logs[source]
	n := len(l.records)
	list := l.records[n*from/of : n*to/of]
	producers := kafkatest.Producers()
	p := producers[len(producers)-1]
	if len(producers) == 1 {
		t.Log("no Python with confluent-kafka: no records of a client in another language")
	}
	for i, codec := range codecNames {
		part := list[len(list)*i/len(codecNames) : len(list)*(i+1)/len(codecNames)]
		out := make([]kafkatest.Record, len(part))
		for k, r := range part {
			out[k] = kafkatest.Record{
				Partition: r.partition, Key: r.key, Value: r.value, Time: r.arrival,
				Headers: []kafkatest.Header{{Key: idHeader, Value: strconv.AppendInt(nil, int64(r.id), 10)}},
			}
		}
		ends := [][]string{{""}, {"commit"}, {"abort", ""}, {"abort", "commit"}, {""}}[i]
		for _, end := range ends {
			p.Produce(t, b, l.name, kafkatest.Producing{Codec: codec, Transaction: end}, out)
		}
	}
}

// TestKafka is the whole on a real Kafka: several partitions, all codecs, transactions, a client in
// another language, a topic that comes late, restarts of the broker and of penstock, dead letters in a
// topic.
func TestKafka(t *testing.T) {
	b := kafkatest.Start(t)
	rng := rand.New(rand.NewPCG(seed(t), 2))
	brokers := []string{b.Addr}
	const parts = 6
	s := newScenario(t, rng, brokers, 3000, 4, "alpha.dead")
	b.Topic(t, "alpha", 4)
	dir := filepath.Join(t.TempDir(), "state")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	// One topic does not exist yet: said once, and everything else works.
	proc := start(t, s.file, dir)
	eventually(t, 30*time.Second, func() error {
		if !strings.Contains(proc.log.String(), "topic beta does not exist yet") {
			return fmt.Errorf("nothing is said of the missing topic:\n%s", proc.log)
		}
		return nil
	})
	for _, path := range []string{"/healthz", "/", "/metrics", "/v1/pipeline"} {
		if code, body, err := proc.get(path); err != nil || code != http.StatusOK {
			t.Errorf("GET %s without the topic: %d %v %.200s", path, code, err, body)
		}
	}
	b.Topic(t, "beta", 4)
	must(s.produce(t, 0, 1, parts))
	must(proc.beyond(t, 0, 30*time.Second))
	if n := strings.Count(proc.log.String(), "topic beta does not exist yet"); n != 1 && !strings.Contains(proc.log.String(), "reading again") {
		t.Errorf("the missing topic is mentioned %d times:\n%s", n, proc.log)
	}
	proc.kill(t)

	proc = start(t, s.file, dir)
	s.python(t, b, "a", 1, 2, parts)
	s.python(t, b, "b", 1, 2, parts)
	must(b.Restart(t.Context()))
	var before float64
	eventually(t, 30*time.Second, func() (err error) { before, err = proc.records(); return err })
	must(s.produce(t, 2, 3, parts))
	must(proc.beyond(t, before, 30*time.Second))
	must(b.Kill(t.Context()))
	proc.kill(t)
	proc = start(t, s.file, dir) // while the broker is away
	must(b.Start(t.Context()))
	must(s.produce(t, 3, 4, parts))
	_ = pause(t.Context(), time.Second)
	proc.stop(t)
	must(s.produce(t, 4, 5, parts))
	proc = start(t, s.file, dir)
	must(s.produce(t, 5, 6, parts))

	w := s.world(t)
	w.wait(t, proc)
	w.counters(t, proc)
	w.lookups(t, proc, rng, 8)
	spines := w.spines(t, rng, 100)
	first, second := t.TempDir(), t.TempDir()
	exports(t, spines, first, "--server", proc.url)
	for _, topic := range []string{"alpha", "beta"} {
		ends, err := b.EndOffsets(t.Context(), topic)
		must(err)
		eventually(t, 30*time.Second, func() error {
			if got := committedOffsets(t, brokers, "e2e", topic, 4); fmt.Sprint(got) != fmt.Sprint(ends) {
				return fmt.Errorf("group e2e shows %v of %s, whose end is %v", got, topic, ends)
			}
			return nil
		})
	}
	proc.stop(t)
	w.deadTopic(t, s.logs["a"])
	w.deadLetters(t, s, dir)

	calm := filepath.Join(t.TempDir(), "state")
	proc = start(t, s.file, calm)
	w.wait(t, proc)
	exports(t, spines, second, "--state", calm)
	proc.stop(t)
	sameFiles(t, first, second)
}

// deleteRecords moves the start of a partition's log, as retention would.
func deleteRecords(t *testing.T, brokers []string, topic string, partition int32, before int64) {
	t.Helper()
	c := client(t, brokers)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 30_000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = partition, before
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	for _, shard := range c.RequestSharded(t.Context(), req) {
		if shard.Err != nil {
			t.Fatal(shard.Err)
		}
		for _, rt := range shard.Resp.(*kmsg.DeleteRecordsResponse).Topics {
			for _, p := range rt.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

const lossPipeline = `pipeline: loss
state: {memory: 256MiB, flush: 100ms}
sources:
  s:
    kafka: {brokers: [%q], topic: %s}
    schema: {registry: %q}
    time: ts
    idle: 12h
entities: {user: {user: string}}
views:
  v: {source: s, entity: user, features: {n: {count: "*"}}}
`

func TestKafkaLoss(t *testing.T) {
	b := kafkatest.Shared(t)
	b.Topic(t, "loss", 1)
	loss(t, []string{b.Addr}, "loss")
}

func TestLoss(t *testing.T) {
	loss(t, embedded(t, 1, "loss"), "loss")
}

// loss removes records that were not read yet: the process must stop and say which, or, told to accept
// it, go on and mark its answers.
func loss(t *testing.T, brokers []string, topic string) {
	url, ids := startRegistry(t, topic+"-value")
	file, _ := compile(t, fmt.Sprintf(lossPipeline, brokers[0], topic, url))
	dir := filepath.Join(t.TempDir(), "state")
	rng := rand.New(rand.NewPCG(1, 1))
	c := client(t, brokers)
	send := func(n int) {
		t.Helper()
		for i := range n {
			p := makePurchase(rng, i, firstInstant)
			name, at := "u", firstInstant
			p.user, p.ts = &name, &at
			value, err := p.encode(rng, ids)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: value, Timestamp: time.UnixMicro(at)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(proc *server, n float64) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			m, err := proc.metrics()
			if err == nil && m[`penstock_records_read_total{source="s"}`] != n {
				err = fmt.Errorf("%v records are read, want %v", m[`penstock_records_read_total{source="s"}`], n)
			}
			return err
		})
	}
	send(10)
	proc := start(t, file, dir)
	read(proc, 10)
	proc.stop(t)
	send(20)
	deleteRecords(t, brokers, topic, 0, 25)

	proc = launch(t, file, dir)
	if code := proc.exit(t); code != 1 {
		t.Errorf("exit code %d over lost records, want 1", code)
	}
	for _, want := range []string{"records [10, 25) of " + topic + "/0 are lost", "the log starts at offset 25", "hint: ", "--accept-loss"} {
		if !strings.Contains(proc.log.String(), want) {
			t.Errorf("the message lacks %q:\n%s", want, proc.log)
		}
	}

	proc = start(t, file, dir, "--accept-loss")
	read(proc, 15)
	ask := func() string {
		code, body, err := proc.post("/v1/features", map[string]any{"view": "v", "entities": []any{map[string]any{"user": "u"}}, "as_of": "latest"})
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %s %v", code, body, err)
		}
		return string(body)
	}
	if got := ask(); !strings.Contains(got, `"values":[15],"status":["incomplete"]`) {
		t.Errorf("answer after accepted loss: %s", got)
	}
	proc.stop(t)
	proc = start(t, file, dir) // what was accepted is not asked again
	eventually(t, 30*time.Second, func() error {
		if code, body, err := proc.get("/readyz"); err != nil || code != http.StatusOK {
			return fmt.Errorf("readyz: %d %s %v", code, body, err)
		}
		return nil
	})
	read(proc, 15)
	if got := ask(); !strings.Contains(got, `"values":[15],"status":["incomplete"]`) {
		t.Errorf("answer after a restart behind accepted loss: %s", got)
	}
	proc.stop(t)
}
