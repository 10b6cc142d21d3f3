package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/serve"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/stream"
)

type runCmd struct {
	File       string `arg:"" help:"Pipeline file."`
	State      string `required:"" placeholder:"DIR" help:"State directory; made if it does not exist."`
	Listen     string `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address to serve on."`
	ReadyLag   int64  `placeholder:"N" help:"Not ready while more than N records are unread; 0 is any number."`
	AcceptLoss bool   `help:"Go on over lost records; answers are then marked incomplete."`
}

// Help shows an example.
func (runCmd) Help() string {
	return "Example:\n  penstock run pipeline.yaml --state data --listen 127.0.0.1:8080"
}

// Run consumes and serves until it is told to stop; then it flushes and returns.
func (c runCmd) Run(e *env) error {
	p, err := startPipeline(e, c)
	if err != nil && e.ctx.Err() != nil {
		e.log.Info("stopped before anything was read")
		return nil
	}
	if err != nil {
		return err
	}
	return p.wait()
}

// flushLimit is how long a stop may take to make what is in memory durable.
const flushLimit = 20 * time.Second

// running is a pipeline that consumes and serves.
type running struct {
	e       *env
	url     string
	plan    *pipeline.Plan
	st      *state.Badger
	store   *feature.Store
	exports *export.Jobs
	runner  *stream.Runner
	dead    []*stream.DeadTopic
	dir     string
	log     *serve.Log // of what is served; nil: none
	ctx     context.Context
	cancel  context.CancelCauseFunc
	served  chan error
	read    chan error
}

// startPipeline checks the file, takes the address and the directory, and starts to consume and serve.
func startPipeline(e *env, c runCmd) (_ *running, err error) {
	if err := os.MkdirAll(c.State, 0o750); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		hint := "write HOST:PORT with an address of this machine, like 127.0.0.1:8080"
		if errors.Is(err, syscall.EADDRINUSE) {
			hint = "another process has the port: choose one with --listen"
		}
		return nil, hinted{fmt.Errorf("listen on %s: %w", c.Listen, err), hint}
	}
	defer func() {
		if err != nil {
			_ = ln.Close()
		}
	}()
	plan, err := loadPlan(e, c.File, pipeline.Options{Subject: subjects(e, c.State)})
	if err != nil {
		return nil, err
	}
	limitMemory(plan.State.Memory)
	p := &running{e: e, plan: plan, dir: c.State, url: "http://" + ln.Addr().String(), served: make(chan error, 1), read: make(chan error, 1)}
	p.ctx, p.cancel = context.WithCancelCause(e.ctx)
	if p.st, err = state.OpenBadger(c.State, badgerOptions(e, plan)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.closeDead()
			_ = p.st.Close()
		}
	}()
	verifying, opening := p.st.Opened()
	e.log.Info("opened the state", "verifying_seconds", verifying.Seconds(), "opening_seconds", opening.Seconds())
	metrics := serve.NewMetrics()
	opt := feature.Options{Log: e.log, Observe: metrics.Observer(), AcceptLoss: c.AcceptLoss, Dead: map[string]feature.DeadSink{}}
	for _, src := range plan.Sources {
		if src.Dead.Topic != "" {
			d, err := stream.NewDeadTopic(stream.DeadConfig{Kafka: src.Kafka, Topic: src.Dead.Topic, Log: e.log, Done: p.ctx})
			if err != nil {
				return nil, fmt.Errorf("dead letters of %q: %w", src.Name, err)
			}
			p.dead = append(p.dead, d)
			opt.Dead[src.Name] = d
		}
	}
	if p.store, err = feature.Open(p.st, plan, opt); err != nil {
		return nil, planHint(err, c.File, c.State)
	}
	if err := pinSchemas(c.State, plan); err != nil {
		return nil, errors.Join(err, p.store.Close(e.ctx))
	}
	if err := p.writeServerFile(); err != nil {
		return nil, errors.Join(err, p.store.Close(e.ctx))
	}
	p.runner = stream.New(stream.Config{Plan: plan, Store: p.store, Log: e.log, AcceptLoss: c.AcceptLoss})
	if p.log, err = openServingLog(e, plan, c.State); err != nil {
		return nil, errors.Join(err, p.store.Close(e.ctx))
	}
	p.exports = export.NewJobs(p.store, export.JobOptions{Log: e.log, Build: thisBuild()})
	server := serve.New(serve.Config{
		ServingLog: p.log,

		Store: p.store, Plan: plan, Metrics: metrics, Log: e.log, Status: p.status, ReadyLag: c.ReadyLag, Version: version,
		Extra: map[string]http.Handler{export.Path: p.exports, export.Path + "/": p.exports},
	})
	go func() { p.served <- server.Serve(p.ctx, ln) }()
	go func() { p.read <- p.runner.Run(p.ctx) }()
	e.log.Info("running", "pipeline", plan.Name, "state", c.State, "url", p.url)
	return p, nil
}

// wait runs until told to stop or until something fails, then flushes and closes.
func (p *running) wait() error {
	var err error
	var served, read bool
	select {
	case <-p.ctx.Done():
	case err = <-p.read:
		read = true
	case err = <-p.served:
		served = true
	case <-p.store.Failed():
		err = p.store.Err()
	}
	return p.stop(err, served, read)
}

// stop ends consuming, then serving, makes everything durable and closes the state.
func (p *running) stop(err error, served, read bool) error {
	p.cancel(err)
	if !read {
		err = errors.Join(err, <-p.read)
	}
	p.exports.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), flushLimit)
	defer cancel()
	if cerr := p.store.Close(ctx); cerr != nil && p.store.Err() == nil {
		p.e.log.Warn("stopped before all was durable: it will be read again", "reason", cerr)
	}
	if !served {
		err = errors.Join(err, <-p.served)
	}
	if p.log != nil {
		if lerr := p.log.Close(); lerr != nil {
			p.e.log.Warn("the serving log is not whole", "reason", lerr)
		}
	}
	p.closeDead()
	_ = os.Remove(serverPath(p.dir))
	err = errors.Join(err, p.st.Close())
	if err == nil {
		p.e.log.Info("stopped", "pipeline", p.plan.Name)
	}
	return err
}

// openServingLog opens the plan's log of what is served; nil if it has none.
func openServingLog(e *env, plan *pipeline.Plan, dir string) (*serve.Log, error) {
	x := plan.Log
	if x == nil {
		return nil, nil
	}
	folder := filepath.Join(dir, "served")
	if x.Path != "" {
		if folder = x.Path; !filepath.IsAbs(folder) {
			folder = filepath.Join(filepath.Dir(plan.Path), folder)
		}
	}
	return serve.OpenLog(serve.LogConfig{
		Dir: folder, Sample: x.Sample, FileBytes: x.FileBytes, KeepBytes: x.KeepBytes, Logger: e.log,
	})
}

func (p *running) closeDead() {
	for _, d := range p.dead {
		d.Close()
	}
}

func (p *running) writeServerFile() error {
	b, err := json.Marshal(serverFile{URL: p.url, PID: os.Getpid()})
	if err != nil {
		return err
	}
	if err := writeFile(serverPath(p.dir), b); err != nil {
		return fmt.Errorf("write server.json: %w", err)
	}
	return nil
}

// status hands what stream knows of the sources to serve.
func (p *running) status() []serve.SourceStatus {
	var out []serve.SourceStatus
	for _, s := range p.runner.Status() {
		x := serve.SourceStatus{Source: s.Name, Waiting: cmp.Or(p.store.Stalled(), s.Waiting), Done: s.Done}
		for _, q := range s.Partitions {
			x.Partitions = append(x.Partitions, serve.PartitionStatus{Partition: q.Partition, Lag: q.Lag, Waiting: q.Waiting})
		}
		out = append(out, x)
	}
	return out
}

// subjects answers the reader schema of a subject: the pinned one, else the registry's latest, which is
// waited for while the registry is away.
func subjects(e *env, dir string) func(pipeline.RegistryRef) (*schemas.Schema, error) {
	pinned := pinnedSubject(dir)
	return func(ref pipeline.RegistryRef) (*schemas.Schema, error) {
		if _, err := os.Stat(pinPath(dir, ref.Subject)); err == nil {
			return pinned(ref)
		}
		said := ""
		for {
			s, err := latest(e.ctx, ref)
			if !errors.Is(err, schemas.ErrUnavailable) && !errors.Is(err, schemas.ErrUnknownSchema) {
				return s, err
			}
			if e.ctx.Err() != nil {
				return nil, err
			}
			if err.Error() != said {
				said = err.Error()
				e.log.Warn("waiting for the schema registry", "subject", ref.Subject, "reason", err)
			}
			select {
			case <-time.After(time.Second):
			case <-e.ctx.Done():
				return nil, e.ctx.Err()
			}
		}
	}
}

// limitMemory keeps the heap within the plan's budget, unless GOMEMLIMIT says otherwise.
func limitMemory(budget int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(budget)
	}
}
