package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/penstock-ml/penstock/feature"
)

type planCmd struct {
	File  string `arg:"" help:"Pipeline file."`
	State string `required:"" placeholder:"DIR" help:"State directory."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help shows an example.
func (planCmd) Help() string { return "Example:\n  penstock plan pipeline.yaml --state data" }

// Run prints how the file differs from what the state was written by.
func (c planCmd) Run(e *env) error {
	plan, st, err := openState(e, c.File, c.State)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	changes, fresh, err := feature.Diff(st, plan)
	if err != nil {
		return err
	}
	if c.JSON {
		if changes == nil {
			changes = []feature.Change{}
		}
		return json.NewEncoder(e.out).Encode(map[string]any{"fresh": fresh, "changes": changes})
	}
	if fresh {
		_, err := fmt.Fprintln(e.out, "the state is empty: every view will be filled from the start of its source")
		return err
	}
	if len(changes) == 0 {
		_, err := fmt.Fprintln(e.out, "the state fits the plan: nothing changes")
		return err
	}
	return printChanges(e.out, changes)
}

func printChanges(w io.Writer, changes []feature.Change) error {
	for _, c := range changes {
		if _, err := fmt.Fprintf(w, "view %q %s\n", c.View, c.What); err != nil {
			return err
		}
	}
	return nil
}
