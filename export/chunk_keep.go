package export

// retain keeps the rows that are marked, in order.
func (c *chunk) retain(l *layout, keep []bool) {
	n := c.rows
	c.rows = 0
	for _, k := range keep[:n] {
		if k {
			c.rows++
		}
	}
	if c.rows == n {
		return
	}
	for i := range c.vals {
		if c.vals[i].len() == n { // columns that are only carried have no values
			c.vals[i].retain(keep)
		}
	}
	for i := range c.raw {
		c.raw[i].retain(keep)
	}
	c.instants = retained(c.instants, keep, 1)
	c.keys = retained(c.keys, keep, len(l.keys))
	c.req = retained(c.req, keep, len(l.req))
	c.part = retained(c.part, keep, 1)
}

// retained keeps the rows of a column of some values a row.
func retained[T any](s []T, keep []bool, width int) []T {
	out := s[:0]
	for r := range len(s) / max(width, 1) {
		if keep[r] {
			out = append(out, s[r*width:(r+1)*width]...)
		}
	}
	return out
}

func (c *rawColumn) retain(keep []bool) {
	vals, ends, from := c.vals[:0], c.ends[:0], int32(0)
	for r, end := range c.ends {
		if keep[r] {
			vals = append(vals, c.vals[from:end]...)
			ends = append(ends, int32(len(vals)))
		}
		from = end
	}
	c.vals, c.ends = vals, ends
}

// pick makes into hold some rows of c, whose Parquet values it shares.
func (c *chunk) pick(into *chunk, rows []int32) {
	into.first, into.rows = c.first, len(rows)
	into.vals, into.answers = pickedSeries(into.vals, c.vals, rows), pickedSeries(into.answers, c.answers, rows)
	into.status = picked(into.status, c.status, rows)
	if c.raw == nil {
		return
	}
	if into.raw == nil {
		into.raw = make([]rawColumn, len(c.raw))
	}
	for i := range c.raw {
		from, to := &c.raw[i], &into.raw[i]
		to.vals, to.ends = to.vals[:0], to.ends[:0]
		if !c.isRaw(i) {
			continue
		}
		for _, r := range rows {
			begin := int32(0)
			if r > 0 {
				begin = from.ends[r-1]
			}
			to.vals = append(to.vals, from.vals[begin:from.ends[r]]...)
			to.ends = append(to.ends, int32(len(to.vals)))
		}
	}
}

func picked[T any](into, from [][]T, rows []int32) [][]T {
	if into == nil {
		into = make([][]T, len(from))
	}
	for i := range from {
		into[i] = into[i][:0]
		if len(from[i]) == 0 { // a column that is only carried
			continue
		}
		for _, r := range rows {
			into[i] = append(into[i], from[i][r])
		}
	}
	return into
}

func pickedSeries(into, from []series, rows []int32) []series {
	if into == nil {
		into = make([]series, len(from))
	}
	for i := range from {
		if into[i].reset(); from[i].len() > 0 { // else a column that is only carried
			into[i].appendRows(&from[i], rows)
		}
	}
	return into
}
