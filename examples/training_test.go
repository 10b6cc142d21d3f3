package examples_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/flights"
)

// declaredTable exports what training.yaml declares and reads it.
func declaredTable(t *testing.T, store *feature.Store, name string) (*export.Report, map[string][]string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.csv")
	rep, err := export.FromStore(t.Context(), store, export.Request{Export: name, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return rep, columns(t, string(b))
}

// TestFlightsTraining compares the declared training tables with what became of each flight.
func TestFlightsTraining(t *testing.T) {
	list := fortnight(t)
	dep, arr := flights.Departures(list), flights.Arrivals(list)
	store := streamFlightsTo(t, "flights/training.yaml", dep, arr)
	byID := map[string]*flights.Flight{}
	last := arr[len(arr)-1].Time
	for i := range list {
		byID[list[i].ID()] = &list[i]
	}

	rep, cols := declaredTable(t, store, "departures")
	nulls := 0
	for i, id := range cols["flight_id"] {
		f := byID[id]
		if cols["event_time"][i] != f.Departure().String() || cols["origin"][i] != f.Origin {
			t.Fatalf("row of %s: %s at %s", id, cols["origin"][i], cols["event_time"][i])
		}
		want := ""
		if f.Arrived && f.Arrival() < f.Departure().Add(event.Day) {
			want = strconv.Itoa(f.ArrDelay)
		} else {
			nulls++
		}
		if got := cols["arrival_delay"][i]; got != want {
			t.Errorf("%s: label %q, want %q", id, got, want)
		}
		part := "train"
		if f.Departure() >= instant(t, "2013-01-09T00:00:00Z") {
			part = "test"
		}
		if cols["split"][i] != part {
			t.Errorf("%s left at %s and is in %s", id, f.Departure(), cols["split"][i])
		}
	}
	rows, gap := 0, int64(0)
	for _, e := range dep {
		switch {
		case e.Time >= instant(t, "2013-01-08T00:00:00Z") && e.Time < instant(t, "2013-01-09T00:00:00Z"):
			gap++
		case e.Time.Add(event.Day) <= last: // about: each partition has a watermark of its own
			rows++
		}
	}
	if rep.LeftOut.Gap != gap || rep.LeftOut.Unripe == 0 || int(rep.Rows) > rows || int(rep.Rows) < rows*9/10 || nulls == 0 {
		t.Errorf("%d rows of about %d, %d without a label, %+v", rep.Rows, rows, nulls, *rep.LeftOut)
	}

	rep, cols = declaredTable(t, store, "late_flights")
	part := map[string]string{}
	for i, id := range cols["flight_id"] {
		f := byID[id]
		if was, ok := part[f.Tail]; ok && was != cols["split"][i] {
			t.Errorf("aircraft %s is in both parts", f.Tail)
		}
		part[f.Tail] = cols["split"][i]
		want, weight := "", "1"
		switch {
		case !f.Arrived || f.Arrival() >= f.Departure().Add(event.Day):
		case f.ArrDelay >= 16:
			want = "1"
		case f.ArrDelay < 11:
			want, weight = "0", "4"
		default:
			want = "neutral"
		}
		if cols["late"][i] != want || cols["weight"][i] != weight {
			t.Errorf("%s arrived %d minutes late: label %q, weight %s", id, f.ArrDelay, cols["late"][i], cols["weight"][i])
		}
	}
	if rep.LeftOut.Neutral == 0 || rep.LeftOut.Rebalanced == 0 {
		t.Errorf("%+v", *rep.LeftOut)
	}

	_, cols = declaredTable(t, store, "airports_by_day")
	if days := len(cols["origin"]); days < 3*10 || days%3 != 0 {
		t.Errorf("%d rows of three airports: %v", days, cols["event_time"])
	}
}
