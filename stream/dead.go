package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Headers of a dead letter in a topic. Key and value are those of the record, unchanged.
const (
	HeaderSource    = "penstock-source"
	HeaderPartition = "penstock-partition"
	HeaderOffset    = "penstock-offset"
	HeaderView      = "penstock-view"      // empty: every view of the source
	HeaderReason    = "penstock-reason"    // a word
	HeaderDetail    = "penstock-detail"    // a sentence
	HeaderTimestamp = "penstock-timestamp" // of the record, RFC 3339; absent if it has none
	// HeaderTruncated holds the size of a value that the broker finds too large and that was cut.
	HeaderTruncated = "penstock-truncated"
)

// Bounds of a DeadTopic.
const (
	deadQueueBytes   = 16 << 20
	deadRequestBytes = 512 << 10
	deadKeepBytes    = 64 << 10 // of a value that is too large for the broker
)

// DeadConfig says where dead letters go.
type DeadConfig struct {
	Kafka *pipeline.Kafka // how to reach the brokers
	Topic string
	Log   *slog.Logger // nil: discards
	// Done ends waiting in Send: once it is done, letters are queued beyond the bound of 16 MiB, for a
	// last Flush. Usually the context of Run.
	Done context.Context
}

// DeadTopic sends dead letters to a topic, at least once: one request at a time, acknowledged by all
// replicas, repeated until it succeeds. A topic that is missing is created, if that is allowed, with
// one partition and without retention. Safe for concurrent use.
type DeadTopic struct {
	cfg     DeadConfig
	log     *slog.Logger
	cluster *cluster
	client  *kafka.Client
	back    backoff
	turn    chan struct{} // held by the one that sends

	mu    sync.Mutex
	queue []letter
	size  int
	told  string
}

type letter struct {
	partition  int32 // of the record
	key, value []byte
	headers    []kafka.Header
	size       int
}

var _ feature.DeadSink = (*DeadTopic)(nil)

// NewDeadTopic prepares a DeadTopic; nothing is dialled yet. Close it.
func NewDeadTopic(cfg DeadConfig) (*DeadTopic, error) {
	if cfg.Kafka == nil {
		return nil, fmt.Errorf("write dead letters to topic %s: no brokers are known", cfg.Topic)
	}
	c, err := newCluster(cfg.Kafka, cfg.Topic)
	if err != nil {
		return nil, err
	}
	d := &DeadTopic{
		cfg: cfg, log: cfg.Log, cluster: c, turn: make(chan struct{}, 1),
		client: &kafka.Client{Addr: c.addr, Transport: c.transport},
		back:   backoff{first: 100 * time.Millisecond, most: 5 * time.Second},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.cfg.Done == nil {
		d.cfg.Done = context.Background()
	}
	return d, nil
}

// Close drops the connections, and what was not flushed.
func (d *DeadTopic) Close() { d.cluster.close() }

// Send queues a letter. While more than 16 MiB are queued it waits for the broker.
func (d *DeadTopic) Send(l *feature.DeadLetter) error {
	key, value := bytes.Clone(l.Key), bytes.Clone(l.Value)
	headers := []kafka.Header{
		{Key: HeaderSource, Value: []byte(l.Source)},
		{Key: HeaderPartition, Value: strconv.AppendInt(nil, int64(l.Partition), 10)},
		{Key: HeaderOffset, Value: strconv.AppendInt(nil, l.Offset, 10)},
		{Key: HeaderView, Value: []byte(l.View)},
		{Key: HeaderReason, Value: []byte(l.Reason)},
		{Key: HeaderDetail, Value: []byte(l.Detail)},
	}
	if l.Timestamp != event.MinTime {
		headers = append(headers, kafka.Header{Key: HeaderTimestamp, Value: []byte(l.Timestamp.String())})
	}
	size := len(key) + len(value) + 200
	for _, h := range headers {
		size += len(h.Key) + len(h.Value)
	}
	d.mu.Lock()
	d.queue = append(d.queue, letter{partition: l.Partition, key: key, value: value, headers: headers, size: size})
	d.size += size
	full := d.size > deadQueueBytes
	d.mu.Unlock()
	if full {
		_ = d.Flush(d.cfg.Done) // its error is that Done is done: the last Flush will say so
	}
	return nil
}

// Flush returns when everything that was sent before is acknowledged, or with an error when ctx ends.
func (d *DeadTopic) Flush(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for attempt := 0; ; {
		list := d.head()
		if len(list) == 0 {
			return nil
		}
		err := d.send(ctx, list)
		if err == nil {
			d.drop(list)
			d.tell("")
			attempt = 0
			continue
		}
		if ctx.Err() == nil {
			d.tell(d.cluster.explain(err))
		}
		if !d.back.pause(ctx, attempt) {
			return fmt.Errorf("write to %s: %w", d.cfg.Topic, errors.Join(err, ctx.Err()))
		}
		attempt++
	}
}

// head returns what the next request may hold: letters of one partition, in order.
func (d *DeadTopic) head() []letter {
	d.mu.Lock()
	defer d.mu.Unlock()
	size := 0
	for i, l := range d.queue {
		if size += l.size; i > 0 && (size > deadRequestBytes || l.partition != d.queue[0].partition) {
			return d.queue[:i]
		}
	}
	return d.queue
}

func (d *DeadTopic) drop(list []letter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range list {
		d.size -= l.size
	}
	d.queue = d.queue[len(list):]
	if len(d.queue) == 0 {
		d.queue = nil
	}
}

// tell says once what is waited for, and that it is over.
func (d *DeadTopic) tell(why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if why == d.told {
		return
	}
	if why != "" {
		d.log.Warn("waiting to write dead letters: "+why, "topic", d.cfg.Topic)
	} else {
		d.log.Info("writing dead letters again", "topic", d.cfg.Topic)
	}
	d.told = why
}

// send writes letters in one request.
func (d *DeadTopic) send(ctx context.Context, list []letter) error {
	n, err := d.cluster.partitions(ctx, d.cfg.Topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		if err = createTopic(ctx, d.client, TopicSpec{Name: d.cfg.Topic, Partitions: 1, Forever: true}); err != nil {
			return fmt.Errorf("create topic %s: %w", d.cfg.Topic, err)
		}
		n, err = d.cluster.partitions(ctx, d.cfg.Topic)
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return kafka.LeaderNotAvailable
	}
	err = d.produce(ctx, list, list[0].partition%n)
	if !errors.Is(err, kafka.MessageSizeTooLarge) && !errors.Is(err, kafka.RecordListTooLarge) {
		return err
	}
	for i := range list { // one by one, and what is too large by itself is cut
		one := list[i : i+1]
		if err = d.produce(ctx, one, list[0].partition%n); errors.Is(err, kafka.MessageSizeTooLarge) {
			err = d.produce(ctx, []letter{cut(one[0])}, list[0].partition%n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cut shortens a value that a broker does not take, and says so in a header.
func cut(l letter) letter {
	size := strconv.AppendInt(nil, int64(len(l.value)), 10)
	l.headers = append(slices.Clip(l.headers), kafka.Header{Key: HeaderTruncated, Value: size})
	l.value = l.value[:min(len(l.value), deadKeepBytes)]
	return l
}

func (d *DeadTopic) produce(ctx context.Context, list []letter, partition int32) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	now := time.Now()
	records := make([]kafka.Record, len(list))
	for i, l := range list {
		records[i] = kafka.Record{Time: now, Key: kafka.NewBytes(l.key), Value: kafka.NewBytes(l.value), Headers: l.headers}
	}
	res, err := d.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: d.cfg.Topic, Partition: int(partition), RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err != nil {
		return err
	}
	return res.Error
}
