package expr

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"
)

// zoneData is the IANA time zone database (public domain), compiled, as a zip of one file per zone:
// lib/time/zoneinfo.zip of a Go release (1.26: 2025c). It is ours, not the machine's, so that an hour is the same
// hour everywhere.
//
//go:embed zoneinfo.zip
var zoneData []byte

// zones lists the names of zones and opens them.
var zones = sync.OnceValues(func() (*zip.Reader, []string) {
	r, err := zip.NewReader(bytes.NewReader(zoneData), int64(len(zoneData)))
	if err != nil {
		panic("embedded zone data: " + err.Error())
	}
	var names []string
	for _, f := range r.File {
		if f.Mode().IsRegular() {
			names = append(names, f.Name)
		}
	}
	return r, names
})

// zoneDataVersion tells releases of the zone data apart.
var zoneDataVersion = sync.OnceValue(func() string {
	sum := sha256.Sum256(zoneData)
	return hex.EncodeToString(sum[:4])
})

// zone opens a named zone. UTC is nil: it needs no data.
func zone(name string) (*time.Location, error) {
	if name == "UTC" {
		return nil, nil
	}
	r, names := zones()
	for _, f := range r.File {
		if f.Name != name || !f.Mode().IsRegular() {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("open zone %s: %w", name, err)
		}
		defer in.Close()
		data, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("read zone %s: %w", name, err)
		}
		return time.LoadLocationFromTZData(name, data)
	}
	hint := "zones are named like America/New_York"
	if best, ok := Nearest(name, names); ok {
		hint = "did you mean " + best + "?"
	}
	return nil, &Error{Msg: fmt.Sprintf("%q is not a time zone", name), Hint: hint}
}
