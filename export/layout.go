package export

import (
	"fmt"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// layout says which columns of the spine are what, and which columns are written.
type layout struct {
	spine  []spineColumn
	time   int          // column of the instant
	keys   []input      // of Selector.Keys
	req    []input      // of Selector.Request
	names  []string     // of the features
	types  []event.Type // of the features
	sizes  []int        // of the features: how many elements every list has; 0: any number
	status bool
	table  []column // what is written, in order
}

// input is a column of the spine that is read as a column of the pipeline.
type input struct {
	col  int
	name string
	want event.Type
}

func newLayout(cfg *Config, sp spine) (*layout, error) {
	l := &layout{spine: sp.columns(), status: cfg.WithStatus}
	for _, c := range cfg.Selector.Columns {
		l.names = append(l.names, c.Name)
		l.types = append(l.types, c.Type)
		l.sizes = append(l.sizes, c.Size)
	}
	if err := l.clashes(cfg); err != nil {
		return nil, err
	}
	var err error
	if l.time, err = l.timeColumn(cfg); err != nil {
		return nil, err
	}
	if l.keys, err = l.inputs(cfg, cfg.Selector.Keys, "key column"); err != nil {
		return nil, err
	}
	if l.req, err = l.inputs(cfg, cfg.Selector.Request, "request column"); err != nil {
		return nil, err
	}
	l.table = l.columns()
	if err := l.carry(cfg, sp); err != nil {
		return nil, err
	}
	return l, nil
}

// carry tells the spine which columns are read as values: all, unless Parquet's are written as they are.
func (l *layout) carry(cfg *Config, sp spine) error {
	out := formatOf(cfg.Out)
	need := make([]bool, len(l.spine))
	need[l.time] = true
	for _, in := range l.keys {
		need[in.col] = true
	}
	for _, in := range l.req {
		need[in.col] = true
	}
	for i := range l.spine {
		c := &l.spine[i]
		if c.nested && out != "parquet" {
			return mistake("malformed", "write .parquet, or leave the column out of the spine",
				"spine %s: column %q is nested, and %s cannot carry it", cfg.SpineName, c.name, formatNames[out])
		}
		need[i] = need[i] || out != "parquet" || cfg.Manifest && !c.nested
	}
	sp.need(need)
	if out != "avro" {
		return nil
	}
	for i := range l.table {
		if !avroName(l.table[i].name) {
			return mistake("malformed", "rename the column, or write another format: Avro's names are letters, digits and _",
				"column %q cannot be a field of Avro", l.table[i].name)
		}
	}
	return nil
}

// clashes finds two columns of one name in what is to be written.
func (l *layout) clashes(cfg *Config) error {
	from := map[string]string{}
	put := func(name, what string) error {
		if other, ok := from[name]; ok {
			return mistake("clash", "rename a column of the spine, or name the feature in a set with `name:`",
				"two columns would be called %q: %s and %s", name, other, what)
		}
		from[name] = what
		return nil
	}
	for _, c := range l.spine {
		if c.name == "" {
			return mistake("malformed", "every column needs a name in the header", "spine %s: a column has no name", cfg.SpineName)
		}
		what := "a column of the spine"
		if c.role != "" {
			what = "the " + c.role
		}
		if err := put(c.name, what); err != nil {
			return err
		}
	}
	for _, n := range l.names {
		if err := put(n, "the feature "+n); err != nil {
			return err
		}
	}
	if l.status {
		for _, n := range l.names {
			if err := put(n+statusSuffix, "the status of "+n); err != nil {
				return err
			}
		}
	}
	return nil
}

const statusSuffix = "__status"

// find returns the column of a name, or -1.
func (l *layout) find(name string) int {
	for i := range l.spine {
		if l.spine[i].name == name {
			return i
		}
	}
	return -1
}

func (l *layout) columnNames() string {
	names := make([]string, len(l.spine))
	for i, c := range l.spine {
		names[i] = c.name
	}
	return "its columns are " + strings.Join(names, ", ")
}

// timeColumn is the named one, else event_time, else the only timestamp column.
func (l *layout) timeColumn(cfg *Config) (int, error) {
	name := cfg.SpineTime
	if name == "" {
		name = "event_time"
	}
	if i := l.find(name); i >= 0 {
		return i, l.isTime(cfg, i)
	}
	if cfg.SpineTime != "" {
		return 0, mistake("malformed", l.columnNames(), "spine %s: there is no column %q", cfg.SpineName, name)
	}
	found := -1
	for i, c := range l.spine {
		if c.typ.Kind != event.Timestamp && !c.timeText {
			continue
		}
		if found >= 0 {
			return 0, mistake("malformed", "name the time column with --spine-time",
				"spine %s: there is no column event_time, and both %q and %q are timestamps", cfg.SpineName, l.spine[found].name, c.name)
		}
		found = i
	}
	if found < 0 {
		return 0, mistake("malformed", "name the time column with --spine-time; "+l.columnNames(),
			"spine %s: there is no column event_time, and no timestamp column", cfg.SpineName)
	}
	return found, nil
}

func (l *layout) isTime(cfg *Config, i int) error {
	c := l.spine[i]
	switch c.typ.Kind {
	case event.Timestamp, event.String:
		return nil
	case event.LocalTimestamp:
		return mistake("malformed", "convert it to UTC, so that it is an instant: in pandas, df[col].dt.tz_localize(\"UTC\")",
			"spine %s: the time column %q has no zone", cfg.SpineName, c.name)
	}
	return mistake("malformed", "it must be a timestamp, or RFC 3339 text with a zone",
		"spine %s: the time column %q is a %s", cfg.SpineName, c.name, c.typ.Kind)
}

func (l *layout) inputs(cfg *Config, cols []pipeline.Column, what string) ([]input, error) {
	out := make([]input, 0, len(cols))
	for _, c := range cols {
		i := l.find(c.Name)
		if i < 0 {
			return nil, mistake("malformed", l.columnNames(), "spine %s: it lacks the %s %q", cfg.SpineName, what, c.Name)
		}
		if l.spine[i].nested || !convertible(l.spine[i].typ.Kind, c.Type.Kind) {
			return nil, mistake("malformed", fmt.Sprintf("convert the column to %s", c.Type.Kind),
				"spine %s: the %s %q is a %s, but must be a %s", cfg.SpineName, what, c.Name, l.spine[i].typ.Kind, c.Type.Kind)
		}
		out = append(out, input{col: i, name: c.Name, want: c.Type})
	}
	return out, nil
}
