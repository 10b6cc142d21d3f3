package state

import (
	"encoding/binary"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// ring is how many journal entries are kept. Every commit n writes entry n and deletes entry
// n-ring in the same transaction, so a commit that the disk lost leaves a missing entry, or an old
// one that nobody deleted.
const ring = 8192

// journal is what the journal of an open database says.
type journal struct {
	newest uint64
	hole   *HoleError // without Dir, nil if the ring is whole
}

// readJournal reads the ring and looks for what is missing.
func readJournal(txn *badger.Txn) (journal, error) {
	opt := badger.DefaultIteratorOptions
	opt.PrefetchValues = false
	opt.Prefix = []byte{spaceJournal}
	it := txn.NewIterator(opt)
	defer it.Close()
	var seqs []uint64
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		if len(key) != 9 {
			return journal{}, corruptKey(key, "not a journal key")
		}
		if err := it.Item().Value(func(v []byte) error {
			_, err := unseal(key, v)
			return err
		}); err != nil {
			return journal{}, err
		}
		seqs = append(seqs, binary.BigEndian.Uint64(key[1:]))
	}
	return checkJournal(seqs), nil
}

// checkJournal looks for the first gap in the ascending numbers of a journal.
func checkJournal(seqs []uint64) journal {
	if len(seqs) == 0 {
		return journal{}
	}
	newest := seqs[len(seqs)-1]
	want := uint64(1)
	if newest > ring {
		want = newest - ring + 1
	}
	hole := func(first, last uint64) journal {
		return journal{newest: newest, hole: &HoleError{First: first, Last: last, Newest: newest}}
	}
	for i, seq := range seqs {
		if seq < want { // the commit that deletes it is lost, and so on for those that follow
			last := seq
			for i++; i < len(seqs) && seqs[i] == last+1 && seqs[i] < want; i++ {
				last = seqs[i]
			}
			return hole(seq+ring, last+ring)
		}
		if seq > want {
			return hole(want, seq-1)
		}
		want++
	}
	return journal{newest: newest}
}

// readID returns the identity inside an open database, "" if there is none.
func readID(txn *badger.Txn) (string, error) {
	item, err := txn.Get(idKey)
	if err == badger.ErrKeyNotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the identity: %w", err)
	}
	var id string
	err = item.Value(func(v []byte) error {
		p, err := unseal(idKey, v)
		id = string(p)
		return err
	})
	return id, err
}

var idKey = []byte{spaceMeta, 'i', 'd'}
