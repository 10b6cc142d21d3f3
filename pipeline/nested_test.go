package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// An aggregate of an aggregate is a call over a row for each inner window.
func TestInner(t *testing.T) {
	src := replaced(t, "{last: country}", `{avg: {sum: amount, where: abroad, window: {tumbling: 1d}}, window: 40d, empty: count, default: 0}
      most: {max: {count: "*", window: {hopping: 1d, every: 6h}}, window: {calendar: month}}
      usual: {last: {last: country, window: {calendar: day}}, window: {from: 7d, to: 1d}}`)
	v := mustCompile(t, strings.Replace(src, "    history: 90d\n", "", 1)).Views[0]
	f := v.Feature("last_country")
	if f.Func != agg.Avg || f.Group != 0 || f.Filter != -1 || f.Type.String() != "double?" || f.Default != event.DoubleOf(0) {
		t.Errorf("outer %+v", f)
	}
	in := f.Inner
	g := v.Layout.Groups[in.Group]
	if in.Func != agg.Sum || g.Filter != v.Feature("abroad_24h").Filter || g.Parts&agg.PartSum == 0 || !in.Empty ||
		in.Window != (window.Spec{Kind: window.Tumbling, Size: event.Day}) {
		t.Errorf("inner %+v of group %+v", in, g)
	}
	if got, want := fmt.Sprintf("%+v", in.Layout.Groups), fmt.Sprintf("%+v", []agg.Group{{Type: event.Type{Kind: event.Double, Nullable: true}, Filter: -1, Parts: agg.PartSum}}); got != want {
		t.Errorf("outer layout %s, want %s", got, want)
	}
	for name, doc := range map[string]string{
		"last_country": "avg of (sum of amount, where abroad) of each tumbling 1d that ends within the 40d before, those without events too as 0",
		"most":         "max of (count of events) of each hopping 1d every 6h that ends within the last complete month in UTC",
		"usual":        "last of (last of country) of each calendar day in UTC that ends from 1w to 1d before",
	} {
		if f := v.Feature(name); f.Doc != doc {
			t.Errorf("%s: %q, want %q", name, f.Doc, doc)
		}
	}
	// The month before looks back two months, and the first inner window of it a day more.
	longest := 2*(31*event.Day+2*event.Hour) + event.Day
	if v.History != longest || v.Keep != 2*longest {
		t.Errorf("history %s, keep %s; want %s, twice", v.History, v.Keep, longest)
	}
	checkLayout(t, v)
}

// What an inner aggregate is decides the version.
func TestInnerVersion(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"{avg: amount, window: 30d}",
		"{avg: {sum: amount, window: {tumbling: 1d}}, window: 30d}",
		"{avg: {sum: amount, window: {tumbling: 1d}}, window: 30d, empty: count}",
		"{avg: {sum: amount, window: {tumbling: 1h}}, window: 30d}",
		"{avg: {max: amount, window: {tumbling: 1d}}, window: 30d}",
		"{avg: {sum: amount, where: abroad, window: {tumbling: 1d}}, window: 30d}",
		"{max: {sum: amount, window: {tumbling: 1d}}, window: 30d}",
		"{avg: {sum: amount, window: {calendar: day, zone: Asia/Tokyo}}, window: 30d}",
	} {
		v := mustCompile(t, replaced(t, "{last: country}", text)).Views[0]
		if before := seen[v.Version]; before != "" {
			t.Errorf("%s and %s have one version", before, text)
		}
		seen[v.Version] = text
	}
	same := mustCompile(t, replaced(t, "{last: country}", "{avg: {sum: amount, window: {tumbling: 24h}}, window: 30d, empty: skip}")).Views[0]
	if seen[same.Version] != "{avg: {sum: amount, window: {tumbling: 1d}}, window: 30d}" {
		t.Error("what is written differently has another version")
	}
}
