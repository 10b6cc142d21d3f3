package agg

import "slices"

// Groups appends the groups of the Layout that c reads, each once.
func (c *Call) Groups(dst []int) []int {
	if c.Above != nil && c.Over != nil {
		return c.Over.Groups(c.Above.Groups(dst))
	}
	if !slices.Contains(dst, c.Group) {
		dst = append(dst, c.Group)
	}
	return dst
}
