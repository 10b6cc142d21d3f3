package expr

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/cespare/xxhash/v2"
	"github.com/expr-lang/expr/ast"

	"github.com/penstock-ml/penstock/event"
)

func hashFunctions() []function {
	return []function{
		def(1, 1, compileHash, "hash(x) long",
			"XXH64 with seed 0, the same in every release and language: of a string its bytes in UTF-8, of bytes these, of a boolean one byte 0 or 1, of a double its 8 bytes of IEEE 754, little-endian (-0 as 0, every NaN as 0x7ff8000000000001), of a long 8 bytes little-endian, as of a timestamp's microseconds and a date's days since 1970; of a decimal the bytes of its text. The 64 bits are read as a signed number.",
			`hash("penstock")`, "-6781507496950606221", "hash(42)", "-5379971487550586029"),
		def(2, 2, compileBucket, "hash_bucket(x, n long) long", "The hash, read as an unsigned number, modulo n: 0 to n-1. Null unless n is above 0.",
			`hash_bucket("penstock", 100)`, "95"),
		def(1, 1, compileSHA256, "sha256(x string|bytes) string", "SHA-256 in hexadecimal: for names that must not be read.",
			`left(sha256("penstock"), 16)`, "539508beacbe5cd1"),
	}
}

// hashOf is XXH64 of x's bytes.
func (c *compiler) hashOf(name string, o operand) (fn[uint64], error) {
	x := o.code
	word := func(n uint64) uint64 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], n)
		return xxhash.Sum64(b[:])
	}
	switch {
	case x.t.Kind == event.Bool:
		return map1(x.b, func(b bool) uint64 { return xxhash.Sum64([]byte{byte(bit(b))}) }), nil
	case classOf(x.t.Kind) == intClass:
		return map1(x.i, func(n int64) uint64 { return word(uint64(n)) }), nil
	case x.t.Kind == event.Double:
		return map1(x.f, func(f float64) uint64 { return word(math.Float64bits(event.DoubleOf(f).Double())) }), nil
	case x.t.Kind == event.String || x.t.Kind == event.Bytes:
		return map1(x.s, xxhash.Sum64String), nil
	case x.t.Kind == event.Decimal:
		return try1(x.v, func(v event.Value) (uint64, bool) {
			if len(v.Str) > maxUnscaled {
				return 0, false
			}
			return xxhash.Sum64String(v.String()), true
		}), nil
	}
	return nil, c.wrong(name, o, "a single value")
}

func compileHash(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	h, err := c.hashOf(name, args[0])
	if err != nil {
		return code{}, err
	}
	r := result(event.Long, name, args[0].code)
	r.t.Nullable = r.t.Nullable || args[0].t.Kind == event.Decimal
	r.i = map1(h, func(h uint64) int64 { return int64(h) })
	return fold(r, args[0].code), nil
}

func compileBucket(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	h, err := c.hashOf(name, args[0])
	if err != nil {
		return code{}, err
	}
	n := args[1]
	if n.t.Kind != event.Long {
		return code{}, c.wrong(name, n, "a long")
	}
	if n.konst && n.val.Long() <= 0 {
		return code{}, c.fail(n.at, "there is no bucket", "write a number above 0")
	}
	xs := codes(args)
	r := result(event.Long, name, xs...)
	r.t.Nullable = r.t.Nullable || !n.konst || args[0].t.Kind == event.Decimal
	r.i = try2(h, n.i, func(h uint64, n int64) (int64, bool) {
		if n <= 0 {
			return 0, false
		}
		return int64(h % uint64(n)), true
	})
	return fold(r, xs...), nil
}

func compileSHA256(c *compiler, _ ast.Node, name string, args []operand) (code, error) {
	x := args[0].code
	if x.t.Kind != event.String && x.t.Kind != event.Bytes {
		return code{}, c.wrong(name, args[0], "a string or bytes")
	}
	r := result(event.String, name, x)
	r.s = map1(x.s, func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	})
	return fold(r, x), nil
}
