package window

import (
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

func TestRange(t *testing.T) {
	hour := Spec{Kind: Rolling, Size: event.Hour}
	for _, c := range []struct {
		s          Spec
		at         event.Time
		start, end event.Time
	}{
		{hour, event.Time(event.Hour), 0, event.Time(event.Hour)},
		{hour, 0, -event.Time(event.Hour), 0}, // before 1970 as after
		{hour, event.MinTime + 1, event.MinTime, event.MinTime + 1},
		{hour, event.MaxTime, event.MaxTime - event.Time(event.Hour), event.MaxTime},
		{Spec{Kind: Lifetime}, 5, event.MinTime, 5},
		{Spec{Kind: LastN, N: 3}, 5, event.MinTime, 5},
	} {
		if start, end := c.s.Range(c.at); start != c.start || end != c.end {
			t.Errorf("%s as of %d is [%d, %d), want [%d, %d)", c.s, c.at, start, end, c.start, c.end)
		}
	}
}

// A rolling window never holds the instant itself, always holds the one before, is as long as it
// says, and moves as the instant does.
func TestRollingWindows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		s := Spec{Kind: Rolling, Size: event.Duration(1 + r.Int64N(int64(100*event.Day)))}
		at := event.Time(r.Int64N(1<<60) - 1<<59)
		start, end := s.Range(at)
		if end != at || end.Sub(start) != s.Size || start >= at {
			t.Fatalf("%s as of %d is [%d, %d)", s, at, start, end)
		}
		if next, _ := s.Range(at + 1); next != start+1 {
			t.Fatalf("%s starts at %d as of %d, and at %d one microsecond later", s, start, at, next)
		}
	}
}

func TestReach(t *testing.T) {
	for _, c := range []struct {
		s  Spec
		d  event.Duration
		ok bool
	}{
		{Spec{Kind: Rolling, Size: event.Day}, event.Day, true},
		{Spec{Kind: Lifetime}, 0, false},
		{Spec{Kind: LastN, N: 10}, 0, false},
	} {
		if d, ok := c.s.Reach(); d != c.d || ok != c.ok {
			t.Errorf("%s reaches %s %v, want %s %v", c.s, d, ok, c.d, c.ok)
		}
	}
}

func TestString(t *testing.T) {
	for want, s := range map[string]Spec{
		"1h":       {Kind: Rolling, Size: event.Hour},
		"1d12h":    {Kind: Rolling, Size: 36 * event.Hour},
		"1w":       {Kind: Rolling, Size: 7 * event.Day},
		"lifetime": {Kind: Lifetime},
		"last 10":  {Kind: LastN, N: 10},
	} {
		if got := s.String(); got != want {
			t.Errorf("%#v is written %s, want %s", s, got, want)
		}
		if s.Kind == Rolling { // what users read can be written
			if d, err := event.ParseDuration(want); err != nil || d != s.Size {
				t.Errorf("%s reads as %v, %v", want, d, err)
			}
		}
	}
}
