package feature

import (
	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// A view of several sources tells their partitions apart by a lane: partition·n + the source's place among
// the n sources of the view. In a view of one source the lane is the partition. Rows, heads, blocks and
// cuts know lanes only.

// lanes maps positions to lanes.
type lanes []uint16 // Source.Index of the view's sources, in order

func lanesOf(v *pipeline.View) (out lanes) {
	for _, b := range v.Branches() {
		out = append(out, b.Source.Index)
	}
	return out
}

// of is the lane of a position.
func (l lanes) of(p event.Position) int32 {
	if len(l) == 1 {
		return p.Partition
	}
	for i, source := range l {
		if source == p.Source {
			return p.Partition*int32(len(l)) + int32(i)
		}
	}
	panic("feature: a row of a source that its view does not read")
}

// source tells where a lane comes from.
func (l lanes) source(lane int32) (index uint16, partition int32) {
	n := int32(len(l))
	if n == 1 {
		return l[0], lane
	}
	return l[lane%n], lane / n
}

// sourceView is a view as one of its sources feeds it.
type sourceView struct {
	*view
	branch *pipeline.Branch
}

// lane is the lane of one of a source's partitions in v.
func (v *view) lane(src *source, partition int32) int32 {
	return v.c.lanes.of(event.Position{Source: src.plan.Index, Partition: partition})
}

// restart is the durable restart offset of a lane.
func (v *view) restart(lane int32) int64 {
	i, partition := v.c.lanes.source(lane)
	for _, src := range v.srcs {
		if src.plan.Index == i {
			return src.restart(partition)
		}
	}
	return 0
}

// watermark is the least watermark of the view's sources; MinTime while one has none.
func (v *view) watermark(of func(src *source) event.Time) event.Time {
	wm := event.MaxTime
	for _, src := range v.srcs {
		wm = min(wm, of(src))
	}
	return wm
}

func newestWatermark(src *source) event.Time { return event.Time(src.minWM.Load()) }

// lost tells whether records of one of the sources were lost.
func (v *view) lost() bool {
	for _, src := range v.srcs {
		if src.lost.Load() {
			return true
		}
	}
	return false
}
