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

// besideRounds is how often look-ups are timed without and with each kind of export, in turn: the machine changes
// meanwhile, and of one round the slowest hundredth are few.
const besideRounds = 4

// beside asks look-ups over one and over many connections without an export and while exports run one after the other as
// they are by default; over one also while they take all CPUs.
func (p *penstock) beside(ctx context.Context, c *config, k workload.Keys) ([]latency, error) {
	in := filepath.Join(c.work, string(k)+"-beside.csv")
	if err := writeSpine(in, spine(c, k)); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(in) }()
	kinds := []struct {
		name        string
		connections int
		exports     bool
		flags       []string
	}{
		{"no export", 1, false, nil},
		{"an export", 1, true, nil},
		{"an export --fast", 1, true, []string{"--fast"}},
		{"no export", 16, false, nil},
		{"an export", 16, true, nil},
	}
	times := make([][]time.Duration, len(kinds))
	for range besideRounds {
		for i, kind := range kinds {
			ask := func() error {
				some, err := answerTimes(ctx, c, k, p.url+"/v1/features", kind.connections)
				times[i] = append(times[i], some...)
				return err
			}
			var err error
			if kind.exports {
				err = p.exporting(ctx, c, k, in, kind.flags, ask)
			} else {
				err = ask()
			}
			if err != nil {
				return nil, fmt.Errorf("look-ups beside %s: %w", kind.name, err)
			}
		}
	}
	var out []latency
	for i, kind := range kinds {
		l := latencyOf(times[i], besideRounds*c.latency, kind.connections)
		l.who = "Penstock, beside " + kind.name
		out = append(out, l)
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
