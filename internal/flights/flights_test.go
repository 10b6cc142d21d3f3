package flights

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/penstock-ml/penstock/event"
)

func at(t *testing.T, s string) event.Time {
	t.Helper()
	x, err := event.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestCounts compares with what DATA.md says, which was counted in the tables themselves.
func TestCounts(t *testing.T) {
	var cancelled, noArrival, arrived, noTail, late int
	for _, f := range All() {
		switch {
		case !f.Departed:
			cancelled++
		case !f.Arrived:
			noArrival++
		default:
			arrived++
			if f.Late() {
				late++
			}
		}
		if f.Tail == "" {
			noTail++
			if f.Departed {
				t.Errorf("%s departed without a tail number", f.ID())
			}
		}
	}
	got := []int{len(All()), cancelled, noArrival, arrived, noTail, late}
	if want := []int{336776, 8255, 458 + 717, 327346, 2512, 77630}; !slices.Equal(got, want) {
		t.Errorf("flights, cancelled, without arrival, arrived, without tail, late: got %v, want %v", got, want)
	}
	if len(packed) > 3<<20 {
		t.Errorf("the pack has %d bytes", len(packed))
	}
}

// TestKnown compares with rows of flights.csv, read by hand.
func TestKnown(t *testing.T) {
	for _, want := range []struct {
		id, tail, dest, departure, arrival string
		distance, air                      int
	}{
		// 1 January, 5:17 to 8:30 in Houston, on Central time.
		{"UA1545-EWR-2013-01-01T10:15Z", "N14228", "IAH", "2013-01-01T10:17:00Z", "2013-01-01T14:30:00Z", 1400, 227},
		// 5:44 to 10:04 in Aguadilla, on Atlantic time, which airports.csv lacks.
		{"B6725-JFK-2013-01-01T10:45Z", "N804JB", "BQN", "2013-01-01T10:44:00Z", "2013-01-01T14:04:00Z", 1576, 183},
		// 9 March, 23:06 to 3:03 in Palm Beach, over the beginning of summer time; the table says 2:03.
		{"B635-JFK-2013-03-10T02:45Z", "N658JB", "PBI", "2013-03-10T04:06:00Z", "2013-03-10T07:03:00Z", 1028, 141},
	} {
		i := slices.IndexFunc(All(), func(f Flight) bool { return f.ID() == want.id })
		if i < 0 {
			t.Errorf("%s is missing", want.id)
			continue
		}
		f := All()[i]
		if f.Tail != want.tail || f.Dest != want.dest || f.Distance != want.distance || f.AirTime != want.air ||
			f.Departure() != at(t, want.departure) || f.Arrival() != at(t, want.arrival) {
			t.Errorf("got %+v, left %s, arrived %s", f, f.Departure(), f.Arrival())
		}
	}
}

// TestPlausible checks instants against what does not come from clocks: a flight takes the time in the
// air and some on the ground, and flies at the speed of an aircraft.
func TestPlausible(t *testing.T) {
	slow := 0
	for _, f := range All() {
		if !f.Arrived {
			continue
		}
		ground := int(f.Arrival().Sub(f.Departure())/event.Minute) - f.AirTime
		if ground <= 0 || ground >= 240 {
			t.Errorf("%s: %d minutes on the ground", f.ID(), ground)
		}
		if speed := float64(f.Distance) / (float64(f.AirTime) / 60); speed < 120 || speed > 700 {
			slow++
		}
		if f.Scheduled.Sub(f.Departure()) >= Foresight {
			t.Errorf("%s left %s before its schedule: a prediction would come too late", f.ID(), f.Scheduled.Sub(f.Departure()))
		}
	}
	if slow > 327346/1000 {
		t.Errorf("%d flights have an odd speed", slow)
	}
	seen := map[string]bool{}
	for i := range All() {
		id := All()[i].ID()
		if seen[id] {
			t.Fatalf("%s stands twice", id)
		}
		seen[id] = true
	}
}

// TestPack packs what was unpacked, in another order, and gets the same bytes.
func TestPack(t *testing.T) {
	list := slices.Clone(All())
	if !slices.IsSortedFunc(list, compareSchedule) {
		t.Error("All is not in order of schedule")
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	b, err := Pack(list)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Unpack(b)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again, All()) {
		t.Error("pack and unpack change the flights")
	}
	if !bytes.Equal(b, packed) {
		t.Error("the pack of the binary is not what Pack writes: run internal/flights/pack again")
	}
}

func TestUnpackDamaged(t *testing.T) {
	b, err := Pack(All()[:200])
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := Unpack(b[:n]); err == nil {
			t.Fatalf("a pack cut to %d of %d bytes is taken", n, len(b))
		}
	}
	if _, err := Unpack(append(slices.Clone(b), 0)); err == nil {
		t.Error("a pack with a byte too many is taken")
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 { // must not panic
		d := slices.Clone(b)
		d[r.IntN(len(d))] ^= byte(1 + r.IntN(255))
		_, _ = Unpack(d)
	}
}

// TestAvro decodes what is produced by another implementation.
func TestAvro(t *testing.T) {
	for name, appendTo := range map[string]func([]byte, *Flight) []byte{"departures": AppendDeparture, "arrivals": AppendArrival} {
		text, err := os.ReadFile("../../examples/flights/" + name + ".avsc")
		if err != nil {
			t.Fatal(err)
		}
		codec, err := goavro.NewCodec(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(All()); i += 997 {
			f := &All()[i]
			if !f.Arrived {
				continue
			}
			got, rest, err := codec.NativeFromBinary(appendTo(nil, f))
			if err != nil || len(rest) > 0 {
				t.Fatalf("%s: %v, %d bytes left", name, err, len(rest))
			}
			m := got.(map[string]any)
			again, err := codec.BinaryFromNative(nil, m)
			if err != nil || !bytes.Equal(again, appendTo(nil, f)) {
				t.Errorf("%s: %v: goavro writes %x", name, err, again)
			}
			if m["flight_id"] != f.ID() || m["tailnum"] != f.Tail || m["carrier"] != f.Carrier || m["origin"] != f.Origin ||
				m["dest"] != f.Dest || m["distance"] != int32(f.Distance) {
				t.Errorf("%s of %+v: got %v", name, f, m)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	dep, arr := Departures(All()), Arrivals(All())
	if len(dep) != 328521 || len(arr) != 327346 {
		t.Errorf("%d departures, %d arrivals", len(dep), len(arr))
	}
	byTime := func(a, b Event) int { return cmp.Compare(a.Time, b.Time) }
	if !slices.IsSortedFunc(dep, byTime) || !slices.IsSortedFunc(arr, byTime) {
		t.Error("not in order of time")
	}
	cut := at(t, "2013-06-01T00:00:00Z")
	before, from := Split(arr, cut)
	if len(before)+len(from) != len(arr) || before[len(before)-1].Time >= cut || from[0].Time < cut {
		t.Error("Split cuts elsewhere")
	}
	if known := Examples(All(), cut); len(known) != len(before) {
		t.Errorf("%d flights arrived, %d have a label", len(before), len(known))
	}
	if n := len(Before(All(), cut)); All()[n-1].Scheduled >= cut || All()[n].Scheduled < cut {
		t.Error("Before cuts elsewhere")
	}
}

func TestSpine(t *testing.T) {
	rows := Sample(Examples(All(), event.MaxTime), 100_000)
	var b strings.Builder
	if err := WriteSpine(&b, rows); err != nil {
		t.Fatal(err)
	}
	want := "flight_id,event_time,origin,carrier,tailnum,dest,scheduled,distance,late\n" +
		"UA1545-EWR-2013-01-01T10:15Z,2013-01-01T09:15:00.000000Z,EWR,UA,N14228,IAH,2013-01-01T10:15:00Z,1400,0\n"
	if !strings.HasPrefix(b.String(), want) || strings.Count(b.String(), "\n") != 1+4 {
		t.Errorf("got\n%s", b.String())
	}
	if r := LateShare(Examples(All(), event.MaxTime)); math.Abs(r-0.23715) > 1e-5 {
		t.Errorf("label rate %v", r)
	}
}
