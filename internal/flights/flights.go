// Package flights holds every flight that left New York City in 2013, packed into the binary, and turns
// it into what the demo streams: departures and arrivals as Avro events, each at its own instant, and
// the spine of a model that foresees late arrivals. DATA.md says where the data comes from and what
// was done with it.
package flights

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/penstock-ml/penstock/event"
)

// Flight is one scheduled flight and what became of it. Delays are in minutes, negative if early.
type Flight struct {
	Carrier   string // two characters, like UA
	Number    int    // of the flight, within the carrier
	Origin    string // EWR, JFK or LGA
	Dest      string // airport code
	Tail      string // the aircraft's registration; empty: unknown (all of these were cancelled)
	Scheduled event.Time
	Distance  int // miles

	Departed bool // false: cancelled
	DepDelay int

	Arrived  bool // false: cancelled, diverted, or the delay was not recorded
	Block    int  // minutes from scheduled departure to scheduled arrival, if Arrived
	ArrDelay int
	AirTime  int // minutes in the air
}

// LateMinutes is how far behind its schedule an arrival must be to count as late.
const LateMinutes = 15

// ID names a flight: carrier and number, origin, scheduled departure in UTC.
func (f *Flight) ID() string {
	return fmt.Sprintf("%s%d-%s-%s", f.Carrier, f.Number, f.Origin, f.Scheduled.Go().Format("2006-01-02T15:04Z"))
}

// Departure is when the flight left; meaningless unless Departed.
func (f *Flight) Departure() event.Time { return f.Scheduled.Add(minutes(f.DepDelay)) }

// Arrival is when the flight arrived; meaningless unless Arrived.
func (f *Flight) Arrival() event.Time { return f.Scheduled.Add(minutes(f.Block + f.ArrDelay)) }

// Late tells whether an arrived flight was more than LateMinutes late.
func (f *Flight) Late() bool { return f.ArrDelay > LateMinutes }

func minutes(n int) event.Duration { return event.Duration(n) * event.Minute }

//go:embed flights.pack
var packed []byte

var all = sync.OnceValues(func() ([]Flight, error) { return Unpack(packed) })

// All returns every flight in order of scheduled departure, carrier, number and origin. The slice is
// shared: do not change it.
func All() []Flight {
	list, err := all()
	if err != nil {
		panic(fmt.Sprintf("unpack the flights of the binary: %v", err)) // a test unpacks them
	}
	return list
}

// Before returns the flights of list, which is ordered as All is, that were scheduled before t.
func Before(list []Flight, t event.Time) []Flight {
	lo, hi := 0, len(list)
	for lo < hi {
		if mid := (lo + hi) / 2; list[mid].Scheduled < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return list[:lo]
}
