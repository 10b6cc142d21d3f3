package agg

import (
	"fmt"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// A group that is left out of an encoding stays left out of what it is merged into, and the others do not
// feel it.
func TestAppendWithin(t *testing.T) {
	l := &Layout{Groups: []Group{
		{Input: 0, Type: event.Type{Kind: event.String}, Filter: -1, Keeps: Structure{Kind: KeepLast, K: 100}},
		{Input: 1, Type: event.Type{Kind: event.Long}, Filter: -1, Parts: PartSum},
	}}
	row := func(i int) *event.Row {
		return &event.Row{
			Time: event.Time(i), Pos: event.Position{Offset: int64(i)},
			Values: []event.Value{event.StringOf(fmt.Sprint("text ", i)), event.LongOf(int64(i))},
		}
	}
	whole, both, sums := NewPartial(l, nil), NewPartial(l, nil), NewPartial(l, []int{1})
	for i := range 40 {
		whole.Add(row(i))
	}
	full, within := whole.Append(nil), whole.AppendWithin(nil, 100)
	if string(whole.AppendWithin(nil, 1<<20)) != string(full) || len(within) >= len(full) {
		t.Fatalf("%d bytes within 100 a group, %d in full", len(within), len(full))
	}
	if !both.Holds(full) || both.Holds(within) || !sums.Holds(within) {
		t.Error("Holds does not tell what was left out")
	}
	if err := sums.MergeEncoded(within); err != nil {
		t.Fatal(err)
	}
	if a := sums.Answer(&Call{Func: Sum, Group: 1}, At{}); a.Value != event.LongOf(780) {
		t.Errorf("the sum beside a group left out: %v", a.Value)
	}
	if err := both.MergeEncoded(within); err != nil {
		t.Fatal(err)
	}
	kept := sums.AppendKept(nil)
	again := NewPartial(l, []int{1})
	if both.Holds(kept) || !sums.Holds(kept) {
		t.Error("Holds does not tell what was not kept")
	}
	if err := again.MergeEncoded(kept); err != nil {
		t.Fatal(err)
	}
	if a := again.Answer(&Call{Func: Sum, Group: 1}, At{}); a.Value != event.LongOf(780) {
		t.Errorf("the sum of what was kept: %v", a.Value)
	}
	if string(whole.AppendKept(nil)) != string(full) {
		t.Error("a partial of all groups is encoded in two ways")
	}
	both.Add(row(41))
	third := NewPartial(l, nil)
	third.Merge(both)
	if b := third.Append(nil); third.Holds(b) || !sums.Holds(b) {
		t.Error("what was left out of a part is not left out of the whole")
	}
	third.Reset()
	third.Add(row(1))
	if b := third.Append(nil); !third.Holds(b) {
		t.Error("Reset does not forget what was left out")
	}
}
