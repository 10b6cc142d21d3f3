package pipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/expr"
)

// setScope is a feature set while it is being compiled.
type setScope struct {
	c        *compiler
	n        *node
	key      *node
	in       string
	set      *Set
	entities map[string]bool
	complete bool             // all entities that are named exist
	names    map[string]*node // answer names and request columns so far
	earlier  map[string]int   // features so far, by name
	broken   map[string]bool  // names whose mistake is reported, or whose type is not known
}

func (c *compiler) compileSets(n *node) {
	for _, f := range n.mapping() {
		s := &setScope{
			c: c, n: f.value, key: f.key, in: fmt.Sprintf("feature set %q", f.key.text), set: &Set{Name: f.key.text},
			entities: map[string]bool{}, complete: true,
			names: map[string]*node{}, earlier: map[string]int{}, broken: map[string]bool{},
		}
		c.plan.Sets = append(c.plan.Sets, s.set)
		if f.value.kind != mappingNode {
			continue
		}
		s.compileEntities()
		s.compileRequest()
		if list := f.value.get("features"); list != nil {
			for _, item := range list.items {
				s.compileItem(item)
			}
		}
	}
}

func (s *setScope) compileEntities() {
	n := s.n.get("entities")
	if n == nil {
		s.complete = false
		return
	}
	for _, item := range n.items {
		if item.bad || item.kind != scalarNode {
			s.complete = false
			continue
		}
		e := s.c.entity(item.text)
		switch {
		case e == nil:
			var names []string
			for _, e := range s.c.entities {
				names = append(names, e.entity.Name)
			}
			s.c.fail(item, diag.Suggest(item.text, "entities", names), "%s: there is no entity %q", s.in, item.shown())
			s.complete = false
			continue
		case s.entities[item.text]:
			s.c.fail(item, "", "%s: entity %q is there twice", s.in, item.text)
			continue
		}
		e.used = true
		s.entities[item.text] = true
		s.set.Entities = append(s.set.Entities, e.entity)
		s.addKeys(item, e)
	}
}

// addKeys unites the key columns of the set's entities.
func (s *setScope) addKeys(at *node, e *entityScope) {
	for _, k := range e.entity.Keys {
		i := slices.IndexFunc(s.set.Keys, func(o Column) bool { return o.Name == k.Name })
		switch {
		case i < 0:
			s.set.Keys = append(s.set.Keys, k)
		case s.set.Keys[i].Type != k.Type:
			s.c.failAt(at.span, "give the key one type in both entities, or another name in one",
				"%s: key %q is %s in entity %q, and %s in another", s.in, k.Name, k.Type, e.entity.Name, s.set.Keys[i].Type)
		}
	}
}

func (c *compiler) entity(name string) *entityScope {
	for _, e := range c.entities {
		if e.entity.Name == name {
			return e
		}
	}
	return nil
}

func (s *setScope) compileRequest() {
	for _, f := range s.n.get("request").mapping() {
		s.names[f.key.text] = f.key
		if f.value.bad || f.value.kind != scalarNode {
			s.broken[f.key.text] = true
			continue
		}
		if slices.ContainsFunc(s.set.Keys, func(k Column) bool { return k.Name == f.key.text }) {
			s.c.fail(f.key, "give it another name", "%s: request column %q has the name of a key", s.in, f.key.text)
		}
		// A request may hold null there, as a column of a training table may.
		s.set.Request = append(s.set.Request, Column{f.key.text, event.Type{Kind: columnKinds[f.value.text], Nullable: true}})
	}
}

func (s *setScope) compileItem(n *node) {
	if n.bad {
		return
	}
	switch n.kind {
	case scalarNode:
		f, known := s.c.viewFeature(n, s.in)
		_, name, _ := strings.Cut(n.text, ".")
		if n.bad {
			if s.names[name] == nil {
				s.names[name], s.broken[name] = n, true
			}
			return
		}
		if !s.claim(n, name) {
			return
		}
		if f == nil || !s.belongs(n, f) || !known {
			s.broken[name] = true
			return
		}
		s.add(&SetFeature{Name: name, Ref: f, Default: f.Default, Type: f.Type})
	case mappingNode:
		s.compileExpr(n)
	}
}

// claim takes an answer name; false if it is taken.
func (s *setScope) claim(at *node, name string) bool {
	if before := s.names[name]; before != nil {
		s.c.fail(at, fmt.Sprintf("the first is in line %d; give one another name: {name: …, expr: …}", before.line),
			"%s: two columns are named %q", s.in, name)
		return false
	}
	s.names[name] = at
	if slices.ContainsFunc(s.set.Keys, func(k Column) bool { return k.Name == name }) {
		s.c.warn(at, "an export would have two columns of that name; give the feature another: {name: …, expr: …}",
			"%s: feature %q has the name of a key", s.in, name)
	}
	return true
}

func (s *setScope) add(f *SetFeature) {
	s.earlier[f.Name] = len(s.set.Features)
	s.set.Features = append(s.set.Features, f)
}

// belongs reports a feature whose entity is not among the set's.
func (s *setScope) belongs(n *node, f *Feature) bool {
	e := f.View.Entity
	if e == nil || !s.complete || s.entities[e.Name] {
		return true
	}
	s.c.fail(n, fmt.Sprintf("add %s to the set's entities", e.Name), "%s: %s.%s is about entity %q, which the set does not name", s.in, f.View.Name, f.Name, e.Name)
	return false
}

// viewFeature resolves a dotted name; known is false if the feature's type is not (a mistake in it
// is reported already, or there is no schema).
func (c *compiler) viewFeature(n *node, in string) (f *Feature, known bool) {
	f, known, message, hint := c.findFeature(n.text)
	if message != "" {
		c.fail(n, hint, "%s: %s", in, message)
	}
	return f, known
}

func (c *compiler) findFeature(dotted string) (f *Feature, known bool, message, hint string) {
	view, name, _ := strings.Cut(dotted, ".")
	var views []string
	for _, v := range c.views {
		if !v.view.Hidden {
			views = append(views, v.view.Name)
		}
		if v.view.Name != view {
			continue
		}
		if f := v.view.Feature(name); f != nil {
			return f, f.Type.Kind != event.Null, "", ""
		}
		if v.names[name] != nil || v.n.bad {
			return nil, false, "", "" // reported where it is declared
		}
		var names []string
		for _, f := range v.view.Features {
			names = append(names, f.Name)
		}
		if c.future[name] {
			return nil, false, fmt.Sprintf("view %q has no feature %q", view, name), labelHint(name)
		}
		return nil, false, fmt.Sprintf("view %q has no feature %q", view, name), diag.Suggest(name, "features of "+view, names)
	}
	if c.future[name] && view == "labels" {
		return nil, false, fmt.Sprintf("there is no view %q", view), labelHint(name)
	}
	return nil, false, fmt.Sprintf("there is no view %q", view), diag.Suggest(view, "views", views)
}

// compileExpr compiles {name, expr, default}.
func (s *setScope) compileExpr(n *node) {
	nameNode, exprNode := n.get("name"), n.get("expr")
	if nameNode == nil {
		return
	}
	name := nameNode.text
	if !s.claim(nameNode, name) {
		return
	}
	in := fmt.Sprintf("%s: feature %q", s.in, name)
	f := &SetFeature{Name: name}
	if exprNode != nil {
		f.Text = strings.TrimSpace(exprNode.text)
	}
	if exprNode == nil || !s.bind(f, exprNode, in) {
		s.broken[name] = true
		return
	}
	if def := n.get("default"); def != nil {
		f.Default, _ = s.c.defaultOf(def, f.Type, "", "%s: ", in)
	}
	s.add(f)
}

// bind compiles the expression of f; false if it is wrong, or types are not known.
func (s *setScope) bind(f *SetFeature, n *node, in string) bool {
	names, err := expr.Names(n.text)
	if err != nil {
		s.c.exprError(n, in, err)
		return false
	}
	if len(names) == 1 && names[0] == strings.TrimSpace(n.text) && strings.Contains(names[0], ".") {
		ref, known := s.c.viewFeature(n, in)
		if ref == nil || !s.belongs(n, ref) || !known {
			return false
		}
		f.Ref, f.Type, f.Default = ref, ref.Type, ref.Default
		return true
	}
	deps := map[string]int{}
	ok := true
	for _, name := range names {
		switch i, is := s.earlier[name]; {
		case strings.Contains(name, "."):
			ok = s.dep(f, deps, n, name, in) && ok
		case s.broken[name]:
			ok = false
		case is:
			deps[name] = len(f.Deps)
			f.Deps = append(f.Deps, Dep{Earlier: i})
		case s.names[name] == nil && s.c.future[name]:
			s.c.failInside(n, name, labelHint(name), "%s: %s is not a feature", in, name)
			ok = false
		case s.names[name] == nil && s.c.untyped:
			s.c.failInside(n, name, diag.Suggest(name, "names here", s.known()), "%s: %s does not exist", in, name)
			ok = false
		}
	}
	if !ok {
		return false
	}
	p, err := expr.Compile(n.text, func(name string) (int, event.Type, bool) {
		if i, ok := deps[name]; ok {
			if d := f.Deps[i]; d.Ref == nil {
				return len(s.set.Request) + i, s.set.Features[d.Earlier].Type, true
			}
			return len(s.set.Request) + i, f.Deps[i].Ref.Type, true
		}
		i := slices.IndexFunc(s.set.Request, func(c Column) bool { return c.Name == name })
		if i < 0 {
			return 0, event.Type{}, false
		}
		return i, s.set.Request[i].Type, true
	}, s.known())
	if err != nil {
		s.c.exprError(n, in, err)
		return false
	}
	f.Expr, f.Type = p, p.Type()
	return true
}

// dep adds a view's feature to what f depends on.
func (s *setScope) dep(f *SetFeature, deps map[string]int, n *node, name, in string) bool {
	if strings.Count(name, ".") > 1 {
		// view.feature of a map or list, perhaps: what is behind is for the expression to check.
		parts := strings.SplitN(name, ".", 3)
		name = parts[0] + "." + parts[1]
		if _, ok := deps[name]; ok {
			return true
		}
	}
	head, _, _ := strings.Cut(name, ".")
	if s.names[head] != nil && s.c.view(head) == nil {
		return !s.broken[head] // a part of a request column, or a mistake that the expression reports
	}
	ref, known, message, hint := s.c.findFeature(name)
	if message != "" {
		s.c.failInside(n, name, hint, "%s: %s", in, message)
		return false
	}
	if ref == nil || !s.belongs(n, ref) || !known {
		return false
	}
	deps[name] = len(f.Deps)
	f.Deps = append(f.Deps, Dep{Ref: ref})
	return true
}

func (c *compiler) view(name string) *viewScope {
	for _, v := range c.views {
		if v.view.Name == name {
			return v
		}
	}
	return nil
}

// failInside reports a mistake in a word of a scalar.
func (c *compiler) failInside(n *node, word, hint, format string, args ...any) {
	i := regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`).FindStringIndex(n.text)
	if i == nil {
		i = []int{0, len(n.text)}
	}
	c.exprErrorHint(n, "", &expr.Error{Offset: i[0], Len: i[1] - i[0], Msg: fmt.Sprintf(format, args...)}, hint)
}

// known lists the names that the set's expressions can use.
func (s *setScope) known() []string {
	var names []string
	for _, r := range s.set.Request {
		names = append(names, r.Name)
	}
	for _, f := range s.set.Features {
		names = append(names, f.Name)
	}
	for _, v := range s.c.views {
		if v.view.Entity == nil || !s.entities[v.view.Entity.Name] {
			continue
		}
		for _, f := range v.view.Features {
			names = append(names, v.view.Name+"."+f.Name)
		}
	}
	return names
}
