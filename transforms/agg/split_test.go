package agg

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// A map of ratios has, for each of its keys and for the rest, the ratio of the rows that belong there, however
// the rows were split; and its keys are chosen by the rows of both.
func TestRatioByIsEachKeyAlone(t *testing.T) {
	beyond, missing := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		in := inputTypes[r.IntN(len(inputTypes))]
		if !in.Numeric() {
			in = event.Type{Kind: event.Double, Nullable: true}
		}
		byType := keyTypes[r.IntN(len(keyTypes))]
		limit := []int{1, 2, 3, 5, 1000}[r.IntN(5)]
		above := Group{Type: in, Filter: r.IntN(3) - 1, Parts: PartSum | PartMax, By: 3, ByType: byType, ByLimit: limit}
		over := Group{Input: -1, Filter: r.IntN(3) - 1, By: 3, ByType: byType, ByLimit: limit}
		l := &Layout{Groups: []Group{above, over}}
		c := Call{
			Func: Ratio, By: &By{Top: r.IntN(3), Rest: []string{"", "the rest", "1"}[r.IntN(3)]},
			Above: &Call{Func: []Func{Sum, Max}[r.IntN(2)]}, Over: &Call{Func: Count, Group: 1},
		}
		rows := drawRows(r, r.IntN(40), in, "null")
		for i := range rows {
			rows[i].Values = append(rows[i].Values, draw(r, byType, "null"))
		}
		i, at := r.IntN(len(rows)+1), lawWindow(rows)
		p := merged(t, l, r.IntN(2) == 0, partialOf(l, rows[i:]), partialOf(l, rows[:i]))
		want, cut := naiveRatioBy(rows, l, &c, at)
		if got := p.Answer(&c, at).Value; got != want {
			t.Fatalf("seed %d: %+v of limit %d is %s, want %s", seed, *c.By, limit, got, want)
		}
		if cut {
			beyond++
		}
		if want.IsNull() {
			missing++
		}
	}
	if beyond < 50 || missing == 0 {
		t.Errorf("only %d maps were beyond the limit, and %d null", beyond, missing)
	}
}

// naiveRatioBy is the map by its definition; cut tells whether there were more keys than the limit.
func naiveRatioBy(rows []event.Row, l *Layout, c *Call, at At) (want event.Value, cut bool) {
	plain := func(i int) Group {
		g := l.Groups[i]
		g.By = 0
		return g
	}
	counted := func(rows []event.Row, i int) []event.Row {
		return slices.DeleteFunc(naiveRows(rows, plain(i)), func(r event.Row) bool { return r.Values[2].IsNull() })
	}
	ratio := func(rows []event.Row) event.Value {
		alone := &Layout{Groups: []Group{plain(0), plain(1)}}
		one := *c
		one.By = nil
		return partialOf(alone, rows).Answer(&one, at).Value
	}
	var either []event.Row
	for _, r := range rows {
		if len(counted([]event.Row{r}, 0))+len(counted([]event.Row{r}, 1)) > 0 {
			either = append(either, r)
		}
	}
	kept, others := naiveKeys(l.Groups[1], either)
	slices.SortStableFunc(kept, func(x, y naiveKey) int {
		return cmp.Or(cmp.Compare(len(counted(y.rows, 1)), len(counted(x.rows, 1))), event.Compare(x.key, y.key))
	})
	cut = len(others) > 0
	shown := map[string]event.Value{}
	for _, k := range kept {
		full := c.By.Top > 0 && len(shown) >= c.By.Top
		if len(counted(k.rows, 1)) == 0 || full || c.By.Rest != "" && k.key.String() == c.By.Rest {
			others = append(others, k.rows...)
			continue
		}
		shown[k.key.String()] = ratio(k.rows)
	}
	if c.By.Rest != "" && len(counted(others, 1)) > 0 {
		shown[c.By.Rest] = ratio(others)
	}
	if len(counted(rows, 1)) == 0 {
		return event.Value{}, cut
	}
	var m Entries
	for key, v := range shown {
		m.Add(key, v)
	}
	return m.Value(), cut
}

// A key that only the dividend counts is not shown, and goes to the rest.
func TestRatioByByHand(t *testing.T) {
	long, text := event.Type{Kind: event.Long}, event.Type{Kind: event.String}
	g := Group{Type: long, Filter: 0, Parts: PartSum, By: 2, ByType: text, ByLimit: 10}
	h := g
	h.Filter = 1
	p := NewPartial(&Layout{Groups: []Group{g, h}}, nil)
	for i, x := range []struct {
		key  string
		n    int64
		pass uint64
	}{{"a", 1, 3}, {"a", 3, 2}, {"b", 5, 2}, {"c", 7, 1}, {"d", 2, 3}, {"d", 0, 2}, {"d", 0, 2}} {
		p.Add(&event.Row{Pos: event.Position{Offset: int64(i)}, Pass: x.pass, Values: []event.Value{event.LongOf(x.n), event.StringOf(x.key)}})
	}
	c := Call{Func: Ratio, Above: &Call{Func: Sum}, Over: &Call{Func: Sum, Group: 1}}
	for _, x := range []struct {
		by   By
		want string
	}{
		{By{}, `{"a":0.25,"b":null,"d":1}`},
		{By{Top: 1}, `{"d":1}`},
		{By{Top: 1, Rest: "rest"}, `{"d":1,"rest":0.8888888888888888}`}, // (1 + 7) / (1 + 3 + 5)
	} {
		c.By = &x.by
		if got := p.Answer(&c, At{}).Value.String(); got != x.want {
			t.Errorf("by %+v is %s, want %s", x.by, got, x.want)
		}
	}
}
