package agg

import (
	"encoding/hex"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// stableRows are prices of three users, one without a user.
func stableRows() []event.Row {
	rows := []event.Row{}
	for i, x := range []float64{2.5, -1, 2.5, 0, 100, 7} {
		user := event.StringOf(string("aabcab"[i]))
		if i == 1 {
			user = event.Value{}
		}
		rows = append(rows, event.Row{
			Time: event.Time(1000 + 10*i), Pos: event.Position{Partition: int32(i % 2), Offset: int64(5 * i)},
			Order: event.LongOf(int64(i % 3)), Values: []event.Value{event.DoubleOf(x), event.LongOf(int64(x)), user},
		})
	}
	return rows
}

// The bytes on disk: a change of them is a change of format.
func TestStructuresAreStable(t *testing.T) {
	text, long := event.Type{Kind: event.String}, event.Type{Kind: event.Long}
	for _, c := range []struct {
		name string
		g    Group
		want string
	}{
		{"last", Group{Type: double, Keeps: Structure{Kind: KeepLast, K: 2}}, "02a010000028000202c0590000000000000a00020a000204c01c000000000000"},
		{"first", Group{Input: 2, Type: text, Keeps: Structure{Kind: KeepFirst, K: 3, Distinct: true}}, "03d00f00000000020001611400001400020401620a00020a0002000163"},
		{"top", Group{Input: 1, Type: long, Keeps: Structure{Kind: KeepTop, K: 3}}, "0302055d"},
		{"bottom", Group{Type: double, Keeps: Structure{Kind: KeepBottom, K: 2}}, "02400fffffffffffff8000000000000000"},
		{"values", Group{Input: 2, Type: text, Keeps: Structure{Kind: KeepValues, Limit: 2}}, "02016202016301"},
		{"distinct", Group{Input: 1, Type: long, Keeps: Structure{Kind: KeepSketchDistinct}}, "0005bed3cf05b2f6bc01aaa8e20482db50cbefa103"},
		{"quantiles", Group{Type: double, Keeps: Structure{Kind: KeepQuantiles, Accuracy: 0.01}}, "3101400fffffffffffffc0590000000000000100010362023801900101"},
		{"histogram", Group{Type: double, Keeps: Structure{Kind: KeepHistogram, Bounds: boundsOf([]float64{0, 10})}}, "010401"},
		{"drawdown", Group{Type: double, Keeps: Structure{Kind: KeepDrawdown}}, "004059000000000000bff00000000000000000000000000000"},
		{"by", Group{Input: 1, Type: long, Parts: PartSum, By: 3, ByType: text, ByLimit: 2}, "b410020162040200020901630301140004020a0266"},
	} {
		c.g.Filter = -1
		p := partialOf(&Layout{Groups: []Group{c.g}}, stableRows())
		if got := hex.EncodeToString(p.groups[0].keep.append(nil)); got != c.want {
			t.Errorf("%s is %s, want %s", c.name, got, c.want)
		}
	}
}
