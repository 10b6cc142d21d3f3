// Package expr compiles row expressions to typed closures over column slots.
package expr

import "github.com/penstock-ml/penstock/event"

// Lookup resolves a name (dotted for nested records: "user.address.city") to the slot that holds its
// value at Eval and its type.
type Lookup func(name string) (slot int, t event.Type, ok bool)

// Error is a mistake in an expression.
type Error struct {
	Offset, Len int    // bytes of the source text that are wrong
	Msg         string // what is wrong
	Hint        string // what to do; the nearest name, for instance
}

func (e *Error) Error() string { return e.Msg }

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct{}

// Names lists the column names that src mentions, each once, in order of appearance.
func Names(src string) ([]string, error) { panic("stub") }

// Compile type-checks src. known lists the names that exist, for hints. The error is an *Error.
func Compile(src string, lookup Lookup, known []string) (*Program, error) { panic("stub") }

// Type is the static type of the answer.
func (p *Program) Type() event.Type { panic("stub") }

// String is a canonical form of the expression, equal for equal programs; part of a view's version.
func (p *Program) String() string { panic("stub") }

// Eval computes the expression over row (slots as Lookup gave them). The answer may alias row.
func (p *Program) Eval(row []event.Value) event.Value { panic("stub") }
