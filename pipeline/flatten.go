package pipeline

import (
	"strings"

	"github.com/penstock-ml/penstock/internal/diag"
)

// declareFlatten reads `flatten:`, the array whose elements are rows.
func (v *viewScope) declareFlatten() {
	n := v.n.get("flatten")
	if n == nil || n.bad || n.kind != scalarNode || !v.typed {
		return
	}
	path := strings.TrimSpace(n.text)
	var arrays []string
	for _, f := range v.source.src.Schema.Fields() {
		array, ok := v.source.src.Schema.Items(f.Path)
		if !ok {
			continue
		}
		if array == path {
			v.flat = path
			v.need(f.Path) // one tells how many elements there are
			return
		}
		if len(arrays) == 0 || arrays[len(arrays)-1] != array {
			arrays = append(arrays, array)
		}
	}
	if t, ok := v.source.src.Schema.Field(path); ok {
		v.c.fail(n, diag.Suggest(path, "arrays", arrays), "%s: flatten: %s is %s, not an array", v.in, path, bare(t))
		return
	}
	v.c.fail(n, diag.Suggest(path, "arrays", arrays), "%s: flatten: the events have no array %q", v.in, n.shown())
}

// isFlat tells whether a field is one of an element of the array that is flattened.
func (v *viewScope) isFlat(path string) bool {
	if v.flat == "" {
		return false
	}
	array, ok := v.source.src.Schema.Items(path)
	return ok && array == v.flat
}

// compileFlatten lists the slots that elements take the place of.
func (v *viewScope) compileFlatten() {
	if v.flat == "" {
		return
	}
	for slot, c := range v.source.src.Columns {
		if v.fields[c.Name] && v.isFlat(c.Name) {
			v.view.Flatten = append(v.view.Flatten, slot)
		}
	}
}
