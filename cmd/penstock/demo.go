package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/examples"
	"github.com/penstock-ml/penstock/export"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/flights"
	"github.com/penstock-ml/penstock/internal/flights/embedded"
)

type demoCmd struct {
	Once   bool   `help:"Write a training table of the whole year and end, instead of replaying."`
	Dir    string `placeholder:"DIR" help:"Empty or an earlier demo's directory to work in; default a temporary one, removed at the end."`
	Listen string `placeholder:"ADDR" help:"Address to serve on; default 127.0.0.1:8080, with --once a free port."`
	Speed  int    `default:"600" placeholder:"N" help:"Replay at N times real time, 1 to 3600."`

	Until event.Time `kong:"-"` // load events before it; 0: all with Once, else demoStart. Tests load less
}

// Help shows an example.
func (demoCmd) Help() string {
	return "Example:\n  penstock demo\n  penstock demo --once --dir demo"
}

const (
	demoSet    = "departure_risk"
	demoListen = "127.0.0.1:8080"
	// demoSample: with --once, one of so many flights gets a row in the table, so that it is written
	// within seconds; all events are loaded.
	demoSample = 10
)

// demoStart is where the replay begins: what happened before is loaded at once, so that every feature
// has something to say.
var demoStart = event.FromGo(time.Date(2013, time.February, 1, 12, 0, 0, 0, time.UTC))

// demo is one run of the verb.
type demo struct {
	demoCmd
	e      *env
	dir    *demoDir
	all    []flights.Flight
	target *flights.Target
}

// Run shows the flights: a broker, a registry and a pipeline in this process.
func (c demoCmd) Run(e *env) (err error) {
	if c.Speed < 1 || c.Speed > 3600 {
		return misuse{fmt.Errorf("--speed %d is not within 1 and 3600", c.Speed)}
	}
	dir, err := openDemoDir(c.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.close()) }()
	services, err := embedded.Start()
	if err != nil {
		return err
	}
	defer services.Close()
	d := &demo{demoCmd: c, e: e, dir: dir, all: flights.All()}
	d.say("Penstock demo: every flight that left New York City in 2013, as Avro events in a Kafka-protocol broker.")
	d.say("  directory  %s%s", dir.path, map[bool]string{true: " (temporary: removed at the end)"}[dir.temporary])
	return d.run(services)
}

func (d *demo) say(format string, args ...any) { _, _ = fmt.Fprintf(d.e.out, format+"\n", args...) }

// run starts the pipeline on the services and shows it.
func (d *demo) run(services *embedded.Services) error {
	departures, arrivals, err := demoSchemas()
	if err != nil {
		return err
	}
	d.target = flights.NewTarget(services.Brokers(), services.Registry(), departures, arrivals)
	if err := d.target.Prepare(d.e.ctx); err != nil {
		return err
	}
	if err := d.dir.writePipeline(services.Brokers()[0], services.Registry()); err != nil {
		return err
	}
	listen := d.Listen
	if listen == "" && d.Once {
		listen = "127.0.0.1:0"
	}
	quiet := *d.e
	quiet.log = quietLog(d.e.log)
	p, err := startPipeline(&quiet, runCmd{File: d.dir.file("pipeline.yaml"), State: d.dir.file("state"), Listen: cmp.Or(listen, demoListen)})
	if err != nil {
		return err
	}
	if d.Once {
		return d.once(p)
	}
	return d.live(p)
}

func demoSchemas() (departures, arrivals string, err error) {
	dep, err := examples.Flights.ReadFile("flights/departures.avsc")
	if err != nil {
		return "", "", err
	}
	arr, err := examples.Flights.ReadFile("flights/arrivals.avsc")
	return string(dep), string(arr), err
}

// once loads everything, exports the training table and stops the pipeline.
func (d *demo) once(p *running) (err error) {
	until := cmp.Or(d.Until, event.MaxTime)
	known := flights.Examples(d.all, until)
	rows := flights.Sample(known, demoSample)
	var rep *export.Report
	if _, err = d.load(p, until); err == nil {
		d.say("  exporting  every %dth of the %d flights that arrived", demoSample, len(known))
		rep, err = d.training(p, rows)
	}
	err = p.stop(err, false, false)
	if rep == nil && d.e.ctx.Err() != nil {
		return errors.New("stopped before the table was written")
	}
	if err != nil {
		return err
	}
	if !d.dir.temporary {
		d.say("  again      %s export %s --state %s --spine %s --set %s --out %s --force", ownName(), shell(d.dir.file("pipeline.yaml")),
			shell(d.dir.file("state")), shell(d.dir.file("spine.csv")), demoSet, shell(d.dir.file("training.parquet")))
	}
	d.say("wrote training.parquet: %d rows, %d features, label rate %.4f", rep.Rows, len(rep.Features), flights.LateShare(rows))
	return nil
}

// training writes the spine and the table, as Parquet and CSV.
func (d *demo) training(p *running, rows []*flights.Flight) (rep *export.Report, err error) {
	if err := d.dir.write("spine.csv", func(w io.Writer) error { return flights.WriteSpine(w, rows) }); err != nil {
		return nil, err
	}
	start := time.Now()
	for _, name := range []string{"training.csv", "training.parquet"} {
		rep, err = export.FromStore(p.ctx, p.store, export.Request{
			Selection: feature.Selection{Set: demoSet}, Spine: d.dir.file("spine.csv"), Out: d.dir.file(name),
		})
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", name, err)
		}
	}
	d.say("  exported   %d rows twice, as CSV and Parquet, in %s", rep.Rows, since(start))
	return rep, nil
}

// load produces what happened before an instant and waits until it is counted. It returns what happens
// from then on.
func (d *demo) load(p *running, until event.Time) (rest [2][]flights.Event, err error) {
	start := time.Now()
	streams := [2]*flights.Stream{&d.target.Departures, &d.target.Arrivals}
	events := [2][]flights.Event{flights.Departures(d.all), flights.Arrivals(d.all)}
	var errs [2]error
	var sending sync.WaitGroup
	counts := map[string]int64{}
	for i, s := range streams {
		events[i], rest[i] = flights.Split(events[i], until)
		counts[s.Topic] = int64(len(events[i]))
		sending.Go(func() { _, errs[i] = d.target.Send(p.ctx, s, events[i], nil) })
	}
	d.say("  loading    %d departures and %d arrivals", len(events[0]), len(events[1]))
	sending.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return rest, err
	}
	if err := d.counted(p, counts); err != nil {
		return rest, err
	}
	d.say("  loaded     in %s", since(start))
	return rest, nil
}

// counted waits until as many records of each source are counted.
func (d *demo) counted(p *running, want map[string]int64) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := false
		for _, s := range p.store.Stats().Sources {
			missing = missing || s.Read < want[s.Name]
		}
		if !missing && p.store.Ready() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		case <-p.store.Failed():
			return p.store.Err()
		case err := <-p.read:
			p.read <- err // stop takes it
			return err
		case err := <-p.served:
			p.served <- err
			return err
		}
	}
}

// live loads what was before the replay, prints what to try, and replays the rest until it is told to stop.
func (d *demo) live(p *running) error {
	begin := cmp.Or(d.Until, demoStart)
	rest, err := d.load(p, begin)
	if err == nil {
		rows := flights.Examples(d.all, begin)
		err = d.dir.write("spine.csv", func(w io.Writer) error { return flights.WriteSpine(w, rows) })
	}
	if err != nil {
		return p.stop(err, false, false)
	}
	d.say("  replaying  from %s on, %d times as fast as it happened", begin, d.Speed)
	d.commands(p.url, begin)
	var sending sync.WaitGroup
	var errs [2]error
	start := time.Now()
	for i, s := range []*flights.Stream{&d.target.Departures, &d.target.Arrivals} {
		sending.Go(func() {
			if _, err := d.target.Send(p.ctx, s, rest[i], d.pace(p.ctx, begin, start)); err != nil && p.ctx.Err() == nil {
				errs[i] = err
				p.cancel(err)
			}
		})
	}
	replayed := make(chan struct{})
	go func() {
		defer close(replayed)
		if sending.Wait(); p.ctx.Err() == nil {
			d.say("The year is over: the features stay as they are.")
		}
	}()
	err = p.wait()
	<-replayed
	return errors.Join(append(errs[:], err)...)
}

// pace waits until it is time for an event, where the events from begin on are replayed from start on;
// false: the demo ends.
func (d *demo) pace(ctx context.Context, begin event.Time, start time.Time) func(event.Time) bool {
	timer := time.NewTimer(0)
	return func(t event.Time) bool {
		after := time.Duration(t.Sub(begin)) * time.Microsecond / time.Duration(d.Speed)
		timer.Reset(time.Until(start.Add(after)))
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// commands prints what works when pasted.
func (d *demo) commands(url string, begin event.Time) {
	upcoming := d.all[len(flights.Before(d.all, begin.Add(flights.Foresight))):]
	next := upcoming[slices.IndexFunc(upcoming, func(f flights.Flight) bool { return f.Departed })]
	body := fmt.Sprintf(`{"set": %q, "entities": [{"origin": %q, "carrier": %q, "tailnum": %q}], "request": [{"scheduled": %q, "distance": %d}], "as_of": "latest"}`,
		demoSet, next.Origin, next.Carrier, next.Tail, next.Scheduled, next.Distance)
	d.say("\nAsk for the features of flight %s to %s, as of the latest event:\n", next.ID(), next.Dest)
	d.say("  curl -s %s/v1/features -d '%s'", url, body)
	d.say("\nExport a training table of the flights that were loaded, from the same store:\n")
	d.say("  %s export %s --server %s --spine %s --set %s --out %s --force", ownName(), shell(d.dir.file("pipeline.yaml")), url,
		shell(d.dir.file("spine.csv")), demoSet, shell(d.dir.file("training.parquet")))
	d.say("\nSee what became of every record:\n")
	d.say("  curl -s %s/metrics | grep penstock_records", url)
	d.say("\nThe page: %s/\nCtrl-C ends the demo.", url)
}

// ownName is how a shell starts this program from any folder.
func ownName() string {
	if !strings.ContainsRune(os.Args[0], filepath.Separator) {
		return shell(os.Args[0])
	}
	path, err := os.Executable()
	if err != nil {
		return shell(os.Args[0])
	}
	return shell(path)
}

// shell quotes s for a POSIX shell, if it has to be.
func shell(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func since(t time.Time) string { return time.Since(t).Round(100 * time.Millisecond).String() }

// quietLog drops what says that all is well, unless details are asked for.
func quietLog(l *slog.Logger) *slog.Logger {
	if l.Enabled(context.Background(), slog.LevelDebug) {
		return l
	}
	return slog.New(warnings{l.Handler()})
}

// warnings handles records from warnings on.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }
