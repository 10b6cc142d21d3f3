package export

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// An export reads as many rows of its spine as its memory holds, answers them in the order in which the state
// keeps their entities, and writes them in the order of the spine while it reads the next. So what an entity needs
// is read once for all of its rows, and the memory of an export grows neither with its rows nor with an entity's.

// DefaultMemory is what an export takes for rows that wait and for what its readers keep.
const DefaultMemory = 384 << 20

// memory is what the export may take.
func (cfg *Config) memory() int64 {
	if cfg.Memory > 0 {
		return cfg.Memory
	}
	return DefaultMemory
}

// runner carries one export out.
type runner struct {
	cfg     *Config
	sp      spine
	l       *layout
	out     sink
	report  *Report
	workers []*worker
	spelled chan *spelled // memory for chunks that are being written
	sorted  []sorted      // memory for rows on their way into order

	budget   int64 // bytes of chunks
	held     atomic.Int64
	inTurn   bool  // one thing after the other
	spread   bool  // some answers are as long as they like
	last     int64 // bytes of the chunk that was read last
	rows     int64 // answered so far
	longest  int64 // bytes that their answers took beside the cells
	finished error // of the spine, behind the rows that were read; errEnd at its end
}

var errEnd = errors.New("the spine ends")

// rowsOfFirst is how many rows are answered first, to see how long their texts are.
const rowsOfFirst = 256

// run answers all rows of a spine. The error given is that of the first row that has one.
func run(ctx context.Context, cfg *Config, sp spine, l *layout, out sink, report *Report) error {
	memory := cfg.memory()
	x := &runner{cfg: cfg, sp: sp, l: l, out: out, report: report, budget: memory / 4 * 3}
	if cfg.Export != nil && len(cfg.Export.Labels) > 0 {
		x.budget = memory / 2 // rows wait for their labels, too
	}
	for i := range cfg.Workers {
		x.workers = append(x.workers, &worker{number: i, cfg: cfg, l: l, reader: cfg.Cut.NewReader(), differ: make([]int64, len(l.names))})
	}
	x.spelled = make(chan *spelled, 2)
	for range min(cap(x.spelled), cfg.Workers) { // with two one chunk is counted while another is written
		x.spelled <- &spelled{make([]series, len(l.names)), make([][]feature.Status, len(l.names))}
	}
	x.inTurn = cfg.Workers == 1 || cfg.crew().behind
	x.spread = slices.ContainsFunc(l.types, func(t event.Type) bool { return inText(t.Kind) })
	var answered []*chunk
	for {
		next, err := x.turn(ctx, answered)
		if err != nil {
			return err
		}
		if len(next) == 0 {
			break
		}
		if err := x.answer(ctx, next); err != nil {
			return err
		}
		answered = next
	}
	for _, w := range x.workers {
		for f, n := range w.differ {
			report.Features[f].Differ += n
			report.Differ += n
		}
	}
	if x.finished != errEnd {
		return x.finished
	}
	return ctx.Err()
}

// turn writes chunks and meanwhile reads the next; their memory is used again. One worker, and those behind all
// else, do one after the other: no more threads run than there are workers.
func (x *runner) turn(ctx context.Context, answered []*chunk) ([]*chunk, error) {
	free := make(chan *chunk, len(answered))
	if x.inTurn {
		for _, c := range answered {
			x.spell(c, <-x.spelled)
			if err := x.put(ctx, c, free); err != nil {
				return nil, err
			}
		}
		close(free)
		return x.read(ctx, free), ctx.Err()
	}
	wrote := make(chan error, 1)
	go func() {
		defer close(free)
		wrote <- x.write(ctx, answered, free)
	}()
	next := x.read(ctx, free)
	if err := <-wrote; err != nil {
		return nil, err
	}
	return next, ctx.Err()
}

// read reads chunks until the budget is used up; those that are written meanwhile make room. Their inputs are looked
// at while the next is read.
func (x *runner) read(ctx context.Context, free <-chan *chunk) (chunks []*chunk) {
	workers := make(chan *worker, len(x.workers))
	for _, w := range x.workers {
		workers <- w
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	var empty []*chunk // those that were written
	for x.finished == nil && ctx.Err() == nil {
		if held := x.held.Load(); held > 0 && held+x.last > x.budget || len(chunks) > 0 && x.spread && x.rows == 0 {
			c, ok := <-free
			if !ok {
				return chunks // nothing is written any more: these are as many as there may be
			}
			empty = append(empty, c)
			continue
		}
		var c *chunk
		select {
		case c = <-free:
		default:
		}
		if n := len(empty); c == nil && n > 0 {
			c, empty = empty[n-1], empty[:n-1]
		}
		if c == nil {
			c = newChunk(x.l)
		}
		if c.most = chunkRows(x.l); x.spread && x.rows == 0 {
			c.most = min(c.most, rowsOfFirst)
		}
		// The rows before a mistake are answered before it is told: they may hold an earlier one.
		if err := x.sp.read(c); err != nil {
			x.finished = err
		} else if c.rows == 0 {
			x.finished = errEnd
		}
		x.cfg.Meter.read(x.sp, c.rows, x.finished != nil)
		if c.rows > 0 {
			c.size = x.sizeOf(c)
			x.last = c.size
			x.held.Add(c.size)
			chunks = append(chunks, c)
			if x.inTurn {
				x.workers[0].prepare(c)
				continue
			}
			wg.Go(func() {
				w := <-workers
				w.prepare(c)
				workers <- w
			})
		}
	}
	return chunks
}

// sizeOf is about how many bytes a chunk takes once it is answered.
func (x *runner) sizeOf(c *chunk) int64 {
	row := int64(72 + 9*len(x.l.names))
	for _, t := range x.l.types {
		if inText(t.Kind) {
			row += 8
		}
	}
	for _, in := range slices.Concat(x.l.keys, x.l.req) {
		if !x.l.plain(in) { // it is held beside the spine's
			row += 32
		}
	}
	size := int64(c.owned)
	for i := range c.vals {
		size += c.vals[i].size()
	}
	for i := range c.raw {
		size += 24*int64(len(c.raw[i].vals)) + 4*int64(c.rows)
	}
	if x.rows > 0 {
		row += x.longest / x.rows
	}
	return size + row*int64(c.rows)
}

// spelled are the answers of a chunk, by feature.
type spelled struct {
	answers []series
	status  [][]feature.Status
}

// write writes chunks that are answered and hands them out for their next rows: one is counted while another is
// written.
func (x *runner) write(ctx context.Context, chunks []*chunk, free chan<- *chunk) (err error) {
	ready, stop := make(chan *chunk), make(chan struct{})
	go func() {
		defer close(ready)
		for _, c := range chunks {
			select {
			case to := <-x.spelled:
				x.spell(c, to)
			case <-stop:
				return
			}
			select {
			case ready <- c:
			case <-stop:
				return
			}
		}
	}()
	defer func() {
		close(stop)
		for range ready { // it may still be counting
		}
	}()
	for c := range ready {
		if err := x.put(ctx, c, free); err != nil {
			return err
		}
	}
	return nil
}

// put writes a chunk that is spelled.
func (x *runner) put(ctx context.Context, c *chunk, free chan<- *chunk) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := x.out.write(c); err != nil {
		return fmt.Errorf("write %s: %w", x.cfg.OutName, err)
	}
	x.spelled <- &spelled{c.answers, c.status}
	c.answers, c.status = nil, nil
	x.held.Add(-c.size)
	c.reset()
	free <- c
	return nil
}

// spell makes the values of a chunk that is written next, and counts it.
func (x *runner) spell(c *chunk, to *spelled) {
	c.answers, c.status = to.answers, to.status
	x.cfg.crew().each(len(c.answers), func(_, f int) {
		c.cells.column(f, c.rows, &c.answers[f], x.workers)
		c.status[f] = c.status[f][:0]
		if x.l.status { // else nobody reads them
			for r := range c.rows {
				c.status[f] = append(c.status[f], c.cells.status(r, f))
			}
		}
	})
	x.report.add(c)
}

// answer answers all rows of chunks, by entity.
func (x *runner) answer(ctx context.Context, chunks []*chunk) error {
	for i, c := range chunks {
		c.number = int32(i)
	}
	for _, w := range x.workers { // the chunks before are written
		w.arena = w.arena[:0]
	}
	for _, c := range chunks {
		if c.mistake != nil {
			return c.mistake
		}
	}
	var failed atomic.Bool
	slots := x.bySlot(chunks)
	var mu sync.Mutex
	var first *rowError
	x.cfg.crew().each(len(slots), func(worker, i int) {
		if ctx.Err() != nil || failed.Load() {
			return
		}
		if err := x.workers[worker].answer(ctx, chunks, slots[i]); err != nil {
			failed.Store(true)
			mu.Lock()
			defer mu.Unlock()
			if first == nil || err.row < first.row {
				first = err
			}
		}
	})
	if first != nil {
		return fmt.Errorf("answer row %d of spine %s: %w", first.row, x.cfg.SpineName, first.err)
	}
	for _, c := range chunks {
		x.rows += int64(c.rows)
	}
	for _, w := range x.workers {
		x.longest += int64(len(w.arena))
	}
	return ctx.Err()
}

// bySlot lists the rows of each slot that has some; the state keeps what belongs to a slot together.
func (x *runner) bySlot(chunks []*chunk) [][]sorted {
	var ends [feature.Slots + 1]int
	total := 0
	for _, c := range chunks {
		total += c.rows
		for r := range c.rows {
			ends[c.slot(r)+1]++
		}
	}
	for i := range feature.Slots {
		ends[i+1] += ends[i]
	}
	x.sorted = slices.Grow(x.sorted[:0], total)[:total]
	at := ends
	for _, c := range chunks {
		for r := range c.rows {
			s := c.slot(r)
			x.sorted[at[s]] = c.sorted(r)
			at[s]++
		}
	}
	var out [][]sorted
	for i := range feature.Slots {
		if ends[i] < ends[i+1] {
			out = append(out, x.sorted[ends[i]:ends[i+1]])
		}
	}
	return out
}

// order is by what row r is to be read.
func (c *chunk) order(r int) []byte {
	from := uint32(0)
	if r > 0 {
		from = c.orderEnds[r-1]
	}
	return c.orders[from:c.orderEnds[r]]
}

func (c *chunk) slot(r int) int { return int(binary.BigEndian.Uint16(c.order(r))) }

// cells are the answers of a chunk, row by row: closer together than values are, and what is written at once lies
// in one place.
type cells struct {
	width int          // features
	kinds []event.Kind // by feature
	nums  []uint64
	marks []uint8 // status, and absent
	texts []int   // by feature: its place in refs, or -1; the values of others have no text
	held  int     // how many have one
	refs  []textRef
}

// absent marks a cell that is null.
const absent = 1 << 7

// textRef is where a text stands: of worker ref>>40, behind its length, from byte ref&(1<<40-1), counted from 1. No text: 0.
type textRef uint64

// inText tells whether values of a kind hold text.
func inText(k event.Kind) bool {
	switch k {
	case event.String, event.Bytes, event.Decimal, event.List, event.Map:
		return true
	}
	return false
}

func newCells(types []event.Type) cells {
	x := cells{width: len(types), texts: make([]int, len(types))}
	for f, t := range types {
		x.kinds = append(x.kinds, t.Kind)
		if x.texts[f] = -1; inText(t.Kind) {
			x.texts[f] = x.held
			x.held++
		}
	}
	return x
}

// set notes the answers of row r: row k of from.
func (x *cells) set(r int, from *feature.Vectors, k int, w *worker) {
	nums, marks := x.nums[r*x.width:(r+1)*x.width], x.marks[r*x.width:(r+1)*x.width]
	for f := range nums {
		v := &from.Values[f][k]
		mark := uint8(from.Status[f][k])
		if v.Kind == event.Null {
			mark |= absent
		}
		nums[f], marks[f] = v.Num, mark
		if place := x.texts[f]; place >= 0 {
			x.refs[r*x.held+place] = w.own(v.Str)
		}
	}
}

// column makes of feature f what stands in the table.
func (x *cells) column(f, rows int, to *series, workers []*worker) {
	to.reset()
	to.kinds, to.nums = slices.Grow(to.kinds, rows)[:rows], slices.Grow(to.nums, rows)[:rows]
	kinds := [2]event.Kind{x.kinds[f], event.Null}
	for r, at := 0, f; r < rows; r, at = r+1, at+x.width {
		to.kinds[r], to.nums[r] = kinds[x.marks[at]/absent], x.nums[at]
	}
	place := x.texts[f]
	if place < 0 {
		return
	}
	to.ends = slices.Grow(to.ends, rows)[:rows]
	for r := range rows {
		if ref := x.refs[r*x.held+place]; ref != 0 {
			to.text = append(to.text, workers[ref>>40].text(ref)...)
		}
		to.ends[r] = len(to.text)
	}
}

// status is that of a cell.
func (x *cells) status(r, f int) feature.Status {
	return feature.Status(x.marks[r*x.width+f] &^ absent)
}

func (x *cells) grow(rows int) {
	n := rows * x.width
	x.nums, x.marks = slices.Grow(x.nums[:0], n)[:n], slices.Grow(x.marks[:0], n)[:n]
	x.refs = slices.Grow(x.refs[:0], rows*x.held)[:rows*x.held]
}

// prepare reads the inputs of c, tells by what its rows are to be read, and makes room for their answers.
func (w *worker) prepare(c *chunk) {
	if c.mistake = w.inputs(c); c.mistake != nil {
		return
	}
	c.cells.grow(c.rows)
	for r := range c.rows {
		w.keys = c.inputs(w.keys[:0], w.l.keys, c.keys, r)
		c.orders = w.cfg.Selector.AppendOrder(c.orders, w.keys)
		c.orderEnds = append(c.orderEnds, uint32(len(c.orders)))
	}
}

// sorted is a row of a slot on its way into order.
type sorted struct {
	chunk, row int32
	head, next uint64 // of the order behind the slot, for most of the comparisons
	long       bool   // there is more of it
	at         event.Time
}

const headBytes = 16

func (c *chunk) sorted(r int) sorted {
	order := c.order(r)[2:]
	var head [headBytes]byte
	copy(head[:], order)
	return sorted{
		chunk: c.number, row: int32(r), head: binary.BigEndian.Uint64(head[:]), next: binary.BigEndian.Uint64(head[8:]),
		long: len(order) > headBytes, at: c.instants[r],
	}
}

// entity compares what two rows of a slot are read by.
func (a *sorted) entity(b *sorted, chunks []*chunk) int {
	switch {
	case a.head != b.head:
		return cmp.Compare(a.head, b.head)
	case a.next != b.next:
		return cmp.Compare(a.next, b.next)
	case !a.long && !b.long:
		return 0 // none begins with another, so they are not of different lengths
	}
	return bytes.Compare(chunks[a.chunk].order(int(a.row)), chunks[b.chunk].order(int(b.row)))
}

// rowError is why a row, counted from 1, has no answer.
type rowError struct {
	row int64
	err error
}

// answer answers the rows of a slot, by entity and instant.
func (w *worker) answer(ctx context.Context, chunks []*chunk, rows []sorted) *rowError {
	slices.SortFunc(rows, func(a, b sorted) int {
		if x := a.entity(&b, chunks); x != 0 {
			return x
		}
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Or(cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.row, b.row))
	})
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && rows[from].entity(&rows[to], chunks) == 0 {
			to++
		}
		if err := w.entity(ctx, chunks, rows[from:to]); err != nil {
			return err
		}
		from = to
	}
	w.cfg.Meter.answer(len(rows))
	return nil
}

// instantsAtOnce is of how many rows of an entity the answers are held before they are kept.
const instantsAtOnce = 128

// entity answers the rows of one entity.
func (w *worker) entity(ctx context.Context, chunks []*chunk, rows []sorted) *rowError {
	s := &rows[0]
	w.keys = chunks[s.chunk].inputs(w.keys[:0], w.l.keys, chunks[s.chunk].keys, int(s.row))
	w.reader.Expect(len(rows), rows[len(rows)-1].at)
	for len(rows) > 0 {
		some := rows[:min(len(rows), instantsAtOnce)]
		rows = rows[len(some):]
		w.instants, w.requests = w.instants[:0], w.requests[:0]
		for i := range some {
			w.instants = append(w.instants, some[i].at)
			c := chunks[some[i].chunk]
			w.requests = c.inputs(w.requests, w.l.req, c.req, int(some[i].row))
		}
		if err := ctx.Err(); err != nil {
			return &rowError{chunks[some[0].chunk].first + int64(some[0].row), err}
		}
		run, err := w.reader.ReadRun(ctx, w.cfg.Selector, w.keys, w.requests, w.instants)
		if err != nil {
			return w.blame(ctx, chunks, some, err)
		}
		w.keep(chunks, some, run)
	}
	return nil
}

// blame finds the first row of the spine, of some of an entity, that cannot be answered.
func (w *worker) blame(ctx context.Context, chunks []*chunk, rows []sorted, err error) *rowError {
	out := &rowError{math.MaxInt64, err}
	nr := len(w.l.req)
	for i := range rows {
		w.reader.Expect(1, rows[i].at)
		_, err := w.reader.ReadRun(ctx, w.cfg.Selector, w.keys, w.requests[i*nr:(i+1)*nr], w.instants[i:i+1])
		if row := chunks[rows[i].chunk].first + int64(rows[i].row); err != nil && row < out.row {
			out = &rowError{row, err}
		}
	}
	if out.row == math.MaxInt64 { // it was of the moment
		out.row = chunks[rows[0].chunk].first + int64(rows[0].row)
	}
	return out
}

// inputs appends the keys, or the request columns, of a row; kept holds those that are not as the spine has them.
func (c *chunk) inputs(dst []event.Value, ins []input, kept []event.Value, row int) []event.Value {
	if len(kept) > 0 {
		return append(dst, kept[row*len(ins):(row+1)*len(ins)]...)
	}
	for _, in := range ins {
		dst = append(dst, c.vals[in.col].at(row))
	}
	return dst
}
