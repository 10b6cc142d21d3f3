package agg

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
)

// argument is KeepArgMax and KeepArgMin: the value of the row whose second column is the greatest or least; of
// several the greatest (least) value, so that it depends on the set of rows alone. It answers arg_max and
// arg_min.
//
//	structure = second column, value
type argument struct {
	form, by form
	least    bool
	set      bool
	best     [2]held // the second column, the value
}

func newArgument(g *Group) keeper {
	return &argument{form: formOf(g.Type), by: formOf(g.SecondType), least: g.Keeps.Kind == KeepArgMin}
}

func (k *argument) add(v, second event.Value, _ *event.Row) {
	k.offer(k.by.atom(second), k.form.atom(v))
}

func (k *argument) offer(by, value atom) {
	if k.set {
		c := k.by.compare(by, k.best[0].atom())
		if c == 0 {
			c = k.form.compare(value, k.best[1].atom())
		}
		if c == 0 || (c < 0) != k.least {
			return
		}
	}
	k.set = true
	k.best[0].set(by)
	k.best[1].set(value)
}

func (k *argument) merge(other keeper) {
	if o := other.(*argument); o.set {
		k.offer(o.best[0].atom(), o.best[1].atom())
	}
}

func (k *argument) reset() { k.set = false }

func (k *argument) append(dst []byte) []byte {
	return k.form.append(k.by.append(dst, k.best[0].atom()), k.best[1].atom())
}

func (k *argument) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	by := k.by.read(&d)
	value := k.form.read(&d)
	if !d.bad && len(d.b) == 0 {
		k.offer(by, value)
	}
	return d.end()
}

func (k *argument) answer(*Call, *group, At) event.Value {
	if !k.set { // foreign bytes
		return event.Value{}
	}
	return k.form.value(k.best[1].atom())
}

// bindArgument binds arg_max and arg_min.
func bindArgument(b *binding) (Needs, Call, event.Type, error) {
	if err := b.ordered(); err != nil {
		return refused(err)
	}
	if !b.second.Ordered() {
		return refused(fmt.Errorf("%s by %s is not defined: its values have no order", b.f, bare(b.second)))
	}
	keeps := Structure{Kind: KeepArgMax}
	if b.f == ArgMin {
		keeps.Kind = KeepArgMin
	}
	t := b.in
	t.Nullable = true
	return Needs{Keeps: keeps}, Call{}, t, nil
}
