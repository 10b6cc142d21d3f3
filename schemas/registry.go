package schemas

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How a registry does not answer with a schema.
var (
	// ErrUnknownSchema means that the registry answers and has no such id or subject (404): a record
	// that names it is a dead letter.
	ErrUnknownSchema = errors.New("the schema registry does not know it")
	// ErrUnavailable means that the registry does not answer, or not as a registry: worth waiting for.
	ErrUnavailable = errors.New("the schema registry is not available")
	// ErrUnusable means that the registry's answer is no schema that can be read here: not Avro, or
	// not valid.
	ErrUnusable = errors.New("the schema cannot be used")
)

// Bounds of a registry.
const (
	maxAnswerBytes   = 1 << 20
	maxCachedSchemas = 10_000
	maxReferences    = 100
	registryTimeout  = 5 * time.Second
	firstBackoff     = time.Second
	maxBackoff       = time.Minute
)

// RegistryOptions say where a registry is and how to reach it.
type RegistryOptions struct {
	URL                string // with a path prefix if it has one, like http://host:8080/apis/ccompat/v7
	Username, Password string // basic authentication, unless both are empty
	TLS                *tls.Config
	Timeout            time.Duration // of one request; 0 is 5 s
}

// Registry is a client of a schema registry with the HTTP API of Confluent's. Schemas are cached by
// id; an unknown id is asked again after a pause that grows from one second to one minute. Safe for
// concurrent use.
type Registry struct {
	base    *url.URL
	opts    RegistryOptions
	client  *http.Client
	now     func() time.Time
	mu      sync.Mutex
	known   *lru[uint32, *Schema]
	unknown *lru[uint32, absence]
	flights map[uint32]*flight
}

// absence is an id that the registry did not know, until when that is believed.
type absence struct {
	until time.Time
	pause time.Duration
}

// flight is one question to the registry that several callers wait for.
type flight struct {
	done   chan struct{}
	schema *Schema
	err    error
}

// NewRegistry returns a client; it asks nothing yet.
func NewRegistry(opts RegistryOptions) (*Registry, error) {
	base, err := url.Parse(strings.TrimRight(opts.URL, "/"))
	if err != nil {
		return nil, fmt.Errorf("parse schema registry url: %w", errors.Unwrap(err)) // the outer error repeats the url
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%q is not the url of a schema registry, like http://localhost:8081", base.Redacted())
	}
	if base.User != nil {
		if opts.Username == "" && opts.Password == "" {
			opts.Username = base.User.Username()
			opts.Password, _ = base.User.Password()
		}
		base.User = nil
	}
	if opts.Timeout <= 0 {
		opts.Timeout = registryTimeout
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = opts.TLS
	transport.MaxResponseHeaderBytes = 64 << 10
	r := &Registry{
		base: base, opts: opts, now: time.Now,
		known:   newLRU[uint32, *Schema](maxCachedSchemas),
		unknown: newLRU[uint32, absence](maxCachedSchemas),
		flights: map[uint32]*flight{},
	}
	r.client = &http.Client{Transport: transport, Timeout: opts.Timeout, CheckRedirect: sameHost}
	return r, nil
}

// sameHost refuses redirects to other hosts, which could be made to read what only we can reach.
func sameHost(req *http.Request, via []*http.Request) error {
	if first := via[0].URL; req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		return errors.New("it redirects to another host")
	}
	if len(via) > 3 {
		return errors.New("it redirects more than 3 times")
	}
	return nil
}

// Close drops idle connections.
func (r *Registry) Close() { r.client.CloseIdleConnections() }

// ByID returns the schema of an id. The error is ErrUnknownSchema, ErrUnavailable, ErrUnusable or ctx's.
func (r *Registry) ByID(ctx context.Context, id uint32) (*Schema, error) {
	r.mu.Lock()
	if s, ok := r.known.get(id); ok {
		r.mu.Unlock()
		return s, nil
	}
	if a, ok := r.unknown.get(id); ok && r.now().Before(a.until) {
		r.mu.Unlock()
		return nil, fmt.Errorf("schema %d: %w", id, ErrUnknownSchema)
	}
	f, flying := r.flights[id]
	if !flying {
		f = &flight{done: make(chan struct{})}
		r.flights[id] = f
		go r.fly(context.WithoutCancel(ctx), id, f)
	}
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.schema, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly asks for an id, whoever waits, and remembers the answer.
func (r *Registry) fly(ctx context.Context, id uint32, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, 4*r.opts.Timeout)
	defer cancel()
	var a answer
	err := r.get(ctx, &a, "schemas", "ids", strconv.FormatUint(uint64(id), 10))
	if err == nil {
		f.schema, err = r.assemble(ctx, &a)
	}
	if err != nil {
		f.err = fmt.Errorf("schema %d: %w", id, err)
	}
	r.mu.Lock()
	delete(r.flights, id)
	switch {
	case err == nil:
		r.known.put(id, f.schema)
		r.unknown.drop(id)
	case errors.Is(err, ErrUnknownSchema):
		pause := firstBackoff
		if a, ok := r.unknown.get(id); ok {
			pause = min(2*a.pause, maxBackoff)
		}
		r.unknown.put(id, absence{until: r.now().Add(pause), pause: pause})
	}
	r.mu.Unlock()
	close(f.done)
}

// Latest returns the latest version of a subject and its id. It is not cached.
func (r *Registry) Latest(ctx context.Context, subject string) (id int, s *Schema, err error) {
	var a answer
	if err := r.get(ctx, &a, "subjects", subject, "versions", "latest"); err != nil {
		return 0, nil, fmt.Errorf("subject %q: %w", subject, err)
	}
	if s, err = r.assemble(ctx, &a); err != nil {
		return 0, nil, fmt.Errorf("subject %q: %w", subject, err)
	}
	if a.ID > 0 && a.ID <= 1<<31-1 {
		r.mu.Lock()
		r.known.put(uint32(a.ID), s)
		r.mu.Unlock()
	}
	return a.ID, s, nil
}

// answer is what a registry says of a schema.
type answer struct {
	ID         int         `json:"id"`
	Schema     string      `json:"schema"`
	SchemaType string      `json:"schemaType"`
	References []reference `json:"references"`
}

// reference names a subject's version whose types a schema uses.
type reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// get asks for base/path… and reads the answer.
func (r *Registry) get(ctx context.Context, a *answer, path ...string) error {
	u := *r.base
	for _, p := range path {
		u.Path += "/" + p
		u.RawPath = r.rawPath(u.RawPath, p)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	req.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if r.opts.Username != "" || r.opts.Password != "" {
		req.SetBasicAuth(r.opts.Username, r.opts.Password)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case resp.StatusCode == http.StatusNotFound:
		return ErrUnknownSchema
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: it answers %d %s%s", ErrUnavailable, resp.StatusCode,
			http.StatusText(resp.StatusCode), said(body))
	case len(body) > maxAnswerBytes:
		return fmt.Errorf("%w: its answer is larger than %d bytes", ErrUnusable, maxAnswerBytes)
	}
	if err := json.Unmarshal(body, a); err != nil || a.Schema == "" {
		return fmt.Errorf("%w: %s%s answers with something that is no schema", ErrUnavailable, r.base.Host, r.base.Path)
	}
	return nil
}

// rawPath extends an escaped path by a segment in which / is escaped too.
func (r *Registry) rawPath(raw, segment string) string {
	if raw == "" {
		raw = r.base.EscapedPath()
	}
	return raw + "/" + url.PathEscape(segment)
}

// said is a registry's own message, for ours.
func said(body []byte) string {
	var e struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &e) != nil || e.Message == "" {
		return ""
	}
	return ": " + clip(string(bytes.ToValidUTF8([]byte(e.Message), nil)))
}

// assemble parses a schema after the schemas that it refers to.
func (r *Registry) assemble(ctx context.Context, a *answer) (*Schema, error) {
	p := &parser{names: map[string]*node{}}
	l := loader{registry: r, parser: p, seen: map[reference]bool{}}
	root, err := l.load(ctx, a, 0)
	if err != nil {
		return nil, err
	}
	return newSchema(root), nil
}

// loader reads a schema and, before it, those that it refers to, each once.
type loader struct {
	registry *Registry
	parser   *parser
	seen     map[reference]bool
}

func (l *loader) load(ctx context.Context, a *answer, depth int) (*node, error) {
	if a.SchemaType != "" && a.SchemaType != "AVRO" {
		return nil, fmt.Errorf("%w: it is of type %s, not AVRO", ErrUnusable, clip(a.SchemaType))
	}
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("%w: its references are nested more than %d deep", ErrUnusable, maxSchemaDepth)
	}
	for _, ref := range a.References {
		key := reference{Subject: ref.Subject, Version: ref.Version}
		if l.seen[key] {
			continue
		}
		if l.seen[key] = true; len(l.seen) > maxReferences {
			return nil, fmt.Errorf("%w: more than %d references", ErrUnusable, maxReferences)
		}
		var b answer
		err := l.registry.get(ctx, &b, "subjects", ref.Subject, "versions", strconv.Itoa(ref.Version))
		if errors.Is(err, ErrUnknownSchema) {
			err = fmt.Errorf("%w: the registry lacks what it refers to", ErrUnusable)
		}
		if err == nil {
			_, err = l.load(ctx, &b, depth+1)
		}
		if err != nil {
			return nil, fmt.Errorf("reference to %q version %d: %w", clip(ref.Subject), ref.Version, err)
		}
	}
	root, err := l.parser.parse([]byte(a.Schema))
	if err != nil {
		return nil, fmt.Errorf("%w: parse schema: %w", ErrUnusable, err)
	}
	return root, nil
}
