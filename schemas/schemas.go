// Package schemas reads Avro: the Confluent wire format, the schema registry, schemas and their
// evolution, and decoders compiled for just the columns that a plan uses.
package schemas

import "github.com/penstock-ml/penstock/event"

// Schema is a parsed Avro schema. Immutable.
type Schema struct{}

// Field is one column that a schema offers: a leaf by its dotted path.
type Field struct {
	Path string
	Type event.Type
}

// Parse reads an Avro schema in JSON. Bounded: size, depth, number of nodes.
func Parse(avsc []byte) (*Schema, error) { panic("stub") }

// String is the canonical JSON of s (whitespace apart, all that resolution needs: names, aliases,
// defaults, logical types).
func (s *Schema) String() string { panic("stub") }

// Fields lists the columns of a record schema in order, nested records flattened to dotted paths.
func (s *Schema) Fields() []Field { panic("stub") }

// Field finds a column by its dotted path.
func (s *Schema) Field(path string) (event.Type, bool) { panic("stub") }

// Decoder is a program that reads a writer's bytes into the reader's columns. Immutable, safe for
// concurrent use except for the Scratch it is given.
type Decoder struct{}

// Scratch is memory that a decoder reuses between calls; one per goroutine.
type Scratch struct{}

// Compile resolves writer against reader by the Avro rules and returns a decoder of the reader's
// columns (dotted paths). An error says which field does not resolve and why.
func Compile(writer, reader *Schema, columns []string) (*Decoder, error) { panic("stub") }

// Decode reads exactly one datum from b into row (one Value per column, as given to Compile). Values
// alias b and scratch: valid until the next Decode with the same scratch. It consumes all of b, never
// panics, and allocates nothing in the steady state.
func (d *Decoder) Decode(b []byte, row []event.Value, scratch *Scratch) error { panic("stub") }

// Header splits a value in the Confluent wire format: magic byte 0, 4-byte big-endian id, datum.
func Header(b []byte) (id uint32, datum []byte, err error) { panic("stub") }
