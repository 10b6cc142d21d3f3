package pipeline

// compileDedupe reads `dedupe:`. The id is an input of the view's rows: copies are told when rows are read.
func (v *viewScope) compileDedupe() {
	n := v.n.get("dedupe")
	by, within := n.get("by"), n.get("within")
	if n == nil || n.bad || n.kind != mappingNode {
		return
	}
	if v.n.get("flatten") != nil {
		v.c.fail(n, "leave one of the two out; count_distinct of an element's id counts each of its copies once",
			"%s: dedupe and flatten do not go together: a record would be a duplicate in parts", v.in)
		return
	}
	if by == nil || by.bad || by.kind != scalarNode {
		return
	}
	in := v.in + ": dedupe: by"
	if !v.typed {
		v.expression(by, in) // for its syntax
		return
	}
	input, t, ok := v.input(by, in)
	switch {
	case !ok:
		return
	case input >= derivedBase:
		v.c.fail(by, "name a field of the events", "%s: %s reads another view, and changes with it", in, by.shown())
		return
	case !t.Ordered():
		v.c.fail(by, "an id is one value: name a field that is neither an array nor a map", "%s: %s is %s", in, by.shown(), bare(t))
		return
	}
	d := durationOr(within, 0)
	if d <= 0 {
		return // reported
	}
	v.view.Dedupe = &Dedupe{Input: input, Within: d}
}
