//go:build race

package e2e

// With the race detector on, `penstock run` is built with it too; of those that are killed, some.
func init() { raceFlag = "-race" }
