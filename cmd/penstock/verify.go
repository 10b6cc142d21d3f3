package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/verify"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
	"github.com/penstock-ml/penstock/stream"
)

type verifyCmd struct {
	File       string   `arg:"" help:"Pipeline file."`
	State      string   `placeholder:"DIR" xor:"where" required:"" help:"State directory; a server that has it open is asked instead."`
	Server     string   `placeholder:"URL" xor:"where" required:"" help:"A running server, like http://localhost:8080."`
	Set        string   `xor:"what" help:"Feature set; default all views."`
	View       string   `xor:"what" help:"View."`
	Features   []string `xor:"what" placeholder:"VIEW.NAME,…" help:"Single features."`
	Entities   int      `default:"50" placeholder:"N" help:"How many entities of each view are looked at."`
	Instants   int      `default:"8" placeholder:"N" help:"At how many instants of each."`
	Seed       uint64   `default:"1" placeholder:"N" help:"Another seed chooses other entities and instants."`
	Export     string   `placeholder:"TABLE" help:"Compare the cells of an exported table, or of a part of a split; without a manifest beside it --set, --view or --features is needed."`
	SpineTime  string   `placeholder:"COL" help:"The table's column of the instant; default event_time."`
	AsServed   bool     `help:"The table was exported with --as-served."`
	Log        []string `placeholder:"PATH,…" help:"Compare what was served: files of the serving log, or its folder."`
	Rows       int      `default:"1000" placeholder:"N" help:"How many rows of a table or of a file of the log are looked at."`
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
	if c.Entities < 1 || c.Instants < 1 || c.Rows < 1 {
		return misuse{errors.New("--entities, --instants and --rows must be at least 1")}
	}
	if c.Export != "" && c.Set == "" && c.View == "" && len(c.Features) == 0 && !c.byManifest() {
		return misuse{errors.New("--export needs --set, --view or --features, or the table's manifest beside it: what it was exported with")}
	}
	if c.FromSource && (c.Export != "" || len(c.Log) > 0) {
		return misuse{errors.New("--from-source verifies the state: not with --export or --log")}
	}
	url, err := serverAt(c.Server, c.State)
	if err != nil {
		return err
	}
	var checks []verified
	if url != "" {
		checks, err = c.ofServer(e, url)
		err = older(err)
	} else {
		err = offline(e, c.File, c.State, func(plan *pipeline.Plan, store *feature.Store) (err error) {
			checks, err = c.ofState(e, plan, store)
			return err
		})
	}
	if err != nil {
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

// sample is what of a state is looked at.
func (c verifyCmd) sample() verify.Sample {
	return verify.Sample{Entities: c.Entities, Instants: c.Instants, Seed: c.Seed}
}

// ofState verifies a directory.
func (c verifyCmd) ofState(e *env, plan *pipeline.Plan, store *feature.Store) (out []verified, err error) {
	cut, err := store.Cut(e.ctx)
	if err != nil {
		return nil, fmt.Errorf("fix a cut: %w", err)
	}
	defer cut.Close()
	if c.Export != "" || len(c.Log) > 0 {
		return c.files(e.ctx, verifiedBy{
			plan: plan, now: cut, explain: explainAt(e.ctx, cut),
			again: func(m *export.Manifest) (verify.Past, func(), error) {
				again, err := m.CutAgain(e.ctx, store)
				if err != nil {
					return nil, nil, err
				}
				return again, again.Close, nil
			},
		})
	}
	for _, sel := range c.selections(plan) {
		truth, from, sample := verify.OfState(plan, cut), "the rows of the state", c.sample()
		if c.FromSource {
			views, keep, err := verify.KeysOf(cut, plan, sel, sample)
			if err != nil {
				return nil, err
			}
			t, n, err := verify.OfSources(e.ctx, stream.Config{Plan: plan, Store: store, Log: e.log}, cut, views, keep, sample)
			if err != nil {
				return nil, err
			}
			truth, from, sample.Also = t, fmt.Sprintf("%d records of the sources", n.Records), n.Chosen
		}
		rep, err := verify.State(e.ctx, cut, truth, sel, sample)
		if err != nil {
			return nil, err
		}
		x, err := found(explainAt(e.ctx, cut), sel, selectionName(sel)+" in the state, by "+from, rep)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// verifiedBy is what files are compared with.
type verifiedBy struct {
	plan    *pipeline.Plan
	now     verify.Past
	again   func(*export.Manifest) (past verify.Past, release func(), err error) // takes a manifest's cut again
	explain explainer
}

// files compares a table, and files of the serving log.
func (c verifyCmd) files(ctx context.Context, by verifiedBy) (out []verified, err error) {
	if c.Export != "" {
		x, err := c.table(ctx, by)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	paths, err := logPaths(c.Log)
	if err != nil {
		return nil, err
	}
	truth := verify.OfState(by.plan, by.now)
	for _, path := range paths {
		rep, sel, err := verify.Log(ctx, by.now, truth, verify.LogConfig{Path: path, Rows: c.Rows})
		if err != nil {
			return nil, err
		}
		x, err := found(by.explain, sel, "served rows of "+path, rep)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// byManifest tells whether a manifest beside the table says what it was exported with.
func (c verifyCmd) byManifest() bool {
	_, err := export.ManifestOf(c.Export)
	return err == nil
}

// table compares an exported table: at the cut of its manifest, if that lies beside it, else at today's.
func (c verifyCmd) table(ctx context.Context, by verifiedBy) (verified, error) {
	cfg := verify.TableConfig{Path: c.Export, Time: c.SpineTime, Served: c.AsServed, Rows: c.Rows, Seed: c.Seed}
	sel := feature.Selection{Set: c.Set, View: c.View, Features: c.Features}
	past, truth := by.now, verify.OfState(by.plan, by.now)
	if m, err := export.ManifestOf(c.Export); err == nil {
		o := m.Options
		if o.Export != "" {
			x := by.plan.Export(o.Export)
			if x == nil {
				return verified{}, fmt.Errorf("the table's manifest names export %q, which the pipeline file does not declare", o.Export)
			}
			o.Set, o.View, o.Features, o.SpineTime, o.AsServed = x.Set, x.View, x.Features, x.Spine.Time, o.AsServed || x.AsServed
		}
		sel, cfg.Time, cfg.Served = feature.Selection{Set: o.Set, View: o.View, Features: o.Features}, cmp.Or(cfg.Time, o.SpineTime), o.AsServed
		again, release, err := by.again(m)
		if err != nil {
			return verified{}, fmt.Errorf("take the cut of the table's manifest: %w", err)
		}
		defer release()
		past, truth = again, verify.OfState(by.plan, again)
		truth.Kept = by.now.Horizon
	}
	rep, err := verify.Table(ctx, past, truth, sel, cfg)
	if err != nil {
		return verified{}, err
	}
	explain := by.explain
	if cut, ok := past.(*feature.Cut); ok {
		explain = explainAt(ctx, cut)
	}
	return found(explain, sel, selectionName(sel)+" in "+c.Export, rep)
}

// logPaths lists the files that are named, and those of folders.
func logPaths(list []string) (out []string, err error) {
	for _, p := range list {
		info, err := os.Stat(p)
		if err != nil {
			return nil, misuse{fmt.Errorf("serving log %s does not exist", p)}
		}
		if !info.IsDir() {
			out = append(out, p)
			continue
		}
		within, err := filepath.Glob(filepath.Join(p, "*.jsonl"))
		if err != nil || len(within) == 0 {
			return nil, misuse{fmt.Errorf("there is no serving log in %s", p)}
		}
		out = append(out, within...)
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

// explainer tells what one cell rests on.
type explainer func(one feature.Selection, q *verify.Question) (*serve.Explanation, error)

// explainAt explains at a cut.
func explainAt(ctx context.Context, cut *feature.Cut) explainer {
	return func(one feature.Selection, q *verify.Question) (*serve.Explanation, error) {
		s, err := cut.Select(one)
		if err != nil {
			return nil, err
		}
		x, err := cut.NewReader().Explain(ctx, s, q.KeysOf(s.Keys), q.Request, feature.Instant{AsOf: q.AsOf, AsServed: q.Served}, feature.ExplainOptions{})
		if err != nil {
			return nil, err
		}
		return serve.Explained(x, s), nil
	}
}

// found is a report with the explanation of its first difference.
func found(explain explainer, sel feature.Selection, what string, rep *verify.Report) (verified, error) {
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
	var err error
	if out.First.Explanation, err = explain(one, &d.Question); err != nil {
		return out, fmt.Errorf("explain the difference: %w", err)
	}
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
