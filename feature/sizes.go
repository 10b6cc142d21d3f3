package feature

import (
	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// sizeOf is how many elements every value of f has, if it is a vector; 0 if they may differ.
func sizeOf(f *pipeline.Feature) int {
	if f.Type.Kind != event.List || f.Inner != nil || !f.Default.IsNull() {
		return 0
	}
	size := 0
	for _, g := range f.Call.Groups(nil) {
		dim := f.View.Layout.Groups[g].Keeps.Dim
		if dim == 0 || size != 0 && dim != size {
			return 0
		}
		size = dim
	}
	return size
}
