package agg

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// Maps whose answers are not of one group (a ratio, an aggregate of an aggregate) are made in two steps: Keys
// chooses the values that are shown apart, by all rows; Of and Rest then answer for one of them and for the
// others, of these rows or of a part of them. The Call is one over groups with a By, or a ratio of two such.
// The keys of a ratio are those of the rows that its divisor counts.

// Keys are the values that a map shows apart.
type Keys struct {
	// Rest tells that rows of other values were counted, which are united under the rest's name if it has one.
	Rest  bool
	texts []string
	set   bounded // of the values, in the order of texts
}

// Len is how many there are.
func (k *Keys) Len() int { return len(k.texts) }

// Text is the i-th key as the map has it: those with the most rows come first, of equals the least.
func (k *Keys) Text(i int) string { return k.texts[i] }

// keyedOf are the keepers that c reads: the one that tells which keys there are and, for a ratio, that of the
// dividend.
func (p *Partial) keyedOf(c *Call) (lead, above *keyed) {
	of := func(i int) *keyed {
		k, ok := p.group(i).keep.(*keyed)
		if !ok {
			panic("agg: the group is not kept apart by a column")
		}
		return k
	}
	if c.Func == Ratio {
		return of(c.Over.Group), of(c.Above.Group)
	}
	return of(c.Group), nil
}

// Keys chooses what c's By shows apart of what p holds. Of a ratio the limit holds for the values of both.
func (p *Partial) Keys(c *Call) *Keys {
	lead, above := p.keyedOf(c)
	chosen := &Keys{set: bounded{form: lead.keys.form, limit: max(len(lead.keys.slots), 1), index: map[uint64]int32{}}}
	beyond := lead.beyond(above)
	for _, i := range lead.rank() {
		text := lead.keys.form.value(lead.keys.at(i)).String()
		full := c.By.Top > 0 && chosen.Len() >= c.By.Top
		if full || beyond(i) || c.By.Rest != "" && text == c.By.Rest {
			chosen.Rest = true
			continue
		}
		chosen.set.place(lead.keys.at(i))
		chosen.texts = append(chosen.texts, text)
	}
	if lead.rest != nil && lead.rest.groups[0].count != 0 {
		chosen.Rest = true
	}
	return chosen
}

// beyond tells which slots of k are past the limit once the keys of other, if there is one, are counted too:
// both keep those of least hash, so what is within the limit of both together is kept whole in each.
func (k *keyed) beyond(other *keyed) func(i int32) bool {
	type place struct {
		hash uint64
		key  atom
	}
	compare := func(a, b place) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		return k.keys.form.compare(a.key, b.key)
	}
	at := func(b *bounded, i int) place { return place{b.slots[i].hash, b.at(int32(i))} }
	var all []place
	if other != nil && other != k {
		for i := range other.keys.slots {
			if x := at(&other.keys, i); k.keys.find(x.key) < 0 {
				all = append(all, x)
			}
		}
	}
	if len(all)+len(k.keys.slots) <= k.keys.limit {
		return func(int32) bool { return false }
	}
	for i := range k.keys.slots {
		all = append(all, at(&k.keys, i))
	}
	slices.SortFunc(all, compare)
	last := all[k.keys.limit-1]
	return func(i int32) bool { return compare(at(&k.keys, int(i)), last) > 0 }
}

// Of answers c over the rows of p that have the i-th key, and tells how many rows (a ratio's divisor) counts.
func (p *Partial) Of(c *Call, keys *Keys, i int, at At) (a Answer, n int64) {
	key := keys.set.at(int32(i))
	return p.splitAnswer(c, at, func(k *keyed) *Partial {
		if j := k.keys.find(key); j >= 0 {
			return k.parts[j]
		}
		return k.nothing()
	})
}

// OfRest answers c over the rows of p that have none of the keys, and tells how many rows (a ratio's divisor)
// counts. Aggregates that depend on order have no rest.
func (p *Partial) OfRest(c *Call, keys *Keys, at At) (a Answer, n int64) {
	return p.splitAnswer(c, at, func(k *keyed) *Partial {
		if k.united == nil {
			k.united = NewPartial(k.layout, nil)
		}
		k.united.Reset()
		for i := range k.keys.slots {
			if keys.set.find(k.keys.at(int32(i))) < 0 {
				k.united.Merge(k.parts[i])
			}
		}
		if k.rest != nil {
			k.united.Merge(k.rest)
		}
		return k.united
	})
}

// splitAnswer answers c over the partials that of picks.
func (p *Partial) splitAnswer(c *Call, at At, of func(*keyed) *Partial) (Answer, int64) {
	lead, above := p.keyedOf(c)
	if above == nil {
		part := of(lead)
		return part.Answer(alone(c), at), part.Count(0)
	}
	x := dividendOf(of(above).Answer(alone(c.Above), at))
	part := of(lead)
	return x.by(part.Answer(alone(c.Over), at)), part.Count(0)
}

// alone is c over the only group of a keyed's partials.
func alone(c *Call) *Call {
	sub := *c
	sub.By, sub.Group = nil, 0
	return &sub
}

// ratioBy answers a map of ratios.
func (p *Partial) ratioBy(c *Call, at At) Answer {
	above, over := p.group(c.Above.Group), p.group(c.Over.Group)
	a := Answer{Newest: max(above.newest, over.newest)}
	if over.count == 0 {
		return a
	}
	keys := p.Keys(c)
	var m Entries
	add := func(key string, x Answer) {
		m.Add(key, x.Value)
		a.Overflow = a.Overflow || x.Overflow
	}
	for i := range keys.Len() {
		x, _ := p.Of(c, keys, i, at)
		add(keys.Text(i), x)
	}
	if keys.Rest && c.By.Rest != "" {
		x, _ := p.OfRest(c, keys, at)
		add(c.By.Rest, x)
	}
	a.Value = m.Value()
	return a
}

// Entries gathers a map. The zero Entries is empty.
type Entries struct {
	list []mapped
}

type mapped struct {
	key   string
	value []byte
}

// Add adds an entry, of which it copies the value; no two may have the same key.
func (m *Entries) Add(key string, v event.Value) {
	m.list = append(m.list, mapped{key, event.AppendValue(nil, v)})
}

// Value is the map, in the order of the keys' bytes.
func (m *Entries) Value() event.Value {
	slices.SortFunc(m.list, func(x, y mapped) int { return cmp.Compare(x.key, y.key) })
	var b bytes.Buffer
	for _, x := range m.list {
		b.Write(event.AppendValue(b.AvailableBuffer(), event.StringOf(x.key)))
		b.Write(x.value)
	}
	return event.Value{Kind: event.Map, Str: event.Alias(b.Bytes())}
}
