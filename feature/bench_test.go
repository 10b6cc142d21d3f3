package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/state"
)

const benchSchema = `{"type":"record","name":"t","fields":[
 {"name":"user_id","type":"string"},{"name":"merchant_id","type":"string"},{"name":"amount","type":"double"},
 {"name":"country","type":"string"},{"name":"card_present","type":"boolean"},
 {"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}}]}`

const benchPipeline = `pipeline: bench
state: {memory: "${PENSTOCK_BENCH_MEMORY:-1GiB}", flush: 5s}
sources:
  tx:
    kafka: {brokers: ["b:9092"], topic: tx}
    schema: {file: e.avsc}
    time: ts
entities:
  user: {user_id: string}
views:
  user:
    source: tx
    entity: user
    each:
      - {of: amount, do: [count, sum, avg, min, max], over: [1h, 24h]}
    features:
      last_country: {last: country}
      n: {count: "*"}
`

// benchUsers draws n users: Zipf, or uniform. PENSTOCK_BENCH_USERS says over how many, else a million.
// They are numbers: a million strings would be more work for the garbage collector than the store is.
func benchUsers(n int, zipf bool) []uint32 {
	rng := rand.New(rand.NewPCG(42, 42))
	users := uint64(benchNumber("PENSTOCK_BENCH_USERS", 1_000_000))
	z := rand.NewZipf(rng, 1.1, 1, users-1)
	out := make([]uint32, n)
	for i := range out {
		if zipf {
			out[i] = uint32(z.Uint64())
		} else {
			out[i] = uint32(rng.Uint64N(users))
		}
	}
	return out
}

func benchNumber(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// BenchmarkIngest counts decoded events in Badger until all is durable; PENSTOCK_BENCH_EVENTS says how many,
// PENSTOCK_BENCH_USERS of how many entities, PENSTOCK_BENCH_MEMORY within which budget. With
// PENSTOCK_BENCH_STORE=off nothing is committed: what ingest costs without a store, in memory without bound.
func BenchmarkIngest(b *testing.B) {
	n := benchNumber("PENSTOCK_BENCH_EVENTS", 500_000)
	for _, kind := range []string{"zipf", "uniform"} {
		b.Run(kind, func(b *testing.B) {
			users := benchUsers(n, kind == "zipf")
			for b.Loop() {
				benchIngest(b, users)
			}
		})
	}
}

func benchIngest(b *testing.B, users []uint32) {
	plan := testPlanSchema(b, benchPipeline, benchSchema)
	debug.SetMemoryLimit(plan.State.Memory)
	st, err := state.OpenBadger(b.TempDir(), state.BadgerOptions{Memory: plan.State.Memory / 4})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	values, bytes := 0, 0
	off := os.Getenv("PENSTOCK_BENCH_STORE") == "off"
	s, err := Open(st, plan, Options{Observe: Observer{Commit: func(_ time.Duration, v, n int) { values += v; bytes += n }}})
	if err != nil {
		b.Fatal(err)
	}
	s.work.off.Store(off)
	if off {
		s.headBudget = math.MaxInt64 / 2
	}
	rss := watchMemory()
	cpu := cpuTime()
	start := time.Now()
	benchFeed(b, s, plan, users)
	fed := time.Since(start)
	flush := s.Flush
	if off {
		flush = s.waitApplied
	}
	if err := flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	used := cpuTime() - cpu
	anon, all := rss()
	b.ReportMetric(float64(s.Stats().State.DiskBytes)/(1<<20), "MiB-disk")
	b.ReportMetric(float64(anon)/(1<<20), "MiB-anon")
	b.ReportMetric(float64(all)/(1<<20), "MiB-rss")
	b.ReportMetric(float64(s.Stats().Misses)/float64(len(users)), "misses/event")
	b.ReportMetric(float64(len(users))/took.Seconds(), "events/s")
	b.ReportMetric(float64(len(users))/used.Seconds(), "events/cpu-s")
	b.ReportMetric(float64(values), "values")
	b.ReportMetric(float64(bytes)/1e6, "MB-written")
	b.ReportMetric(fed.Seconds(), "s-fed")
	if off {
		s.abandon()
	} else if err := s.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// benchName writes a user's name into b.
func benchName(b []byte, user uint32) {
	for k := len(b) - 1; k > 0; k-- {
		b[k] = byte('0' + user%10)
		user /= 10
	}
}

// benchBase is when the events of benchFeed begin.
const benchBase = event.Time(1_700_000_000_000_000)

// benchFeed hands over one event of each of users, in four partitions at once.
func benchFeed(b *testing.B, s *Store, plan *pipeline.Plan, users []uint32) {
	const parts = 4
	var wg sync.WaitGroup
	for p := range parts {
		wg.Go(func() {
			benchPartition(b, s, plan, int32(p), users[p*len(users)/parts:(p+1)*len(users)/parts], len(users))
		})
	}
	wg.Wait()
}

func benchPartition(b *testing.B, s *Store, plan *pipeline.Plan, num int32, users []uint32, total int) {
	p := s.Partition(plan.Sources[0], num)
	rng := rand.New(rand.NewPCG(uint64(num), 7))
	countries := []event.Value{event.StringOf("US"), event.StringOf("DE"), event.StringOf("FR"), event.StringOf("JP")}
	rec := Record{Slots: make([]event.Value, len(plan.Sources[0].Columns))}
	name := []byte("u0000000")
	for i, u := range users {
		t := benchBase.Add(event.Duration(int64(i) * int64(2*event.Hour) / int64(len(users)) / 1000 * 1000))
		if i%10 == 0 {
			t = t.Add(-event.Duration(rng.Int64N(int64(30 * event.Second))))
		}
		benchName(name, u)
		for j, c := range plan.Sources[0].Columns {
			switch c.Name {
			case "user_id":
				rec.Slots[j] = event.StringOf(event.Alias(name))
			case "amount":
				rec.Slots[j] = event.DoubleOf(float64(rng.IntN(100_000)) / 100)
			case "country":
				rec.Slots[j] = countries[i&3]
			case "ts":
				rec.Slots[j] = event.TimestampOf(t)
			}
		}
		rec.Offset, rec.Timestamp, rec.Arrival = int64(i), t, t
		p.Add(&rec)
		if i%1000 == 999 || i == len(users)-1 {
			if err := p.End(b.Context(), int64(i)+1, false); err != nil {
				b.Error(err)
				return
			}
		}
	}
}

// watchMemory notes the most memory that the process holds until it is asked: its own, and with the pages
// of mapped files.
func watchMemory() func() (anon, all int64) {
	stop, done := make(chan struct{}), make(chan struct{})
	var anon, all int64
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			text, err := os.ReadFile("/proc/self/status")
			if err != nil {
				return
			}
			for line := range strings.Lines(string(text)) {
				var n int64
				if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &n); err == nil {
					anon = max(anon, n<<10)
				}
				if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &n); err == nil {
					all = max(all, n<<10)
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return func() (int64, int64) {
		close(stop)
		<-done
		return anon, all
	}
}

func cpuTime() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
