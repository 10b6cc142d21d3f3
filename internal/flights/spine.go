package flights

import (
	"bufio"
	"fmt"
	"io"

	"github.com/penstock-ml/penstock/event"
)

// Foresight is how long before the scheduled departure a prediction is wanted. It is longer than any
// flight left ahead of its schedule (43 minutes), so nothing of the flight itself has happened yet.
const Foresight = event.Hour

// Examples returns the flights of list that a model can learn from: those whose arrival is known, in
// the order of list, before an instant.
func Examples(list []Flight, until event.Time) []*Flight {
	var out []*Flight
	for i := range list {
		if f := &list[i]; f.Arrived && f.Arrival() < until {
			out = append(out, f)
		}
	}
	return out
}

// Sample returns the first of every n flights.
func Sample(list []*Flight, n int) []*Flight {
	var out []*Flight
	for i := 0; i < len(list); i += n {
		out = append(out, list[i])
	}
	return out
}

// LateShare is the share of late flights; 0 of none.
func LateShare(list []*Flight) float64 {
	late := 0
	for _, f := range list {
		if f.Late() {
			late++
		}
	}
	if late == 0 {
		return 0
	}
	return float64(late) / float64(len(list))
}

// WriteSpine writes one row for each flight: what it is, the instant at which a prediction is wanted
// (event_time, Foresight before the scheduled departure), what is known of it by then, and the label
// (late: 1 if it arrived more than LateMinutes late).
func WriteSpine(w io.Writer, list []*Flight) error {
	return WriteSpineAt(w, list, func(f *Flight) event.Time { return f.Scheduled.Add(-Foresight) })
}

// WriteSpineAt is WriteSpine with instants of the caller's choice.
func WriteSpineAt(w io.Writer, list []*Flight, at func(*Flight) event.Time) error {
	b := bufio.NewWriter(w)
	_, _ = fmt.Fprintln(b, "flight_id,event_time,origin,carrier,tailnum,dest,scheduled,distance,late")
	const layout = "2006-01-02T15:04:05Z"
	for _, f := range list {
		late := 0
		if f.Late() {
			late = 1
		}
		_, _ = fmt.Fprintf(b, "%s,%s,%s,%s,%s,%s,%s,%d,%d\n", f.ID(), at(f).String(), f.Origin, f.Carrier,
			f.Tail, f.Dest, f.Scheduled.Go().Format(layout), f.Distance, late)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write spine: %w", err)
	}
	return nil
}
