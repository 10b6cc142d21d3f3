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
			if err = refusal(answer); unknownTo(code, answer) {
				err = fmt.Errorf("%w (%w)", verify.ErrOlder, err)
			}
		}
		return answer, err
	}
}

// unknownTo tells whether a server refuses a question since it does not know the route, or that values may be asked
// for as served.
func unknownTo(code int, answer []byte) bool {
	var x struct {
		Error struct{ Code, At string }
	}
	if json.Unmarshal(answer, &x) != nil {
		return false
	}
	return code == http.StatusNotFound && x.Error.Code == "not_found" || code == http.StatusBadRequest && x.Error.At == "as_served"
}

// older says what to do with a server of an older version.
func older(err error) error {
	if errors.Is(err, verify.ErrOlder) {
		return hinted{err, "verify with the program that the server runs, or stop the server and verify its directory"}
	}
	return err
}

// explainBy has a server explain, as of what it has counted by then.
func explainBy(ctx context.Context, srv *verify.Server) explainer {
	return func(one feature.Selection, q *verify.Question) (*serve.Explanation, error) {
		return srv.Explain(ctx, one, q, 0)
	}
}
