package agg

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// byCases are all aggregates that may be kept apart by a key, with parameters.
func byCases() []structureCase {
	cases := slices.Clone(structureCases)
	for _, c := range lawFuncs {
		cases = append(cases, structureCase{c.f, c.p})
	}
	return cases
}

// byGroups are the groups that answer c over type in, with the call.
func byGroups(c structureCase, in event.Type) (groups []Group, call Call) {
	for _, g := range []Group{{Type: in, Filter: -1}, {Type: in, Filter: 1, Second: 2, SecondType: secondOf(in)}, {Input: -1, Filter: -1}} {
		needs, bound, _, err := Bind(c.f, g.Type, g.SecondType, c.p)
		if err != nil {
			continue
		}
		g.Parts, g.Keeps, call = needs.Parts, needs.Keeps, bound
		groups = append(groups, g)
	}
	return groups, call
}

// Apart by a key, every aggregate answers for each key what it answers over the rows of that key alone,
// and for the rest what it answers over all others.
func TestByIsEachKeyAlone(t *testing.T) {
	keys, rests := 0, 0
	for i, in := range inputTypes {
		t.Run(in.String(), func(t *testing.T) {
			for n, c := range byCases() {
				groups, call := byGroups(c, in)
				for m, g := range groups {
					r := rand.New(rand.NewPCG(uint64(i), uint64(100*n+m)))
					g.By, g.ByType, g.ByLimit = 3, keyTypes[r.IntN(len(keyTypes))], 2+r.IntN(3)*500
					rows := drawRows(r, 40, in, patterns[r.IntN(len(patterns)-1)])
					for i := range rows {
						rows[i].Values = append(rows[i].Values, draw(r, g.ByType, "null"))
					}
					if c.f.Ordered() {
						slices.SortFunc(rows, func(x, y event.Row) int { return x.Compare(&y) })
					}
					k, x := checkAlone(t, g, call, rows)
					keys, rests = keys+k, rests+x
				}
			}
		})
	}
	if keys < 1000 || rests < 100 {
		t.Errorf("only %d keys and %d rests were tried", keys, rests)
	}
}

// checkAlone compares the map that g answers with the answers of its rows split by hand.
func checkAlone(t *testing.T, g Group, c Call, rows []event.Row) (keys, rests int) {
	t.Helper()
	at, l := lawWindow(rows), &Layout{Groups: []Group{g}}
	p := merged(t, l, true, partialOf(l, rows[:13]), partialOf(l, rows[13:30]), partialOf(l, rows[30:]))
	plain := g
	plain.By, plain.ByType, plain.ByLimit = 0, event.Type{}, 0
	alone := &Layout{Groups: []Group{plain}}
	counted := slices.DeleteFunc(slices.Clone(rows), func(r event.Row) bool {
		return r.Values[2].IsNull() || partialOf(alone, []event.Row{r}).Count(0) == 0
	})
	if got := p.Count(0); got != int64(len(counted)) {
		t.Fatalf("%s by %s counts %d rows, want %d", c.Func, g.ByType, got, len(counted))
	}
	kept, others := naiveKeys(g, counted)
	keyed := c
	keyed.By = &By{Rest: "the rest"}
	pairs := listElems(p.Answer(&keyed, at).Value)
	want := map[string][]event.Row{}
	for _, k := range kept {
		want[k.key.String()] = k.rows
	}
	if len(others) > 0 && !c.Func.Ordered() {
		want["the rest"] = others
		rests++
	}
	if len(pairs) != 2*len(want) {
		t.Fatalf("%s by %s answers %d keys, want %d", c.Func, g.ByType, len(pairs)/2, len(want))
	}
	for i := 0; i < len(pairs); i += 2 {
		if got, of := pairs[i+1], partialOf(alone, want[pairs[i].Str]).Answer(&c, at).Value; got != of {
			t.Fatalf("%s by %s: %q has %s, alone %s", c.Func, g.ByType, pairs[i].Str, got, of)
		}
		keys++
	}
	return keys, rests
}

// The keys with the most rows come in, of equals the least by value; a key named as the rest is of the rest.
func TestByByHand(t *testing.T) {
	long := event.Type{Kind: event.Long}
	g := Group{Input: -1, Filter: -1, By: 1, ByType: long, ByLimit: 100}
	p := NewPartial(&Layout{Groups: []Group{g}}, nil)
	for i, n := range []int64{10, 9, 9, 10, 2, 300, 300, 300, 7, 2} {
		p.Add(&event.Row{Pos: event.Position{Offset: int64(i)}, Values: []event.Value{event.LongOf(n)}})
	}
	p.Add(&event.Row{Values: []event.Value{{}}}) // without a key
	p.Add(&event.Row{Values: []event.Value{event.StringOf("7")}})
	for _, c := range []struct {
		by   By
		want string
	}{
		{By{}, `{"10":2,"2":2,"300":3,"7":1,"9":2}`},
		{By{Top: 2}, `{"2":2,"300":3}`},
		{By{Top: 3}, `{"2":2,"300":3,"9":2}`},
		{By{Top: 3, Rest: "other"}, `{"2":2,"300":3,"9":2,"other":3}`},
		{By{Top: 100, Rest: "other"}, `{"10":2,"2":2,"300":3,"7":1,"9":2}`},
		{By{Top: 1, Rest: "300"}, `{"2":2,"300":8}`},
		{By{Rest: "7"}, `{"10":2,"2":2,"300":3,"7":1,"9":2}`},
	} {
		a := p.Answer(&Call{Func: Count, By: &c.by}, At{})
		if got := a.Value.String(); got != c.want || a.Value.Kind != event.Map {
			t.Errorf("count by %+v is %s, want %s", c.by, got, c.want)
		}
	}
	sums := NewPartial(&Layout{Groups: []Group{{Type: long, Filter: -1, Parts: PartSum | PartMin, By: 2, ByType: long, ByLimit: 100}}}, nil)
	for i, x := range [][2]int64{{1, 1}, {1, 2}, {1, 3}, {7, 4}, {5, 5}, {2, 5}, {0, 6}, {math.MaxInt64, 8}, {1, 8}} {
		sums.Add(&event.Row{Pos: event.Position{Offset: int64(i)}, Values: []event.Value{event.LongOf(x[0]), event.LongOf(x[1])}})
	}
	for _, c := range []struct {
		f    Func
		by   By
		want string
	}{
		{Sum, By{Top: 2, Value: true}, `{"4":7,"5":7}`}, // of equals the least key; the sum of 8 is null, and last
		{Sum, By{Top: 1, Value: true}, `{"4":7}`},
		{Sum, By{Top: 6, Value: true, Rest: "rest"}, `{"1":1,"2":1,"3":1,"4":7,"5":7,"6":0,"rest":null}`},
		{Min, By{Top: 1, Value: true, Rest: "rest"}, `{"4":7,"rest":0}`},
		{Min, By{Top: 1, Value: true, Rest: "4"}, `{"4":0,"5":2}`},
		{Count, By{Top: 2, Value: true}, `{"5":2,"8":2}`},
	} {
		if got := sums.Answer(&Call{Func: c.f, By: &c.by}, At{}).Value.String(); got != c.want {
			t.Errorf("%s by %+v is %s, want %s", c.f, c.by, got, c.want)
		}
	}
	if p.Count(0) != 10 {
		t.Errorf("%d rows are counted, want those with a key", p.Count(0))
	}
	p.Reset()
	if a := p.Answer(&Call{Func: Count, By: &By{Top: 2}}, At{}); !a.Value.IsNull() || a.Newest != event.MinTime {
		t.Errorf("over nothing: %v at %d", a.Value, a.Newest)
	}
}

// A sum of longs that falls outside int64 under one key is told.
func TestByTellsOverflow(t *testing.T) {
	long := event.Type{Kind: event.Long}
	g := Group{Type: long, Filter: -1, Parts: PartSum, By: 2, ByType: long, ByLimit: 100}
	p := NewPartial(&Layout{Groups: []Group{g}}, nil)
	for i := range 4 {
		n := event.LongOf(1 << 62)
		p.Add(&event.Row{Pos: event.Position{Offset: int64(i)}, Values: []event.Value{n, event.LongOf(int64(i / 3))}})
	}
	a := p.Answer(&Call{Func: Sum, By: &By{}}, At{})
	if got, want := a.Value.String(), fmt.Sprintf(`{"0":null,"1":%d}`, int64(1)<<62); got != want || !a.Overflow {
		t.Errorf("sums are %s, overflow %v; want %s", got, a.Overflow, want)
	}
}
