package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Spine is where the rows of an export come from: a file, the rows that a view keeps, or a grid.
type Spine struct {
	File string // relative to the pipeline file's folder unless absolute
	Time string // column of a file; empty: event_time, else the only one of timestamps

	View    *View         // whose rows, or for a grid whose entities; nil for a file
	Filter  int           // bit of Row.Pass that rows must have; -1: every row
	Columns []SpineColumn // what they carry, before event_time the keys of View
	Grid    *Grid         // nil: the rows themselves
	From    event.Time    // no row is earlier; MinTime: the horizon
	To      event.Time    // every row is earlier; MaxTime: no bound
	Doc     string        // what its rows are, for people
}

// SpineColumn is a column of a spine from the rows of a view: exactly one of Key, Input and Time.
type SpineColumn struct {
	Column
	Key   int // of the view's entity; -1
	Input int // of the view; -1
	Time  bool
}

// Grid is instants at equal steps.
type Grid struct {
	Every event.Duration
	Days  int            // Every in whole days, if Zone says whose; else 0
	Zone  *time.Location // UTC without one
}

// spineScope is a spine while it is being compiled.
type spineScope struct {
	n       *node
	in      string
	view    *viewScope // nil for a file
	label   *labelScope
	columns []spineWish
	broken  bool
}

// spineWish is a column that the rows of a view are to carry.
type spineWish struct {
	name string
	expr *node
	want event.Type // Null: any
	what string     // for messages: key, request column, column
}

// declareSpine finds the view whose rows are the spine's, and what they carry.
func (x *exportScope) declareSpine() {
	n := x.n.get("spine")
	if n == nil || n.kind != mappingNode {
		return
	}
	s := &spineScope{n: n, in: x.in + ": spine"}
	x.spine = s
	x.checkBeside(s)
	c := x.c
	switch {
	case n.has("grid"):
		x.declareGrid(s)
		return
	case n.get("label") != nil:
		if s.label = c.findLabel(n.get("label"), s.in); s.label != nil {
			s.view = s.label.view
		}
	case n.get("source") != nil:
		s.view = x.sourceRows(s)
	case n.get("view") != nil:
		s.view = c.rowsOf(x.key, n, s.in)
	}
	if s.view == nil || !x.sure || s.view.entity == nil {
		s.broken = true
		return
	}
	x.wishes(s)
	for _, v := range append([]*viewScope{s.view}, s.view.more...) {
		v.noteSpine(s)
	}
}

// sourceRows finds the hidden view of a source: by the entity that is named, or the first that is exported.
func (x *exportScope) sourceRows(s *spineScope) *viewScope {
	entity := s.n.get("entity")
	if entity == nil {
		if s.n.has("entity") || !x.sure {
			return nil
		}
		at := s.n.get("source")
		entity = &node{span: at.span, kind: scalarNode}
		for _, e := range x.c.entities {
			if len(x.export.Keys) > 0 && e.hasKey(x.export.Keys[0].Name) && len(e.entity.Keys) <= len(x.export.Keys) && x.keyed(e.entity) {
				entity.text = e.entity.Name
				break
			}
		}
		if entity.text == "" {
			return nil
		}
	}
	return x.c.hiddenView(x.key, s.n.get("source"), entity, s.in)
}

// keyed tells whether all keys of an entity are among those of the export.
func (x *exportScope) keyed(e *Entity) bool {
	for _, k := range e.Keys {
		if !slices.ContainsFunc(x.export.Keys, func(o Column) bool { return o.Name == k.Name }) {
			return false
		}
	}
	return true
}

// besideSpine are the keys that may stand beside each kind of spine.
var besideSpine = map[string][]string{
	"file":   {"time"},
	"source": {"entity", "columns", "where", "from", "to"},
	"view":   {"columns", "where", "from", "to"},
	"label":  {"columns", "where", "from", "to"},
	"grid":   {"from", "to"},
}

func (x *exportScope) checkBeside(s *spineScope) {
	for _, kind := range strings.Fields("file source view label grid") {
		if !s.n.has(kind) {
			continue
		}
		for _, f := range s.n.fields {
			if f.key.text != kind && !f.key.bad && !slices.Contains(besideSpine[kind], f.key.text) && besideSpine[f.key.text] == nil {
				x.c.fail(f.key, "beside "+kind+" may stand "+diag.Enumerate(besideSpine[kind]), "%s: %s means nothing beside %s", s.in, f.key.text, kind)
			}
		}
		return
	}
}

// wishes lists what the rows carry beside the keys of their view.
func (x *exportScope) wishes(s *spineScope) {
	at := s.n.get("source")
	for _, kind := range []string{"view", "label"} {
		if n := s.n.get(kind); n != nil {
			at = n
		}
	}
	given := map[string]bool{}
	for _, k := range s.view.entity.entity.Keys {
		given[k.Name] = true
	}
	var own []spineWish
	list := s.n.get("columns")
	if list != nil {
		for _, item := range list.items {
			if !item.bad && item.kind == scalarNode {
				own = append(own, spineWish{name: item.text, expr: item, what: "column"})
			}
		}
		for _, f := range list.fields {
			if !f.key.bad && !f.value.bad && f.value.kind == scalarNode {
				own = append(own, spineWish{name: f.key.text, expr: f.value, what: "column"})
			}
		}
	}
	add := func(col Column, what string) {
		if given[col.Name] {
			return
		}
		given[col.Name] = true
		w := spineWish{name: col.Name, want: col.Type, what: what}
		if i := slices.IndexFunc(own, func(o spineWish) bool { return o.name == col.Name }); i >= 0 {
			w.expr = own[i].expr
			own = slices.Delete(own, i, i+1)
		} else {
			w.expr = &node{span: at.span, kind: scalarNode, text: col.Name, raw: col.Name}
		}
		s.columns = append(s.columns, w)
	}
	for _, k := range x.export.Keys {
		add(k, "key")
	}
	for _, r := range x.request {
		add(r, "request column")
	}
	for _, w := range own {
		if given[w.name] || w.name == TimeColumn {
			x.c.fail(w.expr, "leave it out: it is there by itself", "%s: column %q is there twice", s.in, w.name)
			continue
		}
		given[w.name] = true
		s.columns = append(s.columns, w)
	}
}

// noteSpine notes the fields of the source that a spine's rows carry.
func (v *viewScope) noteSpine(s *spineScope) {
	v.spines = append(v.spines, s)
	v.noteFields()
}

// compileSpines has the view's rows keep what spines carry.
func (v *viewScope) compileSpines() {
	for _, s := range v.spines {
		for _, w := range s.columns {
			if w.expr.bad {
				continue
			}
			in := fmt.Sprintf("%s: %s %q", s.in, w.what, w.name)
			if v.typed && !v.named(w.expr.text) && isName(w.expr.text) {
				v.c.fail(w.expr, v.wishHint(w), "%s: the events have no field %q", in, w.expr.text)
				continue
			}
			if _, _, ok := v.input(w.expr, in); !ok {
				s.broken = s.broken || v.typed
			}
		}
		v.eventFilter(s.n.get("where"), s.outer(), s.in)
	}
}

// named tells whether expressions can use a name.
func (v *viewScope) named(name string) bool {
	_, _, ok := v.lookup(name)
	_, derived := v.derived[name]
	return ok || derived || v.broken[name]
}

func (v *viewScope) wishHint(w spineWish) string {
	if w.what == "column" {
		return diag.Suggest(w.expr.text, "fields", v.known())
	}
	return fmt.Sprintf("compute it: columns: {%s: …}", w.name)
}

// compileSpine says what each column of the spine is, once its view is compiled.
func (x *exportScope) compileSpine() {
	s := x.spine
	if s == nil {
		return
	}
	out := &x.export.Spine
	out.File, out.Time = textOr(s.n.get("file"), ""), textOr(s.n.get("time"), "")
	out.Filter, out.From, out.To = -1, event.MinTime, event.MaxTime
	out.Doc = s.doc()
	x.compileGrid(s)
	x.compileBounds(s)
	if s.view == nil || s.broken || !s.view.typed || s.view.entity == nil {
		return
	}
	v := s.view
	out.View = v.view
	for i, k := range v.entity.entity.Keys {
		out.Columns = append(out.Columns, SpineColumn{Column: k, Key: i, Input: -1})
	}
	var behind []SpineColumn
	for _, w := range s.columns {
		col, ok := x.spineColumn(s, w)
		if !ok {
			continue
		}
		if w.what == "key" {
			out.Columns = append(out.Columns, col)
		} else {
			behind = append(behind, col)
		}
	}
	out.Columns = append(out.Columns, SpineColumn{Column: Column{TimeColumn, event.Type{Kind: event.Timestamp}}, Key: -1, Input: -1, Time: true})
	out.Columns = append(out.Columns, behind...)
	if s.n.has("grid") {
		return
	}
	out.Filter = x.spineFilter(s)
}

// doc says what the rows of a spine are.
func (s *spineScope) doc() string {
	text := ""
	for _, kind := range []struct{ key, says string }{
		{"file", "each row of %s"}, {"source", "each event of %s"}, {"view", "each event of view %s"}, {"label", "each event of label %s"},
	} {
		if n := s.n.get(kind.key); n != nil {
			text = fmt.Sprintf(kind.says, textOr(n, ""))
		}
	}
	if g := s.n.get("grid"); g != nil && g.kind == mappingNode {
		text = "each known entity every " + textOr(g.get("every"), "")
		if zone := textOr(g.get("zone"), ""); zone != "" {
			text += " of " + zone
		}
	}
	for _, key := range []string{"where", "from", "to"} {
		if n := s.n.get(key); n != nil {
			text += fmt.Sprintf(" %s %s", key, textOr(n, ""))
		}
	}
	return text
}

// spineColumn finds the input that holds a column.
func (x *exportScope) spineColumn(s *spineScope, w spineWish) (col SpineColumn, ok bool) {
	if w.expr.bad {
		return col, false
	}
	in := fmt.Sprintf("%s: %s %q", s.in, w.what, w.name)
	i, t, ok := s.view.input(w.expr, in)
	switch {
	case !ok:
		return col, false
	case i >= derivedBase:
		x.c.fail(w.expr, "export the feature itself", "%s: %s reads another view, and is not kept with rows", in, w.expr.shown())
		return col, false
	case w.want.Kind != event.Null && t.Kind != w.want.Kind && (w.want.Kind != event.Double || t.Kind != event.Long):
		x.c.failAt(w.expr.span, fmt.Sprintf("compute it: columns: {%s: …}", w.name), "%s must be %s, but the events' is %s", in, bare(w.want), bare(t))
		return col, false
	}
	return SpineColumn{Column: Column{w.name, t}, Key: -1, Input: i}, true
}

// outer is the condition of the label whose events are the rows.
func (s *spineScope) outer() *node {
	if s.label == nil || s.label.decl == nil {
		return nil
	}
	return s.label.decl.where
}

// spineFilter is the condition of the spine, with that of its label: -1 for none.
func (x *exportScope) spineFilter(s *spineScope) int {
	where, outer := s.n.get("where"), s.outer()
	if where != nil && where.bad || outer != nil && outer.bad {
		return -1
	}
	i, _ := s.view.eventFilter(where, outer, s.in)
	return i
}

// compileBounds reads from and to.
func (x *exportScope) compileBounds(s *spineScope) {
	out := &x.export.Spine
	read := func(key string, otherwise event.Time) event.Time {
		n := s.n.get(key)
		if n == nil {
			return otherwise
		}
		t, date, err := parseInstant(n.text)
		if err != nil {
			return otherwise
		}
		if date && out.Grid != nil {
			d := t.Go()
			t = window.StartOfDate(d.Year(), d.Month(), d.Day(), out.Grid.Zone)
		}
		return t
	}
	out.From, out.To = read("from", event.MinTime), read("to", event.MaxTime)
	if out.From >= out.To {
		x.c.fail(s.n.get("to"), "", "%s: from %s to %s holds nothing", s.in, out.From, out.To)
	}
}

// spineColumns are the columns of the spine; known is false if they are told by a file, or there is a mistake.
func (x *exportScope) spineColumns() (names []string, known bool) {
	for _, c := range x.export.Spine.Columns {
		names = append(names, c.Name)
	}
	return names, len(names) > 0
}

// declareGrid finds the view whose entities the rows of a grid are.
func (x *exportScope) declareGrid(s *spineScope) {
	n := s.n.get("grid")
	at := n.get("view")
	switch {
	case at != nil:
		v := x.c.view(at.text)
		if v == nil || v.view.Hidden {
			x.c.fail(at, diag.Suggest(at.text, "views", x.c.viewNames()), "%s: grid: there is no view %q", s.in, at.shown())
			s.broken = true
		}
		s.view = v
	default:
		at = s.n.keyNode("grid")
		if len(x.views) > 0 {
			s.view = x.views[0]
		} else {
			s.view = x.firstView()
		}
	}
	if s.view == nil && x.sure && len(x.export.Keys) > 0 {
		x.c.failAt(at.span, "a grid has the keys of one entity; take a source or a file as the spine", "%s: no view has all the keys of what is exported", s.in)
	}
	if s.view == nil || s.view.entity == nil || !x.sure {
		s.broken = true
		return
	}
	for _, k := range x.export.Keys {
		if !s.view.entity.hasKey(k.Name) {
			x.c.failAt(at.span, "a grid has the keys of one entity; take a source or a file as the spine", "%s: a grid of view %q has no column %q, which is a key of what is exported", s.in, s.view.view.Name, k.Name)
			s.broken = true
			return
		}
	}
	if len(x.request) > 0 {
		x.c.failAt(at.span, "take a source or a file as the spine, or export features that need none", "%s: a grid has no column %q, which the feature set asks for", s.in, x.request[0].Name)
		s.broken = true
	}
}

// firstView is the view of the first feature of a set, before the set is compiled.
func (x *exportScope) firstView() *viewScope {
	for _, v := range x.c.views {
		if v.entity != nil && !v.view.Hidden && len(v.entity.entity.Keys) == len(x.export.Keys) && x.keyed(v.entity.entity) {
			return v
		}
	}
	return nil
}

func (x *exportScope) compileGrid(s *spineScope) {
	n := s.n.get("grid")
	every := durationOr(n.get("every"), 0)
	if n == nil || every <= 0 {
		return
	}
	g := &Grid{Every: every, Zone: zoneOf(n.get("zone"))}
	if g.Zone == nil {
		return
	}
	if every%event.Day == 0 {
		g.Days = int(every / event.Day)
	} else if at := n.keyNode("zone"); at != nil {
		x.c.fail(at, "write every in whole days, like 1d", "%s: grid: zone means nothing beside every: %s", s.in, every)
		return
	}
	x.export.Spine.Grid = g
}
