package expr

import (
	"sort"
	"strings"

	"github.com/penstock-ml/penstock/event/spelling"
)

// Nearest finds the name of known that was probably meant by name.
func Nearest(name string, known []string) (best string, ok bool) {
	return spelling.Nearest(name, known)
}

// nameHint is what to write instead of an unknown name.
func nameHint(name string, known []string) string {
	if best, ok := Nearest(name, known); ok {
		return "did you mean " + best + "?"
	}
	var inside []string
	for _, k := range known {
		if strings.HasSuffix(k, "."+name) {
			inside = append(inside, k)
		}
	}
	if len(inside) > 0 {
		return "did you mean " + list(inside, "or") + "?"
	}
	if len(known) == 0 || len(known) > 12 {
		return ""
	}
	return "known here: " + list(known, "and")
}

// list joins at most six names in bytewise order.
func list(names []string, last string) string {
	s := append([]string(nil), names...)
	sort.Strings(s)
	if len(s) > 6 && last == "or" {
		return strings.Join(s[:6], ", ") + ", …"
	}
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + " " + last + " " + s[len(s)-1]
}
