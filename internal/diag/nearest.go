package diag

import (
	"slices"
	"strings"
)

// Nearest finds the name among names that was most likely meant by name, or "": the one of the least
// edit distance (a swap of neighbours counts once, case does not count), if that is small for its
// length. Ties go to the first.
func Nearest(name string, names []string) string {
	best, least := "", max(1, min(len(name), 12)/3)+1
	if len(name) > 128 {
		return ""
	}
	low := strings.ToLower(name)
	for _, n := range names {
		if len(n) > 128 {
			continue
		}
		if d := distance(low, strings.ToLower(n), least); d < least && d < len(name) {
			best, least = n, d
		}
	}
	return best
}

// distance is the optimal string alignment distance, or limit if it is no less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
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
