package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	neturl "net/url"

	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

type reproduceCmd struct {
	Manifest string `arg:"" help:"Manifest that an export wrote beside its table: OUT.manifest.json."`
	State    string `placeholder:"DIR" xor:"where" required:"" help:"State directory; a server that has it open is asked instead."`
	Server   string `placeholder:"URL" xor:"where" required:"" help:"A running server, like http://localhost:8080."`
	Out      string `required:"" help:"File to write, in the format of the manifest's table."`
	Spine    string `placeholder:"FILE" help:"The spine, if it is not where the manifest says."`
	Pipeline string `placeholder:"FILE" help:"The pipeline file, if it is not where the manifest says."`
	Force    bool   `help:"Replace an existing OUT."`
	JSON     bool   `name:"json" help:"Print the report as JSON."`
}

// Help shows an example.
func (reproduceCmd) Help() string {
	return "Example:\n  penstock reproduce training.parquet.manifest.json --state data --out again.parquet"
}

// Run makes the table again; exit code 3 says that its bytes would not be the same.
func (c reproduceCmd) Run(e *env) error {
	m, err := export.ReadManifest(c.Manifest)
	if err != nil {
		return err
	}
	if c.Pipeline == "" {
		c.Pipeline = m.Pipeline.File
	}
	url, err := serverAt(c.Server, c.State)
	if err != nil {
		return err
	}
	r := export.Reproduction{Manifest: m, ManifestPath: c.Manifest, Spine: c.Spine, Out: c.Out, Force: c.Force}
	run := c.offline(e)
	if url != "" {
		again := exportCmd{File: c.Pipeline, State: c.State, Export: m.Options.Export, Out: c.Out}
		var req export.Request
		if err := again.readPlan(e, &req); err != nil {
			return err
		}
		r.Plan = req.Plan
		run = func(ctx context.Context, req export.Request) (*export.Report, error) {
			return (&export.Client{URL: url}).Export(ctx, req)
		}
	}
	rep, err := export.Reproduce(e.ctx, r, run)
	if err != nil {
		return reproduceError(e, err)
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(rep)
	}
	for _, text := range rep.OtherFiles {
		_, _ = fmt.Fprintf(e.errs, "%s; what the table needs of it is the same\n", text)
	}
	_, err = fmt.Fprintf(e.out, "wrote %s: %d rows, the same bytes as the manifest's table\n", written(rep), rep.Rows)
	return err
}

// reproduceError tells a difference, whose exit code is its own, from what failed.
func reproduceError(e *env, err error) error {
	var own *export.Error
	if errors.As(err, &own) && own.Code == export.Differs {
		_ = report(e.errs, own)
		return errDiffers
	}
	var unreachable *neturl.Error
	if errors.As(err, &unreachable) {
		return hinted{err, serverHint}
	}
	return err
}

// offline makes the table from the directory.
func (c reproduceCmd) offline(e *env) func(context.Context, export.Request) (*export.Report, error) {
	return func(ctx context.Context, req export.Request) (rep *export.Report, err error) {
		err = offline(e, c.Pipeline, c.State, func(_ *pipeline.Plan, store *feature.Store) (err error) {
			req.Build = thisBuild()
			rep, err = export.FromStore(ctx, store, req)
			return err
		})
		return rep, err
	}
}

// thisBuild is this program, for manifests.
func thisBuild() export.Build { return export.Build{Version: version, Commit: commitOf()} }
