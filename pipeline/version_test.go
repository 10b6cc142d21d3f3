package pipeline

import (
	"strings"
	"testing"
)

// What a feature of another view is decides the version of the view that reads it; how it is described does not.
func TestLookupText(t *testing.T) {
	of := func(from, to string) string {
		return lookupText(mustCompile(t, strings.Replace(surface, from, to, 1)).Views[0].Feature("spend_1h"))
	}
	f := mustCompile(t, surface).Views[0].Feature("spend_1h")
	old := lookupText(f)
	f.Doc = "in other words"
	if got := lookupText(f); got != old {
		t.Errorf("described otherwise it is %s, not %s", got, old)
	}
	for _, change := range [][2]string{
		{"{sum: amount, window: 1h}", "{sum: amount, window: 2h}"},
		{"{sum: amount, window: 1h}", "{avg: amount, window: 1h}"},
		{"{sum: amount, window: 1h}", "{sum: fee, window: 1h}"},
		{"{sum: amount, window: 1h}", "{sum: amount, window: 1h, where: abroad}"},
		{"{sum: amount, window: 1h}", "{sum: amount, window: 1h, ttl: 1d}"},
		{"{sum: amount, window: 1h}", "{sum: amount, window: 1h, default: 0}"},
		{"where: amount > 0", "where: amount > 1"},
	} {
		if of(change[0], change[1]) == old {
			t.Errorf("%s is the same as %s", change[1], change[0])
		}
	}
}
