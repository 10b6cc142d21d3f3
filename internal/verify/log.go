package verify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// servedPrefix is what the columns of served values begin with in a serving log.
const servedPrefix = "served_"

// LogConfig says which rows of a serving log are compared.
type LogConfig struct {
	Path string
	Rows int // of the file at most, evenly over it; 0: 1,000
}

// Log compares the rows of one file of the serving log with the truth. A served value rests on all records below the
// positions that were logged with it, and perhaps on some of those that had arrived when it was answered: it must be
// what the rows give at one of these points. Rows of another version of a view, or from before what can be
// recomputed today, are counted as unknown.
func Log(ctx context.Context, cut Past, t *Truth, cfg LogConfig) (*Report, feature.Selection, error) {
	rep := &Report{}
	var differs feature.Selection
	step, err := stepOf(cfg)
	if err != nil {
		return nil, differs, err
	}
	err = eachLine(cfg.Path, func(n int64, text []byte) error {
		if (n-1)%step != 0 {
			return ctx.Err()
		}
		var line logLine
		if err := line.parse(text); err != nil {
			return fmt.Errorf("%s:%d: %w", cfg.Path, n, err)
		}
		first := rep.First
		if err := line.compare(cut, t, rep, fmt.Sprintf("%s:%d", cfg.Path, n)); err != nil {
			return fmt.Errorf("%s:%d: %w", cfg.Path, n, err)
		}
		if rep.First != first {
			differs = line.sel
		}
		return ctx.Err()
	})
	return rep, differs, err
}

// stepOf is every how many rows one is compared.
func stepOf(cfg LogConfig) (int64, error) {
	rows := int64(0)
	err := eachLine(cfg.Path, func(int64, []byte) error { rows++; return nil })
	most := int64(cfg.Rows)
	if most <= 0 {
		most = 1000
	}
	return max(1, (rows+most-1)/most), err
}

// eachLine reads the lines of a file; one without its end is still being written, and left out.
func eachLine(path string, f func(n int64, line []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open serving log: %w", err)
	}
	defer func() { _ = file.Close() }()
	r := bufio.NewReaderSize(file, 1<<20)
	for n := int64(1); ; n++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read serving log %s: %w", path, err)
		}
		if err := f(n, line); err != nil {
			return err
		}
	}
}

// logLine is one row of a serving log.
type logLine struct {
	values   map[string]json.RawMessage
	sel      feature.Selection
	asOf     event.Time
	servedAt event.Time
	status   []string
	versions map[string]string
	next     map[string]map[int32]int64 // offsets by source and partition
}

func (l *logLine) parse(text []byte) error {
	if err := json.Unmarshal(text, &l.values); err != nil {
		return fmt.Errorf("read a row of the serving log: %w", err)
	}
	text1 := func(name string) string {
		var s string
		_ = json.Unmarshal(l.values[name], &s)
		return s
	}
	var err error
	if l.asOf, err = event.ParseTime(text1("event_time")); err != nil {
		return fmt.Errorf("event_time: %w", err)
	}
	if l.servedAt, err = event.ParseTime(text1("_served_at")); err != nil {
		return fmt.Errorf("_served_at: %w", err)
	}
	what, features, chosen := strings.Cut(text1("_selection"), ": ")
	if chosen {
		l.sel.Features = strings.Split(features, ",")
	}
	kind, name, _ := strings.Cut(what, " ")
	switch kind {
	case "set":
		l.sel.Set = name
	case "view":
		l.sel.View = name
	case "features":
	default:
		return fmt.Errorf("_selection %q is none", what)
	}
	l.status = strings.Split(text1("_status"), ",")
	l.versions, l.next = map[string]string{}, map[string]map[int32]int64{}
	for _, v := range strings.Fields(text1("_versions")) {
		name, version, _ := strings.Cut(v, "@")
		l.versions[name] = version
	}
	for _, p := range strings.Fields(text1("_positions")) {
		slash, at := strings.LastIndexByte(p, '/'), strings.LastIndexByte(p, '@')
		if slash < 0 || at < slash {
			return fmt.Errorf("_positions %q is none", p)
		}
		partition, err := strconv.ParseInt(p[slash+1:at], 10, 32)
		if err != nil {
			return fmt.Errorf("_positions %q: %w", p, err)
		}
		next, err := strconv.ParseInt(p[at+1:], 10, 64)
		if err != nil {
			return fmt.Errorf("_positions %q: %w", p, err)
		}
		if l.next[p[:slash]] == nil {
			l.next[p[:slash]] = map[int32]int64{}
		}
		l.next[p[:slash]][int32(partition)] = next
	}
	return nil
}

// value reads a column as one of a type.
func (l *logLine) value(name string, t event.Type) (event.Value, error) {
	raw, ok := l.values[name]
	if !ok {
		return event.Value{}, fmt.Errorf("column %s is missing", name)
	}
	return ofJSON(raw, t)
}

// ofJSON reads a value as look-ups write it.
func ofJSON(raw json.RawMessage, t event.Type) (event.Value, error) {
	if bytes.Equal(raw, []byte("null")) {
		return event.Value{}, nil
	}
	text := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return event.Value{}, err
		}
		if t.Kind == event.String {
			return event.StringOf(text), nil
		}
	}
	return typed(event.StringOf(text), t)
}

// known tells whether the row can be recomputed: its views are those of today, and it lies in their history.
func (l *logLine) known(cut Past, plan *pipeline.Plan, cols []Column) bool {
	for _, v := range viewsOf(cols) {
		if l.versions[v.Name] != v.Version || l.asOf < cut.Horizon(v) {
			return false
		}
	}
	for name := range l.versions {
		if plan.View(name) == nil {
			return false
		}
	}
	return true
}

func (l *logLine) compare(cut Past, t *Truth, rep *Report, where string) error {
	selector, err := cut.Select(l.sel)
	if err != nil { // of another plan
		rep.Unknown += int64(len(l.status))
		return nil
	}
	cols := Columns(t.Plan, l.sel)
	if !l.known(cut, t.Plan, cols) || len(cols) != len(l.status) {
		rep.Unknown += int64(len(cols))
		return nil
	}
	q := Question{Names: selector.Keys, AsOf: l.asOf}
	for _, c := range selector.Keys {
		v, err := l.value(c.Name, c.Type)
		if err != nil {
			return err
		}
		q.Keys = append(q.Keys, v)
	}
	for _, c := range selector.Request {
		v, err := l.value(c.Name, c.Type)
		if err != nil {
			return err
		}
		q.Request = append(q.Request, v)
	}
	rep.Questions++
	rep.Cells += int64(len(cols))
	var worst []*Difference
	for _, past := range l.pasts(t, cols, selector, &q) {
		q.Past = past
		want, err := t.Answer(cols, &q)
		if err != nil {
			return err
		}
		differ := l.differences(cols, selector, &q, want, where)
		if len(differ) == 0 {
			return nil
		}
		if worst == nil || len(differ) < len(worst) {
			worst = differ
		}
	}
	for _, d := range worst {
		rep.add(d)
	}
	return nil
}

// differences are the cells that are not what is wanted.
func (l *logLine) differences(cols []Column, sel *feature.Selector, q *Question, want []Cell, where string) (out []*Difference) {
	for j, c := range cols {
		w := &want[j]
		raw, ok := l.values[servedPrefix+c.Name]
		same := ok && sameJSON(raw, w, sel.Columns[j].Type)
		if w.Unknown || l.status[j] == oracle.BeforeHistory || same && (l.status[j] == w.Status || l.status[j] == "incomplete") {
			continue
		}
		out = append(out, &Difference{Feature: c.Name, Question: *q, Want: *w, Text: fmt.Sprintf("%s (%s) in %s", raw, l.status[j], where)})
	}
	return out
}

// sameJSON tells whether a value that look-ups wrote is the one that is wanted.
func sameJSON(raw json.RawMessage, want *Cell, t event.Type) bool {
	if string(raw) == string(event.AppendJSON(nil, want.Value)) {
		return true
	}
	got, err := ofJSON(raw, t)
	return err == nil && sameCell(got, want, t)
}

// maxPasts bounds the points that a row is compared at.
const maxPasts = 64

// pasts are the points that a served row may rest on: the records below its positions, and with them, one by one in
// the order of their arrival, those that had arrived when it was served.
func (l *logLine) pasts(t *Truth, cols []Column, sel *feature.Selector, q *Question) []func(*event.Row) bool {
	below := func(r *event.Row) bool {
		return r.Pos.Offset < l.next[t.Plan.Sources[r.Pos.Source].Name][r.Pos.Partition]
	}
	var more []event.Row
	for _, v := range viewsOf(cols) {
		rows, err := t.rowsOf(v, ownKeys(v, sel.Keys, q.Keys))
		if err != nil {
			continue // Answer tells
		}
		for i := range rows {
			if r := &rows[i].Row; !below(r) && r.Arrival <= l.servedAt && r.Time < l.asOf {
				more = append(more, *r)
			}
		}
	}
	slices.SortFunc(more, func(a, b event.Row) int {
		if a.Arrival != b.Arrival {
			return int(max(min(a.Arrival.Sub(b.Arrival), 1), -1))
		}
		return a.Pos.Compare(b.Pos)
	})
	out := []func(*event.Row) bool{below}
	for i := range min(len(more), maxPasts) {
		last := more[i]
		out = append(out, func(r *event.Row) bool {
			return below(r) || r.Arrival < last.Arrival || r.Arrival == last.Arrival && r.Pos.Compare(last.Pos) <= 0
		})
	}
	return out
}
