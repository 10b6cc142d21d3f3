package schemas

import (
	"encoding/binary"
	"errors"
)

// What is wrong with the header of a value in the Confluent wire format.
var (
	ErrEmpty     = errors.New("the value is empty")
	ErrMagic     = errors.New("the value does not begin with the magic byte 0")
	ErrTruncated = errors.New("the value ends within its header of 5 bytes")
)

// headerSize is the magic byte and the schema id.
const headerSize = 5

// Header splits a value in the Confluent wire format: magic byte 0, 4-byte big-endian id, datum. The
// error is ErrEmpty, ErrMagic or ErrTruncated.
func Header(b []byte) (id uint32, datum []byte, err error) {
	switch {
	case len(b) == 0:
		return 0, nil, ErrEmpty
	case b[0] != 0:
		return 0, nil, ErrMagic
	case len(b) < headerSize:
		return 0, nil, ErrTruncated
	}
	return binary.BigEndian.Uint32(b[1:]), b[headerSize:], nil
}
