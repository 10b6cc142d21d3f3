package feature

import (
	"fmt"
	"strconv"
	"strings"
)

// FileMark is what the state keeps of a file whose rows are a partition, as Partition.Meta: enough to notice that it
// is another one.
type FileMark struct {
	Name  string // without folders
	Bytes int64
	Edges string // the first half of the SHA-256 of its first and last 64 KiB, in hex
	Rows  int64  // -1 until it has been read to its end

	// SHA256 is that of the whole file, in hex; empty until it has been read to its end. A state of a version that
	// did not keep it has none.
	SHA256 string
}

// String is the text of m, for Partition.SetMeta.
func (m FileMark) String() string {
	text := fmt.Sprintf("%s\n%d %s", m.Name, m.Bytes, m.Edges)
	if m.Rows >= 0 {
		text += fmt.Sprintf("\n%d", m.Rows)
		if m.SHA256 != "" {
			text += "\n" + m.SHA256
		}
	}
	return text
}

// ParseFileMark reads what String wrote; ok is false of any other text.
func ParseFileMark(text string) (m FileMark, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) < 2 || len(lines) > 4 {
		return m, false
	}
	m.Name, m.Rows = lines[0], -1
	size, edges, ok := strings.Cut(lines[1], " ")
	m.Edges = edges
	var err error
	if m.Bytes, err = strconv.ParseInt(size, 10, 64); err != nil || !ok {
		return m, false
	}
	if len(lines) > 2 {
		if m.Rows, err = strconv.ParseInt(lines[2], 10, 64); err != nil || m.Rows < 0 {
			return m, false
		}
	}
	if len(lines) > 3 {
		m.SHA256 = lines[3]
	}
	return m, true
}

// Same tells whether two marks may be of one file: by the whole of it, if both have been read to their end.
func (m FileMark) Same(o FileMark) bool {
	if m.Bytes != o.Bytes || m.Edges != o.Edges {
		return false
	}
	return m.SHA256 == "" || o.SHA256 == "" || m.SHA256 == o.SHA256
}

// CutFile is a file that a cut covers: up to the offset that Cut.Offsets has of its partition.
type CutFile struct {
	Source    string
	Partition int32
	FileMark
}

// Files lists the files that the sources of a cut have been read from.
func (c *Cut) Files() (out []CutFile) {
	for _, src := range c.s.sources {
		if src.plan.File == nil {
			continue
		}
		for _, p := range src.all() {
			if _, ok := c.offsets[src][p.num]; !ok {
				continue
			}
			if m, ok := ParseFileMark(p.Meta()); ok {
				out = append(out, CutFile{src.plan.Name, p.num, m})
			}
		}
	}
	return out
}
