package script

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/stream"
)

// record is one event as it stands in its log.
type record struct {
	stream.FeedRecord
	source uint16
	line   int
	text   string // what the test wrote, for messages
}

// events is a step that appends records to the logs of sources and lets them be read.
type events struct {
	node    *pipeline.Node
	records []*record
}

func (e *events) at() *pipeline.Node { return e.node }
func (e *events) run(ctx context.Context, m *machine) error {
	what := make([]happened, len(e.records))
	for i, r := range e.records {
		what[i].record = r
	}
	return m.feed(ctx, what)
}

// metaColumns say of an event what is not in its fields.
var metaColumns = []string{"_partition", "_offset", "_arrival", "_key", "_value", "_times", "_every"}

// maxTimes bounds one template.
const maxTimes = 1_000_000

func (l *loader) readEvents(key, n *pipeline.Node) step {
	if n.Kind != pipeline.Mapping {
		l.fail(key, "write the source's name as a key: events: {"+strings.Join(l.sourceNames(), ": […], ")+": […]}", "events must be a mapping of sources")
		return nil
	}
	l.unique(n, "source")
	e := &events{node: key}
	for _, f := range n.Fields {
		s := l.source(f.Key.Text)
		if s == nil {
			l.fail(f.Key, diag.Suggest(f.Key.Text, "sources", l.sourceNames()), "events: the pipeline has no source %q", f.Key.Text)
			continue
		}
		if s.encErr != nil {
			l.fail(f.Key, "", "events of %q: %v", f.Key.Text, s.encErr)
			continue
		}
		rows, ok := l.rows(f.Value, "events of "+f.Key.Text)
		if !ok {
			continue
		}
		for i := range rows {
			e.records = append(e.records, l.readEvent(s, &rows[i])...)
		}
	}
	return e
}

// readEvent makes the records of one row: one, or as many as `_times` says.
func (l *loader) readEvent(s *sourceScope, r *row) (out []*record) {
	times, every := int64(1), event.Duration(0)
	if n := r.get("_times"); n != nil {
		var err error
		if times, err = strconv.ParseInt(n.Text, 10, 64); err != nil || times < 1 || times > maxTimes {
			l.fail(n, "", "_times must be a number from 1 to %d", maxTimes)
			return nil
		}
	}
	if n := r.get("_every"); n != nil {
		var err error
		if every, err = event.ParseDuration(n.Text); err != nil {
			l.fail(n, "for example 1s", "_every: %v", err)
			return nil
		}
	}
	for i := range times {
		before := len(l.diags)
		x := &eventReader{l: l, s: s, r: r, shift: event.Duration(i) * every}
		if r.get("_times") != nil {
			x.template = true
			x.i = i
		}
		if rec := x.read(); rec != nil {
			out = append(out, rec)
		}
		if len(l.diags) > before {
			return nil
		}
	}
	return out
}

// eventReader makes one record of a row.
type eventReader struct {
	l        *loader
	s        *sourceScope
	r        *row
	template bool
	i        int64
	shift    event.Duration
}

func (x *eventReader) read() *record {
	rec := &record{source: x.s.src.Index, line: x.r.node.Line}
	fields, arrival, ok := x.meta(rec)
	if !ok {
		return nil
	}
	if v := x.r.get("_value"); v != nil {
		if len(fields) > 0 {
			x.l.fail(x.r.node, "delete the fields, or _value", "an event has fields or a _value, not both")
			return nil
		}
		rec.Value, ok = x.raw(v)
		rec.text = "_value: " + v.Text
	} else {
		rec.Value, ok = x.encode(fields)
		rec.text = x.summary(fields)
	}
	if !ok {
		return nil
	}
	x.place(rec, arrival)
	return rec
}

// meta reads the columns that begin with _ and returns the rest.
func (x *eventReader) meta(rec *record) (fields []cell, arrival *event.Time, ok bool) {
	p := int64(0)
	rec.Offset, ok = -1, true
	for _, c := range x.r.cells {
		switch c.name {
		case "_partition":
			p, ok = x.integer(c, 1<<20, ok)
		case "_offset":
			rec.Offset, ok = x.integer(c, 1<<53, ok)
		case "_arrival":
			t, good := x.l.instant(c.value)
			t = t.Add(x.shift)
			if x.s.src.File != nil {
				x.l.fail(c.key, "set arrival_lag in the pipeline", "a file's row arrives at its event time plus arrival_lag")
				good = false
			}
			arrival, ok = &t, ok && good
		case "_key":
			rec.Key, _ = x.raw(c.value)
		case "_value", "_times", "_every":
		default:
			fields = append(fields, c)
		}
	}
	rec.Partition = int32(p)
	return fields, arrival, ok
}

func (x *eventReader) integer(c cell, most int64, ok bool) (int64, bool) {
	n, err := strconv.ParseInt(x.expand(c.value.Text), 10, 64)
	if err != nil || n < 0 || n >= most {
		x.l.fail(c.value, "", "%s must be a number from 0 on", c.name)
		return 0, false
	}
	return n, ok
}

// raw reads bytes: text as it stands, or behind hex: or base64:. Null stays nil.
func (x *eventReader) raw(n *pipeline.Node) ([]byte, bool) {
	if n.Kind == pipeline.Nothing {
		return nil, true
	}
	text := x.expand(n.Text)
	var b []byte
	var err error
	if rest, ok := strings.CutPrefix(text, "hex:"); ok {
		b, err = hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
	} else if rest, ok := strings.CutPrefix(text, "base64:"); ok {
		b, err = base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	} else {
		b = []byte(text)
	}
	if err != nil {
		x.l.fail(n, "write text, hex:… or base64:…", "not bytes: %v", err)
		return nil, false
	}
	if b == nil {
		b = []byte{}
	}
	return b, true
}

// fieldOf finds the field that an encoder's error begins with.
var fieldOf = regexp.MustCompile(`^field "([^"]*)": (.*)$`)

func (x *eventReader) encode(fields []cell) ([]byte, bool) {
	m := map[string]any{}
	known := true
	for _, c := range fields {
		if !hasField(x.s.src.Schema, c.name) {
			x.unknown(fields, c.name)
			known = false
		}
	}
	if !known {
		return nil, false
	}
	for _, c := range x.s.defaults {
		if v, ok := x.value(c); ok && x.r.get(c.name) == nil {
			m[c.name] = v
		}
	}
	for _, c := range fields {
		v, ok := x.value(c)
		if !ok {
			return nil, false
		}
		m[c.name] = v
	}
	x.s.extra = nil
	datum, err := x.s.encoder.Encode(nil, m)
	if len(x.s.extra) > 0 {
		for _, path := range x.s.extra {
			x.unknown(fields, path)
		}
		return nil, false
	}
	if err == nil {
		return stream.Frame(nil, 1, datum), true
	}
	at, why := x.r.node, err.Error()
	if match := fieldOf.FindStringSubmatch(why); match != nil {
		for _, c := range append(slices.Clone(x.s.defaults), fields...) {
			if c.name == match[1] {
				at, why = c.value, match[2]
			}
		}
	}
	hint := ""
	if at == x.r.node && strings.Contains(why, "missing") {
		hint = "what all events of a source have in common goes into defaults: {" + x.s.src.Name + ": {…}} at the top of the file"
	}
	x.l.fail(at, hint, "event of %q: %s", x.s.src.Name, why)
	return nil, false
}

// hasField tells whether a record schema has a field, of whatever type.
func hasField(s *schemas.Schema, name string) bool {
	if _, ok := s.Field(name); ok {
		return true
	}
	if _, ok := s.NotColumn(name); ok {
		return true
	}
	return slices.ContainsFunc(s.Fields(), func(f schemas.Field) bool { return strings.HasPrefix(f.Path, name+".") })
}

// readDefaults reads the fields that events have unless they say otherwise.
func (l *loader) readDefaults(n *pipeline.Node) {
	if n == nil || n.Kind != pipeline.Mapping {
		if n != nil {
			l.fail(n, "for example defaults: {transactions: {country: US}}", "defaults must be a mapping of sources")
		}
		return
	}
	l.unique(n, "source")
	for _, f := range n.Fields {
		s := l.source(f.Key.Text)
		if s == nil || f.Value.Kind != pipeline.Mapping {
			l.fail(f.Key, diag.Suggest(f.Key.Text, "sources", l.sourceNames()), "defaults: %q is no source with a mapping of fields", f.Key.Text)
			continue
		}
		l.unique(f.Value, "field")
		for _, d := range f.Value.Fields {
			c := cell{d.Key.Text, d.Key, d.Value}
			s.defaults = append(s.defaults, c)
			if !hasField(s.src.Schema, c.name) {
				(&eventReader{l: l, s: s}).unknown([]cell{c}, c.name)
			}
		}
	}
}

func (x *eventReader) unknown(fields []cell, path string) {
	var names []string
	for _, f := range x.s.src.Schema.Fields() {
		names = append(names, f.Path)
	}
	first, _, _ := strings.Cut(path, ".")
	if strings.HasPrefix(first, "_") {
		names = append(names, metaColumns...)
	}
	for _, c := range fields {
		if c.name == first {
			x.l.fail(c.key, diag.Suggest(path, "fields", names), "event of %q: the schema has no field %q", x.s.src.Name, path)
		}
	}
}

// value turns a field into what the encoder takes. Instants may be written in short.
func (x *eventReader) value(c cell) (any, bool) {
	isTime := c.name == x.s.src.Time.Name
	if t, known := x.s.src.Schema.Field(c.name); c.value.Kind == pipeline.Scalar && (isTime || known && t.Kind == event.Timestamp) {
		text := x.expand(c.value.Text)
		unit := int64(0)
		if isTime {
			unit = x.s.src.Time.Unit
		}
		if unit != 0 && isNumber(text) {
			if x.shift != 0 {
				x.l.fail(c.value, "write it as +1h or in RFC 3339", "_every cannot be added to a number")
				return nil, false
			}
			return stream.Text(text), true
		}
		if at, short := x.l.short(text); short || isTime && (x.shift != 0 || unit != 0) {
			if !short {
				var ok bool
				if at, ok = x.l.instant(c.value); !ok {
					return nil, false
				}
			}
			if isTime {
				at = at.Add(x.shift)
			}
			return instantText(at, unit), true
		}
		if _, err := event.ParseTime(text); err != nil {
			_, ok := x.l.instant(c.value) // says what is wanted
			return nil, ok
		}
	}
	return x.convert(c.value), true
}

// instantText writes an instant as the schema takes it: RFC 3339, or a number in the time field's unit.
func instantText(at event.Time, unit int64) any {
	switch {
	case unit == 0:
		return at.String()
	case unit > 0:
		return stream.Text(strconv.FormatInt(int64(at)/unit, 10))
	}
	return stream.Text(strconv.FormatInt(int64(at)*-unit, 10))
}

func (x *eventReader) convert(n *pipeline.Node) any {
	switch n.Kind {
	case pipeline.Scalar:
		if text := x.expand(n.Text); n.Plain || text != n.Text { // a template has quotes for YAML's sake
			return stream.Text(text)
		}
		return n.Text
	case pipeline.Sequence:
		out := make([]any, len(n.Items))
		for i, item := range n.Items {
			out[i] = x.convert(item)
		}
		return out
	case pipeline.Mapping:
		out := map[string]any{}
		for _, f := range n.Fields {
			out[f.Key.Text] = x.convert(f.Value)
		}
		return out
	}
	return nil
}

// counter matches {i}, {i%N} and {i*N} in a template.
var counter = regexp.MustCompile(`\{i(?:([%*])([0-9]{1,9}))?\}`)

// expand writes the number of the copy, from 0, into a template.
func (x *eventReader) expand(text string) string {
	if !x.template || !strings.Contains(text, "{i") {
		return text
	}
	return counter.ReplaceAllStringFunc(text, func(s string) string {
		m := counter.FindStringSubmatch(s)
		n := x.i
		if k, _ := strconv.ParseInt(m[2], 10, 64); m[1] == "*" {
			n *= k
		} else if m[1] == "%" && k > 0 {
			n %= k
		}
		return strconv.FormatInt(n, 10)
	})
}

func (x *eventReader) summary(fields []cell) string {
	var b strings.Builder
	for i, c := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %s", c.name, x.expand(nodeText(c.value)))
	}
	return b.String()
}

// place gives a record its offset and its arrival: its event time or, if it comes late, that of the newest
// record before it in the partition.
func (x *eventReader) place(rec *record, arrival *event.Time) {
	p := partition{rec.source, rec.Partition}
	at, known := x.l.position[p]
	if !known {
		at.newest = event.MinTime
	}
	if rec.Offset < 0 {
		rec.Offset = at.next
	} else if rec.Offset < at.next {
		x.l.fail(x.r.get("_offset"), fmt.Sprintf("the next offset of partition %d is %d", rec.Partition, at.next), "offsets of a partition ascend")
		return
	}
	rec.Arrival = max(at.newest, event.MinTime)
	slots, reason := x.s.feed.Columns(context.Background(), rec.Value)
	if reason == "" {
		if t, ok := feature.EventTime(x.s.src, slots); ok {
			rec.Arrival = max(rec.Arrival, t)
		}
	}
	if arrival != nil {
		rec.Arrival = *arrival
	} else if rec.Arrival == event.MinTime {
		rec.Arrival = x.l.zero
	}
	x.l.position[p] = position{next: rec.Offset + 1, newest: max(at.newest, rec.Arrival)}
}
