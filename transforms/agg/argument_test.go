package agg

import (
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// naiveArgument is the value at the greatest or least second column; ties: the greatest or least value.
func naiveArgument(rows []event.Row, g Group, f Func) event.Value {
	best := rows[0]
	for _, r := range rows[1:] {
		c := event.Compare(r.Values[g.Second-1], best.Values[g.Second-1])
		if c == 0 {
			c = event.Compare(r.Values[g.Input], best.Values[g.Input])
		}
		if f == ArgMax && c > 0 || f == ArgMin && c < 0 {
			best = r
		}
	}
	return tidy(best.Values[g.Input])
}

func TestArgumentByHand(t *testing.T) {
	text, double := event.Type{Kind: event.String}, event.Type{Kind: event.Double}
	for _, c := range []struct {
		f    Func
		want string
	}{{ArgMax, "c"}, {ArgMin, "a"}} {
		needs, call, answer, err := Bind(c.f, text, double, Params{})
		if err != nil || answer.Kind != event.String || !answer.Nullable {
			t.Fatalf("%s answers %s, %v", c.f, answer, err)
		}
		l := &Layout{Groups: []Group{{Type: text, Second: 2, SecondType: double, Filter: -1, Keeps: needs.Keeps}}}
		p := NewPartial(l, nil)
		for i, x := range []struct {
			shop   string
			amount event.Value
		}{{"b", event.DoubleOf(1)}, {"a", event.DoubleOf(1)}, {"c", event.DoubleOf(9)}, {"b", event.DoubleOf(9)}, {"z", event.Value{}}} {
			p.Add(&event.Row{Pos: event.Position{Offset: int64(i)}, Values: []event.Value{event.StringOf(x.shop), x.amount}})
		}
		if got := p.Answer(&call, At{}).Value.String(); got != c.want {
			t.Errorf("%s is %s, want %s", c.f, got, c.want)
		}
	}
}
