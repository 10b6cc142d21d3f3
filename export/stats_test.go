package export

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// TestStatistics: counts, quantiles and correlations against plain computations, and what predicts the label.
func TestStatistics(t *testing.T) {
	f := newFixture(t)
	f.some()
	rnd := rand.New(rand.NewPCG(5, 6))
	var b strings.Builder
	b.WriteString("user_id,event_time,label,leak,bent,noise,id,kind,empty\n")
	const n = 4000
	var labels, noise []float64
	for i := range n {
		label, x := rnd.IntN(2), math.Round(rnd.NormFloat64()*1e6)/1e6
		labels, noise = append(labels, float64(label)), append(noise, x)
		// bent separates the classes by a middle range: no line does
		bent := rnd.Float64()
		if label == 0 {
			bent = []float64{-1, 2}[rnd.IntN(2)] + rnd.Float64()
		}
		fmt.Fprintf(&b, "u%d,2013-01-05T10:00:00Z,%d,%g,%g,%g,id%d,%s,\n", i%3, label, float64(label)+x/100, bent, x, i, []string{"no", "yes"}[label])
	}
	m := manifestOf(t, f, b.String(), "label")
	if m.Label != "label" || m.Sample != n {
		t.Errorf("label %q, sample of %d", m.Label, m.Sample)
	}
	col := func(name string) *ColumnReport {
		for i := range m.Columns {
			if m.Columns[i].Name == name {
				return &m.Columns[i]
			}
		}
		t.Fatalf("no column %s", name)
		return nil
	}
	for name, want := range map[string]bool{"leak": true, "bent": true, "kind": true, "noise": false, "id": false, "n_1h": false} {
		p := col(name).Prediction
		if p == nil || p.AUC == nil || p.Leak != want || !want && (*p.AUC < 0.4 || *p.AUC > 0.6) {
			t.Errorf("%s: %s, want leak %v", name, asJSON(t, p), want)
		}
	}
	if p := col("empty").Prediction; p != nil {
		t.Errorf("empty: %s", asJSON(t, p))
	}
	if c := col("noise").Prediction.Correlation; math.Abs(*c-pearson(noise, labels)) > 1e-12 {
		t.Errorf("correlation %v, want %v", *c, pearson(noise, labels))
	}
	if c := col("empty"); c.Distinct != 0 || c.Nulls != n { // nothing in a CSV is null
		t.Errorf("empty: %s", asJSON(t, c))
	}
	if c := col("label"); asJSON(t, c.Numbers.Histogram) != fmt.Sprintf(`[{"from":0,"to":0,"rows":%d},{"from":1,"to":1,"rows":%d}]`, n-int(sum(labels)), int(sum(labels))) {
		t.Errorf("label: %s", asJSON(t, c))
	}
	if c := col("id"); c.Distinct < n*9/10 || c.Distinct > n || !c.Estimate || len(c.Top) != valuesReported {
		t.Errorf("id: %s", asJSON(t, c))
	}
	if c := col("n_1h"); asJSON(t, c.Numbers) == "" || string(c.Numbers.Max) != "2" || string(c.Numbers.Min) != "0" || c.Distinct != 3 || *c.Differ != 1334-1 {
		t.Errorf("n_1h: %s", asJSON(t, c))
	}
	total := int64(0)
	for _, h := range col("noise").Numbers.Histogram {
		total += h.Rows
	}
	if total != n {
		t.Errorf("the histogram of noise has %d rows", total)
	}
}

func manifestOf(t *testing.T, f *fixture, spine, label string) *Statistics {
	t.Helper()
	req := Request{Selection: feature.Selection{View: "spend", Features: []string{"n_1h"}}, Spine: f.write("spine.csv", spine), Out: f.out("table.csv"), Manifest: true, Label: label, Force: true}
	if _, err := FromStore(t.Context(), f.store, req); err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(req.Out + ManifestSuffix)
	if err != nil {
		t.Fatal(err)
	}
	return m.Statistics
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func pearson(x, y []float64) float64 {
	mx, my := sum(x)/float64(len(x)), sum(y)/float64(len(y))
	var xx, yy, xy float64
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		yy += (y[i] - my) * (y[i] - my)
		xy += (x[i] - mx) * (y[i] - my)
	}
	return xy / math.Sqrt(xx*yy)
}

// TestTextLabel: of a label of two texts the later one is positive, and a prediction is the same as of 0 and 1; one of
// three texts has none.
func TestTextLabel(t *testing.T) {
	f := newFixture(t)
	f.some()
	rnd := rand.New(rand.NewPCG(7, 8))
	var b strings.Builder
	b.WriteString("user_id,event_time,number,word,three,near,noise\n")
	for i := range 600 {
		label := rnd.IntN(2)
		word := []string{"no", "yes"}[label]
		if i%50 == 0 {
			word = "" // null
		}
		fmt.Fprintf(&b, "u%d,2013-01-05T10:00:00Z,%d,%s,%s,%g,%g\n", i%3, label, word, []string{"a", "b", "c"}[i%3], float64(label)+rnd.Float64()/2, rnd.Float64())
	}
	of := func(label, column string) (*Statistics, *PredictionReport) {
		m := manifestOf(t, f, b.String(), label)
		for i := range m.Columns {
			if m.Columns[i].Name == column {
				return m, m.Columns[i].Prediction
			}
		}
		return m, nil
	}
	m, p := of("word", "near")
	if m.Positive != "yes" || p == nil || p.AUC == nil || *p.AUC < 0.99 || !p.Leak || p.Correlation == nil || *p.Correlation < 0.9 {
		t.Errorf("near of word: %q is positive, %s", m.Positive, asJSON(t, p))
	}
	if _, p := of("word", "noise"); p == nil || p.AUC == nil || p.Leak || *p.AUC < 0.3 || *p.AUC > 0.7 {
		t.Errorf("noise of word: %s", asJSON(t, p))
	}
	if m, p := of("number", "near"); m.Positive != "" || p == nil || *p.AUC < 0.99 {
		t.Errorf("near of number: %q is positive, %s", m.Positive, asJSON(t, p))
	}
	if m, p := of("three", "near"); m.Positive != "" || p != nil {
		t.Errorf("near of three: %q is positive, %s", m.Positive, asJSON(t, p))
	}
}

// TestDistinct: exact while they are few, else within five standard errors, however often and in what order they come.
func TestDistinct(t *testing.T) {
	for _, n := range []int{0, 1, 2047, 5000, 200_000} {
		var s smallest
		for k := range 3 {
			for i := range n {
				s.add(scramble(uint64((i*7919 + k) % max(n, 1))))
			}
		}
		got, exact := s.distinct()
		if n < hashesKept && (got != int64(n) || !exact) || math.Abs(float64(got)-float64(n)) > 0.11*float64(n) || exact != (n < hashesKept) {
			t.Errorf("%d distinct: %d, exact %v", n, got, exact)
		}
	}
}

// TestAUC: against counting all pairs.
func TestAUC(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var test []judged
		for range 200 {
			test = append(test, judged{float64(rnd.IntN(10)), float64(rnd.IntN(2))})
		}
		var wins, pairs float64
		for _, a := range test {
			for _, b := range test {
				if a.y == 0 && b.y == 1 {
					pairs++
					switch {
					case b.x > a.x:
						wins++
					case b.x == a.x:
						wins += 0.5
					}
				}
			}
		}
		if got := auc(test, 1); got == nil || math.Abs(*got-wins/pairs) > 1e-12 {
			t.Fatalf("%v, want %v", got, wins/pairs)
		}
	}
}

// TestSampleDoesNotGrow: a table of any length leaves a sample of a fixed number of rows, the same whatever the chunks.
func TestSampleDoesNotGrow(t *testing.T) {
	l := &layout{table: []column{{name: "a", role: "spine"}}, spine: []spineColumn{{name: "a"}}}
	var first []sampleRow
	var cells sampleColumn
	for _, rows := range []int{1000, 7777} {
		s := newTableStats(l, false)
		s.sample.most = 500
		for done := 0; done < 50_000; {
			n := min(rows, 50_000-done)
			s.add(&chunk{rows: n, vals: []series{seriesOf(longs(done, n))}})
			done += n
		}
		s.prune()
		if len(s.sample.heap) != 500 || s.rows != 50_000 {
			t.Fatalf("%d rows in the sample of %d", len(s.sample.heap), s.rows)
		}
		if first == nil {
			first, cells = s.sample.heap, s.cols[0].kept
		}
		for i := range first {
			if got := s.cols[0].kept.at(i); first[i].hash != s.sample.heap[i].hash || cells.at(i) != got {
				t.Fatalf("row %d: %v %v, want %v %v", i, s.sample.heap[i], got, first[i], cells.at(i))
			}
		}
	}
}

func longs(from, n int) (out []event.Value) {
	for i := range n {
		out = append(out, event.LongOf(int64(from+i)))
	}
	return out
}

// TestReport: the page shows every column and needs no other file.
func TestReport(t *testing.T) {
	f := newFixture(t)
	f.some()
	var b strings.Builder
	b.WriteString("user_id,event_time,label,<leak>\n")
	for i := range 200 {
		fmt.Fprintf(&b, "u%d,2013-01-05T10:00:00Z,%d,%d\n", i%3, i%2, i%2)
	}
	manifestOf(t, f, b.String(), "label")
	m, err := ReadManifest(f.out("table.csv") + ManifestSuffix)
	if err != nil {
		t.Fatal(err)
	}
	page := f.out("table.html")
	if err := m.WriteReport(page); err != nil {
		t.Fatal(err)
	}
	got := f.read(page)
	for _, want := range []string{"<h1>", "n_1h", "&lt;leak&gt;", "nearly perfectly", "AUC 1.000", "200 rows, 5 columns", "In these cells late events", m.Out[0].SHA256, "<svg"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"http://", "https://", "src=", "@import", "<leak>"} {
		if strings.Contains(got, not) {
			t.Errorf("the page has %q", not)
		}
	}
	manifestOf(t, f, strings.NewReplacer(",0,", ",fine,", ",1,", ",<bad>,").Replace(b.String()), "label")
	if m, err = ReadManifest(f.out("table.csv") + ManifestSuffix); err != nil {
		t.Fatal(err)
	}
	if err := m.WriteReport(f.out("words.html")); err != nil {
		t.Fatal(err)
	}
	if words := f.read(f.out("words.html")); !strings.Contains(words, "<b>fine</b> counts as 1") {
		t.Error("the page does not say which text is positive")
	}
}
