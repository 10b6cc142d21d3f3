package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Part is a part of a definition: what it is called, and the canonical text of all that it says.
type Part struct{ Name, Text string }

// Definition is what a feature is and how it is answered, within its view: two features of one definition, in views
// of one version, have the same values.
func (f *Feature) Definition() Part {
	return Part{fmt.Sprintf("feature %q", f.View.Name+"."+f.Name), fmt.Sprintf("%s %s", f.Type, lookupText(f))}
}

// Parts are what an export declares beside the features: its rows, each label, what is left out, the split.
func (x *Export) Parts() []Part {
	var rows strings.Builder
	x.Spine.text(func(format string, args ...any) { fmt.Fprintf(&rows, format+"\n", args...) })
	out := []Part{
		{"spine", rows.String()},
		{"as_served, with_status and unripe", fmt.Sprint(x.AsServed, x.WithStatus, x.KeepUnripe)},
	}
	for _, l := range x.Labels {
		out = append(out, Part{fmt.Sprintf("label %q", l.Name), fmt.Sprintf(
			"%s from %s to %s ripe %s neutral %v buckets %v of %q: %s", l.Type, l.From, l.To, l.Ripe, l.Neutral, l.Buckets, l.Feature.View.Name, lookupText(l.Feature))})
	}
	if s := x.Sample; s != nil {
		out = append(out, Part{"sample", fmt.Sprintf("%+v", *s)})
	}
	if r := x.Rebalance; r != nil {
		out = append(out, Part{"rebalance", fmt.Sprintf("%+v", *r)})
	}
	if s := x.Split; s != nil {
		out = append(out, Part{"split", fmt.Sprintf("%+v", *s)})
	}
	return out
}

// Views lists the views that the rows and the labels of an export read, hidden ones too.
func (x *Export) Views() []*View {
	var out []*View
	add := func(v *View) {
		if v != nil && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	add(x.Spine.View)
	for _, l := range x.Labels {
		add(l.Feature.View)
	}
	for i := 0; i < len(out); i++ {
		for _, l := range out[i].Lookups {
			add(l.Feature.View)
		}
	}
	return out
}

// Version is a hash of all that an export declares, of the set that it names and of the file's views, in hex: two
// files that give one version give the same table of the same rows.
func (x *Export) Version(p *Plan) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("export set %q view %q features %q", x.Set, x.View, x.Features)
	if s := p.Set(x.Set); s != nil {
		for _, f := range s.Features {
			line("column %q %s default %s = %s", f.Name, f.Type, f.Default, f.Text)
			if f.Ref != nil {
				line("is %q of %q", f.Ref.Name, f.Ref.View.Name)
			}
		}
	}
	for _, v := range p.Views {
		line("view %q %s", v.Name, v.Version)
		for _, f := range v.Features {
			part := f.Definition()
			line("%s %s", part.Name, part.Text)
		}
	}
	for _, part := range x.Parts() {
		line("%s %s", part.Name, part.Text)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}

// text is what a spine declares.
func (s *Spine) text(line func(string, ...any)) {
	line("spine file %q time %q filter %d from %d to %d", s.File, s.Time, s.Filter, s.From, s.To)
	if s.View != nil {
		line("rows of %q", s.View.Name)
		if s.Filter >= 0 {
			line("where %s", s.View.Filters[s.Filter])
		}
	}
	for _, c := range s.Columns {
		line("column %q %s key %d input %d time %v", c.Name, c.Type, c.Key, c.Input, c.Time)
	}
	if g := s.Grid; g != nil {
		line("grid every %s days %d zone %s", g.Every, g.Days, g.Zone)
	}
}
