package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Kafka's record batch, format 2 (docs/format/kafka.md):
//
//	 0 base offset      8    23 last offset delta 4    51 producer epoch 2
//	 8 length           4    27 base timestamp    8    53 base sequence  4
//	12 leader epoch     4    35 max timestamp     8    57 record count   4
//	16 magic (2)        1    43 producer id       8    61 records, compressed as one
//	17 CRC-32C from 21  4
//	21 attributes       2
const (
	batchHeaderLen = 61
	batchMagicAt   = 16
	batchLengthEnd = 12 // what `length` counts begins here
)

// Bits of a batch's attributes.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// errPartial: the set ends inside a batch, as brokers may cut it.
	errPartial = errors.New("partial batch")
	// errMalformed: bytes that are no records, though their checksum fits.
	errMalformed = errors.New("malformed batch")
	// errChecksum: the batch was damaged on its way or on the broker's disk.
	errChecksum = errors.New("checksum of a batch does not fit")
)

// magicError is a batch in a format that is not read.
type magicError struct {
	magic  int8
	offset int64
}

func (e *magicError) Error() string {
	return fmt.Sprintf("the batch at offset %d has message format %d; only format 2 (Kafka 0.11 and later) is read", e.offset, e.magic)
}

// batch is the header of one record batch, and its records as they are on the wire.
type batch struct {
	base       int64
	lastDelta  int32
	attributes int16
	firstTime  int64 // milliseconds; deltas of records count from it
	maxTime    int64 // milliseconds; the time of every record if LogAppendTime
	producer   int64
	count      int32
	payload    []byte // records, perhaps compressed; aliases the set
	body       []byte // what the checksum is of
	crc        uint32
}

func (b *batch) last() int64         { return b.base + int64(b.lastDelta) }
func (b *batch) codec() int          { return int(b.attributes & attrCodec) }
func (b *batch) control() bool       { return b.attributes&attrControl != 0 }
func (b *batch) transactional() bool { return b.attributes&attrTransactional != 0 }
func (b *batch) logAppendTime() bool { return b.attributes&attrLogAppendTime != 0 }
func (b *batch) checksumFits() bool  { return crc32.Checksum(b.body, castagnoli) == b.crc }

// nextBatch reads the header of the batch at the head of set and returns what follows it. It does not
// check the checksum. errPartial means that set ends before the batch does.
func nextBatch(set []byte, b *batch) (rest []byte, err error) {
	if len(set) <= batchMagicAt {
		return nil, errPartial
	}
	b.base = int64(binary.BigEndian.Uint64(set))
	length := int32(binary.BigEndian.Uint32(set[8:]))
	if magic := int8(set[batchMagicAt]); magic != 2 {
		return nil, &magicError{magic: magic, offset: b.base}
	}
	if length < batchHeaderLen-batchLengthEnd {
		return nil, fmt.Errorf("%w at offset %d: length %d", errMalformed, b.base, length)
	}
	end := batchLengthEnd + int(length)
	if len(set) < end {
		return nil, errPartial
	}
	b.crc = binary.BigEndian.Uint32(set[17:])
	b.attributes = int16(binary.BigEndian.Uint16(set[21:]))
	b.lastDelta = int32(binary.BigEndian.Uint32(set[23:]))
	b.firstTime = int64(binary.BigEndian.Uint64(set[27:]))
	b.maxTime = int64(binary.BigEndian.Uint64(set[35:]))
	b.producer = int64(binary.BigEndian.Uint64(set[43:]))
	b.count = int32(binary.BigEndian.Uint32(set[57:]))
	b.payload = set[batchHeaderLen:end]
	b.body = set[21:end]
	if b.base < 0 || b.lastDelta < 0 || b.last() < b.base || b.count < 0 {
		return nil, fmt.Errorf("%w at offset %d: last offset delta %d, %d records", errMalformed, b.base, b.lastDelta, b.count)
	}
	return set[end:], nil
}

// nextOffset is the offset behind the last whole batch of set, and how many batches are whole.
func nextOffset(set []byte) (next int64, whole int, err error) {
	var b batch
	for len(set) > 0 {
		rest, err := nextBatch(set, &b)
		if errors.Is(err, errPartial) {
			return next, whole, nil
		}
		if err != nil {
			return next, whole, err
		}
		next, whole, set = b.last()+1, whole+1, rest
	}
	return next, whole, nil
}

// record is one record of a batch. Key and value alias the decompressed batch; nil is null.
type record struct {
	offset int64
	millis int64 // -1: without a timestamp
	key    []byte
	value  []byte
}

// recordReader walks the records of one batch, without allocating.
type recordReader struct {
	data  []byte // what is left
	left  int32  // records left
	base  int64
	first int64
	fixed int64 // time of every record; -1: by delta
	last  int64 // greatest offset allowed
	prev  int64 // offset of the record before
}

// reset starts on b, whose records are data, decompressed.
func (r *recordReader) reset(b *batch, data []byte) {
	*r = recordReader{data: data, left: b.count, base: b.base, first: b.firstTime, fixed: -1, last: b.last(), prev: b.base - 1}
	if b.logAppendTime() {
		r.fixed = b.maxTime
	}
}

// next reads the next record into rec; false at the end. An error is errMalformed: the records before
// it stand, from r.prev+1 on nothing is known.
func (r *recordReader) next(rec *record) (bool, error) {
	if r.left == 0 {
		if len(r.data) != 0 {
			return false, fmt.Errorf("%w: %d bytes behind the last record", errMalformed, len(r.data))
		}
		return false, nil
	}
	length, n := varint(r.data)
	if n <= 0 || length < 0 || length > int64(len(r.data)-n) {
		return false, fmt.Errorf("%w: length of the record after offset %d", errMalformed, r.prev)
	}
	body := r.data[n : n+int(length)]
	if len(body) == 0 {
		return false, fmt.Errorf("%w: empty record after offset %d", errMalformed, r.prev)
	}
	at := 1 // attributes, unused
	timeDelta, n1 := varint(body[at:])
	if n1 <= 0 {
		return false, fmt.Errorf("%w: timestamp of the record after offset %d", errMalformed, r.prev)
	}
	at += n1
	offsetDelta, n2 := varint(body[at:])
	if n2 <= 0 {
		return false, fmt.Errorf("%w: offset of the record after offset %d", errMalformed, r.prev)
	}
	at += n2
	offset := r.base + offsetDelta
	if offsetDelta < 0 || offset <= r.prev || offset > r.last {
		return false, fmt.Errorf("%w: offset %d after %d in a batch that ends at %d", errMalformed, offset, r.prev, r.last)
	}
	key, n3 := varBytes(body[at:])
	if n3 <= 0 {
		return false, fmt.Errorf("%w: key of the record at offset %d", errMalformed, offset)
	}
	at += n3
	value, n4 := varBytes(body[at:])
	if n4 <= 0 {
		return false, fmt.Errorf("%w: value of the record at offset %d", errMalformed, offset)
	}
	// Headers follow; the record's length steps over them.
	rec.offset, rec.key, rec.value = offset, key, value
	rec.millis = r.fixed
	if r.fixed < 0 {
		rec.millis = r.first + timeDelta
		if rec.millis < 0 {
			rec.millis = -1
		}
	}
	r.data, r.prev, r.left = r.data[len(body)+n:], offset, r.left-1
	return true, nil
}

// varint reads a zigzag varint of at most 10 bytes; n <= 0 if there is none.
func varint(b []byte) (v int64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		u := b[0]
		return int64(u>>1) ^ -int64(u&1), 1
	}
	return binary.Varint(b)
}

// varBytes reads a length and as many bytes; -1 is null. n <= 0 if they are not there.
func varBytes(b []byte) (v []byte, n int) {
	length, n := varint(b)
	switch {
	case n <= 0 || length < -1 || length > int64(len(b)-n):
		return nil, 0
	case length == -1:
		return nil, n
	}
	return b[n : n+int(length) : n+int(length)], n + int(length)
}

// abortMarker tells whether a control batch marks the end of an aborted transaction: the key of its
// one record is a version and a type, 0 for abort.
func abortMarker(b *batch) bool {
	var r recordReader
	var rec record
	r.reset(b, b.payload)
	ok, err := r.next(&rec)
	return ok && err == nil && len(rec.key) >= 4 && binary.BigEndian.Uint16(rec.key[2:]) == 0
}
