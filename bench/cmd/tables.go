package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/bench/workload"
)

// tablePeer is another way to make the same table from the same files, by a script in bench/tables.
type tablePeer struct{ name, script, how string }

var tablePeers = []tablePeer{
	{"DuckDB, ASOF joins over running sums, RANGE windows for min and max", "duckdb_tables.py", "asof"},
	{"DuckDB, RANGE windows", "duckdb_tables.py", "range"},
	{"Polars, rolling expressions", "polars_tables.py", "expr"},
	{"Polars, rolling groups", "polars_tables.py", "group"},
}

const (
	tablesTitle = "Training tables: 12 features of each row of a spine"
	curveTitle  = "Training tables of more rows"
)

// made is one table, made by one process.
type made struct {
	rows, compared int
	seconds, cpu   float64
	peak           int64
}

// tables makes training tables from a state that is filled, and lets peers make the same from the same files.
func tables(ctx context.Context, c *config, r *report) error {
	python, err := venv(ctx, c)
	if err != nil {
		return err
	}
	for _, k := range c.keys {
		if err := tablesOf(ctx, c, r, k, python); err != nil {
			return fmt.Errorf("%s keys: %w", k, err)
		}
	}
	r.table(tablesTitle, "").note("Each is a process of its own that reads the spine from Parquet and writes Parquet. The peers read all events from Parquet, too; Penstock opens the state that it keeps for serving. Sums and averages of the peers may be apart from the exact ones by 1e-9 of them; Penstock's are exact. The last country of the peers is not compared: of events of one instant each takes another.")
	return nil
}

// venv makes the environment of the peers' scripts, or returns nothing if there is no Python.
func venv(ctx context.Context, c *config) (python string, err error) {
	if c.python != "" {
		return c.python, nil
	}
	found, err := exec.LookPath("python3")
	if err != nil {
		note("there is no python3: DuckDB and Polars are left out")
		return "", nil
	}
	dir := filepath.Join(c.work, "python")
	note("installing DuckDB and Polars")
	for _, args := range [][]string{
		{found, "-m", "venv", dir},
		{filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", filepath.Join(c.peers, "tables", "requirements.txt")},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			note("DuckDB and Polars are left out: %v: %s", err, out)
			return "", nil
		}
	}
	return filepath.Join(dir, "bin", "python3"), nil
}

func tablesOf(ctx context.Context, c *config, r *report, k workload.Keys, python string) (err error) {
	dir := filepath.Join(c.work, string(k)+"-tables")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	note("%s: writing files", k)
	files := filepath.Join(dir, "events")
	rows, err := workload.WriteFiles(files, c.partitions, c.options(k))
	if err != nil {
		return err
	}
	ends := map[int32]int64{}
	for i, n := range rows {
		ends[int32(i)] = n
	}
	events := filepath.Join(files, "*.parquet")
	file := filepath.Join(filepath.Dir(c.pipeline), "backfill.yaml")
	l := launch{file: file, state: filepath.Join(dir, "state"), files: filepath.Join(files, "*.avro")}
	note("%s: filling a state", k)
	_, p, err := l.takeIn(ctx, c, ends)
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	w := &tableMaker{c: c, dir: dir, keys: k, wanted: map[int]*wanted{}}
	own := func(n int) (*made, error) {
		return w.make(n, "", 0, func(spine, out string) (*process, error) {
			return start(ctx, filepath.Join(dir, "export.log"), nil, p.env, c.penstock,
				"export", file, "--state", l.state, "--spine", spine, "--view", "user_spend", "--out", out, "--force")
		})
	}
	t := r.table(tablesTitle, "keys | by | rows | s | CPU s | peak MiB | cells equal to the oracle")
	line := func(by string, m *made) {
		note("%s: %s: %.1f s, %.1f s of CPU, %d MiB", k, by, m.seconds, m.cpu, m.peak>>20)
		t.row(k, by, m.rows, m.seconds, m.cpu, m.peak>>20, m.compared)
	}
	var ours []*made // between the peers, since the machine changes meanwhile
	again := func() error {
		m, err := own(c.spine)
		if err != nil {
			return err
		}
		line(fmt.Sprintf("Penstock, run %d", len(ours)+1), m)
		ours = append(ours, m)
		return nil
	}
	if err := again(); err != nil {
		return err
	}
	var best, least *made
	for _, peer := range tablePeers {
		if python == "" {
			break
		}
		if peer != tablePeers[0] {
			if err := again(); err != nil {
				return err
			}
		}
		// Of events of one instant each takes another for the last.
		m, err := w.make(c.spine, "last_country", nearly, func(spine, out string) (*process, error) {
			return start(ctx, filepath.Join(dir, peer.how+".log"), nil, nil, python, filepath.Join(c.peers, "tables", peer.script),
				peer.how, events, spine, out, strconv.Itoa(runtime.NumCPU()), "")
		})
		if err != nil {
			note("%s: %s: %v", k, peer.name, err)
			t.note("%s, %s keys: no table within %s.", peer.name, k, c.peerLimit())
			continue
		}
		line(peer.name, m)
		if best == nil || m.seconds < best.seconds {
			best = m
		}
		if least == nil || m.peak < least.peak {
			least = m
		}
	}
	if err := again(); err != nil {
		return err
	}
	slices.SortFunc(ours, func(a, b *made) int { return cmp.Compare(a.seconds, b.seconds) })
	middle, most := ours[len(ours)/2], slices.MaxFunc(ours, func(a, b *made) int { return cmp.Compare(a.peak, b.peak) })
	if best != nil {
		r.atLeast(fmt.Sprintf("%d rows of a training table, %s keys: the median run, times the fastest peer", c.spine, k), 3, "", best.seconds/middle.seconds)
		r.atMost(fmt.Sprintf("%d rows of a training table, %s keys: memory beside the peer that takes least", c.spine, k), 1, "", float64(most.peak)/float64(least.peak))
	}
	return c.curve(r, k, own, middle)
}

// curve makes tables of a tenth and of ten times the rows.
func (c *config) curve(r *report, k workload.Keys, own func(int) (*made, error), one *made) error {
	t := r.table(curveTitle, "keys | rows | s | CPU s | CPU µs a row | peak MiB | cells equal to the oracle")
	for _, n := range []int{c.spine / 10, c.spine, 10 * c.spine} {
		m := one
		if n != c.spine {
			if n > c.most {
				t.note("%d rows were left out (-most).", n)
				continue
			}
			var err error
			if m, err = own(n); err != nil {
				return err
			}
		}
		note("%s: %d rows: %.1f s, %.1f s of CPU, %d MiB", k, n, m.seconds, m.cpu, m.peak>>20)
		t.row(k, m.rows, m.seconds, m.cpu, 1e6*m.cpu/float64(m.rows), m.peak>>20, m.compared)
	}
	return nil
}

// peerLimit is how long a peer may take.
func (c *config) peerLimit() time.Duration {
	if c.peerSeconds == 0 {
		return c.limit
	}
	return time.Duration(c.peerSeconds) * time.Second
}

// nearly is how far a peer's sums may be from the exact ones, relatively: they add doubles.
const nearly = 1e-9

// tableMaker makes tables of one distribution of keys, in a folder.
type tableMaker struct {
	c      *config
	dir    string
	keys   workload.Keys
	wanted map[int]*wanted // by rows of the spine
}

// make runs a process that makes a table of n rows, and compares a sample of it with the oracle, but for
// one column.
func (w *tableMaker) make(n int, but string, within float64, begin func(spine, out string) (*process, error)) (_ *made, err error) {
	few := *w.c
	few.spine = n
	rows := spine(&few, w.keys)
	in, out := filepath.Join(w.dir, fmt.Sprintf("spine-%d.parquet", n)), filepath.Join(w.dir, "table.parquet")
	defer func() { err = errors.Join(err, os.RemoveAll(out)) }()
	if w.wanted[n] == nil {
		w.wanted[n] = ask(rows, w.c.options(w.keys))
		if err := writeParquetSpine(in, rows); err != nil {
			return nil, err
		}
	}
	p, err := begin(in, out)
	if err != nil {
		return nil, err
	}
	if err := p.wait(w.c.peerLimit()); err != nil {
		return nil, err
	}
	m := &made{seconds: time.Since(p.began).Seconds(), cpu: p.cpu(), peak: p.peak()}
	if m.rows, m.compared, err = w.wanted[n].compare(out, rows, but, within); err != nil {
		return nil, fmt.Errorf("compare %s: %w", out, err)
	}
	return m, nil
}

// spineRow is a row of a spine as Parquet.
type spineRow struct {
	UserID    string `parquet:"user_id"`
	EventTime int64  `parquet:"event_time,timestamp(microsecond)"`
	Row       int64  `parquet:"row"`
}

func writeParquetSpine(path string, rows []label) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the spine: %w", err)
	}
	w := parquet.NewGenericWriter[spineRow](f, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(200_000))
	buf := make([]spineRow, 0, 1000)
	for i, l := range rows {
		buf = append(buf, spineRow{workload.UserID(l.user), l.at.UnixMicro(), int64(i)})
		if len(buf) == cap(buf) || i == len(rows)-1 {
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("write the spine: %w", errors.Join(err, f.Close()))
			}
			buf = buf[:0]
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		return fmt.Errorf("write the spine: %w", err)
	}
	return nil
}
