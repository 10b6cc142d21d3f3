package export

import (
	"math"
	"slices"
	"strings"
)

// PredictionReport says how well a column alone predicts the label.
type PredictionReport struct {
	// Correlation is Pearson's, over the rows of the sample in which both are numbers; nothing if one does not vary.
	Correlation *float64 `json:"correlation,omitempty"`
	// AUC is of a label of two values, R2 of any other: judged on one half of the sample, by what the other half
	// says of the label's mean in each of 64 ranges of the column's numbers, or at each of its texts.
	AUC *float64 `json:"auc,omitempty"`
	R2  *float64 `json:"r2,omitempty"`
	// Leak marks a column that predicts the label nearly perfectly: AUC or R2 is at least 0.98. It may have been
	// made of the label.
	Leak bool `json:"leak,omitempty"`
}

// The bounds of what looks like a leak.
const (
	leakAt        = 0.98
	rangesLearned = 64
	rowsJudged    = 20 // of each class, or in all; with fewer nothing is said
)

// judged is a row of one half: its place among what was learned, and its label.
type judged struct{ x, y float64 }

// predict fills in how well each feature, request column and other column of the spine predicts the label. Of a label
// of two texts it tells the one that counts as 1.
func (s *tableStats) predict(label int, cols []ColumnReport) (positive string) {
	y, rows := s.labels(label)
	if cols[label].Distinct == 2 && len(rows) == 0 {
		y, rows, positive = s.texts(label)
	}
	if len(rows) == 0 {
		return ""
	}
	classes := slices.Clone(y)
	slices.Sort(classes)
	classes = slices.Compact(classes)
	for i := range cols {
		switch cols[i].Role {
		case "feature", "request", "spine":
		default:
			continue
		}
		if i == label || cols[i].Distinct == 0 {
			continue
		}
		p := &PredictionReport{Correlation: s.correlation(i, rows, y)}
		test := s.learn(i, rows, y)
		var score *float64
		if len(classes) == 2 {
			p.AUC = auc(test, classes[1])
			score = p.AUC
		} else if len(classes) > 2 {
			p.R2 = rSquared(test)
			score = p.R2
		}
		p.Leak = score != nil && *score >= leakAt
		if p.Correlation != nil || score != nil {
			cols[i].Prediction = p
		}
	}
	return positive
}

// texts are a label's of two texts as numbers, 1 for the one that is later in the order of bytes, and the rows of the
// sample that have one; nothing if the sample has but one of them.
func (s *tableStats) texts(label int) (y []float64, rows []int, positive string) {
	negative := ""
	for r := range s.sample.heap {
		c := s.cols[label].kept.at(r)
		switch {
		case c.kind != isText:
			continue
		case rows == nil:
			negative, positive = c.text, c.text
		}
		negative, positive = min(negative, c.text), max(positive, c.text)
		rows = append(rows, r)
	}
	if negative == positive {
		return nil, nil, ""
	}
	for _, r := range rows {
		x := 0.0
		if s.cols[label].kept.at(r).text == positive {
			x = 1
		}
		y = append(y, x)
	}
	return y, rows, strings.ToValidUTF8(positive, "\ufffd")
}

// labels are the label's numbers and the rows of the sample that have one.
func (s *tableStats) labels(label int) (y []float64, rows []int) {
	if _, ok := s.numbers(label); !ok {
		return nil, nil
	}
	for r := range s.sample.heap {
		if x, ok := s.numberAt(label, r); ok && !math.IsInf(x, 0) {
			y, rows = append(y, x), append(rows, r)
		}
	}
	return y, rows
}

func (s *tableStats) numberAt(i, r int) (float64, bool) {
	c := s.cols[i].kept.at(r)
	return c.number()
}

// number is a cell's, read from text if need be.
func (c *sampleCell) number() (float64, bool) {
	switch c.kind {
	case isNumber:
		return c.num, !math.IsNaN(c.num)
	case isText:
		return textNumber(c.text)
	}
	return 0, false
}

// correlation is Pearson's coefficient.
func (s *tableStats) correlation(i int, rows []int, y []float64) *float64 {
	if _, ok := s.numbers(i); !ok {
		return nil
	}
	var n, mx, my float64
	each := func(f func(x, y float64)) {
		for k, r := range rows {
			if x, ok := s.numberAt(i, r); ok && !math.IsInf(x, 0) {
				f(x, y[k])
			}
		}
	}
	each(func(x, y float64) {
		n++
		mx += (x - mx) / n
		my += (y - my) / n
	})
	var xx, yy, xy float64
	each(func(x, y float64) {
		xx += float64((x - mx) * (x - mx))
		yy += float64((y - my) * (y - my))
		xy += float64((x - mx) * (y - my))
	})
	if n < 2 || xx == 0 || yy == 0 {
		return nil
	}
	return finite(xy / math.Sqrt(xx) / math.Sqrt(yy))
}

func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// learn takes the mean of the label by ranges or texts of a column on one half of the rows, and gives these means for
// the rows of the other half beside their labels. A null is a range of its own; what was not seen has the mean of all.
func (s *tableStats) learn(i int, rows []int, y []float64) (test []judged) {
	edges := s.ranges(i, rows)
	type mean struct{ n, sum float64 }
	var all mean
	numbers, texts := map[int]mean{}, map[string]mean{}
	learned := func(c *sampleCell) mean {
		if c.kind == isText && edges == nil {
			return texts[c.text]
		}
		return numbers[rangeOf(edges, c)]
	}
	for k, r := range rows {
		if s.sample.heap[r].hash%2 == 1 {
			continue
		}
		c := s.cols[i].kept.at(r)
		m := learned(&c)
		m.n, m.sum = m.n+1, m.sum+y[k]
		if c.kind == isText && edges == nil {
			texts[c.text] = m
		} else {
			numbers[rangeOf(edges, &c)] = m
		}
		all.n, all.sum = all.n+1, all.sum+y[k]
	}
	for k, r := range rows {
		if s.sample.heap[r].hash%2 == 0 {
			continue
		}
		c := s.cols[i].kept.at(r)
		m := learned(&c)
		if m.n == 0 {
			m = all
		}
		test = append(test, judged{m.sum / max(m.n, 1), y[k]})
	}
	return test
}

// ranges are edges between which about as many numbers of the first half lie; nil for a column of texts.
func (s *tableStats) ranges(i int, rows []int) []float64 {
	if _, ok := s.numbers(i); !ok {
		return nil
	}
	var nums []float64
	for _, r := range rows {
		if x, ok := s.numberAt(i, r); ok && s.sample.heap[r].hash%2 == 0 {
			nums = append(nums, x)
		}
	}
	sortNumbers(nums)
	edges := make([]float64, 0, rangesLearned)
	for k := 1; k < rangesLearned && len(nums) > 0; k++ {
		edges = append(edges, nums[k*len(nums)/rangesLearned])
	}
	return slices.Compact(edges)
}

// rangeOf is which range a cell lies in; -1: it is null.
func rangeOf(edges []float64, c *sampleCell) int {
	x, ok := c.number()
	if !ok {
		return -1
	}
	at, found := slices.BinarySearch(edges, x)
	if found {
		at++
	}
	return at
}

// auc is the chance that a row of the greater class has the greater prediction; ties count half.
func auc(test []judged, greater float64) *float64 {
	slices.SortFunc(test, func(a, b judged) int {
		switch {
		case a.x < b.x:
			return -1
		case a.x > b.x:
			return 1
		}
		return 0
	})
	var below, above, wins float64
	for i := 0; i < len(test); {
		var zeros, ones float64
		j := i
		for ; j < len(test) && test[j].x == test[i].x; j++ {
			if test[j].y == greater {
				ones++
			} else {
				zeros++
			}
		}
		wins += float64(ones * (below + zeros/2))
		below, above = below+zeros, above+ones
		i = j
	}
	if below < rowsJudged || above < rowsJudged {
		return nil
	}
	return finite(wins / below / above)
}

// rSquared is the share of the label's variance that the predictions explain.
func rSquared(test []judged) *float64 {
	if len(test) < rowsJudged {
		return nil
	}
	var mean, total, rest float64
	for i, t := range test {
		mean += (t.y - mean) / float64(i+1)
	}
	for _, t := range test {
		total += float64((t.y - mean) * (t.y - mean))
		rest += float64((t.y - t.x) * (t.y - t.x))
	}
	if total == 0 {
		return nil
	}
	return finite(1 - rest/total)
}
