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

// BenchmarkFeatures is one look-up without the network: parse, read, append.
func BenchmarkFeatures(b *testing.B) {
	f := newFixture(b, nil)
	f.some()
	one := `{"user_id": "u1"}`
	for name, entities := range map[string]string{"1": one, "100": strings.Repeat(one+",", 99) + one} {
		b.Run(name, func(b *testing.B) {
			body := `{"view": "spend", "entities": [` + entities + `], "as_of": "2013-01-05T10:00:00Z"}`
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/features", nil)
			r.ContentLength = int64(len(body))
			text := strings.NewReader(body)
			r.Body = io.NopCloser(text)
			w := quiet{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				text.Reset(body)
				f.server.Handler().ServeHTTP(w, r)
			}
		})
	}
}
