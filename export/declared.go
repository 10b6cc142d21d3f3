package export

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event/spelling"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// declare fills in what the export that a request names declares. A flag given beside it adds to it.
func (r Request) declare(plan *pipeline.Plan) (Request, *pipeline.Export, error) {
	x := plan.Export(r.Export)
	if x == nil {
		return r, nil, unknownExport(plan, r.Export)
	}
	r.Selection = feature.Selection{Set: x.Set, View: x.View, Features: x.Features}
	r.AsServed, r.WithStatus = r.AsServed || x.AsServed, r.WithStatus || x.WithStatus
	r.SpineTime = x.Spine.Time
	if x.Spine.File != "" && r.Spine == "" {
		r.Spine = besidePlan(plan, x.Spine.File)
	}
	if r.Out == "" {
		r.Out = besidePlan(plan, x.Out)
	}
	return r, x, nil
}

func unknownExport(plan *pipeline.Plan, name string) error {
	var names []string
	for _, x := range plan.Exports {
		names = append(names, x.Name)
	}
	e := &feature.SelectError{Code: "unknown_export", Message: fmt.Sprintf("export %q does not exist", name), At: "export"}
	near, ok := spelling.Nearest(name, names)
	switch {
	case ok:
		e.Hint = fmt.Sprintf("did you mean %q?", near)
	case len(names) > 0:
		e.Hint = "the pipeline's exports are " + strings.Join(names, ", ")
	default:
		e.Hint = "declare it under exports: in the pipeline file"
	}
	return e
}

// besidePlan is a path relative to the folder of the pipeline file.
func besidePlan(plan *pipeline.Plan, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(plan.Path), path)
}

// openRows opens the rows of an export: a spine, and around it what the export declares to be done to them.
func openRows(ctx context.Context, cfg *Config) (spine, *shaper, error) {
	x := cfg.Export
	if x == nil || x.Spine.File != "" {
		sp, err := openSpine(cfg.Spine, cfg.SpineName)
		if err != nil || x == nil {
			return sp, nil, err
		}
		return shape(ctx, cfg, sp)
	}
	cfg.SpineName, cfg.SpineTime = "of export "+quote(x.Name), pipeline.TimeColumn
	if x.Spine.Grid != nil {
		sp, err := newGridSpine(ctx, cfg)
		if err != nil {
			return nil, nil, err
		}
		return shape(ctx, cfg, sp)
	}
	return shape(ctx, cfg, newStoredSpine(cfg.Cut, &x.Spine))
}

// partPath is the file of a part of a split: out.train.parquet of out.parquet.
func partPath(path, part string) string {
	base, ext := path, ""
	if e := filepath.Ext(base); slices.Contains([]string{".gz", ".zst"}, strings.ToLower(e)) {
		base, ext = strings.TrimSuffix(base, e), e
	}
	e := filepath.Ext(base)
	return strings.TrimSuffix(base, e) + "." + part + e + ext
}

// outputs are the files that an export writes, and how they are called.
func (cfg *Config) outputs() (paths, names []string) {
	x := cfg.Export
	if x == nil || x.Split == nil || !x.Split.Files {
		return []string{cfg.Out}, []string{cfg.OutName}
	}
	for _, p := range x.Split.Parts {
		paths = append(paths, partPath(cfg.Out, p.Name))
		names = append(names, partPath(cfg.OutName, p.Name))
	}
	return paths, names
}
