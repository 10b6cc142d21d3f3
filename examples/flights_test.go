package examples_test

import (
	"cmp"
	"encoding/csv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/flights"
)

// The tests stream two weeks of January.
const (
	cutText = "2013-01-09T17:00:00Z"
	endText = "2013-01-15T00:00:00Z"
)

var risk = feature.Selection{Set: "departure_risk"}

func instant(t *testing.T, s string) event.Time {
	t.Helper()
	x, err := event.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// fortnight is the flights of the tests.
func fortnight(t *testing.T) []flights.Flight {
	return flights.Before(flights.All(), instant(t, endText))
}

func asked(f *flights.Flight) event.Time { return f.Scheduled.Add(-flights.Foresight) }

// columns reads a CSV table into columns by name.
func columns(t *testing.T, text string) map[string][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for i, name := range rows[0] {
		for _, row := range rows[1:] {
			out[name] = append(out[name], row[i])
		}
	}
	return out
}

// TestFlightsFuture changes every event from an instant on: features up to that instant stay the same,
// to the byte, and later ones do not.
func TestFlightsFuture(t *testing.T) {
	list, cut := fortnight(t), instant(t, cutText)
	r := rand.New(rand.NewPCG(1, 2))
	other := slices.Clone(list)
	for i := range other {
		f := &other[i]
		if f.Departed && f.Departure() >= cut {
			f.DepDelay += r.IntN(300)
		}
		if f.Arrived && f.Arrival() >= cut {
			f.ArrDelay += r.IntN(300)
			f.AirTime = r.IntN(900)
		}
		if f.Departed && f.Departure() >= cut && r.IntN(10) == 0 {
			f.Departed, f.Arrived = false, false
		}
	}
	rows := flights.Sample(flights.Examples(list, event.MaxTime), 3)
	upTo := func(f *flights.Flight) event.Time { return min(asked(f), cut) } // the later half asks at the cut itself
	after := func(f *flights.Flight) event.Time { return max(asked(f), cut.Add(event.Hour)) }
	past, future := spineOf(t, rows, upTo), spineOf(t, rows, after)

	tables := func(list []flights.Flight) (string, string) {
		store := streamFlights(t, flights.Departures(list), flights.Arrivals(list))
		return table(t, store, past, risk), table(t, store, future, risk)
	}
	wantPast, wantFuture := tables(list)
	gotPast, gotFuture := tables(other)
	if gotPast != wantPast {
		t.Error("what happened from an instant on changed features as of that instant")
	}
	same := 0
	a, b := strings.Split(wantFuture, "\n"), strings.Split(gotFuture, "\n")
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if same > len(a)/100 {
		t.Errorf("%d of %d rows after the change are the same: does the change change anything?", same, len(a))
	}
}

// TestFlightsLeak finds the label in features asked after the arrival, as it must be, and no such
// feature among those asked in time.
func TestFlightsLeak(t *testing.T) {
	list := fortnight(t)
	store := streamFlights(t, flights.Departures(list), flights.Arrivals(list))
	rows := flights.Sample(flights.Examples(list, event.MaxTime), 3)
	best := func(at func(*flights.Flight) event.Time) (name string, auc float64) {
		cols := columns(t, table(t, store, spineOf(t, rows, at), risk))
		for col := range cols {
			if col == "late" {
				continue
			}
			if a := separation(cols[col], cols["late"]); a > auc {
				name, auc = col, a
			}
		}
		return name, auc
	}
	name, honest := best(asked)
	t.Logf("asked an hour before: %s separates best, AUC %.3f", name, honest)
	if honest < 0.6 || honest > 0.85 {
		t.Errorf("a single feature separates late flights with an AUC of %.3f", honest)
	}
	name, leaky := best(func(f *flights.Flight) event.Time { return f.Arrival().Add(event.Microsecond) })
	t.Logf("asked after the arrival: %s separates best, AUC %.3f", name, leaky)
	if name != "aircraft_last_delay" || leaky < 0.999 {
		t.Errorf("asked after the arrival, %s separates with an AUC of %.3f: the leak does not show", name, leaky)
	}
}

// separation is the area under the ROC curve of a column as a predictor of the label (of its negative,
// if that is larger); 0 for a column of no numbers. Nulls are left out.
func separation(col, late []string) float64 {
	type point struct {
		x    float64
		late bool
	}
	var list []point
	for i, s := range col {
		if x, err := strconv.ParseFloat(s, 64); err == nil {
			list = append(list, point{x, late[i] == "1"})
		}
	}
	slices.SortFunc(list, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	var ranks, pos float64
	for i := 0; i < len(list); {
		j := i
		for j < len(list) && list[j].x == list[i].x {
			j++
		}
		for _, p := range list[i:j] {
			if p.late {
				pos++
				ranks += float64(i+j+1) / 2 // the mean rank of equals
			}
		}
		i = j
	}
	neg := float64(len(list)) - pos
	if pos == 0 || neg == 0 {
		return 0
	}
	auc := (ranks - pos*(pos+1)/2) / (pos * neg)
	return max(auc, 1-auc)
}

// TestFlightsValues computes features of some flights by going through all events.
func TestFlightsValues(t *testing.T) {
	list := fortnight(t)
	dep, arr := flights.Departures(list), flights.Arrivals(list)
	store := streamFlights(t, dep, arr)
	rows := flights.Sample(flights.Examples(list, event.MaxTime), 50)
	cols := columns(t, table(t, store, spineOf(t, rows, asked), risk))
	check := func(i int, name string, want float64) {
		t.Helper()
		got, err := strconv.ParseFloat(cols[name][i], 64)
		if math.IsNaN(want) && cols[name][i] == "" {
			return
		}
		if err != nil || math.Abs(got-want) > 1e-9*max(1, math.Abs(want)) {
			t.Errorf("%s: %s: got %q, want %v", rows[i].ID(), name, cols[name][i], want)
		}
	}
	delays := func(f func(flights.Event) bool, events []flights.Event, of func(*flights.Flight) int) []float64 {
		var out []float64
		for _, e := range events {
			if f(e) {
				out = append(out, float64(of(e.Flight)))
			}
		}
		return out
	}
	for i, row := range rows {
		now := asked(row)
		within := func(e flights.Event, d event.Duration) bool { return e.Time < now && e.Time >= now.Add(-d) }
		air := delays(func(e flights.Event) bool { return e.Flight.Origin == row.Origin && within(e, 3*event.Hour) }, dep,
			func(f *flights.Flight) int { return f.DepDelay })
		check(i, "departures_3h", float64(len(air)))
		check(i, "dep_delay_avg_3h", mean(air))
		line := delays(func(e flights.Event) bool { return e.Flight.Carrier == row.Carrier && within(e, event.Day) }, arr,
			func(f *flights.Flight) int { return f.ArrDelay })
		check(i, "airline_arrivals_24h", float64(len(line)))
		check(i, "airline_delay_avg_24h", mean(line))
		craft := delays(func(e flights.Event) bool { return e.Flight.Tail == row.Tail && e.Time < now }, arr,
			func(f *flights.Flight) int { return f.ArrDelay })
		last := math.NaN()
		if len(craft) > 0 {
			last = craft[len(craft)-1]
		}
		check(i, "aircraft_last_delay", last)
		check(i, "aircraft_delay_avg_last_5", mean(craft[max(0, len(craft)-5):]))
	}
}

// mean is NaN of nothing.
func mean(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return sum / float64(len(list))
}
