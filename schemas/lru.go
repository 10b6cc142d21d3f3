package schemas

import "container/list"

// lru is a map that forgets what was not used for longest once it is full. Not safe for concurrent use.
type lru[K comparable, V any] struct {
	most  int
	order *list.List // of pair; used last in front
	at    map[K]*list.Element
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](most int) *lru[K, V] {
	return &lru[K, V]{most: most, order: list.New(), at: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(k K) (v V, ok bool) {
	e, ok := l.at[k]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(pair[K, V]).value, true
}

func (l *lru[K, V]) put(k K, v V) {
	if e, ok := l.at[k]; ok {
		e.Value = pair[K, V]{k, v}
		l.order.MoveToFront(e)
		return
	}
	l.at[k] = l.order.PushFront(pair[K, V]{k, v})
	if l.order.Len() > l.most {
		l.drop(l.order.Back().Value.(pair[K, V]).key)
	}
}

func (l *lru[K, V]) drop(k K) {
	if e, ok := l.at[k]; ok {
		l.order.Remove(e)
		delete(l.at, k)
	}
}
