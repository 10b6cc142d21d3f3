package agg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// Params are the parameters of an aggregate as users write them; what is nil or zero was not given.
type Params struct {
	K, N, Limit        *int
	Distinct           bool
	Quantiles, Buckets []float64 // q, and the inner edges of a histogram
	Per, HalfLife      event.Duration
	Accuracy           float64
	Dim                int
}

// Needs is what a group must keep for a Call.
type Needs struct {
	Parts Parts
	Keeps Structure
}

// The bounds of what users may ask for.
const (
	maxValues = 10_000    // in a list that is answered, and elements of a vector
	maxLimit  = 1_000_000 // distinct values that are kept
)

// Bind checks f over columns of these types with these parameters, and fills what was not given. It
// answers what the group must keep, the Call without its Group (and, for Ratio, without its Above and
// Over), and the type of the answer. For "*" in is the zero Type; so is second but for functions of two
// columns. For Ratio they are the types of the two answers. An error reads "message; hint".
func Bind(f Func, in, second event.Type, p Params) (Needs, Call, event.Type, error) {
	if !f.known() {
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s is not an aggregate", f)
	}
	d := f.of()
	if err := f.checkParams(p); err != nil {
		return Needs{}, Call{}, event.Type{}, err
	}
	switch {
	case f == Ratio:
	case in.Kind == event.Null && !d.star:
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s needs a column or an expression; over \"*\" work %s", f, strings.Join(starNames(), ", "))
	case d.least == 2 && second.Kind == event.Null:
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s needs two columns; write %s: [x, y]", f, f)
	case d.most == 1 && second.Kind != event.Null:
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s takes one column, not two; make a feature of each", f)
	}
	needs, call, t, err := d.bind(&binding{f: f, parts: d.parts, in: in, second: second, p: p})
	if err != nil {
		return Needs{}, Call{}, event.Type{}, err
	}
	call.Func = f
	return needs, call, t, nil
}

func starNames() []string {
	var names []string
	for i := range functions {
		if functions[i].star {
			names = append(names, functions[i].name)
		}
	}
	return names
}

// checkParams refuses what f does not take.
func (f Func) checkParams(p Params) error {
	takes := f.of().params
	for _, name := range p.given() {
		if slices.Contains(takes, name) {
			continue
		}
		hint := "delete it"
		if len(takes) > 0 {
			hint = "it takes " + strings.Join(takes, ", ")
		}
		return fmt.Errorf("%s does not take %s; %s", f, name, hint)
	}
	return nil
}

// given lists the names of the parameters that were given.
func (p Params) given() []string {
	var names []string
	for _, x := range []struct {
		name  string
		given bool
	}{
		{"k", p.K != nil},
		{"n", p.N != nil},
		{"limit", p.Limit != nil},
		{"distinct", p.Distinct},
		{"q", p.Quantiles != nil},
		{"buckets", p.Buckets != nil},
		{"per", p.Per != 0},
		{"half_life", p.HalfLife != 0},
		{"accuracy", p.Accuracy != 0},
		{"dim", p.Dim != 0},
	} {
		if x.given {
			names = append(names, x.name)
		}
	}
	return names
}

// whole is the parameter of that name if it was given, else def; outside [least, most] it is refused,
// and so is a def outside: the parameter is then required.
func (f Func) whole(name string, given *int, def, least, most int) (int, error) {
	switch {
	case given == nil && (def < least || def > most):
		return 0, fmt.Errorf("%s needs %s; write %s: %d beside it", f, name, name, max(least, min(10, most)))
	case given == nil:
		return def, nil
	case *given < least || *given > most:
		return 0, fmt.Errorf("%s: %s is %d; it must be %d to %d", f, name, *given, least, most)
	}
	return *given, nil
}

func bindCount(*binding) (Needs, Call, event.Type, error) {
	return Needs{}, Call{}, event.Type{Kind: event.Long}, nil
}

// bindScalar binds what needs parts of a group only and answers its input's type or a double.
func bindScalar(b *binding) (Needs, Call, event.Type, error) {
	f, t, needs := b.f, b.in, Needs{Parts: b.parts}
	t.Nullable = true
	if keep, ok := vectorForm(b); ok && f != Last {
		return bindVector(b, keep)
	} else if ok {
		dim, err := b.dim()
		needs.Keeps.Dim = dim
		return needs, Call{}, t, err
	}
	switch f {
	case First, Last:
		return needs, Call{}, t, nil
	case Min, Max:
		if !b.in.Ordered() {
			return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s of %s is not defined: its values have no order; count, first and last work on it", f, bare(b.in))
		}
		return needs, Call{}, t, nil
	}
	if !b.in.Numeric() {
		return Needs{}, Call{}, event.Type{}, f.notNumeric(b.in)
	}
	if f != Sum {
		t = event.Type{Kind: event.Double, Nullable: true}
	}
	return needs, Call{}, t, nil
}

// notNumeric says what to do about arithmetic on a type that has none.
func (f Func) notNumeric(in event.Type) error {
	hint := "count, min, max, first and last work on it"
	switch in.Kind {
	case event.Bool:
		hint = "to count the true ones, write count: \"*\" with where: naming the column"
	case event.List, event.Map:
		hint = "count, first and last work on it"
	}
	return fmt.Errorf("%s of %s is not defined: it needs long, double or decimal; %s", f, bare(in), hint)
}

// bare is t's name without the mark of what may be null.
func bare(t event.Type) string {
	t.Nullable = false
	return t.String()
}
