package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/linkedin/goavro/v2"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/schemas"
)

// encoder writes rows of text as datums of one schema.
//
// goavro's codec writes the bytes, by a schema without logical types and defaults: both are resolved
// here, because goavro's own handling of them is not exact (a zero decimal of a fixed type, defaults of
// bytes, defaults within unions, longs beyond 2^53).
type encoder struct {
	codec *goavro.Codec
	root  *avroType
	extra func(path string) // told of each column that the schema lacks, once
}

// avroType is a type of a schema: what a value of text must be, and what goavro wants for it.
type avroType struct {
	kind      string // as Avro calls it; union
	name      string // of a union's branch: the full name of a named type, else the kind
	path      string // where it first stands, with a dot behind
	logical   string
	read      event.Type // of a leaf, how text and JSON are read
	precision int64
	size      int
	symbols   []string
	items     *avroType // of an array, of a map's values
	branches  []*avroType
	fields    []*avroField
}

type avroField struct {
	name   string
	typ    *avroType
	preset any // the default in JSON
	has    bool
}

// cell is a field of a CSV file; cells are those of a nested record.
type (
	cell  string
	cells map[string]any
)

// newEncoder makes an encoder of a record schema.
func newEncoder(s *schemas.Schema, extra func(path string)) (*encoder, error) {
	tree, err := decodeJSON([]byte(s.String()))
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	b := &typeBuilder{named: map[string]*avroType{}}
	e := &encoder{root: b.build(tree, ""), extra: extra}
	if e.root.kind != "record" {
		return nil, fmt.Errorf("the schema is of a %s: rows need a record", s.Name())
	}
	plain, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	if e.codec, err = goavro.NewCodec(string(plain)); err != nil {
		return nil, fmt.Errorf("use schema %s: %w", s.Name(), err)
	}
	return e, nil
}

// encode appends the datum of a row to dst. Columns of text are cells; values of JSON are as decodeJSON
// gives them.
func (e *encoder) encode(dst []byte, row map[string]any) ([]byte, error) {
	native, err := e.record(e.root, row)
	if err != nil {
		return nil, err
	}
	return e.codec.BinaryFromNative(dst, native)
}

// typeBuilder walks the canonical JSON of a schema, in which every name is a full one, and takes out of
// it what goavro shall not see.
type typeBuilder struct{ named map[string]*avroType }

func (b *typeBuilder) build(v any, path string) *avroType {
	switch v := v.(type) {
	case string:
		if t, ok := b.named[v]; ok {
			return t
		}
		return leaf(&avroType{kind: v, name: v})
	case []any:
		t := &avroType{kind: "union", name: "union"}
		for _, branch := range v {
			t.branches = append(t.branches, b.build(branch, path))
		}
		return t
	}
	m := v.(map[string]any)
	t := &avroType{path: path}
	t.kind, _ = m["type"].(string)
	t.logical, _ = m["logicalType"].(string)
	t.name = t.kind
	if name, ok := m["name"].(string); ok {
		t.name = name
		b.named[name] = t
	}
	t.precision, t.read.Scale, t.size = integer(m["precision"]), int32(integer(m["scale"])), int(integer(m["size"]))
	for _, key := range []string{"logicalType", "precision", "scale", "aliases", "default"} {
		delete(m, key)
	}
	switch t.kind {
	case "array":
		t.items = b.build(m["items"], path)
	case "map":
		t.items = b.build(m["values"], path)
	case "enum":
		for _, s := range m["symbols"].([]any) {
			t.symbols = append(t.symbols, s.(string))
		}
	case "record":
		for _, x := range m["fields"].([]any) {
			f := x.(map[string]any)
			field := &avroField{name: f["name"].(string)}
			field.preset, field.has = f["default"]
			field.typ = b.build(f["type"], path+field.name+".")
			delete(f, "default")
			delete(f, "aliases")
			t.fields = append(t.fields, field)
		}
	}
	return leaf(t)
}

func integer(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64() // the schema has been checked
	return i
}

// leaf notes how values of a type are read from text.
func leaf(t *avroType) *avroType {
	kinds := map[string]event.Kind{
		"boolean": event.Bool, "int": event.Long, "long": event.Long, "float": event.Double, "double": event.Double,
		"string": event.String, "enum": event.String, "bytes": event.Bytes, "fixed": event.Bytes,
	}
	t.read.Kind = kinds[t.kind]
	switch {
	case t.logical == "decimal":
		t.read.Kind = event.Decimal
	case t.logical == "date":
		t.read.Kind = event.Date
	case strings.HasPrefix(t.logical, "time-"):
		t.read.Kind = event.TimeOfDay
	case strings.HasPrefix(t.logical, "timestamp-"):
		t.read.Kind = event.Timestamp
	case strings.HasPrefix(t.logical, "local-timestamp-"):
		t.read.Kind = event.LocalTimestamp
	case t.logical == "uuid":
		t.read.Kind = event.String
	}
	return t
}

// native turns a value into what goavro wants for type t, or says why it does not fit.
func (e *encoder) native(t *avroType, v any) (any, error) {
	if text, ok := v.(cell); ok && (t.kind == "array" || t.kind == "map" || t.kind == "record") {
		var err error
		if v, err = decodeJSON([]byte(text)); err != nil {
			return nil, err
		}
	}
	switch t.kind {
	case "null":
		if !absent(v) {
			return nil, errors.New("not null")
		}
		return nil, nil
	case "union":
		return e.union(t, v)
	case "record":
		switch v := v.(type) {
		case map[string]any:
			return e.record(t, v)
		case cells:
			return e.record(t, v)
		}
	case "array":
		if list, ok := v.([]any); ok {
			return e.list(t, list)
		}
	case "map":
		if m, ok := v.(map[string]any); ok {
			return e.values(t, m)
		}
	default:
		return t.scalar(v)
	}
	return nil, fmt.Errorf("%s is no %s", jsonWhat(v), t.kind)
}

func jsonWhat(v any) string {
	if v == nil {
		return "null"
	}
	return "a JSON " + jsonKind(v)
}

// absent tells whether a value is null: in CSV an empty field, or a record without any other.
func absent(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case cell:
		return v == ""
	case cells:
		for _, x := range v {
			if !absent(x) {
				return false
			}
		}
		return true
	}
	return false
}

func (t *avroType) nullable() bool {
	return t.kind == "null" || slices.ContainsFunc(t.branches, func(b *avroType) bool { return b.kind == "null" })
}

// union takes null for what is absent, else the first branch that the value fits.
func (e *encoder) union(t *avroType, v any) (any, error) {
	if absent(v) && t.nullable() {
		return nil, nil
	}
	var why []string
	for _, b := range t.branches {
		if b.kind == "null" {
			continue
		}
		n, err := e.native(b, v)
		if err == nil {
			return goavro.Union(b.name, n), nil
		}
		why = append(why, err.Error())
	}
	if len(why) == 1 {
		return nil, errors.New(why[0])
	}
	return nil, fmt.Errorf("fits no type of the union: %s", strings.Join(why, "; "))
}

// record fills in what a row does not have: the field's default, else null.
func (e *encoder) record(t *avroType, row map[string]any) (any, error) {
	out := make(map[string]any, len(t.fields))
	found := 0
	for _, f := range t.fields {
		v, ok := row[f.name]
		var err error
		switch {
		case ok:
			found++
			out[f.name], err = e.native(f.typ, v)
		case f.has:
			out[f.name], err = f.typ.fromDefault(f.preset, 0)
		case f.typ.nullable():
			out[f.name] = nil
		default:
			err = errors.New("missing, and it has no default and is not nullable")
		}
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", f.name, err)
		}
	}
	if found < len(row) && e.extra != nil {
		for name := range row {
			if !slices.ContainsFunc(t.fields, func(f *avroField) bool { return f.name == name }) {
				e.extra(t.path + name)
			}
		}
	}
	return out, nil
}

func (e *encoder) list(t *avroType, list []any) (any, error) {
	out := make([]any, len(list))
	for i, v := range list {
		var err error
		if out[i], err = e.native(t.items, v); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

func (e *encoder) values(t *avroType, m map[string]any) (any, error) {
	out := make(map[string]any, len(m))
	for k, v := range m {
		n, err := e.native(t.items, v)
		if err != nil {
			return nil, fmt.Errorf("key %.100q: %w", k, err)
		}
		out[k] = n
	}
	return out, nil
}
