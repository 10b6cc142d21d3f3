package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/event"
)

// Bounds of one datum.
const (
	maxDatumDepth  = 64
	maxItems       = 65536   // of one array or map
	maxDatumNodes  = 1 << 20 // items and nested programs of one datum
	maxZeroWidth   = 4096    // items without bytes of one datum
	maxListLevels  = maxSchemaDepth + 2
	arenaFloor     = 1 << 20 // bytes of lists of one datum: this and arenaPerByte for each of its bytes
	arenaPerByte   = 16
	maxVarintBytes = 10
)

var (
	errTruncated  = errors.New("the bytes end within it")
	errVarint     = errors.New("an integer of more than 64 bits")
	errIntRange   = errors.New("an integer outside of 32 bits")
	errLength     = errors.New("a negative length, or one beyond the end of the bytes")
	errUTF8       = errors.New("a string that is not UTF-8")
	errBool       = errors.New("a boolean that is neither 0 nor 1")
	errSymbol     = errors.New("a number that is no symbol of the writer's enum")
	errBranch     = errors.New("a number that is no branch of the writer's union")
	errDepth      = fmt.Errorf("nested more than %d levels deep", maxDatumDepth)
	errItems      = fmt.Errorf("an array or map of more than %d items", maxItems)
	errNodes      = fmt.Errorf("more than %d items", maxDatumNodes)
	errZeroWidth  = fmt.Errorf("more than %d items without bytes", maxZeroWidth)
	errBlock      = errors.New("a block of items whose count or size does not fit its bytes")
	errArena      = errors.New("arrays that take far more memory than bytes")
	errSymbolLost = errors.New("a symbol that the reader's enum lacks, and it has no default")
)

// Scratch is memory that a decoder reuses between calls; one per goroutine.
type Scratch struct {
	arena []byte // lists, maps and UUIDs of the current row
	limit int    // of arena
	elems [maxListLevels]event.Value
	nodes int
	zero  int
	depth int
}

// reset makes s ready for a datum of n bytes. A large arena that one datum needed is not kept.
func (s *Scratch) reset(n int) {
	if cap(s.arena) > 1<<20 && len(s.arena) < cap(s.arena)/8 {
		s.arena = nil
	}
	s.arena = s.arena[:0]
	s.limit = arenaFloor + arenaPerByte*n
	s.nodes, s.zero, s.depth = 0, 0, 0
}

// uvarint reads an unsigned varint; a negative position means failure.
func uvarint(b []byte, p int) (uint64, int) {
	if uint(p) < uint(len(b)) && b[p] < 0x80 {
		return uint64(b[p]), p + 1
	}
	return uvarintLong(b, p)
}

//go:noinline
func uvarintLong(b []byte, p int) (uint64, int) {
	var u uint64
	for i := 0; i < maxVarintBytes; i++ {
		if p >= len(b) {
			return 0, -1
		}
		c := b[p]
		p++
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if i == maxVarintBytes-1 && c > 1 {
				return 0, -2
			}
			return u, p
		}
	}
	return 0, -2
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// varintError is what a negative position stands for.
func varintError(p int) error {
	if p == -1 {
		return errTruncated
	}
	return errVarint
}

// long reads a varint of 64 bits, for what is not hot.
func long(b []byte, p int) (int64, int, error) {
	u, q := uvarint(b, p)
	if q < 0 {
		return 0, p, varintError(q)
	}
	return unzigzag(u), q, nil
}

// ascii tells whether all bytes are below 128, eight at a time.
func ascii(b []byte) bool {
	const high = 0x8080808080808080
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return false
		}
		b = b[8:]
	}
	var or byte
	for _, c := range b {
		or |= c
	}
	return or < 0x80
}

// span reads a length and returns where its bytes begin and end.
func span(b []byte, p int) (start, end int, err error) {
	u, q := uvarint(b, p)
	if q < 0 {
		return 0, 0, varintError(q)
	}
	if u&1 != 0 || u>>1 > uint64(len(b)-q) {
		return 0, 0, errLength
	}
	return q, q + int(u>>1), nil
}

// readInt reads a varint of 32 bits.
func readInt(b []byte, p int) (int64, int, error) {
	u, q := uvarint(b, p)
	if q < 0 {
		return 0, p, varintError(q)
	}
	if u > math.MaxUint32 || q-p > 5 {
		return 0, p, errIntRange
	}
	return unzigzag(u), q, nil
}

// run executes ops from position p of b and returns the position behind what was read. It is long
// because it is the inner loop: what stands in it costs no call.
func run(ops []op, b []byte, p int, row []event.Value, s *Scratch) (int, error) {
	var err error
	for i := 0; i < len(ops); i++ {
		o := &ops[i]
		switch o.code {
		case opLong:
			u, q := uvarintLong(b, p)
			if q < 0 {
				return p, o.fail(varintError(q))
			}
			p = q
			if o.conv == convLong {
				row[o.slot] = event.Value{Kind: event.Long, Num: uint64(unzigzag(u))}
				break
			}
			if row[o.slot], err = convert(o.conv, o.kind, unzigzag(u)); err != nil {
				return p, o.fail(err)
			}
		case opString:
			var u uint64
			q := p + 1
			if p < len(b) && b[p] < 0x80 {
				u = uint64(b[p])
			} else if u, q = uvarintLong(b, p); q < 0 {
				return p, o.fail(varintError(q))
			}
			if u&1 != 0 || u>>1 > uint64(len(b)-q) {
				return p, o.fail(errLength)
			}
			p = q + int(u>>1)
			text := b[q:p]
			if !ascii(text) && !utf8.Valid(text) {
				return p, o.fail(errUTF8)
			}
			row[o.slot] = event.Value{Kind: event.String, Str: event.Alias(text)}
		case opDouble:
			if len(b)-p < 8 {
				return p, o.fail(errTruncated)
			}
			row[o.slot] = double(math.Float64frombits(binary.LittleEndian.Uint64(b[p:])))
			p += 8
		case opBool:
			if p >= len(b) {
				return p, o.fail(errTruncated)
			}
			if b[p] > 1 {
				return p, o.fail(errBool)
			}
			row[o.slot] = event.Value{Kind: event.Bool, Num: uint64(b[p])}
			p++
		case opNullable:
			u, q := uvarint(b, p)
			if q < 0 {
				return p, o.fail(varintError(q))
			}
			if u != 0 && u != 2 {
				return p, o.fail(errBranch)
			}
			p = q
			if int64(u>>1) != o.n {
				break
			}
			if o.x.err != nil {
				return p, o.fail(o.x.err)
			}
			for _, slot := range o.x.slots {
				row[slot] = event.Value{}
			}
			i += int(o.jump)
		case opSkip:
			if int64(len(b)-p) < o.n {
				return p, o.fail(errTruncated)
			}
			p += int(o.n)
		case opSkipBytes:
			_, end, err := span(b, p)
			if err != nil {
				return p, o.fail(err)
			}
			p = end
		case opSkipLong:
			_, q := uvarint(b, p)
			if q < 0 {
				return p, o.fail(varintError(q))
			}
			p = q
		default:
			if p, err = o.rare(b, p, row, s); err != nil {
				return p, o.fail(err)
			}
		}
	}
	return p, nil
}

// rare executes the operations that are less frequent.
func (o *op) rare(b []byte, p int, row []event.Value, s *Scratch) (int, error) {
	switch o.code {
	case opInt:
		n, q, err := readInt(b, p)
		if err != nil {
			return p, err
		}
		row[o.slot], err = convert(o.conv, o.kind, n)
		return q, err
	case opFloat:
		if len(b)-p < 4 {
			return p, errTruncated
		}
		row[o.slot] = double(float64(math.Float32frombits(binary.LittleEndian.Uint32(b[p:]))))
		return p + 4, nil
	case opBytes:
		start, end, err := span(b, p)
		if err != nil {
			return p, err
		}
		row[o.slot] = event.BytesOf(b[start:end])
		return end, nil
	case opEnum, opSkipEnum:
		return o.enum(b, p, row)
	case opFixed, opUUID:
		if int64(len(b)-p) < o.n {
			return p, errTruncated
		}
		end := p + int(o.n)
		if o.code == opFixed {
			row[o.slot] = event.BytesOf(b[p:end])
			return end, nil
		}
		start := len(s.arena)
		s.arena = appendUUID(s.arena, b[p:end])
		row[o.slot] = event.StringOf(event.Alias(s.arena[start:]))
		return end, s.check()
	case opDecimal:
		return o.decimal(b, p, row)
	case opNull:
		row[o.slot] = event.Value{}
		return p, nil
	case opConst:
		row[o.slot] = o.x.values[0]
		return p, nil
	case opFail:
		return p, o.x.err
	case opSkipInt:
		_, q, err := readInt(b, p)
		return q, err
	}
	return o.nested(b, p, row, s)
}

func (o *op) enum(b []byte, p int, row []event.Value) (int, error) {
	n, q, err := readInt(b, p)
	if err != nil {
		return p, err
	}
	if o.code == opSkipEnum {
		if n < 0 || n >= o.n {
			return p, errSymbol
		}
		return q, nil
	}
	if n < 0 || n >= int64(len(o.x.values)) {
		return p, errSymbol
	}
	v := o.x.values[n]
	if v.Kind == event.Null {
		return p, fmt.Errorf("symbol %q: %w", v.Str, errSymbolLost)
	}
	row[o.slot] = v
	return q, nil
}

func (o *op) decimal(b []byte, p int, row []event.Value) (int, error) {
	end := p + int(o.n)
	if o.n < 0 {
		var err error
		if p, end, err = span(b, p); err != nil {
			return p, err
		}
	} else if int64(len(b)-p) < o.n {
		return p, errTruncated
	}
	text, err := decimal(event.Alias(b[p:end]), o.x.limit)
	row[o.slot] = event.Value{Kind: event.Decimal, Num: o.x.values[0].Num, Str: text}
	return end, err
}

// fail names the field that an operation reads, once.
func (o *op) fail(err error) error {
	name := ""
	if o.x != nil {
		name = o.x.name
	}
	if _, ok := err.(*fieldError); ok || name == "" {
		return err
	}
	return &fieldError{path: name, err: err}
}

// fieldError says which field could not be read.
type fieldError struct {
	path string
	err  error
}

func (e *fieldError) Error() string { return fmt.Sprintf("field %q: %v", e.path, e.err) }

func (e *fieldError) Unwrap() error { return e.err }
