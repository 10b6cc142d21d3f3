package export

import (
	"context"
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Table reads a file of any format that spines have: one that an export has written, for instance.
type Table struct {
	Columns []pipeline.Column // CSV knows text only; nested columns of Parquet come as null
	sp      spine
}

// OpenTable opens a table by its extension.
func OpenTable(path string) (*Table, error) {
	sp, err := openSpine(path, path)
	if err != nil {
		return nil, err
	}
	t := &Table{sp: sp}
	need := make([]bool, len(sp.columns()))
	for i, c := range sp.columns() {
		t.Columns = append(t.Columns, pipeline.Column{Name: c.name, Type: c.typ})
		need[i] = !c.nested
	}
	sp.need(need)
	return t, nil
}

// Past is the cut that a manifest's table was read at.
func (m *Manifest) Past() (feature.Past, error) { return m.Cut.past() }

// CutAgain takes the cut that a manifest's table was read at.
func (m *Manifest) CutAgain(ctx context.Context, store *feature.Store) (*feature.Cut, error) {
	past, err := m.Cut.past()
	if err != nil {
		return nil, err
	}
	return store.CutAt(ctx, past)
}

// Nested tells whether a column holds lists or maps that only its own format can carry.
func (t *Table) Nested(column int) bool { return t.sp.columns()[column].nested }

// Each calls f with every row, from number 1; the values are its own for good.
func (t *Table) Each(f func(row int64, values []event.Value) error) error {
	c := &chunk{most: 1024, vals: make([]series, len(t.Columns))}
	values := make([]event.Value, len(t.Columns))
	for row := int64(1); ; {
		c.reset()
		if err := t.sp.read(c); err != nil {
			return fmt.Errorf("read table: %w", err)
		}
		if c.rows == 0 {
			return nil
		}
		for i := range c.rows {
			for j := range values {
				values[j] = event.Value{}
				if c.vals[j].len() > i {
					values[j] = c.vals[j].at(i)
				}
			}
			if err := f(row, values); err != nil {
				return err
			}
			row++
		}
	}
}

// Close closes the file.
func (t *Table) Close() error { return t.sp.close() }
