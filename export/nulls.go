package export

import (
	"context"
	"errors"
	"fmt"
)

// countNulls adds to the mistake of a row without a key or an instant how many such rows the spine has: the
// file is read once more. Other errors stay as they are.
func countNulls(ctx context.Context, cfg *Config, err error) error {
	var e *Error
	if !errors.As(err, &e) || !e.null || cfg.Spine == "" {
		return err
	}
	sp, bad := openSpine(cfg.Spine, cfg.SpineName)
	if bad != nil {
		return err
	}
	defer func() { _ = sp.close() }()
	l, bad := newLayout(cfg, sp)
	if bad != nil {
		return err
	}
	w := &worker{cfg: cfg, l: l}
	c := newChunk(l)
	n := 0
	for {
		bad := sp.read(c)
		for r := range c.rows {
			null := w.isNull(c, r, input{col: l.time, want: timeType})
			for _, in := range l.keys {
				null = null || w.isNull(c, r, in)
			}
			if null {
				n++
			}
		}
		if bad != nil || c.rows == 0 || ctx.Err() != nil {
			break
		}
		c.reset()
	}
	if n > 1 {
		e.Message += fmt.Sprintf("; %d rows lack a key or the instant", n)
	}
	return err
}
