package flights

import (
	"context"
	"fmt"
	"iter"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

// Stream is one of the two topics of flights.
type Stream struct {
	Topic      string
	Partitions int
	Schema     string // in JSON
	Append     func(dst []byte, f *Flight) []byte
	id         uint32
}

// Target is where flights are produced to: a Kafka cluster and a schema registry.
type Target struct {
	Kafka      pipeline.Kafka
	Registry   pipeline.RegistryRef // its subject is each topic's
	Departures Stream
	Arrivals   Stream
}

// NewTarget returns a target with topics departures and arrivals of the given schemas.
func NewTarget(brokers []string, registry, departures, arrivals string) *Target {
	return &Target{
		Kafka:      pipeline.Kafka{Brokers: brokers, ClientID: "penstock-flights"},
		Registry:   pipeline.RegistryRef{URL: registry},
		Departures: Stream{Topic: "departures", Partitions: 2, Schema: departures, Append: AppendDeparture},
		Arrivals:   Stream{Topic: "arrivals", Partitions: 2, Schema: arrivals, Append: AppendArrival},
	}
}

// Prepare registers the schemas and creates the topics. Records carry the time of their event, years
// ago, so the topics are kept for ever: a broker deletes by that time.
func (t *Target) Prepare(ctx context.Context) error {
	for _, s := range []*Stream{&t.Departures, &t.Arrivals} {
		ref := t.Registry
		ref.Subject = s.Topic + "-value"
		id, err := stream.Register(ctx, ref, s.Schema)
		if err != nil {
			return err
		}
		s.id = id
		spec := stream.TopicSpec{Name: s.Topic, Partitions: s.Partitions, Forever: true}
		if err := stream.CreateTopic(ctx, &t.Kafka, spec); err != nil {
			return err
		}
	}
	return nil
}

// Send produces events in order, keyed by aircraft, and returns how many were acknowledged. A wait is
// called before each event and ends the sending by false; nil sends as fast as it goes.
func (t *Target) Send(ctx context.Context, s *Stream, events []Event, wait func(event.Time) bool) (int64, error) {
	cfg := stream.ProduceConfig{Kafka: &t.Kafka, Topic: s.Topic}
	if wait != nil {
		cfg.Batch = 1 // each as it happens
	}
	n, err := stream.Produce(ctx, cfg, t.messages(s, events, wait))
	if err != nil {
		return n, fmt.Errorf("send %s: %w", s.Topic, err)
	}
	return n, nil
}

func (t *Target) messages(s *Stream, events []Event, wait func(event.Time) bool) iter.Seq2[stream.Message, error] {
	return func(yield func(stream.Message, error) bool) {
		var datum []byte
		for _, e := range events {
			if wait != nil && !wait(e.Time) {
				return
			}
			datum = s.Append(datum[:0], e.Flight)
			m := stream.Message{Key: []byte(e.Flight.Tail), Value: stream.Frame(nil, s.id, datum), Timestamp: e.Time}
			if !yield(m, nil) {
				return
			}
		}
	}
}
