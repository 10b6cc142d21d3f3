package export

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// TestCells: what several workers have set stands in the columns, whatever the texts are.
func TestCells(t *testing.T) {
	types := []event.Type{{Kind: event.Long}, {Kind: event.String}, {Kind: event.Decimal}, {Kind: event.List, Elem: &event.Type{Kind: event.Long}}}
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(f int) event.Value {
		n := rng.Int64N(20)
		if n == 0 {
			return event.Value{}
		}
		switch types[f].Kind {
		case event.Long:
			return event.LongOf(n)
		case event.String:
			return event.StringOf(strings.Repeat(fmt.Sprint(n), int(rng.Int64N(2)*n*n*n)))
		case event.Decimal:
			return event.DecimalOf(big.NewInt(n), int32(rng.IntN(3)))
		}
		return event.Value{Kind: event.List, Str: string(event.AppendList(nil, event.LongOf(n)))}
	}
	const rows = 5000
	x := newCells(types)
	x.rows = room(x.rows, rows*x.width)
	want := make([][]event.Value, rows)
	workers := []*worker{{number: 0}, {number: 1}, {number: 2}}
	for _, r := range rng.Perm(rows) {
		var from feature.Vectors
		k := rng.IntN(3)
		for f := range types {
			v := draw(f)
			want[r] = append(want[r], v)
			v.Str = strings.Clone(v.Str)
			from.Values, from.Status = append(from.Values, make([]event.Value, 3)), append(from.Status, make([]feature.Status, 3))
			from.Values[f][k], from.Status[f][k] = v, feature.Status(r%6)
		}
		x.set(r, &from, k, workers[r%3])
	}
	for f := range types {
		var got series
		x.column(f, rows, &got, workers)
		for r := range rows {
			if v := got.at(r); v.Kind != want[r][f].Kind || v.Kind != event.Null && v != want[r][f] || x.status(r, f) != feature.Status(r%6) {
				t.Fatalf("row %d, feature %d: got %v, want %v", r, f, v, want[r][f])
			}
		}
	}
}

// TestSeries: values of any kinds, one after the other, are what they were, and so are those that are kept of them.
func TestSeries(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var s series
		var want []event.Value
		check := func(what string) {
			t.Helper()
			if s.len() != len(want) {
				t.Fatalf("seed %d: %s: %d values, want %d", seed, what, s.len(), len(want))
			}
			for r := range want {
				if got := s.at(r); got != want[r] {
					t.Fatalf("seed %d: %s: value %d: got %v, want %v", seed, what, r, got, want[r])
				}
			}
		}
		kinds := 1 + rng.IntN(4)
		for range 2 {
			s.reset()
			want = want[:0]
			for range rng.IntN(40) {
				v := []event.Value{{}, event.LongOf(rng.Int64N(2)), event.StringOf([]string{"", "a", "bcd"}[rng.IntN(3)]), event.DecimalOf(big.NewInt(5), 2)}[rng.IntN(kinds)]
				s.append(v)
				want = append(want, v)
			}
			check("appended")
			keep := make([]bool, len(want))
			kept := want[:0:0]
			var rows []int32
			for r := range keep {
				if keep[r] = rng.IntN(2) == 0; keep[r] {
					kept, rows = append(kept, want[r]), append(rows, int32(r))
				}
			}
			before := s
			var picked series
			picked.appendRows(&before, rows)
			s.retain(keep)
			want = kept
			check("retained")
			s, before = picked, s
			check("picked")
			s = before
		}
	}
}
