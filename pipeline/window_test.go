package pipeline

import (
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/window"
	"github.com/penstock-ml/penstock/transforms/zone"
)

func mustZone(t *testing.T, name string) window.Spec {
	t.Helper()
	l, err := zone.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return window.Spec{Kind: window.Calendar, Unit: window.Day, Zone: l}
}

// Each way to write a window gives its Spec, its sentence, and its part of a made name.
func TestWindows(t *testing.T) {
	berlin := mustZone(t, "Europe/Berlin")
	utc := mustZone(t, "UTC")
	month := utc
	month.Unit, month.Current = window.Month, true
	for _, c := range []struct {
		text, name, doc string
		want            window.Spec
	}{
		{"lifetime", "amount_sum", "over all before", window.Spec{Kind: window.Lifetime}},
		{"90m", "amount_sum_90m", "over the 1h30m before", window.Spec{Kind: window.Rolling, Size: 90 * event.Minute}},
		{"{tumbling: 7d}", "amount_sum_tumbling_7d", "over the last complete tumbling 1w", window.Spec{Kind: window.Tumbling, Size: event.Week}},
		{"{current: true, tumbling: 1h}", "amount_sum_tumbling_1h_current", "over the current tumbling 1h so far", window.Spec{Kind: window.Tumbling, Size: event.Hour, Current: true}},
		{"{hopping: 1h, every: 10m}", "amount_sum_hopping_1h_every_10m", "over the last complete 1h of those that end every 10m", window.Spec{Kind: window.Hopping, Size: event.Hour, Every: 10 * event.Minute}},
		{"{session: 30m}", "amount_sum_session_30m", "over the session of the last event before, gap 30m", window.Spec{Kind: window.Session, Size: 30 * event.Minute}},
		{"{session: 30m, closed: true}", "amount_sum_session_30m_closed", "over the last closed session, gap 30m", window.Spec{Kind: window.Session, Size: 30 * event.Minute, Closed: true}},
		{"{calendar: day}", "amount_sum_day", "over the last complete day in UTC", utc},
		{"{calendar: day, zone: Europe/Berlin}", "amount_sum_day_Europe_Berlin", "over the last complete day in Europe/Berlin", berlin},
		{"{calendar: month, current: true}", "amount_sum_month_current", "over the current month in UTC so far", month},
		{"{from: 7d, to: 1d}", "amount_sum_from_7d_to_1d", "from 1w to 1d before", window.Spec{Kind: window.Offset, From: event.Week, To: event.Day}},
		{"{last: 10}", "amount_sum_last_10", "over the last 10 events before", window.Spec{Kind: window.LastN, N: 10}},
	} {
		src := replaced(t, "over: [1h, 24h, 7d, lifetime]", "over: [24h, "+c.text+"]")
		src = strings.Replace(src, "{last: country}", "{sum: amount, window: "+c.text+"}", 1)
		v := mustCompile(t, src).Views[0]
		for _, name := range []string{"last_country", c.name} {
			f := v.Feature(name)
			if f == nil {
				t.Errorf("%s: no feature %s", c.text, name)
				continue
			}
			if f.Window != c.want || f.Doc != "sum of amount "+c.doc {
				t.Errorf("%s: %s is %+v, %q", c.text, name, f.Window, f.Doc)
			}
		}
	}
}

// No two zones give features the same name, and all the names are ones that users can write.
func TestZoneSuffixes(t *testing.T) {
	seen := map[string]string{}
	for _, name := range zone.Names() {
		s := zoneSuffix(name)
		if before, ok := seen[s]; ok || !isName(s) {
			t.Errorf("%s gives %s, as %q does", name, s, before)
		}
		seen[s] = name
	}
}

// Rows are kept for as long as any window of the view looks back.
func TestReachOfWindows(t *testing.T) {
	for text, keep := range map[string]event.Duration{
		"{tumbling: 10d}":                30*event.Day + 20*event.Day,
		"{tumbling: 10d, current: true}": 30*event.Day + 10*event.Day,
		"{hopping: 10d, every: 1d}":      30*event.Day + 11*event.Day,
		"{from: 60d, to: 50d}":           120 * event.Day,
		"{session: 60d}":                 37 * event.Day, // without bound: only what is bounded counts
		"{calendar: month}":              2 * (62*event.Day + 4*event.Hour),
		"{last: 100000}":                 37 * event.Day,
		"{tumbling: 366000d}":            4 * 366000 * event.Day, // the longest there is does not overflow
	} {
		src := replaced(t, "    history: 90d\n", "")
		src = strings.Replace(src, "{last: country}", "{sum: amount, window: "+text+"}", 1)
		if v := mustCompile(t, src).Views[0]; v.Keep != keep {
			t.Errorf("%s: rows are kept for %s, want %s", text, v.Keep, keep)
		}
	}
}

// The data of zones is part of the version of what uses a zone, and of nothing else.
func TestZoneInVersion(t *testing.T) {
	for text, uses := range map[string]bool{"1h": false, "{calendar: day}": false, "{calendar: day, zone: UTC}": false, "{calendar: day, zone: Asia/Kolkata}": true} {
		v := mustCompile(t, replaced(t, "{last: country}", "{sum: amount, window: "+text+"}")).Views[0]
		if got := strings.Contains(v.Storage, "zones "+zone.Version()); got != uses {
			t.Errorf("%s: zone data in the version is %v:\n%s", text, got, v.Storage)
		}
	}
	// Two windows that differ in anything are two versions.
	seen := map[string]string{}
	for _, text := range []string{
		"1h", "{tumbling: 1h}", "{tumbling: 1h, current: true}", "{hopping: 1h, every: 10m}", "{hopping: 1h, every: 20m}", "{session: 1h}",
		"{session: 1h, closed: true}", "{calendar: day}", "{calendar: week}", "{calendar: day, zone: Asia/Kolkata}", "{calendar: day, zone: Asia/Tokyo}",
		"{calendar: day, current: true}", "{from: 2h, to: 1h}", "{from: 3h, to: 1h}", "{last: 3}",
	} {
		version := mustCompile(t, replaced(t, "{last: country}", "{sum: amount, window: "+text+"}")).Views[0].Version
		if before := seen[version]; before != "" {
			t.Errorf("%s and %s have one version", before, text)
		}
		seen[version] = text
	}
}
