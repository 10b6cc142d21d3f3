// Package examples holds pipelines to copy from: each folder has a pipeline file, what it needs, and a
// README. The demo runs flights; the tests run every file here and compare what comes out.
package examples

import "embed"

// Flights is the folder flights: pipeline.yaml, departures.avsc, arrivals.avsc.
//
//go:embed flights/pipeline.yaml flights/departures.avsc flights/arrivals.avsc
var Flights embed.FS
