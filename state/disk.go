package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// DiskFree tells how many bytes a process without privileges may still write on the file system of
// dir, and how large that is.
func DiskFree(dir string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("measure the disk of %s: %w", dir, err)
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize), nil
}

const (
	diskFreeMax    = 2 << 30  // the default limit is 5 % of the disk, at most this
	ballastDefault = 64 << 20 // bytes of the ballast file
)

// A guard keeps so much of the disk free that Badger never runs into its end: it writes by memory
// maps, and a full disk is a SIGBUS then, which no program survives. The ballast is a file of
// allocated bytes that is given up when the disk is full at open, so that the store still opens.
type guard struct {
	dir     string
	measure func(dir string) (free, total uint64, err error)
	limit   int64 // 0: the smaller of 5 % and 2 GiB
	least   uint64
	ballast int64
	log     *slog.Logger

	mu        sync.Mutex
	ballasted bool
}

func (g *guard) path() string { return filepath.Join(g.dir, "ballast") }

// need is how much must stay free on a disk of total bytes.
func (g *guard) need(total uint64) uint64 {
	need := min(total/20, uint64(diskFreeMax))
	if g.limit > 0 {
		need = uint64(g.limit)
	}
	return max(need, g.least)
}

// check returns a *DiskFullError if too little is free, and lays the ballast anew once there is
// plenty.
func (g *guard) check() error {
	free, total, err := g.measure(g.dir)
	if err != nil {
		return err
	}
	need := g.need(total)
	if free < need {
		return &DiskFullError{Dir: g.dir, Free: free, Need: need}
	}
	g.lay(free, need)
	return nil
}

// admit is the check at open: the ballast goes if space is short, and what Badger needs at once to
// open and to flush its logs must be there.
func (g *guard) admit() error {
	if fi, err := os.Stat(g.path()); err == nil {
		g.ballasted = fi.Size() > 0
	}
	free, total, err := g.measure(g.dir)
	if err != nil {
		return err
	}
	if free < g.need(total) && g.ballasted {
		if err := os.Remove(g.path()); err != nil {
			return fmt.Errorf("give up the ballast: %w", err)
		}
		g.ballasted = false
		g.log.Warn("disk nearly full: gave up the ballast file", "dir", g.dir, "free_bytes", free)
		if free, _, err = g.measure(g.dir); err != nil {
			return err
		}
	}
	if free < g.least {
		return &DiskFullError{Dir: g.dir, Free: free, Need: g.least}
	}
	return nil
}

// lay makes the ballast file if it is missing and twice its size is free beyond need.
func (g *guard) lay(free, need uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ballasted || g.ballast <= 0 || free < need+2*uint64(g.ballast) {
		return
	}
	g.ballasted = true // or not to be had: it is not asked for again in this run
	if err := layBallast(g.path(), g.ballast); err != nil {
		_ = os.Remove(g.path())
		g.log.Warn("no ballast file", "dir", g.dir, "err", err)
	}
}

// blocksUnder is how much disk the files below dir take: blocks, not lengths, for many are sparse.
func blocksUnder(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // compacted away meanwhile
			}
			return err
		}
		if fi, err := d.Info(); err == nil && fi.Mode().IsRegular() {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				n += st.Blocks * 512
			}
		}
		return nil
	})
	return n
}

// syncDir makes the entries of a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}
