package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
)

// result is what was measured on one topic; what was not is nil.
type result struct {
	keys      workload.Keys
	kstreams  *ingested
	penstock  *ingested
	peakAfter int64 // Penstock's memory at the end of all steps
	export    *exported
	latency   []latency
}

// report prints Markdown tables of what was measured.
func report(w io.Writer, results []*result) {
	var ingest, export, lookup []string
	for _, r := range results {
		ingest = append(ingest, r.ingestRows()...)
		if e := r.export; e != nil {
			export = append(export, fmt.Sprintf("| %s | %d | %.1f | %.0f | %d | %d | %d |",
				r.keys, e.rows, e.seconds, float64(e.rows)/e.seconds, e.peak>>20, r.peakAfter>>20, e.compared))
		}
		for _, l := range r.latency {
			lookup = append(lookup, fmt.Sprintf("| %s | %s | %d | %.0f | %v | %v |", r.keys, l.who, l.connections, l.perSecond,
				l.p50.Round(time.Microsecond), l.p99.Round(time.Microsecond)))
		}
	}
	section(w, "Ingest, stored at the end", "keys | system | events | s | events/s | per core | peak MiB", ingest)
	section(w, "Export through the running server",
		"keys | rows | s | rows/s | peak MiB, export | peak MiB, server | cells equal to the oracle", export)
	section(w, "Look-up of one entity, 12 features", "keys | server | connections | requests/s | p50 | p99", lookup)
}

// section prints a table, or nothing without rows.
func section(w io.Writer, title, columns string, rows []string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n## %s\n\n| %s |\n%s|\n%s\n", title, columns,
		strings.Repeat("|---", strings.Count(columns, "|")+1), strings.Join(rows, "\n"))
}

func (r *result) ingestRows() []string {
	var rows []string
	row := func(name string, i *ingested) {
		if i != nil {
			rows = append(rows, fmt.Sprintf("| %s | %s | %d | %.1f | %.0f | %.0f | %d |",
				r.keys, name, i.events, i.seconds, i.rate(), i.perCore(), i.peak>>20))
		}
	}
	row("Kafka Streams: minute and hour tiles, last", r.kstreams)
	row("Penstock: 12 features", r.penstock)
	if r.kstreams != nil && r.penstock != nil {
		rows = append(rows, fmt.Sprintf("| %s | ratio | | | %.1f | %.1f | %.2f |", r.keys, r.penstock.rate()/r.kstreams.rate(),
			r.penstock.perCore()/r.kstreams.perCore(), float64(r.penstock.peak)/float64(r.kstreams.peak)))
	}
	return rows
}
