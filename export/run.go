package export

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// sink writes answered rows, in one of the formats.
type sink interface {
	write(c *chunk) error
	close() error
}

func (r *Report) add(c *chunk) {
	r.Rows += int64(c.rows)
	if r.stats != nil {
		r.stats.add(c)
	}
	r.countMissing(c)
	for f := range r.Features {
		r.Features[f].Nulls += int64(c.answers[f].nulls())
	}
}

// worker answers rows with a reader of its own.
type worker struct {
	number int
	cfg    *Config
	l      *layout
	reader *feature.Reader
	differ []int64 // by feature
	arena  []byte  // the texts of answers, each behind its length

	answered []sorted // rows whose answers are not dealt out yet
	answers  cells    // these

	keys     []event.Value // of a row
	name     []byte        // of the entity at hand
	instants []event.Time  // of rows that are answered at once
	requests []event.Value // the same
}

func newWorker(number int, cfg *Config, l *layout) *worker {
	w := &worker{number: number, cfg: cfg, l: l, reader: cfg.Cut.NewReader(), differ: make([]int64, len(l.names)), answers: newCells(l.types)}
	w.answers.rows = make([]uint64, answersAtOnce*w.answers.width)
	return w
}

var timeType = event.Type{Kind: event.Timestamp}

// inputs reads instants, keys and request columns: by column where values need no look, else row by row.
func (w *worker) inputs(c *chunk) error {
	if c.ready {
		return nil
	}
	c.instants = slices.Grow(c.instants[:0], c.rows)
	if w.plainInputs(c) {
		return nil
	}
	c.instants, c.keys, c.req = c.instants[:0], c.keys[:0], c.req[:0]
	for r := range c.rows {
		t, err := w.input(c, r, input{w.l.time, w.l.spine[w.l.time].name, timeType})
		if err != nil {
			return err
		}
		c.instants = append(c.instants, t.Time())
		for _, in := range w.l.keys {
			v, err := w.input(c, r, in)
			if err != nil {
				return err
			}
			c.keys = append(c.keys, v)
		}
		for _, in := range w.l.req {
			v, err := w.input(c, r, in)
			if err != nil {
				return err
			}
			c.req = append(c.req, v)
		}
	}
	return nil
}

// plainInputs reads the inputs if all are there and as they are wanted.
func (w *worker) plainInputs(c *chunk) bool {
	if !w.l.plainTime() {
		return false
	}
	instants := &c.vals[w.l.time]
	for r := range c.rows {
		if instants.kinds[r] != event.Timestamp {
			return false
		}
		c.instants = append(c.instants, event.Time(instants.nums[r]))
	}
	return w.plainColumns(c, w.l.keys) && w.plainColumns(c, w.l.req)
}

// plainTime tells whether instants may be taken as the spine has them.
func (l *layout) plainTime() bool { return l.spine[l.time].typ.Kind == event.Timestamp }

// plain tells whether the values of an input may be taken as the spine has them; where instants may not, none is.
func (l *layout) plain(in input) bool {
	kind := in.want.Kind
	return l.plainTime() && kind != event.Double && kind != event.Decimal && l.spine[in.col].typ.Kind == kind
}

// plainColumns tells whether all values of inputs may be taken as the spine has them.
func (w *worker) plainColumns(c *chunk, ins []input) bool {
	for _, in := range ins {
		if !w.l.plain(in) {
			return false
		}
		for r := range c.rows {
			if v := &c.vals[in.col]; v.kinds[r] != in.want.Kind || in.want.Kind == event.String && v.at(r).Str == "" {
				return false
			}
		}
	}
	return true
}

func (w *worker) input(c *chunk, row int, in input) (event.Value, error) {
	v, isNull := c.vals[in.col].at(row), w.isNull(c, row, in)
	err := errors.New("it is null")
	switch {
	case !isNull:
		v, err = convert(v, in.want)
	case in.want.Nullable:
		return event.Value{}, nil
	}
	if err != nil {
		e := mistake("row", "", "spine %s: row %d: column %q: %v", w.cfg.SpineName, c.first+int64(row), in.name, err)
		switch {
		case isNull:
			e.Hint, e.null = "leave the row out, or fill the column", true
		case in.want.Kind == event.Timestamp:
			e.Hint = "write the zone behind it: Z for UTC, or an offset like -05:00"
		}
		return v, e
	}
	return v, nil
}

func (w *worker) isNull(c *chunk, row int, in input) bool {
	v := c.vals[in.col].at(row)
	return v.IsNull() || v.Kind == event.String && v.Str == "" && (in.want.Kind != event.String || w.emptyIsNull())
}

// emptyIsNull tells whether the spine has no other way to write null than nothing.
func (w *worker) emptyIsNull() bool { return isFormat(w.cfg.Spine, "csv") }

// keep keeps the answers of rows of an entity, in the past that is asked for, and counts where the other differs. It
// copies, since the next read takes the memory.
func (w *worker) keep(chunks []*chunk, rows []sorted, run *feature.Run) {
	if len(w.answered)+len(rows) > answersAtOnce {
		w.deal(chunks)
	}
	for k := range rows {
		from := &run.Corrected
		if run.Later[k] {
			w.compare(run, k)
			if w.cfg.AsServed {
				from = &run.Served
			}
		}
		w.answers.set(len(w.answered), from, k, w)
		w.answered = append(w.answered, rows[k])
	}
}

// compare counts the features of which row k of a run differs in the two pasts.
func (w *worker) compare(run *feature.Run, k int) {
	a, b := &run.Corrected, &run.Served
	for f := range a.Values {
		if !sameCell(a.Values[f][k], b.Values[f][k], a.Status[f][k], b.Status[f][k]) {
			w.differ[f]++
		}
	}
}

// own copies s; the copy lives as long as the rows that are answered now.
func (w *worker) own(s string) textRef {
	if s == "" {
		return 0
	}
	ref := textRef(w.number)<<40 | textRef(len(w.arena)+1)
	w.arena = append(binary.AppendUvarint(w.arena, uint64(len(s))), s...)
	return ref
}

// text is what own has copied.
func (w *worker) text(ref textRef) []byte {
	b := w.arena[ref&(1<<40-1)-1:]
	n, size := binary.Uvarint(b)
	return b[size : size+int(n)]
}
