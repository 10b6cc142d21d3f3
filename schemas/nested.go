package schemas

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/event"
)

// enter counts a nested program against the bounds of the datum.
func (s *Scratch) enter() error {
	if s.depth++; s.depth > maxDatumDepth {
		return errDepth
	}
	if s.nodes++; s.nodes > maxDatumNodes {
		return errNodes
	}
	return nil
}

// check bounds what lists take by what the datum has.
func (s *Scratch) check() error {
	if len(s.arena) > s.limit {
		return errArena
	}
	return nil
}

// nested executes the operations that run others.
func (o *op) nested(b []byte, p int, row []event.Value, s *Scratch) (int, error) {
	if err := s.enter(); err != nil {
		return p, err
	}
	defer func() { s.depth-- }()
	switch o.code {
	case opUnion:
		n, q, err := long(b, p)
		if err != nil {
			return p, err
		}
		if n < 0 || n >= int64(len(o.x.branches)) {
			return p, errBranch
		}
		return run(o.x.branches[n], b, q, row, s)
	case opEach:
		end := p
		for _, ops := range o.x.branches {
			var err error
			if end, err = run(ops, b, p, row, s); err != nil {
				return p, err
			}
		}
		return end, nil
	case opCall:
		return run(o.x.elem.ops, b, p, row, s)
	case opSkipArray, opSkipMap:
		return o.skipItems(b, p, s)
	}
	start := len(s.arena)
	p, err := o.items(b, p, s)
	if err != nil {
		return p, err
	}
	kind := event.List
	if o.code == opMap {
		kind = event.Map
	}
	row[o.slot] = event.Value{Kind: kind, Str: event.Alias(s.arena[start:])}
	return p, s.check()
}

// block reads the head of a block of items: how many, and their bytes if that is told, else -1.
// seen is how many items the array has had.
func (o *op) block(b []byte, p int, seen int, s *Scratch) (count, size, pos int, err error) {
	n, p, err := long(b, p)
	if err != nil || n == 0 {
		return 0, -1, p, err
	}
	size = -1
	if n < 0 {
		if n == math.MinInt64 {
			return 0, 0, p, errBlock
		}
		n = -n
		var z int64
		if z, p, err = long(b, p); err != nil {
			return 0, 0, p, err
		}
		if z < 0 || z > int64(len(b)-p) {
			return 0, 0, p, errBlock
		}
		size = int(z)
	}
	least := o.x.elem.width.least
	if o.code == opMap || o.code == opSkipMap {
		least++
	}
	switch {
	case n > maxItems || seen+int(n) > maxItems:
		return 0, 0, p, errItems
	case least == 0:
		if s.zero += int(n); s.zero > maxZeroWidth {
			return 0, 0, p, errZeroWidth
		}
	case n > int64(len(b)-p)/least || size >= 0 && n > int64(size)/least:
		return 0, 0, p, errBlock
	}
	if s.nodes += int(n); s.nodes > maxDatumNodes {
		return 0, 0, p, errNodes
	}
	return int(n), size, p, nil
}

// skipItems passes over an array or map; a block that tells its size is passed over at once, as the
// specification means it. A size that its items cannot have is refused; that of items of many widths is
// believed: it is not known before the items are read, and they are not wanted.
func (o *op) skipItems(b []byte, p int, s *Scratch) (int, error) {
	elem := o.x.elem
	for seen := 0; ; {
		n, size, q, err := o.block(b, p, seen, s)
		if err != nil || n == 0 {
			return q, err
		}
		p, seen = q, seen+n
		if elem.width.fixed && o.code == opSkipArray {
			all := n * int(elem.width.least) // block has checked that they are there
			if size >= 0 && size != all {
				return p, errBlock
			}
			p += all
			continue
		}
		if size >= 0 {
			p += size
			continue
		}
		for range n {
			if o.code == opSkipMap {
				if _, p, err = span(b, p); err != nil {
					return p, err
				}
			}
			if p, err = run(elem.ops, b, p, nil, s); err != nil {
				return p, err
			}
		}
	}
}

// items reads an array's or map's items into the arena, as event.AppendList would write them.
func (o *op) items(b []byte, p int, s *Scratch) (int, error) {
	x := o.x
	row := s.elems[x.level : x.level+1]
	for seen := 0; ; {
		n, size, q, err := o.block(b, p, seen, s)
		if err != nil || n == 0 {
			return q, err
		}
		p, seen = q, seen+n
		end := p + size
		for range n {
			if o.code == opMap {
				if p, err = s.key(b, p); err != nil {
					return p, err
				}
			}
			mark := len(s.arena)
			if p, err = run(x.elem.ops, b, p, row, s); err != nil {
				return p, err
			}
			if len(s.arena) > mark {
				s.wrap(mark, row[0].Kind)
			} else {
				s.arena = event.AppendValue(s.arena, row[0])
			}
			if err := s.check(); err != nil {
				return p, err
			}
		}
		if size >= 0 && p != end {
			return p, errBlock
		}
	}
}

// key appends the key of a map's item.
func (s *Scratch) key(b []byte, p int) (int, error) {
	start, end, err := span(b, p)
	if err != nil {
		return p, err
	}
	if !utf8.Valid(b[start:end]) {
		return p, errUTF8
	}
	s.arena = event.AppendValue(s.arena, event.StringOf(event.Alias(b[start:end])))
	return end, nil
}

// wrap puts a kind and a length before what an element has written into the arena from mark on,
// which gives the encoding of event.AppendValue.
func (s *Scratch) wrap(mark int, kind event.Kind) {
	var head [maxVarintBytes + 1]byte
	head[0] = byte(kind)
	n := len(s.arena) - mark
	w := 1 + binary.PutUvarint(head[1:], uint64(n))
	s.arena = append(s.arena, head[:w]...)
	copy(s.arena[mark+w:], s.arena[mark:mark+n])
	copy(s.arena[mark:], head[:w])
}
