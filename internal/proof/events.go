package proof

import (
	"fmt"
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
	Tame                       bool // nothing dead, late or far ahead
}

// base is when streams begin: two months before New York's clocks change.
const base = event.Time(1_704_888_000_000_000) // 2024-01-10T12:00:00Z

// Records makes records in the order they are produced: bursts and pauses of all lengths, ties, nulls, NaN
// and infinities; events behind others by seconds to weeks, and ahead; holes in the offsets; what cannot be
// decoded. The column seq is different in every record.
func Records(rng *rand.Rand, src *pipeline.Source, o Stream) []oracle.Record {
	next := make([]int64, o.Partitions)
	at := base
	nulls := pick(rng, []int{2, 8, 30}) // odds of null
	var out []oracle.Record
	seq := rng.Perm(o.Records)
	for i := range o.Records {
		at = at.Add(event.Duration(rng.Int64N(int64(pick(rng, []event.Duration{
			2, event.Millisecond, event.Minute, event.Minute, event.Hour, event.Hour, 4 * event.Hour, event.Day,
		})))))
		p := rng.IntN(o.Partitions)
		next[p] += 1 + int64(rng.IntN(20)/19*rng.IntN(5))
		r := oracle.Record{Partition: int32(p), Offset: next[p], Arrival: at.Add(event.Duration(rng.Int64N(int64(event.Minute))))}
		values := randomValues(rng, nulls)
		values["user"] = event.StringOf(fmt.Sprint("u", int(math.Sqrt(float64(rng.IntN(o.Users*o.Users))))))
		values["seq"] = event.LongOf(int64(seq[i]))
		values["ts"] = event.TimestampOf(eventTime(rng, at, o.Tame))
		if !o.Tame {
			for _, name := range []string{"user", "ts"} {
				if rng.IntN(100) == 0 {
					values[name] = event.Value{}
				}
			}
			if rng.IntN(100) == 0 {
				r.Dead = "decode"
			}
		}
		for _, c := range src.Columns {
			r.Slots = append(r.Slots, values[c.Name])
		}
		out = append(out, r)
	}
	return out
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

// randomValues are the columns of a record but its key, order and time.
func randomValues(rng *rand.Rand, nulls int) map[string]event.Value {
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
	var vec, longs []event.Value
	for range 2 + rng.IntN(2) {
		v := event.DoubleOf(math.Round(rng.NormFloat64() * 10))
		if rng.IntN(6) == 0 {
			v = event.Value{}
		}
		vec, longs = append(vec, v), append(longs, event.LongOf(rng.Int64N(7)-3))
	}
	list := func(elems []event.Value) event.Value {
		return event.Value{Kind: event.List, Str: string(event.AppendList(nil, elems...))}
	}
	values := map[string]event.Value{
		"amount": {Kind: event.Double, Num: math.Float64bits(amount)}, "n": event.LongOf(n),
		"s":     event.StringOf(pick(rng, []string{"a", "bb", "drop", "ccc", "", "ä ö", "a", "d", "e", "f"})),
		"flag":  event.BoolOf(rng.IntN(3) > 0),
		"price": event.DecimalOf(big.NewInt(rng.Int64N(2000)-1000), 2),
		"day":   {Kind: event.Date, Num: uint64(19_700 + rng.Int64N(4))},
		"vec":   list(vec), "longs": list(longs),
	}
	for _, name := range []string{"amount", "n", "s", "flag", "price", "day", "vec", "longs"} { // in one order
		if rng.IntN(nulls) == 0 {
			values[name] = event.Value{}
		}
	}
	return values
}
