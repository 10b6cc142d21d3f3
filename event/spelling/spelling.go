// Package spelling finds the name that was probably meant by one that does not exist.
package spelling

import (
	"strings"
	"unicode/utf8"
)

// maxName is the longest name, in bytes, for which Nearest looks.
const maxName = 128

// Nearest finds the name of known that was probably meant by name: the one with the fewest edits
// (insertions, deletions, replacements, swaps of neighbours), at most a third of its letters and four; of two letters one, of one none. Names
// that differ in case only are nearest of all; among equals the first is taken.
func Nearest(name string, known []string) (best string, ok bool) {
	if name == "" || len(name) > maxName {
		return "", false
	}
	letters := utf8.RuneCountInString(name)
	limit := min(max(1, min(letters, 12)/3), letters-1) // something of it must be left
	folded := []rune(strings.ToLower(name))
	least := limit + 1
	for _, k := range known {
		if k == name || len(k) > maxName {
			continue
		}
		if d := edits(folded, []rune(strings.ToLower(k)), limit); d < least {
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
