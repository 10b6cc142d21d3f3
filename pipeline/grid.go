package pipeline

import (
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/window"
)

// GridInstant is one instant of a grid: a multiple of its step, or the beginning of a date in its zone.
type GridInstant struct {
	event.Time
	grid *Grid
	day  int64 // since 1970-01-01, of a grid of days
}

// First is the first instant of the grid at or after from.
func (g *Grid) First(from event.Time) GridInstant {
	x := GridInstant{grid: g}
	if g.Days == 0 {
		step := event.Time(g.Every)
		x.Time = from - ((from%step)+step)%step // floors
		if x.Time < from {
			x.Time = x.Add(g.Every)
		}
		return x
	}
	y, m, d := from.Go().In(g.Zone).Date()
	x.day = time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
	x.day -= ((x.day % int64(g.Days)) + int64(g.Days)) % int64(g.Days)
	for x.Time = x.midnight(); x.Time < from; x = x.Next() {
	}
	return x
}

// Next is the instant behind x.
func (x GridInstant) Next() GridInstant {
	if x.grid.Days == 0 {
		x.Time = x.Add(x.grid.Every)
		return x
	}
	for before := x.Time; x.Time <= before; x.Time = x.midnight() { // a zone may have skipped a whole date
		x.day += int64(x.grid.Days)
	}
	return x
}

// midnight is the first instant of the date in the zone: where clocks skip 00:00, a later one.
func (x GridInstant) midnight() event.Time {
	y, m, d := time.Unix(x.day*24*60*60, 0).UTC().Date()
	return window.StartOfDate(y, m, d, x.grid.Zone)
}
