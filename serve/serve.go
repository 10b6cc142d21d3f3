// Package serve answers features over HTTP: look-ups, health, metrics, the description of the running
// pipeline, and a page for people. It reads values through feature.Reader only and computes none.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Bounds of a request, unless Config says otherwise.
const (
	DefaultMaxBody     = 8 << 20 // bytes of a request's body
	DefaultMaxEntities = 10_000  // entities of one request
	maxCells           = 2 << 20 // entities × features of one request of more than 1,000 entities
	maxDepth           = 32      // nesting of a request's JSON
)

// Config is what a Server is made of.
type Config struct {
	Store   *feature.Store
	Plan    *pipeline.Plan
	Metrics *Metrics              // whose Observer the Store was given; nil: a new one
	Log     *slog.Logger          // nil: discards
	Status  func() []SourceStatus // how far sources are read; nil: unknown
	// ReadyLag is the number of records, over all partitions together, that may be unread while
	// /readyz answers 200; 0: any number.
	ReadyLag    int64
	Version     string
	Now         func() event.Time       // the clock behind `"as_of": "now"`; nil: the wall clock
	MaxBody     int64                   // bytes; 0: DefaultMaxBody
	MaxEntities int                     // 0: DefaultMaxEntities; below 1,000 is raised to it
	ServingLog  *Log                    // nil: what is served is not logged; whoever opened it closes it behind the Server
	Extra       map[string]http.Handler // further handlers by pattern of http.ServeMux; the pattern is the metrics' route
}

// SourceStatus tells how far a source is read, as its adapter knows it.
type SourceStatus struct {
	Source     string
	Waiting    string // why nothing is read: the broker is away, the topic does not exist yet; else empty
	Done       bool   // files that are read to their end
	Partitions []PartitionStatus
}

// PartitionStatus tells how far a partition is read.
type PartitionStatus struct {
	Partition int32
	Lag       int64  // records not yet read; -1: unknown
	Waiting   string // why this partition is not read on; else empty
}

// Server answers HTTP requests. Safe for concurrent use.
type Server struct {
	cfg     Config
	log     *slog.Logger
	metrics *Metrics
	mux     *http.ServeMux
	readers sync.Pool  // *lookup
	asking  sync.Mutex // of RowsPath

	mu        sync.RWMutex
	selectors map[string]*answerer

	static sync.Once
	shape  shape
}

// New returns a server over cfg.Store. It registers the store's counters with cfg.Metrics, so a
// Metrics serves one Server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if cfg.Now == nil {
		cfg.Now = func() event.Time { return event.FromGo(time.Now()) }
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.MaxEntities <= 0 {
		cfg.MaxEntities = DefaultMaxEntities
	}
	cfg.MaxEntities = max(cfg.MaxEntities, 1000)
	s := &Server{cfg: cfg, log: cfg.Log, metrics: cfg.Metrics, selectors: map[string]*answerer{}}
	s.readers.New = func() any { return &lookup{reader: cfg.Store.NewReader()} }
	cfg.Metrics.registry.MustRegister(&collector{s})
	s.mux = s.routes()
	return s
}

// Handler returns the server's handler: every route of the package's documentation.
func (s *Server) Handler() http.Handler { return s.mux }

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(route, method string, h http.Handler) {
		mux.Handle(route, s.observe(route, only(method, h)))
	}
	handle("/v1/features", http.MethodPost, http.HandlerFunc(s.features))
	mux.Handle("/v1/explain", s.observe("/v1/explain", either(http.HandlerFunc(s.explain))))
	handle(RowsPath, http.MethodPost, http.HandlerFunc(s.rawRows))
	handle("/v1/pipeline", http.MethodGet, http.HandlerFunc(s.pipeline))
	handle("/healthz", http.MethodGet, http.HandlerFunc(s.healthz))
	handle("/readyz", http.MethodGet, http.HandlerFunc(s.readyz))
	handle("/metrics", http.MethodGet, promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}))
	handle("/{$}", http.MethodGet, http.HandlerFunc(s.page))
	for route, h := range s.cfg.Extra {
		mux.Handle(route, s.observe(route, h))
	}
	mux.Handle("/", s.observe("other", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{
			status: http.StatusNotFound, Code: "not_found",
			Message: fmt.Sprintf("there is nothing at %s", strconv.QuoteToASCII(clip(r.URL.Path))),
			Hint:    "look-ups are POST /v1/features; GET /v1/pipeline describes what can be asked",
		})
	})))
	return mux
}

// only answers 405 to other methods than method; where that is GET, HEAD passes too.
func only(method string, h http.Handler) http.Handler {
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", allow)
		writeError(w, &apiError{
			status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
			Message: fmt.Sprintf("%s takes %s, not %s", r.URL.Path, method, strconv.QuoteToASCII(clip(r.Method))),
		})
	})
}

// either answers 405 to other methods than GET, HEAD and POST.
func either(h http.Handler) http.Handler {
	get := only(http.MethodGet, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			h.ServeHTTP(w, r)
		case http.MethodGet, http.MethodHead:
			get.ServeHTTP(w, r)
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			writeError(w, &apiError{
				status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
				Message: fmt.Sprintf("%s takes GET and POST, not %s", r.URL.Path, strconv.QuoteToASCII(clip(r.Method))),
			})
		}
	})
}

// recorder remembers the status code of an answer.
type recorder struct {
	http.ResponseWriter
	code int
}

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe times requests under a route, and turns a panic into a logged 500.
func (s *Server) observe(route string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, rec := time.Now(), &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				s.log.Error("answer a request", "route", route, "panic", p, "stack", string(debug.Stack()))
				if rec.code == 0 {
					writeError(rec, internalError())
				}
			}
			if rec.code == 0 {
				rec.code = http.StatusOK
			}
			s.metrics.requests.WithLabelValues(route, strconv.Itoa(rec.code)).Observe(time.Since(start).Seconds())
		}()
		h.ServeHTTP(rec, r)
	})
}

// Serve answers requests on l until ctx is done; it then finishes what is running, for a few
// seconds at most, and returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	const grace = 5 * time.Second
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{
		Handler:           s.mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	wait, stop := context.WithTimeout(base, grace)
	defer stop()
	err := srv.Shutdown(wait)
	if err != nil { // some request is still running: cut it
		cancel()
		err = srv.Close()
	}
	<-done
	if err != nil {
		return fmt.Errorf("close http server: %w", err)
	}
	return nil
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.ready(); err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ready\n"))
}

// readable is nil when look-ups may be answered.
func (s *Server) readable() *apiError {
	err := s.cfg.Store.Err()
	if err == nil {
		err = s.cfg.Store.Ready()
	}
	if err == nil {
		return nil
	}
	return &apiError{
		status: http.StatusServiceUnavailable, Code: "not_ready", Message: err.Error(),
		Hint: "ask again in a moment; /readyz answers 200 once this is over",
	}
}

// ready is nil when /readyz answers 200: look-ups are answered, and the lag is not above ReadyLag.
func (s *Server) ready() *apiError {
	if err := s.readable(); err != nil || s.cfg.ReadyLag <= 0 || s.cfg.Status == nil {
		return err
	}
	var lag int64
	for _, src := range s.cfg.Status() {
		if len(src.Partitions) == 0 && !src.Done {
			return notReady(fmt.Sprintf("the partitions of source %s are not known yet", src.Source))
		}
		for _, p := range src.Partitions {
			if p.Lag < 0 {
				return notReady(fmt.Sprintf("the lag of partition %d of source %s is not known yet", p.Partition, src.Source))
			}
			lag += p.Lag
		}
	}
	if lag > s.cfg.ReadyLag {
		return notReady(fmt.Sprintf("%d records are unread, more than the %d of --ready-lag", lag, s.cfg.ReadyLag))
	}
	return nil
}

var _ prometheus.Collector = (*collector)(nil)
