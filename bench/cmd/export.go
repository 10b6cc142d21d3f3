package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/bench/workload"
)

// exported is how fast a training table was written, and how much of it was checked.
type exported struct {
	rows     int
	seconds  float64
	peak     int64 // of the exporting process
	compared int   // cells equal to the oracle
}

// sampled is how many rows of an export are compared with the oracle.
const sampled = 1000

// spine draws the rows to export: users as busy as in the topic, at any time in it.
func spine(c *config, k workload.Keys) []label {
	r := rand.New(rand.NewPCG(2, 3))
	users := workload.Users(c.options(k), r)
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	out := make([]label, c.spine)
	for i := range out {
		out[i] = label{users(), begin.Add(time.Duration(r.Int64N(int64(2*time.Hour/time.Microsecond))) * time.Microsecond)}
	}
	return out
}

func writeSpine(path string, rows []label) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the spine: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintln(w, "user_id,event_time,row")
	for i, l := range rows {
		fmt.Fprintf(w, "%s,%s,%d\n", workload.UserID(l.user), l.at.Format("2006-01-02T15:04:05.000000Z"), i)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("write the spine: %w", err)
	}
	return nil
}

// export writes a training table from the running process and compares a sample of it, but for one column.
func (p *penstock) export(ctx context.Context, c *config, k workload.Keys, but string) (*exported, error) {
	rows := spine(c, k)
	in, out := filepath.Join(c.work, string(k)+"-spine.csv"), filepath.Join(c.work, string(k)+"-training.parquet")
	if err := writeSpine(in, rows); err != nil {
		return nil, err
	}
	x, err := start(ctx, filepath.Join(c.work, string(k)+"-export.log"), nil, p.env, c.penstock,
		"export", c.pipeline, "--server", p.url, "--spine", in, "--view", "user_spend", "--out", out, "--force")
	if err != nil {
		return nil, err
	}
	if err := x.wait(c.limit); err != nil {
		return nil, err
	}
	e := &exported{seconds: time.Since(x.began).Seconds(), peak: x.peak()}
	if e.rows, e.compared, err = compare(out, rows, c.options(k), but); err != nil {
		return nil, fmt.Errorf("compare %s: %w", out, err)
	}
	return e, nil
}

// wanted is what the oracle answers to sampled rows of a spine: each step-th.
type wanted struct {
	step int
	rows []map[string]any
}

// ask answers sampled rows by the oracle.
func ask(rows []label, o workload.Options) *wanted {
	w := &wanted{step: max(1, len(rows)/sampled)}
	users := map[uint32]bool{}
	for i := 0; i < len(rows); i += w.step {
		users[rows[i].user] = true
	}
	events := history(o, users)
	for i := 0; i < len(rows); i += w.step {
		w.rows = append(w.rows, naive(events[rows[i].user], rows[i].at))
	}
	return w
}

// compare reads the table and compares sampled rows of it with the oracle, cell by cell. It returns
// the number of rows and of cells compared.
func compare(path string, rows []label, o workload.Options, but string) (int, int, error) {
	return ask(rows, o).compare(path, rows, but, 0)
}

// compare is compare for a spine that was asked for; doubles may be apart by a share of within.
func (w *wanted) compare(path string, rows []label, but string, within float64) (int, int, error) {
	table, err := readTable(path, w.step)
	if err != nil {
		return 0, 0, err
	}
	if table.rows != len(rows) {
		return 0, 0, fmt.Errorf("%d rows, the spine has %d", table.rows, len(rows))
	}
	compared := 0
	for n, wants := range w.rows {
		i := n * w.step
		for name, want := range wants {
			if name == but {
				continue
			}
			got, err := table.cell(name, n)
			if err != nil {
				return 0, 0, err
			}
			if got != want && !near(got, want, within) {
				return 0, 0, fmt.Errorf("row %d, %s at %v: %s is %v, the oracle says %v",
					i, workload.UserID(rows[i].user), rows[i].at, name, got, want)
			}
			compared++
		}
	}
	return table.rows, compared, nil
}

// near tells whether two doubles are apart by at most a share of within.
func near(got, want any, within float64) bool {
	x, ok := got.(float64)
	y, also := want.(float64)
	return ok && also && math.Abs(x-y) <= within*math.Abs(y)
}

// columns is each step-th row of a Parquet file in memory, by column.
type columns struct {
	rows    int // of the file
	step    int
	next    int // the row that is read next
	columns map[string][]parquet.Value
}

func readTable(path string, step int) (*columns, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the table: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the table: %w", err)
	}
	pf, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("open the table: %w", err)
	}
	t := &columns{rows: int(pf.NumRows()), step: step, columns: map[string][]parquet.Value{}}
	names := pf.Schema().Columns()
	for _, group := range pf.RowGroups() {
		if err := t.read(group, names); err != nil {
			return nil, fmt.Errorf("read the table: %w", err)
		}
	}
	return t, nil
}

func (t *columns) read(group parquet.RowGroup, names [][]string) error {
	rows := group.Rows()
	defer func() { _ = rows.Close() }()
	buf := make([]parquet.Row, 1024)
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			if t.next++; (t.next-1)%t.step != 0 {
				continue
			}
			for _, v := range row {
				name := names[v.Column()][0]
				t.columns[name] = append(t.columns[name], v.Clone())
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// cell is a value of a row that was read, as the oracle writes it: int64, float64, string or nil.
func (t *columns) cell(name string, row int) (any, error) {
	col := t.columns[name]
	if row >= len(col) {
		return nil, fmt.Errorf("column %s has %d rows", name, len(col))
	}
	v := col[row]
	switch {
	case v.IsNull():
		return nil, nil
	case v.Kind() == parquet.Int64:
		return v.Int64(), nil
	case v.Kind() == parquet.Double:
		return v.Double(), nil
	case v.Kind() == parquet.ByteArray:
		return string(v.ByteArray()), nil
	}
	return nil, fmt.Errorf("column %s is of kind %v", name, v.Kind())
}
