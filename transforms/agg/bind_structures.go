package agg

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/penstock-ml/penstock/event"
)

// The parameters that need not be written, and the bounds of accuracy.
const (
	defaultLimit    = 1_000  // mode, frequent, entropy, collect_list, collect_set
	defaultDistinct = 10_000 // count_distinct
	defaultAccuracy = 0.01
	leastAccuracy   = 0.001
	mostAccuracy    = 0.25
)

// listType is an array of t, or null.
func listType(t event.Type) event.Type {
	t.Nullable = false
	return event.Type{Kind: event.List, Nullable: true, Elem: &t}
}

// refused is a binder's answer to what does not work.
func refused(err error) (Needs, Call, event.Type, error) { return Needs{}, Call{}, event.Type{}, err }

// bindRanked binds first_k, last_k, nth, lag and collect_list.
func bindRanked(b *binding) (Needs, Call, event.Type, error) {
	keeps, call := Structure{Kind: KeepLast, Distinct: b.p.Distinct}, Call{}
	t := listType(b.in)
	var err error
	switch b.f {
	case Nth:
		call.K, err = b.f.whole("n", b.p.N, -maxValues-1, -maxValues, maxValues)
		if err != nil && b.p.N == nil || err == nil && call.K == 0 {
			return refused(errors.New("nth needs n; write n: 1 beside it for the first value, n: -1 for the last"))
		}
		keeps.K = max(call.K, -call.K)
		if call.K > 0 {
			keeps.Kind = KeepFirst
		}
		t = *t.Elem
	case Lag:
		call.K, err = b.f.whole("n", b.p.N, 1, 0, maxValues-1)
		keeps.K = call.K + 1
		t = *t.Elem
	case CollectList:
		call.K, err = b.f.whole("limit", b.p.Limit, defaultLimit, 1, maxValues)
		keeps.K = call.K
	default:
		call.K, err = b.f.whole("k", b.p.K, 0, 1, maxValues)
		keeps.K = call.K
		if b.f == FirstK {
			keeps.Kind = KeepFirst
		}
	}
	t.Nullable = true
	return Needs{Keeps: keeps}, call, t, err
}

// bindGreatest binds top_k and bottom_k.
func bindGreatest(b *binding) (Needs, Call, event.Type, error) {
	if err := b.ordered(); err != nil {
		return refused(err)
	}
	k, err := b.f.whole("k", b.p.K, 0, 1, maxValues)
	keeps := Structure{Kind: KeepTop, K: k}
	if b.f == BottomK {
		keeps.Kind = KeepBottom
	}
	return Needs{Keeps: keeps}, Call{K: k}, listType(b.in), err
}

// bindValues binds mode, frequent, entropy, count_distinct and collect_set.
func bindValues(b *binding) (Needs, Call, event.Type, error) {
	if err := b.ordered(); err != nil {
		return refused(err)
	}
	t, def, most := listType(b.in), defaultLimit, maxLimit
	switch b.f {
	case Mode:
		t = *t.Elem
	case Entropy:
		t = event.Type{Kind: event.Double}
	case CountDistinct:
		t, def = event.Type{Kind: event.Long}, defaultDistinct
	case CollectSet:
		most = maxValues
	}
	t.Nullable = b.f != CountDistinct
	limit, err := b.f.whole("limit", b.p.Limit, def, 1, most)
	if err != nil {
		return refused(err)
	}
	call := Call{K: limit}
	if b.f == Frequent {
		if call.K, err = b.f.whole("k", b.p.K, 0, 1, min(limit, maxValues)); err != nil {
			return refused(err)
		}
	}
	return Needs{Keeps: Structure{Kind: KeepValues, Limit: limit}}, call, t, nil
}

// ordered refuses columns whose values have no order.
func (b *binding) ordered() error {
	if !b.in.Ordered() {
		return fmt.Errorf("%s of %s is not defined: its values have no order; count, first, last, first_k, last_k and collect_list work on it", b.f, bare(b.in))
	}
	return nil
}

func bindDistinct(b *binding) (Needs, Call, event.Type, error) {
	if err := b.ordered(); err != nil {
		return refused(err)
	}
	return Needs{Keeps: Structure{Kind: KeepSketchDistinct}}, Call{}, event.Type{Kind: event.Long}, nil
}

// bindQuantiles binds quantile, quantiles and median.
func bindQuantiles(b *binding) (Needs, Call, event.Type, error) {
	if !b.in.Numeric() {
		return refused(b.f.notNumeric(b.in))
	}
	qs, t := b.p.Quantiles, event.Type{Kind: event.Double, Nullable: true}
	switch b.f {
	case Median:
		qs = []float64{0.5}
	case Quantiles:
		t = listType(t)
		if len(qs) == 0 || len(qs) > maxValues {
			return refused(errors.New("quantiles needs q, a list; write q: [0.5, 0.95] beside it"))
		}
	default:
		if len(qs) != 1 {
			return refused(errors.New("quantile needs q, one number; write q: 0.95 beside it, or quantiles for several"))
		}
	}
	for _, q := range qs {
		if !(q >= 0 && q <= 1) {
			return refused(fmt.Errorf("%s: q is %v; it must be 0 to 1, 0.5 for the median", b.f, q))
		}
	}
	accuracy := b.p.Accuracy
	if accuracy == 0 {
		accuracy = defaultAccuracy
	}
	if !(accuracy >= leastAccuracy && accuracy <= mostAccuracy) {
		return refused(fmt.Errorf("%s: accuracy is %v; it must be %v to %v, 0.01 for answers within 1 %% of the value", b.f, accuracy, leastAccuracy, mostAccuracy))
	}
	return Needs{Keeps: Structure{Kind: KeepQuantiles, Accuracy: accuracy}}, Call{Quantiles: qs}, t, nil
}

func bindHistogram(b *binding) (Needs, Call, event.Type, error) {
	if !b.in.Numeric() {
		return refused(b.f.notNumeric(b.in))
	}
	edges := b.p.Buckets
	if len(edges) == 0 || len(edges) >= maxValues {
		return refused(errors.New("histogram needs buckets, the edges between them; write buckets: [10, 100] beside it"))
	}
	for i, x := range edges {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return refused(fmt.Errorf("histogram: %v is no edge of buckets; the first and the last bucket are without end anyway", x))
		}
		if i > 0 && x <= edges[i-1] {
			return refused(fmt.Errorf("histogram: buckets are not ascending at %v; sort them", x))
		}
	}
	return Needs{Keeps: Structure{Kind: KeepHistogram, Bounds: boundsOf(edges)}}, Call{}, listType(event.Type{Kind: event.Long}), nil
}

func bindDrawdown(b *binding) (Needs, Call, event.Type, error) {
	if !b.in.Numeric() {
		return refused(b.f.notNumeric(b.in))
	}
	return Needs{Keeps: Structure{Kind: KeepDrawdown}}, Call{}, event.Type{Kind: event.Double, Nullable: true}, nil
}

// Error tells how far f's answer may be from the exact one, in words that follow the name of a feature:
// "within 1 % of the value". It is empty for what is always exact.
func (f Func) Error(p Params) string {
	limit := func(def int) int {
		if p.Limit != nil {
			return *p.Limit
		}
		return def
	}
	switch f {
	case ApproxDistinct:
		return fmt.Sprintf("exact up to %d distinct values, above with a standard error of 1.6 %%", sparseEntries)
	case Quantile, Quantiles, Median:
		accuracy := p.Accuracy
		if accuracy == 0 {
			accuracy = defaultAccuracy
		}
		percent := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.4f", 100*accuracy), "0"), ".")
		return "within " + percent + " % of the value"
	case CountDistinct:
		n := limit(defaultDistinct)
		return fmt.Sprintf("exact up to %d distinct values, %d if there are more", n, n)
	case Mode, Frequent, Entropy:
		return fmt.Sprintf("exact up to %d distinct values, over a sample of that many if there are more", limit(defaultLimit))
	case CollectSet:
		return fmt.Sprintf("all up to %d distinct values, a sample of that many if there are more", limit(defaultLimit))
	}
	return ""
}
