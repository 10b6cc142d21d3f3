package feature

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

// written is where a row begins in a batch, so that it can be taken back.
type written struct {
	batch   *batch
	size    int
	arrival event.Time
}

// flatten counts a record as a row for each element of an array. All of them count or none: one element
// that is dead makes the record a dead letter, so that nothing of it is counted twice when it is sent
// again. A record without elements that pass is filtered.
func (p *Partition) flatten(v sourceView, r *Record, t, watermark event.Time) int {
	n, err := p.elements(v, r)
	if err != nil {
		p.deadLetter(r, v.plan.Name, "flatten", err.Error())
		return dead
	}
	p.undo = p.undo[:0]
	p.flat = append(p.flat[:0], r.Slots...)
	outcome := filtered
	for i := range n {
		for j, slot := range v.branch.Flatten {
			p.flat[slot] = p.items[j][i]
		}
		switch p.rowOf(v, r, p.flat, int32(i), t, watermark) {
		case dead:
			p.takeBack()
			return dead
		case late: // so are all that pass
			return late
		case applied:
			outcome = applied
		}
	}
	return outcome
}

// elements splits the arrays of a record and tells how many elements they have.
func (p *Partition) elements(v sourceView, r *Record) (n int, err error) {
	for len(p.items) < len(v.branch.Flatten) {
		p.items = append(p.items, nil)
	}
	for j, slot := range v.branch.Flatten {
		list := p.items[j][:0]
		err := event.EachElem(r.Slots[slot].Str, func(_ int, e event.Value) error {
			list = append(list, e)
			return nil
		})
		if err != nil {
			return 0, err
		}
		p.items[j] = list
		if j > 0 && len(list) != n {
			return 0, fmt.Errorf("the arrays have %d and %d elements", n, len(list))
		}
		n = len(list)
	}
	return n, nil
}

// takeBack removes the rows of the record under way from their batches.
func (p *Partition) takeBack() {
	for i := len(p.undo) - 1; i >= 0; i-- {
		u := p.undo[i]
		u.batch.buf, u.batch.arrival = u.batch.buf[:u.size], u.arrival
		u.batch.rows--
	}
}
