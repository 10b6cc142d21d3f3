package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// Path is where a server mounts Handler. What is spoken there is internal: it may change.
const Path = "/internal/v1/export"

// HandlerOptions bound what exports over HTTP may take; the zero value is ready for use.
type HandlerOptions struct {
	Log      *slog.Logger
	TempDir  string        // where a spine and its answer stand meanwhile; empty: the system's
	MaxSpine int64         // bytes of a spine; 0: 16 GiB
	Running  int           // exports at once, further ones get 429; 0: 2
	Stall    time.Duration // how long a client may neither send nor take; 0: 1 minute
	Workers  int           // of each export; 0: one for each CPU
}

// handler answers exports.
type handler struct {
	store *feature.Store
	opt   HandlerOptions
	slots chan struct{}
}

// Handler answers `penstock export --server`: POST with the spine as body and the rest as query,
// answered by a line of JSON (the Report), then the file.
func Handler(store *feature.Store, opt HandlerOptions) http.Handler {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.MaxSpine <= 0 {
		opt.MaxSpine = 16 << 30
	}
	if opt.Running <= 0 {
		opt.Running = 2
	}
	if opt.Stall <= 0 {
		opt.Stall = time.Minute
	}
	return &handler{store: store, opt: opt, slots: make(chan struct{}, opt.Running)}
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, mistake("method_not_allowed", "", "an export is a POST"))
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusTooManyRequests, mistake("busy", "try again when one of them is done",
			"%d exports are running already", cap(h.slots)))
		return
	}
	if err := h.store.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, mistake("not_ready", "try again in a moment", "%s", err))
		return
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err == nil {
		err = h.export(w, r, q)
	}
	if err != nil {
		h.fail(w, r, err)
	}
}

// fail answers an error that came before any byte of an answer.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	var sel *feature.SelectError
	var own *Error
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &sel):
		code := http.StatusNotFound
		if sel.Code == "malformed" {
			code = http.StatusBadRequest
		}
		refuse(w, code, &Error{Code: sel.Code, Message: sel.Message, Hint: sel.Hint, At: sel.At})
	case errors.As(err, &own):
		refuse(w, http.StatusBadRequest, own)
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, mistake("too_large", "split it", "the spine is larger than %d bytes", large.Limit))
	case r.Context().Err() != nil:
		h.opt.Log.Info("export was given up by its client")
	default:
		h.opt.Log.Error("export", "error", err)
		refuse(w, http.StatusInternalServerError, mistake("internal", "the server's log says more", "%s", err))
	}
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
		case "as_served", "with_status":
			if v != "true" {
				return nil, mistake("malformed", "it is true or not given", "the query's %s is %s", key, quote(v))
			}
			if key == "as_served" {
				q.req.AsServed = true
			} else {
				q.req.WithStatus = true
			}
		default:
			return nil, mistake("malformed", "are the client and the server of one version?", "the query has an unknown key %s", quote(key))
		}
	}
	return q, nil
}

// export receives the spine, runs, and sends the answer. An error means that nothing was sent.
func (h *handler) export(w http.ResponseWriter, r *http.Request, q *query) error {
	asked, declared, err := h.declared(q)
	if err != nil {
		return err
	}
	sel, err := h.store.Select(asked.Selection)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(h.opt.TempDir, "penstock-export-")
	if err != nil {
		return fmt.Errorf("make a folder for the spine: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if declared == nil || declared.Spine.File != "" {
		if err := checkFormat(q.spine, "spine "+q.spine, ""); err != nil {
			return err
		}
	}
	// Only the extensions of the client's names reach the file system.
	spine, out := filepath.Join(dir, safeName("spine", q.spine)), filepath.Join(dir, safeName("out", q.out))
	if err := checkOut(out, q.out, false); err != nil {
		return err
	}
	control := http.NewResponseController(w)
	if err := h.receive(w, r, control, spine); err != nil {
		return err
	}
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	cut, err := h.store.Cut(r.Context())
	if err != nil {
		return fmt.Errorf("fix a cut: %w", err)
	}
	defer cut.Close()
	report, err := Run(r.Context(), Config{
		Cut: cut, Selector: sel, Export: declared, Spine: spine, SpineName: q.spine, SpineTime: asked.SpineTime, Out: out, OutName: q.out,
		AsServed: asked.AsServed, WithStatus: asked.WithStatus, Workers: h.opt.Workers,
	})
	if err != nil {
		return err
	}
	return h.send(r.Context(), w, control, report, (&Config{Out: out, Export: declared}).files())
}

// declared looks up the export that is named, if one is: it must be the one that the client's file declares.
func (h *handler) declared(q *query) (Request, *pipeline.Export, error) {
	if q.req.Export == "" {
		return q.req, nil, nil
	}
	asked, x, err := q.req.declare(h.store.Plan())
	if err == nil && q.definition != "" && x.Version(h.store.Plan()) != q.definition {
		err = mistake("definition", "give the file that the server was started with, or start the server anew with this file",
			"export %q is declared otherwise in the file that the server runs", x.Name)
	}
	return asked, x, err
}

// receive writes the body to a file.
func (h *handler) receive(w http.ResponseWriter, r *http.Request, control *http.ResponseController, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("keep the spine: %w", err)
	}
	body := http.MaxBytesReader(w, r.Body, h.opt.MaxSpine)
	_, err = io.Copy(f, readerFunc(func(b []byte) (int, error) {
		_ = control.SetReadDeadline(time.Now().Add(h.opt.Stall))
		return body.Read(b)
	}))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("receive the spine: %w", err)
	}
	return nil
}

// send writes the report and the files, one behind the other. Once it has begun, an error cuts the connection.
func (h *handler) send(ctx context.Context, w http.ResponseWriter, control *http.ResponseController, report *Report, paths []string) error {
	var files []io.Reader
	size := int64(0)
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("send the answer: %w", err)
		}
		defer func() { _ = f.Close() }()
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("send the answer: %w", err)
		}
		size += info.Size()
		files = append(files, f)
	}
	head, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("send the answer: %w", err)
	}
	head = append(head, '\n')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.FormatInt(int64(len(head))+size, 10))
	_ = control.SetWriteDeadline(time.Now().Add(h.opt.Stall))
	if _, err = w.Write(head); err == nil {
		_, err = io.Copy(writerFunc(func(b []byte) (int, error) {
			_ = control.SetWriteDeadline(time.Now().Add(h.opt.Stall))
			return w.Write(b)
		}), readerFunc(io.MultiReader(files...).Read))
	}
	if err != nil {
		h.opt.Log.Info("export was not taken whole", "error", err, "cause", context.Cause(ctx))
		panic(http.ErrAbortHandler)
	}
	return nil
}

// contentType marks an answer with a report before the file.
const contentType = "application/x-penstock-export"

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
