package state

import (
	"encoding/binary"
	"hash/crc32"
)

// Keys inside Badger begin with one byte that tells whose they are, so that no key of a caller can
// meet one of ours, or one of Badger's own (which begin with '!').
const (
	spaceData    = 'd' // + the caller's key
	spaceJournal = 'j' // + number of a commit, 8 bytes big-endian
	spaceMeta    = 'm' // + name
)

// A stored value is [version | payload | crc32c of key and payload, 4 bytes big-endian]; the key is
// the whole stored key, with its space. The smallest has one byte of payload.
const (
	sealVersion  = 1
	sealOverhead = 1 + crc32.Size
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sealSum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, payload)
}

// appendSealed appends the stored form of payload under the stored key.
func appendSealed(dst, key, payload []byte) []byte {
	dst = append(dst, sealVersion)
	dst = append(dst, payload...)
	return binary.BigEndian.AppendUint32(dst, sealSum(key, payload))
}

// unseal returns the payload inside stored. The key of the error is the caller's.
func unseal(key, stored []byte) ([]byte, error) {
	switch {
	case len(stored) == 0:
		return nil, corruptKey(key, "the value is empty")
	case len(stored) <= sealOverhead:
		return nil, corruptKey(key, "the value is too short")
	case stored[0] != sealVersion:
		return nil, corruptKey(key, "the value's version is not known")
	}
	cut := len(stored) - crc32.Size
	payload := stored[1:cut:cut]
	if binary.BigEndian.Uint32(stored[cut:]) != sealSum(key, payload) {
		return nil, corruptKey(key, "the checksum does not match")
	}
	return payload, nil
}

// corruptKey names the caller's key for its own space, else the stored key.
func corruptKey(stored []byte, reason string) *CorruptError {
	k := stored
	if len(k) > 0 && k[0] == spaceData {
		k = k[1:]
	}
	return &CorruptError{Key: append([]byte{}, k...), Reason: reason}
}

// journalKey is the stored key of the journal entry of a commit.
func journalKey(dst []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, spaceJournal), seq)
}
