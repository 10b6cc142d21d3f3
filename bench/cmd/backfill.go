package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/penstock-ml/penstock/bench/workload"
)

// backfill takes the events in from files, and compares with what they take from Kafka.
func backfill(ctx context.Context, c *config, r *report) error {
	t := r.table("Backfill from files, stored at the end", "keys | from | events | s | events/s | times live | per core | peak MiB | cells equal to the oracle")
	for _, k := range c.keys {
		on, err := c.topic(ctx, k)
		if err != nil {
			return err
		}
		live, err := penstockOnce(ctx, c, on)
		if err != nil {
			return err
		}
		t.row(k, "Kafka (live)", live.events, live.seconds, live.rate(), 1.0, live.perCore(), live.peak>>20, "")
		dir := filepath.Join(c.work, string(k)+"-files")
		note("%s: writing files", k)
		rows, err := workload.WriteFiles(dir, c.partitions, c.options(k))
		if err != nil {
			return err
		}
		ends := map[int32]int64{}
		for i, n := range rows {
			ends[int32(i)] = n
		}
		for _, format := range []string{"avro", "parquet"} {
			note("%s: from %s files", k, format)
			x, err := backfillOnce(ctx, c, k, filepath.Join(dir, "*."+format), ends)
			if err != nil {
				return fmt.Errorf("%s: %w", format, err)
			}
			t.row(k, format, x.events, x.seconds, x.rate(), x.rate()/live.rate(), x.perCore(), x.peak>>20, orNothing(x.checked))
			r.atLeast(fmt.Sprintf("backfill from %s files, %s keys: times live", format, k), 2, "", x.rate()/live.rate())
		}
	}
	t.note("%d files of each format, snappy.", c.partitions)
	return nil
}

func backfillOnce(ctx context.Context, c *config, k workload.Keys, glob string, ends map[int32]int64) (_ *ingested, err error) {
	file := filepath.Join(filepath.Dir(c.pipeline), "backfill.yaml")
	l := launch{file: file, state: filepath.Join(c.work, "backfill-state"), files: glob}
	x, p, err := l.takeIn(ctx, c, ends)
	if err != nil {
		return nil, err
	}
	defer p.end(&err)
	few := *c
	few.spine = min(c.spine, 10_000)
	few.pipeline = file
	e, err := p.export(ctx, &few, k, "")
	if err != nil {
		return nil, err
	}
	x.checked = e.compared
	return x, nil
}
