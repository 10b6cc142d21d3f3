// Command load produces the flights of 2013 to a real Kafka, for examples/flights/pipeline.yaml.
//
//	go run ./examples/flights/load --brokers localhost:9092 --registry http://localhost:8081 --spine spine.csv
//
// It registers both schemas, creates the topics departures and arrivals (kept for ever: the records carry
// the time of their event), and sends one record for each departure and each arrival. It writes the spine
// too. Run it once: a second time would send every event again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/examples"
	"github.com/penstock-ml/penstock/internal/flights"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	set := flag.NewFlagSet("load", flag.ContinueOnError)
	set.SetOutput(errs)
	brokers := set.String("brokers", "localhost:9092", "addresses of brokers, with commas")
	registry := set.String("registry", "http://localhost:8081", "address of the schema registry")
	before := set.String("before", "2014-01-02T00:00:00Z", "send only events before this instant")
	spine := set.String("spine", "spine.csv", "where to write the spine")
	if err := set.Parse(args); err != nil {
		return 2
	}
	until, err := event.ParseTime(*before)
	if err != nil {
		fmt.Fprintln(errs, "load: --before:", err)
		return 2
	}
	if err := load(ctx, strings.Split(*brokers, ","), *registry, *spine, until, out); err != nil {
		fmt.Fprintln(errs, "load:", err)
		return 1
	}
	return 0
}

func load(ctx context.Context, brokers []string, registry, spine string, until event.Time, out io.Writer) error {
	departures, err := examples.Flights.ReadFile("flights/departures.avsc")
	if err != nil {
		return err
	}
	arrivals, err := examples.Flights.ReadFile("flights/arrivals.avsc")
	if err != nil {
		return err
	}
	target := flights.NewTarget(brokers, registry, string(departures), string(arrivals))
	if err := target.Prepare(ctx); err != nil {
		return err
	}
	all := flights.All()
	for s, events := range map[*flights.Stream][]flights.Event{
		&target.Departures: flights.Departures(all),
		&target.Arrivals:   flights.Arrivals(all),
	} {
		events, _ = flights.Split(events, until)
		n, err := target.Send(ctx, s, events, nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "sent %d %s\n", n, s.Topic)
	}
	return writeSpine(spine, flights.Examples(all, until), out)
}

func writeSpine(path string, rows []*flights.Flight, out io.Writer) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write spine: %w", err)
	}
	if err := errors.Join(flights.WriteSpine(f, rows), f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s: %d rows, label rate %.4f\n", path, len(rows), flights.LateShare(rows))
	return nil
}
