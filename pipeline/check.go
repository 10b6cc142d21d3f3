package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/internal/diag"
)

// checkShape reports what at n does not follow the grammar, and marks it bad. in says where n is, for
// messages: `feature "spend_1h"`; name is the key that it stands under.
func (c *compiler) checkShape(n *node, s *shape, in, name string) {
	switch n.kind {
	case nullNode:
		if s.format != literalText {
			c.fail(n, "give it a value, or delete the line", "%s has no value", where(in, name))
		}
	case scalarNode:
		if s.format == noScalar {
			c.fail(n, s.exampleHint(), "%s must be %s, not a value", where(in, name), s.describe())
			return
		}
		if !n.bad {
			c.checkScalar(n, s, in, name)
		}
	case sequenceNode:
		if s.format == literalText {
			return // its type decides what may stand in it
		}
		if s.items == nil {
			hint := s.exampleHint()
			if s.format == aggText || s.format == lastText {
				hint = "make a feature of each"
			}
			c.fail(n, hint, "%s must be %s, not a list", where(in, name), s.describe())
			return
		}
		if len(n.items) == 0 {
			c.fail(n, "", "%s is empty", where(in, name))
		}
		if s.items.object != nil {
			name = strings.TrimSuffix(name, "s") // one of them
		}
		for _, item := range n.items {
			c.checkShape(item, s.items, in, name)
		}
	case mappingNode:
		switch {
		case s.object != nil:
			c.checkObject(n, s.object, in, name)
		case s.names != nil:
			c.checkNames(n, s, in, name)
		case s.format == literalText:
		default:
			c.fail(n, s.exampleHint(), "%s must be %s, not a mapping", where(in, name), s.describe())
		}
	}
}

// where joins a place and a key for a message.
func where(in, name string) string {
	switch {
	case in == "":
		return name
	case name == "":
		return in
	}
	return in + ": " + name
}

// describe says what a shape allows: "a mapping", "a duration or a list".
func (s *shape) describe() string {
	var parts []string
	if s.format != noScalar {
		parts = append(parts, s.format.describe(s.enum))
	}
	if s.object != nil || s.names != nil {
		parts = append(parts, "a mapping")
	}
	if s.items != nil {
		parts = append(parts, "a list")
	}
	return strings.Join(parts, " or ")
}

func (s *shape) exampleHint() string {
	switch {
	case s.object == featureGrammar:
		return "for example {sum: amount, window: 1h}"
	case s.items != nil && s.items.format == exprText:
		return "it is of two columns, like [x, y]"
	case s.format == aggText:
		return "only a feature's own aggregate can be over another"
	case s.format == windowText:
		return "a window is a duration, lifetime, or a mapping like {tumbling: 1h}; last: N beside the aggregate takes the N latest rows"
	case s.items != nil && s.format == noScalar && s.items.format != noScalar:
		return "put it between [ and ]"
	}
	if s.object == nil || strings.Contains(s.object.example, "\n") || s.object.example == "" {
		return ""
	}
	return "for example " + s.object.example
}

func (c *compiler) checkObject(n *node, o *object, in, name string) {
	within := in
	if name != "" {
		within = where(in, name)
	}
	c.dropDuplicates(n, within, "key")
	unknown := false
	meant := map[string]bool{} // keys that an unknown one was meant for, likely
	for _, f := range n.fields {
		k := o.key(f.key.text)
		if k == nil {
			meant[diag.Nearest(f.key.text, o.keyNames())] = true
			meant[strings.TrimPrefix(otherKey(o, f.key.text), "write ")] = true
			c.unknownKey(f, o, within)
			unknown = true
			continue
		}
		c.checkShape(f.value, k.shape, within, k.name)
	}
	groups := map[string][]*node{}
	for _, k := range o.keys {
		at := n.keyNode(k.name)
		if k.oneOf != "" {
			groups[k.oneOf] = append(groups[k.oneOf], at)
		}
		if k.required && at == nil && !n.bad && !meant[k.name] {
			c.failAt(n.span, missingHint(k), "%s has no %s", orFile(within), k.name)
		}
	}
	for _, k := range o.keys {
		if group := groups[k.oneOf]; group != nil {
			c.checkOneOf(n, group, within, o, k.oneOf, unknown)
			delete(groups, k.oneOf)
		}
	}
}

// checkOneOf reports a group of which not exactly one key is there. An unknown key may be meant for it.
func (c *compiler) checkOneOf(n *node, group []*node, within string, o *object, oneOf string, unknown bool) {
	group = slices.DeleteFunc(group, func(n *node) bool { return n == nil })
	switch {
	case len(group) == 0 && !n.bad && !unknown:
		c.failAt(n.span, o.hint, "%s has no %s", orFile(within), oneOf)
	case len(group) > 1:
		both := group[0].text + " and " + group[1].text
		slices.SortFunc(group, func(a, b *node) int { return comparePlaces(a.span, b.span) })
		c.fail(group[1], "delete one of them", "%s has both %s", orFile(within), both)
	}
}

func comparePlaces(a, b span) int {
	if a.line != b.line {
		return a.line - b.line
	}
	return a.column - b.column
}

func orFile(within string) string {
	if within == "" {
		return "the file"
	}
	return within
}

func missingHint(k key) string {
	if k.shape.object != nil && k.shape.object.example != "" && !strings.Contains(k.shape.object.example, "\n") {
		return "for example " + k.shape.object.example
	}
	switch k.name {
	case "pipeline":
		return "begin the file with a name: pipeline: card-fraud"
	case "window":
		return "say over which windows the inner aggregate is, like window: {tumbling: 1d}"
	case "time":
		return "name the field that is the event time, or write {field: ts, unit: ms}"
	}
	return ""
}

func (c *compiler) unknownKey(f field, o *object, within string) {
	f.value.markBad()
	if o == windowGrammar && aheadGrammar.key(f.key.text) != nil {
		c.fail(f.key, aheadHint, "%s: %s looks ahead, and only a label may", within, f.key.text)
		return
	}
	hint := "the keys here are " + strings.Join(o.shownKeys(), ", ")
	if also := otherKey(o, f.key.text); also != "" {
		hint = also
	} else if near := diag.Nearest(f.key.text, o.keyNames()); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	} else if also := otherName(f.key.text); also != "" && o.key("sum") != nil {
		hint = "write " + also
	}
	if byGrammar.key(f.key.text) != nil || f.key.text == "by" {
		switch o {
		case innerGrammar:
			hint = "write it beside the outer aggregate: each value is answered as if its events were alone"
		case termGrammar:
			hint = "write it beside ratio: it divides both"
		}
	}
	message := fmt.Sprintf("unknown key %q", f.key.text)
	c.fail(f.key, hint, "%s", where(within, message))
}

// markBad silences n and all below it.
func (n *node) markBad() {
	n.bad = true
	for _, f := range n.fields {
		f.value.markBad()
	}
	for _, item := range n.items {
		item.markBad()
	}
}

// dropDuplicates reports the second use of a key and removes it.
func (c *compiler) dropDuplicates(n *node, within, what string) {
	first := map[string]*node{}
	kept := n.fields[:0:0]
	for _, f := range n.fields {
		if before := first[f.key.text]; before != nil {
			f.value.markBad()
			message := fmt.Sprintf("%s %q is there twice", what, f.key.text)
			c.fail(f.key, fmt.Sprintf("the first is in line %d", before.line), "%s", where(within, message))
			continue
		}
		first[f.key.text] = f.key
		kept = append(kept, f)
	}
	n.fields = kept
}

func (c *compiler) checkNames(n *node, s *shape, in, name string) {
	within := where(in, name)
	outer := in
	c.dropDuplicates(n, outer, s.label)
	if len(n.fields) == 0 {
		c.fail(n, "", "%s is empty", within)
	}
	for _, f := range n.fields {
		c.checkName(f.key, s.label)
		child := fmt.Sprintf("%s %q", s.label, f.key.text)
		if s.names.object == nil && in != "" && s.names.names == nil && s.label != "feature" {
			child = where(in, child)
		}
		c.checkShape(f.value, s.names, child, "")
	}
}

// reserved are the names that mean something else in requests and exports.
var reserved = []string{"request", "event_time", "as_of", "redrive"}

// checkName reports a name that users cannot give.
func (c *compiler) checkName(n *node, what string) {
	if what == "" {
		what = "name"
	}
	switch {
	case n.bad:
	case !isName(n.text):
		c.fail(n, nameHint(n.text), "%s %q is not a name", what, n.shown())
	case slices.Contains(reserved, n.text):
		c.fail(n, "the reserved names are "+diag.Enumerate(reserved)+", and those that begin with _", "%s %q is a reserved name", what, n.text)
	case n.text[0] == '_':
		c.fail(n, "names that begin with _ are reserved", "%s %q is a reserved name", what, n.text)
	case len(n.text) > 200:
		c.fail(n, "", "%s has a name of more than 200 characters", what)
	}
}

func isName(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// nameHint says what a name is made of, with the name that was likely meant.
func nameHint(s string) string {
	out := []byte(nil)
	for i := range len(s) {
		if b := s[i]; isName("x" + string(rune(b))) {
			out = append(out, b)
		} else if len(out) > 0 && out[len(out)-1] != '_' {
			out = append(out, '_')
		}
	}
	meant := strings.Trim(string(out), "_")
	rule := "names are made of letters, digits and _, and do not begin with a digit"
	if isName(meant) && !slices.Contains(reserved, meant) {
		return "write " + meant + "; " + rule
	}
	return rule
}
