package export

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/delta"
)

// TestDeltas: the library reads what is written, of blocks that end anywhere and differences of every width.
func TestDeltas(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for width := range 65 {
		for _, n := range []int{1, 2, 32, 33, 128, 129, 130, 1000} {
			long, short := make([]int64, n), make([]int32, n)
			for i := range n {
				long[i] = int64(rng.Uint64() & (1<<width - 1))
				if i%7 == 3 {
					long[i] = []int64{math.MinInt64, math.MaxInt64, 0}[rng.IntN(3)]
				}
				short[i] = int32(long[i])
			}
			checkDeltas(t, long, parquet.Int64)
			checkDeltas(t, short, parquet.Int32)
		}
	}
}

func checkDeltas[T int32 | int64](t *testing.T, nums []T, kind parquet.Kind) {
	t.Helper()
	bits := make([]uint64, len(nums))
	for i, x := range nums {
		bits[i] = uint64(x)
		if kind == parquet.Int32 {
			bits[i] = uint64(uint32(x))
		}
	}
	b := appendDeltas(nil, bits, kind)
	var got []T
	var err error
	switch nums := any(nums).(type) {
	case []int64:
		var out []int64
		out, err = new(delta.BinaryPackedEncoding).DecodeInt64(make([]int64, 0, len(nums)), b)
		got = any(out).([]T)
	case []int32:
		var out []int32
		out, err = new(delta.BinaryPackedEncoding).DecodeInt32(make([]int32, 0, len(nums)), b)
		got = any(out).([]T)
	}
	if err != nil || !slices.Equal(got, nums) {
		t.Fatalf("%d of kind %v: %v, got %v, want %v", len(nums), kind, err, got, nums)
	}
}
