package expr

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// maxNearest is the longest name, in bytes, for which Nearest looks.
const maxNearest = 128

// Nearest finds the name of known that was probably meant by name: the one with the fewest edits
// (insertions, deletions, replacements, swaps of neighbours), at most a third of its letters. Names
// that differ in case only are nearest of all; among equals the first in bytewise order is taken.
func Nearest(name string, known []string) (best string, ok bool) {
	if name == "" || len(name) > maxNearest {
		return "", false
	}
	limit := max(1, utf8.RuneCountInString(name)/3)
	folded := []rune(strings.ToLower(name))
	least := limit + 1
	for _, k := range known {
		if k == name || len(k) > maxNearest {
			continue
		}
		d := edits(folded, []rune(strings.ToLower(k)), limit)
		if d < least || d == least && d <= limit && k < best {
			best, least = k, d
		}
	}
	return best, least <= limit
}

// edits is the number of edits (optimal string alignment) between a and b, or limit+1 if more than
// limit are needed.
func edits(a, b []rune, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return min(prev[len(b)], limit+1)
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
