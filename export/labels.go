package export

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sync"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// labelReader answers the labels of an export: each is read by a feature.Reader at the end of its window,
// and so by the cut, whatever of it was known at the row's instant.
type labelReader struct {
	cfg     *Config
	labels  []*pipeline.Label
	marks   []event.Time // by label: the least watermark of its sources
	groups  []labelGroup
	readers []*feature.Reader // by goroutine
	vals    [][]event.Value   // by label and row of the chunk under way
	status  [][]feature.Status
	values  []LabelReport // what the table has of each
}

// LabelReport counts the cells of a label in the table.
type LabelReport struct {
	Name          string `json:"name"`
	Type          string `json:"type"`
	Nulls         int64  `json:"nulls"`
	BeforeHistory int64  `json:"before_history"` // of the nulls: its window ends before the horizon
	Incomplete    int64  `json:"incomplete"`     // records are lost that may belong to it
}

// labelGroup is labels whose windows end together: they are read at once.
type labelGroup struct {
	to     event.Duration
	labels []int
	sel    *feature.Selector
	keys   []input
	rows   []int32       // of the chunk under way, by key and instant
	values []event.Value // of the keys
}

func newLabelReader(cfg *Config) (*labelReader, error) {
	r := &labelReader{cfg: cfg, labels: cfg.Export.Labels}
	for i, l := range r.labels {
		r.marks = append(r.marks, cfg.Cut.Watermark(l.Feature.View))
		r.values = append(r.values, LabelReport{Name: l.Name, Type: l.Type.String()})
		at := slices.IndexFunc(r.groups, func(g labelGroup) bool { return g.to == l.To })
		if at < 0 {
			at = len(r.groups)
			r.groups = append(r.groups, labelGroup{to: l.To})
		}
		r.groups[at].labels = append(r.groups[at].labels, i)
	}
	for i := range r.groups {
		g := &r.groups[i]
		var features []*pipeline.Feature
		for _, l := range g.labels {
			features = append(features, r.labels[l].Feature)
		}
		var err error
		if g.sel, err = cfg.Cut.SelectAhead(features); err != nil {
			return nil, err
		}
	}
	r.vals, r.status = make([][]event.Value, len(r.labels)), make([][]feature.Status, len(r.labels))
	return r, nil
}

func (r *labelReader) bind(cfg *Config, l *layout) (err error) {
	for i := range r.groups {
		if r.groups[i].keys, err = l.inputs(cfg, r.groups[i].sel.Keys, "key column"); err != nil {
			return err
		}
	}
	return nil
}

// ripe tells whether all labels of an instant are.
func (r *labelReader) ripe(t event.Time) bool {
	for i, l := range r.labels {
		if !ripeAt(l, r.marks[i], t) {
			return false
		}
	}
	return true
}

func (r *labelReader) isRipe(l *pipeline.Label, t event.Time) bool {
	return ripeAt(l, r.marks[slices.Index(r.labels, l)], t)
}

func ripeAt(l *pipeline.Label, mark, t event.Time) bool {
	return mark != event.MinTime && mark >= t.Add(l.Ripe)
}

// read answers the labels of the rows of c that stay.
func (r *labelReader) read(ctx context.Context, c *chunk, keep []bool) error {
	for i := range r.labels {
		r.vals[i] = slices.Grow(r.vals[i][:0], c.rows)[:c.rows]
		r.status[i] = slices.Grow(r.status[i][:0], c.rows)[:c.rows]
	}
	w := &worker{cfg: r.cfg}
	for i := range r.groups {
		g := &r.groups[i]
		if err := g.gather(w, c, keep); err != nil {
			return err
		}
		if err := r.readGroup(ctx, g, c); err != nil {
			return err
		}
	}
	return nil
}

// gather lists the rows, by key and instant, so that what one entity needs is read at once.
func (g *labelGroup) gather(w *worker, c *chunk, keep []bool) error {
	n := len(g.keys)
	g.rows, g.values = g.rows[:0], g.values[:0]
	for row := range c.rows {
		for _, in := range g.keys {
			v, err := w.input(c, row, in)
			if err != nil {
				return err
			}
			g.values = append(g.values, v)
		}
		if keep[row] {
			g.rows = append(g.rows, int32(row))
		}
	}
	slices.SortFunc(g.rows, func(a, b int32) int {
		for k := range n {
			if o := event.Compare(g.values[int(a)*n+k], g.values[int(b)*n+k]); o != 0 {
				return o
			}
		}
		return cmp.Or(cmp.Compare(c.instants[a], c.instants[b]), cmp.Compare(a, b))
	})
	return nil
}

// readGroup reads the rows in parallel, each goroutine a run of them.
func (r *labelReader) readGroup(ctx context.Context, g *labelGroup, c *chunk) error {
	for len(r.readers) < r.cfg.Workers {
		r.readers = append(r.readers, r.cfg.Cut.NewReader())
	}
	var wg sync.WaitGroup
	errs := make([]error, r.cfg.Workers)
	size := (len(g.rows) + r.cfg.Workers - 1) / r.cfg.Workers
	for i := range errs {
		rows := g.rows[min(i*size, len(g.rows)):min((i+1)*size, len(g.rows))]
		wg.Go(func() { errs[i] = r.readRows(ctx, r.readers[i], g, c, rows) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *labelReader) readRows(ctx context.Context, reader *feature.Reader, g *labelGroup, c *chunk, rows []int32) error {
	n := len(g.keys)
	var v feature.Vector
	for _, row := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := feature.Instant{AsOf: c.instants[row].Add(g.to)}
		if err := reader.Read(ctx, g.sel, g.values[int(row)*n:(int(row)+1)*n], nil, at, &v); err != nil {
			return fmt.Errorf("read labels of row %d of spine %s: %w", c.first+int64(row), r.cfg.SpineName, err)
		}
		for i, l := range g.labels {
			r.vals[l][row], r.status[l][row] = v.Values[i].Clone(), v.Status[i]
		}
	}
	return nil
}

// neutral tells whether a label of a row lies in its neutral band.
func (r *labelReader) neutral(row int) bool {
	for i, l := range r.labels {
		v := r.vals[i][row]
		if l.Neutral != nil && !v.IsNull() && !below(v, l.Neutral.From) && below(v, l.Neutral.To) {
			return true
		}
	}
	return false
}

// value is the column's: the label, or in which of its buckets it lies.
func (r *labelReader) value(i, row int) event.Value {
	v, edges := r.vals[i][row], r.labels[i].Buckets
	if v.IsNull() || edges == nil {
		return v
	}
	n := int64(0)
	for _, edge := range edges {
		if !below(v, edge) {
			n++
		}
	}
	return event.LongOf(n)
}

// count counts a cell that is in the table.
func (r *labelReader) count(i, row int) {
	if r.status[i][row] == feature.Incomplete {
		r.values[i].Incomplete++
	}
	if r.vals[i][row].IsNull() {
		r.values[i].Nulls++
		if r.status[i][row] == feature.BeforeHistory {
			r.values[i].BeforeHistory++
		}
	}
}

// below tells exactly whether a number is below x, which is finite. NaN is above all.
func below(v event.Value, x float64) bool {
	switch v.Kind {
	case event.Double:
		return v.Double() < x
	case event.Long:
		if c := math.Ceil(x); c != x { // a long is below x if it is below the next whole number
			x = c
		}
		switch {
		case x >= math.MaxInt64: // 2^63 as a double
			return true
		case x < math.MinInt64:
			return false
		}
		return v.Long() < int64(x)
	}
	edge := new(big.Rat)
	edge.SetFloat64(x)
	d, ok := new(big.Rat).SetString(v.String())
	return ok && d.Cmp(edge) < 0
}
