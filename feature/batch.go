package feature

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// An export asks for the same entities at many instants, and the leaves that the edges of windows cut are
// read for each of them. So a leaf that a cut's reader meets again is summed up in runs of a few rows, as an
// entry sums a leaf up: what lies within a segment is merged, and only the run that an edge cuts is read by
// its rows.

// rowsOfRun is how many rows are summed up together; to merge a run costs about as much as a few rows.
const rowsOfRun = 32

// leafRun is a run of a leaf's rows.
type leafRun struct {
	entry
	b []byte // the rows
}

// runs returns the runs of the leaf b, which r.key names; nil if it is met for the first time, or not kept.
func (r *Reader) runs(v *view, e *entry, b []byte) ([]leafRun, error) {
	if r.cache == nil || e.rows < 2*rowsOfRun {
		return nil, nil
	}
	x := r.cache.get(r.key)
	if x == nil {
		return nil, nil
	}
	if x.runs == nil && x.met {
		runs, size, err := runsOf(v, e.id, b)
		if err != nil {
			return nil, err
		}
		x.runs, x.extra = runs, size
		r.cache.size += size
	}
	x.met = true
	return x.runs, nil
}

// runsOf sums the rows of a leaf up in runs; size is about what they take.
func runsOf(v *view, id uint64, b []byte) (runs []leafRun, size int, err error) {
	sum := agg.NewPartial(&v.plan.Layout, nil)
	row := event.Row{Values: make([]event.Value, len(v.plan.Inputs)+len(v.plan.Derived))}
	for len(b) > 0 {
		run := leafRun{entry: entry{id: id, minT: rowTime(b), maxArrival: event.MinTime}}
		rest := b
		sum.Reset()
		for ; len(rest) > 0 && run.rows < rowsOfRun; run.rows++ {
			if rest, err = v.c.next(rest, &row); err != nil {
				return nil, 0, fmt.Errorf("read block %d: %w", id, err)
			}
			run.maxT = row.Time
			run.maxArrival = max(run.maxArrival, row.Arrival)
			run.offsets = raise(run.offsets, v.c.lanes.of(row.Pos), row.Pos.Offset+1)
			sum.Add(&row)
		}
		run.b = b[:len(b)-len(rest)]
		if run.sum = sum.AppendWithin(nil, maxSum); len(run.sum) > 4*len(run.b) {
			run.sum = nil // its rows are cheaper
		}
		runs = append(runs, run)
		size += 200 + len(run.sum)
		b = rest
	}
	return runs, size, nil
}

// scanRuns counts the rows of a leaf: what lies in one segment by the sum of its run, the rest by its rows.
func (r *Reader) scanRuns(sc *viewScan, pl *plane, runs []leafRun) error {
	for i := range runs {
		run := &runs[i]
		if run.minT >= sc.asOf {
			return nil
		}
		some, within := pl.wants(run.minT, run.maxT)
		switch {
		case !some:
			continue
		case within && sc.summed(pl, &run.entry):
			if err := sc.merge(pl, &run.entry); err != nil {
				return err
			}
			continue
		}
		if err := r.scanLeafRows(sc, pl, run.id, run.b); err != nil {
			return err
		}
	}
	return nil
}
