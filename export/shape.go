package export

import (
	"context"
	"os"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// shaper is the spine of an export that the pipeline declares: the rows of another spine, without those that
// are left out, and with the columns that labels, rebalancing and a split add behind its own.
type shaper struct {
	spine
	ctx     context.Context
	cfg     *Config
	x       *pipeline.Export
	own     int // columns of the inner spine
	cols    []spineColumn
	weight  int // column of the weight; -1
	split   int // column of the split; -1
	seen    int64
	left    LeftOut
	labels  *labelReader
	l       *layout
	w       *worker // reads the inputs of rows
	sample  *chooser
	balance *chooser
	parts   *chooser // of a split by hash
	keep    []bool   // of the chunk under way
	weights []float64
	ahead   []*labelled // chunks to be given
	free    []*labelled
	budget  int64   // bytes of chunks that are fetched at once
	failed  error   // behind the chunks that are fetched; errEnd at the end
	given   int64   // rows of the spine in chunks that were given, and of those left out
	rows    []int64 // by part of the split: those in the table
}

// LeftOut counts rows of a spine that are not in the table. A row counts at the first of these that leaves
// it out, in this order.
type LeftOut struct {
	Gap        int64 `json:"gap"`        // between the parts of a split by time, or behind the last
	Sampled    int64 `json:"sampled"`    // by `sample`
	Unripe     int64 `json:"unripe"`     // with a label that is not ripe
	Neutral    int64 `json:"neutral"`    // with a label in its neutral band
	Rebalanced int64 `json:"rebalanced"` // by `rebalance`
}

// Sum is all of them.
func (n LeftOut) Sum() int64 { return n.Gap + n.Sampled + n.Unripe + n.Neutral + n.Rebalanced }

func shape(ctx context.Context, cfg *Config, inner spine) (spine, *shaper, error) {
	s := &shaper{spine: inner, ctx: ctx, cfg: cfg, x: cfg.Export, weight: -1, split: -1}
	s.cols = slices.Clone(inner.columns())
	s.own = len(s.cols)
	var err error
	if s.labels, err = newLabelReader(cfg); err != nil {
		_ = inner.close()
		return nil, nil, err
	}
	if len(s.x.Labels) > 0 {
		s.budget = cfg.memory() / 4
	}
	for _, l := range s.x.Labels {
		t := l.Type
		t.Nullable = true // before the horizon there is none
		s.cols = append(s.cols, spineColumn{name: l.Name, typ: t, role: "label"})
		if s.x.KeepUnripe {
			s.cols = append(s.cols, spineColumn{name: l.Name + pipeline.RipeSuffix, typ: event.Type{Kind: event.Bool}, role: "ripeness of a label"})
		}
	}
	if s.x.Rebalance != nil {
		s.weight = len(s.cols)
		s.cols = append(s.cols, spineColumn{name: pipeline.WeightColumn, typ: event.Type{Kind: event.Double}, role: "weight"})
	}
	if s.x.Split != nil && !s.x.Split.Files {
		s.split = len(s.cols)
		s.cols = append(s.cols, spineColumn{name: pipeline.SplitColumn, typ: event.Type{Kind: event.String}, role: "split"})
	}
	return s, s, nil
}

func (s *shaper) columns() []spineColumn { return s.cols }

// need passes on which columns are read as values: also what is hashed, and the keys of labels.
func (s *shaper) need(cols []bool) {
	for _, name := range s.hashed() {
		for i := range s.own {
			cols[i] = cols[i] || s.cols[i].name == name
		}
	}
	for _, k := range s.x.Keys {
		for i := range s.own {
			cols[i] = cols[i] || s.cols[i].name == k.Name
		}
	}
	s.spine.need(cols[:s.own])
}

// hashed lists the columns that are named to be hashed.
func (s *shaper) hashed() (names []string) {
	if x := s.x.Sample; x != nil {
		names = append(names, x.By...)
	}
	if x := s.x.Rebalance; x != nil {
		names = append(names, x.By...)
	}
	if x := s.x.Split; x != nil {
		names = append(names, x.By...)
	}
	return names
}

// bind finds the columns that are used, once the layout is known.
func (s *shaper) bind(l *layout) error {
	s.l, s.w = l, &worker{cfg: s.cfg, l: l}
	if err := s.labels.bind(s.cfg, l); err != nil {
		return err
	}
	var err error
	if x := s.x.Sample; x != nil {
		if s.sample, err = s.chooser(x.By, x.Salt, false); err != nil {
			return err
		}
	}
	if x := s.x.Rebalance; x != nil {
		if s.balance, err = s.chooser(x.By, x.Salt, true); err != nil {
			return err
		}
	}
	if s.x.Split != nil {
		s.rows = make([]int64, len(s.x.Split.Parts))
	}
	if x := s.x.Split; x != nil && !x.ByTime {
		s.parts, err = s.chooser(x.By, x.Salt, false)
	}
	return err
}

// read fills c with rows that stay. Chunks are fetched some at a time, so that their labels are read together.
func (s *shaper) read(c *chunk) error {
	for len(s.ahead) == 0 {
		if s.failed != nil {
			if s.failed == errEnd {
				return nil
			}
			return s.failed
		}
		if err := s.fetch(); err != nil {
			s.failed = err
		}
	}
	x := s.ahead[0]
	s.ahead = s.ahead[1:]
	*c, *x.c = *x.c, *c
	s.free = append(s.free, x)
	s.given += x.took
	return nil
}

// fetch reads chunks as far as the memory for them goes, and leaves rows out of them and adds columns. What is wrong with
// a row is told behind the chunks before it.
func (s *shaper) fetch() error {
	var batch []*labelled
	for size := int64(0); s.failed == nil && (len(batch) == 0 || size < s.budget); {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		x := &labelled{}
		if n := len(s.free); n > 0 {
			x, s.free = s.free[n-1], s.free[:n-1]
			x.c.reset()
		} else {
			x.c = newChunk(s.l)
		}
		x.c.most = chunkRows(s.l)
		s.failed = s.spine.read(x.c)
		if x.c.rows == 0 {
			if s.failed == nil {
				s.failed = errEnd
			}
			break
		}
		if err := s.begin(x); err != nil {
			s.failed = err
			break
		}
		batch = append(batch, x)
		size += s.sizeOf(x.c)
	}
	if err := s.labels.read(s.ctx, batch); err != nil {
		return err
	}
	for _, x := range batch {
		if err := s.end(x); err != nil {
			return err
		}
		if x.c.rows > 0 {
			s.ahead = append(s.ahead, x)
		} else {
			s.given += x.took
			s.free = append(s.free, x)
		}
	}
	return nil
}

// sizeOf is about what a chunk takes until it is handed on.
func (s *shaper) sizeOf(c *chunk) int64 {
	size := int64(c.owned)
	for i := range c.vals {
		size += c.vals[i].size()
	}
	for i := range c.raw {
		size += 24 * int64(len(c.raw[i].vals))
	}
	row := 9 + 65*len(s.x.Labels)
	for _, in := range slices.Concat(s.l.keys, s.l.req) {
		if !s.l.plain(in) {
			row += 32
		}
	}
	for i := range s.labels.groups {
		row += 64 + 48*len(s.labels.groups[i].keys)
	}
	return size + int64(row*c.rows)
}

// begin does what labels are not needed for.
func (s *shaper) begin(x *labelled) error {
	c := x.c
	if err := s.w.inputs(c); err != nil {
		return err
	}
	c.ready = true
	s.seen += int64(c.rows)
	x.took = int64(c.rows)
	x.keep = slices.Grow(x.keep[:0], c.rows)[:c.rows]
	for r := range x.keep {
		x.keep[r] = true
	}
	s.keep = x.keep
	if err := s.choose(c); err != nil {
		return err
	}
	return s.labels.keysOf(s.w, x)
}

// end does what labels are needed for.
func (s *shaper) end(x *labelled) error {
	c := x.c
	s.keep, s.labels.vals, s.labels.status = x.keep, x.vals, x.status
	if err := s.judge(c); err != nil {
		return err
	}
	s.fill(c)
	c.retain(s.l, x.keep)
	for _, p := range c.part {
		s.rows[p]++
	}
	return nil
}

// choose leaves out what neither needs a label: by the split, the sample, and the ripeness of labels.
func (s *shaper) choose(c *chunk) error {
	if s.x.Split != nil {
		c.part = slices.Grow(c.part[:0], c.rows)[:c.rows]
	}
	for r := range c.rows {
		if p := s.x.Split; p != nil {
			part := 0
			if p.ByTime {
				part = p.Part(c.instants[r])
			} else {
				b, err := s.parts.bucket(s.w, c, r)
				if err != nil {
					return err
				}
				part = p.Bucket(b)
			}
			c.part[r] = int8(part)
			if part < 0 {
				s.drop(r, &s.left.Gap)
				continue
			}
		}
		if s.sample != nil {
			b, err := s.sample.bucket(s.w, c, r)
			if err != nil {
				return err
			}
			if b >= s.x.Sample.Keep {
				s.drop(r, &s.left.Sampled)
				continue
			}
		}
		if !s.x.KeepUnripe && !s.labels.ripe(c.instants[r]) {
			s.drop(r, &s.left.Unripe)
		}
	}
	return nil
}

func (s *shaper) drop(r int, count *int64) {
	s.keep[r] = false
	*count++
}

// judge leaves out by the labels: what is neutral, and what is too common.
func (s *shaper) judge(c *chunk) error {
	s.weights = slices.Grow(s.weights[:0], c.rows)[:c.rows]
	for r := range c.rows {
		s.weights[r] = 1
		if !s.keep[r] {
			continue
		}
		if s.labels.neutral(r) {
			s.drop(r, &s.left.Neutral)
			continue
		}
		x := s.x.Rebalance
		if x == nil {
			continue
		}
		v := s.labels.value(x.Label, r)
		if v.IsNull() {
			continue
		}
		share := x.Negative
		if positive(v) {
			share = x.Positive
		}
		b, err := s.balance.bucket(s.w, c, r)
		if err != nil {
			return err
		}
		if b >= share {
			s.drop(r, &s.left.Rebalanced)
			continue
		}
		s.weights[r] = buckets / float64(share)
	}
	return nil
}

// positive tells the class of a label that is not null.
func positive(v event.Value) bool {
	switch v.Kind {
	case event.Bool:
		return v.Bool()
	case event.Long:
		return v.Long() > 0
	case event.Decimal:
		return v.Unscaled().Sign() > 0
	}
	return v.Double() > 0
}

// report says what was left out, and what the labels and parts are.
func (s *shaper) report(r *Report, paths, names []string) {
	r.Export, r.SpineColumns = s.x.Name, s.own
	r.SpineRows, r.LeftOut, r.Labels = s.seen, &s.left, s.labels.values
	if s.x.Split == nil {
		return
	}
	for i, p := range s.x.Split.Parts {
		part := PartReport{Name: p.Name, Rows: s.rows[i]}
		if s.x.Split.Files {
			part.Out = names[i]
			if info, err := os.Stat(paths[i]); err == nil {
				part.Size = info.Size()
			}
		}
		r.Parts = append(r.Parts, part)
	}
}

// fill adds the columns behind those of the spine.
func (s *shaper) fill(c *chunk) {
	for i := s.own; i < len(c.vals); i++ {
		c.vals[i].reset()
	}
	for r := range c.rows {
		at := s.own
		put := func(v event.Value) {
			c.put(at, v)
			at++
		}
		for i, l := range s.x.Labels {
			if !s.keep[r] {
				put(event.Value{})
			} else {
				put(s.labels.value(i, r))
				s.labels.count(i, r)
			}
			if s.x.KeepUnripe {
				put(event.BoolOf(s.labels.isRipe(l, c.instants[r])))
			}
		}
		if s.weight >= 0 {
			put(event.DoubleOf(s.weights[r]))
		}
		if s.split >= 0 {
			name := ""
			if p := c.part[r]; p >= 0 {
				name = s.x.Split.Parts[p].Name
			}
			put(event.StringOf(name))
		}
	}
}

// chooser tells the buckets of rows by the hash of some columns.
type chooser struct {
	hash bucketHash
	by   []input
	time bool // the instant too, behind them
}

// chooser hashes the columns that are named; without any the keys, and with time the instant.
func (s *shaper) chooser(by []string, salt string, time bool) (*chooser, error) {
	x := &chooser{hash: bucketHash{salt: salt}}
	var err error
	if len(by) == 0 {
		x.time = time
		x.by, err = s.l.inputs(s.cfg, s.x.Keys, "key column")
		return x, err
	}
	for _, name := range by {
		i := s.l.find(name)
		if i < 0 || i >= s.own {
			return nil, mistake("malformed", s.l.columnNames(), "spine %s: there is no column %q to hash", s.cfg.SpineName, name)
		}
		in := input{col: i, name: name, want: s.l.spine[i].typ}
		for _, known := range slices.Concat(s.l.keys, s.l.req) {
			if known.col == i {
				in.want = known.want
			}
		}
		if i == s.l.time {
			in.want = event.Type{Kind: event.Timestamp}
		} else if s.l.spine[i].nested || !in.want.Ordered() {
			return nil, mistake("malformed", "hash a column of single values", "spine %s: column %q is nested, and cannot be hashed", s.cfg.SpineName, name)
		} else if in.want.Kind == s.l.spine[i].typ.Kind {
			in.want.Nullable = true
		}
		x.by = append(x.by, in)
	}
	return x, nil
}

func (x *chooser) bucket(w *worker, c *chunk, r int) (int64, error) {
	x.hash.begin()
	for _, in := range x.by {
		v, err := w.input(c, r, in)
		if err != nil {
			return 0, err
		}
		x.hash.add(v)
	}
	if x.time {
		x.hash.add(event.TimestampOf(c.instants[r]))
	}
	return x.hash.bucket(), nil
}
