package agg

import "github.com/penstock-ml/penstock/event"

// AddRows adds rows [from, to) of c, as Add does one by one; scratch has room for the inputs of the view.
func (p *Partial) AddRows(c *Columns, from, to int, scratch *event.Row) {
	for i := range p.groups {
		if g := &p.groups[i]; !p.addColumn(g, c, from, to) {
			for row := from; row < to; row++ {
				c.Row(row, scratch)
				p.addTo(g, scratch)
			}
		}
	}
}

// addColumn adds rows to a group of which little is kept; false if it keeps more.
func (p *Partial) addColumn(g *group, c *Columns, from, to int) bool {
	const ends = PartFirst | PartLast
	switch {
	case g.more || g.class == classText && g.parts&^ends != 0 || g.class == classDecimal:
		return false
	case g.class == classRows && g.filter < 0:
		if to > from {
			g.count += int64(to - from)
			g.newest = max(g.newest, c.Time(to-1))
		}
		return true
	case g.class == classRows || g.kind == event.Null:
		return false
	}
	in := &c.Inputs[g.input]
	base := c.first(in)
	first, last := -1, -1 // rows
	for row := from; row < to; row++ {
		i := row - base
		if in.Kinds[i] != g.kind || g.filter >= 0 && c.Pass[row-c.base]>>uint(g.filter)&1 == 0 {
			continue
		}
		switch g.class {
		case classDouble:
			g.addDouble(event.Value{Num: in.Nums[i]}.Double())
		case classInteger:
			g.addInteger(int64(in.Nums[i]))
		}
		g.count++
		if first < 0 {
			first = row
		}
		last = row
	}
	if last < 0 {
		return true
	}
	g.newest = max(g.newest, c.Time(last))
	if g.parts&PartFirst != 0 {
		g.ends.first.offer(-1, c.Time(first), c.order(first), c.Places[first-c.added], g.canonical(in.at(first-base)))
	}
	if g.parts&PartLast != 0 {
		g.ends.last.offer(1, c.Time(last), c.order(last), c.Places[last-c.added], g.canonical(in.at(last-base)))
	}
	return true
}

// order is the value of the order column of a row that has not been added.
func (c *Columns) order(row int) event.Value {
	if !c.Ordered {
		return event.Value{}
	}
	return c.Orders[row-c.added]
}
