//go:build race

package e2e

// With the race detector on, `penstock run` is built with it too; it is slower, so it is killed less.
func init() { raceFlag, defaultKills = "-race", 8 }
