package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	neturl "net/url"

	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
)

type exportCmd struct {
	File       string   `arg:"" help:"Pipeline file."`
	State      string   `placeholder:"DIR" xor:"where" required:"" help:"State directory; a server that has it open is asked instead."`
	Server     string   `placeholder:"URL" xor:"where" required:"" help:"A running server, like http://localhost:8080."`
	Spine      string   `required:"" help:"The rows to answer: .csv, .parquet or .avro with keys, an instant, any other columns."`
	Set        string   `xor:"what" required:"" help:"Feature set to export."`
	View       string   `xor:"what" required:"" help:"View to export."`
	Features   []string `xor:"what" required:"" placeholder:"VIEW.NAME,…" help:"Single features to export."`
	Out        string   `required:"" help:"File to write: .parquet or .csv."`
	SpineTime  string   `placeholder:"COL" help:"The spine's time column; default event_time, else its only timestamp column."`
	AsServed   bool     `help:"Use only events that had arrived by each row's instant."`
	WithStatus bool     `help:"Add a status column for each feature."`
	Force      bool     `help:"Replace an existing OUT."`
	JSON       bool     `name:"json" help:"Print the report as JSON."`
}

// Help shows an example.
func (exportCmd) Help() string {
	return "Example:\n  penstock export pipeline.yaml --state data --spine labels.csv --set fraud --out training.parquet"
}

// Run writes the table and prints what it is.
func (c exportCmd) Run(e *env) error {
	req := export.Request{
		Selection: feature.Selection{Set: c.Set, View: c.View, Features: c.Features},
		Spine:     c.Spine, SpineTime: c.SpineTime, Out: c.Out, AsServed: c.AsServed, WithStatus: c.WithStatus, Force: c.Force,
	}
	url := c.Server
	if url == "" {
		var err error
		if url, err = serverOf(c.State); err != nil {
			return err
		}
	}
	var rep *export.Report
	var err error
	if url != "" {
		if err := serverFits(e, url, c.File, c.State); err != nil {
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
	if c.JSON {
		return json.NewEncoder(e.out).Encode(rep)
	}
	return printReport(e.out, rep)
}

func (c exportCmd) offline(e *env, req export.Request) (*export.Report, error) {
	plan, st, err := openState(e, c.File, c.State)
	if err != nil {
		return nil, err
	}
	defer func() { _ = st.Close() }()
	store, err := feature.Open(st, plan, feature.Options{Log: e.log, Offline: true})
	if err != nil {
		return nil, planHint(err, c.File, c.State)
	}
	rep, err := export.FromStore(e.ctx, store, req)
	return rep, errors.Join(err, store.Close(e.ctx))
}

func printReport(w io.Writer, r *export.Report) error {
	_, err := fmt.Fprintf(w, "wrote %s: %d rows, %d features, %d cells differ between as of and as served\n", r.Out, r.Rows, len(r.Features), r.Differ)
	return err
}

func exportHint(err error) string {
	var x *export.Error
	if errors.As(err, &x) {
		return x.Hint
	}
	return ""
}
