package agg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/penstock-ml/penstock/event"
)

// The encoding of a Partial; whoever stores it adds a version and a checksum. Numbers are varints
// (binary.AppendUvarint; "signed": zigzag) unless told otherwise.
//
//	partial  = newest of all groups (signed; 0 over nothing), then every group of the Layout:
//	group    = bytes that follow (0: nothing counted, the group ends here; 1 and a zero: left out)
//	           count
//	           newest of all groups - newest of this one
//	           flags, one byte (doubles with a sum or an extreme: 1 NaN, 2 +Inf, 4 -Inf)
//	           number      the sum            (PartSum)
//	           number      the sum of squares (PartSquares)
//	           least, greatest                (PartMin, PartMax)
//	           age, row    first: newest of this group - its time (PartFirst)
//	           row         last: its time is the newest           (PartLast)
//	           number      the sum of cubes, of fourth powers     (PartCubes, PartFourths)
//	           age         oldest: newest of this group - its time (PartOldest)
//	           structure   length and bytes                       (Keeps or By; see its keeper)
//	number   = bytes of the magnitude·2 + 1 if negative
//	           exponent (signed; doubles that are not 0): the number is magnitude·256^exponent
//	           the magnitude, little-endian, without zero bytes above (and, for doubles, below)
//	extreme  = integers and instants: signed; doubles: 8 bytes big-endian of doubleKey with its
//	           sign bit flipped; others: length and bytes
//	row      = order value (event.AppendValue), source, partition (signed), offset (signed),
//	           index (signed), value (as an extreme; lists and maps: length and bytes)

var errCorrupt = errors.New("corrupt partial")

// maxScale bounds the scale of a decimal in an `order:` column: to compare two scales costs memory.
const maxScale = 1 << 16

// Append appends the encoding of p, which must keep all groups of its layout.
func (p *Partial) Append(dst []byte) []byte { return p.AppendWithin(dst, math.MaxInt) }

// AppendWithin is Append, but leaves out each group that takes more than limit bytes, and those that were
// left out of what p was merged from. See Holds.
func (p *Partial) AppendWithin(dst []byte, limit int) []byte {
	if len(p.groups) != len(p.at) {
		panic("agg: a partial of some groups is not encoded")
	}
	return p.appendWithin(dst, limit)
}

// AppendKept is Append, but leaves out the groups that p does not keep.
func (p *Partial) AppendKept(dst []byte) []byte { return p.appendWithin(dst, math.MaxInt) }

func (p *Partial) appendWithin(dst []byte, limit int) []byte {
	newest, any := event.MinTime, false
	for i := range p.groups {
		if g := &p.groups[i]; g.count != 0 {
			newest, any = max(newest, g.newest), true
		}
	}
	if !any {
		newest = 0
	}
	dst = binary.AppendVarint(dst, int64(newest))
	for _, at := range p.at {
		if at < 0 || p.groups[at].left {
			dst = append(dst, 1, 0)
			continue
		}
		g := &p.groups[at]
		if g.count == 0 {
			dst = append(dst, 0)
			continue
		}
		start := len(dst)
		dst = p.appendGroup(append(dst, 0), g, newest)
		if len(dst)-start-1 > limit {
			dst = append(dst[:start], 1, 0)
			continue
		}
		dst = setLength(dst, start)
	}
	return dst
}

// Holds tells whether no group that p keeps was left out of an encoding: it may be merged into p for an
// answer. What is damaged is held: merging tells.
func (p *Partial) Holds(b []byte) bool {
	d := decoder{b: b}
	d.varint()
	for _, at := range p.at {
		if body := d.bytes(d.uvarint()); at >= 0 && leftOut(body) {
			return false
		}
	}
	return true
}

func leftOut(body []byte) bool { return len(body) == 1 && body[0] == 0 }

// setLength writes the number of bytes behind dst[start] there, and makes room if it needs more
// than that byte.
func setLength(dst []byte, start int) []byte {
	n := len(dst) - start - 1
	if n < 0x80 {
		dst[start] = byte(n)
		return dst
	}
	var length [binary.MaxVarintLen64]byte
	w := binary.PutUvarint(length[:], uint64(n))
	dst = append(dst, length[:w-1]...)
	copy(dst[start+w:], dst[start+1:start+1+n])
	copy(dst[start:], length[:w])
	return dst
}

func (g *group) hasFlags() bool {
	return g.class == classDouble && g.parts&(partsOfNumbers|PartMin|PartMax) != 0
}

func (p *Partial) appendGroup(dst []byte, g *group, newest event.Time) []byte {
	dst = binary.AppendUvarint(dst, uint64(g.count))
	dst = binary.AppendUvarint(dst, uint64(newest)-uint64(g.newest))
	if g.hasFlags() {
		dst = append(dst, g.flags)
	}
	if g.parts&PartSum != 0 {
		dst = g.sum.append(dst, g.class == classDouble, &p.words)
	}
	if g.parts&PartSquares != 0 {
		dst = g.squares.append(dst, g.class == classDouble, &p.words)
	}
	if g.parts&PartMin != 0 {
		dst = g.appendExtreme(dst, g.low, true)
	}
	if g.parts&PartMax != 0 {
		dst = g.appendExtreme(dst, g.high, false)
	}
	if g.parts&PartFirst != 0 {
		dst = binary.AppendUvarint(dst, uint64(g.newest)-uint64(g.ends.first.time))
		dst = g.appendEdge(dst, &g.ends.first)
	}
	if g.parts&PartLast != 0 {
		dst = g.appendEdge(dst, &g.ends.last)
	}
	if g.parts&PartCubes != 0 {
		dst = g.extra.cubes.append(dst, g.class == classDouble, &p.words)
	}
	if g.parts&PartFourths != 0 {
		dst = g.extra.fourths.append(dst, g.class == classDouble, &p.words)
	}
	if g.parts&PartOldest != 0 {
		dst = binary.AppendUvarint(dst, uint64(g.newest)-uint64(g.extra.oldest))
	}
	if g.keep != nil {
		start := len(dst)
		dst = setLength(g.keep.append(append(dst, 0)), start)
	}
	return dst
}

// append appends a number, with an exponent if it is floating; scratch is memory to work in.
func (a *accumulator) append(dst []byte, floating bool, scratch *[]uint64) []byte {
	words, e, negative := a.magnitude(*scratch)
	*scratch = words
	if len(words) == 0 {
		return append(dst, 0)
	}
	skip := 0 // zero bytes below
	if floating {
		for words[skip/8] == 0 {
			skip += 8
		}
		skip += bits.TrailingZeros64(words[skip/8]) / 8
	} else { // e >= 0; the bytes below count
		skip = -e / 8
	}
	n := (64*len(words)-bits.LeadingZeros64(words[len(words)-1])+7)/8 - skip
	header := uint64(n) << 1
	if negative {
		header |= 1
	}
	dst = binary.AppendUvarint(dst, header)
	if floating {
		dst = binary.AppendVarint(dst, int64(e/8+skip)) // e is a multiple of 32
	}
	for i := skip; i < skip+n; i++ {
		b := byte(0)
		if i >= 0 {
			b = byte(words[i/8] >> uint(i%8*8))
		}
		dst = append(dst, b)
	}
	return dst
}

func (g *group) appendExtreme(dst []byte, key int64, least bool) []byte {
	switch g.class {
	case classInteger:
		return binary.AppendVarint(dst, key)
	case classDouble:
		return binary.BigEndian.AppendUint64(dst, uint64(key)^1<<63)
	}
	s := g.ends.high
	if least {
		s = g.ends.low
	}
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func (g *group) appendEdge(dst []byte, e *edge) []byte {
	dst = event.AppendValue(dst, e.order.get())
	dst = binary.AppendUvarint(dst, uint64(e.pos.Source))
	dst = binary.AppendVarint(dst, int64(e.pos.Partition))
	dst = binary.AppendVarint(dst, e.pos.Offset)
	dst = binary.AppendVarint(dst, int64(e.pos.Index))
	switch g.class {
	case classInteger:
		return binary.AppendVarint(dst, int64(e.value.num))
	case classDouble:
		key := doubleKey(math.Float64frombits(e.value.num))
		return binary.BigEndian.AppendUint64(dst, uint64(key)^1<<63)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.value.str)))
	return append(dst, e.value.str...)
}

// MergeEncoded adds what Append wrote for a Partial of all groups of the same Layout; the groups
// that p does not keep are skipped; one that was left out is then left out of p too. It never panics and allocates in proportion to b. After an error
// p holds an undefined set: Reset it.
func (p *Partial) MergeEncoded(b []byte) error {
	err := p.mergeEncoded(b)
	if err != nil {
		p.broken = true
	}
	return err
}

func (p *Partial) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	newest := event.Time(d.varint())
	for i, at := range p.at {
		body := d.bytes(d.uvarint())
		if at < 0 || len(body) == 0 {
			continue
		}
		if leftOut(body) {
			p.groups[at].left = true
			continue
		}
		sub := decoder{b: body}
		sub.group(p, &p.groups[at], newest)
		if sub.bad || len(sub.b) != 0 {
			return fmt.Errorf("decode group %d: %w", i, errCorrupt)
		}
	}
	return d.end()
}

// decoder reads from the head of b; after bad bytes it answers zeros.
type decoder struct {
	b   []byte
	bad bool
}

// end tells whether all was read, and meant something.
func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return errCorrupt
	}
	return nil
}

func (d *decoder) fail() {
	d.b, d.bad = nil, true
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		n := uint64(d.b[0])
		d.b = d.b[1:]
		return n
	}
	n, w := binary.Uvarint(d.b)
	if w <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *decoder) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) byte() byte {
	if s := d.bytes(1); len(s) == 1 {
		return s[0]
	}
	return 0
}

// key reads 8 bytes of a doubleKey.
func (d *decoder) key() int64 {
	s := d.bytes(8)
	if len(s) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(s) ^ 1<<63)
}

func (d *decoder) group(p *Partial, g *group, newest event.Time) {
	count := d.uvarint()
	if count == 0 || count > 1<<56 {
		d.fail()
		return
	}
	own := event.Time(uint64(newest) - d.uvarint())
	if g.hasFlags() {
		flags := d.byte()
		if flags > hasNaN|hasPosInf|hasNegInf {
			d.fail()
		}
		g.flags |= flags
	}
	if g.parts&PartSum != 0 {
		d.number(&g.sum, g.class == classDouble, 1)
	}
	if g.parts&PartSquares != 0 {
		d.number(&g.squares, g.class == classDouble, 2)
	}
	d.extremes(g)
	if g.parts&PartFirst != 0 {
		t := event.Time(uint64(own) - d.uvarint())
		d.edge(g, &g.ends.first, -1, t)
	}
	if g.parts&PartLast != 0 {
		d.edge(g, &g.ends.last, 1, own)
	}
	if g.parts&PartCubes != 0 {
		d.number(&g.extra.cubes, g.class == classDouble, 3)
	}
	if g.parts&PartFourths != 0 {
		d.number(&g.extra.fourths, g.class == classDouble, 4)
	}
	if g.parts&PartOldest != 0 {
		oldest := event.Time(uint64(own) - d.uvarint())
		if oldest > own {
			d.fail()
		}
		g.extra.oldest = min(g.extra.oldest, oldest)
	}
	if g.keep != nil {
		if b := d.bytes(d.uvarint()); !d.bad && g.keep.mergeEncoded(b) != nil {
			d.fail()
		}
	}
	// Counted last: extend must know whether there was anything before.
	g.count += int64(count)
	g.newest = max(g.newest, own)
}

// number adds an encoded sum of products of so many doubles (or of anything else) to a.
func (d *decoder) number(a *accumulator, floating bool, factors int64) {
	header := d.uvarint()
	n, negative := header>>1, header&1 == 1
	if n == 0 {
		return
	}
	e := int64(0)
	if floating {
		// Bytes beyond these cannot come of doubles; they would make the accumulator wide.
		e = d.varint()
		if e < -(1074*factors/8)-4 || e > 140*max(factors, 2) || n > 300*uint64(max(factors, 2)) {
			d.fail()
			return
		}
	}
	s := d.bytes(n)
	if len(s) == 0 {
		return
	}
	x := 8 * int(e)
	for ; len(s) >= 8; s, x = s[8:], x+64 {
		a.add(binary.LittleEndian.Uint64(s), x, negative)
	}
	if len(s) > 0 {
		w := uint64(0)
		for i, b := range s {
			w |= uint64(b) << uint(8*i)
		}
		a.add(w, x, negative)
	}
}

func (d *decoder) extremes(g *group) {
	parts := g.parts & (PartMin | PartMax)
	if parts == 0 {
		return
	}
	switch g.class {
	case classInteger, classDouble:
		if parts&PartMin != 0 {
			g.low = min(g.low, d.orderKey(g))
		}
		if parts&PartMax != 0 {
			g.high = max(g.high, d.orderKey(g))
		}
		return
	}
	var low, high string
	if parts&PartMin != 0 {
		low = d.text(g)
	}
	if parts&PartMax != 0 {
		high = d.text(g)
	}
	if !d.bad {
		g.extend(low, high)
	}
}

func (d *decoder) orderKey(g *group) int64 {
	if g.class == classDouble {
		return d.key()
	}
	return d.varint()
}

func (d *decoder) text(g *group) string {
	s := event.Alias(d.bytes(d.uvarint()))
	if g.class == classDecimal {
		s = minimal(s)
	}
	return s
}

func (d *decoder) edge(g *group, e *edge, sign int, t event.Time) {
	order, rest, err := event.DecodeValue(event.Alias(d.b))
	if err != nil || order.Kind == event.Decimal && order.Num > maxScale {
		d.fail()
		return
	}
	d.b = d.b[len(d.b)-len(rest):]
	source, partition, offset, index := d.uvarint(), d.varint(), d.varint(), d.varint()
	if source > math.MaxUint16 || partition != int64(int32(partition)) || index != int64(int32(index)) {
		d.fail()
		return
	}
	pos := event.Position{Source: uint16(source), Partition: int32(partition), Offset: offset, Index: int32(index)}
	v := event.Value{Kind: g.kind, Num: g.scale}
	switch g.class {
	case classInteger:
		v.Num = uint64(d.varint())
	case classDouble:
		v = event.DoubleOf(keyDouble(d.key()))
	default:
		v.Str = d.text(g)
	}
	if !d.bad {
		e.offer(sign, t, order, pos, v)
	}
}
