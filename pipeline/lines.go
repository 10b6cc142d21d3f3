package pipeline

import (
	"strings"
	"unicode/utf8"
)

// lines is a text by its lines. Columns count characters; finding one in a line costs the same
// however long the line is.
type lines struct {
	text    []string
	lengths []int   // in characters; -1: not counted yet
	starts  [][]int // of each character, in bytes; nil: not counted yet, or all of one byte
}

func newLines(text string) *lines {
	l := &lines{text: strings.Split(text, "\n")}
	l.lengths, l.starts = make([]int, len(l.text)), make([][]int, len(l.text))
	for i := range l.lengths {
		l.lengths[i] = -1
	}
	return l
}

// count is the number of lines, one at least.
func (l *lines) count() int { return len(l.text) }

// line returns a line by its number from 1.
func (l *lines) line(n int) string { return l.text[n-1] }

// length is the number of characters of a line.
func (l *lines) length(n int) int {
	i := n - 1
	if l.lengths[i] < 0 {
		l.lengths[i] = utf8.RuneCountInString(l.text[i])
		if l.lengths[i] < len(l.text[i]) {
			for at := range l.text[i] {
				l.starts[i] = append(l.starts[i], at)
			}
		}
	}
	return l.lengths[i]
}

// from returns the rest of a line from a place on.
func (l *lines) from(at span) string {
	if n := l.length(at.line); at.column > n {
		return ""
	}
	text := l.text[at.line-1]
	if starts := l.starts[at.line-1]; starts != nil {
		return text[starts[at.column-1]:]
	}
	return text[at.column-1:]
}
