package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
	"github.com/penstock-ml/penstock/transforms/zone"
)

// storageVersion is the version of what storageText means; it changes when the same text would be
// stored differently.
const storageVersion = 1

// storageText is the canonical text of all that decides what a view stores and how it is read: where
// its rows come from, which are accepted, what is kept of them. What is applied to an answer only
// (names of features, ttl, defaults) is not part of it, nor are addresses, so that changing these
// needs no refill.
func (scope *viewScope) storageText() string {
	v := scope.view
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("view %q storage %d", v.Name, storageVersion)
	scope.sourceText(line)
	line("entity %q", v.Entity.Name)
	for i, k := range v.Entity.Keys {
		if i < len(v.Keys) {
			line("key %q %s from %s", k.Name, k.Type, fieldText(v, v.Keys[i]))
		}
	}
	scope.rowText(line)
	for i, l := range v.Lookups {
		other := l.Feature.View
		line("lookup %d %q %s keys %v", i, other.Name+"."+l.Feature.Name, lookupText(l.Feature), l.Keys)
	}
	for i, d := range v.Derived {
		line("derived %d %q %s = %s", i, d.Name, d.Program.Type(), d.Program)
	}
	for i, p := range append(slices.Clone(v.Filters), v.Late...) {
		line("filter %d %s", i, p)
	}
	for i, g := range v.Layout.Groups {
		line("group %d input %d filter %d parts %d%s", i, g.Input, g.Filter, g.Parts, groupText(g))
	}
	for _, f := range slices.Concat(v.Features, v.Ahead) {
		line("feature %s group %d filter %d window %s%s", f.Func, f.Group, f.Filter, f.Window, callText(&f.Call))
		if in := f.Inner; in != nil {
			line("inner %s group %d window %s empty %v%s%s", in.Func, in.Group, in.Window, in.Empty, nothingText(in), callText(&in.Call))
			g := in.Layout.Groups[0]
			line("outer type %s parts %d%s", g.Type, g.Parts, groupText(g))
		}
	}
	if d := v.Dedupe; d != nil {
		line("dedupe input %d within %s", d.Input, d.Within)
	}
	if usesZone(v) {
		line("zones %s", zone.Version())
	}
	for _, b := range scope.more {
		if b.typed {
			b.branchText(line)
		}
	}
	line("history %s keep %s", v.History, v.Keep)
	return b.String()
}

// lookupText tells all that the answers of a feature of another view depend on, within that view. How it is
// described is not part of it.
func lookupText(f *Feature) string {
	v := f.View
	var b strings.Builder
	fmt.Fprintf(&b, "%s window %s ttl %s default %v%s", f.Func, f.Window, f.TTL, f.Default, callText(&f.Call))
	if f.Filter >= 0 {
		fmt.Fprintf(&b, " filter %s", filterText(v, f.Filter))
	}
	call := &f.Call
	if in := f.Inner; in != nil {
		call = &in.Call
		fmt.Fprintf(&b, " inner %s window %s empty %v%s%s", in.Func, in.Window, in.Empty, nothingText(in), callText(call))
	}
	for _, i := range call.Groups(nil) {
		g := v.Layout.Groups[i]
		fmt.Fprintf(&b, " over %s and %s by %s%s", inputText(v, g.Input), inputText(v, g.Second-1), inputText(v, g.By-1), groupText(g))
		if g.Filter >= 0 {
			fmt.Fprintf(&b, " filter %s", filterText(v, g.Filter))
		}
	}
	for _, p := range v.Computed {
		fmt.Fprintf(&b, " column %s", p)
	}
	if v.Where != nil {
		fmt.Fprintf(&b, " where %s", v.Where)
	}
	return b.String()
}

// inputText tells what an input of a view is, derived ones too; "*" if there is none.
func inputText(v *View, i int) string {
	switch {
	case i < 0:
		return "*"
	case i >= len(v.Inputs):
		return v.Derived[i-len(v.Inputs)].Program.String()
	case v.Inputs[i].Program != nil:
		return v.Inputs[i].Program.String()
	}
	return fieldText(v, v.Inputs[i].Slot)
}

// filterText is a condition of a view, by its number.
func filterText(v *View, i int) string {
	if i -= len(v.Filters); i >= 0 {
		return "late " + v.Late[i].String()
	}
	return v.Filters[i+len(v.Filters)].String()
}

// nothingText is what inner windows answer in place of null; empty for null.
func nothingText(in *Inner) string {
	if in.Nothing.IsNull() {
		return ""
	}
	return fmt.Sprintf(" nothing %s default %s", in.Nothing, in.Default)
}

// groupText is what a group keeps beside its parts. What was not there when a view was first stored is not
// written, so that its text stays the same.
func groupText(g agg.Group) string {
	var b strings.Builder
	if g.Second != 0 {
		fmt.Fprintf(&b, " second %d", g.Second)
	}
	if g.By != 0 {
		fmt.Fprintf(&b, " by %d limit %d", g.By, g.ByLimit)
	}
	if k := g.Keeps; k != (agg.Structure{}) {
		fmt.Fprintf(&b, " keeps %d k %d limit %d distinct %v half_life %s accuracy %v bounds %x dim %d",
			k.Kind, k.K, k.Limit, k.Distinct, k.HalfLife, k.Accuracy, k.Bounds, k.Dim)
	}
	return b.String()
}

// callText is what a call asks for beside its function and group; empty if nothing.
func callText(c *agg.Call) string {
	var b strings.Builder
	if c.K != 0 {
		fmt.Fprintf(&b, " k %d", c.K)
	}
	if c.Quantiles != nil {
		fmt.Fprintf(&b, " q %v", c.Quantiles)
	}
	if c.Per != 0 {
		fmt.Fprintf(&b, " per %s", c.Per)
	}
	if c.By != nil {
		fmt.Fprintf(&b, " top %d rest %q", c.By.Top, c.By.Rest)
		if c.By.Value {
			b.WriteString(" by value")
		}
	}
	for _, part := range []*agg.Call{c.Above, c.Over} {
		if part != nil {
			fmt.Fprintf(&b, " (%s group %d%s)", part.Func, part.Group, callText(part))
		}
	}
	return b.String()
}

// usesZone tells whether an answer of the view depends on the data of time zones.
func usesZone(v *View) bool {
	of := func(w window.Spec) bool { return w.Kind == window.Calendar && w.Zone != time.UTC }
	feature := func(f *Feature) bool { return of(f.Window) || f.Inner != nil && of(f.Inner.Window) }
	return slices.ContainsFunc(v.Features, feature) || slices.ContainsFunc(v.Lookups, func(l *Lookup) bool { return feature(l.Feature) })
}

// fieldText names a slot and its type: a field by its path, a computed column by its number.
func fieldText(v *View, slot int) string {
	columns := v.Source.Columns
	switch {
	case slot < 0:
		return "none"
	case slot < len(columns):
		return fmt.Sprintf("%q %s", columns[slot].Name, columns[slot].Type)
	case slot-len(columns) < len(v.Computed):
		return fmt.Sprintf("computed %d %s", slot-len(columns), v.Computed[slot-len(columns)].Type())
	}
	return "none"
}

func versionOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
