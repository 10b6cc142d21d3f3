package e2e

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/penstock-ml/penstock/event"
)

// versions of the events' schema, oldest first; the last is the reader's. The first has narrower
// numbers, another order, a field that went and another name for one; the second lacks a field too.
var versions = []string{
	`{"type":"record","name":"Purchase","namespace":"shop","fields":[
	{"name":"gone","type":{"type":"map","values":["null","long"]}},
	{"name":"n","type":"int"},
	{"name":"label","type":["null","string"]},
	{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["web","shop"]}},
	{"name":"ratio","type":"float"},
	{"name":"user","type":["null","string"]},
	{"name":"shard","type":"int"},
	{"name":"amount","type":["null","float"]},
	{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}]},
	{"name":"geo","type":{"type":"record","name":"Geo","fields":[{"name":"x","type":"float"},{"name":"zone","type":"string"}]}},
	{"name":"merchant","type":["null","string"]},
	{"name":"flag","type":"boolean"},
	{"name":"place","type":["null",{"type":"record","name":"Place","fields":[{"name":"city","type":"string"}]}]},
	{"name":"seq","type":"int"},
	{"name":"at","type":["null","long"]},
	{"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}]}`,
	`{"type":"record","name":"Purchase","namespace":"shop","fields":[
	{"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
	{"name":"at","type":["null","long"]},
	{"name":"user","type":["null","string"]},
	{"name":"merchant","type":["null","string"]},
	{"name":"shard","type":"long"},
	{"name":"amount","type":["null","double"]},
	{"name":"n","type":"long"},
	{"name":"ratio","type":"float"},
	{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}]},
	{"name":"note","type":["null","string"],"aliases":["label"]},
	{"name":"flag","type":"boolean"},
	{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["shop","web","phone"]}},
	{"name":"seq","type":"long"},
	{"name":"geo","type":{"type":"record","name":"Geo","fields":[{"name":"zone","type":"string"},{"name":"x","type":"double"}]}},
	{"name":"place","type":["null",{"type":"record","name":"Place","fields":[{"name":"city","type":"string"}]}]}]}`,
	`{"type":"record","name":"Purchase","namespace":"shop","fields":[
	{"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
	{"name":"at","type":["null","long"]},
	{"name":"user","type":["null","string"]},
	{"name":"merchant","type":["null","string"]},
	{"name":"shard","type":"long"},
	{"name":"amount","type":["null","double"]},
	{"name":"n","type":"long"},
	{"name":"ratio","type":"double"},
	{"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}]},
	{"name":"note","type":["null","string"],"aliases":["label"]},
	{"name":"extra","type":"long","default":7},
	{"name":"flag","type":"boolean"},
	{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["phone","shop","web"]}},
	{"name":"seq","type":"long"},
	{"name":"geo","type":{"type":"record","name":"Geo","fields":[{"name":"zone","type":"string"},{"name":"x","type":"double"}]}},
	{"name":"place","type":["null",{"type":"record","name":"Place","fields":[{"name":"city","type":"string"}]}]},
	{"name":"tail","type":{"type":"array","items":"string"},"default":[]}]}`,
}

// purchase is an event as its producer means it. Nil is null.
type purchase struct {
	version        int // index into versions
	ts             *int64
	user, merchant *string
	shard          int64
	amount         *float64
	n              int64
	ratio          float64
	price          *big.Rat
	note           *string
	extra          int64
	flag           bool
	kind           string
	seq            int64
	zone           string
	x              float64
	city           *string
}

// value is what the reader's column of that name must hold.
func (p *purchase) value(column string) event.Value {
	text := func(s *string) event.Value {
		if s == nil {
			return event.Value{}
		}
		return event.StringOf(*s)
	}
	narrow := func(f float64, upto int) event.Value {
		if p.version <= upto {
			f = float64(float32(f))
		}
		return event.DoubleOf(f)
	}
	switch column {
	case "ts":
		if p.ts != nil {
			return event.TimestampOf(event.Time(*p.ts))
		}
		return event.Value{}
	case "at":
		if p.ts != nil {
			return event.LongOf(time.UnixMicro(*p.ts).UnixMilli())
		}
		return event.Value{}
	case "user":
		return text(p.user)
	case "merchant":
		return text(p.merchant)
	case "shard":
		return event.LongOf(p.shard)
	case "amount":
		if p.amount == nil {
			return event.Value{}
		}
		return narrow(*p.amount, 0)
	case "n":
		return event.LongOf(p.n)
	case "ratio":
		return narrow(p.ratio, 1)
	case "price":
		if p.price == nil {
			return event.Value{}
		}
		cents := new(big.Rat).Mul(p.price, big.NewRat(100, 1))
		return event.DecimalOf(cents.Num(), 2)
	case "note":
		return text(p.note)
	case "extra":
		if p.version < 2 {
			return event.LongOf(7)
		}
		return event.LongOf(p.extra)
	case "flag":
		return event.BoolOf(p.flag)
	case "kind":
		return event.StringOf(p.kind)
	case "seq":
		return event.LongOf(p.seq)
	case "geo.zone":
		return event.StringOf(p.zone)
	case "geo.x":
		return narrow(p.x, 0)
	case "place.city":
		return text(p.city)
	}
	panic("no column " + column)
}

// fields are the event's fields by the names of its schema version, with bare values in unions.
func (p *purchase) fields() map[string]any {
	m := map[string]any{
		"ts": nil, "at": nil, "user": nil, "merchant": nil, "amount": nil, "price": nil, "note": nil, "place": nil,
		"shard": p.shard, "n": p.n, "ratio": p.ratio, "flag": p.flag, "kind": p.kind, "seq": p.seq,
		"geo": map[string]any{"zone": p.zone, "x": p.x},
	}
	if p.ts != nil {
		m["ts"], m["at"] = time.UnixMicro(*p.ts).UTC(), time.UnixMicro(*p.ts).UnixMilli()
	}
	for name, s := range map[string]*string{"user": p.user, "merchant": p.merchant, "note": p.note} {
		if s != nil {
			m[name] = *s
		}
	}
	if p.amount != nil {
		m["amount"] = *p.amount
	}
	if p.price != nil {
		m["price"] = p.price
	}
	if p.city != nil {
		m["place"] = map[string]any{"city": *p.city}
	}
	switch p.version {
	case 0:
		m["label"] = m["note"]
		delete(m, "note")
		m["gone"] = map[string]any{"a": nil, "b": int64(3)}
		m["n"], m["shard"], m["seq"] = int32(p.n), int32(p.shard), int32(p.seq)
		m["ratio"] = float32(p.ratio)
		m["geo"] = map[string]any{"zone": p.zone, "x": float32(p.x)}
		if p.amount != nil {
			m["amount"] = float32(*p.amount)
		}
	case 1:
		m["ratio"] = float32(p.ratio)
	case 2:
		m["extra"], m["tail"] = p.extra, []any{"t", "u"}
	}
	return m
}

var branches = map[string]string{
	"ts": "long.timestamp-micros", "at": "long", "user": "string", "merchant": "string", "amount": "double",
	"price": "bytes.decimal", "note": "string", "label": "string", "place": "shop.Place",
}

// tagged is fields with the branch of each union named, as goavro wants it.
func (p *purchase) tagged() map[string]any {
	m := maps.Clone(p.fields())
	for name, branch := range branches {
		if m[name] == nil {
			continue
		}
		if name == "amount" && p.version == 0 {
			branch = "float"
		}
		m[name] = map[string]any{branch: m[name]}
	}
	if p.version == 0 {
		m["gone"] = map[string]any{"a": nil, "b": map[string]any{"long": int64(3)}}
	}
	return m
}

type encoders struct {
	linkedin []*goavro.Codec
	twmb     []*avro.Schema
}

var codecs = sync.OnceValue(func() encoders {
	var e encoders
	for _, v := range versions {
		c, err := goavro.NewCodec(v)
		if err != nil {
			panic(err)
		}
		e.linkedin, e.twmb = append(e.linkedin, c), append(e.twmb, avro.MustParse(v))
	}
	return e
})

// encode frames the event, encoded by one or the other library that is not ours.
func (p *purchase) encode(rng *rand.Rand, ids []int) ([]byte, error) {
	buf := binary.BigEndian.AppendUint32([]byte{0}, uint32(ids[p.version]))
	if rng.IntN(2) == 0 {
		return codecs().linkedin[p.version].BinaryFromNative(buf, p.tagged())
	}
	return codecs().twmb[p.version].AppendEncode(buf, p.fields())
}

// startRegistry starts a registry that knows the versions under a subject and returns their ids.
func startRegistry(t *testing.T, subjects ...string) (url string, ids []int) {
	t.Helper()
	reg := srfake.New()
	t.Cleanup(reg.Close)
	var asked atomic.Int64
	reg.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { // it is away now and then
		away := asked.Add(1)%5 == 1
		if away {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return away
	})
	for _, subject := range subjects {
		ids = ids[:0]
		for _, v := range versions {
			id, _, err := reg.RegisterSchema(subject, sr.Schema{Schema: v})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	return reg.URL(), ids
}

// record is something to produce: an event, or garbage with the reason it is dead for.
type record struct {
	id        int
	partition int32
	arrival   time.Time
	key       []byte
	value     []byte
	purchase  *purchase
	reason    string
}

const (
	firstInstant = int64(1_704_067_200_000_000) // 2024-01-01
	hour         = int64(time.Hour / time.Microsecond)
	spanOfEvents = 48 * hour
)

var (
	users     = []string{"u0", "u1", "u2", "u3", "u4", "u5", "ü 6", `a,"b"`, "u8", "U0"}
	merchants = []string{"m0", "m1", "m2", "m3"}
	notes     = []string{"", "a", "bb", "comma, \"quoted\"", "two\nlines", "日本", "drop"}
	cities    = []string{"Bonn", "Rome", "Oslo"}
)

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

func maybe[T any](rng *rand.Rand, nullOdds int, v T) *T {
	if rng.IntN(nullOdds) == 0 {
		return nil
	}
	return &v
}

// makeRecords makes n records of a topic, in the order they are produced: their event times run over two
// days, out of order, with ties, nulls, duplicates, much too old and much too far ahead, and garbage.
func makeRecords(t *testing.T, rng *rand.Rand, n, partitions int, ids []int) []*record {
	t.Helper()
	out := make([]*record, n)
	var made []*purchase
	for i := range out {
		at := firstInstant + spanOfEvents*int64(i)/int64(n)
		r := &record{id: i, partition: int32(rng.IntN(partitions)), arrival: time.UnixMicro(at).Add(time.Duration(rng.Int64N(int64(time.Minute)))).Truncate(time.Millisecond)}
		if i < partitions {
			r.partition = int32(i) // each has an event early on
		}
		p := makePurchase(rng, i, at)
		if len(made) > 0 && rng.IntN(15) == 0 { // the same key and time again, perhaps with other values
			old := made[rng.IntN(len(made))]
			if rng.IntN(2) == 0 {
				p = old
			} else {
				p.ts, p.user, p.merchant = old.ts, old.user, old.merchant
			}
		}
		made = append(made, p)
		r.purchase = p
		if p.user != nil {
			r.key = []byte(*p.user)
		}
		value, err := p.encode(rng, ids)
		if err != nil {
			t.Fatalf("encode event %d: %v", i, err)
		}
		r.value = value
		if i >= partitions && rng.IntN(12) == 0 {
			r.spoil(rng, ids)
		}
		out[i] = r
	}
	return out
}

func makePurchase(rng *rand.Rand, i int, at int64) *purchase {
	ts := at
	switch rng.IntN(24) {
	case 0, 1, 2:
		ts -= rng.Int64N(hour)
	case 3:
		ts = firstInstant + rng.Int64N(spanOfEvents) // anywhere: shuffled
	case 4, 5:
		ts = ts / (hour / 60) * (hour / 60) // ties
	case 6:
		ts -= rng.Int64N(120 * 24 * hour)
	case 7:
		if rng.IntN(4) == 0 {
			ts += rng.Int64N(1000 * 24 * hour)
		}
	case 8:
		ts = ts / 1000 * 1000
	case 9:
		if rng.IntN(8) == 0 {
			ts = -rng.Int64N(70 * 365 * 24 * hour) // before 1970
		}
	}
	amount := math.Round(rng.NormFloat64()*1e4) / 100
	switch rng.IntN(60) {
	case 0:
		amount = pick(rng, []float64{math.Inf(1), math.Inf(-1), math.NaN(), 1e38, -1e38, math.Copysign(0, -1), 5e-324, 1e300})
	case 1:
		amount = 0.1
	}
	p := &purchase{
		version: rng.IntN(3), ts: maybe(rng, 150, ts),
		user: maybe(rng, 60, pick(rng, users)), merchant: maybe(rng, 25, pick(rng, merchants)), shard: rng.Int64N(5) - 2,
		amount: maybe(rng, 12, amount), n: rng.Int64N(2000) - 1000, ratio: rng.NormFloat64(),
		price: big.NewRat(rng.Int64N(2_000_000)-1_000_000, 100),
		note:  maybe(rng, 8, pick(rng, notes)), extra: rng.Int64N(100), flag: rng.IntN(3) > 0,
		kind: pick(rng, []string{"shop", "web", "phone"}), seq: int64(i % 97), zone: fmt.Sprint("z", rng.IntN(4)), x: rng.Float64(),
		city: maybe(rng, 6, pick(rng, cities)),
	}
	if rng.IntN(15) == 0 {
		p.price = nil
	}
	if p.version > 0 && rng.IntN(40) == 0 {
		p.n = pick(rng, []int64{math.MaxInt64, math.MinInt64, 1 << 62, 1 << 53})
	}
	if p.version == 0 && p.kind == "phone" {
		p.kind = "web"
	}
	return p
}

// spoil turns the record into garbage.
func (r *record) spoil(rng *rand.Rand, ids []int) {
	good := r.value
	r.purchase = nil
	switch rng.IntN(9) {
	case 0:
		r.value, r.reason = nil, "empty"
	case 1:
		r.value, r.reason = []byte{}, "empty"
	case 2:
		r.value, r.reason = append([]byte{byte(1 + rng.IntN(255))}, good[1:]...), "magic"
	case 3:
		r.value, r.reason = []byte(strings.Repeat("{\"not\": \"avro\"}", 1+rng.IntN(40))), "magic"
	case 4:
		r.value, r.reason = good[:1+rng.IntN(4)], "truncated"
	case 5:
		r.value, r.reason = binary.BigEndian.AppendUint32([]byte{0}, uint32(1000+rng.IntN(3))), "schema"
		r.value = append(r.value, good[5:]...)
	case 6:
		r.value, r.reason = good[:5+rng.IntN(len(good)-5)], "decode"
	case 7:
		r.value, r.reason = append(append([]byte{}, good...), byte(rng.IntN(256))), "decode"
	case 8: // a string of 2^62 bytes, or what else the bytes may mean
		r.value = binary.BigEndian.AppendUint32([]byte{0}, uint32(ids[2]))
		r.value, r.reason = append(r.value, 2, 0, 2, 0, 2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), "decode"
	}
}
