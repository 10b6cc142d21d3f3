package agg

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

var nullableDouble = event.Type{Kind: event.Double, Nullable: true}

// bindVector binds the element-wise form of f.
func bindVector(b *binding, keep Kept) (Needs, Call, event.Type, error) {
	dim, err := b.dim()
	if err != nil {
		return Needs{}, Call{}, event.Type{}, err
	}
	elem := nullableDouble
	return Needs{Keeps: Structure{Kind: keep, Dim: dim}}, Call{}, event.Type{Kind: event.List, Nullable: true, Elem: &elem}, nil
}

// dim checks that the input is a list of numbers, and how many they are.
func (b *binding) dim() (int, error) {
	switch {
	case b.in.Kind != event.List || b.in.Elem == nil || b.in.Elem.Kind != event.Long && b.in.Elem.Kind != event.Double:
		return 0, fmt.Errorf("%s of %s with dim is not defined: it needs an array of long or double; delete dim", b.f, bare(b.in))
	case b.p.Dim == 0:
		return 0, fmt.Errorf("%s of %s needs dim; write dim: and how many elements it has: arrays of another length count as null", b.f, bare(b.in))
	case b.p.Dim < 0 || b.p.Dim > maxValues:
		return 0, fmt.Errorf("%s: dim is %d; it must be 1 to %d", b.f, b.p.Dim, maxValues)
	}
	return b.p.Dim, nil
}

// vectorForm is the structure of f over a vector; ok is false if b is not about one.
func vectorForm(b *binding) (keep Kept, ok bool) {
	list := b.in.Kind == event.List && b.in.Elem != nil && (b.in.Elem.Kind == event.Long || b.in.Elem.Kind == event.Double)
	if !list && b.p.Dim == 0 {
		return 0, false
	}
	switch b.f {
	case Sum, Avg:
		return KeepVectorSum, true
	case Min:
		return KeepVectorMin, true
	case Max:
		return KeepVectorMax, true
	case DecayedMean:
		return KeepVectorDecay, true
	case Last: // of lists it works without dim too
		return 0, b.p.Dim != 0
	}
	return 0, false
}

// bindBool binds bool_and and bool_or.
func bindBool(b *binding) (Needs, Call, event.Type, error) {
	if b.in.Kind != event.Bool {
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s of %s is not defined: it needs boolean; write a condition, like amount > 100", b.f, bare(b.in))
	}
	return Needs{Parts: b.parts}, Call{}, event.Type{Kind: event.Bool, Nullable: true}, nil
}

// bindTimes binds what reads only when rows were.
func bindTimes(b *binding) (Needs, Call, event.Type, error) {
	return Needs{Parts: b.parts}, Call{}, nullableDouble, nil
}

func bindRate(b *binding) (Needs, Call, event.Type, error) {
	per, err := b.per()
	if err != nil {
		return Needs{}, Call{}, event.Type{}, err
	}
	if b.in.Kind == event.Null {
		return Needs{}, Call{Per: per}, nullableDouble, nil
	}
	if !b.in.Numeric() {
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("rate of %s is not defined: it needs long, double or decimal; for rows per unit of time write rate: \"*\"", bare(b.in))
	}
	return Needs{Parts: PartSum}, Call{Per: per}, nullableDouble, nil
}

// per is the unit of time, a second by default.
func (b *binding) per() (event.Duration, error) {
	switch {
	case b.p.Per < 0:
		return 0, fmt.Errorf("%s: per is %s; it must be more than nothing", b.f, b.p.Per)
	case b.p.Per == 0:
		return event.Second, nil
	}
	return b.p.Per, nil
}

func bindSlope(b *binding) (Needs, Call, event.Type, error) {
	if !b.in.Numeric() {
		return Needs{}, Call{}, event.Type{}, b.f.notNumeric(b.in)
	}
	per, err := b.per()
	return Needs{Keeps: Structure{Kind: KeepTrend}}, Call{Per: per}, nullableDouble, err
}

// bindPair binds what is over two columns of numbers.
func bindPair(b *binding) (Needs, Call, event.Type, error) {
	for _, t := range []event.Type{b.in, b.second} {
		if !t.Numeric() {
			return Needs{}, Call{}, event.Type{}, b.f.notNumeric(t)
		}
	}
	return Needs{Keeps: Structure{Kind: KeepCross}}, Call{}, nullableDouble, nil
}

func bindRatio(b *binding) (Needs, Call, event.Type, error) {
	for _, t := range []event.Type{b.in, b.second} {
		if !t.Numeric() {
			return Needs{}, Call{}, event.Type{}, fmt.Errorf("ratio of %s is not defined: it divides long, double and decimal; give of and to aggregates whose answers are numbers", bare(t))
		}
	}
	return Needs{}, Call{}, nullableDouble, nil
}

func bindDecay(b *binding) (Needs, Call, event.Type, error) {
	keeps := Structure{Kind: KeepDecay, HalfLife: b.p.HalfLife}
	switch {
	case b.p.HalfLife == 0:
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s needs half_life; write half_life: 1h beside it", b.f)
	case b.p.HalfLife < 0:
		return Needs{}, Call{}, event.Type{}, fmt.Errorf("%s: half_life is %s; it must be more than nothing", b.f, b.p.HalfLife)
	case b.f == DecayedCount:
		return Needs{Keeps: keeps}, Call{}, nullableDouble, nil
	}
	if keep, ok := vectorForm(b); ok {
		needs, call, t, err := bindVector(b, keep)
		needs.Keeps.HalfLife = b.p.HalfLife
		return needs, call, t, err
	}
	if !b.in.Numeric() {
		return Needs{}, Call{}, event.Type{}, b.f.notNumeric(b.in)
	}
	return Needs{Keeps: keeps}, Call{}, nullableDouble, nil
}
