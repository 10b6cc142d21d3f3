package agg

import (
	"encoding/hex"
	"math"
	"math/big"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// The bytes on disk of what is kept beside sums and extremes: a change of them is a change of format.
func TestStructuresOfNumbersAreStable(t *testing.T) {
	vector := event.Type{Kind: event.List, Elem: &double}
	cents := event.Type{Kind: event.Decimal, Scale: 2}
	list := func(values ...event.Value) event.Value {
		return event.Value{Kind: event.List, Str: string(event.AppendList(nil, values...))}
	}
	rows := []event.Row{
		{Time: 1000, Values: []event.Value{event.DoubleOf(2.5), event.DecimalOf(big.NewInt(-3), 2), list(event.DoubleOf(1), event.Value{})}},
		{Time: 3000, Values: []event.Value{event.DoubleOf(-0.75), event.DecimalOf(big.NewInt(7), 2), list(event.DoubleOf(math.NaN()), event.DoubleOf(0.5))}},
		{Time: 3000, Values: []event.Value{{}, {}, list(event.DoubleOf(1))}},
	}
	for _, c := range []struct {
		name string
		g    Group
		want string // behind the 2 bytes of the newest time and the length of the group
	}{
		{"moments", Group{Type: double, Parts: PartCubes | PartFourths | PartOldest}, "020000" + // two rows, of the newest time, no flags
			"0401340f" + "04016127" + // 0xf34·256^-1 = 15.203125, 0x2761·256^-1 = 39.37890625
			"d00f"}, // 2000 before the newest
		{"cross", Group{Type: double, Second: 2, SecondType: cents, Keeps: Structure{Kind: KeepCross}}, "0200" +
			"1100" + // 17 bytes, all are finite
			"0401c001" + "0204" + "0401d006" + "023a" + "0501c00c"}, // 1.75, 4, 6.8125, 58, -12.75
		{"trend", Group{Type: double, Keeps: Structure{Kind: KeepTrend}}, "0200" +
			"0f" + "04a00f" + "06809698" + "00" + "0401c001" + "0200fa"}, // 4000, 10^7, finite, 1.75, 250
		{"decay", Group{Type: double, Keeps: Structure{Kind: KeepDecay, HalfLife: 1000}}, "0200" +
			"0b" + "00" + "00" + "02000a" + "030001" + "000000"}, // no flags, generation 0: 2+8, 2.5·2-0.75·8; none before
		{"decay of rows", Group{Input: -1, Keeps: Structure{Kind: KeepDecay, HalfLife: 1000}}, "0300" +
			"08" + "00" + "00" + "020012" + "000000"},
		{"vector sum", Group{Input: 2, Type: vector, Keeps: Structure{Kind: KeepVectorSum, Dim: 2}}, "0200" +
			"0a" + "02" + "01" + "020001" + "01" + "00" + "020180"}, // two, NaN, 1; one, no flags, 0.5
		{"vector min", Group{Input: 2, Type: vector, Keeps: Structure{Kind: KeepVectorMin, Dim: 2}}, "0200" +
			"0a" + "02" + "01" + "bfe0000000000000"}, // NaN; 0.5
		{"vector decay", Group{Input: 2, Type: vector, Keeps: Structure{Kind: KeepVectorDecay, Dim: 2, HalfLife: 1000}}, "0200" +
			"18" + "0b" + "01" + "00" + "02000a" + "020002" + "000000" + // NaN, generation 0: 2+8, 1·2
			"0b" + "00" + "00" + "020008" + "020004" + "000000"},
	} {
		c.g.Filter = -1
		got := partialOf(&Layout{Groups: []Group{c.g}}, rows).Append(nil)
		if s := hex.EncodeToString(got[3:]); s != c.want {
			t.Errorf("%s: the encoding is\n%s, want\n%s", c.name, s, c.want)
		}
	}
}
