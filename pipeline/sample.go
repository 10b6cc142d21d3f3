package pipeline

import (
	"fmt"

	"github.com/penstock-ml/penstock/transforms/expr"
)

// sampleText is `sample:` as a condition; empty without one.
func (v *viewScope) sampleText() string {
	n := v.n.get("sample")
	by, keep := n.get("by"), n.get("keep")
	if by == nil || keep == nil || by.bad || keep.bad || by.kind != scalarNode || keep.kind != scalarNode {
		return ""
	}
	buckets, ok := parseShare(keep.text)
	if !ok {
		v.c.fail(keep, "write a share like 10% or 0.1; the least is 0.0001%", "%s: sample: keep %q is not a share", v.in, keep.shown())
		return ""
	}
	if v.expression(by, v.in+": sample: by") == nil { // a mistake, or the fields are not known
		return ""
	}
	condition := fmt.Sprintf("hash_bucket(%s, %d) < %d", by.text, shareBuckets, buckets)
	if _, err := expr.Compile(condition, v.lookup, v.known()); err != nil {
		v.c.exprErrorHint(by, v.in+": sample: by", err, "")
		return ""
	}
	return condition
}
