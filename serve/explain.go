package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// explainKeys are the keys of a request's body, and the reserved parameters of its address.
var explainKeys = []string{"set", "view", "feature", "entity", "request", "as_of", "as_served", "limit", "below"}

// maxExplainRows bounds each list of an answer.
const maxExplainRows = 10_000

// explainQuestion is what /v1/explain is asked.
type explainQuestion struct {
	question
	served bool
	opt    feature.ExplainOptions
}

// explain answers /v1/explain: POST with a body, or GET with the same in the address.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	b, err := s.explained(w, r)
	if err != nil {
		writeError(w, err)
		return
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b)
}

func (s *Server) explained(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	var q explainQuestion
	var sel *feature.Selector
	var keys, request []event.Value
	var apiErr *apiError
	if r.Method == http.MethodPost {
		l := lookup{}
		if apiErr = s.readBody(&l, w, r); apiErr != nil {
			return nil, apiErr
		}
		if apiErr = q.parse(l.body); apiErr != nil {
			return nil, apiErr
		}
		if sel, apiErr = s.explainSelector(&q); apiErr != nil {
			return nil, apiErr
		}
	} else {
		values := r.URL.Query()
		if apiErr = q.fromAddress(values); apiErr != nil {
			return nil, apiErr
		}
		if sel, apiErr = s.explainSelector(&q); apiErr != nil {
			return nil, apiErr
		}
		if apiErr = q.columnsOf(values, sel); apiErr != nil {
			return nil, apiErr
		}
	}
	if keys, apiErr = columns(nil, q.entities, "entity", "key column", sel.Keys); apiErr != nil {
		return nil, single(apiErr, "entity")
	}
	if len(sel.Request) > 0 && q.request == nil {
		return nil, malformed("request", "the set needs request columns: "+columnNames(sel), `give "request": {…}`)
	}
	if q.request != nil {
		if request, apiErr = columns(nil, q.request, "request", "request column", sel.Request); apiErr != nil {
			return nil, single(apiErr, "request")
		}
	}
	at, apiErr := q.instant(s.cfg.Now, func() event.Time { return s.cfg.Store.Latest(sel) })
	if apiErr != nil {
		return nil, apiErr
	}
	if apiErr = s.readable(); apiErr != nil {
		return nil, apiErr
	}
	x, err := s.cfg.Store.NewReader().Explain(r.Context(), sel, keys, request, feature.Instant{AsOf: at, AsServed: q.served}, q.opt)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			s.log.Error("explain a feature", "error", err)
		}
		return nil, internalError()
	}
	b, err := json.Marshal(Explained(x, sel))
	if err != nil {
		s.log.Error("write an explanation", "error", err)
		return nil, internalError()
	}
	return append(b, '\n'), nil
}

// single names the one object where a list of them is meant.
func single(e *apiError, name string) *apiError {
	first := name + "[0]"
	e.Message, e.At = strings.ReplaceAll(e.Message, first, name), strings.Replace(e.At, first, name, 1)
	return e
}

// explainSelector resolves the one feature that is asked for.
func (s *Server) explainSelector(q *explainQuestion) (*feature.Selector, *apiError) {
	a, err := s.selector(q.sel)
	if err != nil {
		if err.At == "features[0]" {
			err.At = "feature"
		}
		return nil, err
	}
	return a.sel, nil
}

// parse reads a body. Its strings alias body.
func (q *explainQuestion) parse(body []byte) *apiError {
	s := scanner{text: body}
	if s.peek() != '{' {
		return malformed("", "the body must be a JSON object", `like {"view": "user_spend", "feature": "spend_1h", "entity": {"user_id": "u1"}}`)
	}
	seen := map[string]bool{}
	err := s.object(func(name string) error {
		known := false
		for _, k := range explainKeys {
			known = known || k == name
		}
		switch {
		case !known:
			return malformed(clip(name), fmt.Sprintf("the body has no key %q", clip(name)), didYouMean(name, explainKeys))
		case seen[name]:
			return malformed(name, fmt.Sprintf("%q is given twice", name), "")
		}
		seen[name] = true
		if s.peek() == 'n' {
			return s.word("null") // as if not given
		}
		return q.explainMember(&s, name)
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return asAPIError(err, "")
	}
	return q.checkExplain()
}

func (q *explainQuestion) explainMember(s *scanner, name string) (err error) {
	switch name {
	case "set":
		q.sel.Set, err = stringAt(s, name)
	case "view":
		q.sel.View, err = stringAt(s, name)
	case "feature":
		var f string
		f, err = stringAt(s, name)
		q.sel.Features = []string{f}
	case "as_of":
		q.asOf, err = stringAt(s, name)
	case "as_served":
		q.served, err = boolAt(s, name)
	case "below":
		q.opt.Summaries, err = boolAt(s, name)
	case "entity":
		q.entities, err = objectAt(s, name)
	case "request":
		q.request, err = objectAt(s, name)
	case "limit":
		var text string
		if text, err = s.number(); err == nil {
			err = asError(q.limit(text))
		}
	}
	return err
}

// asError keeps a nil *apiError from becoming an error that is not nil.
func asError(e *apiError) error {
	if e == nil {
		return nil
	}
	return e
}

func (q *explainQuestion) limit(text string) *apiError {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxExplainRows {
		return malformed("limit", fmt.Sprintf("limit must be a number from 1 to %d", maxExplainRows), "")
	}
	q.opt.Rows = n
	return nil
}

func boolAt(s *scanner, at string) (bool, error) {
	switch s.peek() {
	case 't':
		return true, s.word("true")
	case 'f':
		return false, s.word("false")
	}
	return false, malformed(at, at+" must be true or false", "")
}

// objectAt passes an object, and returns it as an array of one.
func objectAt(s *scanner, at string) ([]byte, error) {
	if s.peek() != '{' {
		return nil, malformed(at, at+" must be an object", "")
	}
	from := s.pos
	if err := s.skip(2); err != nil {
		return nil, err
	}
	return append(append([]byte{'['}, s.text[from:s.pos]...), ']'), nil
}

// checkExplain finds what is missing or contradicts itself.
func (q *explainQuestion) checkExplain() *apiError {
	switch {
	case q.sel.Set != "" && q.sel.View != "":
		return malformed("view", "set and view are both given", "give one of them, or a dotted feature alone")
	case len(q.sel.Features) == 0:
		return malformed("feature", "feature is missing", `like "feature": "spend_1h" beside "view" or "set", or "feature": "user_spend.spend_1h"`)
	case q.entities == nil:
		return malformed("entity", "entity is missing", `like "entity": {"user_id": "u1"}`)
	}
	return nil
}

// fromAddress reads the reserved parameters of an address.
func (q *explainQuestion) fromAddress(values url.Values) *apiError {
	for name, list := range values {
		if len(list) > 1 {
			return malformed(clip(name), fmt.Sprintf("%q is given twice", clip(name)), "")
		}
	}
	q.sel.Set, q.sel.View, q.asOf = values.Get("set"), values.Get("view"), values.Get("as_of")
	if f := values.Get("feature"); f != "" {
		q.sel.Features = []string{f}
	}
	for name, to := range map[string]*bool{"as_served": &q.served, "below": &q.opt.Summaries} {
		switch values.Get(name) {
		case "", "false":
		case "true":
			*to = true
		default:
			return malformed(name, name+" must be true or false", "")
		}
	}
	if text := values.Get("limit"); text != "" {
		if err := q.limit(text); err != nil {
			return err
		}
	}
	q.entities = []byte("[{}]") // read by columnsOf
	return q.checkExplain()
}

// columnsOf reads key and request columns from an address, by name; where both are of one name it is both.
func (q *explainQuestion) columnsOf(values url.Values, sel *feature.Selector) *apiError {
	known := map[string]bool{}
	for _, k := range explainKeys {
		known[k] = true
	}
	object := func(cols []pipeline.Column) []byte {
		out := []byte("[{")
		for _, c := range cols {
			known[c.Name] = true
			if !values.Has(c.Name) {
				continue
			}
			if len(out) > 2 {
				out = append(out, ',')
			}
			out = append(event.AppendJSONString(out, c.Name), ':')
			text := values.Get(c.Name)
			switch c.Type.Kind {
			case event.Long, event.Double, event.Bool:
				if s := (scanner{text: []byte(text)}); s.skip(2) == nil && s.end() == nil {
					out = append(out, text...)
					continue
				}
			}
			out = event.AppendJSONString(out, text)
		}
		return append(out, '}', ']')
	}
	q.entities = object(sel.Keys)
	if len(sel.Request) > 0 {
		q.request = object(sel.Request)
	}
	for name := range values {
		if !known[name] {
			return malformed(clip(name), fmt.Sprintf("the address has %q, which is neither a parameter nor a column", clip(name)), didYouMean(name, append(explainKeys[:len(explainKeys):len(explainKeys)], columnList(sel)...)))
		}
	}
	return nil
}

func columnList(sel *feature.Selector) (out []string) {
	for _, c := range append(sel.Keys[:len(sel.Keys):len(sel.Keys)], sel.Request...) {
		out = append(out, c.Name)
	}
	return out
}
