package kafkatest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producing says how records are produced.
type Producing struct {
	Codec string // none, gzip, snappy, lz4, zstd; empty: none
	// Transaction produces in one transaction: "commit" or "abort". Empty: none.
	Transaction string
}

// Producer is a client that shares no code with Penstock.
type Producer struct {
	Name    string
	Produce func(t testing.TB, b *Broker, topic string, how Producing, records []Record)
}

// Producers returns every independent client that can be used here: franz-go, and librdkafka through
// Python where that is installed.
func Producers() []Producer {
	out := []Producer{{"franz-go", Produce}}
	if _, err := python(); err == nil {
		out = append(out, Producer{"librdkafka", PythonProduce})
	}
	return out
}

// Produce produces with franz-go and returns when the broker has acknowledged every record.
func Produce(t testing.TB, b *Broker, topic string, how Producing, records []Record) {
	t.Helper()
	codec, ok := map[string]kgo.CompressionCodec{
		"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[how.Codec]
	if !ok {
		t.Fatalf("produce to %s: no codec %q", topic, how.Codec)
	}
	opts := []kgo.Opt{kgo.ProducerBatchCompression(codec), kgo.RequiredAcks(kgo.AllISRAcks())}
	if how.Transaction != "" {
		opts = append(opts, kgo.TransactionalID("kafkatest-"+topic))
	}
	c, err := b.client(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if how.Transaction != "" {
		if err := c.BeginTransaction(); err != nil {
			t.Fatalf("produce to %s: begin: %v", topic, err)
		}
	}
	batch := make([]*kgo.Record, len(records))
	for i, r := range records {
		batch[i] = &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Time}
		for _, h := range r.Headers {
			batch[i].Headers = append(batch[i].Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	if err := c.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
	if how.Transaction != "" {
		if err := c.EndTransaction(t.Context(), kgo.TransactionEndTry(how.Transaction == "commit")); err != nil {
			t.Fatalf("produce to %s: %s: %v", topic, how.Transaction, err)
		}
	}
}

//go:embed testdata/produce.py
var script []byte

// python returns an interpreter that has confluent_kafka: PENSTOCK_PYTHON, else python3.
func python() (string, error) {
	name := os.Getenv("PENSTOCK_PYTHON")
	if name == "" {
		name = "python3"
	}
	if out, err := exec.Command(name, "-c", "import confluent_kafka").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s has no confluent_kafka: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return name, nil
}

// PythonProduce produces with librdkafka from Python. It skips the test, loudly, without a Python that
// has the package confluent-kafka, unless PENSTOCK_REQUIRE_PYTHON=1 makes that a failure.
func PythonProduce(t testing.TB, b *Broker, topic string, how Producing, records []Record) {
	t.Helper()
	interpreter, err := python()
	if err != nil {
		if os.Getenv("PENSTOCK_REQUIRE_PYTHON") == "1" {
			t.Fatalf("PENSTOCK_REQUIRE_PYTHON=1: %v", err)
		}
		const line = "SKIPPED: no Python with confluent-kafka: tests with a client in another language did not run"
		fmt.Fprintln(os.Stderr, line)
		t.Skip(line + ": " + err.Error())
	}
	path := filepath.Join(t.TempDir(), "produce.py")
	if err := os.WriteFile(path, script, 0o600); err != nil {
		t.Fatal(err)
	}
	codec := how.Codec
	if codec == "" {
		codec = "none"
	}
	cmd := exec.CommandContext(t.Context(), interpreter, path, b.Addr, topic, codec, how.Transaction)
	var in bytes.Buffer
	enc := json.NewEncoder(&in) // byte slices as base64, nil ones as null
	for _, r := range records {
		line := map[string]any{"partition": r.Partition, "key": r.Key, "value": r.Value, "headers": r.Headers}
		if !r.Time.IsZero() {
			line["timestamp_ms"] = r.Time.UnixMilli()
		}
		if err := enc.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("produce to %s from Python: %v\n%s", topic, err, out)
	}
}

// ConsoleProduce sends lines of text as values with Kafka's own console producer, a Java client.
func ConsoleProduce(t testing.TB, b *Broker, topic, lines string) {
	t.Helper()
	if err := b.c.CopyToContainer(t.Context(), []byte(lines), "/tmp/lines", 0o644); err != nil {
		t.Fatalf("copy lines to the broker's container: %v", err)
	}
	_, err := b.Exec(t.Context(), "sh", "-c",
		"exec /opt/kafka/bin/kafka-console-producer.sh --bootstrap-server "+inside+" --topic "+topic+" </tmp/lines")
	if err != nil {
		t.Fatalf("produce to %s with the console producer: %v", topic, err)
	}
}
