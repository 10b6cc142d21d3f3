package agg

import (
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// function describes one Func.
type function struct {
	name        string
	params      []string // names of the parameters it takes, as users write them
	least, most int      // columns
	star        bool     // "*" will do for the column
	zero        bool     // the answer over nothing is 0, not null
	ordered     bool
	parts       Parts  // what it reads of a group whose Keeps is none of keeps
	keeps       []Kept // the structures that answer it
	bind        func(b *binding) (Needs, Call, event.Type, error)
}

// binding is what a function is bound to. A binder prints f by %s, and must not call its methods that read
// the table of functions: that cannot be initialised in terms of itself.
type binding struct {
	f          Func
	parts      Parts // of f's description
	in, second event.Type
	p          Params
}

// functions describes every Func that works, at its number.
var functions = [...]function{
	Count:       {name: "count", least: 1, most: 1, star: true, zero: true, bind: bindCount},
	Sum:         {name: "sum", least: 1, most: 1, parts: PartSum, bind: bindScalar},
	Avg:         {name: "avg", least: 1, most: 1, parts: PartSum, bind: bindScalar},
	Min:         {name: "min", least: 1, most: 1, parts: PartMin, bind: bindScalar},
	Max:         {name: "max", least: 1, most: 1, parts: PartMax, bind: bindScalar},
	First:       {name: "first", least: 1, most: 1, parts: PartFirst, bind: bindScalar},
	Last:        {name: "last", least: 1, most: 1, parts: PartLast, bind: bindScalar},
	Variance:    {name: "variance", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	Stddev:      {name: "stddev", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	VariancePop: {name: "variance_pop", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	StddevPop:   {name: "stddev_pop", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	CollectSet:  {},
}

func (f Func) known() bool { return int(f) < len(functions) && functions[f].name != "" }

// of is f's description; the zero one if f is not known.
func (f Func) of() *function {
	if !f.known() {
		return &function{}
	}
	return &functions[f]
}

// ByName finds a function by the name that users write.
func ByName(name string) (Func, bool) {
	for i := range functions {
		if f := Func(i); f.known() && functions[i].name == name {
			return f, true
		}
	}
	return 0, false
}

// Names lists the names that users write, in the order of the constants.
func Names() []string {
	var names []string
	for i := range functions {
		if f := Func(i); f.known() {
			names = append(names, functions[i].name)
		}
	}
	return names
}

// String is the name that users write.
func (f Func) String() string {
	if !f.known() {
		return fmt.Sprintf("func(%d)", uint8(f))
	}
	return functions[f].name
}

// Params lists the names of the parameters that f takes, as users write them: k, n, limit, distinct, q,
// buckets, per, half_life, accuracy, dim.
func (f Func) Params() []string { return slices.Clone(f.of().params) }

// Columns tells over how many columns f is, and whether "*" (every row) will do instead of one. Ratio is
// over none: it divides the answers of two others.
func (f Func) Columns() (least, most int, star bool) {
	d := f.of()
	return d.least, d.most, d.star
}

// Ordered tells whether f's partials unite in tie order only; see Layout.Ordered.
func (f Func) Ordered() bool { return f.of().ordered }

// Parts tells what f needs beside the count over a column of numbers, texts or instants, without parameters.
//
// Deprecated: Bind tells what any function needs.
func (f Func) Parts() Parts { return f.of().parts }

// Result is the type of f's answer over an input of type in (for count "*", pass the zero Type), or an
// error that says why f is not defined on it and what is. It knows the functions of one column that need
// no structure and no parameters.
//
// Deprecated: Bind knows them all.
func (f Func) Result(in event.Type) (event.Type, error) {
	needs, _, t, err := Bind(f, in, event.Type{}, Params{})
	if err == nil && needs.Keeps != (Structure{}) {
		return event.Type{}, fmt.Errorf("%s needs a structure; use Bind", f)
	}
	return t, err
}
