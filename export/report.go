package export

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
)

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"plain": plainPoint, "count": countText, "share": shareText, "times": func(a, b int) int { return a * b },
	"score": func(x *float64) string { return strconv.FormatFloat(*x, 'f', 3, 64) },
}).Parse(reportPage))

// reportView is what the page shows.
type reportView struct {
	*Manifest
	Name    string
	Leaks   []string
	Differs []ColumnReport // features, those that differ most first
	Columns []columnView
}

// columnView is a column with the bars of its histogram.
type columnView struct {
	ColumnReport
	Bars []barView
	Rows int64
}

// barView is a bar of a histogram; Height is of 100.
type barView struct {
	Height int
	Title  string
}

// WriteReport writes the manifest's statistics as one HTML file that needs no other.
func (m *Manifest) WriteReport(path string) error {
	v := reportView{Manifest: m, Name: m.Out[0].Path}
	for _, c := range m.Statistics.Columns {
		v.Columns = append(v.Columns, columnView{ColumnReport: c, Bars: barsOf(&c), Rows: m.Rows})
		if c.Prediction != nil && c.Prediction.Leak {
			v.Leaks = append(v.Leaks, c.Name)
		}
		if c.Differ != nil && *c.Differ > 0 {
			v.Differs = append(v.Differs, c)
		}
	}
	slices.SortStableFunc(v.Differs, func(a, b ColumnReport) int { return int(min(max(*b.Differ-*a.Differ, -1), 1)) })
	return writeFile(path, path, func(w io.Writer) error { return reportTemplate.Execute(w, v) })
}

func barsOf(c *ColumnReport) (out []barView) {
	if c.Numbers == nil {
		return nil
	}
	most := int64(1)
	for _, h := range c.Numbers.Histogram {
		most = max(most, h.Rows)
	}
	for _, h := range c.Numbers.Histogram {
		title := plainPoint(h.From)
		if to := plainPoint(h.To); to != title {
			title += " to " + to
		}
		b := barView{Height: int(h.Rows * 100 / most), Title: fmt.Sprintf("%s: %s rows", title, countText(h.Rows))}
		if h.Rows > 0 {
			b.Height = max(b.Height, 1)
		}
		out = append(out, b)
	}
	return out
}

// plainPoint is a point for people: text without quotes, numbers with at most six digits.
func plainPoint(p json.RawMessage) string {
	var text string
	if json.Unmarshal(p, &text) == nil {
		return strings.TrimSuffix(strings.Replace(text, ".000000", "", 1), "T00:00:00Z")
	}
	x, err := strconv.ParseFloat(string(p), 64)
	if err != nil || x == float64(int64(x)) && x < 1e15 && x > -1e15 {
		return string(p)
	}
	return strconv.FormatFloat(x, 'g', 6, 64)
}

// countText groups digits by three.
func countText(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// shareText is a percentage of n rows.
func shareText(part, n int64) string {
	switch {
	case part == 0 || n == 0:
		return "0 %"
	case part == n:
		return "100 %"
	}
	return strconv.FormatFloat(min(max(float64(part)/float64(n)*100, 0.1), 99.9), 'f', 1, 64) + " %"
}
