package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Version is a hash of all that an export declares and of the views and sets it reads, in hex: two files that
// give one version give the same table of the same rows.
func (x *Export) Version(p *Plan) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("export set %q view %q features %q as served %v with status %v", x.Set, x.View, x.Features, x.AsServed, x.WithStatus)
	if s := p.Set(x.Set); s != nil {
		for _, f := range s.Features {
			line("feature %q %s default %s = %s", f.Name, f.Type, f.Default, f.Text)
			if f.Ref != nil {
				line("ref %q of %q %s", f.Ref.Name, f.Ref.View.Name, f.Ref.View.Version)
			}
			for _, d := range f.Deps {
				if d.Ref != nil {
					line("dep %q of %q %s", d.Ref.Name, d.Ref.View.Name, d.Ref.View.Version)
				}
			}
		}
	}
	for _, v := range p.Views {
		line("view %q %s", v.Name, v.Version)
	}
	x.Spine.text(line)
	for _, l := range x.Labels {
		line("label %q %s from %s to %s ripe %s neutral %v buckets %v", l.Name, l.Doc, l.From, l.To, l.Ripe, l.Neutral, l.Buckets)
	}
	line("unripe rows kept %v", x.KeepUnripe)
	if s := x.Sample; s != nil {
		line("sample %+v", *s)
	}
	if r := x.Rebalance; r != nil {
		line("rebalance %+v", *r)
	}
	if s := x.Split; s != nil {
		line("split %+v", *s)
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
