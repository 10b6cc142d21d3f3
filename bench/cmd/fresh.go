package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/penstock-ml/penstock/bench/workload"
	"github.com/penstock-ml/penstock/internal/kafkatest"
)

// freshRate is how many events a second come while freshness is measured.
const freshRate = 20_000

// freshness produces events of the present at a steady rate and, one at a time, an event of a user of its
// own; how long from handing it to the producer until a look-up over HTTP answers it.
func freshness(ctx context.Context, c *config, r *report) (err error) {
	t := &topic{name: fmt.Sprintf("fresh-%d", time.Now().Unix()), keys: c.keys[0]}
	if err := (&kafkatest.Broker{Addr: c.broker}).CreateTopic(ctx, t.name, c.partitions, nil); err != nil {
		return err
	}
	note("freshness at %d events/s for %v", freshRate, c.fresh)
	p, err := c.launch(t).run(ctx, c)
	if err != nil {
		return err
	}
	defer p.end(&err)
	if err := p.ready(ctx, c); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var sent atomic.Int64
	produced := make(chan error, 1)
	go func() { produced <- produceSteadily(ctx, c, t, &sent) }()
	select { // until caches are warm and the first commits have begun
	case <-time.After(c.fresh / 5):
	case err := <-produced:
		return err
	}
	before, err := p.commits()
	if err != nil {
		return err
	}
	x, err := probe(ctx, c, t, p)
	if err != nil {
		return err
	}
	after, err := p.commits()
	if err != nil {
		return err
	}
	stop()
	if err := <-produced; err != nil {
		return err
	}
	servable, acknowledged := quantilesOf(x.servable), quantilesOf(x.acknowledged)
	tab := r.table(fmt.Sprintf("Freshness at %d events/s, Zipf users, 12 features", freshRate), "from producing to | probes | p50 | p99 | max | commits meanwhile")
	tab.row("acknowledged by the broker", len(x.servable), acknowledged.p50, acknowledged.p99, acknowledged.max, "")
	tab.row("servable over HTTP", len(x.servable), servable.p50, servable.p99, servable.max, after-before)
	tab.note("End to end: a probe is an event of a user that no other event has; it counts from handing it to the producer until `POST /v1/features` "+
		"answers it, asked again %v after it did not. %d events were produced beside the probes.", pollEvery, sent.Load())
	r.atMost("freshness, produce to servable, p50", 10, " ms", servable.p50.Seconds()*1000)
	r.atMost("freshness, produce to servable, p99", 50, " ms", servable.p99.Seconds()*1000)
	r.atLeast("freshness: commits meanwhile", 2, "", float64(after-before))
	r.atLeast("freshness: events/s produced beside the probes", 0.97*freshRate, "", x.rate)
	return nil
}

// pollEvery is how long a probe waits between two look-ups; it counts as freshness.
const pollEvery = 500 * time.Microsecond

// probes are how long each probe took.
type probes struct {
	servable, acknowledged []time.Duration
	rate                   float64
}

type quantiles struct{ p50, p99, max time.Duration }

func quantilesOf(all []time.Duration) quantiles {
	slices.Sort(all)
	round := func(i int) time.Duration { return all[i].Round(10 * time.Microsecond) }
	return quantiles{round(len(all) / 2), round(len(all) * 99 / 100), round(len(all) - 1)}
}

// newProducer sends at once; what is under way is batched behind it.
func newProducer(c *config, t *topic) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(c.broker), kgo.DefaultProduceTopic(t.name), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
}

// produceSteadily sends the workload's events, dated now, until ctx ends.
func produceSteadily(ctx context.Context, c *config, t *topic, sent *atomic.Int64) error {
	cl, err := newProducer(c, t)
	if err != nil {
		return fmt.Errorf("produce steadily: %w", err)
	}
	defer cl.Close()
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			failed.CompareAndSwap(nil, &err)
		}
	}
	o := c.options(t.keys)
	o.Events = 1 << 40
	o.Span = 1 << 60
	began := time.Now()
	for e := range workload.Events(o) {
		n := sent.Add(1)
		due := began.Add(time.Duration(n) * time.Second / freshRate)
		if wait := time.Until(due); wait > time.Millisecond {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
		if ctx.Err() != nil {
			break
		}
		if err := failed.Load(); err != nil {
			return fmt.Errorf("produce steadily: %w", *err)
		}
		e.Time = time.Now().UTC().Truncate(time.Millisecond)
		cl.Produce(ctx, record(e), done)
	}
	return nil
}

func record(e *workload.Event) *kgo.Record {
	return &kgo.Record{Key: e.AppendKey(nil), Value: e.AppendValue(nil, workload.SchemaID), Timestamp: e.Time}
}

// probe sends marked events, one after the other, for the time of the step.
func probe(ctx context.Context, c *config, t *topic, p *penstock) (*probes, error) {
	cl, err := newProducer(c, t)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	defer cl.Close()
	x := &probes{}
	began := time.Now()
	read, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	end := began.Add(c.fresh)
	for user := uint32(9_000_000); time.Now().Before(end); user++ {
		e := workload.Event{User: user, Amount: 1, Country: "US", Time: time.Now().UTC().Truncate(time.Millisecond)}
		acknowledged := make(chan time.Duration, 1)
		var failed error
		sent := time.Now()
		cl.Produce(ctx, record(&e), func(_ *kgo.Record, err error) { failed = err; acknowledged <- time.Since(sent) })
		question := request(user)
		for {
			answer, err := post(client, p.url+"/v1/features", question)
			if err != nil {
				return nil, fmt.Errorf("probe: %w", err)
			}
			if !bytes.Contains(answer, []byte("not_found")) {
				break
			}
			if time.Since(sent) > 30*time.Second {
				return nil, fmt.Errorf("probe: user %d is not served after 30 s: %s", user, answer)
			}
			select { // not all the time: the server shares the processors with who asks
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(pollEvery):
			}
		}
		x.servable = append(x.servable, time.Since(sent))
		x.acknowledged = append(x.acknowledged, <-acknowledged)
		if failed != nil {
			return nil, fmt.Errorf("probe: %w", failed)
		}
	}
	now, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	x.rate = float64(now-read) / time.Since(began).Seconds()
	return x, nil
}

// read is how many records the only source has read.
func (p *penstock) read(ctx context.Context) (int64, error) {
	var now progress
	if err := p.ask(ctx, "/v1/pipeline", &now); err != nil {
		return 0, err
	}
	return now.Sources[0].Read, nil
}

// commits is how many commits the process has made.
func (p *penstock) commits() (int64, error) {
	resp, err := client.Get(p.url + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "penstock_commit_seconds_count "); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, errors.New("read the metrics: no penstock_commit_seconds_count")
}

// ready waits until /readyz answers 200.
func (p *penstock) ready(ctx context.Context, c *config) error { return p.until(ctx, c, "/readyz") }

// until asks a path every 2 ms until it answers 200.
func (p *penstock) until(ctx context.Context, c *config, path string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(c.limit)
	for {
		if resp, err := client.Get(p.url + path); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("penstock ended early: %w", p.failed)
		case <-deadline:
			return fmt.Errorf("%s not answered within %v\n%s", path, c.limit, tail(p.log))
		case <-tick.C:
		}
	}
}
