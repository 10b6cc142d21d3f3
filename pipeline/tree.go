package pipeline

import "github.com/penstock-ml/penstock/internal/diag"

// NodeKind is a kind of a Node.
type NodeKind uint8

// The kinds of a node.
const (
	Nothing NodeKind = iota // an empty value, or a plain null
	Scalar
	Mapping
	Sequence
)

// String is what users read: "a value", "a mapping".
func (k NodeKind) String() string { return nodeKind(k).String() }

// Node is one node of a YAML file with its place. Pipeline files are read so, and the files that stand
// beside them. Scalars are text: what they mean depends on who reads them.
type Node struct {
	Line, Column, Width int
	Kind                NodeKind
	Text                string // of a scalar
	Plain               bool   // the scalar has no quotes
	Lines               int    // of a scalar: how many lines behind the first it goes on
	Fields              []NodeField
	Items               []*Node
}

// NodeField is one entry of a mapping.
type NodeField struct{ Key, Value *Node }

// Get returns the value of a key, or nil.
func (n *Node) Get(key string) *Node {
	if n != nil {
		for _, f := range n.Fields {
			if f.Key.Text == key {
				return f.Value
			}
		}
	}
	return nil
}

// ReadTree reads a YAML file of at most 1 MiB: its root, nil if there are mistakes or nothing, and its text
// by lines. Aliases, anchors, tags and a second document are mistakes.
func ReadTree(path string, src []byte) (root *Node, text []string, found diag.List) {
	c := &compiler{file: path, plan: &Plan{}}
	if len(src) > maxFile {
		c.failAt(span{}, "", "the file is longer than 1 MiB")
		return nil, nil, c.diags
	}
	n, ok := c.parse(src)
	if !ok {
		return nil, c.lines.text, c.finish()
	}
	if n == nil {
		return nil, c.lines.text, nil
	}
	return n.export(), c.lines.text, nil
}

func (n *node) export() *Node {
	out := &Node{
		Line: n.line, Column: n.column, Width: max(n.width, 1), Kind: NodeKind(n.kind),
		Text: n.text, Plain: n.plain, Lines: n.extra,
	}
	for _, f := range n.fields {
		out.Fields = append(out.Fields, NodeField{f.key.export(), f.value.export()})
	}
	for _, item := range n.items {
		out.Items = append(out.Items, item.export())
	}
	return out
}
