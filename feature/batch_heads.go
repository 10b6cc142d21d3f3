package feature

import (
	"bytes"

	"github.com/penstock-ml/penstock/state"
)

// Rows of an export come in the order in which the state keeps entities (Selector.AppendOrder). Where they ask for
// most of the entities, it is some times cheaper to walk from one head to the next than to look each up.

const (
	stepsAhead   = 4    // entries that are stepped over before a head is sought
	walkAfter    = 32   // heads that are looked up before a walk is tried
	restAfter    = 32   // heads that were sought, more often than walked to, before walking rests
	lookupsAtMax = 4096 // heads that are looked up before walking is tried again, at most
)

// headWalk reads heads of a cut for one view.
type headWalk struct {
	cursor  state.Cursor
	from    []byte // all entries from here up to where the cursor stands were seen
	valid   bool   // the cursor stands on an entry
	lookups int    // still to be done before a walk is tried
	rest    int    // how many lookups the next rest takes
	debt    int    // heads that were sought, less those that were walked to
	started bool
}

// get reads the value of key, or state.ErrNotFound.
func (w *headWalk) get(c *Cut, key []byte) ([]byte, error) {
	if !w.started {
		w.started, w.lookups, w.rest = true, walkAfter, walkAfter
	}
	if w.lookups > 0 {
		w.lookups--
		return c.snap.Get(key, nil)
	}
	if w.cursor == nil {
		var err error
		if w.cursor, err = c.cursor(); err != nil {
			return nil, err
		}
		w.seek(key)
	}
	switch {
	case bytes.Compare(key, w.from) < 0: // what lies behind is not in order
		return c.snap.Get(key, nil)
	case !w.walk(key):
		w.seek(key)
		if w.debt++; w.debt > restAfter {
			w.debt, w.lookups, w.rest = 0, w.rest, min(2*w.rest, lookupsAtMax)
		}
	case w.debt > -restAfter:
		if w.debt--; w.debt == -restAfter {
			w.rest = walkAfter
		}
	}
	if !w.valid || !bytes.Equal(w.cursor.Key(), key) {
		return nil, state.ErrNotFound
	}
	return w.cursor.Value(nil)
}

func (w *headWalk) seek(key []byte) {
	w.from = append(w.from[:0], key...)
	w.valid = w.cursor.Seek(key)
}

// walk steps to the first entry that is not below key; it tells whether that was near.
func (w *headWalk) walk(key []byte) bool {
	for range stepsAhead {
		if !w.valid || bytes.Compare(w.cursor.Key(), key) >= 0 {
			return true
		}
		w.from = append(append(w.from[:0], w.cursor.Key()...), 0)
		w.valid = w.cursor.Next()
	}
	return !w.valid || bytes.Compare(w.cursor.Key(), key) >= 0
}
