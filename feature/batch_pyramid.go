package feature

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// pyramid sums things up that follow each other in time, for each plane of a query: a sum of level 0 is one
// thing, one of a higher level unites fan of the level below. Sums are made when they are first needed.
type pyramid struct {
	levels []pyramidLevel
	planes int
}

// fan is how many sums one of the next level unites.
const fan = 4

type pyramidLevel struct {
	arrived []event.Time   // when all of each had arrived
	sums    []*agg.Partial // by plane, then thing; nil: not made yet
}

// things are what a pyramid is laid over: the leaves of an archive, or runs of rows.
type things interface {
	// sum adds all of thing i to p.
	sum(ix *entityIndex, i int, p *agg.Partial) error
	// some counts those rows of thing i that belong to the past that is asked for.
	some(ix *entityIndex, i int) error
}

// begin empties p and returns room for when each of n things had arrived.
func (p *pyramid) begin(n int) []event.Time {
	p.level(0, n)
	return p.levels[0].arrived
}

// level makes level l one of n sums, and the last.
func (p *pyramid) level(l, n int) {
	if l == cap(p.levels) {
		p.levels = append(p.levels[:l], pyramidLevel{})
	}
	p.levels = p.levels[:l+1]
	p.levels[l].arrived = resize(p.levels[l].arrived, n)
}

// finish lays the higher levels.
func (p *pyramid) finish(planes int) {
	p.planes = planes
	for l := 0; ; l++ {
		below := p.levels[l].arrived
		p.levels[l].sums = resize(p.levels[l].sums, planes*len(below))
		clear(p.levels[l].sums)
		if len(below) <= fan {
			return
		}
		p.level(l+1, (len(below)+fan-1)/fan)
		for i := range p.levels[l+1].arrived {
			p.levels[l+1].arrived[i] = slices.Max(below[i*fan : min((i+1)*fan, len(below))])
		}
	}
}

// arrived is when all had arrived.
func (p *pyramid) arrived() event.Time {
	latest := event.MinTime
	for _, t := range p.levels[len(p.levels)-1].arrived {
		latest = max(latest, t)
	}
	return latest
}

// maxPool bounds how many partials of a plane wait for another use.
const maxPool = 1 << 12

// clear gives the sums back.
func (p *pyramid) clear(ix *entityIndex) {
	for l := range p.levels {
		lv := &p.levels[l]
		n := len(lv.arrived)
		for i, s := range lv.sums {
			if s != nil && len(ix.pools[i/n]) < maxPool {
				s.Reset()
				ix.pools[i/n] = append(ix.pools[i/n], s)
			}
			lv.sums[i] = nil
		}
	}
}

// unite counts the things [i, j) in the segment that ix gathers.
func (p *pyramid) unite(ix *entityIndex, of things, i, j int) error {
	for l := 0; i < j; l++ {
		top := l == len(p.levels)-1
		for ; i < j && (top || i%fan != 0); i++ {
			if err := p.count(ix, of, l, i); err != nil {
				return err
			}
		}
		for ; i < j && j%fan != 0; j-- {
			if err := p.count(ix, of, l, j-1); err != nil {
				return err
			}
		}
		i, j = i/fan, j/fan
	}
	return nil
}

// count counts what sum i of level l holds: by it if all of it belongs to the past that is asked for.
func (p *pyramid) count(ix *entityIndex, of things, l, i int) error {
	if p.levels[l].arrived[i] > ix.sc.arrived {
		if ix.sc.served {
			return p.descend(ix, of, l, i)
		}
		ix.sc.later = true
	}
	s, err := p.sum(ix, of, l, i)
	if err != nil {
		return err
	}
	ix.pl.part(ix.part).Merge(s)
	return nil
}

func (p *pyramid) descend(ix *entityIndex, of things, l, i int) error {
	if l == 0 {
		return of.some(ix, i)
	}
	for c := i * fan; c < min((i+1)*fan, len(p.levels[l-1].arrived)); c++ {
		if err := p.count(ix, of, l-1, c); err != nil {
			return err
		}
	}
	return nil
}

// sum is sum i of level l.
func (p *pyramid) sum(ix *entityIndex, of things, l, i int) (*agg.Partial, error) {
	at := ix.plane*len(p.levels[l].arrived) + i
	if s := p.levels[l].sums[at]; s != nil {
		return s, nil
	}
	s := ix.partial()
	if l == 0 {
		if err := of.sum(ix, i, s); err != nil {
			return nil, err
		}
	} else {
		for c := i * fan; c < min((i+1)*fan, len(p.levels[l-1].arrived)); c++ {
			below, err := p.sum(ix, of, l-1, c)
			if err != nil {
				return nil, err
			}
			s.Merge(below)
		}
	}
	p.levels[l].sums[at] = s
	return s, nil
}

// partial is an empty partial of the plane that ix gathers.
func (ix *entityIndex) partial() *agg.Partial {
	if pool := ix.pools[ix.plane]; len(pool) > 0 {
		s := pool[len(pool)-1]
		ix.pools[ix.plane] = pool[:len(pool)-1]
		return s
	}
	return agg.NewPartial(ix.pl.layout, ix.pl.q.groups)
}
