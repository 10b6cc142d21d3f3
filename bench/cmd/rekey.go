package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// rekey runs the view by user on a topic whose message key is the merchant, in turn with the topic whose
// message key is the user, and a view by merchant on the latter. The events are the same.
func rekey(ctx context.Context, c *config, r *report) error {
	byUser, err := c.topic(ctx, c.keys[0])
	if err != nil {
		return err
	}
	o := c.options(c.keys[0])
	o.ByMerchant = true
	byMerchant, err := load(ctx, c, "rekey", o)
	if err != nil {
		return err
	}
	runs := []struct {
		view, key, file string
		on              *topic
		sum             float64
	}{
		{"user", "user", c.pipeline, byUser, 0},
		{"user", "merchant", c.pipeline, byMerchant, 0},
		{"merchant", "user", filepath.Join(filepath.Dir(c.pipeline), "merchants.yaml"), byUser, 0},
	}
	t := r.table(fmt.Sprintf("Re-keying: 12 features, %s users", c.keys[0]), "view by | message key | events | s | events/s | per core | peak MiB | cells equal to the oracle")
	for i := range 6 {
		run := &runs[min(i, 5-i)]
		note("view by %s, message key %s", run.view, run.key)
		x, err := rekeyOnce(ctx, c, run.file, run.on, i == 1)
		if err != nil {
			return err
		}
		run.sum += x.rate()
		t.row(run.view, run.key, x.events, x.seconds, x.rate(), x.perCore(), x.peak>>20, orNothing(x.checked))
	}
	r.atLeast("re-keying: the same view, of the events/s by the message key", 80, " %", 100*runs[1].sum/runs[0].sum)
	r.atLeast("re-keying: a view by merchant, of the events/s of one by user", 80, " %", 100*runs[2].sum/runs[0].sum)
	return nil
}

// rekeyOnce takes a topic in, and compares an export with the oracle: of the events of a user at one
// instant, the partitions decide which is the last, so the last country is not compared.
func rekeyOnce(ctx context.Context, c *config, file string, t *topic, check bool) (_ *ingested, err error) {
	l := c.launch(t)
	l.file = file
	x, p, err := l.takeIn(ctx, c, t.ends)
	if err != nil {
		return nil, err
	}
	defer p.end(&err)
	if !check {
		return x, nil
	}
	few := *c
	few.spine = min(c.spine, 10_000)
	e, err := p.export(ctx, &few, t.keys, "last_country")
	if err == nil {
		x.checked = e.compared
	}
	return x, err
}
