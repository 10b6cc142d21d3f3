package state

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// layBallast makes a file of size allocated bytes.
func layBallast(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	return errors.Join(err, f.Close())
}
