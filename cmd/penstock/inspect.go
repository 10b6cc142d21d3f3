package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"text/tabwriter"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/state"
)

type inspectCmd struct {
	State string `required:"" placeholder:"DIR" help:"State directory."`
	Dead  bool   `help:"List the dead letters that are kept, one JSON object a line."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help shows an example.
func (inspectCmd) Help() string {
	return "Walks through all of a state, checks how its blocks hang together, and counts what it holds.\nThe directory must not be in use.\n\nExample:\n  penstock inspect --state data"
}

// Run prints what the state holds.
func (c inspectCmd) Run(e *env) error {
	if _, err := os.Stat(c.State); errors.Is(err, os.ErrNotExist) {
		return misuse{fmt.Errorf("state directory %s does not exist", c.State)}
	}
	st, err := state.OpenBadger(c.State, state.BadgerOptions{ReadMostly: true, Log: e.log})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	if c.Dead {
		enc := json.NewEncoder(e.out)
		return feature.ReadDead(st, func(d *feature.DeadLetter) error { return enc.Encode(d) })
	}
	x, err := feature.Inspect(st)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(x)
	}
	return printInspection(e, x, st.Stats())
}

func printInspection(e *env, x *feature.Inspection, stats state.Stats) error {
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("pipeline %s, format %d, %d commits, %.1f MiB on disk\n\n", x.Pipeline, x.Format, stats.Commits, float64(stats.DiskBytes)/(1<<20))
	p("view\tversion\tentities\trows in heads\trows archived\tblocks\torphans\tdepth\tlargest entity\t\n")
	for _, v := range x.Views {
		p("%s\t%.8s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", v.Name, v.Version, v.Entities, v.HeadRows, v.LeafRows,
			v.Blocks, v.Orphans, v.Depth, v.Largest)
	}
	p("\nview\tMiB\tbytes per row\tbytes per entity\tbytes per feature\trows trimmed\tduplicates\t\n")
	for _, v := range x.Views {
		duplicates := int64(0)
		for _, n := range v.Duplicates {
			duplicates += n
		}
		p("%s\t%.1f\t%s\t%s\t%s\t%d\t%d\t\n", v.Name, float64(v.Bytes)/(1<<20), each(v.Bytes, v.Rows), each(v.Bytes, v.Entities),
			each(v.Bytes, int64(v.Features)), v.Trimmed, duplicates)
	}
	p("\npartition\tnext\tseen\twatermark\tread\t\n")
	for _, q := range x.Partitions {
		p("%s/%d\t%d\t%d\t%s\t%d\t\n", q.Source, q.Partition, q.Next, q.Seen, q.Watermark, q.Read)
	}
	if len(x.Dead) > 0 {
		var reasons []string
		for r := range x.Dead {
			reasons = append(reasons, r)
		}
		sort.Strings(reasons)
		p("\ndead letters\tkept\t\n")
		for _, r := range reasons {
			p("%s\t%d\t\n", r, x.Dead[r])
		}
	}
	return w.Flush()
}

// each is a share of bytes; - of nothing.
func each(bytes, n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(bytes)/float64(n))
}
