package export

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
)

const labelYAML = `pipeline: p
sources:
  tx:
    kafka: {brokers: ["localhost:9092"], topic: transactions}
    schema: {file: tx.avsc}
    time: ts
entities:
  user: {user_id: string}
views:
  spend:
    source: tx
    entity: user
    history: 30d
    features:
      seen: {max: ts}
      sum_1h: {sum: amount, window: 1h}
labels:
  n: {source: tx, entity: user, label: {count: "*", window: {after: 1h}}}
  big: {view: spend, label: {sum: amount, where: amount > 2, window: {after: 2h, delay: 30m}, default: 0}, settle: 10m}
  first: {view: spend, label: {min: ts, window: {after: 2h}}}
  band: {view: spend, label: {count: "*", where: amount > 4, window: {after: 6h}}, neutral: {from: 2, to: 4}, buckets: [1, 4]}
exports:
  events:
    view: spend
    spine: {source: tx, columns: {paid: amount, shop: shop}, where: shop > 1}
    labels: [n, big, first]
  asked:
    view: spend
    spine: {file: spine.csv}
    labels: [n, big, first]
    out: asked.csv
  kept:
    view: spend
    spine: {file: spine.csv}
    labels: [big]
    unripe: keep
  bands:
    view: spend
    spine: {file: spine.csv}
    labels: [band]
  of_label:
    view: spend
    spine: {label: big, from: "2013-01-02T06:00:00Z", to: "2013-01-02T08:00:00Z"}
`

// history adds random events to three partitions: one user has most of them, some arrive late, and some share
// their instants. Amounts are quarters, so that sums are exact.
func (f *fixture) history(n int, seed uint64) (all []tx) {
	f.t.Helper()
	all, _ = f.historyAt(n, seed)
	return all
}

// historyAt tells the positions of the events too.
func (f *fixture) historyAt(n int, seed uint64) (all []tx, records []oracle.Record) {
	f.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	next := f.ends
	for i := range n {
		// A step of 1m40s gives equal instants, and windows that end exactly at events.
		ts := at("2013-01-02T00:00:00Z").Add(event.Duration(i) * 20 * event.Second)
		ts = ts.Add(-event.Duration(ts) % (100 * event.Second)).Add(event.Duration(r.IntN(2)))
		user := "busy"
		if r.IntN(3) == 0 {
			user = fmt.Sprintf("u%d", r.IntN(20))
		}
		e := tx{user: user, ts: ts.String(), arrival: ts.Add(event.Duration(r.IntN(3)) * 7 * event.Minute).String(), shop: int64(r.IntN(4)), amount: float64(r.IntN(24)) / 4}
		all = append(all, e)
		p := int32(r.IntN(3))
		f.part, f.next = f.store.Partition(f.plan.Sources[0], p), next[p]
		records = append(records, oracle.Record{Partition: p, Offset: f.next, Arrival: at(e.arrival), Slots: f.slots(e)})
		f.add(e)
		next[p] = f.next
		if i%700 == 699 { // rows go to the archive
			if err := f.store.Flush(f.t.Context()); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	cut, err := f.store.Cut(f.t.Context()) // waits until all is counted
	if err != nil {
		f.t.Fatal(err)
	}
	cut.Close()
	return all, records
}

// watermark is the least of the partitions.
func (f *fixture) watermark() event.Time {
	w := event.MaxTime
	for _, s := range f.store.Stats().Sources {
		for _, p := range s.Partitions {
			w = min(w, p.Watermark)
		}
	}
	return w
}

// naive answers the three labels of a user as of an instant by going through all events.
func naive(all []tx, user string, t event.Time) (n int, big float64, first string) {
	least := event.MaxTime
	for _, e := range all {
		ts := at(e.ts)
		if e.user != user {
			continue
		}
		if ts >= t && ts < t.Add(event.Hour) {
			n++
		}
		if from := t.Add(30 * event.Minute); ts >= from && ts < from.Add(2*event.Hour) && e.amount > 2 {
			big += e.amount
		}
		if ts >= t && ts < t.Add(2*event.Hour) {
			least = min(least, ts)
		}
	}
	if least < event.MaxTime {
		first = least.String()
	}
	return n, big, first
}

func columnsOf(t *testing.T, rows [][]string) (find func(row []string, name string) string) {
	return func(row []string, name string) string {
		i := slices.Index(rows[0], name)
		if i < 0 {
			t.Fatalf("no column %q among %v", name, rows[0])
		}
		return row[i]
	}
}

func (f *fixture) declared(name string, export exporter) (*Report, [][]string) {
	f.t.Helper()
	out := f.out(name + ".csv")
	rep, err := export(f.t.Context(), Request{Export: name, Out: out, Plan: f.plan, Force: true})
	if err != nil {
		f.t.Fatalf("export %s: %v", name, err)
	}
	return rep, f.csv(out)
}

// TestSourceSpine exports every event of a source. Each row must have its own event as the first one ahead and
// none of it behind: a column that tells the instant of every event, planted among the features and the
// labels, shows that the features of a row saw the past only, and its labels the future only.
func TestSourceSpine(t *testing.T) {
	f := newFixtureOf(t, labelYAML)
	all := f.history(3000, 1)
	mark := f.watermark()
	for name, export := range exporters(f) {
		rep, rows := f.declared("events", export)
		if want := "user_id,event_time,paid,shop,n,big,first,seen,sum_1h"; strings.Join(rows[0], ",") != want {
			t.Fatalf("%s: columns %v, want %s", name, rows[0], want)
		}
		col := columnsOf(t, rows)
		var got, want []string
		past := 0
		for _, row := range rows[1:] {
			got = append(got, fmt.Sprint(col(row, "user_id"), " ", col(row, "event_time"), " ", col(row, "paid"), " ", col(row, "shop")))
			instant := at(col(row, "event_time"))
			n, big, first := naive(all, col(row, "user_id"), instant)
			if a, b := fmt.Sprint(col(row, "n"), " ", col(row, "big"), " ", col(row, "first")), fmt.Sprint(n, " ", big, " ", first); a != b {
				t.Fatalf("%s: %s at %s: labels %s, want %s", name, col(row, "user_id"), instant, a, b)
			}
			if canary := col(row, "first"); at(canary) < instant {
				t.Fatalf("a label of %s saw %s", instant, canary)
			}
			if canary := col(row, "seen"); canary != "" {
				past++
				if at(canary) >= instant {
					t.Fatalf("a feature of %s saw %s", instant, canary)
				}
			}
		}
		unripe := int64(0)
		for _, e := range all {
			switch {
			case e.shop <= 1:
			case mark < at(e.ts).Add(2*event.Hour+40*event.Minute): // big: 30m, 2h, 10m to settle
				unripe++
			default:
				want = append(want, fmt.Sprint(e.user, " ", at(e.ts), " ", strconv.FormatFloat(e.amount, 'f', -1, 64), " ", e.shop))
			}
		}
		if rep.LeftOut.Unripe != unripe || unripe == 0 || rep.SpineRows != rep.Rows+unripe || int(rep.Rows) != len(want) || past < 1000 {
			t.Errorf("%s: %+v of %d rows, %d in the table, %d with a past; want %d unripe", name, *rep.LeftOut, rep.SpineRows, rep.Rows, past, unripe)
		}
		if !slices.IsSortedFunc(rows[1:], func(a, b []string) int {
			if col(a, "user_id") != col(b, "user_id") {
				return 0
			}
			return strings.Compare(col(a, "event_time"), col(b, "event_time"))
		}) {
			t.Error("the rows of an entity are not by time")
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the rows are not the events", name)
		}
	}
}

// TestLabelsOfAFile asks at, and a microsecond around, the edges of windows.
func TestLabelsOfAFile(t *testing.T) {
	f := newFixtureOf(t, labelYAML)
	all := f.history(1500, 2)
	mark := f.watermark()
	r := rand.New(rand.NewPCG(3, 3))
	var text strings.Builder
	text.WriteString("id,user_id,event_time\n")
	var want [][]string
	unripe := int64(0)
	for i := range 3000 {
		e := all[r.IntN(len(all))]
		edges := []event.Duration{0, event.Hour, 30 * event.Minute, 2*event.Hour + 30*event.Minute, 2 * event.Hour}
		instant := at(e.ts).Add(-edges[r.IntN(len(edges))]).Add(event.Duration(r.IntN(3) - 1))
		user := []string{e.user, "nobody"}[r.IntN(20)/19]
		fmt.Fprintf(&text, "%d,%s,%s\n", i, user, instant)
		if mark < instant.Add(2*event.Hour+40*event.Minute) {
			unripe++
			continue
		}
		n, big, first := naive(all, user, instant)
		want = append(want, []string{strconv.Itoa(i), fmt.Sprint(n), fmt.Sprint(big), first})
	}
	f.write("spine.csv", text.String())
	for name, export := range exporters(f) {
		rep, rows := f.declared("asked", export)
		if len(rows)-1 != len(want) || rep.LeftOut.Unripe != unripe || rep.Labels[2].Nulls == 0 {
			t.Fatalf("%s: %d rows, %+v; want %d, %d unripe", name, len(rows)-1, rep, len(want), unripe)
		}
		for i, row := range rows[1:] {
			if got := append(row[:1:1], row[3:6]...); !slices.Equal(got, want[i]) {
				t.Fatalf("%s: %v, want %v", name, row, want[i])
			}
		}
	}
}

func TestUnripeKept(t *testing.T) {
	f := newFixtureOf(t, labelYAML)
	all := f.history(1500, 4)
	mark := f.watermark()
	ripe := mark.Add(-2*event.Hour - 40*event.Minute)
	f.write("spine.csv", fmt.Sprintf("user_id,event_time\nbusy,%s\nbusy,%s\nnobody,%s\nbusy,2012-11-01T00:00:00Z\n", ripe, ripe+1, mark.Add(event.Hour)))
	rep, rows := f.declared("kept", exporters(f)["store"])
	_, a, _ := naive(all, "busy", ripe)
	_, b, _ := naive(all, "busy", ripe+1)
	var got []string
	for _, row := range rows {
		got = append(got, strings.Join(row[2:4], " "))
	}
	want := []string{"big big__ripe", fmt.Sprint(a, " true"), fmt.Sprint(b, " false"), "0 false", " true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if l := rep.Labels[0]; l.Nulls != 1 || l.BeforeHistory != 1 || rep.LeftOut.Sum() != 0 {
		t.Errorf("%+v, left out %+v", l, *rep.LeftOut)
	}
}

func TestNeutralAndBuckets(t *testing.T) {
	f := newFixtureOf(t, labelYAML)
	all := f.history(2000, 5)
	var text strings.Builder
	text.WriteString("user_id,event_time\n")
	var want []string
	neutral := int64(0)
	for i := range 20 {
		user, instant := fmt.Sprintf("u%d", i), at("2013-01-02T00:10:00Z")
		fmt.Fprintf(&text, "%s,%s\n", user, instant)
		n := 0
		for _, e := range all {
			if ts := at(e.ts); e.user == user && ts >= instant && ts < instant.Add(6*event.Hour) && e.amount > 4 {
				n++
			}
		}
		switch {
		case n < 1:
			want = append(want, user+" 0")
		case n < 2:
			want = append(want, user+" 1")
		case n < 4:
			neutral++
		default:
			want = append(want, user+" 2")
		}
	}
	f.write("spine.csv", text.String())
	rep, rows := f.declared("bands", exporters(f)["server"])
	var got []string
	for _, row := range rows[1:] {
		got = append(got, row[0]+" "+row[2])
	}
	if !slices.Equal(got, want) || rep.LeftOut.Neutral != neutral || neutral == 0 {
		t.Errorf("got %v, %d neutral; want %v, %d neutral", got, rep.LeftOut.Neutral, want, neutral)
	}
}

// TestLabelSpine has a row for each event that counts for a label, within bounds.
func TestLabelSpine(t *testing.T) {
	f := newFixtureOf(t, labelYAML)
	all := f.history(1500, 6)
	_, rows := f.declared("of_label", exporters(f)["store"])
	var got, want []string
	for _, row := range rows[1:] {
		got = append(got, row[0]+" "+row[1])
	}
	for _, e := range all {
		if ts := at(e.ts); e.amount > 2 && ts >= at("2013-01-02T06:00:00Z") && ts < at("2013-01-02T08:00:00Z") {
			want = append(want, e.user+" "+ts.String())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// TestLabelsDoNotDependOnWorkers compares bytes.
func TestLabelsDoNotDependOnWorkers(t *testing.T) {
	f := newFixtureOf(t, labelYAML)
	f.history(1200, 7)
	var first string
	for _, workers := range []int{1, 2, 7} {
		out := f.out(fmt.Sprintf("w%d.parquet", workers))
		if _, err := FromStore(context.Background(), f.store, Request{Export: "events", Out: out, Workers: workers}); err != nil {
			t.Fatal(err)
		}
		if got := f.read(out); first == "" {
			first = got
		} else if got != first {
			t.Errorf("%d workers write other bytes", workers)
		}
	}
}

// TestLabelBatches: labels do not depend on how many rows are read together, nor by how many goroutines.
func TestLabelBatches(t *testing.T) {
	f := newFixtureOf(t, labelYAML)
	f.history(500, 3)
	rng := rand.New(rand.NewPCG(1, 1))
	var text strings.Builder
	text.WriteString("user_id,event_time\n")
	for range 34_000 { // more than a chunk holds
		fmt.Fprintf(&text, "u%d,%s\n", rng.IntN(20), at("2013-01-02T00:00:00Z").Add(event.Duration(rng.Int64N(8*3600_000_000))))
	}
	f.write("spine.csv", text.String())
	var first string
	for _, req := range []Request{{Memory: 1, Workers: 1}, {Workers: 3}} {
		req.Export, req.Force = "asked", true
		rep, err := FromStore(t.Context(), f.store, req)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.read(f.out("asked.csv")); first == "" {
			first = got
		} else if got != first {
			t.Errorf("%+v: another table", req)
		}
		if rep.SpineRows != 34_000 || rep.Rows == 0 {
			t.Errorf("%d rows of %d", rep.Rows, rep.SpineRows)
		}
	}
}
