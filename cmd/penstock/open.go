package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/serve"
	"github.com/penstock-ml/penstock/state"
)

// loadPlan compiles a pipeline file, printing every mistake.
func loadPlan(e *env, file string, opt pipeline.Options) (*pipeline.Plan, error) {
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil, misuse{fmt.Errorf("pipeline file %s does not exist", file)}
	}
	plan, list := pipeline.Load(file, opt)
	if err := e.ctx.Err(); err != nil {
		return nil, err // told to stop while waiting for a registry
	}
	if len(list) > 0 {
		if err := list.Write(e.errs); err != nil {
			return nil, err
		}
	}
	if plan == nil {
		return nil, errPrinted
	}
	return plan, nil
}

// openState opens a directory that no server has open, with the plan of a file; schemas of registry
// subjects, and of files that are gone, are the pinned ones, so that no network and no event is needed.
func openState(e *env, file, dir string) (*pipeline.Plan, *state.Badger, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil, nil, misuse{fmt.Errorf("state directory %s does not exist", dir)}
	}
	plan, err := loadPlan(e, file, pinned(dir))
	if err != nil {
		return nil, nil, err
	}
	opt := badgerOptions(e, plan)
	opt.ReadMostly = true // merging what a server left would take more time than most questions
	st, err := state.OpenBadger(dir, opt)
	return plan, st, err
}

// badgerOptions give the state its share of the plan's memory.
func badgerOptions(e *env, plan *pipeline.Plan) state.BadgerOptions {
	return state.BadgerOptions{Memory: plan.State.Memory / 4, DiskFree: plan.State.DiskFree, Log: e.log}
}

// planHint tells what to do about a state of another plan.
func planHint(err error, file, dir string) error {
	var p *feature.PlanError
	if errors.As(err, &p) {
		return hinted{
			fmt.Errorf("open state %s: %w", dir, err),
			fmt.Sprintf("see `penstock plan %s --state %s`; run the changed file on a new directory, or the old file on this one", file, dir),
		}
	}
	return err
}

// server.json in a state directory says where the server that has it open listens.
type serverFile struct {
	URL string `json:"url"`
	PID int    `json:"pid"`
}

func serverPath(dir string) string { return filepath.Join(dir, "server.json") }

// serverOf returns the address of the server that has dir open; empty if none has.
func serverOf(dir string) (string, error) {
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return "", misuse{fmt.Errorf("state directory %s does not exist", dir)}
	}
	held, pid, err := state.Locked(dir)
	if err != nil || !held {
		return "", err
	}
	b, err := os.ReadFile(serverPath(dir))
	var f serverFile
	if err != nil || json.Unmarshal(b, &f) != nil {
		return "", &state.LockedError{Dir: dir, PID: pid}
	}
	if _, err := url.Parse(f.URL); err != nil || f.URL == "" {
		return "", &state.LockedError{Dir: dir, PID: pid}
	}
	return f.URL, nil
}

// serverAt is url if it is given, else the address of the server that has dir open; empty if none has.
func serverAt(url, dir string) (string, error) {
	if url != "" {
		return url, nil
	}
	return serverOf(dir)
}

// offline uses the store of a directory that none has open, and closes it.
func offline(e *env, file, dir string, use func(*pipeline.Plan, *feature.Store) error) error {
	plan, st, err := openState(e, file, dir)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	store, err := feature.Open(st, plan, feature.Options{Log: e.log, Offline: true})
	if err != nil {
		return planHint(err, file, dir)
	}
	return errors.Join(use(plan, store), store.Close(e.ctx))
}

// planForServer reads the file that a server runs. Schemas that are not pinned in dir are asked of their registry.
func planForServer(e *env, file, dir string) (*pipeline.Plan, error) {
	opt := pinned(dir)
	if dir == "" {
		opt.Subject = func(ref pipeline.RegistryRef) (*schemas.Schema, error) {
			ctx, cancel := context.WithTimeout(e.ctx, 15*time.Second)
			defer cancel()
			return latest(ctx, ref)
		}
	}
	return loadPlan(e, file, opt)
}

// serverFits compares the pipeline file with the plan that a server runs: an answer by another plan
// would be silently wrong. Where the file's schemas are not known here, nothing can be compared.
func serverFits(e *env, url, file, dir string) error {
	plan, list := pipeline.Load(file, pinned(dir))
	if plan == nil { // without a directory, a registry's schemas are not known
		if dir != "" && list.HasErrors() {
			_ = list.Write(e.errs)
			return errPrinted
		}
		return nil
	}
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, strings.TrimRight(url, "/")+"/v1/pipeline", http.NoBody)
	if err != nil {
		return misuse{err}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil // the question itself will tell
	}
	defer func() { _ = res.Body.Close() }()
	var d serve.Description
	if res.StatusCode != http.StatusOK || json.NewDecoder(res.Body).Decode(&d) != nil {
		return nil // not a server of ours: the question itself will tell
	}
	running := map[string]string{}
	for _, v := range d.Views {
		running[v.Name] = v.Version
	}
	for _, v := range plan.Views {
		if running[v.Name] != v.Version {
			return hinted{
				fmt.Errorf("view %q of %s is not the one that the server at %s runs", v.Name, file, url),
				"give the file that the server was started with, or start one with this file on a new state directory",
			}
		}
	}
	return nil
}

// writeFile replaces a small file whole.
func writeFile(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// The reader schema of a registry subject is pinned in the state directory when a pipeline first runs
// on it: a newer version in the registry does not change a running plan.
func pinPath(dir, subject string) string {
	return filepath.Join(dir, "schemas", url.PathEscape(subject)+".avsc")
}

// filesPath is where the schema is pinned that a source's files bring along: what was counted can be asked for
// when they are gone, or the directory has been copied elsewhere.
func filesPath(dir, source string) string {
	return filepath.Join(dir, "schemas", "files", source+".avsc")
}

// pinned compiles pipeline files with the schemas that are pinned in dir.
func pinned(dir string) pipeline.Options {
	return pipeline.Options{Subject: pinnedSubject(dir), Kept: func(source string) *schemas.Schema {
		if dir == "" {
			return nil
		}
		b, err := os.ReadFile(filesPath(dir, source))
		if err != nil {
			return nil
		}
		s, err := schemas.Parse(b)
		if err != nil {
			return nil
		}
		return s
	}}
}

func pinnedSubject(dir string) func(pipeline.RegistryRef) (*schemas.Schema, error) {
	return func(ref pipeline.RegistryRef) (*schemas.Schema, error) {
		b, err := os.ReadFile(pinPath(dir, ref.Subject))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no schema is pinned in %s: nothing has run on it yet", dir)
		}
		if err != nil {
			return nil, err
		}
		return schemas.Parse(b)
	}
}

// pinSchemas pins the schemas that a plan has found outside of its files.
func pinSchemas(dir string, plan *pipeline.Plan) error {
	for _, src := range plan.Sources {
		var err error
		switch {
		case src.Registry != nil:
			err = pin(pinPath(dir, src.Registry.Subject), src.Registry.Subject, src.Schema)
		case src.File != nil:
			err = pin(filesPath(dir, src.Name), src.Name, src.Schema)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func pin(path, of string, s *schemas.Schema) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("pin schema of %s: %w", of, err)
	}
	if err := writeFile(path, []byte(s.String())); err != nil {
		return fmt.Errorf("pin schema of %s: %w", of, err)
	}
	return nil
}
