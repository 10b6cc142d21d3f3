package export

import (
	"errors"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/penstock-ml/penstock/event"
)

// pageReader reads the pages of a flat column whose values are kept as they stand in it: texts, and numbers of which all
// bits count.
type pageReader struct {
	kind event.Kind
	page parquet.Page
	rows int  // of the page
	at   int  // rows of it that are read
	vals int  // values of it that are read: rows without nulls
	none bool // all of it is null
}

// isPlain tells whether pages of a type can be read so.
func isPlain(t parquet.Type) bool {
	switch t.Kind() {
	case parquet.Int32, parquet.Int64:
		return orderOf(t) == signedOrder
	case parquet.ByteArray:
		return true
	}
	return false
}

// more makes sure that there is a page with rows, or tells why there is none.
func (p *pageReader) more(pages parquet.Pages) error {
	for p.page == nil || p.at == p.rows {
		p.release()
		page, err := pages.ReadPage()
		if err != nil {
			return err
		}
		p.page, p.rows, p.at, p.vals = page, int(page.NumValues()), 0, 0
		p.none = page.NumNulls() == page.NumValues()
	}
	return nil
}

func (p *pageReader) release() {
	if p != nil && p.page != nil {
		parquet.Release(p.page)
		p.page = nil
	}
}

// read appends n rows to a series.
func (p *pageReader) read(pages parquet.Pages, to *series, n int) error {
	to.kinds = slices.Grow(to.kinds, n)
	if inText(p.kind) {
		to.ends = slices.Grow(padded(to.ends, to.len()), n)
	} else {
		to.nums = slices.Grow(padded(to.nums, to.len()), n)
	}
	for n > 0 {
		if err := p.more(pages); errors.Is(err, io.EOF) {
			return errShort
		} else if err != nil {
			return err
		}
		some := min(n, p.rows-p.at)
		p.take(to, some)
		n -= some
	}
	return nil
}

// take appends rows of the page.
func (p *pageReader) take(to *series, n int) {
	from := to.len()
	values, levels := 0, p.page.DefinitionLevels()
	for r := range n {
		kind := event.Null
		if !p.none && (len(levels) == 0 || levels[p.at+r] > 0) {
			kind = p.kind
			values++
		}
		to.kinds = append(to.kinds, kind)
	}
	if inText(p.kind) {
		p.takeTexts(to, to.kinds[from:], values)
	} else {
		p.takeNumbers(to, to.kinds[from:], values)
	}
	p.at += n
	p.vals += values
}

// takeNumbers appends the numbers of rows of some kinds, of which so many have one.
func (p *pageReader) takeNumbers(to *series, kinds []event.Kind, values int) {
	at := len(to.nums)
	if values > 0 {
		data := p.page.Data()
		dict := p.page.Dictionary()
		switch {
		case dict != nil:
			for _, i := range data.Int32()[p.vals : p.vals+values] {
				v := dict.Index(i)
				to.nums = append(to.nums, p.number(&v))
			}
		case data.Kind() == encoding.Int32:
			for _, x := range data.Int32()[p.vals : p.vals+values] {
				to.nums = append(to.nums, uint64(int64(x)))
			}
		default:
			for _, x := range data.Int64()[p.vals : p.vals+values] {
				to.nums = append(to.nums, uint64(x))
			}
		}
	}
	to.nums = spreadNumbers(to.nums, at, kinds, values)
}

func (p *pageReader) number(v *parquet.Value) uint64 {
	if v.Kind() == parquet.Int32 {
		return uint64(int64(v.Int32()))
	}
	return v.Uint64()
}

// takeTexts appends the texts of rows of some kinds, of which so many have one.
func (p *pageReader) takeTexts(to *series, kinds []event.Kind, values int) {
	next := func() []byte { return nil }
	if values > 0 {
		data, i := p.page.Data(), p.vals
		if dict := p.page.Dictionary(); dict != nil {
			indexes := data.Int32()[i : i+values]
			next = func() []byte {
				v := dict.Index(indexes[0])
				indexes = indexes[1:]
				return v.ByteArray()
			}
		} else {
			text, offsets := data.ByteArray()
			next = func() []byte {
				i++
				return text[offsets[i-1]:offsets[i]]
			}
		}
	}
	for _, k := range kinds {
		if k != event.Null {
			to.text = append(to.text, next()...)
		}
		to.ends = append(to.ends, len(to.text))
	}
}

// spreadNumbers makes room for nulls among the numbers from place at on.
func spreadNumbers(nums []uint64, at int, kinds []event.Kind, values int) []uint64 {
	if values == len(kinds) {
		return nums
	}
	nums = nums[:at+len(kinds)]
	for r := len(kinds) - 1; r >= 0; r-- {
		x := uint64(0)
		if kinds[r] != event.Null {
			values--
			x = nums[at+values]
		}
		nums[at+r] = x
	}
	return nums
}
