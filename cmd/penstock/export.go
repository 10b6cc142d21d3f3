package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	neturl "net/url"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

type exportCmd struct {
	File       string   `arg:"" help:"Pipeline file."`
	State      string   `placeholder:"DIR" xor:"where" required:"" help:"State directory; a server that has it open is asked instead."`
	Server     string   `placeholder:"URL" xor:"where" required:"" help:"A running server, like http://localhost:8080."`
	Export     string   `xor:"what,rows" required:"" placeholder:"NAME" help:"An export that the pipeline file declares: its rows, labels, features and split."`
	Spine      string   `xor:"rows" required:"" help:"The rows to answer, with keys, an instant, any other columns: .csv, .parquet, .arrow, .jsonl or .avro."`
	Set        string   `xor:"what" required:"" help:"Feature set to export."`
	View       string   `xor:"what" required:"" help:"View to export."`
	Features   []string `xor:"what" required:"" placeholder:"VIEW.NAME,…" help:"Single features to export."`
	Out        string   `help:"File to write: .parquet, .csv, .arrow, .jsonl or .avro; with --export, default what it declares."`
	SpineTime  string   `placeholder:"COL" help:"The spine's time column; default event_time, else its only timestamp column."`
	AsServed   bool     `help:"Use only events that had arrived by each row's instant."`
	WithStatus bool     `help:"Add a status column for each feature."`
	Report     string   `placeholder:"FILE.html" help:"Write the statistics as a page, too."`
	Label      string   `placeholder:"COL" help:"The column that the manifest's statistics tell how well others predict; default the first label of --export."`
	Force      bool     `help:"Replace an existing OUT."`
	Fast       bool     `help:"Let the server use all CPUs, as urgently as for look-ups; else it uses half of them, and look-ups go first."`
	JSON       bool     `name:"json" help:"Print the report as JSON."`
}

// Help shows an example.
func (exportCmd) Help() string {
	return "Example:\n  penstock export pipeline.yaml --state data --export fraud_training\n  penstock export pipeline.yaml --state data --spine labels.csv --set fraud --out training.parquet"
}

// Run writes the table and prints what it is.
func (c exportCmd) Run(e *env) error {
	if c.Export == "" && c.Out == "" {
		return misuse{errors.New("missing flags: --out=STRING")}
	}
	if c.Export != "" && c.SpineTime != "" {
		return misuse{errors.New("--export and --spine-time can't be used together")}
	}
	req := export.Request{
		Export:    c.Export,
		Selection: feature.Selection{Set: c.Set, View: c.View, Features: c.Features},
		Spine:     c.Spine, SpineTime: c.SpineTime, Out: c.Out, AsServed: c.AsServed, WithStatus: c.WithStatus, Force: c.Force,
		Manifest: true, Label: c.Label, Build: thisBuild(),
	}
	url, err := serverAt(c.Server, c.State)
	if err != nil {
		return err
	}
	req.Fast = c.Fast
	show, clear := progressLine(e.errs)
	defer clear()
	req.Show = show
	var rep *export.Report
	if url != "" {
		if err := serverFits(e, url, c.File, c.State); err != nil {
			return err
		}
		if err := c.readPlan(e, &req); err != nil {
			return err
		}
		rep, err = (&export.Client{URL: url}).Export(e.ctx, req)
		var unreachable *neturl.Error
		if errors.As(err, &unreachable) {
			err = hinted{err, serverHint}
		}
	} else {
		rep, err = c.offline(e, req)
	}
	if err != nil {
		return err
	}
	clear()
	if c.Report != "" {
		if err := rep.Manifest.WriteReport(c.Report); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(rep)
	}
	return printReport(e.out, rep)
}

// readPlan reads what the file declares of an export that a server is asked for. Schemas that are not pinned
// here are asked of their registry.
func (c exportCmd) readPlan(e *env, req *export.Request) (err error) {
	if c.Export == "" {
		return nil
	}
	if req.Plan, err = planForServer(e, c.File, c.State); err != nil {
		return err
	}
	return c.checkOut(req.Plan)
}

// checkOut tells a file to write from none.
func (c exportCmd) checkOut(plan *pipeline.Plan) error {
	if x := plan.Export(c.Export); x != nil && x.Out == "" && c.Out == "" {
		return misuse{fmt.Errorf("export %q declares no out: missing flags: --out=STRING", c.Export)}
	}
	return nil
}

// gcPercent is for a process that only exports: rows that wait are most of its memory, and should not be held twice.
const gcPercent = 50

func (c exportCmd) offline(e *env, req export.Request) (rep *export.Report, err error) {
	err = offline(e, c.File, c.State, func(plan *pipeline.Plan, store *feature.Store) (err error) {
		if err := c.checkOut(plan); err != nil {
			return err
		}
		debug.SetGCPercent(gcPercent)
		rep, err = export.FromStore(e.ctx, store, req)
		return err
	})
	return rep, err
}

// printReport says what was written, what was left out, and which features differ most between the two pasts.
func printReport(w io.Writer, r *export.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "wrote %s: %d rows, %d features, %d cells differ between as of and as served\n", written(r), r.Rows, len(r.Features), r.Differ)
	if n := r.LeftOut; n != nil && n.Sum() > 0 {
		var why []string
		for _, x := range []struct {
			n    int64
			what string
		}{{n.Gap, "in no part of the split"}, {n.Sampled, "not in the sample"}, {n.Unripe, "not ripe"}, {n.Neutral, "neutral"}, {n.Rebalanced, "rebalanced"}} {
			if x.n > 0 {
				why = append(why, fmt.Sprintf("%d %s", x.n, x.what))
			}
		}
		fmt.Fprintf(&b, "left out %d of %d rows: %s\n", n.Sum(), r.SpineRows, strings.Join(why, ", "))
	}
	if len(r.Parts) > 0 {
		var parts []string
		for _, p := range r.Parts {
			parts = append(parts, fmt.Sprintf("%s %d", p.Name, p.Rows))
		}
		fmt.Fprintln(&b, strings.Join(parts, ", "))
	}
	printDiffering(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

// written names the files.
func written(r *export.Report) string {
	var names []string
	for _, p := range r.Parts {
		if p.Out != "" {
			names = append(names, p.Out)
		}
	}
	if len(names) == 0 {
		return r.Out
	}
	return strings.Join(names, ", ")
}

// mostDiffering is how many features are listed of those that differ.
const mostDiffering = 10

func printDiffering(w io.Writer, r *export.Report) {
	var list []export.FeatureReport
	for _, f := range r.Features {
		if f.Differ > 0 {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return
	}
	slices.SortStableFunc(list, func(a, b export.FeatureReport) int { return cmp.Compare(b.Differ, a.Differ) })
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "cells\tof rows\t  differ in")
	for _, f := range list[:min(mostDiffering, len(list))] {
		_, _ = fmt.Fprintf(t, "%d\t%.2f%%\t  %s\n", f.Differ, 100*float64(f.Differ)/float64(r.Rows), f.Name)
	}
	_ = t.Flush() // to memory
	if more := len(list) - mostDiffering; more > 0 {
		_, _ = fmt.Fprintf(w, "and %d more: --json lists all\n", more)
	}
}

func exportHint(err error) string {
	var x *export.Error
	if errors.As(err, &x) {
		return x.Hint
	}
	return ""
}
