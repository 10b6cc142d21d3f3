package state

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by every use of a store or snapshot after its Close.
var ErrClosed = errors.New("state is closed")

// CorruptError says that stored bytes are damaged. Nothing that was read is to be trusted.
type CorruptError struct {
	Key    []byte // the caller's key, or nil where a file and not a key is damaged
	File   string // the file, where one is known
	Reason string // what is wrong with it
}

func (e *CorruptError) Error() string {
	const hint = "\n  hint: check the disk and the memory; restore a backup, or move the directory away and rebuild the state from its sources"
	if e.File != "" {
		return fmt.Sprintf("read %s: damaged: %s%s", e.File, e.Reason, hint)
	}
	return fmt.Sprintf("read key %x: damaged: %s%s", e.Key, e.Reason, hint)
}

// HoleError says that commits in the middle of the journal are gone, while later ones are there: the
// disk lost acknowledged writes, and the state is not a state that ever was.
type HoleError struct {
	Dir         string
	First, Last uint64 // the first range of commits that is missing, both ends included
	Newest      uint64 // the newest commit that is there
}

func (e *HoleError) Error() string {
	return fmt.Sprintf("open state %s: commits %d..%d are missing, though %d is there: the disk lost acknowledged writes"+
		"\n  hint: check the disk; restore a backup, or move the directory away and rebuild the state from its sources",
		e.Dir, e.First, e.Last, e.Newest)
}

// RollbackError says that the newest commits are gone: the store holds a consistent past, but not
// what was acknowledged. A damaged log or manifest looks like this, and an old copy put back.
type RollbackError struct {
	Dir          string
	Newest       uint64 // the newest commit that is there
	Acknowledged uint64 // the newest commit that was acknowledged, as far as is known
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("open state %s: it ends at commit %d, but commit %d was acknowledged: the newest writes are lost"+
		"\n  hint: check the disk; restore a backup, or move the directory away and rebuild the state from its sources",
		e.Dir, e.Newest, e.Acknowledged)
}

// LockedError says that another process (or another store of this one) has the directory open.
type LockedError struct {
	Dir string
	PID int // of the holder, 0 if not known
}

func (e *LockedError) Error() string {
	by := "another process"
	if e.PID != 0 {
		by = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("open state %s: in use by %s\n  hint: ask the running server, or stop it first", e.Dir, by)
}

// DiskFullError says that too little disk is left for a write and for the compactions it causes.
// Nothing was written and the store is not failed: make room, then commit again.
type DiskFullError struct {
	Dir        string
	Free, Need uint64 // bytes
}

func (e *DiskFullError) Error() string {
	return fmt.Sprintf("write state %s: %d MiB of disk are free, %d MiB must stay free\n  hint: make room; writing goes on by itself",
		e.Dir, e.Free>>20, e.Need>>20)
}

// FormatError says that the directory was written in a format that this program does not read.
type FormatError struct {
	Dir         string
	Found, Want int
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("open state %s: format %d, this program reads %d\n  hint: use the release that wrote it", e.Dir, e.Found, e.Want)
}

// BatchError says that a batch was refused before anything was written. The store is not failed.
type BatchError struct {
	Key    []byte // the key concerned, nil if the whole batch is
	Reason string
}

func (e *BatchError) Error() string {
	if e.Key == nil {
		return "commit: batch refused: " + e.Reason
	}
	k := e.Key
	if len(k) > 64 {
		k = k[:64]
	}
	return fmt.Sprintf("commit: key %x refused: %s", k, e.Reason)
}

// MaxKey and MaxValue bound one entry, in bytes. Larger ones are refused by Commit: keys live in
// every index, and a value above would leave the tables for a value log that hides damage.
const (
	MaxKey   = 16 << 10
	MaxValue = 256 << 10
)

// checkBatch refuses what no store takes, before anything is written.
func checkBatch(b *Batch, entries, bytes int) error {
	if b.Len() > entries {
		return &BatchError{Reason: fmt.Sprintf("%d writes, the limit is %d", b.Len(), entries)}
	}
	if b.Size() > bytes {
		return &BatchError{Reason: fmt.Sprintf("%d bytes, the limit is %d", b.Size(), bytes)}
	}
	for _, o := range b.ops {
		switch {
		case o.val-o.key > MaxKey:
			return &BatchError{Key: b.buf[o.key:o.val], Reason: fmt.Sprintf("%d bytes of key, the limit is %d", o.val-o.key, MaxKey)}
		case o.end == o.val:
			return &BatchError{Key: b.buf[o.key:o.val], Reason: "its value is empty"}
		case o.end-o.val > MaxValue:
			return &BatchError{Key: b.buf[o.key:o.val], Reason: fmt.Sprintf("%d bytes of value, the limit is %d", o.end-o.val, MaxValue)}
		}
	}
	return nil
}
