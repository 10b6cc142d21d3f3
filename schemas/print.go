package schemas

import "strconv"

// printer writes the canonical JSON of a schema: a named type in full where it first stands, by its
// full name afterwards.
type printer struct {
	dst  []byte
	seen map[*node]bool
}

func (p *printer) key(k string) {
	if c := p.dst[len(p.dst)-1]; c != '{' {
		p.dst = append(p.dst, ',')
	}
	p.dst = append(appendQuoted(p.dst, k), ':')
}

func (p *printer) text(k, s string) {
	p.key(k)
	p.dst = appendQuoted(p.dst, s)
}

func (p *printer) integer(k string, n int) {
	p.key(k)
	p.dst = strconv.AppendInt(p.dst, int64(n), 10)
}

func (p *printer) list(k string, names []string) {
	p.key(k)
	p.dst = append(p.dst, '[')
	for i, s := range names {
		if i > 0 {
			p.dst = append(p.dst, ',')
		}
		p.dst = appendQuoted(p.dst, s)
	}
	p.dst = append(p.dst, ']')
}

func (p *printer) node(n *node, ns string) {
	if n.kind == nodeUnion {
		p.dst = append(p.dst, '[')
		for i, b := range n.branches {
			if i > 0 {
				p.dst = append(p.dst, ',')
			}
			p.node(b, ns)
		}
		p.dst = append(p.dst, ']')
		return
	}
	if n.named() && p.seen[n] {
		p.dst = appendQuoted(p.dst, n.name)
		return
	}
	bare := n.kind < nodeRecord && n.logical == logicalNone
	if bare {
		p.dst = appendQuoted(p.dst, nodeKindNames[n.kind])
		return
	}
	p.dst = append(p.dst, '{')
	p.text("type", nodeKindNames[n.kind])
	p.logical(n)
	switch n.kind {
	case nodeArray:
		p.key("items")
		p.node(n.items, ns)
	case nodeMap:
		p.key("values")
		p.node(n.items, ns)
	case nodeRecord, nodeEnum, nodeFixed:
		p.seen[n] = true
		p.definition(n, ns)
	}
	p.dst = append(p.dst, '}')
}

func (p *printer) logical(n *node) {
	if n.logical == logicalNone {
		return
	}
	p.text("logicalType", logicalNames[n.logical])
	if n.logical == logicalDecimal {
		p.integer("precision", n.precision)
		p.integer("scale", n.scale)
	}
}

func (p *printer) definition(n *node, ns string) {
	p.text("name", n.name)
	space := namespaceOf(n.name)
	if space == "" && ns != "" {
		p.text("namespace", "")
	}
	if len(n.aliases) > 0 {
		p.list("aliases", n.aliases)
	}
	switch n.kind {
	case nodeFixed:
		p.integer("size", n.size)
	case nodeEnum:
		p.list("symbols", n.symbols)
		if n.enumDefault != "" {
			p.text("default", n.enumDefault)
		}
	default:
		p.key("fields")
		p.dst = append(p.dst, '[')
		for i := range n.fields {
			f := &n.fields[i]
			if i > 0 {
				p.dst = append(p.dst, ',')
			}
			p.dst = append(p.dst, '{')
			p.text("name", f.name)
			if len(f.aliases) > 0 {
				p.list("aliases", f.aliases)
			}
			p.key("type")
			p.node(f.node, space)
			if f.def != nil {
				p.key("default")
				p.dst = f.def.append(p.dst)
			}
			p.dst = append(p.dst, '}')
		}
		p.dst = append(p.dst, ']')
	}
}
