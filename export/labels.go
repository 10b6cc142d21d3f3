package export

import (
	"math"
	"math/big"
	"slices"

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
	rows    []labelRow        // of the group that is read
	names   []byte            // of their entities
	vals    [][]event.Value   // by label and row of the chunk that is judged
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
