package agg

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

func fuzzTypes() []event.Type { return append(slices.Clone(inputTypes), vectors) }

// fuzzLayout has every class of group and every structure.
func fuzzLayout() *lawPlan {
	plan := &lawPlan{l: &Layout{}}
	for i, t := range fuzzTypes() {
		for _, c := range lawFuncs {
			plan.bind(c.f, c.p, Group{Input: i, Type: t, Filter: i%3 - 1})
			if t.Numeric() {
				second := slices.IndexFunc(inputTypes, func(u event.Type) bool { return u == secondOf(t) })
				plan.bind(c.f, c.p, Group{Input: i, Type: t, Second: second + 1, SecondType: inputTypes[second], Filter: -1})
			}
		}
	}
	for _, c := range lawFuncs {
		plan.bind(c.f, c.p, Group{Input: -1, Filter: -1})
	}
	return plan
}

// answerAll asks for all that the layout can answer.
func (l *lawPlan) answerAll(p *Partial) {
	for i := range l.calls {
		a := p.Answer(&l.calls[i].Call, At{AsOf: 1000, Start: -1000, End: 1000})
		_ = a.Value.String()
	}
}

// FuzzMergeEncoded: no bytes make a partial panic or leave anything behind a reset, and what was
// accepted is encoded to bytes that mean the same.
func FuzzMergeEncoded(f *testing.F) {
	plan := fuzzLayout()
	p := NewPartial(plan.l, nil)
	f.Add(p.Append(nil))
	for i := range 20 {
		row := event.Row{Time: event.Time(i), Pass: uint64(i), Pos: event.Position{Offset: int64(i)}, Order: event.LongOf(int64(i % 3))}
		for _, t := range fuzzTypes() {
			v := event.Value{Kind: t.Kind, Num: uint64(i * 1000), Str: string(event.AppendList(nil, event.LongOf(int64(i))))}
			if t.Kind == event.Double {
				v = event.DoubleOf(float64(i) / 7)
			}
			if t.Kind == event.Decimal {
				v.Num = uint64(t.Scale)
			}
			row.Values = append(row.Values, v)
		}
		p.Add(&row)
		f.Add(p.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) { tryBytes(t, plan, b) })
}

// tryBytes merges foreign bytes, and tells whether they were accepted.
func tryBytes(t *testing.T, plan *lawPlan, b []byte) bool {
	t.Helper()
	l := plan.l
	p, some := NewPartial(l, nil), NewPartial(l, []int{1, 3})
	empty := p.Append(nil)
	err := p.MergeEncoded(b)
	errSome := some.MergeEncoded(b)
	if err == nil {
		plan.answerAll(p)
		enc := p.Append(nil)
		q := NewPartial(l, nil)
		if err := q.MergeEncoded(enc); err != nil {
			t.Fatalf("what was accepted is refused once encoded: %v", err)
		}
		if again := q.Append(nil); !bytes.Equal(again, enc) {
			t.Fatalf("the encoding is not canonical:\n%x\n%x", enc, again)
		}
		if errSome != nil {
			t.Fatalf("accepted for all groups, not for some: %v", errSome)
		}
	}
	p.Reset()
	if got := p.Append(nil); !bytes.Equal(got, empty) {
		t.Fatalf("after a reset: %x", got)
	}
	return err == nil
}

// Bytes damaged in a few places are refused or mean something, and nothing panics.
func TestDamagedBytes(t *testing.T) {
	plan := fuzzLayout()
	r := rand.New(rand.NewPCG(8, 9))
	accepted, refused := 0, 0
	for range 100 {
		p := NewPartial(plan.l, nil)
		for i := range r.IntN(4) {
			row := event.Row{Time: event.Time(r.Int64N(1000)), Pass: r.Uint64(), Pos: event.Position{Offset: int64(i)}, Order: event.LongOf(r.Int64N(3))}
			for _, in := range fuzzTypes() {
				row.Values = append(row.Values, draw(r, in, patterns[r.IntN(len(patterns))]))
			}
			p.Add(&row)
		}
		enc := p.Append(nil)
		for range 40 {
			b := bytes.Clone(enc)
			for range 1 + r.IntN(2) {
				b[r.IntN(len(b))] = byte(r.Uint32() >> r.IntN(32))
			}
			if tryBytes(t, plan, b[:len(b)-r.IntN(2)*r.IntN(2)*r.IntN(len(b))]) {
				accepted++
			} else {
				refused++
			}
		}
	}
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted, %d refused: the test tries nothing", accepted, refused)
	}
}

// FuzzDoubles: the answers over any doubles, split anywhere, are those of the definition.
func FuzzDoubles(f *testing.F) {
	f.Add([]byte{}, 0)
	for _, s := range [][]float64{{0.1, 0.2, 0.3}, {1e308, 1e308, -1e308}, {math.NaN(), 1}, {math.Inf(1), math.Inf(-1)}, {5e-324, math.Copysign(0, -1), 1}} {
		var b []byte
		for _, x := range s {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
		f.Add(b, len(s)/2)
	}
	l, calls := lawLayout(double)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var rows []event.Row
		for ; len(b) >= 8 && len(rows) < 64; b = b[8:] {
			v := event.Value{Kind: event.Double, Num: binary.LittleEndian.Uint64(b)}
			second := event.DecimalOf(big.NewInt(int64(int8(b[1]))), secondOf(double).Scale)
			rows = append(rows, event.Row{
				Time: event.Time(int8(b[0])) << (b[2] % 48), Pos: event.Position{Offset: int64(len(rows))}, Pass: uint64(b[3]),
				Values: []event.Value{v, second},
			})
		}
		cut = min(max(cut, 0), len(rows))
		p := merged(t, l, true, partialOf(l, rows[cut:]), partialOf(l, rows[:cut]))
		if enc := partialOf(l, rows).Append(nil); !bytes.Equal(enc, p.Append(nil)) {
			t.Fatalf("split at %d: %x, want %x", cut, p.Append(nil), enc)
		}
		c := lawCase{l, calls, rows}
		c.check(t, p)
	})
}

// FuzzDecimals: the same over integers of any length.
func FuzzDecimals(f *testing.F) {
	f.Add([]byte("\x01\x02\x7f\xff\x80\x00"), uint8(3))
	f.Add([]byte("\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x80"), uint8(12))
	f.Fuzz(func(t *testing.T, b []byte, width uint8) {
		in := event.Type{Kind: event.Decimal, Scale: int32(width % 40)}
		l, calls := lawLayout(in)
		var rows []event.Row
		for w := int(width%70) + 1; len(b) > 0 && len(rows) < 40; b = b[min(w, len(b)):] {
			v := event.Value{Kind: event.Decimal, Num: uint64(in.Scale), Str: string(b[:min(w, len(b))])}
			second := event.LongOf(int64(int8(b[0])))
			if secondOf(in).Kind == event.Decimal {
				second = event.DecimalOf(big.NewInt(second.Long()), secondOf(in).Scale)
			}
			rows = append(rows, event.Row{
				Time: event.Time(b[0]), Pos: event.Position{Offset: int64(len(rows))}, Pass: uint64(b[0]), Values: []event.Value{v, second},
			})
		}
		cut := len(rows) / 2
		p := merged(t, l, true, partialOf(l, rows[cut:]), partialOf(l, rows[:cut]))
		if enc := partialOf(l, rows).Append(nil); !bytes.Equal(enc, p.Append(nil)) {
			t.Fatalf("split: %x, want %x", p.Append(nil), enc)
		}
		c := lawCase{l, calls, rows}
		c.check(t, p)
	})
}
