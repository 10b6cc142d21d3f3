package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
	"github.com/penstock-ml/penstock/internal/kafkatest"
)

// topic is a loaded topic.
type topic struct {
	name string
	keys workload.Keys
	ends map[int32]int64
}

// load makes a topic of a distribution and produces the events to it.
func load(ctx context.Context, c *config, prefix string, o workload.Options) (*topic, error) {
	t := &topic{name: fmt.Sprintf("%s-%s-%d", prefix, o.Keys, time.Now().Unix()), keys: o.Keys}
	b := &kafkatest.Broker{Addr: c.broker}
	if err := b.CreateTopic(ctx, t.name, c.partitions, nil); err != nil {
		return nil, err
	}
	note("%s: loading %d events", t.name, o.Events)
	took, err := workload.Load(ctx, c.broker, t.name, o)
	if err != nil {
		return nil, err
	}
	note("%s: loaded in %.1f s", t.name, took.Seconds())
	t.ends, err = b.EndOffsets(ctx, t.name)
	return t, err
}

// topic returns the topic of a distribution, loaded at the first use.
func (c *config) topic(ctx context.Context, k workload.Keys) (*topic, error) {
	if t := c.topics[k]; t != nil {
		return t, nil
	}
	t, err := load(ctx, c, "bench", c.options(k))
	if err == nil {
		c.topics[k] = t
	}
	return t, err
}

// ingests measures every distribution of keys.
func ingests(ctx context.Context, c *config, r *report) error {
	for i, k := range c.keys {
		t, err := c.topic(ctx, k)
		if err != nil {
			return err
		}
		if err := ingest(ctx, c, r, t, i%2 == 1); err != nil {
			return fmt.Errorf("%s keys: %w", k, err)
		}
	}
	return nil
}

const penstockTitle = "Penstock: 12 features"

// ingest runs Penstock, the peers in turn, and Penstock again on a topic, so that what the machine does
// meanwhile strikes all alike; the slower run of Penstock is held against the better rate of a peer.
func ingest(ctx context.Context, c *config, r *report, t *topic, backwards bool) error {
	own := c.anyOf("ingest", "export", "http")
	var slower *ingested
	if c.does("ingest") {
		first, err := penstockOnce(ctx, c, t)
		if err != nil {
			return err
		}
		slower = first
		r.ingested(t.keys, penstockTitle+", before the peers", first)
	}
	list := peers(c)
	if backwards {
		slices.Reverse(list)
	}
	results := map[string]*ingested{}
	for _, p := range list {
		if !c.does(p.name) {
			continue
		}
		note("%s: %s, at most %d s", t.keys, p.name, c.peerSeconds)
		x, err := p.run(ctx, c, t.keys, t.name)
		if err != nil {
			return err
		}
		note("%s: %s processed %d events in %.1f s, %d answers equal to the oracle's", t.keys, p.name, x.events, x.seconds, x.checked)
		r.ingested(t.keys, p.title, x)
		results[p.name] = x
	}
	if !own {
		return nil
	}
	second, err := penstockSteps(ctx, c, r, t)
	if err != nil {
		return err
	}
	r.ingested(t.keys, penstockTitle, second)
	if slower == nil || second.rate() < slower.rate() {
		slower = second
	}
	for _, p := range peers(c) {
		if x := results[p.name]; x != nil {
			r.compared(t.keys, &p, slower, x)
		}
	}
	return nil
}

// ingested adds a row of the table of ingests.
func (r *report) ingested(k workload.Keys, title string, i *ingested) {
	t := r.table("Ingest, stored at the end", "keys | system | events | s | events/s | after warm-up | per core | peak MiB | answers equal to the oracle's")
	warm := ""
	if i.warm > 0 {
		warm = number(i.warm)
	}
	if len(t.notes) == 0 {
		t.note("Each runs until all is counted and is then asked to leave, which stores all; the time runs until it has. After warm-up: without the first %v. "+
			"Penstock is started again and must find every event. The answers of the peers are of users at the end of the events, Penstock's of an export.", warmUp)
	}
	t.row(k, title, i.events, i.seconds, i.rate(), warm, i.perCore(), i.peak>>20, orNothing(i.checked))
}

// compared adds the ratio to a peer and holds it against its target.
func (r *report) compared(k workload.Keys, p *peer, own, other *ingested) {
	name, _, _ := strings.Cut(p.title, ":")
	r.table("Beside the peers: the slower run of Penstock by the better rate of the peer",
		"keys | peer | events/s | per core | peak memory").row(k, name,
		own.rate()/other.best(), own.perCore()/other.perCore(), float64(own.peak)/float64(other.peak))
	if target := map[string]float64{"kstreams": 10, "flink": 3}[p.name]; target > 0 {
		r.atLeast(fmt.Sprintf("ingest, %s keys: times %s", k, name), target, "", own.rate()/other.best())
	}
}

// penstockOnce takes a topic in.
func penstockOnce(ctx context.Context, c *config, t *topic) (_ *ingested, err error) {
	note("%s: Penstock", t.keys)
	x, p, err := c.launch(t).takeIn(ctx, c, t.ends)
	if err != nil {
		return nil, err
	}
	defer p.end(&err)
	return x, nil
}

// penstockSteps takes a topic in, then asks the process that found it stored.
func penstockSteps(ctx context.Context, c *config, r *report, t *topic) (_ *ingested, err error) {
	note("%s: Penstock", t.keys)
	x, p, err := c.launch(t).takeIn(ctx, c, t.ends)
	if err != nil {
		return nil, err
	}
	defer p.end(&err)
	if c.does("export") {
		e, err := p.export(ctx, c, t.keys, "")
		if err != nil {
			return nil, err
		}
		note("%s: exported %d rows in %.1f s, %d cells equal to the oracle", t.keys, e.rows, e.seconds, e.compared)
		x.checked = e.compared
		r.table("Export through the running server",
			"keys | rows | s | rows/s | peak MiB, export | peak MiB, server | cells equal to the oracle").row(
			t.keys, e.rows, e.seconds, float64(e.rows)/e.seconds, e.peak>>20, p.peak()>>20, e.compared)
	}
	if c.does("http") {
		list, err := p.latencies(ctx, c, t.keys)
		if err != nil {
			return nil, err
		}
		more, err := p.beside(ctx, c, t.keys)
		if err != nil {
			return nil, err
		}
		for i, l := range more[1:] {
			if none := more[i]; none.connections == l.connections && !strings.HasSuffix(l.who, "--fast") {
				r.atMost(fmt.Sprintf("look-ups beside an export, %s keys, %d connections: p99, times none", t.keys, l.connections), 1.5, "", l.p99.Seconds()/none.p99.Seconds())
			}
		}
		for _, l := range append(list, more...) {
			r.table("Look-up of one entity, 12 features", "keys | server | connections | requests/s | p50 | p99").row(
				t.keys, l.who, l.connections, l.perSecond, l.p50.Round(time.Microsecond), l.p99.Round(time.Microsecond))
		}
	}
	return x, nil
}
