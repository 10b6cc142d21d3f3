package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a store that keeps what it is handed, for tests to look at.
type recorder struct {
	mu    sync.Mutex
	parts map[string]*recorded
	fail  chan struct{}
	cause error
	block chan struct{} // End waits for it, if set
}

func newRecorder() *recorder {
	return &recorder{parts: map[string]*recorded{}, fail: make(chan struct{})}
}

// got is one record that was handed over.
type got struct {
	offset, ts, arrival int64
	key, value          string
	slots               []event.Value
	reason, detail      string // of a dead letter
	crc                 uint32
	verdict             bool // StoreArrival had been called for its offset before
	nullKey, nullValue  bool
}

type recorded struct {
	r        *recorder
	src      string
	n        int32
	next     int64 // durable restart offset
	stored   bool
	seen     feature.Seen
	haveSeen bool
	arrivals []feature.Arrival
	meta     string
	got      []got
	ends     []int64
	at       int64
	atEnd    bool
	left     int
	lost     [][2]int64
	pending  int
	slack    int // most records between two Ends
}

func (r *recorder) of(src string, n int32) *recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := fmt.Sprintf("%s/%d", src, n)
	if r.parts[key] == nil {
		r.parts[key] = &recorded{r: r, src: src, n: n}
	}
	return r.parts[key]
}

func (r *recorder) partition(src *pipeline.Source, n int32) partition { return r.of(src.Name, n) }
func (r *recorder) failed() <-chan struct{}                           { return r.fail }
func (r *recorder) err() error                                        { return r.cause }

func (r *recorder) restarts(src *pipeline.Source) map[int32]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[int32]int64{}
	for _, p := range r.parts {
		if p.src == src.Name && p.stored {
			out[p.n] = p.next
		}
	}
	return out
}

// restart makes all that was handed over durable, and forgets the records: a clean restart.
func (r *recorder) restart() *recorder {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := newRecorder()
	for k, p := range r.parts {
		out.parts[k] = &recorded{
			r: out, src: p.src, n: p.n, next: p.at, stored: len(p.ends) > 0 || p.stored, seen: p.seen, haveSeen: p.haveSeen,
			arrivals: p.arrivals, meta: p.meta,
		}
	}
	return out
}

func (p *recorded) Next() (int64, bool) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return p.next, p.stored
}
func (p *recorded) Seen() (feature.Seen, bool) { return p.seen, p.haveSeen }
func (p *recorded) Arrivals() []feature.Arrival {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	return append([]feature.Arrival(nil), p.arrivals...)
}

func (p *recorded) StoreArrival(a feature.Arrival) error {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.arrivals = append(p.arrivals, a)
	return nil
}
func (p *recorded) Meta() string     { return p.meta }
func (p *recorded) SetMeta(s string) { p.meta = s }

func (p *recorded) Add(r *feature.Record) {
	g := p.note(r)
	for _, v := range r.Slots {
		g.slots = append(g.slots, v.Clone())
	}
	p.keep(g)
}

func (p *recorded) Dead(r *feature.Record, reason, detail string) {
	g := p.note(r)
	g.reason, g.detail = reason, detail
	p.keep(g)
}

func (p *recorded) note(r *feature.Record) got {
	g := got{
		offset: r.Offset, ts: int64(r.Timestamp), arrival: int64(r.Arrival), key: string(r.Key), value: string(r.Value),
		crc: r.CRC, nullKey: r.Key == nil, nullValue: r.Value == nil,
	}
	for _, a := range p.arrivals {
		g.verdict = g.verdict || a.From <= r.Offset && r.Offset < a.To
	}
	return g
}

func (p *recorded) keep(g got) {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.got = append(p.got, g)
	p.seen, p.haveSeen = feature.Seen{Offset: g.offset, Timestamp: event.Time(g.ts), CRC: g.crc}, true
	p.pending++
	p.slack = max(p.slack, p.pending)
}

func (p *recorded) End(ctx context.Context, next int64, atEnd bool) error {
	if p.r.block != nil {
		select {
		case <-p.r.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.ends, p.at, p.atEnd, p.pending = append(p.ends, next), next, atEnd, 0
	return p.r.cause
}

func (p *recorded) Leave() {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.left++
}

func (p *recorded) Lost(from, to int64) error {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.lost = append(p.lost, [2]int64{from, to})
	return nil
}

// snapshot is what a partition has been handed so far.
func (r *recorder) snapshot(src string, n int32) recorded {
	p := r.of(src, n)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *p
	c.got = append([]got(nil), p.got...)
	return c
}

// total counts what all partitions have been handed.
func (r *recorder) total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, p := range r.parts {
		n += len(p.got)
	}
	return n
}

// eventually polls until ok or a deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

const testSchema = `{"type":"record","name":"Tx","fields":[
	{"name":"user","type":"string"},
	{"name":"amount","type":["null","double"]},
	{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}`

// datum encodes one Tx.
func datum(user string, amount float64, millis int64) []byte {
	b := binary.AppendVarint(nil, int64(len(user)))
	b = append(b, user...)
	b = append(b, 2)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(amount))
	return binary.AppendVarint(b, millis)
}

// framed puts the Confluent header before a datum.
func framed(id uint32, datum []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), datum...)
}

func parseSchema(t testing.TB, text string) *schemas.Schema {
	t.Helper()
	s, err := schemas.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testSource is a source of Tx; its caller sets Kafka or File.
func testSource(t testing.TB) *pipeline.Source {
	s := &pipeline.Source{Name: "tx", Schema: parseSchema(t, testSchema), Order: -1, Idle: event.Minute, Ahead: 5 * event.Minute}
	for _, f := range s.Schema.Fields() {
		s.Columns = append(s.Columns, pipeline.Column{Name: f.Path, Type: f.Type})
	}
	s.Time = pipeline.TimeField{Slot: 2, Name: "ts"}
	return s
}

func testPlan(sources ...*pipeline.Source) *pipeline.Plan {
	for i, s := range sources {
		s.Index = uint16(i)
	}
	return &pipeline.Plan{Name: "test", Sources: sources, State: pipeline.State{Memory: 1 << 30}}
}

// logged is a log that tests read.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if os.Getenv("STREAM_TEST_LOG") != "" {
		os.Stderr.Write(p)
	}
	return l.b.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// running is a Runner that runs until the test stops it.
type running struct {
	*Runner
	rec  *recorder
	log  *logged
	stop context.CancelFunc
	done chan error
}

// start runs a plan over a recorder.
func start(t *testing.T, cfg Config, rec *recorder) *running {
	t.Helper()
	l := &logged{}
	cfg.Log = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Refresh == 0 {
		cfg.Refresh = 20 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Runner: newRunner(cfg, rec), rec: rec, log: l, stop: cancel, done: make(chan error, 1)}
	r.back = backoff{first: time.Millisecond, most: 20 * time.Millisecond}
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-r.done:
			r.done <- err
		case <-time.After(10 * time.Second):
			t.Error("Run does not return")
		}
	})
	return r
}

// end stops a runner and returns what Run returned.
func (r *running) end() error {
	r.stop()
	err := <-r.done
	r.done <- err
	return err
}

// wait returns what Run returns by itself.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		r.done <- err
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Run goes on")
		return nil
	}
}
