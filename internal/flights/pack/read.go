package main

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/flights"
)

// origin is the zone of the three airports of New York City.
const origin = "America/New_York"

// absent are the destinations without a row in airports.csv: Aguadilla, Ponce and San Juan in Puerto
// Rico, and Saint Thomas in the Virgin Islands, all of them at UTC-4 without summer time.
var absent = map[string]string{
	"BQN": "America/Puerto_Rico", "PSE": "America/Puerto_Rico", "SJU": "America/Puerto_Rico", "STT": "America/St_Thomas",
}

// counts says what was done with the rows.
type counts struct {
	rows, arrived, cancelled, noArrival, noDelay, noTail, noTailDeparted, absent, summer int
}

func (c counts) String() string {
	var b strings.Builder
	line := func(n int, what string) { fmt.Fprintf(&b, "%7d %s\n", n, what) }
	line(c.rows, "flights")
	line(c.arrived, "with a departure and an arrival")
	line(c.cancelled, "cancelled: no event")
	line(c.noArrival, "departed, without an arrival: a departure only")
	line(c.noDelay, "departed and arrived without a recorded delay (diverted): a departure only")
	line(c.noTail, "without a tail number")
	line(c.noTailDeparted, "of these departed")
	line(c.absent, "to airports that airports.csv lacks: zone from a table")
	line(c.summer, "arrived within an hour that the clock skipped or repeated: schedule and delay decide")
	return b.String()
}

// read reads the tables of a folder.
func read(dir string) ([]flights.Flight, counts, error) {
	var c counts
	zones, err := readZones(filepath.Join(dir, "airports.csv"))
	if err != nil {
		return nil, c, err
	}
	path := filepath.Join(dir, "flights.csv")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		path += ".gz"
	}
	var list []flights.Flight
	err = eachRow(path, func(row map[string]string) error {
		r := record{row: row, zones: zones}
		f := r.flight(&c)
		if r.err != nil {
			return r.err
		}
		list = append(list, f)
		return nil
	})
	return list, c, err
}

func readZones(path string) (map[string]*time.Location, error) {
	zones := map[string]*time.Location{}
	add := func(code, name string) (err error) {
		zones[code], err = time.LoadLocation(name)
		return err
	}
	err := eachRow(path, func(row map[string]string) error {
		if z := row["tzone"]; strings.Contains(z, "/") {
			return add(row["faa"], z)
		}
		return nil
	})
	for code, zone := range absent {
		if err == nil {
			if zones[code] != nil {
				return nil, fmt.Errorf("read %s: it has a row of %s: take it out of the table of absent airports", path, code)
			}
			err = add(code, zone)
		}
	}
	return zones, err
}

// eachRow calls f with every row of a CSV file by column name.
func eachRow(path string, f func(map[string]string) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	defer func() { _ = file.Close() }()
	var in io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	r := csv.NewReader(in)
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		row := map[string]string{}
		for i, v := range rec {
			row[header[i]] = v
		}
		if err == nil {
			err = f(row)
		}
		if err != nil {
			line, _ := r.FieldPos(0)
			return fmt.Errorf("read %s, line %d: %w", path, line, err)
		}
	}
}

// record is one row of flights.csv; the first mistake sticks.
type record struct {
	row   map[string]string
	zones map[string]*time.Location
	err   error
}

func (r *record) missing(col string) bool { return r.row[col] == "NA" || r.row[col] == "" }

func (r *record) int(col string) int {
	n, err := strconv.Atoi(r.row[col])
	r.must(err == nil, "column %s: %q is not a number", col, r.row[col])
	return n
}

func (r *record) must(ok bool, format string, args ...any) {
	if !ok && r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// clock is the first instant from t on at which clocks in zone show hhmm. The day's end is 2400.
func clock(t event.Time, hhmm int, zone *time.Location) event.Time {
	l := t.Go().In(zone)
	at := func(days int) time.Time {
		return time.Date(l.Year(), l.Month(), l.Day()+days, hhmm/100%24, hhmm%100, 0, 0, zone)
	}
	if c := at(0); event.FromGo(c) >= t {
		return event.FromGo(c)
	}
	return event.FromGo(at(1))
}

// flight reads the row. What can be said in two ways is compared: the departure's hour in UTC and by
// the clock of New York, times and delays.
func (r *record) flight(c *counts) flights.Flight {
	f := flights.Flight{
		Carrier: r.row["carrier"], Number: r.int("flight"), Origin: r.row["origin"], Dest: r.row["dest"],
		Distance: r.int("distance"),
	}
	hour, err := event.ParseTime(r.row["time_hour"])
	r.must(err == nil, "column time_hour: %v", err)
	f.Scheduled = hour.Add(event.Duration(r.int("minute")) * event.Minute)
	here, err := time.LoadLocation(origin)
	r.must(err == nil, "%v", err)
	if r.err != nil {
		return f
	}
	local := f.Scheduled.Go().In(here)
	r.must(local.Hour()*100+local.Minute() == r.int("sched_dep_time") && local.Day() == r.int("day") && int(local.Month()) == r.int("month"),
		"time_hour %s is not the schedule's %s", r.row["time_hour"], r.row["sched_dep_time"])
	c.rows++
	if _, ok := absent[f.Dest]; ok {
		c.absent++
	}
	if r.missing("tailnum") {
		c.noTail++
	} else {
		f.Tail = r.row["tailnum"]
	}
	if f.Departed = !r.missing("dep_time"); !f.Departed {
		c.cancelled++
		return f
	}
	if f.Tail == "" {
		c.noTailDeparted++
	}
	f.DepDelay = r.int("dep_delay")
	left := f.Departure().Go().In(here)
	r.must(left.Hour()*100+left.Minute() == r.int("dep_time")%2400, "dep_time and dep_delay disagree")
	switch {
	case r.missing("arr_time"):
		c.noArrival++
		return f
	case r.missing("arr_delay"):
		c.noDelay++
		return f
	}
	c.arrived++
	r.arrival(&f, c)
	return f
}

// arrival reads the arrival of a flight that has one. sched_arr_time and arr_time are by the clock at the
// destination, without a date: each is taken at its first occurrence after the departure. In the two
// nights when summer time begins and ends, a clock's time may mean no instant, or two.
func (r *record) arrival(f *flights.Flight, c *counts) {
	zone := r.zones[f.Dest]
	r.must(zone != nil, "airport %s has no zone", f.Dest)
	if r.err != nil {
		return
	}
	f.Arrived, f.ArrDelay, f.AirTime = true, r.int("arr_delay"), r.int("air_time")
	f.Block = int(clock(f.Scheduled, r.int("sched_arr_time"), zone).Sub(f.Scheduled) / event.Minute)
	switch off := f.Arrival().Sub(clock(f.Departure(), r.int("arr_time"), zone)); {
	case off == 0:
	case (off == event.Hour || off == -event.Hour) && changes(f.Arrival(), zone):
		c.summer++
	default:
		r.must(false, "arr_time, sched_arr_time and arr_delay disagree by %s", off)
	}
	ground := int(f.Arrival().Sub(f.Departure())/event.Minute) - f.AirTime
	r.must(ground > 0 && ground < 240, "%d minutes between departure and arrival were not in the air", ground)
}

// changes tells whether summer time begins or ends in zone within two hours of t.
func changes(t event.Time, zone *time.Location) bool {
	_, before := t.Add(-2 * event.Hour).Go().In(zone).Zone()
	_, after := t.Add(2 * event.Hour).Go().In(zone).Zone()
	return before != after
}
