package feature

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
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

// appendKeyValue appends one key column of an entity: a zigzag varint (boolean, long, instants) or a
// length uvarint and bytes (string, bytes).
func appendKeyValue(dst []byte, v *event.Value) []byte {
	switch v.Kind {
	case event.String, event.Bytes:
		dst = binary.AppendUvarint(dst, uint64(len(v.Str)))
		return append(dst, v.Str...)
	}
	return binary.AppendVarint(dst, int64(v.Num))
}

// appendPrefix appends slot, view and a room for the entity that the caller appends; see sealPrefix.
func appendPrefix(dst []byte, view uint16) []byte {
	return append(dst, 0, 0, byte(view>>8), byte(view))
}

// appendEntityPrefix is appendPrefix for an entity by its name, which begins with the slot.
func appendEntityPrefix(dst []byte, view uint16, name []byte) []byte {
	return append(append(dst, name[0], name[1], byte(view>>8), byte(view)), name[2:]...)
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
	keyDropped  = metaPrefix + "duplicate/" // + view: JSON of how many rows of each source are duplicates
	keyCensus   = metaPrefix + "census"     // JSON of censusRecord
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
