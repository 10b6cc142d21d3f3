package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
)

// sourceScope is a source while it is being compiled.
type sourceScope struct {
	src   *Source
	key   *node // the source's name in the file
	in    string
	used  bool            // by a view
	needs map[string]bool // fields that views use, by path
	slots map[string]int  // of src.Columns, once they are fixed
	time  *node           // the name of the time field
	order *node
}

// known tells whether the fields of the source are known.
func (s *sourceScope) known() bool { return s != nil && s.src.Schema != nil }

// paths lists the fields of the source.
func (s *sourceScope) paths() []string {
	if !s.known() {
		return nil
	}
	fields := s.src.Schema.Fields()
	paths := make([]string, len(fields))
	for i, f := range fields {
		paths[i] = f.Path
	}
	return paths
}

// need notes that a field is used; of a path that only begins with a field (a map's key, say), the
// field. It returns the field, or "".
func (s *sourceScope) need(path string) string {
	for p := path; s.known(); {
		if _, ok := s.src.Schema.Field(p); ok {
			s.needs[p] = true
			return p
		}
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return ""
}

// fix settles the columns of the source, in the schema's order.
func (s *sourceScope) fix() {
	if !s.known() {
		return
	}
	for _, f := range s.src.Schema.Fields() {
		if s.needs[f.Path] {
			s.slots[f.Path] = len(s.src.Columns)
			s.src.Columns = append(s.src.Columns, Column{f.Path, f.Type})
		}
	}
	if s.time != nil {
		if slot, ok := s.slots[s.time.text]; ok {
			s.src.Time.Slot = slot
		}
	}
	if s.order != nil {
		if slot, ok := s.slots[s.order.text]; ok {
			s.src.Order = slot
		}
	}
}

func (c *compiler) compileState(n *node) {
	c.plan.State = State{
		Memory:   sizeOr(n.get("memory"), 1<<30),
		Flush:    durationOr(n.get("flush"), 5*event.Second),
		DiskFree: sizeOr(n.get("disk_free"), 0),
	}
}

func (c *compiler) compileServe(n *node) {
	log := n.get("log")
	if log == nil {
		return
	}
	c.plan.Log = &ServingLog{Sample: 0.01, FileBytes: sizeOr(log.get("file"), 64<<20), KeepBytes: sizeOr(log.get("keep"), 1<<30)}
	if s := log.get("sample"); s != nil {
		if share, ok := parseShare(s.text); ok {
			c.plan.Log.Sample = float64(share) / shareBuckets
		}
	}
	if p := log.get("path"); p != nil {
		c.plan.Log.Path = p.text
	}
}

func sizeOr(n *node, otherwise int64) int64 {
	if n == nil {
		return otherwise
	}
	size, err := parseSize(n.text)
	if err != nil {
		return otherwise
	}
	return size
}

func durationOr(n *node, otherwise event.Duration) event.Duration {
	if n == nil {
		return otherwise
	}
	d, err := event.ParseDuration(n.text)
	if err != nil {
		return otherwise
	}
	return d
}

func textOr(n *node, otherwise string) string {
	if n == nil {
		return otherwise
	}
	return n.text
}

func (c *compiler) compileSources(n *node) {
	if n == nil || n.kind != mappingNode {
		return
	}
	if len(n.fields) > 1<<15 {
		c.fail(n, "", "there are more than %d sources", 1<<15)
		return
	}
	for i, f := range n.fields {
		s := &sourceScope{
			src: &Source{
				Index: uint16(i), Name: f.key.text, Order: -1,
				Ahead:      durationOr(f.value.get("ahead"), 5*event.Minute),
				Idle:       durationOr(f.value.get("idle"), event.Minute),
				ArrivalLag: durationOr(f.value.get("arrival_lag"), 0),
			},
			key: f.key, in: fmt.Sprintf("source %q", f.key.text),
			needs: map[string]bool{}, slots: map[string]int{},
		}
		c.sources = append(c.sources, s)
		c.plan.Sources = append(c.plan.Sources, s.src)
		if f.value.kind != mappingNode {
			continue
		}
		c.compileKafka(s, f.value.get("kafka"))
		c.compileFile(s, f.value.get("file"))
		c.compileDead(s, f.value.get("on_error"))
		if lag := f.value.get("arrival_lag"); lag != nil && s.src.File == nil && s.src.Kafka != nil {
			c.fail(lag, "delete the line", "%s: arrival_lag is for files; a topic's records say when they arrived", s.in)
		}
		c.resolveSchema(s, f.value)
		c.compileTime(s, f.value.get("time"))
		c.compileOrder(s, f.value.get("order"))
	}
}

func (c *compiler) compileKafka(s *sourceScope, n *node) {
	if n == nil || n.kind != mappingNode {
		return
	}
	k := &Kafka{
		Topic:    textOr(n.get("topic"), ""),
		Group:    textOr(n.get("group"), c.plan.Name),
		ClientID: textOr(n.get("client_id"), "penstock"),
		Start:    Start{At: event.MinTime},
	}
	s.src.Kafka = k
	if t := n.get("topic"); t != nil && !isTopic(t.text) {
		c.fail(t, "letters, digits, _, - and . make a topic's name, at most 249 of them", "%s: kafka: topic %q is not a topic's name", s.in, t.shown())
	}
	if b := n.get("brokers"); b != nil {
		list := b.items
		if b.kind == scalarNode {
			list = []*node{b}
		}
		for _, item := range list {
			for _, addr := range strings.Split(item.text, ",") {
				k.Brokers = append(k.Brokers, strings.TrimSpace(addr))
			}
		}
	}
	if st := n.get("start"); st != nil {
		k.Start, _ = parseStart(st.text)
	}
	c.compileTLS(s, k, n.get("tls"))
	if l := n.get("sasl"); l != nil && l.kind == mappingNode {
		k.SASL = &SASL{
			Mechanism: strings.ToUpper(textOr(l.get("mechanism"), "")),
			Username:  textOr(l.get("username"), ""),
			Password:  c.secret(l.get("password"), s.in+": kafka: sasl: password"),
		}
	}
}

func isTopic(s string) bool {
	for _, r := range s {
		if r != '.' && r != '-' && !isName("x"+string(r)) {
			return false
		}
	}
	return s != "" && s != "." && s != ".." && len(s) <= 249
}

func (c *compiler) compileTLS(s *sourceScope, k *Kafka, n *node) {
	switch {
	case n == nil:
	case n.kind == scalarNode:
		if n.text == "true" {
			k.TLS = &TLS{}
		}
	case n.kind == mappingNode:
		t := &TLS{ServerName: textOr(n.get("server_name"), "")}
		for _, f := range []struct {
			name string
			to   *string
		}{{"ca", &t.CA}, {"cert", &t.Cert}, {"key", &t.Key}} {
			p := n.get(f.name)
			if p == nil {
				continue
			}
			*f.to = c.path(p.text)
			if _, err := os.Stat(*f.to); err != nil {
				c.fail(p, c.pathHint(p.text), "%s: kafka: tls: %s: %v", s.in, f.name, openError(err))
			}
		}
		if n.has("cert") != n.has("key") {
			c.fail(n, "a client certificate needs both cert and key", "%s: kafka: tls: only one of cert and key is there", s.in)
		}
		k.TLS = t
	}
}

// secret reads a secret from the environment or a file.
func (c *compiler) secret(n *node, in string) string {
	if n == nil || n.kind == scalarNode {
		return textOr(n, "")
	}
	p := n.get("file")
	if p == nil {
		return ""
	}
	b, err := readBounded(c.path(p.text), 1<<16)
	if err != nil {
		c.fail(p, c.pathHint(p.text), "%s: %v", in, openError(err))
		return ""
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		c.fail(p, "", "%s: the file is empty", in)
	}
	return text
}

// openError is err without the operation and path that a PathError repeats.
func openError(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no such file")
	}
	return err
}

// pathHint tells what a relative path is relative to.
func (c *compiler) pathHint(p string) string {
	if filepath.IsAbs(p) {
		return ""
	}
	return "the path is relative to the pipeline file's folder"
}

func (c *compiler) compileFile(s *sourceScope, n *node) {
	if n == nil || n.kind != mappingNode {
		return
	}
	s.src.File = &File{Format: strings.ToLower(textOr(n.get("format"), ""))}
	p := n.get("path")
	if p == nil {
		return
	}
	s.src.File.Path = p.text
	if _, err := filepath.Match(p.text, ""); err != nil {
		c.fail(p, "close every [ with ]", "%s: file: path %q is not a glob", s.in, p.shown())
	}
}

func (c *compiler) compileDead(s *sourceScope, n *node) {
	s.src.Dead = DeadLetters{
		Topic:  textOr(n.get("dead_letter"), ""),
		Budget: sizeOr(n.get("budget"), 256<<20),
		Keep:   durationOr(n.get("keep"), 30*event.Day),
	}
	t := n.get("dead_letter")
	switch {
	case t == nil:
	case s.src.Kafka == nil && s.src.File != nil:
		c.fail(t, "leave it out: dead letters of files are kept in the state", "%s: on_error: a source of files has no broker for a dead_letter topic", s.in)
	case !isTopic(t.text):
		c.fail(t, "letters, digits, _, - and . make a topic's name, at most 249 of them", "%s: on_error: dead_letter %q is not a topic's name", s.in, t.shown())
	case s.src.Kafka != nil && t.text == s.src.Kafka.Topic:
		c.fail(t, "name another topic", "%s: on_error: dead_letter is the topic that is read", s.in)
	}
}

var timeUnits = map[string]int64{"s": 1_000_000, "ms": 1000, "us": 1, "ns": -1000}

func (c *compiler) compileTime(s *sourceScope, n *node) {
	if n == nil {
		return
	}
	field, unit := n, (*node)(nil)
	if n.kind == mappingNode {
		field, unit = n.get("field"), n.get("unit")
		if field == nil || (n.has("unit") && unit == nil) {
			return
		}
	}
	s.time = field
	s.src.Time.Name = field.text
	if unit != nil {
		s.src.Time.Unit = timeUnits[strings.ToLower(unit.text)]
	}
	t, ok := c.field(s, field, "time")
	if !ok {
		return
	}
	format := c.formatOf(s)
	textFile := format == "csv" || format == "jsonl"
	switch {
	case t.Kind == event.Timestamp && unit != nil:
		c.fail(unit, fmt.Sprintf("write time: %s", field.text), "%s: time: field %q is a timestamp, which says its unit itself", s.in, field.text)
	case t.Kind == event.Timestamp:
	case textFile:
		c.fail(field, `give it a logical type in the schema: {"type": "long", "logicalType": "timestamp-micros"}`,
			"%s: time: field %q is of type %s, and %s files need a timestamp", s.in, field.text, bare(t), format)
	case t.Kind == event.Long && unit == nil:
		c.fail(field, fmt.Sprintf("write time: {field: %s, unit: ms}; the units are s, ms, us and ns", field.text),
			"%s: time: field %q is a plain long without a unit", s.in, field.text)
	case t.Kind == event.Long:
	case t.Kind == event.LocalTimestamp:
		c.fail(field, "the event time needs an instant: a timestamp type of Avro, not local-timestamp",
			"%s: time: field %q is a %s: it has no zone", s.in, field.text, bare(t))
	default:
		c.fail(field, "name a field with a timestamp type, or a long with its unit", "%s: time: field %q is of type %s", s.in, field.text, bare(t))
	}
}

// field resolves a field of the source by its path, and notes that it is used.
func (c *compiler) field(s *sourceScope, n *node, in string) (event.Type, bool) {
	if !s.known() {
		return event.Type{}, false
	}
	t, ok := s.src.Schema.Field(n.text)
	if !ok {
		c.fail(n, diag.Suggest(n.text, "fields", s.paths()), "%s: %s: the schema has no field %q", s.in, in, n.shown())
		return t, false
	}
	s.needs[n.text] = true
	return t, true
}

func (c *compiler) compileOrder(s *sourceScope, n *node) {
	if n == nil {
		return
	}
	s.order = n
	if t, ok := c.field(s, n, "order"); ok && !t.Ordered() {
		c.fail(n, "", "%s: order: field %q is of type %s, which has no order", s.in, n.text, bare(t))
	}
}
