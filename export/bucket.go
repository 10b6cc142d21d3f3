package export

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
)

// buckets is into how many parts hashes fall. Samples, rebalancing and splits by hash choose among them.
const buckets = 1_000_000

// bucketHash tells the bucket of values, by an algorithm that other languages compute too: XXH64 with seed 0
// over the salt, then for each value a byte 0 and the bytes that the function hash of expressions takes, or a
// byte 1 alone for a null; as an unsigned number, modulo a million. docs/exports.md states it.
type bucketHash struct {
	salt string
	buf  []byte
}

func (h *bucketHash) begin() { h.buf = append(h.buf[:0], h.salt...) }

func (h *bucketHash) add(v event.Value) {
	if v.IsNull() {
		h.buf = append(h.buf, 1)
		return
	}
	h.buf = append(h.buf, 0)
	switch v.Kind {
	case event.Bool:
		h.buf = append(h.buf, byte(v.Num))
	case event.String, event.Bytes:
		h.buf = append(h.buf, v.Str...)
	case event.Double: // -0 is 0, and there is one NaN
		h.buf = binary.LittleEndian.AppendUint64(h.buf, math.Float64bits(event.DoubleOf(v.Double()).Double()))
	case event.Decimal:
		h.buf = append(h.buf, v.String()...)
	case event.Long, event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
		h.buf = binary.LittleEndian.AppendUint64(h.buf, v.Num)
	default: // lists and maps are refused before any row is read
		panic(fmt.Sprintf("export: no hash of a %s", v.Kind))
	}
}

func (h *bucketHash) bucket() int64 { return int64(xxhash.Sum64(h.buf) % buckets) }
