package export

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/penstock-ml/penstock/feature"
)

// JobOptions bound what exports of a server may take; the zero value is ready for use.
type JobOptions struct {
	Log      *slog.Logger
	TempDir  string        // where spines and tables stand meanwhile; empty: the system's
	MaxSpine int64         // bytes of a spine; 0: 16 GiB
	Running  int           // exports at once, further ones are refused; 0: 2
	Kept     int           // tables that wait to be taken, the oldest go first; 0: 16
	Keep     time.Duration // how long a table waits since it was last asked for; 0: 1 hour
	Stall    time.Duration // how long a client may neither send nor take; 0: 1 minute
	Build    Build         // for manifests
	Workers  int           // of each export; 0: half of the CPUs. They run behind look-ups. An export that is to be fast has all
	Now      func() time.Time
}

// Jobs runs the exports that clients of a server ask for, and keeps their tables until they are taken. It is
// an http.Handler: what it answers stands in docs/exports.md.
type Jobs struct {
	store *feature.Store
	opt   JobOptions

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	jobs    []*job // in the order of asking
	running int    // those that have a slot
	closed  bool
}

// State says where a job is.
type State string

// A job is running until it is one of the others.
const (
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// job is one export. Its fields do not change once it is running, but those behind Jobs.mu.
type job struct {
	id     string
	dir    string
	began  time.Time
	cancel context.CancelFunc
	meter  Meter
	names  []string // of the files, as the client calls them
	paths  []string
	over   chan struct{} // closed when it runs no more

	// Guarded by Jobs.mu.
	state  State
	report *Report
	err    error
	used   time.Time // when it was last asked for
	ended  time.Time
}

// NewJobs makes a place for exports from store.
func NewJobs(store *feature.Store, opt JobOptions) *Jobs {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.MaxSpine <= 0 {
		opt.MaxSpine = 16 << 30
	}
	if opt.Running <= 0 {
		opt.Running = 2
	}
	if opt.Kept <= 0 {
		opt.Kept = 16
	}
	if opt.Keep <= 0 {
		opt.Keep = time.Hour
	}
	if opt.Stall <= 0 {
		opt.Stall = time.Minute
	}
	if opt.Workers <= 0 {
		opt.Workers = max(spare.count()/2, 1)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	j := &Jobs{store: store, opt: opt}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	return j
}

// Close stops what runs, waits for it, and removes all files. Nothing runs any more after it.
func (j *Jobs) Close() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.cancel()
	j.wg.Wait()
	j.mu.Lock()
	gone := j.jobs
	j.jobs = nil
	j.mu.Unlock()
	for _, x := range gone {
		_ = os.RemoveAll(x.dir)
	}
}

// slot takes one of the places for exports that run; free gives it back.
func (j *Jobs) slot() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return &refusal{503, mistake("not_ready", "", "the server stops")}
	}
	if j.running >= j.opt.Running {
		return &refusal{429, mistake("busy", "try again when one of them is done", "%d exports are running already", j.running)}
	}
	j.running++
	return nil
}

func (j *Jobs) free() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running--
}

// start runs a job whose spine is there, on the slot that the caller has taken. It fails if all is over.
func (j *Jobs) start(x *job, run func(ctx context.Context, m *Meter) (*Report, error)) error {
	ctx, cancel := context.WithCancel(j.ctx)
	x.cancel, x.over, x.state = cancel, make(chan struct{}), Running
	x.began = j.opt.Now()
	x.used = x.began
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		cancel()
		return &refusal{503, mistake("not_ready", "", "the server stops")}
	}
	j.jobs = append(j.jobs, x)
	j.wg.Add(1)
	j.mu.Unlock()
	go func() {
		defer j.wg.Done()
		defer cancel()
		report, err := run(ctx, &x.meter)
		j.end(x, report, err, ctx.Err() != nil)
	}()
	return nil
}

// end notes how a job came out.
func (j *Jobs) end(x *job, report *Report, err error, cancelled bool) {
	if err != nil {
		_ = os.RemoveAll(x.dir) // before anyone can see that it is over
	}
	j.mu.Lock()
	j.running--
	x.report, x.err, x.ended = report, err, j.opt.Now()
	x.used = x.ended
	switch {
	case err == nil:
		x.state = Done
	case cancelled:
		x.state = Cancelled
	default:
		x.state = Failed
	}
	state := x.state
	j.mu.Unlock()
	close(x.over)
	log := j.opt.Log.With("export", x.id, "state", state, "seconds", x.ended.Sub(x.began).Seconds())
	var own *Error
	switch {
	case err == nil:
		log.Info("export is over", "rows", report.Rows)
	case cancelled, errors.As(err, &own):
		log.Info("export is over", "reason", err)
	default:
		log.Error("export is over", "reason", err)
	}
	j.tidy()
}

// tidy lets go of tables that nobody came for.
func (j *Jobs) tidy() {
	now := j.opt.Now()
	var gone []*job
	j.mu.Lock()
	over := 0
	for _, x := range slices.Backward(j.jobs) {
		if x.state == Running {
			continue
		}
		if over++; over > j.opt.Kept || now.Sub(x.used) >= j.opt.Keep {
			gone = append(gone, x)
		}
	}
	j.jobs = slices.DeleteFunc(j.jobs, func(x *job) bool { return slices.Contains(gone, x) })
	j.mu.Unlock()
	for _, x := range gone {
		_ = os.RemoveAll(x.dir)
	}
}

// find answers the job of an id and notes that it was asked for; nil: there is none.
func (j *Jobs) find(id string) *job {
	j.tidy()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, x := range j.jobs {
		if x.id == id {
			x.used = j.opt.Now()
			return x
		}
	}
	return nil
}

// remove stops a job, waits until it runs no more, and forgets it and its files.
func (j *Jobs) remove(x *job) {
	x.cancel()
	<-x.over
	j.mu.Lock()
	j.jobs = slices.DeleteFunc(j.jobs, func(y *job) bool { return x == y })
	j.mu.Unlock()
	_ = os.RemoveAll(x.dir)
}

// newJob makes a job with a folder of its own.
func (j *Jobs) newJob() (*job, error) {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	dir, err := os.MkdirTemp(j.opt.TempDir, "penstock-export-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the spine: %w", err)
	}
	return &job{id: hex.EncodeToString(id), dir: dir}, nil
}

// Job is a job as clients see it.
type Job struct {
	ID            string    `json:"id"`
	State         State     `json:"state"`
	Started       time.Time `json:"started"`
	Rows          int64     `json:"rows"`                 // answered so far
	RowsTotal     int64     `json:"rows_total,omitempty"` // as far as is known
	RowsPerSecond float64   `json:"rows_per_second"`
	SecondsLeft   *float64  `json:"seconds_left,omitempty"`
	Files         []File    `json:"files,omitempty"` // when done
	Report        *Report   `json:"report,omitempty"`
	Manifest      *Manifest `json:"manifest,omitempty"` // if it was asked for
	Error         *Error    `json:"error,omitempty"`
}

// File is a file of a table that is done.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	URL   string `json:"url"` // its path at the server
}

// describe tells what is known of a job.
func (j *Jobs) describe(x *job) *Job {
	p := x.meter.Progress()
	j.mu.Lock()
	defer j.mu.Unlock()
	d := &Job{ID: x.id, State: x.state, Started: x.began.UTC().Truncate(time.Microsecond), Rows: p.Rows, RowsTotal: p.Total, Report: x.report}
	if x.state != Running {
		p.Elapsed = x.ended.Sub(x.began)
	}
	d.RowsPerSecond = float64(int64(p.Rate()))
	switch x.state {
	case Running:
		if left, ok := p.Left(); ok {
			s := left.Round(time.Second).Seconds()
			d.SecondsLeft = &s
		}
	case Done:
		d.Manifest = x.report.Manifest
		for i, path := range x.paths {
			f := File{Name: filepath.Base(x.names[i]), URL: Path + "/" + x.id + "/files/" + fmt.Sprint(i)}
			if info, err := os.Stat(path); err == nil {
				f.Bytes = info.Size()
			}
			d.Files = append(d.Files, f)
		}
	case Failed, Cancelled:
		d.Error = publicError(x.err)
		if x.state == Cancelled {
			d.Error = mistake("cancelled", "", "the export was cancelled")
		}
	}
	return d
}
