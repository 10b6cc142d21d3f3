package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a program that is measured.
type process struct {
	cmd    *exec.Cmd
	began  time.Time
	log    string // where its stderr goes
	high   atomic.Int64
	done   chan struct{}
	failed error // after done
}

// start runs a program; its stdout goes to out, its stderr to a file.
func start(ctx context.Context, log string, out *bytes.Buffer, env []string, name string, args ...string) (*process, error) {
	return startAs(ctx, log, func(cmd *exec.Cmd) {}, out, env, name, args...)
}

// startAs is start with more said of the command.
func startAs(ctx context.Context, log string, prepare func(*exec.Cmd), out *bytes.Buffer, env []string, name string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("create the log: %w", err)
	}
	defer func() { _ = f.Close() }()
	p := &process{log: log, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, name, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = f
	if out != nil {
		p.cmd.Stdout = out
	} else {
		p.cmd.Stdout = f
	}
	prepare(p.cmd)
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.watch()
	return p, nil
}

// watch samples the peak memory until the process ends. Not rusage: its maximum counts what the parent
// had when it forked.
func (p *process) watch() {
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p.sample()
		select {
		case err := <-ended:
			if err != nil {
				p.failed = fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, tail(p.log))
			}
			close(p.done)
			return
		case <-tick.C:
		}
	}
}

func (p *process) sample() {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return
	}
	_, rest, ok := bytes.Cut(status, []byte("VmHWM:"))
	if !ok {
		return
	}
	if fields := bytes.Fields(rest); len(fields) > 0 {
		if kb, err := strconv.ParseInt(string(fields[0]), 10, 64); err == nil {
			p.high.Store(max(p.high.Load(), kb<<10))
		}
	}
}

// peak is the largest resident memory so far, in bytes.
func (p *process) peak() int64 {
	p.sample()
	return p.high.Load()
}

// cpu is the processor time used so far.
func (p *process) cpu() float64 {
	if state := p.cmd.ProcessState; state != nil {
		return (state.UserTime() + state.SystemTime()).Seconds()
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // from the third: state
	user, _ := strconv.ParseFloat(string(fields[11]), 64)
	system, _ := strconv.ParseFloat(string(fields[12]), 64)
	return (user + system) / 100 // ticks, which Linux fixes at 100 a second for programs
}

// wait returns when the process has ended, with its error if it did not end well.
func (p *process) wait(limit time.Duration) error {
	select {
	case <-p.done:
		return p.failed
	case <-time.After(limit):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %v\n%s", p.cmd.Path, limit, tail(p.log))
	}
}

// kill ends the process as a crash would.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.cmd.Path, err)
	}
	<-p.done
	return nil
}

// terminate asks the process to leave and waits for it.
func (p *process) terminate() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate %s: %w", p.cmd.Path, err)
	}
	return p.wait(time.Minute)
}

func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}
