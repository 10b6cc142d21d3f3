package export

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// declaredYAML declares an export of each kind: of spines, of what is left out, of splits, and of both pasts.
var declaredYAML = strings.Replace(strings.Replace(splitYAML, "exports:\n", "  band_n: {view: spend, label: {count: \"*\", where: amount > 5, window: {after: 10m}}}\nexports:\n", 1),
	"\nexports:\n", `
feature_sets:
  fraud:
    entities: [user]
    features:
      - spend.sum_1h
      - {name: twice, expr: spend.sum_1h * 2, default: 0}
exports:
  served:
    set: fraud
    spine: {source: tx, columns: [amount]}
    labels: [n, first]
    unripe: keep
    as_served: true
    with_status: true
    sample: 50%
    rebalance: {label: n, negative: 25%}
    split: {by: user_id, train: 60%, test: rest}
`, 1)

// made exports all that the file declares, and tells their manifests.
func (f *fixture) made(export exporter, ext string) (manifests []string) {
	f.t.Helper()
	for i, x := range f.plan.Exports {
		out := filepath.Join(f.t.TempDir(), x.Name+ext)
		rep, err := export(f.t.Context(), Request{Export: x.Name, Out: out, Plan: f.plan, Manifest: true})
		if err != nil {
			f.t.Fatalf("export %s: %v", x.Name, err)
		}
		if rep.Rows == 0 {
			f.t.Errorf("export %d, %s, has no rows", i, x.Name)
		}
		manifests = append(manifests, out+ManifestSuffix)
	}
	return manifests
}

// again makes a table of a manifest again and tells its manifest.
func (f *fixture) again(manifest string, export exporter) (*Manifest, error) {
	f.t.Helper()
	m, err := ReadManifest(manifest)
	if err != nil {
		f.t.Fatal(err)
	}
	out := filepath.Join(f.t.TempDir(), "again"+filepath.Ext(strings.TrimSuffix(manifest, ManifestSuffix)))
	if _, err := Reproduce(f.t.Context(), Reproduction{Manifest: m, ManifestPath: manifest, Out: out, Plan: f.plan}, export); err != nil {
		if left, _ := os.ReadDir(filepath.Dir(out)); len(left) > 0 {
			f.t.Errorf("%s: left %v", manifest, left)
		}
		return nil, err
	}
	second, err := ReadManifest(out + ManifestSuffix)
	if err != nil {
		f.t.Fatal(err)
	}
	return second, nil
}

// TestReproduceDeclared: late corrections, more data and a restart change nothing in what a manifest gives.
func TestReproduceDeclared(t *testing.T) {
	f := newFixtureOf(t, declaredYAML)
	f.history(1600, 21) // 8 h 53 m
	f.write("people.csv", peopleCSV)
	f.write("spine.csv", peopleCSV)
	manifests := append(f.made(exporters(f)["store"], ".csv"), f.made(exporters(f)["server"], ".parquet")...)
	check := func(when string) {
		t.Helper()
		for i, path := range manifests {
			name := []string{"store", "server"}[i%2]
			m, err := f.again(path, exporters(f)[name])
			if err != nil {
				t.Errorf("%s, %s of %s: %v", when, filepath.Base(path), name, err)
				continue
			}
			was, _ := ReadManifest(path)
			if asJSON(t, m.Statistics) != asJSON(t, was.Statistics) || asJSON(t, m.Pipeline) != asJSON(t, was.Pipeline) || m.Rows != was.Rows || m.Differ != was.Differ {
				t.Errorf("%s, %s of %s: the manifests differ", when, filepath.Base(path), name)
			}
		}
	}
	f.history(400, 22) // of the same day: corrections
	check("after late corrections")
	f.part, f.next = f.store.Partition(f.plan.Sources[0], 0), f.ends[0]
	f.add(tx{user: "new", ts: "2013-01-02T03:00:00Z", amount: 6}, tx{user: "busy", ts: "2013-01-09T00:00:00Z", amount: 1})
	f.reopen(declaredYAML)
	check("after a restart")
	moved := 0
	for i, path := range f.made(exporters(f)["store"], ".csv") {
		was, _ := ReadManifest(manifests[i])
		if is, _ := ReadManifest(path); is.Out[0].SHA256 != was.Out[0].SHA256 {
			moved++
		}
	}
	if moved < len(f.plan.Exports)-1 { // the buckets of a label may hide them
		t.Errorf("only %d of %d exports see the corrections: the test shows less than it should", moved, len(f.plan.Exports))
	}
}

const peopleCSV = `event_time,user_id,note
2013-01-02T01:00:00Z,busy,a
2013-01-02T02:00:00Z,u1,b
2013-01-02T02:00:00Z,u2,c
2013-01-02T02:30:00Z,u3,d
2013-01-02T02:30:00Z,u4,e
2013-01-02T02:30:00Z,u5,f
2013-01-02T02:30:00Z,nobody,g
2013-01-02T02:30:00Z,busy,h
`

// TestReproduceEdited: of an edited file, all definitions that differ are told, and no others matter.
func TestReproduceEdited(t *testing.T) {
	f := newFixtureOf(t, declaredYAML)
	f.history(1600, 23)
	f.write("people.csv", peopleCSV)
	f.write("spine.csv", peopleCSV)
	byName := map[string]string{}
	for i, path := range f.made(exporters(f)["store"], ".csv") {
		byName[f.plan.Exports[i].Name] = path
	}
	for _, c := range []struct {
		export   string
		from, to string
		want     []string // nothing: it is still the same
	}{
		{"served", "spine: {source: tx}\n    labels: [n]", "spine: {source: tx}\n    labels: [n, big]", nil},
		{"served", "name: twice, expr: spend.sum_1h * 2", "name: twice, expr: spend.sum_1h * 3", []string{`column "twice" has another definition`}},
		{"served", "spend.sum_1h * 2, default: 0", "spend.sum_1h * 2, default: 1", []string{`column "twice" has another definition`}},
		{"served", "sum_1h: {sum: amount, window: 1h}", "sum_1h: {sum: amount, window: 1h, default: 0}", []string{`feature "spend.sum_1h" has another definition`}},
		{"hours", "sum_1h: {sum: amount, window: 1h}", "sum_1h: {sum: amount, window: 1h, ttl: 2h}", []string{`feature "spend.sum_1h" has another definition`}},
		{"hours", "{every: 45m}", "{every: 30m}", []string{"spine has another definition"}},
		{"balanced", "labels: [first, band_n]", "labels: [band_n, first]", []string{"rebalance has another definition"}},
		{"served", "sample: 50%", "sample: 40%", []string{"sample has another definition"}},
		{"served", "train: 60%", "train: 70%", []string{"split has another definition"}},
		{"served", "    sample: 50%\n    rebalance: {label: n, negative: 25%}\n", "", []string{"sample is not there any more", "rebalance is not there any more"}},
		{"bands", "buckets: [1, 4]", "buckets: [1, 5]", []string{`label "band" has another definition`}},
		{"bands", "neutral: {from: 2, to: 4}", "neutral: {from: 2, to: 3}", []string{`label "band" has another definition`}},
		{"kept", "settle: 10m", "settle: 20m", []string{`label "big" has another definition`}},
		{"kept", "labels: [big]\n    unripe: keep", "labels: [big]\n    sample: 70%", []string{"as_served, with_status and unripe has another", "sample was not there"}},
		{"hours", "\n  hours:", "\n  other:", []string{`export "hours" does not exist`}},
	} {
		if !strings.Contains(declaredYAML, c.from) {
			t.Fatalf("there is no %q to edit", c.from)
		}
		f.reopen(strings.ReplaceAll(declaredYAML, c.from, c.to))
		for name, export := range exporters(f) {
			_, err := f.again(byName[c.export], export)
			if c.want == nil && err != nil {
				t.Errorf("%s with %q: %v", name, c.to, err)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s with %q: %v, want %s", name, c.to, err, want)
				}
			}
		}
	}
}

// TestReproduceDeclaredTrimmed: what trimming has taken of the spine, of features and of labels is told of each.
func TestReproduceDeclaredTrimmed(t *testing.T) {
	yaml := strings.Replace(declaredYAML, "history: 30d", "history: 8h", 1)
	yaml = strings.Replace(yaml, "seen: {max: ts}", "seen: {max: ts, window: 2h}", 1)
	yaml = strings.Replace(yaml, "sample: 50%", "sample: 100%", 1)
	f := newFixtureOf(t, yaml)
	f.history(1600, 24)
	f.write("people.csv", peopleCSV)
	f.write("spine.csv", strings.ReplaceAll(peopleCSV, "T02", "T06"))
	byName := map[string]string{}
	for i, path := range f.made(exporters(f)["store"], ".csv") {
		byName[f.plan.Exports[i].Name] = path
	}
	for p, next := range f.ends {
		f.part, f.next = f.store.Partition(f.plan.Sources[0], p), next
		f.add(tx{user: "last", ts: "2013-01-05T00:00:00Z", amount: 1})
	}
	for range 2 {
		if err := f.store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.store.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, export := range exporters(f) {
		for of, want := range map[string][]string{
			"by_time":  {"features: "},
			"of_label": {"rows of the spine before 2013-01-04T", "have been trimmed, or may have been: the table would have 0 rows, and had "},
			"hours":    {"rows of the spine before 2013-01-04T16:00:00.000000Z"},
			"asked":    {`features: `, `label "big": `, `label "first": `, " rows ask for instants before 2013-01-04T14:00:00.000000Z: what they rest on has been trimmed"},
			"bands":    {`label "band": `},
		} {
			_, err := f.again(byName[of], export)
			var own *Error
			if !errors.As(err, &own) || own.Code != Differs {
				t.Errorf("%s: %s: %v", name, of, err)
				continue
			}
			for _, part := range want {
				if !strings.Contains(own.Hint, part) {
					t.Errorf("%s: %s: %v, want %q", name, of, own.Hint, part)
				}
			}
		}
	}
}
