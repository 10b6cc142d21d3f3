package elementary

import (
	"flag"
	"fmt"
	"go/format"
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables anew")

// TestTables computes the tables again, by series in big numbers.
func TestTables(t *testing.T) {
	var b strings.Builder
	b.WriteString("package elementary\n\n// Made by `go test ./transforms/elementary -update`.\n")
	hex := func(x float64) string { return strconv.FormatFloat(x, 'x', -1, 64) }
	pairOf := func(x *big.Float) string {
		hi, _ := x.Float64()
		lo, _ := newBig().Sub(x, bigOf(hi)).Float64()
		return "{" + hex(hi) + ", " + hex(lo) + "}"
	}
	// parts cuts x into doubles of 33 bits each, but for the last.
	parts := func(x *big.Float, n int) string {
		var out []string
		rest := newBig().Set(x)
		for i := range n {
			p := new(big.Float).SetPrec(53)
			if i < n-1 {
				p.SetPrec(33).SetMode(big.ToZero)
			}
			f, _ := p.Set(rest).Float64()
			out = append(out, hex(f))
			rest.Sub(rest, bigOf(f))
		}
		return strings.Join(out, ", ")
	}
	double := func(x *big.Float) string { f, _ := x.Float64(); return hex(f) }
	ln2, ln10, quarter := refLn2(), refLog(bigOf(10)), newBig().Set(halfPi())

	fmt.Fprintf(&b, "\nvar (\nln2 = pair%s\n", pairOf(ln2))
	fmt.Fprintf(&b, "perLn2 = pair%s // 1/ln 2\n", pairOf(newBig().Quo(bigOf(1), ln2)))
	fmt.Fprintf(&b, "perLn10 = pair%s // 1/ln 10\n", pairOf(newBig().Quo(bigOf(1), ln10)))
	fmt.Fprintf(&b, "third = pair%s\n", pairOf(newBig().Quo(bigOf(1), bigOf(3))))
	fmt.Fprintf(&b, "quarterPair = pair%s // π/2\n)\n", pairOf(quarter))
	fmt.Fprintf(&b, "\nconst (\nstepsPerUnit = %s // 128/ln 2\n", double(newBig().Quo(bigOf(128), ln2)))
	fmt.Fprintf(&b, "quartersPerUnit = %s // 2/π\n", double(newBig().Quo(bigOf(1), quarter)))
	b.WriteString("upperHalf = 106 // of reciprocals: from here on, of m/2\n)\n")
	fmt.Fprintf(&b, "\n// step is ln 2/128 in parts.\nvar step = [3]float64{%s}\n", parts(newBig().Quo(ln2, bigOf(128)), 3))
	fmt.Fprintf(&b, "\n// quarterTurn is π/2 in parts.\nvar quarterTurn = [4]float64{%s}\n", parts(quarter, 4))

	b.WriteString("\n// powersOfTwo are 2^(i/128).\nvar powersOfTwo = [128]pair{\n")
	for i := range 128 {
		b.WriteString(pairOf(refExp(newBig().Mul(newBig().Quo(newBig().SetInt64(int64(i)), bigOf(128)), ln2))) + ",\n")
	}
	b.WriteString("}\n\n// reciprocals are short numbers near 1/(1 + (i+½)/256), or twice that in the upper half.\nvar reciprocals = [256]float64{\n")
	var logs strings.Builder
	for i := range 256 {
		m := 1 + (float64(i)+0.5)/256
		if i >= 106 {
			m /= 2
		}
		c := math.Round(512/m) / 512
		if i == 0 || i == 255 {
			c = 1
		}
		b.WriteString(hex(c) + ",\n")
		logs.WriteString(pairOf(newBig().Neg(refLog(bigOf(c)))) + ",\n")
	}
	b.WriteString("}\n\n// logarithms are -log of reciprocals.\nvar logarithms = [256]pair{\n" + logs.String())
	b.WriteString("}\n\n// arcTangents are atan(i/16).\nvar arcTangents = [17]pair{\n")
	for i := range 17 {
		b.WriteString(pairOf(refAtan(bigOf(float64(i)/16))) + ",\n")
	}
	b.WriteString("}\n")
	want, err := format.Source([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("tables.go", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("tables.go")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("tables.go is not what is computed: run go test ./transforms/elementary -update")
	}
}
