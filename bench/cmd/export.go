package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
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

// compare reads the table and compares sampled rows of it with the oracle, cell by cell. It returns
// the number of rows and of cells compared.
func compare(path string, rows []label, o workload.Options, but string) (int, int, error) {
	table, err := readTable(path)
	if err != nil {
		return 0, 0, err
	}
	if table.rows != len(rows) {
		return 0, 0, fmt.Errorf("%d rows, the spine has %d", table.rows, len(rows))
	}
	step := max(1, len(rows)/sampled)
	users := map[uint32]bool{}
	for i := 0; i < len(rows); i += step {
		users[rows[i].user] = true
	}
	events := history(o, users)
	compared := 0
	for i := 0; i < len(rows); i += step {
		for name, want := range naive(events[rows[i].user], rows[i].at) {
			if name == but {
				continue
			}
			got, err := table.cell(name, i)
			if err != nil {
				return 0, 0, err
			}
			if got != want {
				return 0, 0, fmt.Errorf("row %d, %s at %v: %s is %v, the oracle says %v",
					i, workload.UserID(rows[i].user), rows[i].at, name, got, want)
			}
			compared++
		}
	}
	return table.rows, compared, nil
}

// columns is a Parquet file in memory, by column.
type columns struct {
	rows    int
	columns map[string][]parquet.Value
}

func readTable(path string) (*columns, error) {
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
	t := &columns{rows: int(pf.NumRows()), columns: map[string][]parquet.Value{}}
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

// cell is a value as the oracle writes it: int64, float64, string or nil.
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
