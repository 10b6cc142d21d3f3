package schemas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newRegistry(t *testing.T, opts RegistryOptions) *Registry {
	t.Helper()
	r, err := NewRegistry(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestRegistryAgainstFake(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	client, err := sr.NewClient(sr.URLs(fake.URL()))
	if err != nil {
		t.Fatal(err)
	}
	create := func(subject, text string, refs ...sr.SchemaReference) sr.SubjectSchema {
		s, err := client.CreateSchema(t.Context(), subject, sr.Schema{Schema: text, Type: sr.TypeAvro, References: refs})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one := create("transactions-value", transactions)
	create("geo/point", point)
	two := create("rides-value", `{"type":"record","name":"Ride","fields":[{"name":"at","type":"P"},{"name":"n","type":"int"}]}`,
		sr.SchemaReference{Name: "P", Subject: "geo/point", Version: 1})

	r := newRegistry(t, RegistryOptions{URL: fake.URL() + "/"})
	s, err := r.ByID(t.Context(), uint32(one.ID))
	if err != nil || s.Name() != "shop.Transaction" {
		t.Fatalf("%v, %v", s, err)
	}
	id, s, err := r.Latest(t.Context(), "rides-value")
	if err != nil || id != two.ID || strings.Join(paths(s), " ") != "at.lat at.lon n" {
		t.Fatalf("%d %v %v", id, s, err)
	}
	if _, err := r.ByID(t.Context(), 999); !errors.Is(err, ErrUnknownSchema) {
		t.Errorf("unknown id: %v", err)
	}
	if _, _, err := r.Latest(t.Context(), "none"); !errors.Is(err, ErrUnknownSchema) {
		t.Errorf("unknown subject: %v", err)
	}
}

// registryServer answers with what answer says, and counts the questions.
func registryServer(t *testing.T, answer http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		answer(w, req)
	}))
	t.Cleanup(s.Close)
	return s, &asked
}

func TestRegistryFaults(t *testing.T) {
	elsewhere, _ := registryServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"schema":"\"int\""}`) })
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, ErrUnknownSchema},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, ErrUnavailable},
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, ErrUnavailable},
		{"not json", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, ErrUnavailable},
		{"protobuf", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"schemaType":"PROTOBUF","schema":"message M {}"}`)
		}, ErrUnusable},
		{"invalid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"schema":"{}"}`) }, ErrUnusable},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for range 3 << 10 {
				fmt.Fprint(w, strings.Repeat(" ", 1024))
			}
		}, ErrUnusable},
		{"slow", func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, ErrUnavailable},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		}, ErrUnavailable},
		{"redirect away", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL+req.URL.Path, http.StatusFound)
		}, ErrUnavailable},
		{"references that hold themselves", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"schema":"\"P\"","references":[{"name":"P","subject":"s","version":1}]}`)
		}, ErrUnusable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := registryServer(t, c.answer)
			r := newRegistry(t, RegistryOptions{URL: s.URL, Timeout: 200 * time.Millisecond})
			if _, err := r.ByID(t.Context(), 7); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "schema 7: ") {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	s, _ := registryServer(t, nil)
	s.Close()
	r := newRegistry(t, RegistryOptions{URL: s.URL})
	if _, err := r.ByID(t.Context(), 7); !errors.Is(err, ErrUnavailable) {
		t.Errorf("refused: %v", err)
	}
}

func TestRegistryCaches(t *testing.T) {
	gate := make(chan struct{})
	known := atomic.Bool{}
	s, asked := registryServer(t, func(w http.ResponseWriter, req *http.Request) {
		<-gate
		if u, p, _ := req.BasicAuth(); req.URL.Path != "/apis/ccompat/v7/schemas/ids/5" || u != "me" || p != "secret" {
			w.WriteHeader(500)
		} else if !known.Load() {
			w.WriteHeader(404)
		} else {
			fmt.Fprint(w, `{"schema":"\"int\""}`)
		}
	})
	r := newRegistry(t, RegistryOptions{URL: s.URL + "/apis/ccompat/v7/", Username: "me", Password: "secret"})
	now := time.Now()
	r.now = func() time.Time { return now }
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := r.ByID(t.Context(), 5); !errors.Is(err, ErrUnknownSchema) {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.ByID(ctx, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(gate)
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times for one id", n)
	}
	// The pauses double.
	for i, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		now = now.Add(pause - 1)
		_, _ = r.ByID(t.Context(), 5)
		if n := asked.Load(); n != int64(i+1) {
			t.Errorf("asked %d times before pause %d is over", n, i)
		}
		now = now.Add(1)
		_, _ = r.ByID(t.Context(), 5)
		if n := asked.Load(); n != int64(i+2) {
			t.Errorf("asked %d times after pause %d", n, i)
		}
	}
	known.Store(true)
	now = now.Add(time.Minute)
	for range 3 {
		if _, err := r.ByID(t.Context(), 5); err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("asked %d times for a known id", n)
	}
}

func TestRegistryURL(t *testing.T) {
	for _, u := range []string{"", "localhost:8081", "ftp://x", "http://", "http://a b"} {
		if _, err := NewRegistry(RegistryOptions{URL: u}); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
	_, err := NewRegistry(RegistryOptions{URL: "ftp://user:hidden@host"})
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
	r := newRegistry(t, RegistryOptions{URL: "http://user:hidden@127.0.0.1:1"})
	if _, err := r.ByID(t.Context(), 1); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
}

func TestDecoders(t *testing.T) {
	answer := atomic.Value{}
	answer.Store(`{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"x\",\"type\":\"string\"}]}"}`)
	s, asked := registryServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer.Load()) })
	reader := parse(t, of(`"long"`))
	d, err := NewDecoders(newRegistry(t, RegistryOptions{URL: s.URL}), reader, []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	d.now = func() time.Time { return now }
	for range 3 {
		_, err := d.For(t.Context(), 3)
		if !errors.Is(err, ErrResolve) || err.Error() != `schema 3: the schemas do not resolve: field "x": string, but the reader's type is long` {
			t.Errorf("%v", err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times within the pause", asked.Load())
	}
	answer.Store(`{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}"}`)
	now = now.Add(time.Second)
	first, err := d.For(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := d.For(t.Context(), 3); again != first || err != nil {
		t.Errorf("%p, %p, %v", first, again, err)
	}
	if _, err := NewDecoders(nil, reader, []string{"y"}); err == nil {
		t.Error("a column that is none is taken")
	}
	own, err := NewDecoders(nil, reader, []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if dec, err := own.For(t.Context(), 12); dec != own.Own() || err != nil {
		t.Errorf("without a registry: %v", err)
	}
}

func TestLRU(t *testing.T) {
	l := newLRU[int, string](2)
	l.put(1, "a")
	l.put(2, "b")
	l.get(1)
	l.put(3, "c")
	if _, ok := l.get(2); ok {
		t.Error("2 was used for longest and is still there")
	}
	if v, ok := l.get(1); v != "a" || !ok || len(l.at) != 2 {
		t.Errorf("%q %v %d", v, ok, len(l.at))
	}
}
