package agg

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// fuzzedGroup is a group whose keeper gets foreign bytes, and what is asked of it then.
type fuzzedGroup struct {
	g     Group
	calls []Call
}

// fuzzedGroups have every structure over every class of value, plain and apart by a key.
func fuzzedGroups(t testing.TB) (out []fuzzedGroup) {
	t.Helper()
	for _, c := range structureCases {
		for i, in := range inputTypes {
			needs, call, _, err := Bind(c.f, in, event.Type{}, c.p)
			if err != nil {
				continue
			}
			g := Group{Type: in, Filter: -1, Parts: needs.Parts, Keeps: needs.Keeps}
			calls := []Call{call}
			if needs.Keeps.Kind == KeepValues {
				calls = append(calls, Call{Func: Mode}, Call{Func: Entropy}, Call{Func: Frequent, K: 2}, Call{Func: CollectSet})
			}
			out = append(out, fuzzedGroup{g, calls})
			if i%3 == 0 {
				g.By, g.ByType, g.ByLimit = 2, keyTypes[len(out)%len(keyTypes)], 2
				keyed := calls[0]
				keyed.By = &By{Top: 1, Rest: "rest"}
				out = append(out, fuzzedGroup{g, []Call{keyed}})
			}
		}
	}
	g := Group{Input: -1, Filter: -1, By: 2, ByType: keyTypes[0], ByLimit: 2}
	out = append(out, fuzzedGroup{g, []Call{{Func: Count, By: &By{Rest: "rest"}}}})
	return out
}

// FuzzStructures: no bytes make a structure panic, or leave anything behind a reset; what was accepted is
// encoded to bytes that mean the same.
func FuzzStructures(f *testing.F) {
	groups := fuzzedGroups(f)
	r := rand.New(rand.NewPCG(4, 4))
	for i, x := range groups {
		f.Add(uint16(i), encodedSample(r, x.g, 12))
	}
	f.Fuzz(func(t *testing.T, which uint16, b []byte) {
		tryStructure(t, groups[int(which)%len(groups)], b)
	})
}

// encodedSample is the structure of n random rows.
func encodedSample(r *rand.Rand, g Group, n int) []byte {
	k := newKeeper(&g)
	key := keyTypes[0]
	if g.By != 0 {
		key = g.ByType
	}
	rows := drawKeyed(r, n, g.Type, key, "plain")
	for i := range rows {
		if v := (event.Value{}); rows[i].Values[1] != v {
			if g.Input >= 0 {
				v = rows[i].Values[g.Input]
			}
			k.add(v, event.Value{}, &rows[i])
		}
	}
	return k.append(nil)
}

// tryStructure merges foreign bytes, and tells whether they were accepted.
func tryStructure(t *testing.T, x fuzzedGroup, b []byte) bool {
	t.Helper()
	k := newKeeper(&x.g)
	empty := k.append(nil)
	err := k.mergeEncoded(b)
	if err == nil {
		for i := range x.calls {
			_ = k.answer(&x.calls[i], nil, At{}).String()
		}
		enc := k.append(nil)
		again := newKeeper(&x.g)
		if err := again.mergeEncoded(enc); err != nil {
			t.Fatalf("%+v: what was accepted is refused once encoded: %v\n%x\n%x", x.g, err, b, enc)
		}
		if got := again.append(nil); !bytes.Equal(got, enc) {
			t.Fatalf("%+v: the encoding is not canonical:\n%x\n%x", x.g, enc, got)
		}
	}
	k.reset()
	if got := k.append(nil); !bytes.Equal(got, empty) {
		t.Fatalf("%+v: after a reset: %x, want %x", x.g, got, empty)
	}
	return err == nil
}

// Bytes damaged in a few places are refused or mean something, and nothing panics.
func TestDamagedStructures(t *testing.T) {
	groups := fuzzedGroups(t)
	r := rand.New(rand.NewPCG(8, 9))
	accepted, refused := 0, 0
	for _, x := range groups {
		for range 4 {
			enc := encodedSample(r, x.g, r.IntN(12))
			for range 30 {
				b := bytes.Clone(enc)
				if len(b) == 0 {
					continue
				}
				for range 1 + r.IntN(2) {
					b[r.IntN(len(b))] = byte(r.Uint32() >> r.IntN(32))
				}
				if tryStructure(t, x, b[:len(b)-r.IntN(2)*r.IntN(2)*r.IntN(len(b))]) {
					accepted++
				} else {
					refused++
				}
			}
		}
	}
	for range 20_000 {
		b := make([]byte, r.IntN(60))
		for i := range b {
			b[i] = byte(r.Uint32() >> r.IntN(32))
		}
		tryStructure(t, groups[r.IntN(len(groups))], b)
	}
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted, %d refused: the test tries nothing", accepted, refused)
	}
}
