package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Isolation levels of a fetch.
const (
	readUncommitted = 0
	readCommitted   = 1
)

// fetchRequest fetches one partition. It speaks the wire itself (protocol.RawExchanger), so that
// record sets arrive as bytes in our own buffer and kafka-go parses none of them; dialling, TLS, SASL,
// metadata and routing to the leader stay kafka-go's.
type fetchRequest struct {
	ctx       context.Context
	clientID  string
	topic     string
	partition int32
	offset    int64
	isolation int8
	maxBytes  int32
	maxWait   time.Duration
	limit     int    // greatest answer accepted, bytes
	buf       []byte // reused for the answer
	version   int16
}

// aborted is one aborted transaction that overlaps an answer.
type aborted struct {
	producer int64
	first    int64
}

// fetchResponse is the answer for one partition. Set aliases buf.
type fetchResponse struct {
	code      kafka.Error
	highWater int64
	stable    int64 // last stable offset; -1 if not told
	logStart  int64 // -1 if not told
	aborted   []aborted
	set       []byte
	buf       []byte
	at        time.Time // when it was there, by the machine's clock
}

// ApiKey is kafka-go's name for the kind of a message.
func (*fetchRequest) ApiKey() protocol.ApiKey { return protocol.Fetch }

// ApiKey is kafka-go's name for the kind of a message.
func (*fetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

// Broker routes the request to the partition's leader.
func (r *fetchRequest) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	none := protocol.Broker{ID: -1}
	topic, ok := cluster.Topics[r.topic]
	if !ok {
		return none, kafka.UnknownTopicOrPartition
	}
	part, ok := topic.Partitions[r.partition]
	if !ok {
		return none, kafka.UnknownTopicOrPartition
	}
	broker, ok := cluster.Brokers[part.Leader]
	if !ok {
		return none, kafka.LeaderNotAvailable
	}
	return broker, nil
}

// Required says that RawExchange is to be used, and learns the version agreed with the broker.
func (r *fetchRequest) Required(versions map[protocol.ApiKey]int16) bool {
	r.version = versions[protocol.Fetch]
	return true
}

const correlation = 0x70656e73 // any number: one request is under way on a connection

// RawExchange writes the request and reads the answer. It ends at once with the request's context.
func (r *fetchRequest) RawExchange(rw io.ReadWriter) (_ protocol.Message, err error) {
	if r.version < 4 || r.version > 11 {
		return nil, fmt.Errorf("fetch: the broker speaks version %d, not 4 to 11", r.version)
	}
	if c, ok := rw.(interface{ SetDeadline(time.Time) error }); ok {
		// The connection is closed after an error, so an early deadline harms nobody else.
		stop := context.AfterFunc(r.ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		defer func() {
			if !stop() && err == nil {
				err = context.Cause(r.ctx) // the deadline stands: this connection is done for
			}
		}()
	}
	if _, err := rw.Write(r.encode()); err != nil {
		return nil, fmt.Errorf("send fetch: %w", err)
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, fmt.Errorf("read fetch answer: %w", err)
	}
	size := int64(int32(binary.BigEndian.Uint32(head[:]))) - 4
	if size < 0 || size > int64(r.limit) {
		return nil, fmt.Errorf("fetch answer of %d bytes is beyond the limit of %d", size, r.limit)
	}
	if binary.BigEndian.Uint32(head[4:]) != correlation {
		return nil, errors.New("fetch answer belongs to another request")
	}
	buf := r.buf
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(rw, buf); err != nil {
		return nil, fmt.Errorf("read fetch answer: %w", err)
	}
	res := &fetchResponse{buf: buf, at: time.Now()}
	if err := res.decode(buf, r); err != nil {
		return nil, err
	}
	return res, nil
}

// encode writes the request, length first.
func (r *fetchRequest) encode() []byte {
	b := make([]byte, 4, 128+len(r.topic)+len(r.clientID))
	be := binary.BigEndian
	str := func(s string) {
		b = be.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	i32 := func(n int32) { b = be.AppendUint32(b, uint32(n)) }
	i64 := func(n int64) { b = be.AppendUint64(b, uint64(n)) }
	b = be.AppendUint16(b, uint16(protocol.Fetch))
	b = be.AppendUint16(b, uint16(r.version))
	i32(correlation)
	str(r.clientID)
	i32(-1) // no replica
	i32(int32(r.maxWait.Milliseconds()))
	i32(1)             // answer as soon as there is a byte
	i32(math.MaxInt32) // the partition's own bound, below, is what counts
	b = append(b, byte(r.isolation))
	if r.version >= 7 { // no fetch session
		i32(0)
		i32(-1)
	}
	i32(1)
	str(r.topic)
	i32(1)
	i32(r.partition)
	if r.version >= 9 {
		i32(-1) // leader epoch
	}
	i64(r.offset)
	if r.version >= 5 {
		i64(-1) // log start, for replicas
	}
	i32(r.maxBytes)
	if r.version >= 7 {
		i32(0) // forgotten topics
	}
	if r.version >= 11 {
		str("") // rack
	}
	be.PutUint32(b, uint32(len(b)-4))
	return b
}

// cursor reads big-endian fields; after the end it yields zeros and short is set.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.short, c.b = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) i16() int16 { return int16(binary.BigEndian.Uint16(c.take(2))) }
func (c *cursor) i32() int32 { return int32(binary.BigEndian.Uint32(c.take(4))) }
func (c *cursor) i64() int64 { return int64(binary.BigEndian.Uint64(c.take(8))) }

// decode reads the answer behind its correlation id.
func (f *fetchResponse) decode(b []byte, r *fetchRequest) error {
	c := &cursor{b: b}
	c.i32() // throttled, already waited for by the broker
	if r.version >= 7 {
		if code := kafka.Error(c.i16()); code != 0 {
			f.code = code
			return nil
		}
		c.i32() // session
	}
	if topics := c.i32(); topics != 1 || c.short {
		return fmt.Errorf("fetch answer holds %d topics, not 1", topics)
	}
	topic := string(c.take(int(c.i16())))
	parts := c.i32()
	partition := c.i32()
	if c.short || topic != r.topic || parts != 1 || partition != r.partition {
		return fmt.Errorf("fetch answer is for %s/%d, not %s/%d", topic, partition, r.topic, r.partition)
	}
	f.code = kafka.Error(c.i16())
	f.highWater = c.i64()
	f.stable = c.i64()
	f.logStart = -1
	if r.version >= 5 {
		f.logStart = c.i64()
	}
	for n := c.i32(); n > 0 && !c.short; n-- {
		f.aborted = append(f.aborted, aborted{producer: c.i64(), first: c.i64()})
	}
	if r.version >= 11 {
		c.i32() // preferred replica
	}
	if n := c.i32(); n > 0 {
		f.set = c.take(int(n))
	}
	if c.short {
		return fmt.Errorf("fetch answer for %s/%d: %w", r.topic, r.partition, io.ErrUnexpectedEOF)
	}
	return nil
}

// readable is the end of what may be read: the last stable offset, or the high watermark.
func (f *fetchResponse) readable() int64 {
	if f.stable >= 0 && f.stable < f.highWater {
		return f.stable
	}
	return f.highWater
}

var (
	_ protocol.RawExchanger  = (*fetchRequest)(nil)
	_ protocol.BrokerMessage = (*fetchRequest)(nil)
)
