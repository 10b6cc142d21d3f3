package export

import (
	"math"
	"math/big"
	"os/exec"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// The buckets of docs/exports.md. A split must be the same in every release: these never change.
var goldenBuckets = []struct {
	salt   string
	values []event.Value
	want   int64
	python string // the bytes of the values
}{
	{"split", []event.Value{event.StringOf("u1")}, 373335, `b"\0u1"`},
	{"sample", []event.Value{event.StringOf("u1")}, 692563, `b"\0u1"`},
	{"", []event.Value{event.StringOf("")}, 757544, `b"\0"`},
	{"split", []event.Value{event.StringOf("Zürich")}, 612112, `b"\0" + "Zürich".encode()`},
	{"split", []event.Value{event.LongOf(42)}, 913389, `b"\0" + struct.pack("<q", 42)`},
	{"split", []event.Value{event.LongOf(-1)}, 718612, `b"\0" + struct.pack("<q", -1)`},
	{"split", []event.Value{event.StringOf("u1"), event.LongOf(7)}, 417408, `b"\0u1\0" + struct.pack("<q", 7)`},
	{"split", []event.Value{event.StringOf("u1"), {}}, 174824, `b"\0u1\1"`},
	{"split", []event.Value{event.BoolOf(true)}, 356903, `b"\0\1"`},
	{"split", []event.Value{event.DoubleOf(0.1)}, 201974, `b"\0" + struct.pack("<d", 0.1)`},
	{"split", []event.Value{event.DoubleOf(math.Copysign(0, -1))}, 876758, `b"\0" + struct.pack("<d", 0.0)`},
	{"split", []event.Value{event.DecimalOf(big.NewInt(1250), 2)}, 147251, `b"\0" + b"12.50"`},
	{"split", []event.Value{event.TimestampOf(1357380000000000)}, 382554, `b"\0" + struct.pack("<q", 1357380000000000)`},
}

func TestBuckets(t *testing.T) {
	for _, c := range goldenBuckets {
		h := bucketHash{salt: c.salt}
		h.begin()
		for _, v := range c.values {
			h.add(v)
		}
		if got := h.bucket(); got != c.want {
			t.Errorf("%q %v: bucket %d, want %d", c.salt, c.values, got, c.want)
		}
	}
}

// TestBucketsInPython computes the same buckets in another language, with an XXH64 that is written out.
func TestBucketsInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3: the buckets are not compared with another language's")
	}
	var script strings.Builder
	script.WriteString(pythonXXH64)
	for _, c := range goldenBuckets {
		script.WriteString("print(xxh64(b\"" + c.salt + "\" + " + c.python + ") % 1000000)\n")
	}
	cmd := exec.Command(python, "-")
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, line := range strings.Fields(string(out)) {
		if want := goldenBuckets[i].want; line != event.LongOf(want).String() {
			t.Errorf("%v: python says %s, want %d", goldenBuckets[i].values, line, want)
		}
	}
}

const pythonXXH64 = `import struct
M = 2**64 - 1
P1, P2, P3, P4, P5 = 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261

def rotl(x, r):
    return (x << r | x >> (64 - r)) & M

def round_(acc, lane):
    return rotl((acc + lane * P2) & M, 31) * P1 & M

def xxh64(b):
    n, i = len(b), 0
    if n >= 32:
        v = [(P1 + P2) & M, P2, 0, -P1 & M]
        while i + 32 <= n:
            for k in range(4):
                v[k] = round_(v[k], struct.unpack_from("<Q", b, i + 8 * k)[0])
            i += 32
        h = (rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18)) & M
        for x in v:
            h = ((h ^ round_(0, x)) * P1 + P4) & M
    else:
        h = P5
    h = (h + n) & M
    while i + 8 <= n:
        h = (rotl(h ^ round_(0, struct.unpack_from("<Q", b, i)[0]), 27) * P1 + P4) & M
        i += 8
    if i + 4 <= n:
        h = (rotl(h ^ struct.unpack_from("<I", b, i)[0] * P1 & M, 23) * P2 + P3) & M
        i += 4
    while i < n:
        h = rotl(h ^ b[i] * P5 & M, 11) * P1 & M
        i += 1
    h = (h ^ h >> 33) * P2 & M
    h = (h ^ h >> 29) * P3 & M
    return h ^ h >> 32

`
