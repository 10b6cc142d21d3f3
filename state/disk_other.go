//go:build !linux

package state

import (
	"errors"
	"os"
)

// layBallast makes a file of size written bytes.
func layBallast(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for n := int64(0); n < size && err == nil; n += int64(len(block)) {
		_, err = f.Write(block)
	}
	return errors.Join(err, f.Close())
}
