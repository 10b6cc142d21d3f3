package diag

import (
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event/spelling"
)

// Nearest finds the name among names that was most likely meant by name, or "".
func Nearest(name string, names []string) string {
	best, _ := spelling.Nearest(name, names)
	return best
}

// Suggest is a hint for an unknown name: the nearest of names, else up to twelve of them. what is
// the plural of what they are: "sources".
func Suggest(name, what string, names []string) string {
	if n := Nearest(name, names); n != "" {
		return "did you mean " + n + "?"
	}
	if len(names) == 0 {
		return "there are no " + what
	}
	return "the " + what + " are " + Enumerate(names)
}

// Enumerate writes "a, b and c", cut after twelve names.
func Enumerate(names []string) string {
	if len(names) > 12 {
		return strings.Join(names[:12], ", ") + ", …"
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	names = slices.Clone(names)
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
