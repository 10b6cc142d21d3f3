package feature

import "github.com/penstock-ml/penstock/state"

// trimmable is the cheap test whether trim may find something, by a decoded head alone. Nothing is trimmed yet.
func (*view) trimmable(*node, []byte) bool { return false }

// trim drops or folds what no answer at or after the view's horizon needs, from a captured head. It changes x.rows,
// x.n, x.root and adds to w.gone; changed tells that the head must be written; empty that nothing is left that
// anyone may ask for, so that the head may be deleted instead.
func (*committer) trim(state.Snapshot, *treeWriter, *captured, *view) (changed, empty bool, err error) {
	return false, false, nil
}
