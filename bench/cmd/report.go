package main

import (
	"fmt"
	"io"
	"strings"
)

// report collects what was measured: tables, and figures beside their targets.
type report struct {
	tables  []*table
	figures []figure
}

// table is a Markdown table; columns are separated by " | ".
type table struct {
	title, columns string
	rows           []string
	notes          []string
}

// figure is a measured value beside what it should be.
type figure struct {
	name, target, measured string
	met                    bool
}

// table returns the table of a title, begun at its first use.
func (r *report) table(title, columns string) *table {
	for _, t := range r.tables {
		if t.title == title {
			return t
		}
	}
	t := &table{title: title, columns: columns}
	r.tables = append(r.tables, t)
	return t
}

// row adds a row of as many cells as there are columns.
func (t *table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case float64:
			text[i] = number(c)
		default:
			text[i] = fmt.Sprint(c)
		}
	}
	t.rows = append(t.rows, strings.Join(text, " | "))
}

// orNothing is a cell of what was perhaps not measured.
func orNothing(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// note adds a line below the table.
func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// number writes three digits or more, none behind the point that say nothing.
func number(x float64) string {
	switch {
	case x >= 100 || x <= -100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10 || x <= -10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// atLeast and atMost add a figure with its bound.
func (r *report) atLeast(name string, bound float64, unit string, got float64) {
	r.figures = append(r.figures, figure{name, "at least " + number(bound) + unit, number(got) + unit, got >= bound})
}

func (r *report) atMost(name string, bound float64, unit string, got float64) {
	r.figures = append(r.figures, figure{name, "at most " + number(bound) + unit, number(got) + unit, got <= bound})
}

// write prints everything as Markdown.
func (r *report) write(w io.Writer) {
	for _, t := range r.tables {
		t.write(w)
	}
	if len(r.figures) == 0 {
		return
	}
	t := table{title: "Targets", columns: "figure | target | measured | met"}
	for _, f := range r.figures {
		t.row(f.name, f.target, f.measured, map[bool]string{true: "yes", false: "no"}[f.met])
	}
	t.write(w)
}

// write prints a table, or nothing without rows.
func (t *table) write(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## %s\n\n| %s |\n%s|\n", t.title, t.columns, strings.Repeat("|---", strings.Count(t.columns, " | ")+1))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", row)
	}
	if len(t.notes) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(t.notes, "\n"))
	}
}
