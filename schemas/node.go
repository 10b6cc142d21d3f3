package schemas

import (
	"slices"
	"strings"
)

// nodeKind is an Avro type.
type nodeKind uint8

const (
	nodeNull nodeKind = iota
	nodeBoolean
	nodeInt
	nodeLong
	nodeFloat
	nodeDouble
	nodeBytes
	nodeString
	nodeRecord
	nodeEnum
	nodeArray
	nodeMap
	nodeUnion
	nodeFixed
)

var nodeKindNames = [...]string{
	"null", "boolean", "int", "long", "float", "double", "bytes", "string",
	"record", "enum", "array", "map", "union", "fixed",
}

// primitives are the Avro types that are known by name alone.
var primitives = map[string]nodeKind{
	"null": nodeNull, "boolean": nodeBoolean, "int": nodeInt, "long": nodeLong,
	"float": nodeFloat, "double": nodeDouble, "bytes": nodeBytes, "string": nodeString,
}

// logicalKind is a logical type that is valid for the type it stands on.
type logicalKind uint8

const (
	logicalNone logicalKind = iota
	logicalDecimal
	logicalDate
	logicalTimeMillis
	logicalTimeMicros
	logicalTimestampMillis
	logicalTimestampMicros
	logicalTimestampNanos
	logicalLocalMillis
	logicalLocalMicros
	logicalLocalNanos
	logicalUUID
	logicalDuration
)

var logicalNames = [...]string{
	"", "decimal", "date", "time-millis", "time-micros",
	"timestamp-millis", "timestamp-micros", "timestamp-nanos",
	"local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos",
	"uuid", "duration",
}

// node is one type of a schema. Named types are shared by pointer, so a recursive schema is a cycle.
type node struct {
	kind    nodeKind
	logical logicalKind

	name    string   // full name of a record, enum or fixed
	aliases []string // full names

	fields      []field  // of a record
	symbols     []string // of an enum
	enumDefault string   // of an enum; "" without one
	items       *node    // of an array; the values of a map
	branches    []*node  // of a union
	size        int      // of a fixed

	precision, scale int // of a decimal
}

// field is a field of a record.
type field struct {
	name    string
	aliases []string
	node    *node
	def     *jsonValue // nil without a default
}

// named tells whether a type has a name of its own.
func (n *node) named() bool {
	return n.kind == nodeRecord || n.kind == nodeEnum || n.kind == nodeFixed
}

// unqualified is the name without its namespace.
func unqualified(full string) string { return full[strings.LastIndexByte(full, '.')+1:] }

// namespaceOf is the namespace of a full name, "" without one.
func namespaceOf(full string) string {
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		return full[:i]
	}
	return ""
}

// sameName tells whether a writer's named type may be read as the reader's: by full name, by an alias
// of the reader, or by the name without namespaces.
func sameName(w, r *node) bool {
	if w.name == r.name || unqualified(w.name) == unqualified(r.name) {
		return true
	}
	return slices.ContainsFunc(r.aliases, func(a string) bool {
		return a == w.name || unqualified(a) == unqualified(w.name)
	})
}

// fieldIndex finds a field by its name, -1 without one.
func (n *node) fieldIndex(name string) int {
	return slices.IndexFunc(n.fields, func(f field) bool { return f.name == name })
}

// nullable tells whether n may hold null.
func (n *node) nullable() bool {
	return n.kind == nodeNull || n.kind == nodeUnion &&
		slices.ContainsFunc(n.branches, func(b *node) bool { return b.kind == nodeNull })
}

// present returns what n may hold other than null: itself, or the branches of a union.
func (n *node) present() []*node {
	switch n.kind {
	case nodeNull:
		return nil
	case nodeUnion:
		return slices.DeleteFunc(slices.Clone(n.branches), func(b *node) bool { return b.kind == nodeNull })
	}
	return []*node{n}
}

// record returns the only record that n may hold other than null, or nil.
func (n *node) record() *node {
	if p := n.present(); len(p) == 1 && p[0].kind == nodeRecord {
		return p[0]
	}
	return nil
}

// elements returns the elements' type if n is an array or a nullable one, else nil.
func (n *node) elements() *node {
	if p := n.present(); len(p) == 1 && p[0].kind == nodeArray {
		return p[0].items
	}
	return nil
}

// String is the name that users read.
func (n *node) String() string {
	switch n.kind {
	case nodeRecord, nodeEnum, nodeFixed:
		return nodeKindNames[n.kind] + " " + n.name
	case nodeArray, nodeMap:
		return nodeKindNames[n.kind] + " of " + n.items.String()
	case nodeUnion:
		if p := n.present(); len(p) == 1 && len(n.branches) == 2 {
			return "nullable " + p[0].String()
		}
		names := make([]string, 0, len(n.branches))
		for i, b := range n.branches {
			if i == 8 {
				names = append(names, "…")
				break
			}
			names = append(names, b.String())
		}
		return "union of " + strings.Join(names, ", ")
	}
	if n.logical != logicalNone {
		return nodeKindNames[n.kind] + " (" + logicalNames[n.logical] + ")"
	}
	return nodeKindNames[n.kind]
}
