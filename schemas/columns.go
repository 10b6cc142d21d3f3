package schemas

import (
	"fmt"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// Bounds of the columns of a schema: records that are named more than once multiply them.
const (
	maxColumns    = 5000
	maxPathFields = 32
	maxPathBytes  = 1024
)

// maxDecimalScale is the largest scale that a column may have; 32 bytes hold no more digits.
const maxDecimalScale = 76

// columnType is the type of a column of n, or why there is none.
func columnType(n *node) (t event.Type, why string) {
	switch n.logical {
	case logicalDecimal:
		if n.scale > maxDecimalScale {
			return t, fmt.Sprintf("a decimal with %d digits behind the point, more than %d", n.scale, maxDecimalScale)
		}
		return event.Type{Kind: event.Decimal, Scale: int32(n.scale)}, ""
	case logicalDate:
		return event.Type{Kind: event.Date}, ""
	case logicalTimeMillis, logicalTimeMicros:
		return event.Type{Kind: event.TimeOfDay}, ""
	case logicalTimestampMillis, logicalTimestampMicros, logicalTimestampNanos:
		return event.Type{Kind: event.Timestamp}, ""
	case logicalLocalMillis, logicalLocalMicros, logicalLocalNanos:
		return event.Type{Kind: event.LocalTimestamp}, ""
	case logicalUUID:
		return event.Type{Kind: event.String}, ""
	}
	switch n.kind {
	case nodeNull:
		return t, "it is always null"
	case nodeBoolean:
		return event.Type{Kind: event.Bool}, ""
	case nodeInt, nodeLong:
		return event.Type{Kind: event.Long}, ""
	case nodeFloat, nodeDouble:
		return event.Type{Kind: event.Double}, ""
	case nodeString, nodeEnum:
		return event.Type{Kind: event.String}, ""
	case nodeBytes, nodeFixed:
		return event.Type{Kind: event.Bytes}, ""
	case nodeArray, nodeMap:
		elem, why := columnType(n.items)
		if why != "" {
			return t, fmt.Sprintf("%s: of its elements: %s", nodeKindNames[n.kind], why)
		}
		kind := event.List
		if n.kind == nodeMap {
			kind = event.Map
		}
		return event.Type{Kind: kind, Elem: &elem}, ""
	case nodeRecord:
		return t, "a record"
	}
	return unionType(n)
}

// unionType is the one type that all branches other than null promote to.
func unionType(n *node) (t event.Type, why string) {
	branches := n.present()
	if len(branches) == 0 {
		return t, "it is always null"
	}
	for i, b := range branches {
		u, why := columnType(b)
		if why != "" {
			if len(branches) > 1 {
				why = "a " + n.String() + ", which has no one type"
			}
			return t, why
		}
		switch {
		case i == 0 || sameType(t, u):
			t = u
		case (t.Kind == event.Long || t.Kind == event.Double) && (u.Kind == event.Long || u.Kind == event.Double):
			t = event.Type{Kind: event.Double}
		default:
			return t, "a " + n.String() + ", which has no one type"
		}
	}
	t.Nullable = n.nullable()
	return t, ""
}

func sameType(a, b event.Type) bool {
	if a.Kind != b.Kind || a.Nullable != b.Nullable || a.Scale != b.Scale || (a.Elem == nil) != (b.Elem == nil) {
		return false
	}
	return a.Elem == nil || sameType(*a.Elem, *b.Elem)
}

// flatten lists the columns of a record below prefix, and why other paths are none.
func (s *Schema) flatten(rec *node, prefix string, nullable bool, above []*node) {
	for i := range rec.fields {
		f := &rec.fields[i]
		path := prefix + f.name
		if len(s.fields) >= maxColumns || len(s.why) >= maxColumns || len(path) > maxPathBytes {
			return
		}
		r := f.node.record()
		if elem := f.node.elements(); r == nil && elem != nil && elem.record() != nil {
			s.flattenItems(f.node, path, nullable || f.node.nullable(), above)
			continue
		}
		if r == nil {
			t, why := columnType(f.node)
			if why != "" {
				s.why[path] = why
				continue
			}
			t.Nullable = t.Nullable || nullable
			s.index[path] = len(s.fields)
			s.fields = append(s.fields, Field{Path: path, Type: t})
			continue
		}
		if len(above) >= maxPathFields || contains(above, r) {
			s.why[path] = "a record that holds itself or is nested too deep"
			continue
		}
		s.why[path] = "a record; its fields are columns: " + sample(path, r)
		s.flatten(r, path+".", nullable || f.node.nullable(), append(above, r))
	}
}

// flattenItems lists the columns of an array of records: an array for each field of theirs.
func (s *Schema) flattenItems(n *node, path string, nullable bool, above []*node) {
	elem := n.elements()
	r := elem.record()
	if len(above) >= maxPathFields || contains(above, r) {
		s.why[path] = "an array of records that hold themselves or are nested too deep"
		return
	}
	inner := &Schema{index: map[string]int{}, why: map[string]string{}}
	inner.flatten(r, path+".", elem.nullable(), append(above, r))
	s.why[path] = "an array of records; their fields are columns, an array each: " + sample(path, r)
	for _, f := range inner.fields {
		if len(s.fields) >= maxColumns {
			return
		}
		if _, in := inner.items[f.Path]; in {
			s.why[f.Path] = "a field of an array of records within an array of records"
			continue
		}
		t := f.Type
		s.index[f.Path] = len(s.fields)
		s.fields = append(s.fields, Field{Path: f.Path, Type: event.Type{Kind: event.List, Nullable: nullable, Elem: &t}})
		if s.items == nil {
			s.items = map[string]string{}
		}
		s.items[f.Path] = path
	}
	for at, why := range inner.why {
		if len(s.why) < maxColumns {
			s.why[at] = why
		}
	}
}

func contains(list []*node, n *node) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

// sample names the first fields of a record, for a hint.
func sample(path string, r *node) string {
	var names []string
	for i := range r.fields {
		if i == 3 {
			names = append(names, "…")
			break
		}
		names = append(names, path+"."+r.fields[i].name)
	}
	return strings.Join(names, ", ")
}
