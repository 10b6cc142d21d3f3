package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// BadgerOptions are what OpenBadger needs to know. The zero value is a store of 256 MiB.
type BadgerOptions struct {
	// Memory is how many bytes the store may hold in tables and caches; 0 is 256 MiB. Below 64 MiB
	// the smallest memory tables rule, which take about 28 MiB beside the caches.
	Memory int64
	// Log receives what Badger says and what the store does about the disk; nil is silence.
	Log *slog.Logger
	// DiskFree is how many bytes of the disk must stay free, below which Commit refuses; 0 is the
	// smaller of 5 % and 2 GiB. Never less than four memory tables.
	DiskFree int64
	// Ballast is the size of the file given up when the disk is full at open; 0 is 64 MiB, less than
	// 0 is none. It is only made where the disk has room for it.
	Ballast int64
	// ReadMostly leaves tables as they are: none are merged behind the back of a short process that reads.
	// It may write, but each memory table it fills is one more to look into, until the store is opened without.
	ReadMostly bool
	// Measure replaces DiskFree, the function, in tests.
	Measure func(dir string) (free, total uint64, err error)
}

// Badger is a Store in a directory of a local file system (ext4 or XFS; not NFS):
//
//	DIR/LOCK        who has it open
//	DIR/STORE.json  format and identity
//	DIR/COMMITS     the newest acknowledged commit, kept outside the database
//	DIR/badger/     the database
//	DIR/ballast     bytes to give up on a full disk
//
// docs/format/state.md describes the bytes.
type Badger struct {
	dir     string
	log     *slog.Logger
	lock    *dirLock
	mark    *mark
	guard   *guard
	db      *badger.DB
	size    settings
	entries int
	bytes   int

	verifying time.Duration // how long the tables took to verify at open
	opening   time.Duration // and all the rest

	stuckOnce sync.Once
	stuck     chan struct{} // closed when Badger can no longer write its tables
	stuckErr  error         // set before stuck is closed

	commit  sync.Mutex // held by Commit and Close
	scratch []byte
	ents    []badger.Entry

	mu        sync.Mutex // guards what follows
	view      *view
	seq       uint64
	snapshots int
	failed    error
	closed    bool
}

var _ Store = (*Badger)(nil)

// OpenBadger opens the store in dir, or makes one. It takes the directory's lock, checks every table
// on disk, and compares what the database holds with what was acknowledged. Errors a caller may look
// into: *LockedError, *FormatError, *CorruptError, *HoleError, *RollbackError, *DiskFullError.
func OpenBadger(dir string, opt BadgerOptions) (*Badger, error) {
	start := time.Now()
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open state %s: %w", dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	b, err := openLocked(dir, opt)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	b.lock = lock
	b.opening = time.Since(start) - b.verifying
	return b, nil
}

func openLocked(dir string, opt BadgerOptions) (*Badger, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Measure == nil {
		opt.Measure = DiskFree
	}
	if opt.Ballast == 0 {
		opt.Ballast = ballastDefault
	}
	want := settingsFor(opt.Memory)
	want.readMostly = opt.ReadMostly
	g := &guard{
		dir: dir, measure: opt.Measure, limit: opt.DiskFree, least: uint64(4 * want.memtable),
		ballast: opt.Ballast, log: opt.Log,
	}
	if err := g.admit(); err != nil {
		return nil, err
	}
	id, err := prepare(dir, want)
	if err != nil {
		return nil, err
	}
	if id.Memtable > want.memtable { // logs of a larger table are left: replay and flush them first
		old := want
		old.memtable = id.Memtable
		b, err := openStore(dir, id, old, g, opt.Log)
		if err != nil {
			return nil, err
		}
		if err := b.Close(); err != nil {
			return nil, err
		}
	}
	if id.Memtable != want.memtable {
		id.Memtable = want.memtable
		if err := id.write(dir); err != nil {
			return nil, err
		}
	}
	return openStore(dir, id, want, g, opt.Log)
}

// prepare reads what the directory is, or makes a new one of it. The memory tables' size in the
// answer is what the logs on disk need.
func prepare(dir string, want settings) (identity, error) {
	id, found, err := readIdentity(dir)
	if err != nil {
		return identity{}, err
	}
	inner := filepath.Join(dir, "badger")
	if !found {
		if _, err := os.Stat(inner); err == nil {
			return identity{}, &CorruptError{File: filepath.Join(dir, "STORE.json"), Reason: "the file is missing"}
		}
		id = newIdentity()
		id.Memtable = want.memtable
		if err := createMark(dir, id); err != nil {
			return identity{}, err
		}
		return id, id.write(dir)
	}
	if logs, _ := filepath.Glob(filepath.Join(inner, "*.mem")); len(logs) == 0 {
		id.Memtable = min(id.Memtable, want.memtable)
	}
	return id, nil
}

// openStore opens the database of an identified directory and proves that nothing acknowledged is
// missing from it.
func openStore(dir string, id identity, size settings, g *guard, log *slog.Logger) (_ *Badger, err error) {
	b := &Badger{dir: dir, log: log, guard: g, size: size, stuck: make(chan struct{})}
	b.entries, b.bytes = batchLimits(size.memtable)
	inner := filepath.Join(dir, "badger")
	opt := badgerOptions(inner, size, logger{log: log, stuck: b.setStuck})
	if err := dropUnborn(inner); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := verifyTables(inner, opt); err != nil {
		return nil, err
	}
	b.verifying = time.Since(began)
	if b.mark, err = openMark(dir, id, 0); err != nil {
		return nil, err
	}
	acknowledged, err := b.mark.read()
	if err == nil {
		err = guarded(inner, func() (err error) { b.db, err = badger.Open(opt); return err })
	}
	if err != nil {
		return nil, errors.Join(err, b.mark.f.Close())
	}
	if err = errors.Join(syncDir(inner), syncDir(dir)); err == nil {
		err = b.prove(id, acknowledged)
	}
	if err != nil {
		return nil, errors.Join(err, b.closeDB(), b.mark.f.Close())
	}
	b.view = &view{txn: b.db.NewTransaction(false), refs: 1}
	if free, total, err := g.measure(dir); err == nil {
		g.lay(free, g.need(total))
	}
	log.Debug("state opened", "dir", dir, "verified", b.verifying, "opened", time.Since(began)-b.verifying)
	return b, nil
}

// prove compares identity and journal of the open database with what is known from outside.
func (b *Badger) prove(id identity, acknowledged uint64) error {
	txn := b.db.NewTransaction(false)
	inside, err := readID(txn)
	var j journal
	if err == nil {
		j, err = readJournal(txn)
	}
	txn.Discard()
	switch {
	case err != nil:
		return err
	case j.hole != nil:
		j.hole.Dir = b.dir
		return j.hole
	case j.newest < acknowledged:
		return &RollbackError{Dir: b.dir, Newest: j.newest, Acknowledged: acknowledged}
	case inside == "" && j.newest > 0:
		return &CorruptError{File: filepath.Join(b.dir, "badger"), Reason: "the store's identity is missing"}
	case inside == "":
		return b.db.Update(func(txn *badger.Txn) error {
			return txn.Set(idKey, appendSealed(nil, idKey, []byte(id.ID)))
		})
	case inside != id.ID:
		return &CorruptError{File: filepath.Join(b.dir, "STORE.json"), Reason: "it belongs to another store"}
	}
	b.seq = j.newest
	return nil
}

// setStuck notes that Badger cannot write its tables.
func (b *Badger) setStuck(msg string) {
	b.stuckOnce.Do(func() {
		b.stuckErr = errors.New(msg)
		close(b.stuck)
	})
}

// Opened tells how long OpenBadger took: to verify the tables, and for the rest.
func (b *Badger) Opened() (verifying, opening time.Duration) { return b.verifying, b.opening }

// Dir is the directory of the store.
func (b *Badger) Dir() string { return b.dir }

// Limits implements Store.
func (b *Badger) Limits() (entries, bytes int) { return b.entries, b.bytes }

// Err returns the error of the commit that failed the store, or nil.
func (b *Badger) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// Stats implements Store. DiskBytes are blocks on disk, not lengths of files, without the ballast.
func (b *Badger) Stats() Stats {
	b.mu.Lock()
	seq := b.seq
	b.mu.Unlock()
	return Stats{
		DiskBytes:   blocksUnder(filepath.Join(b.dir, "badger")),
		MemoryBytes: b.size.held(),
		Commits:     seq,
	}
}

// Close implements Store: what is in memory is written to tables, the lock is given back. With open
// snapshots it is an error and the store stays open.
func (b *Badger) Close() error {
	b.commit.Lock()
	defer b.commit.Unlock()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	if b.snapshots > 0 {
		defer b.mu.Unlock()
		return fmt.Errorf("close state %s: %d snapshots are open", b.dir, b.snapshots)
	}
	b.closed = true
	v := b.view
	b.mu.Unlock()
	b.release(v)
	err := errors.Join(b.closeDB(), b.mark.close())
	if b.lock != nil {
		err = errors.Join(err, b.lock.release())
	}
	if err != nil {
		return fmt.Errorf("close state %s: %w", b.dir, err)
	}
	return nil
}

// closeDB closes the database, unless it hangs because it can write no tables: then it is left, and
// its logs bring everything back at the next open.
func (b *Badger) closeDB() error {
	done := make(chan error, 1)
	go func() { done <- b.db.Close() }()
	select {
	case err := <-done:
		return err
	case <-b.stuck:
		return b.stuckErr
	}
}
