package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
)

// ask sends a question to a route of the server at url, or of the one that has the directory open, or of one made for
// this question over the directory. body makes the question; the plan it is given is nil if the file has mistakes.
func ask(e *env, file, dir, url, route string, body func(*pipeline.Plan) ([]byte, error)) ([]byte, error) {
	plan, _ := pipeline.Load(file, pinned(dir))
	question, err := body(plan)
	if err != nil {
		return nil, err
	}
	if url, err = serverAt(url, dir); err != nil {
		return nil, err
	}
	var code int
	var answer []byte
	if url != "" {
		if err := serverFits(e, url, file, dir); err != nil {
			return nil, err
		}
		code, answer, err = post(e, strings.TrimRight(url, "/")+route, question)
	} else {
		code, answer, err = askOffline(e, file, dir, route, question)
	}
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, refusal(answer)
	}
	return answer, nil
}

func post(e *env, url string, body []byte) (int, []byte, error) { return postWith(e, url, body, nil) }

// postWith sends headers too.
func postWith(e *env, url string, body []byte, headers map[string]string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(e.ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, misuse{err}
	}
	req.Header.Set("Content-Type", "application/json")
	for name, v := range headers {
		req.Header.Set(name, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, hinted{fmt.Errorf("ask the server: %w", err), serverHint}
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, b, err
}

// askOffline asks a server that is made for this question over a directory that none has open. What a crash left
// to be re-read is not in it; the answer is as of the last checkpoint.
func askOffline(e *env, file, dir, path string, body []byte) (int, []byte, error) {
	rec := httptest.NewRecorder()
	err := offline(e, file, dir, func(plan *pipeline.Plan, store *feature.Store) error {
		cut, err := store.Cut(e.ctx)
		if err != nil {
			return err
		}
		cut.Close()
		h := serve.New(serve.Config{Store: store, Plan: plan, Log: e.log, Version: version}).Handler()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(e.ctx, http.MethodPost, path, bytes.NewReader(body)))
		return nil
	})
	return rec.Code, rec.Body.Bytes(), err
}

// columnKinds are the kinds of key and request columns, as far as a plan is known.
func columnKinds(plan *pipeline.Plan) map[string]event.Kind {
	types := map[string]event.Kind{}
	if plan == nil {
		return types
	}
	for _, en := range plan.Entities {
		for _, k := range en.Keys {
			types[k.Name] = k.Type.Kind
		}
	}
	for _, s := range plan.Sets {
		for _, r := range s.Request {
			types[r.Name] = r.Type.Kind
		}
	}
	return types
}
