package state

import (
	"encoding/binary"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/penstock-ml/penstock/internal/failpoint"
)

// Commit implements Store. A *BatchError or *DiskFullError means that nothing was written and the
// store is as before; after any other error it is failed. An empty batch is no commit.
func (b *Badger) Commit(batch *Batch) error {
	b.commit.Lock()
	defer b.commit.Unlock()
	b.mu.Lock()
	closed, failed := b.closed, b.failed
	b.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case failed != nil:
		return failed
	}
	if err := checkBatch(batch, b.entries, b.bytes); err != nil {
		return err
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := b.guard.check(); err != nil {
		return err
	}
	seq := b.seq + 1 // only Commit writes it
	failpoint.Hit(failpoint.Commit)
	err := b.write(batch, seq)
	if err == nil {
		failpoint.Hit(failpoint.Unmarked)
		err = b.mark.put(seq)
	}
	if err != nil {
		err = fmt.Errorf("commit %d to state %s: %w\n  hint: stop, check the disk and start again; what was not acknowledged is read again",
			seq, b.dir, err)
		b.mu.Lock()
		b.failed = err
		b.mu.Unlock()
		return err
	}
	next := &view{txn: b.db.NewTransaction(false), refs: 1}
	failpoint.Hit(failpoint.Committed)
	b.mu.Lock()
	last := b.view
	b.view, b.seq = next, seq
	b.mu.Unlock()
	b.release(last)
	return nil
}

// write puts the batch and its journal entry into one transaction and waits until it is on disk.
func (b *Badger) write(batch *Batch, seq uint64) error {
	txn := b.db.NewTransaction(true)
	defer txn.Discard()
	// Badger copies keys and values before a commit returns, so one buffer serves all commits.
	need := batch.Size() + batch.Len()*(1+sealOverhead) + 128
	if cap(b.scratch) < need {
		b.scratch = make([]byte, 0, need)
	}
	if cap(b.ents) < batch.Len()+1 {
		b.ents = make([]badger.Entry, batch.Len()+1)
	}
	ents, buf := b.ents[:batch.Len()+1], b.scratch[:0]
	set := func(i int, key, payload []byte) error {
		start := len(buf)
		buf = appendSealed(buf, key, payload)
		ents[i] = badger.Entry{Key: key, Value: buf[start:len(buf):len(buf)]}
		return txn.SetEntry(&ents[i])
	}
	for i, o := range batch.ops {
		start := len(buf)
		buf = append(append(buf, spaceData), batch.buf[o.key:o.val]...)
		key := buf[start:len(buf):len(buf)]
		var err error
		if o.end < 0 {
			err = txn.Delete(key)
		} else {
			err = set(i, key, batch.buf[o.val:o.end])
		}
		if err != nil {
			return err
		}
	}
	start := len(buf)
	buf = journalKey(buf, seq)
	entry := binary.BigEndian.AppendUint32(nil, uint32(batch.Len()))
	entry = binary.BigEndian.AppendUint64(entry, uint64(batch.Size()))
	if err := set(batch.Len(), buf[start:len(buf):len(buf)], entry); err != nil {
		return err
	}
	if seq > ring {
		if err := txn.Delete(journalKey(nil, seq-ring)); err != nil {
			return err
		}
	}
	return b.send(txn)
}

// send commits and waits, but not on a database that can write no tables and so never answers.
func (b *Badger) send(txn *badger.Txn) error {
	done := make(chan error, 1)
	txn.CommitWith(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-b.stuck:
		return b.stuckErr
	}
}
