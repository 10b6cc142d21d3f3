// Package diag describes mistakes in files that users write: where they are, what is wrong, and
// what to write instead. It prints them for people and as JSON.
package diag

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Severity tells whether a diagnostic stops a file from being used.
type Severity uint8

// The severities.
const (
	Error Severity = iota
	Warning
)

// String is "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText is String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Diagnostic is one mistake, or one remark.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1; 0: the whole file
	Column   int      `json:"column"` // in characters, from 1
	Width    int      `json:"width"`  // how many characters are marked
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Source   string   `json:"source,omitempty"` // the text of the line
}

// String is the form that people read:
//
//	rides.yaml:14:15: feature "avg_fare_1h": window "1hr" is not a duration
//	   14 |       window: 1hr
//	      |               ^^^
//	  hint: write 1h; the units are us, ms, s, m, h, d and w
//
// without a final line break. Control characters are shown as "?", so that a file cannot write to
// the terminal.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", d.Line, d.Column)
	}
	b.WriteString(": ")
	if d.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(printable(d.Message))
	if d.Line > 0 && d.Source != "" {
		text, column, width := clip(d.Source, d.Column, max(d.Width, 1))
		fmt.Fprintf(&b, "\n%5d | %s\n      | %s%s", d.Line, text,
			strings.Repeat(" ", column-1), strings.Repeat("^", width))
	}
	if d.Hint != "" {
		b.WriteString("\n  hint: " + printable(d.Hint))
	}
	return b.String()
}

// lineMax is how many characters of a source line are shown.
const lineMax = 120

// clip cuts a long line around its marked column, and keeps the marks inside the line.
func clip(line string, column, width int) (string, int, int) {
	r := []rune(printable(line))
	column = min(max(column, 1), len(r)+1)
	if len(r) > lineMax {
		from := 0
		if column > lineMax*3/4 {
			from = min(column-lineMax/2, len(r)-lineMax)
		}
		head, tail := "", ""
		if from > 0 {
			head = "…"
		}
		if from+lineMax < len(r) {
			tail = "…"
		}
		r = []rune(head + string(r[from:from+lineMax]) + tail)
		column -= from - utf8.RuneCountInString(head)
	}
	return string(r), column, max(min(width, len(r)+1-column), 1)
}

// printable replaces what moves a terminal's cursor or colours: tabs and line breaks by a space,
// other control and format characters by "?".
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}

// List is what was found in one or more files.
type List []Diagnostic

// Sort puts l in order of file, line and column, errors before warnings, and drops repetitions.
func (l List) Sort() List {
	slices.SortStableFunc(l, func(a, b Diagnostic) int {
		return cmp.Or(
			strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Severity, b.Severity), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(l)
}

// Count tells how many errors and warnings there are.
func (l List) Count() (errors, warnings int) {
	for _, d := range l {
		if d.Severity == Error {
			errors++
		} else {
			warnings++
		}
	}
	return errors, warnings
}

// HasErrors tells whether there is an error among l.
func (l List) HasErrors() bool {
	n, _ := l.Count()
	return n > 0
}

// String is the text of all diagnostics, an empty line between two, each line ended.
func (l List) String() string {
	var b strings.Builder
	for i, d := range l {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Write prints String to w.
func (l List) Write(w io.Writer) error {
	_, err := io.WriteString(w, l.String())
	return err
}

// WriteJSON prints l to w as a JSON array, indented, with a final line break; an empty list is [].
func (l List) WriteJSON(w io.Writer) error {
	if l == nil {
		l = List{}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(l)
}

// Err is nil if there are no errors, else an error with the text of l.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return errors.New(strings.TrimSuffix(l.String(), "\n"))
}
