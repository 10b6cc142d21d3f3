package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Message is one record to produce. A nil Key or Value is null.
type Message struct {
	Key, Value []byte
	Timestamp  event.Time // 0 or MinTime: the time of producing
}

// ProduceConfig says where messages go.
type ProduceConfig struct {
	Kafka *pipeline.Kafka // how to reach the brokers
	Topic string
	Codec string // none (default), gzip, snappy, lz4, zstd
	// Batch is how many messages are under way at a time; 0: 10,000. All of them are acknowledged by
	// all replicas before more are sent, so the order within a partition is that of the messages.
	Batch int
}

// Produce writes messages to a topic, each to the partition that Java's clients choose for its key
// (murmur2; without a key any), and returns how many are acknowledged. It stops at the first error:
// of those under way then, some may have been written.
func Produce(ctx context.Context, cfg ProduceConfig, messages iter.Seq2[Message, error]) (int64, error) {
	c, err := newCluster(cfg.Kafka, cfg.Topic)
	if err != nil {
		return 0, err
	}
	defer c.close()
	w := &kafka.Writer{
		Addr: c.addr, Transport: c.transport, Topic: cfg.Topic, Balancer: kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll, BatchSize: 5000, BatchBytes: 900 << 10, BatchTimeout: 5 * time.Millisecond,
	}
	defer w.Close()
	if cfg.Codec != "" && cfg.Codec != "none" {
		if err := w.Compression.UnmarshalText([]byte(cfg.Codec)); err != nil {
			return 0, fmt.Errorf("codec %q is not known: none, gzip, snappy, lz4, zstd", cfg.Codec)
		}
	}
	size := cfg.Batch
	if size <= 0 {
		size = 10_000
	}
	var done int64
	batch := make([]kafka.Message, 0, size)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := w.WriteMessages(ctx, batch...); err != nil {
			return fmt.Errorf("produce to %s: %w", cfg.Topic, firstError(err))
		}
		done += int64(len(batch))
		batch = batch[:0]
		return nil
	}
	for m, err := range messages {
		if err != nil {
			err = errors.Join(err, flush()) // before done is read
			return done, err
		}
		msg := kafka.Message{Key: m.Key, Value: m.Value}
		if m.Timestamp != 0 && m.Timestamp != event.MinTime {
			msg.Time = m.Timestamp.Go()
		}
		if batch = append(batch, msg); len(batch) == size {
			if err := flush(); err != nil {
				return done, err
			}
		}
	}
	err = flush() // before done is read
	return done, err
}

// firstError is the first of the errors that a writer gives for each message.
func firstError(err error) error {
	var list kafka.WriteErrors
	if errors.As(err, &list) {
		for _, e := range list {
			if e != nil {
				return e
			}
		}
	}
	return err
}

// TopicSpec is a topic to create.
type TopicSpec struct {
	Name       string
	Partitions int
	Replicas   int  // 0: the broker's default
	Forever    bool // retention.ms=-1: records whose timestamps are old are not deleted
	Configs    map[string]string
}

// CreateTopic creates a topic and waits until the brokers know it; one that exists stays as it is.
func CreateTopic(ctx context.Context, k *pipeline.Kafka, spec TopicSpec) error {
	c, err := newCluster(k, spec.Name)
	if err != nil {
		return err
	}
	defer c.close()
	if err := createTopic(ctx, &kafka.Client{Addr: c.addr, Transport: c.transport}, spec); err != nil {
		return fmt.Errorf("create topic %s: %w", spec.Name, err)
	}
	return nil
}

func createTopic(ctx context.Context, client *kafka.Client, spec TopicSpec) error {
	t := kafka.TopicConfig{Topic: spec.Name, NumPartitions: spec.Partitions, ReplicationFactor: spec.Replicas}
	if t.ReplicationFactor == 0 {
		t.ReplicationFactor = -1
	}
	if spec.Forever {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "-1"})
	}
	for name, value := range spec.Configs {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{t}})
	if err != nil {
		return err
	}
	if err := res.Errors[spec.Name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return err
	}
	return ctx.Err()
}

// Frame appends a datum in the Confluent wire format to dst: magic byte 0, schema id, datum.
func Frame(dst []byte, id uint32, datum []byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(dst, 0), id), datum...)
}

// maxRegistryAnswer bounds what is read of a registry's answer.
const maxRegistryAnswer = 1 << 20

// Register registers an Avro schema under a subject, as producers do, and returns its id.
func Register(ctx context.Context, ref pipeline.RegistryRef, avsc string) (uint32, error) {
	body, err := json.Marshal(map[string]string{"schema": avsc, "schemaType": "AVRO"})
	if err != nil {
		return 0, err
	}
	at := strings.TrimSuffix(ref.URL, "/") + "/subjects/" + url.PathEscape(ref.Subject) + "/versions"
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("register schema: %w", err)
	}
	req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	if ref.Username != "" {
		req.SetBasicAuth(ref.Username, ref.Password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("register schema: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxRegistryAnswer))
	if err != nil {
		return 0, fmt.Errorf("register schema: %w", err)
	}
	var said struct {
		ID      *uint32 `json:"id"`
		Message string  `json:"message"`
	}
	err = json.Unmarshal(answer, &said)
	if res.StatusCode/100 != 2 || err != nil || said.ID == nil {
		return 0, fmt.Errorf("register schema under %s: the registry answers %s: %.200s", ref.Subject, res.Status, said.Message)
	}
	return *said.ID, nil
}
