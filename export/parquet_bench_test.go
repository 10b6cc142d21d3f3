package export

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// tableOfTwelve is a layout and chunks of rows of a spine of three columns with twelve features, as bench/pipeline.yaml has
// them: users by Zipf's law, amounts of whole cents.
func tableOfTwelve(rows int) (*layout, []*chunk) {
	l := &layout{spine: []spineColumn{
		{name: "user_id", typ: event.Type{Kind: event.String}},
		{name: "event_time", typ: event.Type{Kind: event.Timestamp}},
		{name: "row", typ: event.Type{Kind: event.Long}},
	}, time: 1}
	double, long := event.Type{Kind: event.Double, Nullable: true}, event.Type{Kind: event.Long, Nullable: true}
	l.sizes = make([]int, 12)
	for _, w := range []string{"1h", "24h"} {
		for _, do := range []string{"sum", "avg", "min", "max"} {
			l.names, l.types = append(l.names, do+"_"+w), append(l.types, double)
		}
		l.names, l.types = append(l.names, "count_"+w), append(l.types, long)
	}
	l.names, l.types = append(l.names, "transactions", "last_country"), append(l.types, long, event.Type{Kind: event.String, Nullable: true})
	l.table = l.columns()
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 1, 1_000_000)
	var chunks []*chunk
	for row := 0; row < rows; {
		c := newChunk(l)
		c.first = int64(row) + 1
		for f := range c.answers {
			c.status[f] = make([]feature.Status, c.most)
		}
		for ; c.rows < c.most && row < rows; c.rows++ {
			u := zipf.Uint64()
			c.put(0, event.StringOf(fmt.Sprintf("user-%07d", u)))
			c.put(1, event.TimestampOf(event.Time(1_700_000_000_000_000+rng.Int64N(7_200_000_000))))
			c.put(2, event.LongOf(int64(row)))
			c.instants = append(c.instants, c.vals[1].at(c.rows).Time())
			all := int64(1e6 / float64(u+1) * rng.Float64())
			for f, name := range l.names {
				c.answers[f].append(answerOf(rng, name, all))
			}
			row++
		}
		chunks = append(chunks, c)
	}
	return l, chunks
}

// answerOf is a value as a feature of a user of some rows has them.
func answerOf(rng *rand.Rand, name string, all int64) event.Value {
	amount := float64(1+int64(min(1e7, 2500*math.Exp(rng.NormFloat64())))) / 100
	switch {
	case name == "last_country":
		return event.StringOf([]string{"DE", "FR", "US", "GB", "IT", "ES", "PL", "NL"}[rng.IntN(8)])
	case name == "transactions" || name == "count_1h" || name == "count_24h":
		return event.LongOf(all)
	case all == 0:
		return event.Value{}
	case name == "sum_1h" || name == "sum_24h":
		return event.DoubleOf(amount * float64(all))
	case name == "avg_1h" || name == "avg_24h":
		return event.DoubleOf(amount / 3)
	}
	return event.DoubleOf(amount)
}

// BenchmarkParquetOut reports what a row of fifteen columns costs to write.
func BenchmarkParquetOut(b *testing.B) {
	const rows = 200_000
	l, chunks := tableOfTwelve(rows)
	b.ReportAllocs()
	for b.Loop() {
		var size counter
		s, err := newParquetSink(&size, l, crew{workers: 1})
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range chunks {
			if err := s.write(c); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/rows, "B/row")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// BenchmarkStats reports what the statistics of a row of fifteen columns cost.
func BenchmarkStats(b *testing.B) {
	const rows = 200_000
	l, chunks := tableOfTwelve(rows)
	b.ReportAllocs()
	for b.Loop() {
		s := newTableStats(l, false)
		for _, c := range chunks {
			s.add(c)
		}
		s.finish("", make([]FeatureReport, len(l.names)))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

// BenchmarkParquetIn reports what a row of a spine of three columns costs to read.
func BenchmarkParquetIn(b *testing.B) {
	const rows = 200_000
	l, chunks := tableOfTwelve(rows)
	l.table = l.table[:3]
	path := filepath.Join(b.TempDir(), "spine.parquet")
	if err := writeFile(path, path, func(w io.Writer) error {
		s, err := newParquetSink(w, l, crew{workers: 1})
		if err != nil {
			return err
		}
		for _, c := range chunks {
			if err := s.write(c); err != nil {
				return err
			}
		}
		return s.close()
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		sp, err := openSpine(path, path)
		if err != nil {
			b.Fatal(err)
		}
		sp.need([]bool{true, true, true})
		c := newChunk(&layout{spine: sp.columns()})
		n := 0
		for {
			c.reset()
			if err := sp.read(c); err != nil {
				b.Fatal(err)
			}
			if n += c.rows; c.rows == 0 {
				break
			}
		}
		if n != rows {
			b.Fatal(n)
		}
		_ = sp.close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	_ = os.Remove(path)
}
