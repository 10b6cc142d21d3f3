package examples_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/examples"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/internal/flights"
	"github.com/penstock-ml/penstock/internal/flights/embedded"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/state"
	"github.com/penstock-ml/penstock/stream"
)

// load compiles a pipeline file; registry subjects are looked up.
func load(t *testing.T, path string, env map[string]string) *pipeline.Plan {
	t.Helper()
	plan, list := pipeline.Load(path, pipeline.Options{
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Subject: func(ref pipeline.RegistryRef) (*schemas.Schema, error) {
			reg, err := schemas.NewRegistry(schemas.RegistryOptions{URL: ref.URL})
			if err != nil {
				return nil, err
			}
			_, s, err := reg.Latest(t.Context(), ref.Subject)
			return s, err
		},
	})
	if plan == nil || len(list) > 0 {
		t.Fatalf("%s: %v", path, diagText(list))
	}
	return plan
}

func diagText(list diag.List) string {
	text := ""
	for _, d := range list {
		text += d.Message + "\n"
	}
	return text
}

// ingest runs a plan over a state in memory until as many records of each source are counted.
func ingest(t *testing.T, plan *pipeline.Plan, want map[string]int64) *feature.Store {
	t.Helper()
	store, err := feature.Open(state.NewMemory(), plan, feature.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- stream.Run(ctx, stream.Config{Plan: plan, Store: store}) }()
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := 0
		for _, s := range store.Stats().Sources {
			if s.Read < want[s.Name] {
				missing++
			}
		}
		if missing == 0 && store.Ready() == nil {
			return store
		}
		select {
		case <-tick.C:
		case err := <-done:
			done <- err
			t.Fatalf("stopped early: %v", err)
		case <-deadline.C:
			t.Fatalf("not all is counted: %+v", store.Stats().Sources)
		}
	}
}

// streamFlights produces events to a broker and a registry of its own and runs the example over them.
func streamFlights(t *testing.T, departures, arrivals []flights.Event) *feature.Store {
	t.Helper()
	return streamFlightsTo(t, "flights/pipeline.yaml", departures, arrivals)
}

func streamFlightsTo(t *testing.T, file string, departures, arrivals []flights.Event) *feature.Store {
	t.Helper()
	services, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(services.Close)
	text := func(name string) string {
		b, err := examples.Flights.ReadFile("flights/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	target := flights.NewTarget(services.Brokers(), services.Registry(), text("departures.avsc"), text("arrivals.avsc"))
	if err := target.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{}
	for s, events := range map[*flights.Stream][]flights.Event{&target.Departures: departures, &target.Arrivals: arrivals} {
		n, err := target.Send(t.Context(), s, events, nil)
		if err != nil {
			t.Fatal(err)
		}
		want[s.Topic] = n
	}
	plan := load(t, file, map[string]string{
		"KAFKA_BROKERS": services.Brokers()[0], "SCHEMA_REGISTRY_URL": services.Registry(),
	})
	return ingest(t, plan, want)
}

// table exports a spine as CSV and returns its text.
func table(t *testing.T, store *feature.Store, spine string, sel feature.Selection) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.csv")
	if _, err := export.FromStore(t.Context(), store, export.Request{Selection: sel, Spine: spine, Out: out}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// spineOf writes a spine of flights at instants of the test's choice.
func spineOf(t *testing.T, rows []*flights.Flight, at func(*flights.Flight) event.Time) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spine.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := flights.WriteSpineAt(f, rows, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
