package feature

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// The keys of the state (docs/format/head.md):
//
//	slot(2) view(2) entity  0        the head of an entity
//	slot(2) view(2) entity  1 id(8)  one of its blocks
//	0xffff  …                        what is not an entity's: meta keys
//
// The slot is one of 1,024, a hash of the entity alone, so that a part of the state can be moved as
// a range and all views of an entity lie in it; the encoding of an entity is prefix-free.
const (
	slots     = 1024
	kindHead  = 0
	kindBlock = 1
)

// maxKeyBytes bounds the encoding of an entity; a longer key is a dead letter of reason "key".
const maxKeyBytes = 4096

// appendEntity appends the encoding of an entity's key values, in the order of its columns: for each
// a zigzag varint (boolean, long, instants) or a length uvarint and bytes (string, bytes).
func appendEntity(dst []byte, keys []event.Value) []byte {
	for i := range keys {
		dst = appendKeyValue(dst, &keys[i])
	}
	return dst
}

func appendKeyValue(dst []byte, v *event.Value) []byte {
	switch v.Kind {
	case event.String, event.Bytes:
		dst = binary.AppendUvarint(dst, uint64(len(v.Str)))
		return append(dst, v.Str...)
	}
	return binary.AppendVarint(dst, int64(v.Num))
}

// decodeEntity is the inverse of appendEntity; the strings alias b.
func decodeEntity(cols []pipeline.Column, b []byte) ([]event.Value, []byte, error) {
	var out []event.Value
	for _, c := range cols {
		v := event.Value{Kind: c.Type.Kind}
		switch c.Type.Kind {
		case event.String, event.Bytes:
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w) {
				return nil, nil, fmt.Errorf("decode entity key: column %q is cut off", c.Name)
			}
			v.Str = event.Alias(b[w : w+int(n)])
			b = b[w+int(n):]
		default:
			n, w := binary.Varint(b)
			if w <= 0 {
				return nil, nil, fmt.Errorf("decode entity key: column %q is cut off", c.Name)
			}
			v.Num = uint64(n)
			b = b[w:]
		}
		out = append(out, v)
	}
	return out, b, nil
}

// appendPrefix appends slot, view and a room for the entity that the caller appends; see sealPrefix.
func appendPrefix(dst []byte, view uint16) []byte {
	return append(dst, 0, 0, byte(view>>8), byte(view))
}

// sealPrefix writes the slot of the entity that stands behind the 4 bytes of appendPrefix in b.
func sealPrefix(b []byte) {
	binary.BigEndian.PutUint16(b, slotOf(b[4:]))
}

func slotOf(entity []byte) uint16 { return uint16(xxhash.Sum64(entity) % slots) }

// prefixSlot reads the slot back.
func prefixSlot(prefix []byte) int { return int(binary.BigEndian.Uint16(prefix)) }

func headKey(dst []byte, prefix string) []byte {
	return append(append(dst[:0], prefix...), kindHead)
}

func blockKey(dst []byte, prefix string, id uint64) []byte {
	dst = append(append(dst[:0], prefix...), kindBlock)
	return binary.BigEndian.AppendUint64(dst, id)
}

// Meta keys begin with a slot that no entity has.
const metaPrefix = "\xff\xff"

const (
	keyPlan     = metaPrefix + "plan"
	keySources  = metaPrefix + "source/"    // + source: JSON of sourceRecord
	keyParts    = metaPrefix + "partition/" // + source \x00 partition(4): JSON of partitionRecord
	keySeen     = metaPrefix + "seen/"      // + source \x00 partition(4)
	keyArrivals = metaPrefix + "arrival/"   // + source \x00 partition(4) from(8)
	keyDead     = metaPrefix + "dead/"      // + source \x00 partition(4) offset(8) view
)

// partitionKey appends source \x00 partition to a meta prefix.
func partitionKey(prefix, source string, partition int32) []byte {
	b := append([]byte(prefix), source...)
	b = append(b, 0)
	return binary.BigEndian.AppendUint32(b, uint32(partition))
}

// prefixEnd returns the least key above all keys that begin with prefix.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
