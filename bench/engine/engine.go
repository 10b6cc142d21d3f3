// Package engine feeds generated events to a feature store in this process, without Kafka, and measures
// what one event and one read cost. The events are those of a uniform or Zipf draw over any number of
// entities, so that ten millions of them take minutes.
package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

// Job says what to measure.
type Job struct {
	Pipeline string        // file; its only source has the columns of the workload, its first view is read
	Keys     workload.Keys // of the users
	Users    int
	Fill     bool          // count one event of each user first
	Events   int           // to measure
	Reads    int           // of one user each
	Span     time.Duration // of the event times of Events; 1 h
	Count    string        // the feature that counts all events of a user, to compare; empty: compare nothing
	Dir      string
	Env      map[string]string // of the pipeline file
}

// Result is what a Job took.
type Result struct {
	FillSeconds   float64 // one event of each user, durable
	Seconds       float64 // the events, durable
	CPU           float64 // processor seconds of the events
	Gets          float64 // reads of the state for each event
	Values        float64 // values written for each event
	Read          time.Duration
	ReadP50       time.Duration
	ReadP99       time.Duration
	Misses        float64 // share of events whose user was not in memory
	ReadMisses    float64 // share of reads that needed the state: for the user's head or for older rows
	Memory        int64   // the plan's budget
	Peak          int64   // most resident memory of the process while events were counted and read
	Anonymous     int64   // most of it that is not pages of mapped files, which the system takes back at need
	DiskBytes     int64
	Applied       int64 // as the store counts
	CountedInRead int64 // events that the reads of some users counted over their life, and
	Expected      int64 // how many there should be
}

// Partitions is how many goroutines feed the store.
const Partitions = 4

// Mean is the mean of two runs of one job, and the larger of their peaks.
func (r *Result) Mean(o *Result) *Result {
	m := *r
	for _, x := range []struct {
		to *float64
		of float64
	}{{&m.FillSeconds, o.FillSeconds}, {&m.Seconds, o.Seconds}, {&m.CPU, o.CPU}, {&m.Gets, o.Gets}, {&m.Values, o.Values}, {&m.Misses, o.Misses}, {&m.ReadMisses, o.ReadMisses}} {
		*x.to = (*x.to + x.of) / 2
	}
	m.Read, m.ReadP50, m.ReadP99 = (r.Read+o.Read)/2, (r.ReadP50+o.ReadP50)/2, (r.ReadP99+o.ReadP99)/2
	m.Peak, m.Anonymous = max(r.Peak, o.Peak), max(r.Anonymous, o.Anonymous)
	return &m
}

// Run runs a job in a directory of its own.
func Run(ctx context.Context, j Job) (_ *Result, err error) {
	plan, problems := pipeline.Load(j.Pipeline, pipeline.Options{
		Env: func(name string) (string, bool) { v, ok := j.Env[name]; return v, ok },
	})
	if plan == nil {
		return nil, fmt.Errorf("load %s: %v", j.Pipeline, problems)
	}
	if j.Span == 0 {
		j.Span = time.Hour
	}
	if j.Reads < 1 || j.Events < Partitions || j.Users < Partitions {
		return nil, fmt.Errorf("a job needs %d events and users and a read, not %d, %d and %d", Partitions, j.Events, j.Users, j.Reads)
	}
	debug.SetMemoryLimit(plan.State.Memory) // as the program itself does
	disk, err := state.OpenBadger(j.Dir, state.BadgerOptions{Memory: plan.State.Memory / 4, DiskFree: plan.State.DiskFree})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	st := &counted{Store: disk}
	m := &measured{job: j, plan: plan, st: st, result: &Result{Memory: plan.State.Memory}}
	if m.store, err = feature.Open(st, plan, feature.Options{}); err != nil {
		return nil, err
	}
	err = m.run(ctx)
	if err = errors.Join(err, m.store.Close(ctx)); err != nil {
		return nil, err
	}
	return m.result, nil
}

// measured is a job under way.
type measured struct {
	job    Job
	plan   *pipeline.Plan
	st     *counted
	store  *feature.Store
	result *Result

	parts [Partitions]*feed
	seen  [sampledUsers]int64 // events that the first users got
}

// sampledUsers are those whose counts are compared.
const sampledUsers = 1000

func (m *measured) run(ctx context.Context) error {
	stop := m.watchMemory()
	defer stop()
	for p := range m.parts {
		m.parts[p] = newFeed(m, p)
	}
	if m.job.Fill {
		took, err := m.pass(ctx, func(f *feed) error { return f.fill(ctx) })
		if err != nil {
			return err
		}
		m.result.FillSeconds = took.Seconds()
	}
	cpu, gets, values, missed := processTime(), m.st.gets.Load(), m.st.values.Load(), m.store.Stats().Misses
	took, err := m.pass(ctx, func(f *feed) error { return f.draw(ctx) })
	if err != nil {
		return err
	}
	n := float64(m.job.Events)
	m.result.Seconds, m.result.CPU = took.Seconds(), (processTime() - cpu).Seconds()
	m.result.Gets, m.result.Values = float64(m.st.gets.Load()-gets)/n, float64(m.st.values.Load()-values)/n
	stats := m.store.Stats()
	m.result.Misses = float64(stats.Misses-missed) / n
	m.result.Applied, m.result.DiskBytes = stats.Views[0].Applied, stats.State.DiskBytes
	return m.read(ctx)
}

// pass lets all partitions work at once and returns when what they counted is durable.
func (m *measured) pass(ctx context.Context, work func(*feed) error) (time.Duration, error) {
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, Partitions)
	for i, f := range m.parts {
		wg.Go(func() { errs[i] = work(f) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	err := m.store.Flush(ctx)
	return time.Since(began), err
}

// read asks for single users, as busy as in the events, and compares the lifetime counts of some.
func (m *measured) read(ctx context.Context) error {
	sel, err := m.store.Select(feature.Selection{View: m.plan.Views[0].Name})
	if err != nil {
		return err
	}
	at := feature.Instant{AsOf: m.store.Latest(sel)}
	r := m.store.NewReader()
	users := workload.Users(workload.Options{Users: m.job.Users, Keys: m.job.Keys}, rand.New(rand.NewPCG(8, 9)))
	var out feature.Vector
	key := make([]event.Value, 1)
	took := make([]time.Duration, m.job.Reads)
	misses, sum := 0, time.Duration(0)
	for i := range took {
		key[0] = event.StringOf(workload.UserID(users()))
		gets, began := m.st.gets.Load(), time.Now()
		if err := r.Read(ctx, sel, key, nil, at, &out); err != nil {
			return err
		}
		took[i] = time.Since(began)
		sum += took[i]
		if m.st.gets.Load() > gets {
			misses++
		}
	}
	slices.Sort(took)
	m.result.Read, m.result.ReadP50, m.result.ReadP99 = sum/time.Duration(len(took)), took[len(took)/2], took[len(took)*99/100]
	m.result.ReadMisses = float64(misses) / float64(len(took))
	if m.job.Count == "" {
		return nil
	}
	return m.compare(ctx, r, sel, at)
}

// compare sums the lifetime counts of the first users over what the store answers and what was fed.
func (m *measured) compare(ctx context.Context, r *feature.Reader, sel *feature.Selector, at feature.Instant) error {
	column := slices.IndexFunc(sel.Columns, func(c feature.SelectorColumn) bool { return c.Name == m.job.Count })
	if column < 0 {
		return fmt.Errorf("view %s has no feature %s", m.plan.Views[0].Name, m.job.Count)
	}
	var out feature.Vector
	for u := range min(sampledUsers, m.job.Users) {
		key := []event.Value{event.StringOf(workload.UserID(uint32(u)))}
		if err := r.Read(ctx, sel, key, nil, at, &out); err != nil {
			return err
		}
		got := int64(out.Values[column].Num)
		if got != m.seen[u] {
			return fmt.Errorf("%s has %d events, %d were fed", workload.UserID(uint32(u)), got, m.seen[u])
		}
		m.result.CountedInRead += got
		m.result.Expected += m.seen[u]
	}
	return nil
}

func processTime() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// watchMemory notes the most resident memory until stop.
func (m *measured) watchMemory() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			all, anonymous := resident()
			m.result.Peak, m.result.Anonymous = max(m.result.Peak, all), max(m.result.Anonymous, anonymous)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}
