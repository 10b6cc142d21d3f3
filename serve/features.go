package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// answerer is a resolved selection with the head of its answers.
type answerer struct {
	sel  *feature.Selector
	head []byte // `{"features":[…],"rows":[`

	logStream string // of the serving log
	logName   []byte // the selection, as JSON
	versions  []byte // of the views, as JSON
}

// maxSelectors bounds the cache of selections; beyond it each request resolves its own.
const maxSelectors = 1000

// lookup is what one request works in; pooled.
type lookup struct {
	reader   *feature.Reader
	question question
	body     []byte
	keys     []event.Value
	request  []event.Value
	vector   feature.Vector
	out      []byte
	hashed   []byte // scratch of the serving log
	unlogged bool   // by LogHeader
}

// maxPooled is the largest buffer that is kept for the next request.
const maxPooled = 1 << 20

func (l *lookup) reset() {
	clear(l.keys)
	clear(l.request)
	l.keys, l.request, l.question = l.keys[:0], l.request[:0], question{}
	if cap(l.body) > maxPooled {
		l.body = nil
	}
	if cap(l.out) > maxPooled {
		l.out = nil
	}
	if cap(l.keys) > maxPooled/32 {
		l.keys = nil
	}
	if cap(l.request) > maxPooled/32 {
		l.request = nil
	}
}

// features answers POST /v1/features.
func (s *Server) features(w http.ResponseWriter, r *http.Request) {
	l := s.readers.Get().(*lookup)
	if err := s.answer(l, w, r); err != nil {
		writeError(w, err)
	} else {
		h := w.Header()
		h["Content-Type"] = jsonType
		h["Content-Length"] = []string{strconv.Itoa(len(l.out))}
		_, _ = w.Write(l.out)
	}
	// Not deferred: a reader that panicked is not used again.
	l.reset()
	s.readers.Put(l)
}

var jsonType = []string{"application/json"}

// answer reads the request and writes the answer to l.out.
func (s *Server) answer(l *lookup, w http.ResponseWriter, r *http.Request) *apiError {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return malformed("", fmt.Sprintf("the body is in content encoding %q", clip(enc)), "send it uncompressed")
	}
	if err := s.readBody(l, w, r); err != nil {
		return err
	}
	l.unlogged = r.Header.Get(LogHeader) == "off"
	q := &l.question
	if err := q.parse(l.body); err != nil {
		return err
	}
	a, err := s.selector(q.sel)
	if err != nil {
		return err
	}
	if err = s.fits(q, a); err != nil {
		return err
	}
	if l.keys, err = columns(l.keys[:0], q.entities, "entities", "key column", a.sel.Keys); err != nil {
		return err
	}
	if err = l.readRequest(a); err != nil {
		return err
	}
	at, err := q.instant(s.cfg.Now, func() event.Time { return s.cfg.Store.Latest(a.sel) })
	if err != nil {
		return err
	}
	if err = s.readable(); err != nil {
		return err
	}
	if err := s.rows(r.Context(), l, a, at); err != nil {
		if !errors.Is(err, context.Canceled) {
			s.log.Error("answer features", "error", err)
		}
		return internalError()
	}
	return nil
}

// readBody reads the body into l.body, up to the bound.
func (s *Server) readBody(l *lookup, w http.ResponseWriter, r *http.Request) *apiError {
	body := http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
	if n := r.ContentLength; n >= int64(cap(l.body)) && n <= s.cfg.MaxBody {
		l.body = make([]byte, 0, n+1)
	}
	l.body = l.body[:0]
	for {
		if len(l.body) == cap(l.body) {
			l.body = append(l.body, 0)[:len(l.body)]
		}
		n, err := body.Read(l.body[len(l.body):cap(l.body)])
		l.body = l.body[:len(l.body)+n]
		var large *http.MaxBytesError
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &large):
			return tooLarge("", fmt.Sprintf("the body is larger than %d bytes", large.Limit), "ask in several requests, or use penstock export")
		default:
			return malformed("", "the body ends early", "")
		}
	}
}

// fits checks a request against the bounds that depend on what it asks for.
func (s *Server) fits(q *question, a *answerer) *apiError {
	if q.count > s.cfg.MaxEntities || q.count > 1000 && q.count*len(a.sel.Columns) > maxCells {
		return tooLarge("entities", fmt.Sprintf("%d entities with %d features are too many for one request", q.count, len(a.sel.Columns)),
			fmt.Sprintf("at most %d entities and %d values; ask in several requests, or use penstock export", s.cfg.MaxEntities, maxCells))
	}
	return nil
}

// readRequest reads the request columns into l.request: as many rows as there are entities.
func (l *lookup) readRequest(a *answerer) *apiError {
	q := &l.question
	l.request = l.request[:0]
	if q.request == nil {
		if len(a.sel.Request) > 0 && q.count > 0 {
			return malformed("request", "the set needs request columns: "+columnNames(a.sel), `give "request": [{…}], one object per entity`)
		}
		return nil
	}
	if len(a.sel.Request) == 0 {
		return malformed("request", "what is asked for takes no request columns", "leave request out")
	}
	rows := 0
	scan := scanner{text: q.request}
	if err := scan.array(func(int) error { rows++; return scan.skip(3) }); err != nil {
		return asAPIError(err, "request")
	}
	if rows != q.count {
		return malformed("request", fmt.Sprintf("request has %d rows for %d entities", rows, q.count), "give one per entity, in the same order")
	}
	var err *apiError
	l.request, err = columns(l.request, q.request, "request", "request column", a.sel.Request)
	return err
}

func columnNames(sel *feature.Selector) string {
	names := make([]string, len(sel.Request))
	for i, c := range sel.Request {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// selector resolves a selection, from the cache if it can.
func (s *Server) selector(sel feature.Selection) (*answerer, *apiError) {
	key := selectionKey(sel)
	s.mu.RLock()
	a := s.selectors[key]
	s.mu.RUnlock()
	if a != nil {
		return a, nil
	}
	// The names alias the request's buffer: what is kept must not.
	sel.Set, sel.View = strings.Clone(sel.Set), strings.Clone(sel.View)
	for i, f := range sel.Features {
		sel.Features[i] = strings.Clone(f)
	}
	resolved, err := s.cfg.Store.Select(sel)
	if err != nil {
		return nil, selectError(err)
	}
	a = &answerer{sel: resolved, head: []byte(`{"features":[`)}
	for i, c := range resolved.Columns {
		if i > 0 {
			a.head = append(a.head, ',')
		}
		a.head = event.AppendJSONString(a.head, c.Name)
	}
	a.head = append(a.head, `],"rows":[`...)
	if s.cfg.ServingLog != nil {
		a.name(sel)
	}
	s.mu.Lock()
	if len(s.selectors) < maxSelectors {
		s.selectors[key] = a
	}
	s.mu.Unlock()
	return a, nil
}

func selectError(err error) *apiError {
	var e *feature.SelectError
	if !errors.As(err, &e) {
		return malformed("", err.Error(), "")
	}
	status := http.StatusNotFound
	if e.Code == "malformed" {
		status = http.StatusBadRequest
	}
	return &apiError{status: status, Code: e.Code, Message: e.Message, Hint: e.Hint, At: e.At}
}

// rows reads every entity and appends the answer to l.out.
func (s *Server) rows(ctx context.Context, l *lookup, a *answerer, at event.Time) error {
	var head logHead
	l.out = append(l.out[:0], a.head...)
	nk, nr := len(a.sel.Keys), len(a.sel.Request)
	for i := range l.question.count {
		keys, request := l.keys[i*nk:(i+1)*nk], []event.Value(nil)
		if nr > 0 {
			request = l.request[i*nr : (i+1)*nr]
		}
		logs := s.logs(l, a, keys, &head)
		err := l.reader.Read(ctx, a.sel, keys, request, feature.Instant{AsOf: at}, &l.vector)
		if err != nil {
			return fmt.Errorf("read entity %d: %w", i, err)
		}
		if i > 0 {
			l.out = append(l.out, ',')
		}
		l.out = appendRow(l.out, &l.vector)
		if logs {
			s.logRow(l, a, at, keys, request, &head)
		}
	}
	l.out = append(l.out, `],"as_of":`...)
	l.out = appendInstant(l.out, at)
	l.out = append(l.out, '}', '\n')
	return nil
}

// appendInstant appends t, or null where there is none.
func appendInstant(dst []byte, t event.Time) []byte {
	if t == event.MinTime {
		return append(dst, "null"...)
	}
	return event.AppendJSONTime(dst, t, event.Layout)
}

// appendRow appends one vector: `{"values":[…],"status":[…],"event_time":[…]}`.
func appendRow(dst []byte, v *feature.Vector) []byte {
	dst = append(dst, `{"values":[`...)
	for i := range v.Values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendJSON(dst, v.Values[i])
	}
	dst = append(dst, `],"status":[`...)
	for i, st := range v.Status {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), st.String()...), '"')
	}
	dst = append(dst, `],"event_time":[`...)
	for i, t := range v.EventTime {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendInstant(dst, t)
	}
	return append(dst, `]}`...)
}
