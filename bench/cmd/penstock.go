package main

import (
	"context"
	"encoding/json"
	"errors"
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

// launch says how to run Penstock.
type launch struct {
	file, state string
	topic       string   // for Kafka
	files       string   // for files
	flags       []string // beside the usual
}

func (c *config) launch(t *topic) launch {
	return launch{file: c.pipeline, state: filepath.Join(c.work, t.name+"-state"), topic: t.name}
}

// run starts Penstock on a state, new or not.
func (l launch) run(ctx context.Context, c *config) (*penstock, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	env := []string{"KAFKA_BROKERS=" + c.broker, "BENCH_TOPIC=" + l.topic, "BENCH_FILES=" + l.files, "BENCH_MEMORY=" + c.memory}
	args := append([]string{"run", l.file, "--state", l.state, "--listen", addr}, l.flags...)
	p, err := start(ctx, l.state+".log", nil, env, c.penstock, args...)
	if err != nil {
		return nil, err
	}
	return &penstock{p, "http://" + addr, env, l.state}, nil
}

// takeIn runs Penstock on a new state until everything is counted and asks it to leave, which stores all,
// as the peers are asked. Then it runs it again: what the new process finds must be all there is.
func (l launch) takeIn(ctx context.Context, c *config, ends map[int32]int64) (_ *ingested, again *penstock, err error) {
	p, err := l.run(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if err := p.await(ctx, c, func(now *progress) bool { return now.reached(ends, false) }); err != nil {
		return nil, nil, errors.Join(err, p.stop())
	}
	counted := time.Since(p.began)
	if err := p.stop(); err != nil {
		return nil, nil, err
	}
	r := &ingested{of: int64(c.events), seconds: time.Since(p.began).Seconds(), cpu: p.cpu(), peak: p.peak()}
	note("Penstock had counted all after %.1f s, stored it after %.1f s", counted.Seconds(), r.seconds)
	if again, err = l.run(ctx, c); err != nil {
		return nil, nil, err
	}
	r.events, err = again.holds(ctx, c, ends)
	if err != nil {
		return nil, nil, errors.Join(err, again.stop())
	}
	return r, again, nil
}

// end stops the process and removes its state.
func (p *penstock) end(err *error) { *err = errors.Join(*err, p.stop(), os.RemoveAll(p.state)) }

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
			Next      int64 `json:"next"`
			Restart   int64 `json:"restart"`
		} `json:"partitions"`
	} `json:"sources"`
	Views []struct {
		Counts map[string]int64 `json:"counts"`
	} `json:"views"`
}

// await asks until what is answered will do.
func (p *penstock) await(ctx context.Context, c *config, enough func(*progress) bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(c.limit)
	for {
		var now progress
		if err := p.ask(ctx, "/v1/pipeline", &now); err == nil && len(now.Sources) == 1 && len(now.Views) == 1 && enough(&now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("penstock ended early: %v\n%s", p.failed, tail(p.log))
		case <-deadline:
			return fmt.Errorf("not there within %v\n%s", c.limit, tail(p.log))
		case <-tick.C:
		}
	}
}

// reached tells that every partition is read to its end, or durable to its end.
func (p *progress) reached(ends map[int32]int64, durably bool) bool {
	at := map[int32]int64{}
	for _, part := range p.Sources[0].Partitions {
		at[part.Partition] = part.Next
		if durably {
			at[part.Partition] = part.Restart
		}
	}
	for part, end := range ends {
		if at[part] < end {
			return false
		}
	}
	return true
}

// holds checks that a process that was just started found every event stored and counted once, and
// returns how many.
func (p *penstock) holds(ctx context.Context, c *config, ends map[int32]int64) (int64, error) {
	var found progress
	err := p.await(ctx, c, func(now *progress) bool { found = *now; return now.Ready })
	if err != nil {
		return 0, err
	}
	if !found.reached(ends, true) {
		return 0, fmt.Errorf("not all was stored: restart offsets %v, ends %v", found.Sources[0].Partitions, ends)
	}
	return found.Sources[0].Read, found.countedOnce(c.events)
}

// countedOnce checks the counts of the only view.
func (p *progress) countedOnce(events int) error {
	if read, applied := p.Sources[0].Read, p.Views[0].Counts["applied"]; applied != int64(events) || read != applied {
		return fmt.Errorf("%d events read, %v counted, want %d applied", read, p.Views[0].Counts, events)
	}
	return nil
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
