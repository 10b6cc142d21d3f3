package serve

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// quiet is a response that keeps nothing.
type quiet struct{ h http.Header }

func (q quiet) Header() http.Header         { return q.h }
func (q quiet) WriteHeader(int)             {}
func (q quiet) Write(b []byte) (int, error) { return len(b), nil }

// lookUps is a request that can be sent again and again.
func lookUps(tb testing.TB, entities string) (again func() *http.Request, w http.ResponseWriter) {
	body := `{"view": "spend", "entities": [` + entities + `], "as_of": "2013-01-05T10:00:00Z"}`
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/v1/features", nil)
	r.ContentLength = int64(len(body))
	text := strings.NewReader(body)
	r.Body = io.NopCloser(text)
	return func() *http.Request {
		text.Reset(body)
		return r
	}, quiet{http.Header{}}
}

// BenchmarkFeatures is one look-up without the network: parse, read, append.
func BenchmarkFeatures(b *testing.B) {
	f := newFixture(b, nil)
	f.some()
	one := `{"user_id": "u1"}`
	for name, entities := range map[string]string{"1": one, "100": strings.Repeat(one+",", 99) + one} {
		b.Run(name, func(b *testing.B) {
			again, w := lookUps(b, entities)
			b.ReportAllocs()
			for b.Loop() {
				f.server.Handler().ServeHTTP(w, again())
			}
		})
	}
}

// nobodySampled is a share of entities so small that none is in it.
const nobodySampled = 1e-18

// BenchmarkServingLog is a look-up of one entity: without a log, with one whose sample it is not in, and with one that
// it is written to.
func BenchmarkServingLog(b *testing.B) {
	for _, c := range []struct {
		name   string
		sample float64
	}{{"without", 0}, {"aside", nobodySampled}, {"logged", 1}} {
		b.Run(c.name, func(b *testing.B) {
			f := newFixture(b, func(cfg *Config) {
				if c.sample > 0 {
					cfg.ServingLog = openTestLog(b, LogConfig{Sample: c.sample})
				}
			})
			f.some()
			again, w := lookUps(b, `{"user_id": "u1"}`)
			b.ReportAllocs()
			for b.Loop() {
				f.server.Handler().ServeHTTP(w, again())
			}
			b.StopTimer()
			if l := f.server.cfg.ServingLog; l != nil {
				_ = l.Close() // what was dropped is no matter here
				b.ReportMetric(float64(l.written.Load())/float64(b.N), "rows/op")
			}
		})
	}
}

// TestServingLogCost: a look-up of entities that the log does not sample allocates nothing for it; one that is logged
// some few times for a row.
func TestServingLogCost(t *testing.T) {
	allocs := map[float64]float64{}
	for _, sample := range []float64{0, nobodySampled, 1} {
		f := newFixture(t, func(cfg *Config) {
			if sample > 0 {
				cfg.ServingLog = openTestLog(t, LogConfig{Sample: sample})
			}
		})
		f.some()
		again, w := lookUps(t, `{"user_id": "u1"}, {"user_id": "u2"}, {"user_id": "nobody"}`)
		l := &lookup{reader: f.store.NewReader()} // not of the pool, which forgets some under the race detector
		allocs[sample] = testing.AllocsPerRun(300, func() {
			l.reset()
			if err := f.server.answer(l, w, again()); err != nil {
				t.Error(err)
			}
		})
		if log := f.server.cfg.ServingLog; log != nil {
			if err := log.Close(); err != nil && sample < 1 {
				t.Error(err)
			}
		}
	}
	if allocs[nobodySampled] > allocs[0] {
		t.Errorf("%v allocations with a log that samples none of the entities, %v without a log", allocs[nobodySampled], allocs[0])
	}
	if allocs[1] <= allocs[0] {
		t.Errorf("%v allocations with a log, %v without: nothing was logged, and the test shows nothing", allocs[1], allocs[0])
	}
}
