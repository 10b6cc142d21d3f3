package export

import (
	"encoding/binary"
	"math/bits"

	"github.com/parquet-go/parquet-go"
)

// DELTA_BINARY_PACKED: each number less the one before it, less the least of these differences in a block, in as many bits as
// the largest of a miniblock has. https://parquet.apache.org/docs/file-format/data-pages/encodings
const (
	numbersOfBlock = 128
	miniblocks     = 4
	numbersOfMini  = numbersOfBlock / miniblocks
)

// appendDeltas appends whole numbers. Those of 32 bits differ by what has 32 bits.
func appendDeltas(to []byte, nums []uint64, kind parquet.Kind) []byte {
	shift := 0
	if kind == parquet.Int32 {
		shift = 32
	}
	signed := func(x uint64) int64 { return int64(x<<shift) >> shift }
	to = binary.AppendUvarint(to, numbersOfBlock)
	to = binary.AppendUvarint(to, miniblocks)
	to = binary.AppendUvarint(to, uint64(len(nums)))
	to = binary.AppendVarint(to, signed(nums[0]))
	last := nums[0]
	var deltas [numbersOfBlock]uint64
	for nums = nums[1:]; len(nums) > 0; {
		n := min(len(nums), numbersOfBlock)
		least := signed(nums[0] - last)
		for i, x := range nums[:n] {
			d := signed(x - last)
			deltas[i], last = uint64(d), x
			least = min(least, d)
		}
		nums = nums[n:]
		for i := range n {
			deltas[i] = (deltas[i] - uint64(least)) << shift >> shift
		}
		clear(deltas[n:])
		to = appendBlock(binary.AppendVarint(to, least), &deltas, n)
	}
	return to
}

// appendBlock appends the widths of miniblocks, and those that have some of the n numbers.
func appendBlock(to []byte, deltas *[numbersOfBlock]uint64, n int) []byte {
	widths := len(to)
	to = append(to, make([]byte, miniblocks)...)
	for m := 0; m*numbersOfMini < n; m++ {
		mini := deltas[m*numbersOfMini:][:numbersOfMini]
		all := uint64(0)
		for _, d := range mini {
			all |= d
		}
		width := bits.Len64(all)
		to[widths+m] = byte(width)
		to = appendBits(to, mini, width)
	}
	return to
}

// appendBits appends numbers of so many bits, the lowest bits first. Together they fill bytes.
func appendBits(to []byte, nums []uint64, width int) []byte {
	var word uint64 // bits that are not yet written
	have := 0
	for _, x := range nums {
		word |= x << have
		if have += width; have < 64 {
			continue
		}
		to = binary.LittleEndian.AppendUint64(to, word)
		have -= 64
		word = x >> (width - have) // of a shift by 64 Go says 0
	}
	for ; have > 0; have -= 8 {
		to = append(to, byte(word))
		word >>= 8
	}
	return to
}
