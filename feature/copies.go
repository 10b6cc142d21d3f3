package feature

import (
	"cmp"
	"maps"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// A view with dedupe keeps every row that it accepts, copies too, and no verdicts: which rows count is told
// when they are read, from the rows of the past that is asked for. So a copy that arrives late, in whatever
// partition, changes what it must, and a past without it is answered as if it did not exist. The archive of
// such a view has no summaries: what a summary holds would be right for no past but one.
//
// The verdict of a row rests on the rows of its id within the horizon before it, theirs on those before
// them: a chain. It ends where the horizon before a row holds none of its id.

// idRow is a row and its id.
type idRow struct {
	t     event.Time
	id    event.Value // null: the row has no copies
	pass  uint64
	b     []byte
	fresh bool // of a flush: not counted yet
	src   uint16
}

// sortTie brings rows into tie order. Those of one time must be decoded to tell.
func sortTie(c *codec, inputs int, rows []idRow) error {
	slices.SortStableFunc(rows, func(a, b idRow) int { return cmp.Compare(a.t, b.t) })
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].t == rows[0].t {
			n++
		}
		if n > 1 {
			if err := sortInstant(c, inputs, rows[:n]); err != nil {
				return err
			}
		}
		rows = rows[n:]
	}
	return nil
}

// sortInstant sorts rows of one time.
func sortInstant(c *codec, inputs int, rows []idRow) error {
	type tie struct {
		idRow
		row event.Row
	}
	ties := make([]tie, len(rows))
	values := make([]event.Value, inputs)
	for i := range ties {
		ties[i].idRow, ties[i].row.Values = rows[i], values
		if _, err := c.next(rows[i].b, &ties[i].row); err != nil {
			return err
		}
	}
	slices.SortFunc(ties, func(a, b tie) int { return a.row.Compare(&b.row) })
	for i := range ties {
		rows[i] = ties[i].idRow
	}
	return nil
}

// keptRows tells of rows in tie order which count.
func keptRows(d *pipeline.Dedupe, rows []idRow, verdict func(r *idRow, kept bool)) {
	newest := make(map[event.Value]event.Time, len(rows)) // of the rows kept
	for i := range rows {
		r := &rows[i]
		if !r.id.IsNull() {
			if t, ok := newest[r.id]; ok && r.t.Sub(t) <= d.Within {
				verdict(r, false)
				continue
			}
			newest[r.id] = r.t
		}
		verdict(r, true)
	}
}

// chain is a run of rows of one id, each within the horizon of the one before it.
type chain struct{ head, last event.Time }

// openChains lists the heads of the chains that begin before from and have a row at or after it: rows before
// them may decide which of theirs count. rows are sorted by time.
func openChains(d *pipeline.Dedupe, rows []idRow, from event.Time) map[event.Value]event.Time {
	chains := make(map[event.Value]chain, len(rows))
	var open map[event.Value]event.Time
	for i := range rows {
		r := &rows[i]
		if r.id.IsNull() {
			continue
		}
		c, ok := chains[r.id]
		if !ok || r.t.Sub(c.last) > d.Within {
			c.head = r.t
		}
		c.last = r.t
		chains[r.id] = c
		if r.t >= from && c.head < from {
			if open == nil {
				open = map[event.Value]event.Time{}
			}
			if _, ok := open[r.id]; !ok {
				open[r.id] = c.head
			}
		}
	}
	return open
}

// follow puts the heads of open chains back over rows that lie before them, and forgets the chains that are
// whole now that all rows from lo on are known. rows are sorted by time.
func follow(d *pipeline.Dedupe, open map[event.Value]event.Time, rows []idRow, lo event.Time) {
	for i := len(rows) - 1; i >= 0; i-- {
		r := &rows[i]
		if head, ok := open[r.id]; ok {
			if head.Sub(r.t) <= d.Within {
				open[r.id] = r.t
			} else {
				delete(open, r.id)
			}
		}
	}
	for id, head := range open {
		if lo == event.MinTime || head.Add(-d.Within) >= lo {
			delete(open, id)
		}
	}
}

// earliest is the least head.
func earliest(open map[event.Value]event.Time) event.Time {
	least := event.MaxTime
	for _, t := range open {
		least = min(least, t)
	}
	return least
}

// copyJudge tells of an entity's rows, in tie order from the first that is stored, which count. It remembers the ids
// of one horizon.
type copyJudge struct {
	by     *pipeline.Dedupe // nil: all do
	newest map[event.Value]event.Time
	most   int // ids that it may remember before it forgets old ones
}

func (j *copyJudge) begin(by *pipeline.Dedupe) {
	j.by, j.most = by, 1024
	clear(j.newest)
	if by != nil && j.newest == nil {
		j.newest = map[event.Value]event.Time{}
	}
}

func (j *copyJudge) keeps(r *event.Row) bool {
	_, kept := j.judge(r)
	return kept
}

// judge tells when the row happened that counts for r: itself if it is kept.
func (j *copyJudge) judge(r *event.Row) (of event.Time, kept bool) {
	if j.by == nil || r.Values[j.by.Input].IsNull() {
		return r.Time, true
	}
	id := r.Values[j.by.Input]
	if t, ok := j.newest[id]; ok && r.Time.Sub(t) <= j.by.Within {
		return t, false
	}
	if len(j.newest) >= j.most {
		j.forget(r.Time)
		j.most = 2*len(j.newest) + 1024
	}
	j.newest[id.Clone()] = r.Time
	return r.Time, true
}

// forget forgets the ids of which no row from an instant on is a copy.
func (j *copyJudge) forget(now event.Time) {
	maps.DeleteFunc(j.newest, func(_ event.Value, t event.Time) bool { return now.Sub(t) > j.by.Within })
}
