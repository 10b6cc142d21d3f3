package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// restart kills Penstock near the end of a topic and measures what a new process takes until it is ready.
func restart(ctx context.Context, c *config, r *report) (err error) {
	t, err := c.topic(ctx, c.keys[len(c.keys)-1])
	if err != nil {
		return err
	}
	l := c.launch(t)
	note("%s: Penstock, to be killed", t.keys)
	p, err := l.run(ctx, c)
	if err != nil {
		return err
	}
	if err := p.await(ctx, c, func(now *progress) bool { return now.Sources[0].Read >= int64(c.events)*9/10 }); err != nil {
		return errors.Join(err, p.stop())
	}
	if err := p.kill(); err != nil {
		return err
	}
	disk, err := sizeOf(l.state)
	if err != nil {
		return err
	}
	l.flags = []string{"--log-level", "debug", "--log-format", "json"}
	p, err = l.run(ctx, c)
	if err != nil {
		return err
	}
	defer p.end(&err)
	if err := p.until(ctx, c, "/healthz"); err != nil {
		return err
	}
	answers := time.Since(p.began)
	var first, then progress
	if err := p.ask(ctx, "/v1/pipeline", &first); err != nil {
		return err
	}
	if err := p.ready(ctx, c); err != nil {
		return err
	}
	ready := time.Since(p.began)
	if err := p.ask(ctx, "/v1/pipeline", &then); err != nil {
		return err
	}
	note("ready after %v, of it %v until it answered", ready, answers)
	verified, opened, err := opening(p.log)
	if err != nil {
		return err
	}
	again := then.sum(func(next, _ int64) int64 { return next }) - first.sum(func(_, restart int64) int64 { return restart })
	if err := p.await(ctx, c, func(now *progress) bool { then = *now; return now.reached(t.ends, false) }); err != nil {
		return err
	}
	if err := then.countedOnce(c.events); err != nil {
		return err
	}
	r.table("Restart after SIGKILL", "keys | users | state MiB | verifying the tables s | opening the database s | until it answers s | re-reading s | events re-read | ready s").row(
		t.keys, c.users, disk>>20, verified.Seconds(), opened.Seconds(), answers.Seconds(), (ready - answers).Seconds(), again, ready.Seconds())
	r.atMost("restart after SIGKILL: ready, without re-reading", 3, " s", answers.Seconds())
	return nil
}

// sum adds up something of all partitions of the source.
func (p *progress) sum(f func(next, restart int64) int64) (n int64) {
	for _, x := range p.Sources[0].Partitions {
		n += f(x.Next, x.Restart)
	}
	return n
}

// opening finds in the process's log how long its state took to verify and to open.
func opening(log string) (verified, opened time.Duration, err error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return 0, 0, fmt.Errorf("read the log: %w", err)
	}
	for line := range bytes.Lines(text) {
		var said struct {
			Message  string        `json:"msg"`
			Verified time.Duration `json:"verified"`
			Opened   time.Duration `json:"opened"`
		}
		if json.Unmarshal(line, &said) == nil && said.Message == "state opened" {
			return said.Verified, said.Opened, nil
		}
	}
	return 0, 0, fmt.Errorf("read the log: nothing of an opened state\n%s", tail(log))
}

// sizeOf sums the files of a folder.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
