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
	Count:         {name: "count", least: 1, most: 1, star: true, zero: true, bind: bindCount},
	Sum:           {name: "sum", least: 1, most: 1, parts: PartSum, params: []string{"dim"}, keeps: []Kept{KeepVectorSum}, bind: bindScalar},
	Avg:           {name: "avg", least: 1, most: 1, parts: PartSum, params: []string{"dim"}, keeps: []Kept{KeepVectorSum}, bind: bindScalar},
	Min:           {name: "min", least: 1, most: 1, parts: PartMin, params: []string{"dim"}, keeps: []Kept{KeepVectorMin}, bind: bindScalar},
	Max:           {name: "max", least: 1, most: 1, parts: PartMax, params: []string{"dim"}, keeps: []Kept{KeepVectorMax}, bind: bindScalar},
	First:         {name: "first", least: 1, most: 1, parts: PartFirst, bind: bindScalar},
	Last:          {name: "last", least: 1, most: 1, parts: PartLast, params: []string{"dim"}, bind: bindScalar},
	Variance:      {name: "variance", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	Stddev:        {name: "stddev", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	VariancePop:   {name: "variance_pop", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	StddevPop:     {name: "stddev_pop", least: 1, most: 1, parts: PartSum | PartSquares, bind: bindScalar},
	Skew:          {name: "skew", least: 1, most: 1, parts: PartSum | PartSquares | PartCubes, bind: bindScalar},
	SkewPop:       {name: "skew_pop", least: 1, most: 1, parts: PartSum | PartSquares | PartCubes, bind: bindScalar},
	Kurtosis:      {name: "kurtosis", least: 1, most: 1, parts: partsOfNumbers, bind: bindScalar},
	KurtosisPop:   {name: "kurtosis_pop", least: 1, most: 1, parts: partsOfNumbers, bind: bindScalar},
	Ratio:         {name: "ratio", bind: bindRatio},
	Rate:          {name: "rate", params: []string{"per"}, least: 1, most: 1, star: true, bind: bindRate},
	TimeSinceLast: {name: "time_since_last", least: 1, most: 1, star: true, bind: bindTimes},
	TimeBetween:   {name: "time_between", least: 1, most: 1, star: true, parts: PartOldest, bind: bindTimes},
	DecayedSum:    {name: "decayed_sum", params: []string{"half_life"}, least: 1, most: 1, keeps: []Kept{KeepDecay}, bind: bindDecay},
	DecayedCount:  {name: "decayed_count", params: []string{"half_life"}, least: 1, most: 1, star: true, keeps: []Kept{KeepDecay}, bind: bindDecay},
	DecayedMean:   {name: "decayed_mean", params: []string{"half_life", "dim"}, least: 1, most: 1, keeps: []Kept{KeepDecay, KeepVectorDecay}, bind: bindDecay},
	BoolAnd:       {name: "bool_and", least: 1, most: 1, parts: PartMin, bind: bindBool},
	BoolOr:        {name: "bool_or", least: 1, most: 1, parts: PartMax, bind: bindBool},
	Slope:         {name: "slope", params: []string{"per"}, least: 1, most: 1, keeps: []Kept{KeepTrend}, bind: bindSlope},
	Covariance:    {name: "covariance", least: 2, most: 2, keeps: []Kept{KeepCross}, bind: bindPair},
	CovariancePop: {name: "covariance_pop", least: 2, most: 2, keeps: []Kept{KeepCross}, bind: bindPair},
	Correlation:   {name: "correlation", least: 2, most: 2, keeps: []Kept{KeepCross}, bind: bindPair},

	FirstK:         {name: "first_k", params: []string{"k", "distinct"}, least: 1, most: 1, keeps: []Kept{KeepFirst}, bind: bindRanked},
	LastK:          {name: "last_k", params: []string{"k", "distinct"}, least: 1, most: 1, keeps: []Kept{KeepLast}, bind: bindRanked},
	Nth:            {name: "nth", params: []string{"n"}, least: 1, most: 1, keeps: []Kept{KeepFirst, KeepLast}, bind: bindRanked},
	Lag:            {name: "lag", params: []string{"n"}, least: 1, most: 1, keeps: []Kept{KeepLast}, bind: bindRanked},
	TopK:           {name: "top_k", params: []string{"k"}, least: 1, most: 1, keeps: []Kept{KeepTop}, bind: bindGreatest},
	BottomK:        {name: "bottom_k", params: []string{"k"}, least: 1, most: 1, keeps: []Kept{KeepBottom}, bind: bindGreatest},
	Mode:           {name: "mode", params: []string{"limit"}, least: 1, most: 1, keeps: []Kept{KeepValues}, bind: bindValues},
	Frequent:       {name: "frequent", params: []string{"k", "limit"}, least: 1, most: 1, keeps: []Kept{KeepValues}, bind: bindValues},
	Entropy:        {name: "entropy", params: []string{"limit"}, least: 1, most: 1, keeps: []Kept{KeepValues}, bind: bindValues},
	CountDistinct:  {name: "count_distinct", params: []string{"limit"}, least: 1, most: 1, zero: true, keeps: []Kept{KeepValues}, bind: bindValues},
	CollectSet:     {name: "collect_set", params: []string{"limit"}, least: 1, most: 1, keeps: []Kept{KeepValues}, bind: bindValues},
	CollectList:    {name: "collect_list", params: []string{"limit"}, least: 1, most: 1, keeps: []Kept{KeepLast}, bind: bindRanked},
	ApproxDistinct: {name: "approx_distinct", least: 1, most: 1, zero: true, keeps: []Kept{KeepSketchDistinct}, bind: bindDistinct},
	Quantile:       {name: "quantile", params: []string{"q", "accuracy"}, least: 1, most: 1, keeps: []Kept{KeepQuantiles}, bind: bindQuantiles},
	Quantiles:      {name: "quantiles", params: []string{"q", "accuracy"}, least: 1, most: 1, keeps: []Kept{KeepQuantiles}, bind: bindQuantiles},
	Median:         {name: "median", params: []string{"accuracy"}, least: 1, most: 1, keeps: []Kept{KeepQuantiles}, bind: bindQuantiles},
	Histogram:      {name: "histogram", params: []string{"buckets"}, least: 1, most: 1, keeps: []Kept{KeepHistogram}, bind: bindHistogram},
	ArgMax:         {name: "arg_max", least: 2, most: 2, keeps: []Kept{KeepArgMax}, bind: bindArgument},
	ArgMin:         {name: "arg_min", least: 2, most: 2, keeps: []Kept{KeepArgMin}, bind: bindArgument},
	Drawdown:       {name: "drawdown", least: 1, most: 1, ordered: true, keeps: []Kept{KeepDrawdown}, bind: bindDrawdown},
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
