package export

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// Statistics say what a table holds. Counts of rows, nulls, least and greatest values are of all rows; the rest is of a
// sample: whole tables of up to 65,536 rows, of larger or wide ones the rows of smallest hash.
type Statistics struct {
	Sample   int64          `json:"sample_rows"`
	Label    string         `json:"label,omitempty"`    // the column that Prediction is about
	Positive string         `json:"positive,omitempty"` // of a Label of two texts: the one that counts as 1
	Columns  []ColumnReport `json:"columns"`
}

// ColumnReport is a column of the table.
type ColumnReport struct {
	Name  string `json:"name"`
	Role  string `json:"role"` // time, key, request, spine, feature, status, label …
	Type  string `json:"type"`
	Nulls int64  `json:"nulls"`
	// Distinct counts the values that are not null; it is an estimate (standard error 2.2 %) from 2,048 on.
	Distinct   int64             `json:"distinct"`
	Estimate   bool              `json:"distinct_is_estimate,omitempty"`
	Differ     *int64            `json:"cells_that_differ,omitempty"` // of a feature: as of and as served
	Numbers    *NumberReport     `json:"numbers,omitempty"`
	Top        []ValueReport     `json:"top,omitempty"` // of text: the most frequent values of the sample
	Prediction *PredictionReport `json:"prediction,omitempty"`
}

// NumberReport describes numbers; instants are text, NaN and infinities too.
type NumberReport struct {
	Min       json.RawMessage   `json:"min"`
	Max       json.RawMessage   `json:"max"`
	Mean      json.RawMessage   `json:"mean"`
	Quantiles []QuantileReport  `json:"quantiles"`
	Histogram []HistogramReport `json:"histogram"`
}

// QuantileReport is the value at rank floor(Q·(n-1)) of the sample's n.
type QuantileReport struct {
	Q     float64         `json:"q"`
	Value json.RawMessage `json:"value"`
}

// HistogramReport counts the sample's values in [From, To); the first and the last bar have what lies beyond them too.
type HistogramReport struct {
	From json.RawMessage `json:"from"`
	To   json.RawMessage `json:"to"`
	Rows int64           `json:"rows"`
}

// ValueReport counts a value in the sample.
type ValueReport struct {
	Value string `json:"value"`
	Rows  int64  `json:"rows"`
}

// quantilesReported are told of each column of numbers.
var quantilesReported = []float64{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99}

const (
	barsOfHistogram = 20
	valuesReported  = 10
)

// finish makes the statistics; label is a column's name, or nothing for the first label.
func (s *tableStats) finish(label string, differ []FeatureReport) *Statistics {
	s.prune()
	out := &Statistics{Sample: int64(len(s.sample.heap)), Columns: make([]ColumnReport, 0, len(s.cols))}
	at := -1
	for i := range s.l.table {
		c := &s.l.table[i]
		if at < 0 && (c.name == label || label == "" && c.role == "label") {
			at = i
		}
	}
	feature := 0
	for i := range s.cols {
		c := &s.l.table[i]
		r := ColumnReport{Name: c.name, Role: c.role, Type: c.typ.String(), Nulls: s.cols[i].nulls}
		n, exact := s.cols[i].hashes.distinct()
		r.Distinct, r.Estimate = min(n, s.rows-s.cols[i].nulls), !exact
		if c.role == "feature" && feature < len(differ) {
			r.Differ = &differ[feature].Differ
			feature++
		}
		out.Columns = append(out.Columns, r)
	}
	s.crew.each(len(s.cols), func(_, i int) { s.describe(i, &out.Columns[i]) })
	if at >= 0 {
		out.Label = s.l.table[at].name
		out.Positive = s.predict(at, out.Columns)
	}
	return out
}

// describe fills in what is known of a column's values.
func (s *tableStats) describe(i int, r *ColumnReport) {
	kind := s.l.table[i].typ.Kind
	nums, ok := s.numbers(i)
	if !ok {
		r.Top = s.top(i)
		return
	}
	if len(nums) == 0 {
		return
	}
	sortNumbers(nums)
	col := &s.cols[i]
	least, most, mean := nums[0], nums[len(nums)-1], 0.0
	if col.seen {
		least, most = col.min, col.max
		mean = col.sum / float64(max(col.finite, 1))
	} else { // text that holds numbers
		for _, x := range nums {
			mean += x / float64(len(nums))
		}
	}
	n := &NumberReport{Min: point(kind, least), Max: point(kind, most), Mean: point(kind, mean)}
	if kind == event.Bool || kind == event.Long {
		n.Mean = point(event.Double, mean)
	}
	for _, q := range quantilesReported {
		n.Quantiles = append(n.Quantiles, QuantileReport{q, point(kind, quantile(nums, q))})
	}
	n.Histogram = histogram(kind, nums)
	r.Numbers = n
}

// numbers are a column's of the sample, without NaN; ok is false if it holds text that is none.
func (s *tableStats) numbers(i int) (nums []float64, ok bool) {
	text := false
	for r := range s.sample.heap {
		switch c := s.cols[i].kept.at(r); c.kind {
		case isNumber:
			if !math.IsNaN(c.num) {
				nums = append(nums, c.num)
			}
		case isText:
			x, number := textNumber(c.text)
			if !number {
				return nil, false
			}
			text = true
			nums = append(nums, x)
		}
	}
	return nums, !text || len(nums) > 0
}

// textNumber reads what a spine without types may hold.
func textNumber(text string) (float64, bool) {
	switch text {
	case "true":
		return 1, true
	case "false":
		return 0, true
	case "":
		return 0, false
	}
	x, ok := event.ParseDouble(text)
	return x, ok && !math.IsNaN(x)
}

// point writes a number as a value of a kind; what a text column holds is a double.
func point(kind event.Kind, x float64) json.RawMessage {
	switch kind {
	case event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay, event.Long, event.Bool:
		if math.Abs(x) < 1<<62 {
			v := event.Value{Kind: kind, Num: uint64(int64(math.Round(x)))}
			if kind == event.Bool {
				v = event.LongOf(int64(x))
			}
			return event.AppendJSON(nil, v)
		}
	}
	return event.AppendJSON(nil, event.DoubleOf(x))
}

// quantile is the value at rank floor(q·(n-1)).
func quantile(sorted []float64, q float64) float64 {
	return sorted[int(q*float64(len(sorted)-1))]
}

// histogram has a bar for each value if they are few, else bars of one width from the quantile 0.01 to 0.99.
func histogram(kind event.Kind, sorted []float64) (out []HistogramReport) {
	values := slices.Compact(slices.Clone(sorted))
	if len(values) <= barsOfHistogram {
		at := 0
		for _, v := range values {
			n := 0
			for ; at < len(sorted) && sorted[at] == v; at++ {
				n++
			}
			out = append(out, HistogramReport{point(kind, v), point(kind, v), int64(n)})
		}
		return out
	}
	from, to := quantile(sorted, 0.01), quantile(sorted, 0.99)
	if from == to || math.IsInf(from, 0) || math.IsInf(to, 0) {
		from, to = values[0], values[len(values)-1]
		if math.IsInf(from, 0) || math.IsInf(to, 0) {
			return nil
		}
	}
	edge := func(i int) float64 { return from + float64((to-from)*(float64(i)/barsOfHistogram)) }
	at := 0
	for i := range barsOfHistogram {
		n := 0
		for ; at < len(sorted) && (sorted[at] < edge(i+1) || i == barsOfHistogram-1); at++ {
			n++
		}
		out = append(out, HistogramReport{point(kind, edge(i)), point(kind, edge(i+1)), int64(n)})
	}
	return out
}

// top lists the most frequent values of the sample.
func (s *tableStats) top(i int) (out []ValueReport) {
	counts := map[string]int64{}
	for r := range s.sample.heap {
		if c := s.cols[i].kept.at(r); c.kind == isText {
			counts[c.text]++
		}
	}
	if len(counts) == 0 {
		return nil
	}
	rows := make([]int64, 0, len(counts))
	for _, n := range counts {
		rows = append(rows, n)
	}
	slices.Sort(rows)
	least := rows[max(len(rows)-valuesReported, 0):] // fewer are not among the first
	for v, n := range counts {
		if n >= least[0] {
			out = append(out, ValueReport{strings.ToValidUTF8(v, "\ufffd"), n})
		}
	}
	slices.SortFunc(out, func(a, b ValueReport) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Value, b.Value))
	})
	return out[:min(len(out), valuesReported)]
}
