package script

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/penstock-ml/penstock/internal/diag"
)

// Options say which cases run, and how.
type Options struct {
	Run      *regexp.Regexp // of the cases' names, or FILE/NAME; nil: all
	Restarts bool           // each case twice more, restarted after every step: killed, and stopped cleanly
	Workers  int            // cases at a time; 0: one for each CPU
}

// Result is what became of one case.
type Result struct {
	File     string
	Name     string
	Line     int
	Steps    int
	Took     time.Duration
	Failures []Failure
}

// Passed tells whether all was as expected.
func (r *Result) Passed() bool { return len(r.Failures) == 0 }

// Files lists the test files that paths name: files as they are, and below folders those that end in
// _test.yaml or _test.yml, in order.
func Files(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, path)
			continue
		}
		err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && isTest(d.Name()) {
				out = append(out, p)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Compact(out), nil
}

// LoadAll checks test files: every mistake in all of them.
func LoadAll(files []string) ([]*Suite, diag.List) {
	var out []*Suite
	var found diag.List
	for _, file := range files {
		s, list := Load(file)
		found = append(found, list...)
		if s != nil {
			out = append(out, s)
		}
	}
	return out, found
}

// Run runs the cases of suites in parallel; results come in the order of the files.
func Run(ctx context.Context, suites []*Suite, opt Options) []Result {
	var cases []*Case
	for _, s := range suites {
		for _, c := range s.Cases {
			if opt.Run == nil || opt.Run.MatchString(c.Name) || opt.Run.MatchString(s.Path+"/"+c.Name) {
				cases = append(cases, c)
			}
		}
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	out := make([]Result, len(cases))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(opt.Workers, len(cases)) {
		wg.Go(func() {
			for i := range next {
				out[i] = cases[i].Run(ctx, opt.Restarts)
			}
		})
	}
	for i := range cases {
		next <- i
	}
	close(next)
	wg.Wait()
	return out
}

// Run runs the case over a state in memory; with restarts also with a kill and with a clean stop after
// every step, on other numbers of shards: the same must come out.
func (c *Case) Run(ctx context.Context, restarts bool) Result {
	modes := []mode{{shards: 1}}
	if restarts {
		modes = append(modes, mode{"killed after every step", 3, killed}, mode{"restarted after every step", 8, flushed})
	}
	r := Result{File: c.suite.Path, Name: c.Name, Line: c.Line, Steps: len(c.steps)}
	began := time.Now()
	for _, md := range modes {
		for _, f := range c.run(ctx, md) {
			if md.name != "" {
				f.Message = md.name + ": " + f.Message
			}
			r.Failures = append(r.Failures, f)
		}
		if len(r.Failures) > 0 {
			break
		}
	}
	r.Took = time.Since(began)
	return r
}

func (c *Case) run(ctx context.Context, md mode) (out []Failure) {
	m, err := newMachine(c.suite, md)
	defer func() {
		// A panic of the engine is a failure of this case; the others go on.
		if x := recover(); x != nil {
			out = append(m.failures, m.failure(c.name, "the engine panics: %v", x))
		}
	}()
	if err != nil {
		return []Failure{m.failure(c.name, "%v", err)}
	}
	for _, s := range c.steps {
		if err = ctx.Err(); err == nil {
			err = s.run(ctx, m)
		}
		if err == nil && md.restart != "" {
			err = m.restart(ctx, md.restart)
		}
		if err != nil {
			m.fail(s.at(), "%v", err)
			break
		}
	}
	if err := m.close(ctx); err != nil {
		m.fail(c.name, "close: %v", err)
	}
	return m.failures
}

// String is what a person reads of a failure: the place, the difference, and what the feature rests on.
func (f *Failure) String() string {
	s := f.Diagnostic.String()
	for _, row := range f.Rows {
		s += "\n    " + row
	}
	return s
}

// Title names a case for people.
func (r *Result) Title() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Name) }
