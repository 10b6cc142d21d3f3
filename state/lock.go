package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dirLock is the lease on a state directory: a lock of the kernel on DIR/LOCK, which goes with the
// process however that ends. The file holds the holder's process id, for the message only.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		text, _ := os.ReadFile(path)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &LockedError{Dir: dir, PID: pid}
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
		}
	}
	return &dirLock{f}, nil
}

// release gives the lock back; the file stays, or two openers could lock two files.
func (l *dirLock) release() error {
	_ = l.f.Truncate(0)
	// Closing is not enough: a child that is being started has the file open for a moment.
	return errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
}

// Locked tells whether a process has the state directory open, and which, if that is known.
func Locked(dir string) (held bool, pid int, err error) {
	if _, err := os.Stat(filepath.Join(dir, "LOCK")); errors.Is(err, os.ErrNotExist) {
		return false, 0, nil
	}
	l, err := lockDir(dir)
	var locked *LockedError
	if errors.As(err, &locked) {
		return true, locked.PID, nil
	}
	if err != nil {
		return false, 0, err
	}
	return false, 0, l.release()
}
