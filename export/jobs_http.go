package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Path is where a server mounts Jobs, and Path + "/" too.
const Path = "/v1/exports"

// ServeHTTP implements http.Handler.
func (j *Jobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, rest, _ := strings.Cut(strings.Trim(strings.TrimPrefix(r.URL.Path, Path), "/"), "/")
	file, isFile := strings.CutPrefix(rest, "files/")
	allow := "GET, HEAD"
	var do func(http.ResponseWriter, *http.Request) error
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case id == "":
		allow = "GET, HEAD, POST"
		switch {
		case get:
			do = j.list
		case r.Method == http.MethodPost:
			do = j.post
		}
	case rest == "":
		allow = "GET, HEAD, DELETE"
		switch {
		case get:
			do = j.of(id, j.get)
		case r.Method == http.MethodDelete:
			do = j.of(id, j.delete)
		}
	case isFile:
		if get {
			do = j.of(id, func(w http.ResponseWriter, r *http.Request, x *job) error { return j.file(w, r, x, file) })
		}
	default:
		refuse(w, http.StatusNotFound, mistake("not_found", "an export's files stand in the answer to GET "+Path+"/ID", "there is nothing here"))
		return
	}
	if do == nil {
		w.Header().Set("Allow", allow)
		refuse(w, http.StatusMethodNotAllowed, mistake("method_not_allowed", "", "this takes %s", allow))
		return
	}
	if err := do(w, r); err != nil {
		j.fail(w, r, err)
	}
}

// of looks up the job that a path names.
func (j *Jobs) of(id string, do func(http.ResponseWriter, *http.Request, *job) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		x := j.find(id)
		if x == nil {
			return &refusal{http.StatusNotFound, mistake("unknown_export_job", "tables wait for some time only; GET "+Path+" lists those that are there",
				"there is no export %s", quote(id))}
		}
		return do(w, r, x)
	}
}

// refusal is an error with its status code.
type refusal struct {
	code int
	err  *Error
}

func (r *refusal) Error() string { return r.err.Message }
func (r *refusal) Unwrap() error { return r.err }

// publicError is an error as clients get it.
func publicError(err error) *Error {
	var sel *feature.SelectError
	var own *Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &sel):
		return &Error{Code: sel.Code, Message: sel.Message, Hint: sel.Hint, At: sel.At}
	case errors.As(err, &own):
		return own
	case errors.As(err, &large):
		return mistake("too_large", "split it", "the spine is larger than %d bytes", large.Limit)
	}
	return mistake("internal", "the server's log says more", "%s", err)
}

// fail answers an error that came before any byte of an answer.
func (j *Jobs) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := publicError(err)
	code := http.StatusInternalServerError
	var own *refusal
	switch {
	case errors.As(err, &own):
		code = own.code
	case strings.HasPrefix(e.Code, "unknown_"):
		code = http.StatusNotFound
	case e.Code == "too_large":
		code = http.StatusRequestEntityTooLarge
	case e.Code != "internal":
		code = http.StatusBadRequest
	case r.Context().Err() != nil:
		j.opt.Log.Info("export was given up by its client")
		return
	default:
		j.opt.Log.Error("export", "error", err)
	}
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	refuse(w, code, e)
}

func answer(w http.ResponseWriter, code int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
	return nil
}

func refuse(w http.ResponseWriter, code int, e *Error) {
	b, err := json.Marshal(struct {
		Error *Error `json:"error"`
	}{e})
	if err != nil { // four strings: cannot happen
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
}

// query is what a request asks for.
type query struct {
	req        Request
	spine      string // its name, of which the extension counts
	out        string
	definition string // the version of the export in the client's file; empty: not known
}

func (q *query) encode() string {
	v := url.Values{"spine": {q.spine}, "out": {q.out}}
	if q.req.Export != "" {
		v.Set("export", q.req.Export)
	}
	if q.definition != "" {
		v.Set("definition", q.definition)
	}
	if q.req.Selection.Set != "" {
		v.Set("set", q.req.Selection.Set)
	}
	if q.req.Selection.View != "" {
		v.Set("view", q.req.Selection.View)
	}
	if len(q.req.Selection.Features) > 0 {
		v.Set("features", strings.Join(q.req.Selection.Features, ","))
	}
	if q.req.SpineTime != "" {
		v.Set("spine_time", q.req.SpineTime)
	}
	if q.req.AsServed {
		v.Set("as_served", "true")
	}
	if q.req.WithStatus {
		v.Set("with_status", "true")
	}
	if q.req.Fast {
		v.Set("fast", "true")
	}
	if q.req.Manifest {
		v.Set("manifest", "true")
	}
	if q.req.Label != "" {
		v.Set("label", q.req.Label)
	}
	if q.req.At != nil {
		short := *q.req.At
		short.Cut.Files = nil // the client compares them, with those of the manifest that it gets
		at, err := json.Marshal(&short)
		if err != nil { // texts and numbers: cannot happen
			panic(err)
		}
		v.Set("at", string(at))
	}
	return v.Encode()
}

func parseQuery(raw string) (*query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, mistake("malformed", "", "the query is malformed: %v", err)
	}
	q := &query{}
	for key, vs := range values {
		v := vs[0]
		switch key {
		case "spine":
			q.spine = v
		case "out":
			q.out = v
		case "export":
			q.req.Export = v
		case "definition":
			q.definition = v
		case "set":
			q.req.Selection.Set = v
		case "view":
			q.req.Selection.View = v
		case "features":
			q.req.Selection.Features = strings.Split(v, ",")
		case "spine_time":
			q.req.SpineTime = v
		case "label":
			q.req.Label = v
		case "at":
			q.req.At = &At{}
			if err := json.Unmarshal([]byte(v), q.req.At); err != nil {
				return nil, mistake("malformed", "", "the query's at: %v", err)
			}
		case "as_served", "with_status", "fast", "manifest":
			if v != "true" {
				return nil, mistake("malformed", "it is true or not given", "the query's %s is %s", key, quote(v))
			}
			*map[string]*bool{
				"as_served": &q.req.AsServed, "with_status": &q.req.WithStatus, "fast": &q.req.Fast, "manifest": &q.req.Manifest,
			}[key] = true
		default:
			return nil, mistake("malformed", "docs/exports.md lists what it may have; are the client and the server of one version?", "the query has an unknown key %s", quote(key))
		}
	}
	return q, nil
}

// post receives a spine and starts its export.
func (j *Jobs) post(w http.ResponseWriter, r *http.Request) error {
	if err := j.store.Ready(); err != nil {
		return &refusal{http.StatusServiceUnavailable, mistake("not_ready", "try again in a moment", "%s", err)}
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	asked, declared, err := j.declared(q)
	if err != nil {
		return err
	}
	sel, err := j.store.Select(asked.Selection)
	if err != nil {
		return err
	}
	if err := j.slot(); err != nil {
		return err
	}
	x, err := j.newJob()
	if err == nil {
		if err = j.prepare(w, r, x, q, asked, declared, sel); err != nil {
			_ = os.RemoveAll(x.dir)
		}
	}
	if err != nil {
		j.free()
		return err
	}
	w.Header().Set("Location", Path+"/"+x.id)
	return answer(w, http.StatusAccepted, j.describe(x))
}

// prepare receives the spine of a job and starts it.
func (j *Jobs) prepare(w http.ResponseWriter, r *http.Request, x *job, q *query, asked Request, declared *pipeline.Export, sel *feature.Selector) error {
	if declared == nil || declared.Spine.File != "" {
		if err := checkFormat(q.spine, "spine "+q.spine, ""); err != nil {
			return err
		}
	}
	// Only the extensions of the client's names reach the file system.
	spine, out := filepath.Join(x.dir, safeName("spine", q.spine)), filepath.Join(x.dir, safeName("out", q.out))
	if err := checkOut(out, q.out); err != nil {
		return err
	}
	control := http.NewResponseController(w)
	if err := j.receive(w, r, control, spine); err != nil {
		return err
	}
	_ = control.SetReadDeadline(time.Time{})
	cfg := Config{
		Selector: sel, Export: declared, Spine: spine, SpineName: q.spine, SpineTime: asked.SpineTime, Out: out, OutName: q.out,
		AsServed: asked.AsServed, WithStatus: asked.WithStatus, Workers: j.opt.Workers, Behind: true,
		Manifest: asked.Manifest, Label: asked.Label, Options: optionsOf(&asked), Meaning: meaningOf(j.store, sel, declared),
		Build: j.opt.Build, At: asked.At,
	}
	if asked.Fast {
		cfg.Workers, cfg.Behind = 0, false // Run takes all CPUs
	}
	x.paths, x.names = cfg.outputs()
	return j.start(x, func(ctx context.Context, m *Meter) (*Report, error) {
		cut, err := cutFor(ctx, j.store, cfg.Meaning, cfg.At)
		if err != nil {
			return nil, err
		}
		defer cut.Close()
		cfg.Cut, cfg.Meter = cut, m
		report, err := Run(ctx, cfg)
		_ = os.Remove(spine)
		return report, err
	})
}

// declared looks up the export that is named, if one is: it must be the one that the client's file declares.
func (j *Jobs) declared(q *query) (Request, *pipeline.Export, error) {
	if q.req.Export == "" {
		return q.req, nil, nil
	}
	asked, x, err := q.req.declare(j.store.Plan())
	if err == nil && q.definition != "" && x.Version(j.store.Plan()) != q.definition {
		err = mistake("definition", "give the file that the server was started with, or start the server anew with this file",
			"export %q is declared otherwise in the file that the server runs", x.Name)
	}
	return asked, x, err
}

// receive writes the body to a file.
func (j *Jobs) receive(w http.ResponseWriter, r *http.Request, control *http.ResponseController, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("keep the spine: %w", err)
	}
	body := http.MaxBytesReader(w, r.Body, j.opt.MaxSpine)
	_, err = io.Copy(f, readerFunc(func(b []byte) (int, error) {
		_ = control.SetReadDeadline(time.Now().Add(j.opt.Stall))
		return body.Read(b)
	}))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("receive the spine: %w", err)
	}
	return nil
}

// list answers all jobs, the oldest first.
func (j *Jobs) list(w http.ResponseWriter, _ *http.Request) error {
	j.tidy()
	j.mu.Lock()
	jobs := append([]*job(nil), j.jobs...)
	j.mu.Unlock()
	all := make([]*Job, 0, len(jobs))
	for _, x := range jobs {
		all = append(all, j.describe(x))
	}
	return answer(w, http.StatusOK, struct {
		Exports []*Job `json:"exports"`
	}{all})
}

// longestWait is how long an answer may be waited for in one request.
const longestWait = time.Minute

// get answers how a job is; with ?wait=5s when it is over, or after that time.
func (j *Jobs) get(w http.ResponseWriter, r *http.Request, x *job) error {
	if s := r.URL.Query().Get("wait"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > longestWait {
			return mistake("malformed", "like 5s", "wait is a duration of at most %v, not %s", longestWait, quote(s))
		}
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-x.over:
		case <-t.C:
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
	return answer(w, http.StatusOK, j.describe(x))
}

// delete cancels a job that runs, and removes what it wrote.
func (j *Jobs) delete(w http.ResponseWriter, _ *http.Request, x *job) error {
	j.remove(x)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// file sends a file of a table, or a range of it.
func (j *Jobs) file(w http.ResponseWriter, r *http.Request, x *job, number string) error {
	d := j.describe(x)
	i, err := strconv.Atoi(number)
	switch {
	case d.State == Running:
		return &refusal{http.StatusConflict, mistake("running", "wait until its state is done", "the export is not done yet")}
	case d.State != Done:
		return &refusal{http.StatusConflict, d.Error}
	case err != nil || i < 0 || i >= len(x.paths):
		return &refusal{http.StatusNotFound, mistake("not_found", "", "the export has %d files, counted from 0", len(x.paths))}
	}
	f, err := os.Open(x.paths[i])
	if err != nil {
		return fmt.Errorf("send the table: %w", err)
	}
	defer func() { _ = f.Close() }()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": d.Files[i].Name}))
	http.ServeContent(&stallingWriter{w, control, j.opt.Stall}, r, "", time.Time{}, f)
	return nil
}

// stallingWriter gives a client some time for each piece, however long the whole takes.
type stallingWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (w *stallingWriter) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
	return w.ResponseWriter.Write(b)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
