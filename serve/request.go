package serve

import (
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// bodyKeys are the keys of a request's body.
var bodyKeys = []string{"set", "view", "features", "entities", "request", "as_of"}

// question is a request whose JSON is checked, and whose entities are still text.
type question struct {
	sel      feature.Selection
	entities []byte // a JSON array
	request  []byte // a JSON array, or nil
	asOf     string // "" if not given
	count    int    // of entities
}

// parse reads a body. Its strings alias body.
func (q *question) parse(body []byte) *apiError {
	*q = question{}
	s := scanner{text: body}
	if s.peek() != '{' {
		return malformed("", "the body must be a JSON object", `like {"view": "user_spend", "entities": [{"user_id": "u1"}]}`)
	}
	seen := 0
	err := s.object(func(name string) error {
		i := 0
		for i < len(bodyKeys) && bodyKeys[i] != name {
			i++
		}
		if i == len(bodyKeys) {
			return malformed(clip(name), fmt.Sprintf("the body has no key %q", clip(name)), didYouMean(name, bodyKeys))
		}
		if seen&(1<<i) != 0 {
			return malformed(name, fmt.Sprintf("%q is given twice", name), "")
		}
		seen |= 1 << i
		if s.peek() == 'n' {
			return s.word("null") // as if not given
		}
		return q.member(&s, name)
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return asAPIError(err, "")
	}
	return q.check()
}

func (q *question) member(s *scanner, name string) error {
	var err error
	switch name {
	case "set":
		q.sel.Set, err = stringAt(s, name)
	case "view":
		q.sel.View, err = stringAt(s, name)
	case "as_of":
		q.asOf, err = stringAt(s, name)
	case "features":
		if s.peek() != '[' {
			return malformed(name, "features must be an array of names", "")
		}
		q.sel.Features = make([]string, 0, 8)
		err = s.array(func(i int) error {
			f, err := stringAt(s, fmt.Sprintf("features[%d]", i))
			q.sel.Features = append(q.sel.Features, f)
			return err
		})
	case "entities":
		q.entities, q.count, err = spanAt(s, name)
	case "request":
		q.request, _, err = spanAt(s, name)
	}
	return err
}

// stringAt reads a string that is not empty.
func stringAt(s *scanner, at string) (string, error) {
	if s.peek() != '"' {
		return "", malformed(at, at+" must be a string", "")
	}
	text, err := s.str()
	if err == nil && text == "" {
		err = malformed(at, at+" is empty", "")
	}
	return text, err
}

// spanAt passes an array, and returns its text and the number of its elements.
func spanAt(s *scanner, at string) ([]byte, int, error) {
	if s.peek() != '[' {
		return nil, 0, malformed(at, at+" must be an array of objects", "")
	}
	from, n := s.pos, 0
	err := s.array(func(int) error { n++; return s.skip(3) })
	return s.text[from:s.pos], n, err
}

// check finds what is missing or contradicts itself.
func (q *question) check() *apiError {
	given := 0
	for _, name := range []string{q.sel.Set, q.sel.View} {
		if name != "" {
			given++
		}
	}
	switch {
	case given == 2:
		return malformed("view", "set and view are both given", "give exactly one of set, view, or features with dotted names alone")
	case given == 0 && len(q.sel.Features) == 0:
		return malformed("", "nothing is asked for", "give exactly one of set, view, or features with dotted names alone")
	case given == 1 && q.sel.Features != nil && len(q.sel.Features) == 0:
		return malformed("features", "features is empty", "leave it out to ask for all")
	case q.entities == nil:
		return malformed("entities", "entities are missing", `like "entities": [{"user_id": "u1"}]`)
	}
	return nil
}

// instant resolves as_of.
func (q *question) instant(now func() event.Time, latest func() event.Time) (event.Time, *apiError) {
	switch q.asOf {
	case "", "now":
		return now(), nil
	case "latest":
		return latest(), nil
	}
	at, err := event.ParseTime(q.asOf)
	if err != nil {
		return 0, malformed("as_of", "as_of: "+err.Error(), `an instant, "now" or "latest"`)
	}
	return at, nil
}

// columns appends to out the values of one array of objects that name each of cols once:
// len(cols) values for each object.
func columns(out []event.Value, text []byte, field, kind string, cols []pipeline.Column) ([]event.Value, *apiError) {
	s := scanner{text: text}
	err := s.array(func(i int) error {
		if s.peek() != '{' {
			at := fmt.Sprintf("%s[%d]", field, i)
			return malformed(at, at+" must be an object", "")
		}
		base := len(out)
		for range cols {
			out = append(out, event.Value{Kind: unset})
		}
		err := s.object(func(name string) error { return column(&s, out[base:], name, i, field, kind, cols) })
		if err != nil {
			return err
		}
		for c := range cols {
			if out[base+c].Kind == unset {
				at := fmt.Sprintf("%s[%d].%s", field, i, cols[c].Name)
				return malformed(at, fmt.Sprintf("%s[%d] lacks the %s %s", field, i, kind, cols[c].Name), "")
			}
		}
		return nil
	})
	if err != nil {
		return out, asAPIError(err, field)
	}
	return out, nil
}

// unset marks a column that was not given yet.
const unset = event.Kind(255)

func column(s *scanner, row []event.Value, name string, i int, field, kind string, cols []pipeline.Column) error {
	for c := range cols {
		if cols[c].Name != name {
			continue
		}
		at := func() string { return fmt.Sprintf("%s[%d].%s", field, i, name) }
		if row[c].Kind != unset {
			return malformed(at(), fmt.Sprintf("%s is given twice", at()), "")
		}
		v, err := s.value(cols[c].Type, 3)
		var wrong *typeError
		if errors.As(err, &wrong) {
			return malformed(at(), fmt.Sprintf("%s %s", at(), wrong.what), wrong.hint)
		}
		row[c] = v
		return err
	}
	names := make([]string, len(cols))
	for c := range cols {
		names[c] = cols[c].Name
	}
	e := malformed(fmt.Sprintf("%s[%d].%s", field, i, clip(name)),
		fmt.Sprintf("%s[%d] has %q, which is not a %s", field, i, clip(name), kind), didYouMean(name, names))
	if len(names) == 0 {
		e.Hint = "what is asked for takes none"
	}
	return e
}

// asAPIError turns an error of the scanner into an answer.
func asAPIError(err error, at string) *apiError {
	var api *apiError
	if errors.As(err, &api) {
		return api
	}
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return malformed(at, "the body is not JSON: "+syntax.Error(), "")
	}
	return malformed(at, err.Error(), "")
}

// selectionKey names a selection for the cache.
func selectionKey(sel feature.Selection) string {
	return sel.Set + "\x00" + sel.View + "\x00" + strings.Join(sel.Features, "\x00")
}
