package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

type checkCmd struct {
	Files  []string `arg:"" name:"file" help:"Pipeline files."`
	Online bool     `help:"Ask schema registries for the subjects that the files name."`
	JSON   bool     `name:"json" help:"Print the mistakes as JSON."`
}

// Help shows an example.
func (checkCmd) Help() string { return "Example:\n  penstock check pipeline.yaml" }

// Run prints all mistakes of all files.
func (c checkCmd) Run(e *env) error {
	var all diag.List
	for _, file := range c.Files {
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return misuse{fmt.Errorf("pipeline file %s does not exist", file)}
		}
		opt := pipeline.Options{}
		if c.Online {
			opt.Subject = func(ref pipeline.RegistryRef) (*schemas.Schema, error) {
				ctx, cancel := context.WithTimeout(e.ctx, 15*time.Second)
				defer cancel()
				return latest(ctx, ref)
			}
		}
		_, list := pipeline.Load(file, opt)
		all = append(all, list...)
	}
	if c.JSON {
		if err := all.WriteJSON(e.out); err != nil {
			return err
		}
	} else if err := all.Write(e.errs); err != nil {
		return err
	}
	if all.HasErrors() {
		return errPrinted
	}
	if !c.JSON {
		_, warnings := all.Count()
		_, err := fmt.Fprintf(e.out, "ok: %d file(s), %d warning(s)\n", len(c.Files), warnings)
		return err
	}
	return nil
}

// latest asks a registry for the newest version of a subject.
func latest(ctx context.Context, ref pipeline.RegistryRef) (*schemas.Schema, error) {
	reg, err := schemas.NewRegistry(schemas.RegistryOptions{URL: ref.URL, Username: ref.Username, Password: ref.Password})
	if err != nil {
		return nil, err
	}
	_, schema, err := reg.Latest(ctx, ref.Subject)
	return schema, err
}
