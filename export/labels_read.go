package export

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// Labels are read for some chunks of a spine at once, in the order in which the state keeps their entities, as features are:
// what an entity needs is read once for all of their rows.

// labelled is a chunk whose labels are read.
type labelled struct {
	c      *chunk
	keep   []bool             // by row: it stays
	keys   [][]event.Value    // by group: rows × keys
	vals   [][]event.Value    // by label and row
	status [][]feature.Status // by label and row
	took   int64              // rows of the spine, those left out too
}

// labelRow is a row of a group on its way into order.
type labelRow struct {
	chunk, row int32
	head       uint64 // the first bytes of its entity, for most of the comparisons
	from, to   uint32 // its entity in the names
	at         event.Time
}

// keysOf reads the keys of all rows of a chunk.
func (r *labelReader) keysOf(w *worker, x *labelled) error {
	if x.keys == nil {
		x.keys, x.vals, x.status = make([][]event.Value, len(r.groups)), make([][]event.Value, len(r.labels)), make([][]feature.Status, len(r.labels))
	}
	for i := range r.groups {
		x.keys[i] = x.keys[i][:0]
		for row := range x.c.rows {
			for _, in := range r.groups[i].keys {
				v, err := w.input(x.c, row, in)
				if err != nil {
					return err
				}
				x.keys[i] = append(x.keys[i], v)
			}
		}
	}
	for i := range r.labels {
		x.vals[i] = slices.Grow(x.vals[i][:0], x.c.rows)[:x.c.rows]
		x.status[i] = slices.Grow(x.status[i][:0], x.c.rows)[:x.c.rows]
	}
	return nil
}

// read answers the labels of the rows that stay.
func (r *labelReader) read(ctx context.Context, chunks []*labelled) error {
	for len(r.readers) < r.cfg.Workers {
		reader := r.cfg.Cut.NewReader()
		reader.Corrected = true
		r.readers = append(r.readers, reader)
	}
	for i := range r.groups {
		r.gather(i, chunks)
		parts := r.parts()
		errs := make([]error, len(parts)-1)
		r.cfg.crew().each(len(errs), func(worker, part int) {
			errs[part] = r.readRows(ctx, r.readers[worker], i, chunks, r.rows[parts[part]:parts[part+1]])
		})
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// gather lists the rows for a group in the order of the state, those of an entity by instant.
func (r *labelReader) gather(group int, chunks []*labelled) {
	n := len(r.groups[group].keys)
	r.rows, r.names = r.rows[:0], r.names[:0]
	for i, x := range chunks {
		for row, stays := range x.keep {
			if !stays {
				continue
			}
			from := len(r.names)
			r.names = r.groups[group].sel.AppendEntity(r.names, x.keys[group][row*n:(row+1)*n])
			var head [8]byte
			copy(head[:], r.names[from:])
			r.rows = append(r.rows, labelRow{int32(i), int32(row), binary.BigEndian.Uint64(head[:]), uint32(from), uint32(len(r.names)), x.c.instants[row]})
		}
	}
	slices.SortFunc(r.rows, func(a, b labelRow) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Or(bytes.Compare(r.entity(&a), r.entity(&b)), cmp.Compare(a.at, b.at), cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.row, b.row))
	})
}

func (r *labelReader) entity(x *labelRow) []byte { return r.names[x.from:x.to] }

func (r *labelReader) sameEntity(a, b *labelRow) bool {
	return a.head == b.head && bytes.Equal(r.entity(a), r.entity(b))
}

// parts are where pieces of work begin, and where the last ends: no entity is in two.
func (r *labelReader) parts() []int {
	out := []int{0}
	size := max(len(r.rows)/(8*r.cfg.Workers), 64)
	for at := size; at < len(r.rows); at += size {
		for at < len(r.rows) && r.sameEntity(&r.rows[at-1], &r.rows[at]) {
			at++
		}
		if at < len(r.rows) {
			out = append(out, at)
		}
	}
	return append(out, len(r.rows))
}

func (r *labelReader) readRows(ctx context.Context, reader *feature.Reader, group int, chunks []*labelled, rows []labelRow) error {
	g := &r.groups[group]
	var instants []event.Time
	for len(rows) > 0 {
		to := 1
		for to < len(rows) && r.sameEntity(&rows[0], &rows[to]) {
			to++
		}
		reader.Expect(to, rows[to-1].at.Add(g.to))
		for some := range slices.Chunk(rows[:to], instantsAtOnce) {
			if err := ctx.Err(); err != nil {
				return err
			}
			instants = instants[:0]
			for i := range some {
				instants = append(instants, some[i].at.Add(g.to))
			}
			x, row := chunks[some[0].chunk], int(some[0].row)
			run, err := reader.ReadRun(ctx, g.sel, r.entity(&some[0]), nil, instants)
			if err != nil {
				return fmt.Errorf("read labels of row %d of spine %s: %w", x.c.first+int64(row), r.cfg.SpineName, err)
			}
			for i := range some {
				x, row := chunks[some[i].chunk], some[i].row
				for k, l := range g.labels {
					x.vals[l][row], x.status[l][row] = run.Corrected.Values[k][i].Clone(), run.Corrected.Status[k][i]
				}
			}
		}
		rows = rows[to:]
	}
	return nil
}
