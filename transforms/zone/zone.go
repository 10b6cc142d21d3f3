// Package zone opens time zones from data of its own, so that an hour is the same hour on every machine.
package zone

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// data is the IANA time zone database (public domain), compiled, as a zip of one file per zone:
// lib/time/zoneinfo.zip of a Go release (1.26: 2025c).
//
//go:embed zoneinfo.zip
var data []byte

var archive = sync.OnceValue(func() *zip.Reader {
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		panic("embedded zone data: " + err.Error())
	}
	return r
})

// Names lists the zones.
var Names = sync.OnceValue(func() (names []string) {
	for _, f := range archive().File {
		if f.Mode().IsRegular() {
			names = append(names, f.Name)
		}
	}
	return names
})

// Version tells releases of the zone data apart: it is part of the version of what uses a zone.
var Version = sync.OnceValue(func() string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:4])
})

// ErrUnknown is returned for a name that no zone has.
var ErrUnknown = errors.New("not a time zone")

var (
	mu     sync.Mutex
	opened = map[string]*time.Location{}
)

// Load opens a zone by its name in the database, like America/New_York; UTC is time.UTC. Equal names give
// the same *Location.
func Load(name string) (*time.Location, error) {
	if name == "UTC" {
		return time.UTC, nil
	}
	mu.Lock()
	defer mu.Unlock()
	if l := opened[name]; l != nil {
		return l, nil
	}
	for _, f := range archive().File {
		if f.Name != name || !f.Mode().IsRegular() {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("open zone %s: %w", name, err)
		}
		defer in.Close()
		b, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("read zone %s: %w", name, err)
		}
		l, err := time.LoadLocationFromTZData(name, b)
		if err != nil {
			return nil, fmt.Errorf("read zone %s: %w", name, err)
		}
		opened[name] = l
		return l, nil
	}
	return nil, fmt.Errorf("%q is %w", name, ErrUnknown)
}
