package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/verify"
	"github.com/penstock-ml/penstock/serve"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/stream"
)

// ofServer verifies what a running server answers, by the raw rows that it tells, or by the sources.
func (c verifyCmd) ofServer(e *env, url string) (out []verified, err error) {
	plan, err := planForServer(e, c.File, c.State)
	if err != nil {
		return nil, err
	}
	if err := serverFits(e, url, c.File, c.State); err != nil {
		return nil, err
	}
	empty := state.NewMemory()
	defer func() { _ = empty.Close() }()
	names, err := feature.Open(empty, plan, feature.Options{Offline: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, names.Close(e.ctx)) }()
	srv := &verify.Server{Plan: plan, Names: names, Ask: asker(e, url)}
	explain := explainBy(e.ctx, srv)
	if c.Export != "" || len(c.Log) > 0 {
		now, err := srv.Moment(e.ctx)
		if err != nil {
			return nil, err
		}
		return c.files(e.ctx, verifiedBy{
			plan: plan, now: now, explain: explain,
			again: func(m *export.Manifest) (verify.Past, func(), error) {
				past, err := m.Past()
				if err != nil {
					return nil, nil, err
				}
				at, err := now.At(past)
				return at, func() {}, err
			},
		})
	}
	for _, sel := range c.selections(plan) {
		var sources *stream.Config
		from := "the rows that it tells"
		if c.FromSource {
			sources = &stream.Config{Plan: plan, Log: e.log}
		}
		rep, reading, err := verify.Looked(e.ctx, srv, sel, c.sample(), sources)
		if err != nil {
			return nil, err
		}
		if reading != nil {
			from = fmt.Sprintf("%d records of the sources", reading.Records)
		}
		x, err := found(explain, sel, selectionName(sel)+" as the server answers it, by "+from, rep)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// asker sends questions to a server, none of which its serving log keeps.
func asker(e *env, url string) func(context.Context, string, []byte) ([]byte, error) {
	return func(_ context.Context, route string, question []byte) ([]byte, error) {
		code, answer, err := postWith(e, strings.TrimRight(url, "/")+route, question, map[string]string{serve.LogHeader: "off"})
		if err == nil && code != http.StatusOK {
			err = refusal(answer)
		}
		return answer, err
	}
}

// explainBy has a server explain, as of what it has counted by then.
func explainBy(ctx context.Context, srv *verify.Server) explainer {
	return func(one feature.Selection, q *verify.Question) (*serve.Explanation, error) {
		s, err := srv.Names.Select(one)
		if err != nil {
			return nil, err
		}
		body := map[string]any{"feature": one.Features[0], "entity": serve.Named(s.Keys, q.Keys), "as_of": q.AsOf.String(), "as_served": q.Served}
		if one.Set != "" {
			body["set"] = one.Set
		}
		if one.View != "" {
			body["view"] = one.View
		}
		if len(s.Request) > 0 {
			body["request"] = serve.Named(s.Request, q.Request)
		}
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		if b, err = srv.Ask(ctx, "/v1/explain", b); err != nil {
			return nil, err
		}
		x := &serve.Explanation{}
		if err := json.Unmarshal(b, x); err != nil {
			return nil, fmt.Errorf("read the explanation: %w", err)
		}
		return x, nil
	}
}
