package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/state"
)

// version and commit are set by the linker (see Makefile); a plain build reads them from the build info.
var (
	version = "0.1.0-dev"
	commit  = ""
)

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help shows an example.
func (versionCmd) Help() string { return "Example:\n  penstock version --json" }

// Run prints the version, the commit and the formats that this binary writes.
func (v versionCmd) Run(e *env) error {
	info := map[string]any{
		"version": version, "commit": commitOf(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
		"formats": map[string]int{"state": state.Format, "views": feature.FormatVersion},
	}
	if v.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(info)
	}
	_, err := fmt.Fprintf(e.out, "penstock %s (commit %s, %s, %s/%s)\nformats: state %d, views %d\n",
		version, commitOf(), runtime.Version(), runtime.GOOS, runtime.GOARCH, state.Format, feature.FormatVersion)
	return err
}

func commitOf() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
