//go:build !linux

package export

// stepBack does nothing: only Linux has priorities of threads that a process may lower by itself.
func stepBack() {}
