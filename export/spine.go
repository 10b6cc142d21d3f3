package export

import (
	"os"

	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// spineColumn is one column of a spine. Its type is that of its values here; how Parquet writes it
// may be narrower.
type spineColumn struct {
	name     string
	typ      event.Type
	node     parquet.Node // how Parquet writes it; nil: as a feature of typ
	nested   bool         // only Parquet can carry it
	size     int          // of lists: how many elements each has; 0: any number
	timeText bool         // text that holds an RFC 3339 instant in the first row
	role     string       // what a declared export adds: label, weight …; empty: the spine's own
}

// spine reads the rows that are to be answered, from one of the formats.
type spine interface {
	columns() []spineColumn
	// need tells which columns are read as values; the others are only carried.
	need(cols []bool)
	// read fills c, which is empty, with the next rows: at most c.most. At the end c stays empty.
	// An error names the row.
	read(c *chunk) error
	close() error
}

// openSpine opens a spine by its extension; name is how messages call it.
func openSpine(path, name string) (spine, error) {
	f, err := os.Open(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, mistake("malformed", "", "spine %s: there is no such file", name)
		}
		return nil, mistake("malformed", "", "open spine %s: %v", name, err)
	}
	sp, err := readSpineAs(f, path, name)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return sp, nil
}

func readSpineAs(f *os.File, path, name string) (spine, error) {
	if err := checkFormat(path, "spine "+name, ""); err != nil {
		return nil, err
	}
	switch formatOf(path) {
	case "parquet":
		return newParquetSpine(f, name)
	case "avro":
		return newAvroSpine(f, name)
	case "arrow":
		return newArrowSpine(f, name)
	case "jsonl":
		return newJSONLSpine(f, path, name)
	}
	return newCSVSpine(f, path, name)
}

// chunk is some rows of a spine and their answers, by column. What its values hold belongs to it.
type chunk struct {
	first int64 // number of its first row, from 1
	rows  int
	most  int // rows it may hold
	vals  []series
	raw   []rawColumn // of a Parquet spine: what is carried, as it was
	arena []byte      // behind the texts of raw

	instants []event.Time
	keys     []event.Value      // rows × keys, unless all are as the spine has them
	req      []event.Value      // rows × request columns, the same
	answers  []series           // while the chunk is written; it belongs to the runner
	status   [][]feature.Status // the same

	ready   bool   // instants, keys and req are read
	mistake error  // in the first row of them that cannot be
	part    []int8 // by row: of a split

	number     int32 // among the chunks that are answered together
	cells      cells
	slots      [feature.Slots]int // how many rows are of each; then where its next goes among those of all chunks
	entities   []byte             // the names of the rows' entities
	entityEnds []uint32           // by row
	owned      int                // bytes of texts in its arenas, and of those of vals
	size       int64              // about what it takes
}

// rawColumn holds a column's Parquet values; a nested one has any number for a row.
type rawColumn struct {
	vals []parquet.Value
	ends []int32 // per row: where its values end
}

// cellsOfChunk bounds the memory of a chunk: some ten bytes a cell, and the texts.
const cellsOfChunk = 1 << 19

// chunkRows is how many rows a chunk may hold.
func chunkRows(l *layout) int {
	width := len(l.spine) + 2*len(l.names) + len(l.keys) + len(l.req)
	return min(max(cellsOfChunk/width, 256), maxChunkRows)
}

func newChunk(l *layout) *chunk {
	c := &chunk{
		most:  chunkRows(l),
		vals:  make([]series, len(l.spine)),
		cells: newCells(l.types),
	}
	return c
}

// reset empties c for its next rows.
func (c *chunk) reset() {
	c.rows = 0
	for i := range c.vals {
		c.vals[i].reset()
	}
	for i := range c.raw {
		c.raw[i].vals, c.raw[i].ends = c.raw[i].vals[:0], c.raw[i].ends[:0]
	}
	c.arena = nil // writers of files may still hold the strings
	c.instants, c.keys, c.req = c.instants[:0], c.keys[:0], c.req[:0]
	c.ready, c.part = false, c.part[:0]
	c.entities, c.entityEnds, c.owned = c.entities[:0], c.entityEnds[:0], 0
}

// own copies s into the chunk.
func (c *chunk) own(s string) string {
	if s == "" {
		return ""
	}
	if len(s) > cap(c.arena)-len(c.arena) {
		c.arena = make([]byte, 0, max(64<<10, len(s)))
	}
	n := len(c.arena)
	c.arena = append(c.arena, s...)
	c.owned += len(s)
	return event.Alias(c.arena[n:])
}

// put adds a value to a column, and copies what it points to.
func (c *chunk) put(i int, v event.Value) {
	c.vals[i].append(v)
	c.owned += len(v.Str)
}
