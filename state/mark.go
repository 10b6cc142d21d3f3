package state

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

// Format is the number of the on-disk format, docs/format/state.md.
const Format = 1

// identity is STORE.json: what a directory is, readable before anything of Badger is opened.
type identity struct {
	Format int    `json:"format"`
	ID     string `json:"id"` // 16 random bytes in hex, also inside the store
	// Memtable is the size of memory tables that the logs on disk were written for. A log must be
	// replayed into a table at least as large, so a smaller budget waits for a clean open.
	Memtable int64 `json:"memtable_bytes"`
}

func readIdentity(dir string) (id identity, found bool, err error) {
	path := filepath.Join(dir, "STORE.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, false, nil
	}
	if err != nil {
		return identity{}, false, fmt.Errorf("open state %s: %w", dir, err)
	}
	if err := json.Unmarshal(text, &id); err != nil {
		return identity{}, false, &CorruptError{File: path, Reason: err.Error()}
	}
	if id.Format != Format {
		return identity{}, false, &FormatError{Dir: dir, Found: id.Format, Want: Format}
	}
	if raw, err := hex.DecodeString(id.ID); err != nil || len(raw) != 16 || id.Memtable < memtableMin || id.Memtable > memtableMax {
		return identity{}, false, &CorruptError{File: path, Reason: "its contents make no sense"}
	}
	return id, true, nil
}

// write replaces STORE.json durably.
func (id identity) write(dir string) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "STORE.json")
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func newIdentity() identity {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return identity{Format: Format, ID: hex.EncodeToString(raw[:])}
}

// mark is COMMITS: the number of the newest commit that was acknowledged, kept beside the store so
// that a store which lost its newest commits is noticed. It is written in place after every commit,
// into two slots by turns, and synced once a second and at Close: a killed process leaves it exact,
// a power cut at most as old as the last sync. It is never ahead of what was acknowledged.
type mark struct {
	f      *os.File
	path   string
	id     [16]byte
	synced time.Time
}

const (
	markMagic  = "PSCM"
	markSlot   = 4096 // distance of the slots: two blocks of the disk
	markLength = 4 + 8 + crc32.Size
)

// createMark makes COMMITS with commit 0.
func createMark(dir string, id identity) error {
	m, err := openMark(dir, id, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	for slot := range int64(2) {
		_, werr := m.f.WriteAt(m.encode(0), slot*markSlot)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, m.close())
}

func openMark(dir string, id identity, flags int) (*mark, error) {
	m := &mark{path: filepath.Join(dir, "COMMITS")}
	raw, err := hex.DecodeString(id.ID)
	if err != nil {
		return nil, err
	}
	copy(m.id[:], raw)
	if m.f, err = os.OpenFile(m.path, os.O_RDWR|flags, 0o600); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, &CorruptError{File: m.path, Reason: "the file is missing"}
		}
		return nil, fmt.Errorf("open %s: %w", m.path, err)
	}
	return m, nil
}

func (m *mark) encode(seq uint64) []byte {
	b := append(make([]byte, 0, markLength), markMagic...)
	b = binary.BigEndian.AppendUint64(b, seq)
	sum := crc32.Update(crc32.Update(0, castagnoli, m.id[:]), castagnoli, b)
	return binary.BigEndian.AppendUint32(b, sum)
}

// read returns the larger number of the two slots.
func (m *mark) read() (uint64, error) {
	var newest uint64
	ok := false
	for slot := range int64(2) {
		b := make([]byte, markLength)
		if _, err := m.f.ReadAt(b, slot*markSlot); err != nil {
			continue
		}
		seq := binary.BigEndian.Uint64(b[4:])
		if string(b) == string(m.encode(seq)) {
			newest, ok = max(newest, seq), true
		}
	}
	if !ok {
		return 0, &CorruptError{File: m.path, Reason: "neither of its two records is whole"}
	}
	return newest, nil
}

// put notes an acknowledged commit.
func (m *mark) put(seq uint64) error {
	if _, err := m.f.WriteAt(m.encode(seq), int64(seq%2)*markSlot); err != nil {
		return fmt.Errorf("write %s: %w", m.path, err)
	}
	if now := time.Now(); now.Sub(m.synced) >= time.Second {
		m.synced = now
		if err := m.f.Sync(); err != nil {
			return fmt.Errorf("sync %s: %w", m.path, err)
		}
	}
	return nil
}

func (m *mark) close() error {
	return errors.Join(m.f.Sync(), m.f.Close())
}
