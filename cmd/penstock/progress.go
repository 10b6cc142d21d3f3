package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/export"
)

// progressLine shows on a terminal how far an export is, in one line that is written anew; on anything else,
// nothing. clear removes the line.
func progressLine(w io.Writer) (show func(export.Progress), clear func()) {
	f, ok := w.(*os.File)
	if !ok {
		return nil, func() {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil, func() {}
	}
	width := 0
	show = func(p export.Progress) {
		line := progressText(p)
		_, _ = fmt.Fprintf(w, "\r%-*s", width, line)
		width = len(line)
	}
	return show, func() {
		if width > 0 {
			_, _ = fmt.Fprintf(w, "\r%s\r", strings.Repeat(" ", width))
			width = 0
		}
	}
}

// progressText is one line on how far an export is.
func progressText(p export.Progress) string {
	const cells = 20
	var b strings.Builder
	if p.Total > 0 {
		done := min(float64(p.Rows)/float64(p.Total), 1)
		n := int(done * cells)
		fmt.Fprintf(&b, "[%s%s] %3.0f %%, ", strings.Repeat("#", n), strings.Repeat(".", cells-n), done*100)
	}
	fmt.Fprintf(&b, "%d rows, %.0f rows/s", p.Rows, p.Rate())
	if left, ok := p.Left(); ok {
		fmt.Fprintf(&b, ", %v left", left.Round(time.Second))
	}
	return b.String()
}
