package agg

// newKeyed returns the keeper of a group with By: partials of the Group without it, one for each value.
func newKeyed(*Group) keeper { panic("agg: by is not built") }
