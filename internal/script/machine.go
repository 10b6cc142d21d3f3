package script

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/stream"
)

// machine is the engine that one case runs on, with the logs of its sources.
type machine struct {
	suite    *Suite
	plan     *pipeline.Plan
	mode     mode
	st       *state.Memory
	store    *feature.Store
	feeds    []*stream.Feed // by source
	reader   *feature.Reader
	vector   feature.Vector
	log      []happened // all that was fed, in order
	dead     *deadLog
	failures []Failure
}

// happened is a record that was fed, or a partition that was idle.
type happened struct {
	record *record
	idle   partition
}

// mode is how a case is run; the answers do not depend on it.
type mode struct {
	name    string
	shards  int
	restart string // after every step
}

// Failure is one thing that is not as expected.
type Failure struct {
	diag.Diagnostic
	Feature string   `json:"feature,omitempty"`
	Got     string   `json:"got,omitempty"`
	Want    string   `json:"want,omitempty"`
	Rows    []string `json:"rows,omitempty"` // what the wrong feature rests on
}

func newMachine(s *Suite, md mode) (*machine, error) {
	m := &machine{suite: s, plan: s.plan, mode: md, st: state.NewMemory(), dead: &deadLog{seen: map[deadKey]bool{}}}
	return m, m.open()
}

// open opens the state: a fresh one, or after a restart.
func (m *machine) open() error {
	opt := feature.Options{Shards: m.mode.shards, Now: func() event.Time { return 0 }, Dead: map[string]feature.DeadSink{}}
	for _, src := range m.plan.Sources {
		opt.Dead[src.Name] = m.dead
	}
	var err error
	if m.store, err = feature.Open(m.st, m.plan, opt); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	m.reader = m.store.NewReader()
	m.feeds = m.feeds[:0]
	for _, src := range m.plan.Sources {
		f, err := stream.NewFeed(stream.Config{Plan: m.plan, Store: m.store}, src)
		if err != nil {
			return fmt.Errorf("feed %s: %w", src.Name, err)
		}
		m.feeds = append(m.feeds, f)
	}
	return nil
}

// feed appends to the logs and lets them be read to the end.
func (m *machine) feed(ctx context.Context, what []happened) error {
	m.log = append(m.log, what...)
	return m.read(ctx, what)
}

// read hands over what is not durable of a log. Who is idle is so at the same place again.
func (m *machine) read(ctx context.Context, log []happened) error {
	for _, h := range log {
		if h.record == nil {
			if err := m.applied(ctx); err != nil {
				return err
			}
			m.feeds[h.idle.source].Leave(h.idle.number)
			continue
		}
		r := h.record
		f := m.feeds[r.source]
		if r.Offset < f.Next(r.Partition) {
			continue // durable before a restart
		}
		if err := f.Add(ctx, r.FeedRecord); err != nil {
			return err
		}
	}
	return m.applied(ctx)
}

// applied lets readers see all that was added.
func (m *machine) applied(ctx context.Context) error {
	for _, f := range m.feeds {
		if err := f.End(ctx); err != nil {
			return err
		}
	}
	return m.store.Applied(ctx)
}

// restart closes the store and opens it again; how is flushed or killed. What was not durable is read
// again from the logs.
func (m *machine) restart(ctx context.Context, how string) error {
	if how == killed {
		old := m.st
		m.st = old.Reopen() // nothing is committed any more
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_ = m.store.Close(ended) // it cannot flush
	} else {
		if err := m.store.Close(ctx); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		m.st = m.st.Reopen()
	}
	if err := m.open(); err != nil {
		return err
	}
	if err := m.read(ctx, m.log); err != nil {
		return err
	}
	if err := m.store.Ready(); err != nil {
		return fmt.Errorf("not ready though all is read again: %w", err)
	}
	return nil
}

// close ends the machine without a trace.
func (m *machine) close(ctx context.Context) error {
	if m.store == nil {
		return nil
	}
	return m.store.Close(context.WithoutCancel(ctx))
}

func (m *machine) failure(n *pipeline.Node, format string, args ...any) Failure {
	return Failure{Diagnostic: diagnose(m.suite.Path, m.suite.lines, n, "", format, args...)}
}

func (m *machine) fail(n *pipeline.Node, format string, args ...any) {
	m.failures = append(m.failures, m.failure(n, format, args...))
}

// deadLog collects dead letters; the same one sent again after a restart is one.
type deadLog struct {
	mu   sync.Mutex
	seen map[deadKey]bool
	list []feature.DeadLetter
}

type deadKey struct {
	source    string
	partition int32
	offset    int64
	view      string
}

// Send takes a dead letter.
func (d *deadLog) Send(x *feature.DeadLetter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := deadKey{source: x.Source, partition: x.Partition, offset: x.Offset, view: x.View}
	if !d.seen[k] {
		d.seen[k] = true
		c := *x
		c.Key, c.Value = nil, nil
		d.list = append(d.list, c)
	}
	return nil
}

// Flush has nothing to do.
func (d *deadLog) Flush(context.Context) error { return nil }

// all lists the dead letters by source, position and view.
func (d *deadLog) all(p *pipeline.Plan) []feature.DeadLetter {
	d.mu.Lock()
	defer d.mu.Unlock()
	place := map[string]int{}
	for i, s := range p.Sources {
		place[s.Name] = i
	}
	out := slices.Clone(d.list)
	slices.SortStableFunc(out, func(a, b feature.DeadLetter) int {
		return cmpOr(place[a.Source]-place[b.Source], int(a.Partition-b.Partition), int(a.Offset-b.Offset), compareText(a.View, b.View))
	})
	return out
}
