package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/penstock-ml/penstock/pipeline"
)

// Timeouts of the wire.
const (
	dialTimeout    = 5 * time.Second
	requestTimeout = 30 * time.Second
	metadataTTL    = 2 * time.Second // leader moves are seen within it
)

// cluster is a connection to the brokers of one source.
type cluster struct {
	k         *pipeline.Kafka
	addr      net.Addr
	transport *kafka.Transport
}

// newCluster prepares the connection to k's brokers; nothing is dialled yet. Only topics are asked
// about, so that a broker which creates what is asked for has no reason to create others.
func newCluster(k *pipeline.Kafka, topics ...string) (*cluster, error) {
	t := &kafka.Transport{
		Dial:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		DialTimeout:    dialTimeout,
		IdleTimeout:    time.Minute,
		MetadataTTL:    metadataTTL,
		MetadataTopics: topics,
		ClientID:       k.ClientID,
	}
	var err error
	if t.TLS, err = tlsConfig(k.TLS); err != nil {
		return nil, err
	}
	if t.SASL, err = mechanism(k.SASL); err != nil {
		return nil, err
	}
	return &cluster{k: k, addr: kafka.TCP(k.Brokers...), transport: t}, nil
}

func (c *cluster) close() { c.transport.CloseIdleConnections() }

func tlsConfig(t *pipeline.TLS) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read CA certificates: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA certificates: %s holds none in PEM form", t.CA)
		}
	}
	if t.Cert != "" {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}

func mechanism(s *pipeline.SASL) (sasl.Mechanism, error) {
	if s == nil {
		return nil, nil
	}
	switch strings.ToUpper(s.Mechanism) {
	case "PLAIN":
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	}
	return nil, fmt.Errorf("SASL mechanism %q is not known: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
}

// partitions counts the partitions of topic.
func (c *cluster) partitions(ctx context.Context, topic string) (int32, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.addr, &metadata.Request{TopicNames: []string{topic}})
	if err != nil {
		return 0, err
	}
	for _, t := range m.(*metadata.Response).Topics {
		if t.Name != topic {
			continue
		}
		if t.ErrorCode != 0 {
			return 0, kafka.Error(t.ErrorCode)
		}
		return int32(len(t.Partitions)), nil
	}
	return 0, kafka.UnknownTopicOrPartition
}

// Timestamps that ListOffsets gives a meaning to.
const (
	logStart = -2
	logEnd   = -1
)

// offset asks for an offset of a partition: its start, its end (of all that is written, transactions
// under way too), or the first record of a timestamp in milliseconds and later; -1 if there is none.
func (c *cluster) offset(ctx context.Context, topic string, partition int32, at int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.addr, &listoffsets.Request{
		ReplicaID: -1,
		Topics: []listoffsets.RequestTopic{{Topic: topic, Partitions: []listoffsets.RequestPartition{{
			Partition: partition, CurrentLeaderEpoch: -1, Timestamp: at,
		}}}},
	})
	if err != nil {
		return 0, err
	}
	topics := m.(*listoffsets.Response).Topics
	if len(topics) != 1 || len(topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("ask for offsets of %s/%d: the answer is about something else", topic, partition)
	}
	p := topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return 0, kafka.Error(p.ErrorCode)
	}
	return p.Offset, nil
}

// bounds asks for the start and end of a partition's log.
func (c *cluster) bounds(ctx context.Context, topic string, partition int32) (start, end int64, err error) {
	if start, err = c.offset(ctx, topic, partition, logStart); err != nil {
		return 0, 0, err
	}
	end, err = c.offset(ctx, topic, partition, logEnd)
	return start, end, err
}

// fetch sends r, which must not be used again after an error: its buffer may still be written.
func (c *cluster) fetch(ctx context.Context, r *fetchRequest) (*fetchResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout+r.maxWait)
	defer cancel()
	r.ctx, r.clientID = ctx, c.k.ClientID
	m, err := c.transport.RoundTrip(ctx, c.addr, r)
	if err != nil {
		return nil, err
	}
	return m.(*fetchResponse), nil
}

// explain says in words that stay equal from attempt to attempt why brokers cannot be asked.
func (c *cluster) explain(err error) string {
	who := "broker " + strings.Join(c.k.Brokers, ", ")
	if len(c.k.Brokers) > 1 {
		who = "brokers " + strings.Join(c.k.Brokers, ", ")
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && op.Addr != nil {
		who = "broker " + op.Addr.String()
	}
	var dns *net.DNSError
	var kerr kafka.Error
	var timeout interface{ Timeout() bool }
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("host %s of a broker is not known", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return who + " refuses"
	case errors.As(err, &cert):
		return who + " has a certificate that is not trusted: " + cert.Err.Error()
	case errors.As(err, &kerr):
		return who + " answers: " + kerr.Title()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return who + " does not answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		if c.k.SASL != nil {
			return who + " closes the connection: it may not accept the SASL credentials, or expect TLS otherwise than it is set"
		}
		return who + " closes the connection: it may expect TLS or SASL"
	case errors.As(err, &op):
		return who + " cannot be reached: " + op.Err.Error()
	}
	return who + " cannot be used: " + err.Error()
}
