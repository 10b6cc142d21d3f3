//go:build !linux

package export

// canStepBack tells whether stepBack does something: only on Linux, so far.
const canStepBack = false

func stepBack() {}
