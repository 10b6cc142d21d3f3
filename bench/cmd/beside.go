package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
)

// beside asks look-ups over one connection while exports run one after the other: as they are by default, and
// with all CPUs. Between them and behind them it asks without, since the machine may change meanwhile.
func (p *penstock) beside(ctx context.Context, c *config, k workload.Keys) ([]latency, error) {
	in := filepath.Join(c.work, string(k)+"-beside.csv")
	if err := writeSpine(in, spine(c, k)); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(in) }()
	var out []latency
	for _, e := range []struct {
		name  string
		flags []string
	}{{"an export", nil}, {"no export", nil}, {"an export --fast", []string{"--fast"}}, {"no export, again", nil}} {
		ask := func() error {
			l, err := askFor(ctx, c, k, p.url+"/v1/features", 1)
			l.who = "Penstock, beside " + e.name
			out = append(out, l)
			return err
		}
		var err error
		if e.name[:2] == "an" {
			err = p.exporting(ctx, c, k, in, e.flags, ask)
		} else {
			err = ask()
		}
		if err != nil {
			return nil, fmt.Errorf("look-ups beside %s: %w", e.name, err)
		}
	}
	return out, nil
}

// exporting runs exports one after the other until do has returned. The last one is interrupted.
func (p *penstock) exporting(ctx context.Context, c *config, k workload.Keys, spine string, flags []string, do func() error) error {
	within, stop := context.WithCancel(ctx)
	over := make(chan error, 1)
	go func() {
		for {
			out := filepath.Join(c.work, string(k)+"-beside.parquet")
			args := append([]string{"export", c.pipeline, "--server", p.url, "--spine", spine, "--view", "user_spend", "--out", out, "--force"}, flags...)
			x, err := start(ctx, filepath.Join(c.work, string(k)+"-beside.log"), nil, p.env, c.penstock, args...)
			if err != nil {
				over <- err
				return
			}
			select {
			case <-within.Done():
				_ = x.cmd.Process.Signal(os.Interrupt)
				<-x.done
				_ = os.Remove(out)
				over <- nil
				return
			case <-x.done:
				if x.failed != nil {
					over <- fmt.Errorf("an export ended: %w", x.failed)
					return
				}
			}
		}
	}()
	time.Sleep(200 * time.Millisecond) // the spine is being sent
	err := do()
	stop()
	return errors.Join(err, <-over)
}
