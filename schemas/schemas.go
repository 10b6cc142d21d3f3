// Package schemas reads Avro: the Confluent wire format, the schema registry, container files,
// schemas and their evolution, and decoders compiled for just the columns that a plan uses.
//
// Nothing that it reads can crash the process or make it allocate out of proportion: schemas,
// data, registry answers and container files are all bounded (docs/format/wire.md).
package schemas

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

// Schema is a parsed Avro schema. Immutable.
type Schema struct {
	root   *node
	text   string
	fields []Field
	index  map[string]int    // of fields, by path
	why    map[string]string // why other paths are no columns
	items  map[string]string // of fields of records in an array: the array's path
}

// Field is one column that a schema offers: a leaf by its dotted path.
type Field struct {
	Path string
	Type event.Type
}

// Parse reads an Avro schema in JSON. Bounded: size, depth, number of nodes. Logical types that are
// unknown or do not fit their type are ignored, and defaults are checked when they are needed.
func Parse(avsc []byte) (*Schema, error) {
	p := parser{names: map[string]*node{}}
	root, err := p.parse(avsc)
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	return newSchema(root), nil
}

func newSchema(root *node) *Schema {
	p := printer{seen: map[*node]bool{}}
	p.node(root, "")
	s := &Schema{root: root, text: string(p.dst), index: map[string]int{}, why: map[string]string{}}
	if rec := root.record(); rec != nil {
		s.flatten(rec, "", root.nullable(), []*node{rec})
	}
	return s
}

// String is the canonical JSON of s (whitespace apart, all that resolution needs: names, aliases,
// defaults, logical types).
func (s *Schema) String() string { return s.text }

// Name is the full name of the record, or the kind of what is no record.
func (s *Schema) Name() string {
	if rec := s.root.record(); rec != nil {
		return rec.name
	}
	return nodeKindNames[s.root.kind]
}

// Fields lists the columns of a record schema in order, nested records flattened to dotted paths.
func (s *Schema) Fields() []Field { return append([]Field(nil), s.fields...) }

// Field finds a column by its dotted path.
func (s *Schema) Field(path string) (event.Type, bool) {
	i, ok := s.index[path]
	if !ok {
		return event.Type{}, false
	}
	return s.fields[i].Type, true
}

// Items tells which array the elements of a column lie in: the column itself, or the array of records that
// it is a field of. It is false for what is no array.
func (s *Schema) Items(path string) (array string, ok bool) {
	if array, ok = s.items[path]; ok {
		return array, true
	}
	t, ok := s.Field(path)
	return path, ok && t.Kind == event.List
}

// NotColumn tells why a path of the schema is not offered as a column: a record, a union of several
// types, an array of records. It is false for a column, and for a path that the schema does not have.
func (s *Schema) NotColumn(path string) (why string, ok bool) {
	why, ok = s.why[path]
	return why, ok
}
