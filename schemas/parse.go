package schemas

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of a schema. goavro takes seconds for 225 KB of nested arrays; within these bounds parsing
// is linear and its recursion shallow.
const (
	maxSchemaBytes = 256 << 10
	maxSchemaDepth = 32
	maxSchemaNodes = 5000
	maxFixedSize   = 1 << 30
	maxNameBytes   = 1024
)

// parser turns JSON into a tree of nodes. The names outlive one text, so that a schema can refer to
// types of another.
type parser struct {
	names map[string]*node
	nodes int
}

// parse reads one schema text.
func (p *parser) parse(avsc []byte) (*node, error) {
	if len(avsc) > maxSchemaBytes {
		return nil, fmt.Errorf("%d bytes, more than %d", len(avsc), maxSchemaBytes)
	}
	v, err := readJSON(avsc)
	if err != nil {
		return nil, err
	}
	return p.node(&v, "", 0)
}

// node reads a type inside of namespace ns.
func (p *parser) node(v *jsonValue, ns string, depth int) (*node, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("nested more than %d types deep", maxSchemaDepth)
	}
	if p.nodes++; p.nodes > maxSchemaNodes {
		return nil, fmt.Errorf("more than %d types", maxSchemaNodes)
	}
	switch v.kind {
	case jsonString:
		return p.reference(v.text, ns)
	case jsonArray:
		return p.union(v, ns, depth)
	case jsonObject:
		return p.object(v, ns, depth)
	}
	return nil, fmt.Errorf("a type is a name, an object or an array, not %s", jsonKindNames[v.kind])
}

// reference finds a type by name: a primitive, a name of the namespace, or a full name.
func (p *parser) reference(name, ns string) (*node, error) {
	if k, ok := primitives[name]; ok {
		return &node{kind: k}, nil
	}
	if n, ok := p.names[qualify(name, ns)]; ok {
		return n, nil
	}
	if n, ok := p.names[name]; ok {
		return n, nil
	}
	return nil, fmt.Errorf("unknown type %q", clip(name))
}

func (p *parser) union(v *jsonValue, ns string, depth int) (*node, error) {
	if len(v.items) == 0 {
		return nil, fmt.Errorf("a union needs at least one type")
	}
	n := &node{kind: nodeUnion}
	seen := map[string]bool{}
	for i := range v.items {
		b, err := p.node(&v.items[i], ns, depth+1)
		if err != nil {
			return nil, err
		}
		if b.kind == nodeUnion {
			return nil, fmt.Errorf("a union cannot hold another union")
		}
		key := nodeKindNames[b.kind]
		if b.named() {
			key = "named " + b.name
		}
		if seen[key] {
			return nil, fmt.Errorf("a union holds %s twice", clip(strings.TrimPrefix(key, "named ")))
		}
		seen[key] = true
		n.branches = append(n.branches, b)
	}
	return n, nil
}

func (p *parser) object(v *jsonValue, ns string, depth int) (*node, error) {
	t, ok := v.get("type")
	if !ok {
		return nil, fmt.Errorf("a type without \"type\"")
	}
	if t.kind != jsonString {
		return p.node(t, ns, depth+1)
	}
	switch t.text {
	case "record", "error", "enum", "fixed":
		return p.definition(v, t.text, ns, depth)
	case "array", "map":
		key := "items"
		n := &node{kind: nodeArray}
		if t.text == "map" {
			key, n.kind = "values", nodeMap
		}
		items, ok := v.get(key)
		if !ok {
			return nil, fmt.Errorf("%s without %q", t.text, key)
		}
		var err error
		n.items, err = p.node(items, ns, depth+1)
		return n, err
	}
	n, err := p.reference(t.text, ns)
	if err == nil && !n.named() {
		n.setLogical(v)
	}
	return n, err
}

// definition reads a named type and registers it before its fields, which may refer to it.
func (p *parser) definition(v *jsonValue, what, ns string, depth int) (*node, error) {
	n := &node{}
	space, err := p.naming(n, v, what, ns)
	if err != nil {
		return nil, err
	}
	switch what {
	case "fixed":
		size, ok := v.integer("size")
		if !ok || size < 0 || size > maxFixedSize {
			return nil, fmt.Errorf("fixed %s: \"size\" must be an integer from 0 to %d", n.name, maxFixedSize)
		}
		n.kind, n.size = nodeFixed, int(size)
		n.setLogical(v)
	case "enum":
		n.kind = nodeEnum
		if err := n.readSymbols(v); err != nil {
			return nil, fmt.Errorf("enum %s: %w", n.name, err)
		}
	default:
		n.kind = nodeRecord
		if err := p.fields(n, v, space, depth); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// naming reads name, namespace and aliases, and registers n.
func (p *parser) naming(n *node, v *jsonValue, what, ns string) (space string, err error) {
	name, ok := v.get("name")
	if !ok || name.kind != jsonString {
		return "", fmt.Errorf("%s without a \"name\"", what)
	}
	if s, ok := v.get("namespace"); ok && s.kind == jsonString {
		ns = s.text
	}
	n.name = strings.TrimPrefix(qualify(name.text, ns), ".")
	if err := checkFullName(n.name); err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if _, ok := primitives[n.name]; ok {
		return "", fmt.Errorf("%s %q has the name of a primitive type", what, n.name)
	}
	if _, ok := p.names[n.name]; ok {
		return "", fmt.Errorf("%s %q is defined twice", what, n.name)
	}
	space = namespaceOf(n.name)
	aliases, err := v.strings("aliases")
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", what, n.name, err)
	}
	for _, a := range aliases {
		n.aliases = append(n.aliases, strings.TrimPrefix(qualify(a, space), "."))
	}
	p.names[n.name] = n
	return space, nil
}

func (p *parser) fields(n *node, v *jsonValue, space string, depth int) error {
	list, ok := v.get("fields")
	if !ok || list.kind != jsonArray {
		return fmt.Errorf("record %s without an array of \"fields\"", n.name)
	}
	seen := make(map[string]bool, len(list.items))
	for i := range list.items {
		fv := &list.items[i]
		f := field{name: fv.str("name")}
		if err := checkName(f.name); err != nil {
			return fmt.Errorf("record %s: field %d: %w", n.name, i+1, err)
		}
		if seen[f.name] {
			return fmt.Errorf("record %s: two fields are called %q", n.name, f.name)
		}
		seen[f.name] = true
		t, ok := fv.get("type")
		if !ok {
			return fmt.Errorf("record %s: field %q without a \"type\"", n.name, f.name)
		}
		var err error
		if f.aliases, err = fv.strings("aliases"); err != nil {
			return fmt.Errorf("record %s: field %q: %w", n.name, f.name, err)
		}
		if f.node, err = p.node(t, space, depth+1); err != nil {
			return fmt.Errorf("record %s: field %q: %w", n.name, f.name, err)
		}
		f.def, _ = fv.get("default")
		n.fields = append(n.fields, f)
	}
	return nil
}

func (n *node) readSymbols(v *jsonValue) error {
	list, ok := v.get("symbols")
	if !ok || list.kind != jsonArray {
		return fmt.Errorf("without an array of \"symbols\"")
	}
	if len(list.items) > maxSchemaNodes {
		return fmt.Errorf("more than %d symbols", maxSchemaNodes)
	}
	seen := make(map[string]bool, len(list.items))
	for i := range list.items {
		s := list.items[i].text
		if err := checkName(s); err != nil || list.items[i].kind != jsonString {
			return fmt.Errorf("symbol %d: %q is not a name", i+1, clip(s))
		}
		if seen[s] {
			return fmt.Errorf("symbol %q stands twice", s)
		}
		seen[s] = true
		n.symbols = append(n.symbols, s)
	}
	if d, ok := v.get("default"); ok {
		if d.kind != jsonString || !seen[d.text] {
			return fmt.Errorf("the default %q is not one of the symbols", clip(d.text))
		}
		n.enumDefault = d.text
	}
	return nil
}

// setLogical notes the logical type of v if it is valid for n; otherwise it is ignored, as the
// specification demands.
func (n *node) setLogical(v *jsonValue) {
	l := slices.Index(logicalNames[1:], v.str("logicalType")) + 1
	k := logicalKind(l)
	valid := false
	switch k {
	case logicalNone:
		return
	case logicalDecimal:
		valid = n.setDecimal(v)
	case logicalDate, logicalTimeMillis:
		valid = n.kind == nodeInt
	case logicalUUID:
		valid = n.kind == nodeString || n.kind == nodeFixed && n.size == 16
	case logicalDuration:
		valid = n.kind == nodeFixed && n.size == 12
	default:
		valid = n.kind == nodeLong
	}
	if valid {
		n.logical = k
	}
}

func (n *node) setDecimal(v *jsonValue) bool {
	precision, ok := v.integer("precision")
	if !ok || precision < 1 || precision > math.MaxInt32 {
		return false
	}
	scale, hasScale := v.integer("scale")
	if _, stands := v.get("scale"); stands && !hasScale || scale < 0 || scale > precision {
		return false
	}
	switch n.kind {
	case nodeBytes:
	case nodeFixed:
		// The digits that size bytes can hold, sign apart.
		if float64(precision) > math.Floor(math.Log10(2)*float64(8*n.size-1)) {
			return false
		}
	default:
		return false
	}
	n.precision, n.scale = int(precision), int(scale)
	return true
}

// strings returns a member that is an array of strings.
func (v *jsonValue) strings(key string) ([]string, error) {
	m, ok := v.get(key)
	if !ok || m.kind == jsonNull {
		return nil, nil
	}
	if m.kind != jsonArray {
		return nil, fmt.Errorf("%q must be an array of names", key)
	}
	var out []string
	for i := range m.items {
		if m.items[i].kind != jsonString || m.items[i].text == "" {
			return nil, fmt.Errorf("%q must be an array of names", key)
		}
		out = append(out, m.items[i].text)
	}
	return out, nil
}

// qualify makes a full name of a name that stands inside of namespace ns.
func qualify(name, ns string) string {
	if ns == "" || strings.Contains(name, ".") {
		return name
	}
	return ns + "." + name
}

// checkName demands a letter or _, then letters, digits or _.
func checkName(s string) error {
	if s == "" {
		return fmt.Errorf("it has no name")
	}
	if len(s) > maxNameBytes {
		return fmt.Errorf("a name of %d bytes, more than %d", len(s), maxNameBytes)
	}
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return fmt.Errorf("%q is not a name: letters, digits and _", clip(s))
		}
	}
	return nil
}

// checkFullName checks the name like checkName; in namespaces - is let pass, which producers use.
func checkFullName(full string) error {
	if len(full) > maxNameBytes {
		return fmt.Errorf("a name of %d bytes, more than %d", len(full), maxNameBytes)
	}
	parts := strings.Split(full, ".")
	for i, part := range parts {
		if i < len(parts)-1 {
			part = strings.ReplaceAll(part, "-", "_")
		}
		if err := checkName(part); err != nil {
			return fmt.Errorf("%q is not a name: letters, digits and _, namespaces with dots between", clip(full))
		}
	}
	return nil
}

// clip shortens foreign text for a message.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
