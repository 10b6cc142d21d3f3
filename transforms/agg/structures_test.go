package agg

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
)

// structureCase is an aggregate with parameters, as users would write it.
type structureCase struct {
	f Func
	p Params
}

func number(n int) *int { return &n }

// structureCases are small enough that a few rows pass every bound.
var structureCases = []structureCase{
	{FirstK, Params{K: number(3)}},
	{FirstK, Params{K: number(2), Distinct: true}},
	{FirstK, Params{K: number(100)}},
	{LastK, Params{K: number(1)}},
	{LastK, Params{K: number(3)}},
	{LastK, Params{K: number(3), Distinct: true}},
	{Nth, Params{N: number(2)}},
	{Nth, Params{N: number(-3)}},
	{Lag, Params{}},
	{Lag, Params{N: number(0)}},
	{CollectList, Params{Limit: number(4)}},
	{CollectList, Params{}},
	{TopK, Params{K: number(3)}},
	{TopK, Params{K: number(50)}},
	{BottomK, Params{K: number(2)}},
	{Mode, Params{}},
	{Mode, Params{Limit: number(3)}},
	{Frequent, Params{K: number(2), Limit: number(4)}},
	{Entropy, Params{}},
	{Entropy, Params{Limit: number(2)}},
	{CountDistinct, Params{}},
	{CountDistinct, Params{Limit: number(3)}},
	{CollectSet, Params{}},
	{CollectSet, Params{Limit: number(2)}},
	{ApproxDistinct, Params{}},
	{Quantile, Params{Quantiles: []float64{0.95}}},
	{Quantiles, Params{Quantiles: []float64{0, 0.25, 1}, Accuracy: 0.002}},
	{Median, Params{Accuracy: 0.1}},
	{Histogram, Params{Buckets: []float64{-100, -0.5, 0, 3, 1e300}}},
	{Histogram, Params{Buckets: []float64{math.Ldexp(1, 53)}}},
	{Drawdown, Params{}},
}

// keyTypes are the types that rows are kept apart by.
var keyTypes = []event.Type{
	{Kind: event.String, Nullable: true},
	{Kind: event.Long, Nullable: true},
	{Kind: event.Bool, Nullable: true},
	{Kind: event.Decimal, Scale: 2, Nullable: true},
}

// drawKeyed makes rows with a second value to keep them apart by.
func drawKeyed(r *rand.Rand, n int, t, key event.Type, pattern string) []event.Row {
	rows := drawRows(r, n, t, pattern)
	for i := range rows {
		v := draw(r, key, "null")
		if v.Kind == event.Long {
			v.Num %= 7
		}
		rows[i].Values = append(rows[i].Values[:1], v)
	}
	return rows
}

// structureLayout keeps what c needs over every row, over rows of a filter, and apart by input 1.
func structureLayout(t *testing.T, c structureCase, in, key event.Type) (*Layout, Call, bool) {
	t.Helper()
	needs, call, out, err := Bind(c.f, in, event.Type{}, c.p)
	if err != nil {
		return nil, Call{}, false
	}
	if out.Kind == event.Null {
		t.Fatalf("%s answers no type", c.f)
	}
	g := Group{Type: in, Filter: -1, Parts: needs.Parts, Keeps: needs.Keeps}
	filtered, keyed := g, g
	filtered.Filter = 1
	keyed.By, keyed.ByType, keyed.ByLimit = 2, key, 3
	return &Layout{Groups: []Group{g, filtered, keyed}}, call, true
}

// eachStructure runs f for every aggregate over random rows of every type and pattern.
func eachStructure(t *testing.T, f func(t *testing.T, r *rand.Rand, l *Layout, c Call, rows []event.Row)) {
	for i, in := range inputTypes {
		for n, c := range structureCases {
			key := keyTypes[(i+n)%len(keyTypes)]
			l, call, ok := structureLayout(t, c, in, key)
			if !ok {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s-%d", in, c.f, n), func(t *testing.T) {
				for j, pattern := range patterns {
					if in.Kind != event.Double && slices.Contains([]string{"nan", "inf", "both", "tiny"}, pattern) {
						continue // as "null"
					}
					for _, size := range []int{0, 1, 4, 40} {
						r := rand.New(rand.NewPCG(uint64(i*1000+n), uint64(j*100+size)))
						rows := drawKeyed(r, size, in, key, pattern)
						if l.Ordered() {
							slices.SortFunc(rows, func(x, y event.Row) int { return x.Compare(&y) })
						}
						f(t, r, l, call, rows)
					}
				}
			})
		}
	}
}

// Every aggregate is defined over some type, and lists and maps at least where order decides.
func TestStructuresBind(t *testing.T) {
	for _, c := range structureCases {
		n := 0
		for _, in := range inputTypes {
			if _, _, ok := structureLayout(t, c, in, keyTypes[0]); ok {
				n++
			}
		}
		want := map[Func]int{Quantile: 4, Quantiles: 4, Median: 4, Histogram: 4, Drawdown: 4}[c.f]
		switch c.f {
		case FirstK, LastK, Nth, Lag, CollectList:
			want = len(inputTypes)
		case TopK, BottomK, Mode, Frequent, Entropy, CountDistinct, CollectSet, ApproxDistinct:
			want = len(inputTypes) - 2
		}
		if n != want {
			t.Errorf("%s is defined over %d types, want %d", c.f, n, want)
		}
	}
}

// checkStructures compares the answers of every group with those of the definition.
func checkStructures(t *testing.T, l *Layout, c Call, rows []event.Row, p *Partial) {
	t.Helper()
	for i, g := range l.Groups {
		c.Group = i
		counted := naiveRows(rows, g)
		if g.By == 0 {
			got := p.Answer(&c, At{})
			if why := differs(c, got.Value, naiveStructure(counted, g, c)); why != "" {
				t.Fatalf("group %d of %s: %s over %d rows: %s", i, g.Type, c.Func, len(counted), why)
			}
			continue
		}
		counted = slices.DeleteFunc(counted, func(r event.Row) bool { return r.Values[g.By-1].IsNull() })
		for _, by := range []By{{Top: 2}, {}, {Top: 1, Rest: "others"}, {Rest: "a"}} {
			c.By = &by
			got := p.Answer(&c, At{})
			if why := differsBy(c, g, got.Value, counted); why != "" {
				t.Fatalf("%s of %s by %s %+v over %d rows: %s", c.Func, g.Type, g.ByType, by, len(counted), why)
			}
		}
	}
	for i := range l.Groups {
		if got, want := p.Count(i), len(naiveRows(rows, l.Groups[i])); l.Groups[i].By == 0 && got != int64(want) {
			t.Fatalf("group %d counts %d rows, want %d", i, got, want)
		}
	}
}

// differs says how an answer is not what the definition gives; empty if it is.
func differs(c Call, got, want event.Value) string {
	tolerance := 0.0
	switch c.Func {
	case Entropy:
		tolerance = 1e-12
	case Quantile, Quantiles, Median:
		tolerance = 0.1 // the cases' own bound is checked elsewhere
	}
	if tolerance == 0 {
		if got != want {
			return fmt.Sprintf("got %s, want %s", got, want)
		}
		return ""
	}
	if got.Kind == event.List {
		a, b := listElems(got), listElems(want)
		if len(a) != len(b) {
			return fmt.Sprintf("got %s, want %s", got, want)
		}
		for i := range a {
			if !near(a[i], b[i], tolerance) {
				return fmt.Sprintf("got %s, want about %s", got, want)
			}
		}
		return ""
	}
	if !near(got, want, tolerance) {
		return fmt.Sprintf("got %s, want about %s", got, want)
	}
	return ""
}

func near(got, want event.Value, tolerance float64) bool {
	x, y := got.Double(), want.Double()
	if got.Kind != want.Kind {
		return false
	}
	return got == want || math.Abs(x-y) <= tolerance*math.Abs(y)+5e-324
}

func listElems(v event.Value) (out []event.Value) {
	_ = event.EachElem(v.Str, func(_ int, e event.Value) error {
		out = append(out, e)
		return nil
	})
	return out
}

// differsBy checks a map of answers against rows that are split by a map of the language.
func differsBy(c Call, g Group, got event.Value, rows []event.Row) string {
	if len(rows) == 0 {
		if !got.IsNull() {
			return "over nothing: " + got.String()
		}
		return ""
	}
	kept, rest := naiveKeys(g, rows)
	slices.SortStableFunc(kept, func(x, y naiveKey) int {
		return cmp.Or(-cmp.Compare(len(x.rows), len(y.rows)), event.Compare(x.key, y.key))
	})
	want := map[string][]event.Row{}
	for _, k := range kept {
		if text := k.key.String(); (c.By.Top == 0 || len(want) < c.By.Top) && (c.By.Rest == "" || text != c.By.Rest) {
			want[text] = k.rows
		} else {
			rest = append(rest, k.rows...)
		}
	}
	if c.By.Rest != "" && len(rest) > 0 && !c.Func.Ordered() {
		want[c.By.Rest] = rest
	}
	pairs, last := listElems(got), ""
	if len(pairs) != 2*len(want) {
		return fmt.Sprintf("got %s, want %d keys", got, len(want))
	}
	c.By = nil
	for i := 0; i < len(pairs); i += 2 {
		key := pairs[i].Str
		of, ok := want[key]
		if !ok || i > 0 && key <= last {
			return fmt.Sprintf("key %q in %s", key, got)
		}
		last = key
		if why := differs(c, pairs[i+1], naiveStructure(of, g, c)); why != "" {
			return fmt.Sprintf("under %q: %s", key, why)
		}
	}
	return ""
}

type naiveKey struct {
	key  event.Value
	rows []event.Row
}

// naiveKeys splits rows by their key, into those that are kept apart by the rule of the hash and the rest.
func naiveKeys(g Group, rows []event.Row) (kept []naiveKey, rest []event.Row) {
	for _, r := range rows {
		key := tidy(r.Values[g.By-1])
		i := slices.IndexFunc(kept, func(k naiveKey) bool { return k.key == key })
		if i < 0 {
			i = len(kept)
			kept = append(kept, naiveKey{key: key})
		}
		kept[i].rows = append(kept[i].rows, r)
	}
	slices.SortFunc(kept, func(x, y naiveKey) int { return compareHashes(x.key, y.key) })
	if g.ByLimit < len(kept) {
		for _, k := range kept[g.ByLimit:] {
			rest = append(rest, k.rows...)
		}
		kept = kept[:g.ByLimit]
	}
	return kept, rest
}

func compareHashes(x, y event.Value) int {
	h := func(v event.Value) uint64 { return xxhash.Sum64(event.AppendValue(nil, v)) }
	return cmp.Or(cmp.Compare(h(x), h(y)), event.Compare(x, y))
}

// Every split, order and way of merging gives the same bytes, and the answers of the definition.
func TestStructureLaws(t *testing.T) {
	eachStructure(t, func(t *testing.T, r *rand.Rand, l *Layout, c Call, rows []event.Row) {
		whole := partialOf(l, rows).Append(nil)
		same := func(law string, p *Partial) {
			t.Helper()
			if got := p.Append(nil); !bytes.Equal(got, whole) {
				t.Fatalf("%s:\n got %x\nwant %x", law, got, whole)
			}
		}
		i := r.IntN(len(rows) + 1)
		j := i + r.IntN(len(rows)-i+1)
		x, y, z := partialOf(l, rows[:i]), partialOf(l, rows[i:j]), partialOf(l, rows[j:])
		for _, encoded := range []bool{false, true} {
			m := func(parts ...*Partial) *Partial { return merged(t, l, encoded, parts...) }
			same("identity on the left", m(NewPartial(l, nil), partialOf(l, rows)))
			same("identity on the right", m(partialOf(l, rows), NewPartial(l, nil)))
			same("left first", m(m(x, y), z))
			same("right first", m(x, m(y, z)))
			if len(rows) < 10 {
				one := NewPartial(l, nil)
				for k := range rows {
					one = m(one, partialOf(l, rows[k:k+1]))
				}
				same("add is merge of one", one)
			}
			if !l.Ordered() {
				same("commuted", m(z, x, y))
			}
		}
		shuffled := slices.Clone(rows)
		if !l.Ordered() {
			r.Shuffle(len(rows), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
		}
		p := partialOf(l, shuffled)
		same("shuffled", p)
		checkStructures(t, l, c, rows, p)
		p.Reset()
		if got, want := p.Append(nil), NewPartial(l, nil).Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("reset leaves %x, want %x", got, want)
		}
		for k := range rows {
			p.Add(&rows[k])
		}
		same("after a reset", p)
		checkStructures(t, l, c, rows, merged(t, l, true, x, y, z))
	})
}
