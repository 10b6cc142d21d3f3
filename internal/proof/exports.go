package proof

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// keyFields are what the keys of entities are in the events of a source, where they are not the field of that name.
var keyFields = map[string]map[string]string{
	"e": {"buyer": "coalesce(user, s)"},
	"g": {"user": "who", "buyer": "coalesce(who, s)", "amount": "cents / 100.0"},
}

// tables writes a feature set, labels, and exports over what is written so far: that is compiled first, to know which
// labels are ripe in time, and of what types everything is.
func (w *writer) tables(dir string) error {
	plan, err := w.compile(dir)
	if err != nil {
		return err
	}
	w.set(plan)
	w.p("labels:")
	w.p("  canary_ahead: {view: v0, label: {min: ts, window: {after: 1h%s}}}", pick(w.rng, []string{"", ", delay: 1us", ", delay: 10m"}))
	for i := range 5 {
		w.label(fmt.Sprint("l", i))
	}
	if plan, err = w.compile(dir); err != nil {
		return err
	}
	w.p("exports:")
	for i := range w.o.Exports {
		x := &exportDrawing{writer: w, plan: plan, name: fmt.Sprint("x", i)}
		x.draw()
	}
	return nil
}

// set writes a feature set over one feature of each view, with a request column.
func (w *writer) set(plan *pipeline.Plan) {
	w.p("feature_sets:")
	w.p("  s:")
	v0, v1 := plan.View("v0"), plan.View("v1")
	entities := []string{v0.Entity.Name}
	if v1.Entity != v0.Entity {
		entities = append(entities, v1.Entity.Name)
	}
	w.p("    entities: [%s]", strings.Join(entities, ", "))
	w.p("    request: {amount: double}")
	w.p("    features:")
	w.p("      - v0.canary")
	w.p("      - {name: other, expr: v1.canary ?? v0.canary}")
	w.p("      - {name: asked, expr: amount * 2, default: -1}")
	for _, f := range []*pipeline.Feature{pick(w.rng, v0.Features), pick(w.rng, v1.Features)} {
		w.p("      - {name: of_%s_%s, expr: '%s.%s != nil and amount > 0'}", f.View.Name, f.Name, f.View.Name, f.Name)
	}
}

// label writes one over a view, or over a source by any of its entities; half of them are numbers or booleans that are
// known to the bit, so that rows may be chosen by them.
func (w *writer) label(name string) {
	rng := w.rng
	of := "view: " + pick(rng, []string{"v0", "v1", "v1"})
	d := w.drawn[of[len("view: "):]]
	switch k := rng.IntN(6); {
	case k == 0 && w.twoSources():
		of, d = "source: g, entity: text", w.sourceDrawing("g")
	case k < 2:
		of, d = "source: e, entity: "+pick(rng, []string{"user", "pair", "text"}), w.sourceDrawing("e")
	}
	own := *d
	own.dflt = false // labels have no default but their own
	d = &own
	w.has["label of a "+of[:strings.IndexByte(of, ':')]] = true
	after := pick(rng, []string{"1s", "5m", "1h", "7h30m"})
	if rng.IntN(4) == 0 {
		after = pick(rng, []string{"1d", "9d"})
	}
	window := "window: {after: " + after
	if rng.IntN(3) == 0 {
		w.has["delay"] = true
		window += ", delay: " + pick(rng, []string{"1us", "30m", "1h", "1d"})
	}
	window += "}"
	text, t := w.labelled(d, name, after, window)
	w.bound[name] = !strings.Contains(text, "look")
	s := fmt.Sprintf("%s, label: {%s}", of, text)
	if rng.IntN(4) == 0 {
		w.has["settle"] = true
		s += ", settle: " + pick(rng, []string{"1m", "2h"})
	}
	if w.sharp[name] && t.Numeric() {
		if rng.IntN(3) == 0 {
			w.has["neutral"] = true
			s += ", neutral: " + pick(rng, []string{"{from: 2, to: 3}", "{from: -1.5, to: 1}", "{from: 0, to: 1e-9}"})
		}
		if rng.IntN(3) == 0 {
			w.has["buckets"] = true
			s += ", buckets: " + pick(rng, []string{"[1]", "[-10, 0, 2.5]", "[0, 1, 2, 5]"})
		}
	}
	w.p("  %s: {%s}", name, s)
}

// labelled draws the aggregate of a label.
func (w *writer) labelled(d *drawing, name, after, window string) (text string, t event.Type) {
	rng := w.rng
	p := Pair{Aggregate: pick(rng, agg.Names()), Window: "ahead"}
	switch k := rng.IntN(8); {
	case k < 4:
		w.sharp[name] = true
		for !t.Numeric() && t.Kind != event.Bool {
			p.Aggregate = pick(rng, append([]string{"bool_or"}, exactly...))
			a := d.aggregate(p.Aggregate, false)
			text, t = a.text, a.answer
		}
		text += ", " + window
		if rng.IntN(2) == 0 {
			text += d.where(false)
		}
		return text + d.defaults(t), t
	case k == 4 && !slices.Contains([]string{"1s", "5m", "1h"}, after): // inner windows fit in
		w.has["label of an aggregate of an aggregate"] = true
		text, t = d.nested(pick(rng, []string{"{tumbling: 1h}", "{hopping: 1h, every: 10m}", "{tumbling: 5m}"}), window[len("window: "):])
		return text + d.defaults(t), t
	}
	a := aggregate{answer: nullable(event.Double)}
	if p.Aggregate == "ratio" {
		a.text = fmt.Sprintf("ratio: {of: {%s}, to: {%s}}", d.term(p), d.term(p))
	} else {
		a = d.aggregate(p.Aggregate, true)
	}
	w.has["label "+p.Aggregate] = true
	text, t = a.text+", "+window, a.answer
	if rng.IntN(3) == 0 {
		text += d.where(true)
	}
	if rng.IntN(4) == 0 {
		w.has["label by"] = true
		one := t
		text += d.by(p, one)
		t = event.Type{Kind: event.Map, Nullable: true, Elem: &one}
	}
	return text + d.defaults(t), t
}

// sourceDrawing is what may be drawn over the events of a source as they are.
func (w *writer) sourceDrawing(source string) *drawing {
	types := maps.Clone(fields)
	delete(types, "net") // a column of views
	if source == "g" {
		for _, name := range []string{"user", "amount", "ts"} {
			delete(types, name)
		}
		types["who"], types["cents"], types["at"] = nullable(event.String), nullable(event.Long), nullable(event.Long)
	}
	d := &drawing{rng: w.rng, columns: known(types, append([]string{"cents", "at", "who"}, texts...)), keys: ordered(known(types, keys)), has: w.has}
	for _, c := range known(types, append([]string{"cents > 500"}, conditions...)) {
		d.conditions = append(d.conditions, c.Name)
	}
	return d
}

// exportDrawing is an export that is being drawn.
type exportDrawing struct {
	*writer
	plan    *pipeline.Plan // without exports
	name    string
	keys    []string // of what is exported, and of the labels
	request bool     // the set's request column is among the spine's
	history event.Duration
	views   []*pipeline.View
	labels  []*pipeline.Label
	columns []string // of the spine that single values are in
}

func (x *exportDrawing) draw() {
	x.p("  %s:", x.name)
	x.selection()
	x.chooseLabels()
	x.spine()
	rng := x.rng
	if len(x.labels) > 0 && rng.IntN(2) == 0 {
		x.has["unripe: keep"] = true
		x.p("    unripe: keep")
	}
	if rng.IntN(3) == 0 {
		x.has["sample"] = true
		x.p("    sample: {keep: %s%s%s}", pick(rng, []string{"30%", "0.5", "90%"}), x.by(), x.salt())
	}
	for _, l := range x.labels {
		if x.sharp[l.Name] && rng.IntN(2) == 0 {
			x.has["rebalance"] = true
			x.p("    rebalance: {label: %s, negative: %s, positive: %s%s%s}", l.Name, pick(rng, []string{"40%", "75%"}), pick(rng, []string{"0.5", "100%"}), x.by(), x.salt())
			break
		}
	}
	x.split()
	if rng.IntN(2) == 0 {
		x.p("    as_served: true")
	}
	x.p("    with_status: true")
}

// selection says what is exported, and notes its keys.
func (x *exportDrawing) selection() {
	v0, v1 := x.plan.View("v0"), x.plan.View("v1")
	switch x.rng.IntN(4) {
	case 0:
		v := pick(x.rng, []*pipeline.View{v0, v1})
		x.p("    view: %s", v.Name)
		x.views = append(x.views, v)
	case 1:
		x.has["a set"] = true
		x.p("    set: s")
		x.views, x.request = []*pipeline.View{v0, v1}, true
	default:
		x.views = []*pipeline.View{v0, v1}
		x.rng.Shuffle(2, func(i, j int) { x.views[i], x.views[j] = x.views[j], x.views[i] })
		var list []string
		taken := map[string]bool{}
		for _, v := range x.views {
			for range 3 {
				if f := pick(x.rng, v.Features); !taken[f.Name] {
					taken[f.Name] = true
					list = append(list, v.Name+"."+f.Name)
				}
			}
		}
		if !taken["canary"] {
			list = append(list, x.views[0].Name+".canary")
		}
		x.p("    features: [%s]", strings.Join(list, ", "))
	}
	x.history = x.views[0].History
	for _, v := range x.views {
		x.history = min(x.history, v.History)
		x.addKeys(v.Entity.Keys)
	}
	if v0.Entity != v1.Entity && len(x.views) == 2 {
		x.has["several entities"] = true
	}
}

func (x *exportDrawing) addKeys(keys []pipeline.Column) {
	for _, k := range keys {
		if !slices.Contains(x.keys, k.Name) {
			x.keys = append(x.keys, k.Name)
		}
	}
}

// chooseLabels names labels that are ripe while features can be asked for.
func (x *exportDrawing) chooseLabels() {
	var names []string
	for _, i := range x.rng.Perm(len(x.plan.Labels)) {
		if l := x.plan.Labels[i]; l.Ripe < x.history && len(names) < 3 && (l.Name == "canary_ahead" || x.rng.IntN(3) > 0) {
			x.labels, names = append(x.labels, l), append(names, l.Name)
			x.addKeys(l.Key())
		}
	}
	if names != nil {
		x.p("    labels: [%s]", strings.Join(names, ", "))
	}
}

// spine draws where the rows come from.
func (x *exportDrawing) spine() {
	var grids []*pipeline.View
	for _, v := range []*pipeline.View{x.plan.View("v0"), x.plan.View("v1")} {
		has := func(name string) bool {
			return slices.ContainsFunc(v.Entity.Keys, func(k pipeline.Column) bool { return k.Name == name })
		}
		if !x.request && !slices.ContainsFunc(x.keys, func(name string) bool { return !has(name) }) {
			grids = append(grids, v)
		}
	}
	kind := pick(x.rng, []string{"file", "source", "view", "label", "grid", "grid"})
	ahead := slices.DeleteFunc(slices.Clone(x.plan.Labels), func(l *pipeline.Label) bool { return !x.bound[l.Name] })
	if kind == "grid" && grids == nil || kind == "label" && len(ahead) == 0 {
		kind = "source"
	}
	x.has["spine of a "+kind] = true
	switch kind {
	case "file":
		x.columns = append(slices.Clone(x.keys), "tag", "num", "at")
		x.p("    spine: {file: %s.jsonl, time: at}", x.name)
	case "grid":
		x.grid(grids)
	case "view":
		v := pick(x.rng, []string{"v0", "v1"})
		x.stored("view: "+v, x.drawn[v], x.plan.View(v).Entity, nil)
	case "label":
		l := pick(x.rng, ahead)
		v := l.Feature.View
		if v.Hidden {
			source := v.Source.Name
			x.stored("label: "+l.Name, x.sourceDrawing(source), v.Entity, keyFields[source])
			return
		}
		x.stored("label: "+l.Name, x.drawn[v.Name], v.Entity, nil)
	case "source":
		source, entity := "e", pick(x.rng, []string{"user", "pair", "text"})
		if x.twoSources() && x.rng.IntN(3) == 0 {
			source, entity = "g", "text"
		}
		text := fmt.Sprintf("source: %s, entity: %s", source, entity)
		if source == "e" && x.keys[0] == "user" && x.rng.IntN(2) == 0 {
			text, entity = "source: e", "user"
		}
		for _, v := range x.plan.Entities {
			if v.Name == entity {
				x.stored(text, x.sourceDrawing(source), v, keyFields[source])
			}
		}
	}
}

// grid writes a grid of a view, with bounds that keep it small.
func (x *exportDrawing) grid(views []*pipeline.View) {
	rng := x.rng
	v := pick(rng, views)
	for _, k := range v.Entity.Keys {
		x.columns = append(x.columns, k.Name)
	}
	x.columns = append(x.columns, "event_time")
	every, step := "7h30m", 450*event.Minute
	zone := ""
	if rng.IntN(2) == 0 {
		days := 1 + rng.IntN(3)
		every, step = fmt.Sprintf("%dd", days), event.Duration(days)*event.Day
		zone = pick(rng, []string{"", ", zone: America/New_York", ", zone: Asia/Kolkata"})
	}
	from := base.Add(event.Duration(rng.Int64N(int64(8 * event.Day))))
	bounds := fmt.Sprintf(", from: %q", from.String())
	if rng.IntN(2) == 0 {
		x.has["bounds of a spine"] = true
		bounds += fmt.Sprintf(", to: %q", from.Add(step*event.Duration(1+rng.IntN(12))).String())
	}
	x.p("    spine: {grid: {every: %s, view: %s%s}%s}", every, v.Name, zone, bounds)
}

// stored writes a spine of stored rows; fields tells how keys are made of their columns.
func (x *exportDrawing) stored(of string, d *drawing, entity *pipeline.Entity, fields map[string]string) {
	rng := x.rng
	have := map[string]bool{}
	for _, k := range entity.Keys {
		have[k.Name] = true
		x.columns = append(x.columns, k.Name)
	}
	var columns, conditions []string
	want := slices.Clone(x.keys)
	if x.request {
		want = append(want, "amount")
	}
	for _, name := range want {
		if have[name] {
			continue
		}
		x.columns = append(x.columns, name)
		made := name
		if text, ok := fields[name]; ok {
			made = text
			columns = append(columns, fmt.Sprintf("%s: %s", name, quoted(text)))
		}
		if name != "amount" {
			conditions = append(conditions, made+" != nil") // what no key is made of is nobody's row
		}
	}
	x.columns = append(x.columns, "event_time")
	s := "{" + of
	if columns == nil && !slices.Contains(want, "price") && rng.IntN(4) == 0 {
		s += ", columns: [n, price]"
		x.columns = append(x.columns, "n", "price")
	} else {
		for i := range rng.IntN(4) {
			c := d.columns[rng.IntN(len(d.columns))]
			name := fmt.Sprint("c", i)
			columns = append(columns, fmt.Sprintf("%s: %s", name, quoted(c.Name)))
			if c.Type.Kind != event.List && c.Type.Kind != event.Map {
				x.columns = append(x.columns, name)
			}
		}
		if columns != nil {
			s += ", columns: {" + strings.Join(columns, ", ") + "}"
		}
	}
	if rng.IntN(2) == 0 {
		x.has["where of a spine"] = true
		conditions = append(conditions, "("+pick(rng, d.conditions)+")")
	}
	if conditions != nil {
		s += ", where: " + quoted(strings.Join(conditions, " and "))
	}
	if rng.IntN(3) == 0 {
		x.has["bounds of a spine"] = true
		from := base.Add(event.Duration(rng.Int64N(int64(5 * event.Day))))
		s += fmt.Sprintf(", from: %q, to: %q", from.String(), from.Add(event.Duration(1+rng.Int64N(int64(20*event.Day)))).String())
	}
	x.p("    spine: %s}", s)
}

// by draws what is hashed; nothing: the keys.
func (x *exportDrawing) by() string {
	switch x.rng.IntN(3) {
	case 0:
		return ", by: " + pick(x.rng, x.columns)
	case 1:
		x.has["by several columns"] = true
		return fmt.Sprintf(", by: [%s, %s]", pick(x.rng, x.columns), pick(x.rng, x.columns))
	}
	return ""
}

func (x *exportDrawing) salt() string { return pick(x.rng, []string{"", "", ", salt: spring"}) }

func (x *exportDrawing) split() {
	rng := x.rng
	files := ""
	if rng.IntN(3) == 0 {
		files = ", files: true"
	}
	switch rng.IntN(3) {
	case 0:
		x.has["split by time"+files] = true
		a := base.Add(event.Duration(rng.Int64N(int64(6 * event.Day))))
		b := a.Add(1 + event.Duration(rng.Int64N(int64(10*event.Day))))
		parts := fmt.Sprintf("train: {before: %q}, test: {before: %q}", a.String(), b.String())
		if rng.IntN(2) == 0 {
			parts = fmt.Sprintf("train: {before: %q}, validation: {before: %q}, test: rest", a.String(), b.String())
		}
		x.p("    split: {by: time, %s, gap: %s%s}", parts, pick(rng, []string{"0s", "1h", "1d"}), files)
	case 1:
		x.has["split by hash"+files] = true
		by := x.by()
		if by == "" {
			by = ", by: " + x.keys[0]
		}
		parts := pick(rng, []string{"train: 60%, test: rest", "train: 0.5, validation: 20%, test: 30%", "train: 70%, validation: rest"})
		x.p("    split: {%s, %s%s%s}", by[2:], parts, x.salt(), files)
	}
}

// NeededOfExports lists all that random exports must bring up.
func NeededOfExports() []string {
	out := []string{
		"label of a view", "label of a source", "delay", "settle", "neutral", "buckets", "label of an aggregate of an aggregate", "label by",
		"unripe: keep", "sample", "rebalance", "a set", "several entities", "bounds of a spine", "where of a spine", "by several columns",
		"split by time", "split by time, files: true", "split by hash", "split by hash, files: true",
	}
	for _, kind := range []string{"file", "source", "view", "label", "grid"} {
		out = append(out, "spine of a "+kind)
	}
	for _, name := range agg.Names() {
		out = append(out, "label "+name)
	}
	return out
}
