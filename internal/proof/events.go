package proof

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// Stream chooses what random events are like.
type Stream struct {
	Records, Partitions, Users int
	Copies                     float64 // the share of records that producers send again
	Tame                       bool    // nothing dead, late or far ahead
}

// base is when streams begin: two months before New York's clocks change.
const base = event.Time(1_704_888_000_000_000) // 2024-01-10T12:00:00Z

// Records makes records of all sources in the order they are produced: bursts and pauses of all lengths, ties,
// nulls, NaN and infinities; copies of others; events behind others by seconds to weeks, and ahead; holes in
// the offsets; what cannot be decoded. The column seq is different in every record.
func Records(rng *rand.Rand, plan *pipeline.Plan, o Stream) []oracle.Record {
	type partition struct {
		source *pipeline.Source
		num    int
	}
	next := map[partition]int64{}
	at := base
	nulls := pick(rng, []int{2, 8, 30}) // odds of null
	var out []oracle.Record
	var sent []map[string]event.Value
	seq := rng.Perm(o.Records)
	for i := range o.Records {
		at = at.Add(event.Duration(rng.Int64N(int64(pick(rng, []event.Duration{
			2, event.Millisecond, event.Minute, event.Minute, event.Hour, event.Hour, 4 * event.Hour, event.Day,
		})))))
		p := partition{pick(rng, plan.Sources), rng.IntN(o.Partitions)}
		next[p] += 1 + int64(rng.IntN(20)/19*rng.IntN(5))
		r := oracle.Record{Source: p.source.Index, Partition: int32(p.num), Offset: next[p], Arrival: at.Add(event.Duration(rng.Int64N(int64(event.Minute))))}
		var values map[string]event.Value
		if n := len(sent); n > 0 && rng.Float64() < o.Copies {
			values = copied(rng, sent[max(0, n-1-rng.IntN(40))], at)
		} else {
			values = randomValues(rng, nulls, o.Tame)
			values["user"] = event.StringOf(fmt.Sprint("u", int(math.Sqrt(float64(rng.IntN(o.Users*o.Users))))))
			values["id"] = event.StringOf(fmt.Sprint("i", i))
			values["ts"] = event.TimestampOf(eventTime(rng, at, o.Tame))
			for _, name := range []string{"user", "ts", "id"} {
				if !o.Tame && rng.IntN(100) == 0 {
					values[name] = event.Value{}
				}
			}
		}
		sent = append(sent, values)
		values["seq"] = event.LongOf(int64(seq[i]))
		if !o.Tame && rng.IntN(100) == 0 {
			r.Dead = "decode"
		}
		for _, c := range p.source.Columns {
			r.Slots = append(r.Slots, field(values, c.Name))
		}
		out = append(out, r)
	}
	return out
}

// copied is an event sent again: as it was, or dated somewhat before or behind it, up to the horizons that
// views leave copies out within, and just beyond; never ahead of at.
func copied(rng *rand.Rand, of map[string]event.Value, at event.Time) map[string]event.Value {
	values := maps.Clone(of)
	if ts := values["ts"]; !ts.IsNull() && rng.IntN(3) > 0 {
		d := pick(rng, []event.Duration{0, 1, event.Second, event.Minute, event.Hour, event.Hour, 6 * event.Hour, 2 * event.Day})
		d += event.Duration(rng.IntN(3) - 1)
		if rng.IntN(2) == 0 {
			d = -d
		}
		values["ts"] = event.TimestampOf(min(event.Time(ts.Long()).Add(d), at))
	}
	return values
}

// field is what a field of e or g holds; it is one of values, or made of one.
func field(values map[string]event.Value, name string) event.Value {
	switch name {
	case "who":
		return values["user"]
	case "at": // milliseconds
		ts := values["ts"]
		if ts.IsNull() {
			return ts
		}
		ms := ts.Long() / 1000
		if ts.Long()%1000 < 0 {
			ms--
		}
		return event.LongOf(ms)
	case "cents":
		amount := values["amount"]
		if x := amount.Double(); amount.IsNull() || math.IsNaN(x) || math.Abs(x) > 1e15 {
			return event.Value{}
		}
		return event.LongOf(int64(math.Round(amount.Double() * 100)))
	}
	v, ok := values[name]
	if !ok {
		panic("proof: no field " + name)
	}
	return v
}

// eventTime is at or somewhat before it, now and then long before it or after it.
func eventTime(rng *rand.Rand, at event.Time, tame bool) event.Time {
	switch rng.IntN(24) {
	case 0, 1, 2:
		return at.Add(-event.Duration(rng.Int64N(int64(2 * event.Hour))))
	case 3:
		return at / event.Time(event.Hour) * event.Time(event.Hour) // ties, on the edges of windows
	case 4:
		return base.Add(event.Duration(rng.Int64N(int64(at.Sub(base)) + 1)))
	case 5, 6:
		return at / event.Time(event.Minute) * event.Time(event.Minute)
	}
	if tame {
		return at
	}
	switch rng.IntN(60) {
	case 0:
		return at.Add(-event.Duration(rng.Int64N(int64(200 * event.Day))))
	case 1:
		return at.Add(event.Duration(rng.Int64N(int64(2 * event.Day))))
	case 2:
		return event.Time(-rng.Int64N(int64(40_000 * event.Day))) // long before 1970
	case 3:
		return at.Add(event.Duration(rng.Int64N(int64(10 * event.Minute)))) // ahead, as far as may be
	}
	return at
}

// randomValues are the fields of a record but its key, id, order and time.
func randomValues(rng *rand.Rand, nulls int, tame bool) map[string]event.Value {
	amount := math.Round(rng.NormFloat64()*1e4) / 100
	switch rng.IntN(40) {
	case 0:
		amount = pick(rng, []float64{math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(0, -1)})
	case 1:
		amount = pick(rng, []float64{1e300, -1e300, 1e-300, 5e-324, 0.1})
	case 2, 3, 4, 5:
		amount = float64(rng.IntN(5))
	}
	n := rng.Int64N(21) - 10
	if rng.IntN(60) == 0 {
		n = pick(rng, []int64{math.MaxInt64, math.MinInt64, 1 << 53})
	}
	texts := []string{"a", "bb", "drop", "ccc", "", "ä ö", "a", "d", "e", "f"}
	values := map[string]event.Value{
		"amount": {Kind: event.Double, Num: math.Float64bits(amount)}, "n": event.LongOf(n),
		"s":     event.StringOf(pick(rng, texts)),
		"flag":  event.BoolOf(rng.IntN(3) > 0),
		"price": event.DecimalOf(big.NewInt(rng.Int64N(2000)-1000), 2),
		"day":   {Kind: event.Date, Num: uint64(19_700 + rng.Int64N(4))},
	}
	containers(rng, values, texts, tame)
	for _, name := range []string{"amount", "n", "s", "flag", "price", "day", "vec", "longs", "tags", "attrs"} { // in one order
		if rng.IntN(nulls) == 0 {
			values[name] = event.Value{}
		}
	}
	return values
}

// containers adds arrays and maps: two or three numbers, and none to three of the rest.
func containers(rng *rand.Rand, values map[string]event.Value, texts []string, tame bool) {
	some := func(n, least int, elem func() event.Value) event.Value {
		var elems []event.Value
		for range least + rng.IntN(n+1-least) {
			elems = append(elems, elem())
		}
		return event.Value{Kind: event.List, Str: string(event.AppendList(nil, elems...))}
	}
	number := func() event.Value {
		if rng.IntN(6) == 0 {
			return event.Value{}
		}
		return event.DoubleOf(math.Round(rng.NormFloat64() * 10))
	}
	values["vec"] = some(3, 2, number)
	values["longs"] = some(3, 2, func() event.Value { return event.LongOf(rng.Int64N(7) - 3) })
	values["tags"] = some(3, 0, func() event.Value { return event.StringOf(pick(rng, texts)) })
	var attrs []event.Value
	for _, key := range []string{"a", "b", "z"} {
		if rng.IntN(3) > 0 {
			attrs = append(attrs, event.StringOf(key), number())
		}
	}
	values["attrs"] = event.Value{Kind: event.Map, Str: string(event.AppendList(nil, attrs...))}
	items := rng.IntN(4)
	values["items.buyer"] = some(items, items, func() event.Value {
		if !tame && rng.IntN(60) == 0 {
			return event.Value{}
		}
		return event.StringOf(fmt.Sprint("u", rng.IntN(3)))
	})
	values["items.price"] = some(items, items, number)
	values["items.pieces"] = some(items, items, func() event.Value { return event.LongOf(rng.Int64N(4)) })
	if rng.IntN(20) == 0 {
		for _, name := range []string{"items.buyer", "items.price", "items.pieces"} {
			values[name] = event.Value{}
		}
	}
}
