package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// penstock is a running `penstock run`.
type penstock struct {
	*process
	url   string
	env   []string
	state string
}

func startPenstock(ctx context.Context, c *config, t *topic) (*penstock, error) {
	note("%s: Penstock", t.keys)
	return startPipeline(ctx, c, c.pipeline, t.name, filepath.Join(c.work, t.name+"-state"))
}

// startPipeline runs a pipeline file on a state, new or not.
func startPipeline(ctx context.Context, c *config, file, topic, state string) (*penstock, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	env := []string{"KAFKA_BROKERS=" + c.broker, "BENCH_TOPIC=" + topic, "BENCH_MEMORY=" + c.memory}
	p, err := start(ctx, state+".log", nil, env, c.penstock, "run", file, "--state", state, "--listen", addr)
	if err != nil {
		return nil, err
	}
	return &penstock{p, "http://" + addr, env, state}, nil
}

// forget removes the state.
func (p *penstock) forget() error { return os.RemoveAll(p.state) }

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("choose a port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

func (p *penstock) stop() error { return p.terminate() }

// progress is what is needed of GET /v1/pipeline.
type progress struct {
	Ready   bool `json:"ready"`
	Sources []struct {
		Read       int64 `json:"read"`
		Partitions []struct {
			Partition int32 `json:"partition"`
			Restart   int64 `json:"restart"`
		} `json:"partitions"`
	} `json:"sources"`
	Views []struct {
		Counts map[string]int64 `json:"counts"`
	} `json:"views"`
}

// ingest waits until the restart offset of every partition is the end of its log, which is when all
// events are counted durably.
func (p *penstock) ingest(ctx context.Context, c *config, ends map[int32]int64) (*ingested, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(c.limit)
	for {
		var now progress
		if err := p.ask(ctx, "/v1/pipeline", &now); err == nil && durable(&now, ends) {
			r := &ingested{
				events: now.Sources[0].Read, of: int64(c.events),
				seconds: time.Since(p.began).Seconds(), cpu: p.cpu(), peak: p.peak(),
			}
			note("Penstock had %d events durable after %.1f s", r.events, r.seconds)
			if applied := now.Views[0].Counts["applied"]; applied != int64(c.events) || r.events != applied {
				return nil, fmt.Errorf("%d events read, %v counted, want %d applied", r.events, now.Views[0].Counts, c.events)
			}
			return r, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.done:
			return nil, fmt.Errorf("penstock ended early: %w", p.failed)
		case <-deadline:
			return nil, fmt.Errorf("not durable within %v\n%s", c.limit, tail(p.log))
		case <-tick.C:
		}
	}
}

func durable(now *progress, ends map[int32]int64) bool {
	if !now.Ready || len(now.Sources) != 1 || len(now.Views) != 1 {
		return false
	}
	restart := map[int32]int64{}
	for _, part := range now.Sources[0].Partitions {
		restart[part.Partition] = part.Restart
	}
	for part, end := range ends {
		if restart[part] < end {
			return false
		}
	}
	return true
}

func (p *penstock) ask(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s", path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	return nil
}
