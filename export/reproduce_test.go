package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// TestReproduce: after late corrections and more data a manifest gives the same bytes, from a store and from a server;
// a new export of the same spine does not.
func TestReproduce(t *testing.T) {
	for _, ext := range []string{"parquet", "csv", "arrow"} {
		for _, served := range []bool{false, true} {
			t.Run(fmt.Sprint(ext, served), func(t *testing.T) {
				f := newFixture(t)
				f.some()
				jobs := NewJobs(f.store, JobOptions{TempDir: f.dir, Build: Build{"v", "c"}})
				defer jobs.Close()
				srv := httptest.NewServer(jobs)
				defer srv.Close()
				export := (&Client{URL: srv.URL}).Export
				if !served {
					export = func(ctx context.Context, r Request) (*Report, error) { return FromStore(ctx, f.store, r) }
				}
				spine, out := f.write("spine.csv", spineCSV), f.out("table."+ext)
				req := Request{Selection: feature.Selection{Set: "fraud"}, Spine: spine, Out: out, WithStatus: true, Manifest: true, Build: Build{"v", "c"}}
				if _, err := export(t.Context(), req); err != nil {
					t.Fatal(err)
				}
				m, err := ReadManifest(out + ManifestSuffix)
				if err != nil {
					t.Fatal(err)
				}
				f.add(
					tx{user: "u1", ts: "2013-01-05T09:40:00Z", arrival: "2013-01-05T12:00:00Z", amount: 100},
					tx{user: "u2", ts: "2013-01-05T12:00:00Z", amount: 1},
				)
				again := f.out("again." + ext)
				report, err := Reproduce(t.Context(), Reproduction{Manifest: m, ManifestPath: out + ManifestSuffix, Out: again}, export)
				if err != nil {
					t.Fatal(err)
				}
				if f.read(again) != f.read(out) || report.Rows != 5 {
					t.Errorf("%d rows, other bytes", report.Rows)
				}
				second, err := ReadManifest(again + ManifestSuffix)
				if err != nil || second.Out[0].SHA256 != m.Out[0].SHA256 || asJSON(t, second.Cut) != asJSON(t, m.Cut) || asJSON(t, second.Statistics) != asJSON(t, m.Statistics) {
					t.Errorf("manifests differ: %s, %s, %v", asJSON(t, second), asJSON(t, m), err)
				}
				req.Out = f.out("new." + ext)
				if _, err := export(t.Context(), req); err != nil {
					t.Fatal(err)
				}
				if f.read(req.Out) == f.read(out) {
					t.Error("a new export does not see the correction")
				}
			})
		}
	}
}

// TestReproduceMistakes: what is missing is told exactly, and nothing is written.
func TestReproduceMistakes(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine, out := f.write("spine.csv", spineCSV), f.out("table.csv")
	export := func(ctx context.Context, r Request) (*Report, error) { return FromStore(ctx, f.store, r) }
	if _, err := export(t.Context(), Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out, Manifest: true}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(m *Manifest, r *Reproduction)
		want   string
	}{
		{"spine", func(_ *Manifest, r *Reproduction) {
			r.Spine = f.write("other.csv", spineCSV+"6,u1,2013-01-05T10:00:00Z,1,0\n")
		}, "is not the manifest's: SHA-256"},
		{"no spine", func(m *Manifest, _ *Reproduction) { m.Spine.Path = "gone.csv" }, "the spine gone.csv is not there"},
		{"version", func(m *Manifest, _ *Reproduction) {
			m.Pipeline.Definition, m.Pipeline.Views[0].Version = "x", "0123456789"
		}, `view "spend" has another definition: version 01234567 made the table`},
		{"definition", func(m *Manifest, _ *Reproduction) { m.Pipeline.Definition = "x" }, "what is exported has another definition"},
		{"ahead", func(m *Manifest, _ *Reproduction) { m.Cut.Offsets[0].Next = 9 }, `source "tx", partition 0 has been read up to 3, not up to 9`},
		{"partition", func(m *Manifest, _ *Reproduction) { m.Cut.Offsets[0].Partition = 7 }, `source "tx", partition 7 has been read up to 0, not up to 3`},
		{"source", func(m *Manifest, _ *Reproduction) { m.Cut.Offsets[0].Source = "none" }, `no source "none" any more`},
		{"format", func(_ *Manifest, r *Reproduction) { r.Out = f.out("again.parquet") }, "give this one the same extension"},
		{"bytes", func(m *Manifest, _ *Reproduction) { m.Out[0].SHA256 = "0" }, "would have other bytes than the manifest's table"},
		{"cut", func(m *Manifest, _ *Reproduction) { m.Cut.Offsets[0].Next = 1 }, "would have other bytes than the manifest's table"},
		{"feature", func(m *Manifest, _ *Reproduction) { m.Options.Features = []string{"none"} }, `feature "none" does not exist`},
	} {
		m, err := ReadManifest(out + ManifestSuffix)
		if err != nil {
			t.Fatal(err)
		}
		r := Reproduction{Manifest: m, ManifestPath: out + ManifestSuffix, Out: f.out("again.csv")}
		c.change(m, &r)
		_, err = Reproduce(t.Context(), r, export)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if _, err := os.Stat(r.Out); err == nil {
			t.Errorf("%s: a table was written", c.name)
		}
	}
	for name, text := range map[string]string{"a": "no json", "b": `{"manifest": 9}`, "c": `{"manifest": 1}`} {
		var own *Error
		if _, err := ReadManifest(f.write(name, text)); !errors.As(err, &own) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestReproduceRandom: whatever comes after an export, early, late or in other partitions, its manifest makes it again.
func TestReproduceRandom(t *testing.T) {
	f := newFixture(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	base := at("2013-01-05T00:00:00Z")
	more := func(n int) {
		var events []tx
		for range n {
			ts := base.Add(event.Duration(rnd.Int64N(86400)) * event.Second)
			arrival := ts.Add(event.Duration(rnd.Int64N(7200)) * event.Second)
			events = append(events, tx{user: fmt.Sprint("u", rnd.IntN(20)), ts: ts.String(), arrival: arrival.String(), amount: rnd.Float64(), shop: rnd.Int64N(5), country: "X"})
		}
		f.add(events...)
	}
	var b strings.Builder
	b.WriteString("user_id,event_time,shop,label\n")
	for range 3000 {
		fmt.Fprintf(&b, "u%d,%s,%d,%d\n", rnd.IntN(25), base.Add(event.Duration(rnd.Int64N(90000))*event.Second), rnd.IntN(5), rnd.IntN(2))
	}
	spine := f.write("spine.csv", b.String())
	export := func(ctx context.Context, r Request) (*Report, error) { return FromStore(ctx, f.store, r) }
	var outs []string
	for i := range 4 {
		more(500)
		out := f.out(fmt.Sprintf("t%d.jsonl", i))
		req := Request{Selection: feature.Selection{Features: []string{"spend.sum_1h", "spend.n_1h", "spend.last_country", "by_shop.n"}}, Spine: spine, Out: out, AsServed: i%2 == 1, WithStatus: true, Manifest: true}
		if _, err := export(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		outs = append(outs, out)
		for _, made := range outs {
			m, err := ReadManifest(made + ManifestSuffix)
			if err != nil {
				t.Fatal(err)
			}
			again := f.out("again.jsonl")
			if _, err := Reproduce(t.Context(), Reproduction{Manifest: m, Out: again, Force: true}, export); err != nil {
				t.Errorf("%s after %d exports: %v", made, len(outs), err)
			}
		}
	}
}

// TestManifest: what stands in it.
func TestManifest(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine, out := f.write("spine.csv", spineCSV), f.out("table.csv")
	req := Request{Selection: feature.Selection{View: "spend", Features: []string{"n_1h", "sum_1h"}}, Spine: spine, Out: out, Manifest: true, Build: Build{"1", "abc"}}
	if _, err := FromStore(t.Context(), f.store, req); err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(f.read(out+ManifestSuffix)), &m); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"manifest": `1`,
		"penstock": `{"commit":"abc","version":"1"}`,
		"options":  `{"as_served":false,"features":["n_1h","sum_1h"],"view":"spend","with_status":false}`,
		"cut":      `{"offsets":[{"next":3,"partition":0,"source":"tx"}],"watermarks":[{"least":"2013-01-05T09:59:00.000000Z","source":"tx"}]}`,
		"rows":     `5`,
	} {
		if got := asJSON(t, m[name]); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if left := f.leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestReproduceTrimmed: rows that were trimmed since are told, and no other table is written in place of the first.
func TestReproduceTrimmed(t *testing.T) {
	yaml := strings.Split(pipelineYAML, "views:")[0] + `views:
  spend:
    source: tx
    entity: user
    history: 1d
    features:
      n_1h: {count: "*", window: 1h}
`
	f := newFixtureOf(t, yaml)
	f.some()
	spine, out := f.write("spine.csv", "user_id,event_time\nu1,2013-01-05T10:00:00Z\nu2,2013-01-05T10:00:00Z\n"), f.out("table.csv")
	export := func(ctx context.Context, r Request) (*Report, error) { return FromStore(ctx, f.store, r) }
	if _, err := export(t.Context(), Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out, Manifest: true}); err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(out + ManifestSuffix)
	if err != nil {
		t.Fatal(err)
	}
	f.add(tx{user: "u1", ts: "2013-02-20T10:00:00Z", amount: 1}, tx{user: "u2", ts: "2013-02-20T10:00:00Z", amount: 1})
	for range 3 {
		if err := f.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.store.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	again := f.out("again.csv")
	_, err = Reproduce(t.Context(), Reproduction{Manifest: m, Out: again}, export)
	var own *Error
	if !errors.As(err, &own) || own.Code != Differs || !strings.Contains(own.Hint, "2 rows ask for instants before 2013-02-19T10:00:00.000000Z") {
		t.Errorf("got %v, %+v", err, own)
	}
	if _, err := os.Stat(again); err == nil {
		t.Error("a table was written")
	}
}
