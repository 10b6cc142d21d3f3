package feature

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// TestKeySample: what is chosen does not depend on the order, nor on repetition; whatever is chosen in the end was in
// from its first offer on.
func TestKeySample(t *testing.T) {
	const n = 20
	want := ""
	for round := range uint64(6) {
		rng := rand.New(rand.NewPCG(round, 1))
		order := rng.Perm(500)
		order = append(order, order[:200]...)
		s, in := NewKeySample(n, 7), map[string]bool{}
		for _, i := range order {
			keys := []event.Value{event.StringOf(fmt.Sprint("u", i)), event.LongOf(int64(i % 3))}
			was, seen := in[keys[0].Str]
			if is := s.Offer(keys); is && seen && !was {
				t.Fatalf("%s is in after it was not", keys[0].Str)
			} else {
				in[keys[0].Str] = is
			}
		}
		var got []string
		for _, keys := range s.Keys() {
			got = append(got, keys[0].Str)
		}
		if text := fmt.Sprint(got); want == "" {
			want = text
		} else if text != want {
			t.Errorf("chose %s, and %s in another order", want, text)
		}
		if slices.Sort(got); len(slices.Compact(got)) != n {
			t.Errorf("chose %d", len(got))
		}
	}
	if NewKeySample(0, 1).Offer(nil) {
		t.Error("one of none")
	}
}
