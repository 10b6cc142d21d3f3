package feature

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Meaning says what a selection stands for, and what is declared of an export of it: two that are equal in it give
// the same from the same rows.
type Meaning struct {
	Pipeline   string // name
	Path       string // of its file
	Definition string // SHA-256 of Parts and Views, hex
	Parts      []pipeline.Part
	Views      []ViewVersion // by name
}

// ViewVersion is a view, and the hash of its definition.
type ViewVersion struct {
	View    string
	Version string
	History event.Duration
}

// Meaning tells what sel stands for, in an export that is declared if x is not nil.
func (s *Store) Meaning(sel *Selector, x *pipeline.Export) Meaning {
	m := Meaning{Pipeline: s.plan.Name, Path: s.plan.Path, Parts: sel.parts()}
	reads := sel.reads()
	if x != nil {
		m.Parts = append(m.Parts, x.Parts()...)
		for _, v := range x.Views() {
			reads[s.byName[v.Name]] = true
		}
	}
	for v := range reads {
		m.Views = append(m.Views, ViewVersion{v.plan.Name, v.plan.Version, v.plan.History})
	}
	slices.SortFunc(m.Views, func(a, b ViewVersion) int { return strings.Compare(a.View, b.View) })
	h := sha256.New()
	for _, p := range m.Parts {
		_, _ = fmt.Fprintf(h, "%q %q\n", p.Name, p.Text)
	}
	for _, v := range m.Views {
		_, _ = fmt.Fprintf(h, "view %q %s\n", v.View, v.Version)
	}
	m.Definition = hex.EncodeToString(h.Sum(nil))
	return m
}

// parts are what sel asks for, what that is made of, and the features that are read for it.
func (sel *Selector) parts() []pipeline.Part {
	list := func(name string, cols []pipeline.Column) pipeline.Part {
		text := ""
		for _, c := range cols {
			text += fmt.Sprintf("%q %s\n", c.Name, c.Type)
		}
		return pipeline.Part{Name: name, Text: text}
	}
	var answers []pipeline.Column
	for _, c := range sel.Columns {
		answers = append(answers, pipeline.Column{Name: c.Name, Type: c.Type})
	}
	out := []pipeline.Part{list("keys", sel.Keys), list("request", sel.Request), list("columns", answers)}
	out = append(out, sel.made...)
	for i := range sel.views {
		for _, f := range sel.views[i].features {
			out = append(out, f.Definition())
		}
	}
	return out
}

// reads lists the views that sel reads, those behind their lookups too.
func (sel *Selector) reads() map[*view]bool {
	out := map[*view]bool{}
	for i := range sel.views {
		q := &sel.views[i]
		out[q.v] = true
		if q.lookup != nil {
			maps.Copy(out, q.lookup.reads())
		}
	}
	return out
}
