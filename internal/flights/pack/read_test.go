package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/internal/flights"
)

const (
	header   = "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"
	airports = "faa,name,lat,lon,alt,tz,dst,tzone\nIAH,Houston,29,-95,97,-6,A,America/Chicago\nPBI,Palm Beach,26,-80,19,-5,A,America/New_York\nHNL,Honolulu,21,-157,13,-10,N,Pacific/Honolulu\nXXX,no zone,0,0,0,0,N,\\N\n"
)

// tables writes both tables into a new folder, that of flights compressed.
func tables(t *testing.T, airports, rows string) string {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(header + rows))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"airports.csv": airports, "flights.csv.gz": b.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRead(t *testing.T) {
	rows := strings.Join([]string{
		"2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z",     // to the west
		"2013,1,1,544,545,-1,1004,1022,-18,B6,725,N804JB,JFK,BQN,183,1576,5,45,2013-01-01T10:00:00Z",  // zone from the table
		"2013,3,9,2306,2145,81,203,34,89,B6,35,N658JB,JFK,PBI,141,1028,21,45,2013-03-10T02:00:00Z",    // 2:03 did not exist
		"2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,IAH,NA,266,16,30,2013-01-01T21:00:00Z",     // cancelled
		"2013,1,2,NA,1545,NA,NA,1910,NA,AA,133,NA,JFK,IAH,NA,2475,15,45,2013-01-02T20:00:00Z",         // and without a tail number
		"2013,1,1,1525,1530,-5,1934,1805,NA,MQ,4525,N719MQ,LGA,IAH,NA,447,15,30,2013-01-01T20:00:00Z", // diverted
		"2013,1,1,2016,1930,46,NA,2220,NA,EV,4204,N14168,EWR,IAH,NA,1092,19,30,2013-01-02T00:00:00Z",  // no arrival
		"2013,1,1,857,900,-3,1516,1530,-14,HA,51,N380HA,JFK,HNL,659,4983,9,0,2013-01-01T14:00:00Z",    // five zones west
		"2013,1,5,2400,2359,1,443,437,6,B6,739,N613JB,JFK,PSE,195,1617,23,59,2013-01-06T04:00:00Z",    // at midnight
	}, "\n") + "\n"
	out := filepath.Join(t.TempDir(), "out.pack")
	var said, errs bytes.Buffer
	if code := run([]string{tables(t, airports, rows), out}, &said, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	list, err := flights.Unpack(b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		s := f.ID() + " " + f.Tail
		if f.Departed {
			s += " left " + f.Departure().String()
		}
		if f.Arrived {
			s += " arrived " + f.Arrival().String()
		}
		got = append(got, s)
	}
	want := []string{
		"UA1545-EWR-2013-01-01T10:15Z N14228 left 2013-01-01T10:17:00.000000Z arrived 2013-01-01T14:30:00.000000Z",
		"B6725-JFK-2013-01-01T10:45Z N804JB left 2013-01-01T10:44:00.000000Z arrived 2013-01-01T14:04:00.000000Z",
		"HA51-JFK-2013-01-01T14:00Z N380HA left 2013-01-01T13:57:00.000000Z arrived 2013-01-02T01:16:00.000000Z",
		"MQ4525-LGA-2013-01-01T20:30Z N719MQ left 2013-01-01T20:25:00.000000Z",
		"EV4308-EWR-2013-01-01T21:30Z N18120",
		"EV4204-EWR-2013-01-02T00:30Z N14168 left 2013-01-02T01:16:00.000000Z",
		"AA133-JFK-2013-01-02T20:45Z ",
		"B6739-JFK-2013-01-06T04:59Z N613JB left 2013-01-06T05:00:00.000000Z arrived 2013-01-06T08:43:00.000000Z",
		"B635-JFK-2013-03-10T02:45Z N658JB left 2013-03-10T04:06:00.000000Z arrived 2013-03-10T07:03:00.000000Z",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	for _, line := range []string{"9 flights\n", "5 with a departure and", "2 cancelled", "1 departed, without", "1 departed and", "1 without a tail", "0 of these", "2 to airports", "1 arrived within"} {
		if !strings.Contains(said.String(), " "+line) {
			t.Errorf("%q is missing in\n%s", line, said.String())
		}
	}
}

// TestContradictions changes one column of a good row at a time.
func TestContradictions(t *testing.T) {
	good := "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
	for _, c := range []struct{ from, to, want string }{
		{"T10:00", "T11:00", "is not the schedule's"},
		{",517,", ",518,", "dep_time and dep_delay disagree"},
		{",830,", ",831,", "arr_time, sched_arr_time and arr_delay disagree by"},
		{",227,", ",300,", "were not in the air"},
		{",IAH,", ",XXX,", "airport XXX has no zone"},
		{",1545,", ",x,", `column flight: "x" is not a number`},
	} {
		_, _, err := read(tables(t, airports, strings.Replace(good, c.from, c.to, 1)+"\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s for %s: got %v, want %q", c.to, c.from, err, c.want)
		}
	}
	if _, _, err := read(tables(t, airports+"BQN,Aguadilla,18,-67,237,-4,N,America/Puerto_Rico\n", good+"\n")); err == nil {
		t.Error("an airport both in the table and in the program is taken")
	}
	var out, errs bytes.Buffer
	if code := run(nil, &out, &errs); code != 2 {
		t.Errorf("exit code %d", code)
	}
}
