package flights

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// Event is a departure or an arrival of a flight.
type Event struct {
	Time   event.Time
	Flight *Flight
}

// Departures returns the departure of every flight that left, in order of time. Events of the same
// minute stand in the order of list.
func Departures(list []Flight) []Event {
	var out []Event
	for i := range list {
		if f := &list[i]; f.Departed {
			out = append(out, Event{f.Departure(), f})
		}
	}
	return ordered(out)
}

// Arrivals returns the arrival of every flight that has one, in order of time. Events of the same minute
// stand in the order of list.
func Arrivals(list []Flight) []Event {
	var out []Event
	for i := range list {
		if f := &list[i]; f.Arrived {
			out = append(out, Event{f.Arrival(), f})
		}
	}
	return ordered(out)
}

func ordered(list []Event) []Event {
	slices.SortStableFunc(list, func(a, b Event) int { return cmp.Compare(a.Time, b.Time) })
	return list
}

// Split cuts events, in order of time, into those before t and those from t on.
func Split(list []Event, t event.Time) (before, from []Event) {
	n, _ := slices.BinarySearchFunc(list, t, func(e Event, t event.Time) int { return cmp.Compare(e.Time, t) })
	return list[:n], list[n:]
}

// AppendDeparture appends the Avro datum of a departure, of the schema
// examples/flights/departures.avsc.
func AppendDeparture(dst []byte, f *Flight) []byte {
	dst = appendFlight(dst, f)
	dst = appendMillis(dst, f.Departure())
	return binary.AppendVarint(dst, int64(f.DepDelay))
}

// AppendArrival appends the Avro datum of an arrival, of the schema examples/flights/arrivals.avsc.
func AppendArrival(dst []byte, f *Flight) []byte {
	dst = appendFlight(dst, f)
	dst = appendMillis(dst, f.Arrival())
	dst = binary.AppendVarint(dst, int64(f.ArrDelay))
	return binary.AppendVarint(dst, int64(f.AirTime))
}

// appendFlight appends what both records begin with.
func appendFlight(dst []byte, f *Flight) []byte {
	dst = appendString(dst, f.ID())
	dst = appendString(dst, f.Carrier)
	dst = appendString(dst, f.Origin)
	dst = appendString(dst, f.Dest)
	dst = appendString(dst, f.Tail)
	dst = binary.AppendVarint(dst, int64(f.Distance))
	return appendMillis(dst, f.Scheduled)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

func appendMillis(dst []byte, t event.Time) []byte {
	return binary.AppendVarint(dst, int64(t)/int64(event.Millisecond))
}
