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
		x.workers = append(x.workers, newWorker(i, cfg, l))
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
	row := int64(64 + 8*c.cells.width)
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
func (x *runner) bySlot(chunks []*chunk) []slotRows {
	var ends [feature.Slots]int
	total := 0
	for slot := range feature.Slots {
		for _, c := range chunks {
			n := c.slots[slot]
			c.slots[slot] = total // where its next row of the slot goes
			total += n
		}
		ends[slot] = total
	}
	x.sorted = room(x.sorted, total)
	x.cfg.crew().each(len(chunks), func(_, i int) {
		c := chunks[i]
		for r := range c.rows {
			at := &c.slots[c.slot(r)]
			x.sorted[*at] = c.sorted(r)
			*at++
		}
	})
	var out []slotRows
	from := 0
	for slot, to := range ends {
		if from < to {
			out = append(out, slotRows{uint16(slot), x.sorted[from:to]})
		}
		from = to
	}
	return out
}

// room is s, or memory like it, for n elements of any value.
func room[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n) // which, unlike slices.Grow, writes nothing to memory that is new
	}
	return s[:n]
}

// slotRows are the rows of a slot.
type slotRows struct {
	slot uint16
	rows []sorted
}

// entity is the name of row r's entity.
func (c *chunk) entity(r int) []byte {
	from := uint32(0)
	if r > 0 {
		from = c.entityEnds[r-1]
	}
	return c.entities[from:c.entityEnds[r]]
}

func (c *chunk) slot(r int) int { return int(binary.BigEndian.Uint16(c.entity(r))) }

// cells are the answers of a chunk, row by row: closer together than values are, and what is written at once lies
// in one place.
type cells struct {
	kinds []event.Kind // by feature
	texts []int        // by feature: the place of its text in a row, or -1: its values have none
	width int          // words of a row
	rows  []uint64     // of each: the numbers, by feature; a mark of a byte each, status and absent; where the texts are
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
	x := cells{width: len(types) + (len(types)+7)/8, texts: make([]int, len(types))}
	for f, t := range types {
		x.kinds = append(x.kinds, t.Kind)
		if x.texts[f] = -1; inText(t.Kind) {
			x.texts[f] = x.width
			x.width++
		}
	}
	return x
}

// row is that of row r.
func (x *cells) row(r int) []uint64 { return x.rows[r*x.width : (r+1)*x.width] }

// set notes the answers of row r: row k of from.
func (x *cells) set(r int, from *feature.Vectors, k int, w *worker) {
	row := x.row(r)
	marks := row[len(x.kinds):]
	for f, place := range x.texts {
		v := &from.Values[f][k]
		mark := uint64(from.Status[f][k])
		if v.Kind == event.Null {
			mark |= absent
		}
		if f%8 == 0 {
			marks[f/8] = 0
		}
		row[f] = v.Num
		marks[f/8] |= mark << (f % 8 * 8)
		if place >= 0 {
			row[place] = uint64(w.own(v.Str))
		}
	}
}

// mark is that of feature f in row r.
func (x *cells) mark(r, f int) uint8 { return uint8(x.rows[r*x.width+len(x.kinds)+f/8] >> (f % 8 * 8)) }

// column makes of feature f what stands in the table.
func (x *cells) column(f, rows int, to *series, workers []*worker) {
	to.reset()
	to.kinds, to.nums = slices.Grow(to.kinds, rows)[:rows], slices.Grow(to.nums, rows)[:rows]
	kinds := [2]event.Kind{x.kinds[f], event.Null}
	for r := range rows {
		to.kinds[r], to.nums[r] = kinds[x.mark(r, f)/absent], x.rows[r*x.width+f]
	}
	place := x.texts[f]
	if place < 0 {
		return
	}
	to.ends = slices.Grow(to.ends, rows)[:rows]
	for r := range rows {
		if ref := textRef(x.rows[r*x.width+place]); ref != 0 {
			to.text = append(to.text, workers[ref>>40].text(ref)...)
		}
		to.ends[r] = len(to.text)
	}
}

// status is that of a cell.
func (x *cells) status(r, f int) feature.Status {
	return feature.Status(x.mark(r, f) &^ absent)
}

// prepare reads the inputs of c, names the entities of its rows, and makes room for their answers.
func (w *worker) prepare(c *chunk) {
	if c.mistake = w.inputs(c); c.mistake != nil {
		return
	}
	c.cells.rows = room(c.cells.rows, c.rows*c.cells.width)
	c.entityEnds = room(c.entityEnds, c.rows)
	clear(c.slots[:])
	for r := range c.rows {
		w.keys = c.inputs(w.keys[:0], w.l.keys, c.keys, r)
		c.entities = w.cfg.Selector.AppendEntity(c.entities, w.keys)
		if r == 0 { // most are as long as the first
			c.entities = slices.Grow(c.entities, min(len(c.entities)*9/8, 64)*c.rows)
		}
		c.entityEnds[r] = uint32(len(c.entities))
		c.slots[c.slot(r)]++
	}
}

// sorted is a row of a slot on its way into order. It holds what nearly all of them are told apart by: what a row has in
// its chunk lies anywhere in memory.
type sorted struct {
	head, next uint64 // of the entity's name behind the slot
	at         event.Time
	chunk      int32
	row        uint16 // of it
	long       bool   // there is more of the name
}

const (
	headBytes    = 16
	maxChunkRows = 32 << 10 // so that a row's number is short
)

func (c *chunk) sorted(r int) sorted {
	name := c.entity(r)[2:]
	var head [headBytes]byte
	copy(head[:], name)
	return sorted{
		head: binary.BigEndian.Uint64(head[:]), next: binary.BigEndian.Uint64(head[8:]), at: c.instants[r],
		chunk: c.number, row: uint16(r), long: len(name) > headBytes,
	}
}

// appendEntity appends the name of the entity of a row of a slot to dst; zeros may follow it.
func (a *sorted) appendEntity(dst []byte, chunks []*chunk, slot uint16) []byte {
	if a.long {
		return append(dst, chunks[a.chunk].entity(int(a.row))...)
	}
	dst = binary.BigEndian.AppendUint16(dst, slot)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, a.head), a.next)
}

// compare compares the entities of two rows of a slot.
func (a *sorted) compare(b *sorted, chunks []*chunk) int {
	switch {
	case a.head != b.head:
		return cmp.Compare(a.head, b.head)
	case a.next != b.next:
		return cmp.Compare(a.next, b.next)
	case !a.long && !b.long:
		return 0 // none begins with another, so they are not of different lengths
	}
	return bytes.Compare(chunks[a.chunk].entity(int(a.row)), chunks[b.chunk].entity(int(b.row)))
}

// rowError is why a row, counted from 1, has no answer.
type rowError struct {
	row int64
	err error
}

// answer answers the rows of a slot, by entity and instant.
func (w *worker) answer(ctx context.Context, chunks []*chunk, slot slotRows) *rowError {
	rows := slot.rows
	slices.SortFunc(rows, func(a, b sorted) int {
		if x := a.compare(&b, chunks); x != 0 {
			return x
		}
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Or(cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.row, b.row))
	})
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && rows[from].compare(&rows[to], chunks) == 0 {
			to++
		}
		w.name = rows[from].appendEntity(w.name[:0], chunks, slot.slot)
		if err := w.entity(ctx, chunks, rows[from:to]); err != nil {
			return err
		}
		from = to
	}
	w.deal(chunks)
	w.cfg.Meter.answer(len(rows))
	return nil
}

// answersAtOnce is how many rows' answers are held before they are dealt out.
const answersAtOnce = 512

// deal copies answers to the chunks that they are written from. That is anywhere in memory, which a CPU fetches for
// several rows at once if nothing else is done between them.
func (w *worker) deal(chunks []*chunk) {
	for i, s := range w.answered {
		copy(chunks[s.chunk].cells.row(int(s.row)), w.answers.row(i))
	}
	w.answered = w.answered[:0]
}

// instantsAtOnce is of how many rows of an entity the answers are held before they are kept.
const instantsAtOnce = 128

// entity answers the rows of one entity, that of w.name.
func (w *worker) entity(ctx context.Context, chunks []*chunk, rows []sorted) *rowError {
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
		run, err := w.reader.ReadRun(ctx, w.cfg.Selector, w.name, w.requests, w.instants)
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
		_, err := w.reader.ReadRun(ctx, w.cfg.Selector, w.name, w.requests[i*nr:(i+1)*nr], w.instants[i:i+1])
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
