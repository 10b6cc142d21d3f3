// Package workload generates the transactions that the benchmarks run on: the same events for the same
// options, with Kafka or without. (Another architecture may round a draw differently.)
package workload

import (
	_ "embed"
	"encoding/binary"
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// Schema is the Avro schema of the events.
//
//go:embed transactions.avsc
var Schema string

// Keys is how events are spread over users.
type Keys string

// The distributions. Zipf's exponent is 1.1: 5 M events of 1 M users name some 389,000 of them, the
// busiest in every eighth event.
const (
	Zipf    Keys = "zipf"
	Uniform Keys = "uniform"
)

// Options say which events. The zero value of a field means its default.
type Options struct {
	Events    int           // 5,000,000
	Users     int           // 1,000,000
	Merchants int           // 50,000
	Keys      Keys          // Zipf
	Seed      uint64        // 1
	Start     time.Time     // 2026-03-01T00:00:00Z
	Span      time.Duration // 2 h of event time

	ByMerchant bool // the message key is the merchant, not the user
}

func (o Options) withDefaults() Options {
	set(&o.Events, 5_000_000)
	set(&o.Users, 1_000_000)
	set(&o.Merchants, 50_000)
	set(&o.Keys, Zipf)
	set(&o.Seed, 1)
	set(&o.Span, 2*time.Hour)
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	}
	return o
}

func set[T comparable](p *T, to T) {
	var zero T
	if *p == zero {
		*p = to
	}
}

// Disorder is how far an event may come after a later one; a tenth of the events do.
const Disorder = 30 * time.Second

// Countries are those that events name.
var Countries = [16]string{"US", "DE", "FR", "GB", "NL", "ES", "IT", "PL", "SE", "JP", "BR", "IN", "CA", "AU", "MX", "ZA"}

// Event is one transaction.
type Event struct {
	User, Merchant uint32
	Amount         float64 // a whole number of cents
	Country        string
	CardPresent    bool
	Time           time.Time // UTC, whole milliseconds
}

// Events yields the events in the order they are produced. The pointer is to one event, overwritten by
// the next.
func Events(o Options) iter.Seq[*Event] {
	o = o.withDefaults()
	return func(yield func(*Event) bool) {
		r := rand.New(rand.NewPCG(o.Seed, 0x70656e73746f636b))
		users := Users(o, r)
		merchants := rand.NewZipf(r, 1.05, 20, uint64(o.Merchants-1))
		start, step := o.Start.UnixMilli(), float64(o.Span.Milliseconds())/float64(o.Events)
		var e Event
		for i := range o.Events {
			at := start + int64(float64(i)*step)
			if r.IntN(10) == 0 {
				at -= r.Int64N(Disorder.Milliseconds())
			}
			e = Event{
				User:        users(),
				Merchant:    uint32(merchants.Uint64()),
				Amount:      float64(1+int64(math.Min(1e7, 2500*math.Exp(r.NormFloat64())))) / 100,
				Country:     Countries[min(r.IntN(16), r.IntN(16))],
				CardPresent: r.IntN(4) != 0,
				Time:        time.UnixMilli(max(at, start)).UTC(),
			}
			if !yield(&e) {
				return
			}
		}
	}
}

// Users returns a source of users with the distribution of o, for requests and spines too.
func Users(o Options, r *rand.Rand) func() uint32 {
	o = o.withDefaults()
	if o.Keys == Uniform {
		return func() uint32 { return uint32(r.IntN(o.Users)) }
	}
	z := rand.NewZipf(r, 1.1, 1, uint64(o.Users-1))
	return func() uint32 { return uint32(z.Uint64()) }
}

// UserID is the user_id of a user: u and seven digits.
func UserID(user uint32) string { return string(AppendUserID(nil, user)) }

// AppendUserID appends the user_id of a user.
func AppendUserID(b []byte, user uint32) []byte { return appendID(b, 'u', 7, user) }

// AppendKey appends the message key, the user's id.
func (e *Event) AppendKey(b []byte) []byte { return AppendUserID(b, e.User) }

// AppendMerchantID appends the merchant_id, m and five digits.
func (e *Event) AppendMerchantID(b []byte) []byte { return appendID(b, 'm', 5, e.Merchant) }

// AppendValue appends the message value: Confluent's header with the schema's id, then Avro.
func (e *Event) AppendValue(b []byte, schemaID uint32) []byte {
	b = append(b, 0)
	b = binary.BigEndian.AppendUint32(b, schemaID)
	b = e.AppendKey(binary.AppendVarint(b, 8))
	b = e.AppendMerchantID(binary.AppendVarint(b, 6))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.Amount))
	b = append(binary.AppendVarint(b, int64(len(e.Country))), e.Country...)
	if e.CardPresent {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return binary.AppendVarint(b, e.Time.UnixMilli())
}

// appendID appends a letter and a number of so many digits.
func appendID(b []byte, letter byte, digits int, n uint32) []byte {
	b = append(b, letter)
	var buf [10]byte
	s := strconv.AppendUint(buf[:0], uint64(n), 10)
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}
