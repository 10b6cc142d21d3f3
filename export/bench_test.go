package export

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// BenchmarkExport reports spine rows a second, over few events: the cost of everything but long scans.
func BenchmarkExport(b *testing.B) {
	const n = 200_000
	for _, out := range []string{"out.csv", "out.parquet"} {
		b.Run(filepath.Ext(out)[1:], func(b *testing.B) {
			f := newFixture(b)
			f.some()
			var text strings.Builder
			text.WriteString("user_id,event_time,label\n")
			for i := range n {
				fmt.Fprintf(&text, "u%d,%s,%d\n", i%1000, at("2013-01-05T10:00:00Z").Add(event.Duration(i)), i%2)
			}
			spine := f.write("spine.csv", text.String())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := FromStore(b.Context(), f.store, Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: f.out(out), Force: true, Manifest: true}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			_ = os.Remove(f.out(out))
		})
	}
}

// BenchmarkSourceSpine reports rows a second of an export of every event of a source with three labels.
func BenchmarkSourceSpine(b *testing.B) {
	f := newFixtureOf(b, labelYAML)
	f.history(20_000, 1)
	b.ReportAllocs()
	rows := int64(0)
	for b.Loop() {
		rep, err := FromStore(b.Context(), f.store, Request{Export: "events", Out: f.out("out.parquet"), Force: true})
		if err != nil {
			b.Fatal(err)
		}
		rows += rep.SpineRows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
