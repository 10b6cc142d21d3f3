package script

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
)

// Ways to restart.
const (
	flushed = "flushed" // stopped cleanly: all is durable
	killed  = "killed"  // what was not durable by chance is gone and read again
)

// restart is a step that closes the store and opens its state again.
type restart struct {
	node *pipeline.Node
	how  string
}

func (r *restart) at() *pipeline.Node                        { return r.node }
func (r *restart) run(ctx context.Context, m *machine) error { return m.restart(ctx, r.how) }

func (l *loader) readRestart(key, n *pipeline.Node) step {
	if n.Text != flushed && n.Text != killed {
		l.fail(n, "write restart: flushed, or restart: killed", "%q is no way to restart", nodeText(n))
		return nil
	}
	return &restart{key, n.Text}
}

// idle is a step in which partitions have had no record for the source's `idle:`.
type idle struct {
	node  *pipeline.Node
	parts []partition
}

func (i *idle) at() *pipeline.Node { return i.node }

func (i *idle) run(ctx context.Context, m *machine) error {
	var what []happened
	for _, p := range i.parts {
		what = append(what, happened{idle: p})
	}
	return m.feed(ctx, what)
}

func (l *loader) readIdle(key, n *pipeline.Node) step {
	if n.Kind != pipeline.Mapping {
		l.fail(n, "write idle: {SOURCE: [PARTITION, …]}", "idle must be a mapping of sources")
		return nil
	}
	l.unique(n, "source")
	out := &idle{node: key}
	for _, f := range n.Fields {
		s := l.source(f.Key.Text)
		if s == nil {
			l.fail(f.Key, diag.Suggest(f.Key.Text, "sources", l.sourceNames()), "idle: the pipeline has no source %q", f.Key.Text)
			continue
		}
		for _, text := range texts(f.Value) {
			p, err := strconv.ParseInt(text, 10, 32)
			if err != nil || p < 0 {
				l.fail(f.Value, "", "%q is no number of a partition", text)
				continue
			}
			out.parts = append(out.parts, partition{s.src.Index, int32(p)})
		}
	}
	return out
}

// outcomes are what becomes of a record in a view.
var outcomes = []string{"applied", "filtered", "duplicate", "late", "dead"}

// counts is a step that compares the counters of views; an outcome that is not named is 0.
type counts struct {
	node  *pipeline.Node
	views []viewCounts
}

type viewCounts struct {
	node *pipeline.Node
	name string
	want [5]int64
}

func (c *counts) at() *pipeline.Node { return c.node }

func (l *loader) readCounts(key, n *pipeline.Node) step {
	if n.Kind != pipeline.Mapping {
		l.fail(key, "write counts: {VIEW: {applied: 1}}", "counts must be a mapping of views")
		return nil
	}
	l.unique(n, "view")
	out := &counts{node: key}
	for _, f := range n.Fields {
		if l.plan.View(f.Key.Text) == nil {
			var names []string
			for _, v := range l.plan.Views {
				names = append(names, v.Name)
			}
			l.fail(f.Key, diag.Suggest(f.Key.Text, "views", names), "counts: the pipeline has no view %q", f.Key.Text)
			continue
		}
		if !l.keys(f.Value, "counts of "+f.Key.Text, outcomes) {
			continue
		}
		v := viewCounts{node: f.Key, name: f.Key.Text}
		for _, o := range f.Value.Fields {
			n, err := strconv.ParseInt(o.Value.Text, 10, 64)
			if err != nil || n < 0 {
				l.fail(o.Value, "", "%q is no number of records", nodeText(o.Value))
			}
			v.want[slices.Index(outcomes, o.Key.Text)] = n
		}
		out.views = append(out.views, v)
	}
	return out
}

func (c *counts) run(ctx context.Context, m *machine) error {
	if slices.ContainsFunc(m.plan.Views, func(v *pipeline.View) bool { return v.Dedupe != nil }) {
		if err := m.store.Flush(ctx); err != nil { // duplicates are counted then
			return err
		}
	}
	stats := m.store.Stats()
	for _, v := range c.views {
		i := slices.IndexFunc(stats.Views, func(s feature.ViewStats) bool { return s.Name == v.name })
		s := stats.Views[i]
		got := [5]int64{s.Applied, s.Filtered, s.Duplicate, s.Late, s.Dead}
		if got != v.want {
			f := m.failure(v.node, "view %q has counted %s, expected %s", v.name, showCounts(got), showCounts(v.want))
			f.Got, f.Want = showCounts(got), showCounts(v.want)
			m.failures = append(m.failures, f)
		}
	}
	return nil
}

func showCounts(n [5]int64) string {
	var parts []string
	for i, name := range outcomes {
		if n[i] != 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", name, n[i]))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// deadStep compares all dead letters since the case began.
type deadStep struct {
	node *pipeline.Node
	rows []deadRow
}

type deadRow struct {
	node               *pipeline.Node
	source             string
	partition          int32
	offset             int64
	view, reason       string
	anyView, anyReason bool
	detail             string
}

func (d *deadStep) at() *pipeline.Node { return d.node }

var deadKeys = []string{"source", "partition", "offset", "view", "reason", "detail"}

func (l *loader) readDead(key, n *pipeline.Node) step {
	rows, ok := l.rows(n, "dead")
	if !ok {
		return nil
	}
	out := &deadStep{node: key}
	for i := range rows {
		if d, ok := l.deadRow(&rows[i]); ok {
			out.rows = append(out.rows, d)
		}
	}
	return out
}

func (l *loader) deadRow(r *row) (deadRow, bool) {
	d := deadRow{node: r.node, anyView: true, anyReason: true}
	if len(l.sources) == 1 {
		d.source = l.sources[0].src.Name
	}
	before := len(l.diags)
	for _, c := range r.cells {
		n, err := strconv.ParseInt(c.value.Text, 10, 64)
		switch c.name {
		case "source":
			if d.source = c.value.Text; l.source(d.source) == nil {
				l.fail(c.value, diag.Suggest(d.source, "sources", l.sourceNames()), "dead: the pipeline has no source %q", d.source)
			}
			continue
		case "partition":
			d.partition = int32(n)
		case "offset":
			d.offset = n
		case "view":
			d.view, d.anyView, err = c.value.Text, false, nil
			if c.value.Kind == pipeline.Nothing {
				d.view = ""
			}
		case "reason":
			d.reason, d.anyReason, err = c.value.Text, false, nil
		case "detail":
			d.detail, err = c.value.Text, nil
		default:
			l.unknownColumn(c, "dead", "columns", deadKeys)
			continue
		}
		if err != nil {
			l.fail(c.value, "", "%s: %q is no number", c.name, nodeText(c.value))
		}
	}
	if r.get("offset") == nil {
		l.fail(r.node, "events count from offset 0 in each partition", "a dead letter needs its offset")
	}
	if d.source == "" {
		l.fail(r.node, "", "a dead letter needs its source")
	}
	return d, len(l.diags) == before
}

func (d *deadRow) is(x *feature.DeadLetter) bool {
	return d.source == x.Source && d.partition == x.Partition && d.offset == x.Offset && (d.anyView || d.view == x.View)
}

func (d *deadStep) run(_ context.Context, m *machine) error {
	left := m.dead.all(m.plan)
	for i := range d.rows {
		want := &d.rows[i]
		j := slices.IndexFunc(left, func(x feature.DeadLetter) bool { return want.is(&x) })
		if j < 0 {
			m.fail(want.node, "there is no dead letter %s/%d@%d", want.source, want.partition, want.offset)
			continue
		}
		x := &left[j]
		if !want.anyReason && x.Reason != want.reason {
			m.fail(want.node, "dead letter %s has reason %q, expected %q: %s", showDead(x), x.Reason, want.reason, x.Detail)
		} else if !strings.Contains(x.Detail, want.detail) {
			m.fail(want.node, "dead letter %s: the detail is %q, expected to hold %q", showDead(x), x.Detail, want.detail)
		}
		left = slices.Delete(left, j, j+1)
	}
	for i := range left {
		f := m.failure(d.node, "dead letter %s with reason %q was not expected: %s", showDead(&left[i]), left[i].Reason, left[i].Detail)
		f.Rows = m.lineOf(&left[i])
		m.failures = append(m.failures, f)
	}
	return nil
}

func showDead(x *feature.DeadLetter) string {
	s := fmt.Sprintf("%s/%d@%d", x.Source, x.Partition, x.Offset)
	if x.View != "" {
		s += " of view " + x.View
	}
	return s
}

func cmpOr(n ...int) int          { return cmp.Or(n...) }
func compareText(a, b string) int { return strings.Compare(a, b) }
