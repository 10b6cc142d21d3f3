package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/penstock-ml/penstock/internal/verify"
	"github.com/penstock-ml/penstock/serve"
)

// scriptThrough starts a server that hands all on to another one, and explains corrected values only: as those served,
// or as one does that never heard of these.
func scriptThrough(ts *testscript.TestScript, _ bool, args []string) {
	to, err := url.Parse(args[0])
	ts.Check(err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(res *http.Response) error {
			if res.Request.URL.Path != "/v1/explain" || res.StatusCode != http.StatusOK {
				return nil
			}
			var x serve.Explanation
			if err := json.NewDecoder(res.Body).Decode(&x); err != nil {
				return err
			}
			_ = res.Body.Close()
			x.Served, x.ExplainedValue = x.Corrected, x.Corrected
			x.AsServed = x.AsServed && args[2] == "forgets"
			b, err := json.Marshal(x)
			res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			res.Header.Set("Content-Length", strconv.Itoa(len(b)))
			return err
		},
	})
	ts.Defer(proxy.Close)
	ts.Setenv(args[1], proxy.URL)
}

// TestAskOlderServer: a server that does not know a question is told from one that refuses it.
func TestAskOlderServer(t *testing.T) {
	var code int
	var answer string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(answer))
	}))
	defer srv.Close()
	ask := asker(&env{ctx: t.Context()}, srv.URL)
	for _, c := range []struct {
		code   int
		answer string
		older  bool
	}{
		{http.StatusNotFound, `{"error": {"code": "not_found", "message": "there is nothing at /v1/explain"}}`, true},
		{http.StatusBadRequest, `{"error": {"code": "malformed", "message": "the body has no key", "at": "as_served"}}`, true},
		{http.StatusNotFound, `{"error": {"code": "unknown_feature", "message": "feature does not exist", "at": "feature"}}`, false},
		{http.StatusBadRequest, `{"error": {"code": "definition", "message": "view is defined otherwise"}}`, false},
		{http.StatusNotFound, `no page`, false},
	} {
		code, answer = c.code, c.answer
		_, err := ask(t.Context(), "/v1/explain", nil)
		var h hinted
		if err == nil || errors.Is(err, verify.ErrOlder) != c.older || c.older && (!errors.As(older(err), &h) || h.hint == "") {
			t.Errorf("%d %s: %v", c.code, c.answer, err)
		}
	}
}
