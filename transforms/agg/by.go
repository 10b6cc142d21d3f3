package agg

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// keyed is what a group with By keeps: a partial of the Group without it for each value of that input, the
// ByLimit values of smallest hash; all other rows are united in one more. A structure that unites in tie
// order only has no such rest: the rows of other values are left out.
//
//	structure = newest event time of the partials (signed), number of values, then for each, ascending:
//	            value (integers: distance to the one before, the first to 0), a group (see Partial)
//	            the rest: a group
type keyed struct {
	keys    bounded
	by      int // number of the input, counted from 1
	byType  event.Type
	layout  *Layout
	ordered bool
	parts   []*Partial // by slot; those beyond the slots in use are empty
	rest    *Partial   // nil: no rows so far
	none    *Partial   // stays empty; nil until it is asked for
	answers
}

// answers is memory of what keyed answers.
type answers struct {
	ranked   []int32
	entries  []mapEntry
	texts    []byte
	values   []byte
	out      []byte
	united   *Partial
	overflow bool
}

// mapEntry is one of the map that is answered: where its key and its value lie in texts and values.
type mapEntry struct{ key, value [2]int }

// newKeyed returns the keeper of a group with By: partials of the Group without it, one for each value.
func newKeyed(g *Group) keeper {
	sub := *g
	sub.By, sub.ByType, sub.ByLimit, sub.Filter = 0, event.Type{}, 0, -1
	return &keyed{
		keys: newBounded(g.ByType, g.ByLimit), by: g.By, byType: g.ByType,
		layout: &Layout{Groups: []Group{sub}}, ordered: g.Keeps.Kind.ordered(),
	}
}

func (k *keyed) add(_, _ event.Value, r *event.Row) {
	v, ok := inputOf(r, k.by, k.byType)
	if !ok {
		return
	}
	if p := k.part(k.keys.form.atom(v)); p != nil {
		p.Add(r)
	}
}

// part is the partial that rows with this key belong to; nil: they are left out.
func (k *keyed) part(a atom) *Partial {
	i, _, evicted := k.keys.place(a)
	if i < 0 {
		return k.others()
	}
	if int(i) == len(k.parts) {
		k.parts = append(k.parts, NewPartial(k.layout, nil))
	}
	p := k.parts[i]
	if evicted {
		if rest := k.others(); rest != nil {
			rest.Merge(p)
		}
		p.Reset()
	}
	return p
}

// others is the partial of the rows whose key is not kept.
func (k *keyed) others() *Partial {
	if k.rest == nil && !k.ordered {
		k.rest = NewPartial(k.layout, nil)
	}
	return k.rest
}

// nothing is a partial without rows.
func (k *keyed) nothing() *Partial {
	if k.none == nil {
		k.none = NewPartial(k.layout, nil)
	}
	return k.none
}

func (k *keyed) merge(other keeper) {
	o := other.(*keyed)
	for i := range o.keys.slots {
		if p := k.part(o.keys.at(int32(i))); p != nil {
			p.Merge(o.parts[i])
		}
	}
	if o.rest != nil {
		k.others().Merge(o.rest)
	}
}

func (k *keyed) reset() {
	for i := range k.keys.slots {
		if i < len(k.parts) {
			k.parts[i].broken = true // perhaps it is: all must go
			k.parts[i].Reset()
		}
	}
	if k.rest != nil {
		k.rest.broken = true
		k.rest.Reset()
	}
	k.keys.reset()
}

func (k *keyed) append(dst []byte) []byte {
	newest := event.MinTime
	for i := range k.keys.slots {
		newest = max(newest, k.parts[i].groups[0].newest)
	}
	if k.rest != nil {
		newest = max(newest, k.rest.groups[0].newest)
	}
	dst = binary.AppendVarint(dst, int64(newest))
	dst = binary.AppendUvarint(dst, uint64(len(k.keys.slots)))
	prev := int64(0)
	for _, i := range k.keys.order() {
		a := k.keys.at(i)
		dst = k.keys.form.appendNext(dst, prev, a)
		prev = a.num
		dst = k.parts[i].appendOnly(dst, newest)
	}
	if k.rest == nil || k.rest.groups[0].count == 0 {
		return append(dst, 0)
	}
	return k.rest.appendOnly(dst, newest)
}

// appendOnly appends the only group of p, with its length.
func (p *Partial) appendOnly(dst []byte, newest event.Time) []byte {
	start := len(dst)
	return setLength(p.appendGroup(append(dst, 0), &p.groups[0], newest), start)
}

func (k *keyed) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	newest := event.Time(d.varint())
	n, prev := d.uvarint(), int64(0)
	for ; n > 0 && !d.bad; n-- {
		a := k.keys.form.readNext(&d, prev)
		prev = a.num
		if body := d.bytes(d.uvarint()); !d.bad {
			d.only(k.part(a), body, newest)
		}
	}
	if body := d.bytes(d.uvarint()); len(body) != 0 {
		d.only(k.others(), body, newest)
	}
	return d.end()
}

// only merges the only group of p (nil: none).
func (d *decoder) only(p *Partial, body []byte, newest event.Time) {
	if p == nil {
		return
	}
	sub := decoder{b: body}
	sub.group(p, &p.groups[0], newest)
	if sub.end() != nil {
		d.fail()
	}
}

// answer is a map from keys as text to answers, in the order of the keys' bytes. The keys with the most
// rows come in, of equals those of least value; a key that is written as the rest is counted to the rest.
func (k *keyed) answer(c *Call, _ *group, at At) event.Value {
	sub := *c
	sub.By, sub.Group = nil, 0
	k.entries, k.texts, k.values, k.overflow = k.entries[:0], k.texts[:0], k.values[:0], false
	others := 0
	if k.united != nil {
		k.united.Reset()
	}
	ranked := k.rank()
	if c.By.Value {
		k.rankByAnswer(ranked, &sub, at)
	}
	for _, i := range ranked {
		start := len(k.texts)
		k.texts = append(k.texts, k.keys.form.value(k.keys.at(i)).String()...)
		if (c.By.Top > 0 && len(k.entries) >= c.By.Top) || c.By.Rest != "" && string(k.texts[start:]) == c.By.Rest {
			k.texts = k.texts[:start]
			k.unite(c.By, k.parts[i])
			others++
			continue
		}
		k.entry(start, k.parts[i], &sub, at)
	}
	if k.rest != nil && k.rest.groups[0].count != 0 {
		k.unite(c.By, k.rest)
		others++
	}
	if c.By.Rest != "" && others > 0 && !k.ordered {
		start := len(k.texts)
		k.texts = append(k.texts, c.By.Rest...)
		k.entry(start, k.united, &sub, at)
	}
	slices.SortStableFunc(k.entries, func(x, y mapEntry) int { return bytes.Compare(k.texts[x.key[0]:x.key[1]], k.texts[y.key[0]:y.key[1]]) })
	k.out = k.out[:0]
	for _, e := range k.entries {
		k.out = event.AppendValue(k.out, event.StringOf(event.Alias(k.texts[e.key[0]:e.key[1]])))
		k.out = append(k.out, k.values[e.value[0]:e.value[1]]...)
	}
	return event.Value{Kind: event.Map, Str: event.Alias(k.out)}
}

// rank lists the slots by how many rows they counted, most first; of equals the least key.
func (k *keyed) rank() []int32 {
	k.ranked = append(k.ranked[:0], k.keys.order()...)
	slices.SortStableFunc(k.ranked, func(i, j int32) int {
		return cmp.Compare(k.parts[j].Count(0), k.parts[i].Count(0))
	})
	return k.ranked
}

// rankByAnswer sorts slots by what c answers for them, the greatest first; of equals the least key.
func (k *keyed) rankByAnswer(slots []int32, c *Call, at At) {
	answers := make([]event.Value, len(k.keys.slots))
	for _, i := range slots {
		answers[i] = k.parts[i].Answer(c, at).Value.Clone()
	}
	slices.SortFunc(slots, func(i, j int32) int {
		return cmp.Or(event.Compare(answers[j], answers[i]), k.keys.form.compare(k.keys.at(i), k.keys.at(j)))
	})
}

// unite adds p to the rest that is answered, if one is.
func (k *keyed) unite(by *By, p *Partial) {
	if by.Rest == "" || k.ordered {
		return
	}
	if k.united == nil {
		k.united = NewPartial(k.layout, nil)
	}
	k.united.Merge(p)
}

// entry adds p's answer to the map under the key from start on.
func (k *keyed) entry(start int, p *Partial, c *Call, at At) {
	a := p.Answer(c, at)
	from := len(k.values)
	k.values = event.AppendValue(k.values, a.Value)
	k.overflow = k.overflow || a.Overflow
	k.entries = append(k.entries, mapEntry{[2]int{start, len(k.texts)}, [2]int{from, len(k.values)}})
}
