package engine

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/bench/workload"
	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/state"
)

// feed is the events of one partition: of the users whose number leaves its number.
type feed struct {
	m      *measured
	num    int
	part   *feature.Partition
	rng    *rand.Rand
	rec    feature.Record
	place  [6]int // of the workload's columns in the slots; -1: not used
	offset int64
	at     event.Time
}

var (
	columns   = [6]string{"user_id", "merchant_id", "amount", "country", "card_present", "ts"}
	countries = func() (out [len(workload.Countries)]event.Value) {
		for i, c := range workload.Countries {
			out[i] = event.StringOf(c)
		}
		return out
	}()
	merchants = func() (out [1000]event.Value) {
		for i := range out {
			out[i] = event.StringOf(fmt.Sprintf("m%05d", i))
		}
		return out
	}()
)

func newFeed(m *measured, num int) *feed {
	src := m.plan.Sources[0]
	f := &feed{
		m: m, num: num, part: m.store.Partition(src, int32(num)), rng: rand.New(rand.NewPCG(uint64(num), 7)),
		rec: feature.Record{Slots: make([]event.Value, len(src.Columns))}, at: event.FromGo(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)),
	}
	for i, name := range columns {
		f.place[i] = -1
		for j, c := range src.Columns {
			if c.Name == name {
				f.place[i] = j
			}
		}
	}
	return f
}

// fill counts an event of each user of the partition, spread over an hour, in an order that is not that
// of their numbers.
func (f *feed) fill(ctx context.Context) error {
	n := (f.m.job.Users - f.num + Partitions - 1) / Partitions
	stride := 7_368_787 // a prime larger than any number of users in a partition
	step := event.Duration(int64(event.Hour) / int64(n))
	for i := range n {
		user := int(int64(i)*int64(stride)%int64(n))*Partitions + f.num
		if err := f.count(ctx, user, step, i == n-1); err != nil {
			return err
		}
	}
	return nil
}

// draw counts the partition's share of the events.
func (f *feed) draw(ctx context.Context) error {
	n := (f.m.job.Events - f.num + Partitions - 1) / Partitions
	users := workload.Users(workload.Options{Users: f.m.job.Users / Partitions, Keys: f.m.job.Keys}, f.rng)
	step := event.Duration(f.m.job.Span.Microseconds() / int64(n))
	for i := range n {
		if err := f.count(ctx, int(users())*Partitions+f.num, step, i == n-1); err != nil {
			return err
		}
	}
	return nil
}

// count counts one event; a tenth come up to 30 s late.
func (f *feed) count(ctx context.Context, user int, step event.Duration, last bool) error {
	f.at = f.at.Add(step)
	at := f.at
	if f.rng.IntN(10) == 0 {
		at = at.Add(-event.Duration(f.rng.Int64N(int64(30 * event.Second))))
	}
	if user < sampledUsers {
		f.m.seen[user]++ // of one partition only
	}
	f.set(0, event.StringOf(string(workload.AppendUserID(nil, uint32(user)))))
	f.set(1, merchants[f.rng.IntN(len(merchants))])
	f.set(2, event.DoubleOf(float64(1+f.rng.IntN(100_000))/100))
	f.set(3, countries[f.rng.IntN(len(countries))])
	f.set(4, event.BoolOf(f.rng.IntN(4) != 0))
	f.set(5, event.TimestampOf(at))
	f.rec.Offset, f.rec.Timestamp, f.rec.Arrival = f.offset, at, at
	f.part.Add(&f.rec)
	f.offset++
	if last || f.offset%1000 == 0 {
		return f.part.End(ctx, f.offset, false)
	}
	return nil
}

func (f *feed) set(column int, v event.Value) {
	if at := f.place[column]; at >= 0 {
		f.rec.Slots[at] = v
	}
}

// counted counts what goes to and from a store.
type counted struct {
	state.Store
	gets, values atomic.Int64
}

// Commit counts the values.
func (c *counted) Commit(b *state.Batch) error {
	c.values.Add(int64(b.Len()))
	return c.Store.Commit(b)
}

// Snapshot returns a view that counts.
func (c *counted) Snapshot() state.Snapshot { return countedSnapshot{c.Store.Snapshot(), c} }

type countedSnapshot struct {
	state.Snapshot
	c *counted
}

// Get counts.
func (s countedSnapshot) Get(key, dst []byte) ([]byte, error) {
	s.c.gets.Add(1)
	return s.Snapshot.Get(key, dst)
}

// resident is the memory of this process in bytes, and what of it is not pages of files.
func resident() (all, anonymous int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	of := func(name string) int64 {
		_, rest, _ := bytes.Cut(status, []byte(name))
		if fields := bytes.Fields(rest); len(fields) > 0 {
			kb, _ := strconv.ParseInt(string(fields[0]), 10, 64)
			return kb << 10
		}
		return 0
	}
	return of("VmRSS:"), of("RssAnon:")
}
