package feature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// censusRecord is the JSON of the last pass that ended.
type censusRecord struct {
	At    event.Time            `json:"at"`
	Views map[string]viewCensus `json:"views"`
}

// viewCensus is what is stored of a view; Limit is what the view's limit was when the pass began.
type viewCensus struct {
	Keys   int64      `json:"keys"`
	Rows   int64      `json:"rows"`
	Blocks int64      `json:"blocks"`
	Bytes  int64      `json:"bytes"`
	Limit  event.Time `json:"limit"`
}

// published are the counts of the last pass, for readers. Immutable.
type published struct {
	at   event.Time
	sums []census // by view id
}

// endPass stores and publishes what a pass has counted.
func (c *committer) endPass(ctx context.Context) error {
	w := &c.sweep
	rec := censusRecord{At: c.store.opt.Now(), Views: map[string]viewCensus{}}
	for _, v := range c.store.views {
		x := w.sums[v.id]
		rec.Views[v.plan.Name] = viewCensus{Keys: x.keys, Rows: x.rows, Blocks: x.blocks, Bytes: x.bytes, Limit: w.pass.limits[v.id]}
	}
	b, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("store the counts of a pass: %w", err)
	}
	if err := c.put([]byte(keyCensus), b); err != nil {
		return err
	}
	w.pass.written += int64(c.cur.batch.Size())
	if err := c.settle(ctx); err != nil {
		return err
	}
	w.cursor, w.last = nil, w.pass
	w.published.Store(&published{rec.At, w.sums})
	return nil
}

// restoreCensus reads what the last pass before the start had counted.
func (c *committer) restoreCensus(snap state.Snapshot) error {
	b, err := snap.Get([]byte(keyCensus), nil)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	var rec censusRecord
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	if err != nil {
		return fmt.Errorf("read the counts of the last sweep: %w", err)
	}
	w := &c.sweep
	sums := make([]census, len(c.store.views))
	for _, v := range c.store.views {
		x := rec.Views[v.plan.Name]
		sums[v.id], w.last.limits[v.id] = census{x.Keys, x.Rows, x.Blocks, x.Bytes}, x.Limit
	}
	w.published.Store(&published{rec.At, sums})
	return nil
}

// stored tells what of each view is stored.
func (s *Store) stored() (list []StoredStats, sweeping time.Duration) {
	w := &s.work.sweep
	p := w.published.Load()
	for _, plan := range s.plan.Views {
		v := s.byName[plan.Name]
		x := StoredStats{View: plan.Name, Features: len(plan.Features), At: event.MinTime, Trimmed: w.trimmed[v.id].Load(), Unjoined: v.unjoined.Load()}
		if p != nil {
			sum := p.sums[v.id]
			x.Keys, x.Rows, x.Blocks, x.Bytes, x.At = sum.keys, sum.rows, sum.blocks, sum.bytes, p.at
		}
		list = append(list, x)
	}
	return list, time.Duration(w.spent.Load())
}
