package oracle

import "sync"

// memo remembers the values of a pure function.
type memo[K comparable, V any] struct {
	mu    sync.Mutex
	known map[K]V
}

func newMemo[K comparable, V any]() *memo[K, V] { return &memo[K, V]{known: map[K]V{}} }

func (m *memo[K, V]) get(k K, make func() V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.known[k]
	if !ok {
		v = make()
		m.known[k] = v
	}
	return v
}
