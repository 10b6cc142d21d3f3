package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// dropUnborn removes logs of no length: Badger creates a log and then gives it its length, and a
// process killed in between leaves a file that holds nothing and that Badger refuses to open.
func dropUnborn(dir string) error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range files {
			if fi, err := os.Stat(path); err == nil && fi.Size() == 0 {
				if err := os.Remove(path); err != nil {
					return fmt.Errorf("remove empty log: %w", err)
				}
			}
		}
	}
	return nil
}

// verifyTables checks every block of every table that the manifest names, before Badger sees them:
// Badger opens tables in goroutines of its own, where damage is a panic that nobody can recover, and
// its own checks at open keep each table decompressed in its cache. Here a damaged table is an error
// that names the file.
func verifyTables(dir string, opt badger.Options) error {
	path := filepath.Join(dir, badger.ManifestFilename)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		// Badger would begin anew and delete the tables.
		if old, _ := filepath.Glob(filepath.Join(dir, "*.sst")); len(old) > 0 {
			return &CorruptError{File: path, Reason: "the file is missing"}
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", path, err)
	}
	defer f.Close()
	var m badger.Manifest
	if err := guarded(path, func() (err error) {
		m, _, err = badger.ReplayManifestFile(f, opt.ExternalMagicVersion, opt)
		return err
	}); err != nil {
		return err
	}
	ids := make([]uint64, 0, len(m.Tables))
	for id := range m.Tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	errs := make([]error, len(ids))
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(ids)) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(ids)); i = next.Add(1) - 1 {
				errs[i] = verifyTable(table.NewFilename(ids[i], dir), m.Tables[ids[i]], opt)
			}
		})
	}
	group.Wait()
	for _, err := range errs { // the first by number, whichever was found first
		if err != nil {
			return err
		}
	}
	return nil
}

func verifyTable(path string, tm badger.TableManifest, opt badger.Options) error {
	if tm.Compression > options.ZSTD {
		return &CorruptError{File: path, Reason: "the manifest names an unknown compression"}
	}
	return guarded(path, func() error {
		mf, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		t, err := table.OpenTable(mf, table.Options{
			ReadOnly: true, BlockSize: opt.BlockSize, Compression: tm.Compression,
			ChkMode: options.NoVerification,
		})
		if err != nil {
			_ = mf.Close(-1)
			return err
		}
		defer t.Close(-1)
		return t.VerifyChecksum()
	})
}

// guarded runs f on a file and turns its error or panic into a *CorruptError.
func guarded(path string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &CorruptError{File: path, Reason: firstLine(fmt.Sprint(p))}
		}
	}()
	if err := f(); err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) && errno != syscall.ENOENT {
			return fmt.Errorf("open %s: %w", path, err) // not damage: no permission, no descriptors
		}
		return &CorruptError{File: path, Reason: firstLine(err.Error())}
	}
	return nil
}

func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return line[:min(len(line), 300)]
		}
	}
	return "unknown"
}

// Probe opens the store in dir as OpenBadger does, reads every value in it, and closes it again. An
// error says what is damaged. It is meant to run in a child process before a store that ended badly
// is opened: should damage still make Badger panic in a goroutine of its own, the child dies of it
// and not the server.
func Probe(dir string) error {
	if _, found, err := readIdentity(dir); err != nil || !found {
		if err == nil {
			_, err = os.Stat(filepath.Join(dir, "badger"))
			if errors.Is(err, os.ErrNotExist) {
				return nil // nothing there yet
			}
			err = &CorruptError{File: filepath.Join(dir, "STORE.json"), Reason: "the file is missing"}
		}
		return err
	}
	b, err := OpenBadger(dir, BadgerOptions{Memory: 64 << 20, Ballast: -1})
	if err != nil {
		return err
	}
	s := b.Snapshot()
	for _, err = range s.Scan(nil, nil) {
		if err != nil {
			break
		}
	}
	s.Close()
	return errors.Join(err, b.Close())
}
