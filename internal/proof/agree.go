package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

// JSONCell is a cell of a line of JSON.
type JSONCell struct{ Name, Raw string }

// Lines reads a table of JSON lines.
func Lines(b []byte) (rows [][]JSONCell, err error) {
	for line := range bytes.Lines(b) {
		d := json.NewDecoder(bytes.NewReader(line))
		if _, err := d.Token(); err != nil {
			return nil, err
		}
		var row []JSONCell
		for d.More() {
			name, err := d.Token()
			var raw json.RawMessage
			if err == nil {
				err = d.Decode(&raw)
			}
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", line, err)
			}
			row = append(row, JSONCell{name.(string), string(raw)})
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Agrees compares the report and the files of an export, of JSON lines, with the table; part is which of a split's, 0
// for the only file.
func (want *Table) Agrees(x *pipeline.Export, r *export.Report, file func(part int) ([]byte, error)) error {
	read := func(part int) ([][]JSONCell, error) {
		b, err := file(part)
		if err != nil {
			return nil, err
		}
		return Lines(b)
	}
	if got := Left(*r.LeftOut); got != want.Left || r.SpineRows != want.Seen || r.Rows != int64(len(want.Rows)) {
		return fmt.Errorf("%d rows of %d, left out %+v; want %d of %d, %+v", r.Rows, r.SpineRows, got, len(want.Rows), want.Seen, want.Left)
	}
	for i, n := range want.Differ {
		if n >= 0 && r.Features[i].Differ != n {
			return fmt.Errorf("%d cells of %s differ between the pasts, want %d", r.Features[i].Differ, r.Features[i].Name, n)
		}
	}
	parts := 1
	if x.Split != nil {
		parts = len(x.Split.Parts)
	}
	if x.Split == nil || !x.Split.Files {
		got, err := read(0)
		if err == nil {
			err = sameRows(want, want.Rows, got)
		}
		if err != nil {
			return err
		}
	}
	for p := range parts {
		rows := slices.DeleteFunc(slices.Clone(want.Rows), func(r TableRow) bool { return r.Part != p })
		if x.Split != nil && r.Parts[p].Rows != int64(len(rows)) {
			return fmt.Errorf("part %s has %d rows, want %d", r.Parts[p].Name, r.Parts[p].Rows, len(rows))
		}
		if x.Split != nil && x.Split.Files {
			got, err := read(p)
			if err == nil {
				err = sameRows(want, rows, got)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// sameRows compares rows in order; groups may come in any.
func sameRows(want *Table, rows []TableRow, got [][]JSONCell) error {
	if len(got) != len(rows) {
		return fmt.Errorf("a file has %d rows, want %d", len(got), len(rows))
	}
	groups := map[string][]TableRow{}
	for _, r := range rows {
		groups[r.Group] = append(groups[r.Group], r)
	}
	for i := 0; i < len(got); {
		group := groupOf(want, groups, got[i])
		list := groups[group]
		if list == nil {
			return fmt.Errorf("row %d: no rows are left that it may be one of: %v", i+1, got[i])
		}
		delete(groups, group)
		for k := range list {
			if i+k >= len(got) {
				return fmt.Errorf("rows of %s are missing", group)
			}
			if err := sameRow(want, &list[k], got[i+k]); err != nil {
				return fmt.Errorf("row %d: %w", i+k+1, err)
			}
		}
		i += len(list)
	}
	return nil
}

// groupOf finds the group that a row is the first of: the one whose first row has the same cells of the spine.
func groupOf(want *Table, groups map[string][]TableRow, row []JSONCell) string {
	if _, ok := groups[""]; ok {
		return "" // the rows of a file
	}
	for g, list := range groups {
		same := true
		for i, c := range list[0].Cells {
			same = same && (c.Answer != nil || c.Any || c.Status || i < len(row) && string(event.AppendJSON(nil, c.Value)) == row[i].Raw)
		}
		if same {
			return g
		}
	}
	return "none"
}

// sameRow compares every cell; and the canaries, which tell when the newest event was that a feature saw, and the
// first that a label saw, with the instant.
func sameRow(want *Table, r *TableRow, got []JSONCell) error {
	if len(got) != len(want.Columns) {
		return fmt.Errorf("%d columns, want %d: %v", len(got), len(want.Columns), want.Columns)
	}
	for i, c := range got {
		if c.Name != want.Columns[i] {
			return fmt.Errorf("column %d is %s, want %s", i+1, c.Name, want.Columns[i])
		}
		if err := r.Cells[i].Agrees(c.Raw); err != nil {
			return fmt.Errorf("%s as of %s (%v): %w", c.Name, r.At, got[:4], err)
		}
		if c.Name != "canary" && c.Name != "canary_ahead" || c.Raw == "null" {
			continue
		}
		seen, err := event.ParseTime(strings.Trim(c.Raw, `"`))
		if err != nil {
			return err
		}
		if ahead := c.Name == "canary_ahead"; ahead != (seen >= r.At) {
			return fmt.Errorf("%s as of %s saw %s", c.Name, r.At, seen)
		}
	}
	return nil
}

// Agrees tells whether JSON is a right value of the cell.
func (want *Cell) Agrees(raw string) error {
	switch {
	case want.Any && (want.Answer == nil || want.Answer.Status == oracle.Present || want.Answer.Status == oracle.Null):
		return nil
	case want.Status:
		if !want.Answer.AgreesStatus(strings.Trim(raw, `"`)) {
			return fmt.Errorf("status %s, want %s", raw, want.Answer.Status)
		}
		return nil
	}
	text := string(event.AppendJSON(nil, want.Value))
	if text == raw {
		return nil
	}
	if want.Answer != nil && !want.Answer.Exact() {
		got, err := fromJSON([]byte(raw), want.Type)
		if err != nil {
			return err
		}
		if want.Answer.Agrees(got) {
			return nil
		}
	}
	return fmt.Errorf("%s, want %s", raw, text)
}

// fromJSON reads a value of a type from JSON as tables have it.
func fromJSON(raw []byte, t event.Type) (event.Value, error) {
	if string(raw) == "null" {
		return event.Value{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	var elems []event.Value
	switch t.Kind {
	case event.List, event.Map:
		if _, err := d.Token(); err != nil {
			return event.Value{}, err
		}
		for d.More() {
			if t.Kind == event.Map {
				key, err := d.Token()
				if err != nil {
					return event.Value{}, err
				}
				elems = append(elems, event.StringOf(key.(string)))
			}
			var one json.RawMessage
			if err := d.Decode(&one); err != nil {
				return event.Value{}, err
			}
			v, err := fromJSON(one, *t.Elem)
			if err != nil {
				return event.Value{}, err
			}
			elems = append(elems, v)
		}
		return event.Value{Kind: t.Kind, Str: string(event.AppendList(nil, elems...))}, nil
	case event.Timestamp:
		at, err := event.ParseTime(strings.Trim(string(raw), `"`))
		return event.TimestampOf(at), err
	}
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return event.Value{}, err
		}
	}
	v, err := stream.ReadText(text, t)
	return v.Clone(), err
}

// FileSpine makes the rows of a file: of entities that exist or not, at instants where something is to be seen, in no
// order, some twice, with columns that are only carried.
func FileSpine(rng *rand.Rand, w *oracle.Whole, x *pipeline.Export) (columns []pipeline.Column, rows []SpineRow) {
	columns = append(columns, x.Keys...)
	columns = append(columns, pipeline.Column{Name: "at", Type: event.Type{Kind: event.Timestamp}}, pipeline.Column{Name: "tag", Type: nullable(event.String)}, pipeline.Column{Name: "num", Type: nullable(event.Long)})
	if x.Set != "" {
		columns = append(columns, w.Plan.Set(x.Set).Request...)
	}
	rng.Shuffle(len(columns), func(i, j int) { columns[i], columns[j] = columns[j], columns[i] })
	for i := range 70 {
		if i > 0 && rng.IntN(10) == 0 {
			rows = append(rows, pick(rng, rows))
			continue
		}
		keys := map[string]event.Value{}
		at := event.Time(0)
		for _, v := range w.Views {
			q := Questions(rng, v, 1)[0]
			if at == 0 || rng.IntN(2) == 0 {
				at = q.AsOf
			}
			for k, c := range v.View.Entity.Keys {
				if _, ok := keys[c.Name]; !ok || rng.IntN(2) == 0 {
					keys[c.Name] = q.Key[k]
				}
			}
		}
		for _, l := range x.Labels {
			if rng.IntN(3) == 0 {
				at = at.Add(-pick(rng, []event.Duration{l.From, l.To}))
			}
		}
		at = max(at, event.FromGo(event.Time(0).Go().AddDate(-1960, 0, 0))) // a year that text can say
		row := SpineRow{At: at}
		for _, c := range columns {
			switch v, ok := keys[c.Name]; {
			case c.Name == "at":
				row.Values = append(row.Values, event.TimestampOf(at))
			case c.Name == "tag":
				row.Values = append(row.Values, event.StringOf(pick(rng, []string{"", "a", "ü", "0"})))
			case c.Name == "amount":
				row.Values = append(row.Values, pick(rng, []event.Value{{}, event.DoubleOf(1.5), event.DoubleOf(-2.25)}))
			case !ok && c.Name == "num" && i > 0 && rng.IntN(4) == 0:
				row.Values = append(row.Values, event.Value{})
			case c.Name == "num":
				row.Values = append(row.Values, event.LongOf(rng.Int64N(9)))
			default:
				row.Values = append(row.Values, v)
			}
		}
		rows = append(rows, row)
	}
	return columns, rows
}

// WriteRows writes a spine as JSON lines.
func WriteRows(path string, columns []pipeline.Column, rows []SpineRow) error {
	var b bytes.Buffer
	for _, r := range rows {
		for i, c := range columns {
			b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
			b.Write(event.AppendJSON(append(event.AppendJSONString(nil, c.Name), ':'), r.Values[i]))
		}
		b.WriteString("}\n")
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
