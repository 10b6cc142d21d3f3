package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/verify"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
	"github.com/penstock-ml/penstock/stream"
)

type verifyCmd struct {
	File       string   `arg:"" help:"Pipeline file."`
	State      string   `required:"" placeholder:"DIR" help:"State directory; no server may have it open."`
	Set        string   `xor:"what" help:"Feature set; default all views."`
	View       string   `xor:"what" help:"View."`
	Features   []string `xor:"what" placeholder:"VIEW.NAME,…" help:"Single features."`
	Entities   int      `default:"50" placeholder:"N" help:"How many entities of each view are looked at."`
	Instants   int      `default:"8" placeholder:"N" help:"At how many instants of each."`
	Seed       uint64   `default:"1" placeholder:"N" help:"Another seed chooses other entities and instants."`
	FromSource bool     `help:"Take the rows from the topics or files, read again, and not from the state."`
	JSON       bool     `name:"json" help:"Print JSON."`
}

// Help shows an example.
func (verifyCmd) Help() string {
	return "Computes features again from raw rows by a second, naive evaluator that shares no code with the store's\n" +
		"reader, and compares. Prints the first difference with what it rests on; exit code 3 if there is one.\n\n" +
		"Example:\n  penstock verify pipeline.yaml --state data --entities 100 --from-source"
}

// verified is what a check has found, as --json prints it.
type verified struct {
	What    string      `json:"what"`
	Pairs   int64       `json:"pairs"` // of an entity and an instant
	Cells   int64       `json:"cells"` // compared
	Differ  int64       `json:"differ"`
	Unknown int64       `json:"unknown"` // could not be told from the rows
	First   *difference `json:"first,omitempty"`
}

// difference is the first of a check.
type difference struct {
	Text        string             `json:"text"`
	Explanation *serve.Explanation `json:"explanation,omitempty"`
}

// Run verifies and prints what differs.
func (c verifyCmd) Run(e *env) error {
	if c.Entities < 1 || c.Instants < 1 {
		return misuse{errors.New("--entities and --instants must be at least 1")}
	}
	url, err := serverOf(c.State)
	if err != nil {
		return err
	}
	if url != "" {
		return hinted{
			fmt.Errorf("state %s is in use by the server at %s", c.State, url),
			"stop the server, or verify a copy that was made while none had the directory open",
		}
	}
	plan, st, err := openState(e, c.File, c.State)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	store, err := feature.Open(st, plan, feature.Options{Log: e.log, Offline: true})
	if err != nil {
		return planHint(err, c.File, c.State)
	}
	checks, err := c.verify(e, plan, store)
	if err = errors.Join(err, store.Close(e.ctx)); err != nil {
		return err
	}
	return c.print(e, checks)
}

// selections are what is looked at: one, or every view.
func (c verifyCmd) selections(plan *pipeline.Plan) []feature.Selection {
	if c.Set != "" || c.View != "" || len(c.Features) > 0 {
		return []feature.Selection{{Set: c.Set, View: c.View, Features: c.Features}}
	}
	var out []feature.Selection
	for _, v := range plan.Views {
		if len(v.Features) > 0 { // others keep rows for labels and exports
			out = append(out, feature.Selection{View: v.Name})
		}
	}
	return out
}

func (c verifyCmd) verify(e *env, plan *pipeline.Plan, store *feature.Store) (out []verified, err error) {
	cut, err := store.Cut(e.ctx)
	if err != nil {
		return nil, fmt.Errorf("fix a cut: %w", err)
	}
	defer cut.Close()
	sample := verify.Sample{Entities: c.Entities, Instants: c.Instants, Seed: c.Seed}
	for _, sel := range c.selections(plan) {
		truth, from := verify.OfState(plan, cut), "the rows of the state"
		if c.FromSource {
			views, keep, err := verify.KeysOf(cut, plan, sel, sample)
			if err != nil {
				return nil, err
			}
			t, n, err := verify.OfSources(e.ctx, stream.Config{Plan: plan, Store: store, Log: e.log}, cut, views, keep)
			if err != nil {
				return nil, err
			}
			truth, from = t, fmt.Sprintf("%d records of the sources", n.Records)
		}
		rep, err := verify.State(e.ctx, cut, truth, sel, sample)
		if err != nil {
			return nil, err
		}
		x, err := found(e.ctx, cut, sel, selectionName(sel)+" in the state, by "+from, rep)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

func selectionName(sel feature.Selection) string {
	switch {
	case sel.Set != "":
		return "set " + sel.Set
	case sel.View != "":
		return "view " + sel.View
	}
	return fmt.Sprint("features ", sel.Features)
}

// found is a report with the explanation of its first difference.
func found(ctx context.Context, cut *feature.Cut, sel feature.Selection, what string, rep *verify.Report) (verified, error) {
	out := verified{What: what, Pairs: rep.Questions, Cells: rep.Cells, Differ: rep.Differ, Unknown: rep.Unknown}
	d := rep.First
	if d == nil {
		return out, nil
	}
	out.First = &difference{Text: d.String()}
	one := feature.Selection{Set: sel.Set, View: sel.View, Features: []string{d.Feature}}
	for _, dotted := range sel.Features {
		if sel.Set == "" && sel.View == "" && (dotted == d.Feature || hasSuffixDot(dotted, d.Feature)) {
			one.Features = []string{dotted}
		}
	}
	s, err := cut.Select(one)
	if err != nil {
		return out, err
	}
	x, err := cut.NewReader().Explain(ctx, s, d.Question.Keys, d.Question.Request, feature.Instant{AsOf: d.Question.AsOf, AsServed: d.Question.Served}, feature.ExplainOptions{})
	if err != nil {
		return out, fmt.Errorf("explain the difference: %w", err)
	}
	out.First.Explanation = serve.Explained(x, s)
	return out, nil
}

func hasSuffixDot(dotted, name string) bool {
	n := len(dotted) - len(name)
	return n > 0 && dotted[n:] == name && dotted[n-1] == '.'
}

func (c verifyCmd) print(e *env, checks []verified) error {
	differ := false
	for _, x := range checks {
		differ = differ || x.Differ > 0
	}
	if c.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"equal": !differ, "checks": checks}); err != nil {
			return err
		}
	} else if err := printVerified(e, checks); err != nil {
		return err
	}
	if differ {
		return errDiffers
	}
	return nil
}

func printVerified(e *env, checks []verified) error {
	p := &printer{w: e.out}
	for _, x := range checks {
		verdict := "all equal"
		if x.Differ > 0 {
			verdict = fmt.Sprintf("%d differ", x.Differ)
		}
		if x.Unknown > 0 {
			verdict += fmt.Sprintf(", %d cannot be told", x.Unknown)
		}
		p.line("%s: %d cells of %d pairs of entity and instant: %s", x.What, x.Cells, x.Pairs, verdict)
		if x.First == nil {
			continue
		}
		p.line("")
		p.line("first difference: %s", x.First.Text)
		if x.First.Explanation != nil && p.err == nil {
			p.line("")
			p.err = printExplanation(e.out, x.First.Explanation)
			p.line("")
		}
	}
	return p.err
}
