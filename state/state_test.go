package state_test

import (
	"testing"

	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/state/conformance"
)

// small opens a store with the smallest tables, so that tests reach flushes and compactions.
func small(t testing.TB, dir string) *state.Badger {
	t.Helper()
	b, err := state.OpenBadger(dir, state.BadgerOptions{Memory: 1 << 20, DiskFree: 1, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemoryConforms(t *testing.T) {
	conformance.Run(t, conformance.Maker{
		New:    func(*testing.T) state.Store { return state.NewMemory() },
		Reopen: func(_ *testing.T, s state.Store) state.Store { return s.(*state.Memory).Reopen() },
	})
}

func TestBadgerConforms(t *testing.T) {
	t.Parallel()
	conformance.Run(t, conformance.Maker{
		New: func(t *testing.T) state.Store { return small(t, t.TempDir()) },
		Reopen: func(t *testing.T, s state.Store) state.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return small(t, s.(*state.Badger).Dir())
		},
	})
}
