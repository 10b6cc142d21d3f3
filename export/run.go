package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// sink writes answered rows: Parquet or CSV.
type sink interface {
	write(c *chunk) error
	close() error
}

func newSink(w io.Writer, format string, l *layout) (sink, error) {
	if format == "csv" {
		return newCSVSink(w, l)
	}
	return newParquetSink(w, l)
}

// job is a chunk on its way; done is closed when it is answered, or err says why not.
type job struct {
	c    *chunk
	err  error
	done chan struct{}
}

// run reads chunks, answers them in parallel, and writes them in order. The chunks do not depend on
// the number of workers, and the error given is that of the first row that has one.
func run(ctx context.Context, cfg *Config, sp spine, l *layout, out sink, report *Report) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	inOrder := make(chan *job, cfg.Workers+1)
	work := make(chan *job)
	free := make(chan *chunk, cfg.Workers+3)
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer close(inOrder)
		defer close(work)
		readSpine(ctx, sp, l, inOrder, work, free)
	}()
	for range cfg.Workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			w := &worker{cfg: cfg, l: l, reader: cfg.Cut.NewReader()}
			for j := range work {
				j.err = w.answer(ctx, j.c)
				close(j.done)
			}
		}()
	}
	for j := range inOrder {
		<-j.done
		if j.err != nil {
			return j.err
		}
		if err := out.write(j.c); err != nil {
			return fmt.Errorf("write %s: %w", cfg.OutName, err)
		}
		report.add(j.c)
		j.c.reset()
		select {
		case free <- j.c:
		default:
		}
	}
	return ctx.Err()
}

// readSpine sends every chunk to the workers, and in order to the writer. The rows before a mistake
// are sent before it: they may hold an earlier one, and that is the one to tell.
func readSpine(ctx context.Context, sp spine, l *layout, inOrder, work chan<- *job, free <-chan *chunk) {
	for {
		var c *chunk
		select {
		case c = <-free:
		default:
			c = newChunk(l)
		}
		err := sp.read(c)
		rows := c.rows // c is another's once it is sent
		if rows > 0 && !send(ctx, &job{c: c, done: make(chan struct{})}, inOrder, work) {
			return
		}
		if err != nil {
			last := &job{err: err, done: make(chan struct{})}
			close(last.done)
			select {
			case inOrder <- last:
			case <-ctx.Done():
			}
			return
		}
		if rows == 0 {
			return
		}
	}
}

// send hands a job over, or tells that nobody wants it any more.
func send(ctx context.Context, j *job, inOrder, work chan<- *job) bool {
	select {
	case inOrder <- j:
	case <-ctx.Done():
		return false
	}
	select {
	case work <- j:
		return true
	case <-ctx.Done():
		j.err = ctx.Err()
		close(j.done)
		return false
	}
}

func (r *Report) add(c *chunk) {
	r.Rows += int64(c.rows)
	for f := range r.Features {
		for _, v := range c.answers[f] {
			if v.IsNull() {
				r.Features[f].Nulls++
			}
		}
		r.Features[f].Differ += c.differ[f]
		r.Differ += c.differ[f]
	}
}

// worker answers chunks with a reader of its own.
type worker struct {
	cfg    *Config
	l      *layout
	reader *feature.Reader
	order  []int32
	vector feature.Vector
	served feature.Vector
}

func (w *worker) answer(ctx context.Context, c *chunk) error {
	if err := w.inputs(c); err != nil {
		return err
	}
	for f := range c.answers {
		c.answers[f] = slices.Grow(c.answers[f][:0], c.rows)[:c.rows]
		c.status[f] = slices.Grow(c.status[f][:0], c.rows)[:c.rows]
	}
	w.sort(c)
	nk, nr := len(w.l.keys), len(w.l.req)
	for _, r := range w.order {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := int(r)
		err := w.row(ctx, c, row, c.keys[row*nk:(row+1)*nk], c.req[row*nr:(row+1)*nr])
		if err != nil {
			return fmt.Errorf("answer row %d of spine %s: %w", c.first+int64(r), w.cfg.SpineName, err)
		}
	}
	return nil
}

// inputs reads instants, keys and request columns, row by row.
func (w *worker) inputs(c *chunk) error {
	if c.ready {
		return nil
	}
	c.instants = slices.Grow(c.instants[:0], c.rows)
	for r := range c.rows {
		t, err := w.input(c, r, input{w.l.time, w.l.spine[w.l.time].name, event.Type{Kind: event.Timestamp}})
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

func (w *worker) input(c *chunk, row int, in input) (event.Value, error) {
	v := c.vals[in.col][row]
	isNull := v.IsNull() || v.Kind == event.String && v.Str == "" && (in.want.Kind != event.String || w.emptyIsNull())
	err := errors.New("it is null")
	switch {
	case !isNull:
		v, err = convert(v, in.want)
	case in.want.Nullable:
		return event.Value{}, nil
	}
	if err != nil {
		e := mistake("row", "", "spine %s: row %d: column %q: %v", w.cfg.SpineName, c.first+int64(row), in.name, err)
		if isNull {
			e.Hint = "leave the row out, or fill the column"
		}
		return v, e
	}
	return v, nil
}

// emptyIsNull tells whether the spine has no other way to write null than nothing.
func (w *worker) emptyIsNull() bool { return formatOf(w.cfg.Spine) == "csv" }

// sort orders the rows of c by entity, so that what one entity needs is read at once.
func (w *worker) sort(c *chunk) {
	w.order = slices.Grow(w.order[:0], c.rows)
	for r := range c.rows {
		w.order = append(w.order, int32(r))
	}
	nk := len(w.l.keys)
	slices.SortFunc(w.order, func(a, b int32) int {
		for k := range nk {
			if o := event.Compare(c.keys[int(a)*nk+k], c.keys[int(b)*nk+k]); o != 0 {
				return o
			}
		}
		return cmp.Or(cmp.Compare(c.instants[a], c.instants[b]), cmp.Compare(a, b))
	})
}

// row answers one row in the past that is asked for, and counts where the other differs.
func (w *worker) row(ctx context.Context, c *chunk, row int, keys, req []event.Value) error {
	at := feature.Instant{AsOf: c.instants[row]}
	if err := w.reader.Read(ctx, w.cfg.Selector, keys, req, at, &w.vector); err != nil {
		return err
	}
	asOf := &w.vector
	if !asOf.Later { // nothing arrived after the instant: both pasts are one
		w.keep(c, row, asOf)
		return nil
	}
	w.keep(c, row, asOf) // copies, since the next Read takes the strings
	at.AsServed = true
	if err := w.reader.Read(ctx, w.cfg.Selector, keys, req, at, &w.served); err != nil {
		return err
	}
	for f := range w.served.Values {
		if sameCell(c.answers[f][row], w.served.Values[f], c.status[f][row], w.served.Status[f]) {
			continue
		}
		c.differ[f]++
	}
	if w.cfg.AsServed {
		w.keep(c, row, &w.served)
	}
	return nil
}

func (w *worker) keep(c *chunk, row int, v *feature.Vector) {
	for f := range v.Values {
		c.answers[f][row] = c.ownValue(v.Values[f])
		c.status[f][row] = v.Status[f]
	}
}
