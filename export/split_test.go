package export

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

const splitYAML = labelYAML + `
  by_user:
    view: spend
    spine: {file: people.csv}
    split: {by: user_id, train: 80%, validation: 10%, test: rest}
    sample: {by: [user_id, note], keep: 50%}
  from_store:
    view: spend
    spine: {source: tx}
    split: {by: user_id, train: 80%, validation: 10%, test: rest}
  files:
    view: spend
    spine: {source: tx}
    labels: [n]
    split: {by: [user_id, event_time], train: 0.5, test: rest, files: true}
    out: parts.csv
  by_time:
    view: spend
    spine: {source: tx}
    split: {by: time, train: {before: "2013-01-02T04:00:00Z"}, validation: {before: "2013-01-02T06:00:00Z"}, test: {before: "2013-01-02T08:00:00Z"}, gap: 30m}
  balanced:
    view: spend
    spine: {source: tx}
    labels: [first, band_n]
    rebalance: {label: band_n, negative: 25%}
  hours:
    view: spend
    spine: {grid: {every: 45m}, from: "2013-01-02T01:10:00Z", to: "2013-01-02T04:30:00Z"}
  days:
    view: spend
    spine: {grid: {every: 1d, zone: America/New_York}, from: 2012-12-30}
`

func splitFixture(t *testing.T) (*fixture, []tx) {
	yaml := strings.Replace(splitYAML, "exports:\n", "  band_n: {view: spend, label: {count: \"*\", where: amount > 5, window: {after: 10m}}}\nexports:\n", 1)
	f := newFixtureOf(t, yaml)
	return f, f.history(2000, 11)
}

// TestSplitByHash has every row of a user in one part, the same in every export, and about the shares asked for.
func TestSplitByHash(t *testing.T) {
	f, _ := splitFixture(t)
	var text strings.Builder
	text.WriteString("event_time,user_id,note\n")
	const n = 20_000
	r := rand.New(rand.NewPCG(5, 5))
	for range n {
		fmt.Fprintf(&text, "2013-01-02T06:00:00Z,u%d,%d\n", r.IntN(n/4), r.IntN(1000))
	}
	f.write("people.csv", text.String())
	rep, rows := f.declared("by_user", exporters(f)["server"])
	part := map[string]string{}
	count := map[string]float64{}
	for _, row := range rows[1:] {
		user, is := row[1], row[3]
		if was, ok := part[user]; ok && was != is {
			t.Fatalf("user %s is in %s and in %s", user, was, is)
		}
		part[user] = is
		count[is]++
	}
	if kept := float64(len(rows)-1) / n; math.Abs(kept-0.5) > 0.02 || rep.LeftOut.Sampled != int64(n-len(rows)+1) {
		t.Errorf("the sample is %.3f of the rows, %+v", kept, *rep.LeftOut)
	}
	for name, share := range map[string]float64{"train": 0.8, "validation": 0.1, "test": 0.1} {
		if got := count[name] / float64(len(rows)-1); math.Abs(got-share) > 0.03 {
			t.Errorf("%s is %.3f of the rows", name, got)
		}
	}
	for i, p := range rep.Parts {
		if p.Name != []string{"train", "validation", "test"}[i] || float64(p.Rows) != count[p.Name] {
			t.Errorf("%+v, but %v", p, count)
		}
	}
	_, stored := f.declared("from_store", exporters(f)["store"])
	for _, row := range stored[1:] {
		if want, ok := part[row[0]]; ok && row[2] != want {
			t.Fatalf("user %s is in %s of one spine, in %s of another", row[0], want, row[2])
		}
	}
}

func TestSplitFiles(t *testing.T) {
	f, _ := splitFixture(t)
	whole, _ := f.declared("from_store", exporters(f)["store"])
	for name, export := range exporters(f) {
		dir := t.TempDir()
		out := dir + "/parts.parquet"
		rep, err := export(t.Context(), Request{Export: "files", Out: out, Plan: f.plan})
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for i, p := range rep.Parts {
			want := dir + "/parts." + []string{"train", "test"}[i] + ".parquet"
			info, err := os.Stat(want)
			if err != nil || p.Out != want || p.Size != info.Size() || p.Rows == 0 {
				t.Errorf("%s: %+v, %v", name, p, err)
			}
			sum += p.Rows
		}
		if list, _ := os.ReadDir(dir); len(list) != 2 || sum != rep.Rows || rep.Rows+rep.LeftOut.Unripe != whole.Rows {
			t.Errorf("%s: %d files, %d rows in parts, %+v of %d", name, len(list), sum, rep, whole.Rows)
		}
		if _, err := export(t.Context(), Request{Export: "files", Out: out, Plan: f.plan}); err == nil || !strings.Contains(err.Error(), "parts.train.parquet exists") {
			t.Errorf("%s: written again: %v", name, err)
		}
	}
	// Of text, the parts together are the table.
	dir := t.TempDir()
	if _, err := FromStore(t.Context(), f.store, Request{Export: "files", Out: dir + "/o.csv"}); err != nil {
		t.Fatal(err)
	}
	train, test := f.csv(dir+"/o.train.csv"), f.csv(dir+"/o.test.csv")
	if !slices.Equal(train[0], test[0]) || slices.Contains(train[0], "split") {
		t.Errorf("columns %v and %v", train[0], test[0])
	}
}

func TestSplitByTime(t *testing.T) {
	f, all := splitFixture(t)
	rep, rows := f.declared("by_time", exporters(f)["store"])
	want := map[string]int64{}
	gap := int64(0)
	for _, e := range all {
		switch ts := e.ts; {
		case ts < "2013-01-02T04:00:00":
			want["train"]++
		case ts >= "2013-01-02T04:30:00" && ts < "2013-01-02T06:00:00":
			want["validation"]++
		case ts >= "2013-01-02T06:30:00" && ts < "2013-01-02T08:00:00":
			want["test"]++
		default:
			gap++
		}
	}
	got := map[string]int64{}
	for _, row := range rows[1:] {
		got[row[2]]++
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || rep.LeftOut.Gap != gap || gap == 0 {
		t.Errorf("got %v, %d in the gap; want %v, %d", got, rep.LeftOut.Gap, want, gap)
	}
}

// TestRebalance keeps all positive rows and a quarter of the others, whose weight makes up for it.
func TestRebalance(t *testing.T) {
	f, all := splitFixture(t)
	rep, rows := f.declared("balanced", exporters(f)["store"])
	mark := f.watermark()
	total, positives := 0, 0
	for _, e := range all {
		instant := at(e.ts)
		if mark < instant.Add(2*event.Hour) {
			continue
		}
		total++
		if slices.ContainsFunc(all, func(o tx) bool {
			return o.user == e.user && o.amount > 5 && at(o.ts) >= instant && at(o.ts) < instant.Add(10*event.Minute)
		}) {
			positives++
		}
	}
	sum, kept := 0.0, 0
	for _, row := range rows[1:] {
		weight, err := strconv.ParseFloat(row[4], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += weight
		if row[3] != "0" {
			kept++
			if weight != 1 {
				t.Errorf("a positive row weighs %v", weight)
			}
		} else if weight != 4 {
			t.Errorf("a negative row weighs %v", weight)
		}
	}
	if kept != positives || positives == 0 || positives == total || math.Abs(sum/float64(total)-1) > 0.15 {
		t.Errorf("%d of %d positive rows, weights of %.0f for %d rows", kept, positives, sum, total)
	}
	if rep.LeftOut.Rebalanced != int64(total)-rep.Rows {
		t.Errorf("%+v", *rep.LeftOut)
	}
}

func TestGrid(t *testing.T) {
	f, all := splitFixture(t)
	known := func(instants []event.Time) (want []string) {
		first := map[string]event.Time{}
		for _, e := range all {
			if was, ok := first[e.user]; !ok || at(e.ts) < was {
				first[e.user] = at(e.ts)
			}
		}
		for user, since := range first {
			for _, i := range instants {
				if since < i {
					want = append(want, user+" "+i.String())
				}
			}
		}
		slices.Sort(want)
		return want
	}
	check := func(name string, instants ...event.Time) {
		t.Helper()
		_, rows := f.declared(name, exporters(f)["server"])
		var got []string
		for _, row := range rows[1:] {
			got = append(got, row[0]+" "+row[1])
		}
		slices.Sort(got)
		if want := known(instants); !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s: %d rows, want %d: %v", name, len(got), len(want), got[:min(5, len(got))])
		}
	}
	check("hours", at("2013-01-02T01:30:00Z"), at("2013-01-02T02:15:00Z"), at("2013-01-02T03:00:00Z"), at("2013-01-02T03:45:00Z"))
	check("days", at("2013-01-02T05:00:00Z")) // midnight in New York; the next is behind the watermark
}

// TestPartsAreWhole writes no part if one cannot be written.
func TestPartsAreWhole(t *testing.T) {
	f, _ := splitFixture(t)
	f.write("parts.test.csv", "mine")
	for name, export := range exporters(f) {
		if _, err := export(t.Context(), Request{Export: "files", Plan: f.plan}); err == nil || !strings.Contains(err.Error(), "parts.test.csv exists") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(f.out("parts.train.csv")); err == nil || len(f.leftovers()) > 0 {
			t.Errorf("%s: left a part", name)
		}
	}
}

func TestDeclaredMistakes(t *testing.T) {
	f, _ := splitFixture(t)
	for _, c := range []struct{ name, spine, want string }{
		{"nothing", "", `export "nothing" does not exist`},
		{"by_user", "user_id,event_time\nu1,2013-01-02T06:00:00Z\n", `there is no column "note" to hash`},
		{"by_user", "user,event_time,note\nu1,2013-01-02T06:00:00Z,1\n", `lacks the key column "user_id"`},
		{"by_user", "user_id,event_time,note,split\nu1,2013-01-02T06:00:00Z,1,x\n", `two columns would be called "split": a column of the spine and the split`},
		{"by_user", "user_id,event_time,note\nu1,2013-01-02T06:00:00Z,1\n,2013-01-02T06:00:00Z,1\n", `row 2: column "user_id": it is null`},
		{"by_user", "user_id,event_time,note\nu1,2013-01-02T06:00:00Z,1\nu1,2013-01-02,1\n", `row 2: column "event_time"`},
	} {
		f.write("people.csv", c.spine)
		for name, export := range exporters(f) {
			_, err := export(t.Context(), Request{Export: c.name, Out: f.out("o.csv"), Plan: f.plan})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %v, want %q", c.name, name, err, c.want)
			}
		}
	}
	other := *f.plan
	x := *f.plan.Export("files")
	x.AsServed = true
	other.Exports = slices.Clone(f.plan.Exports)
	other.Exports[slices.Index(f.plan.Exports, f.plan.Export("files"))] = &x
	_, err := exporters(f)["server"](t.Context(), Request{Export: "files", Out: f.out("o.csv"), Plan: &other})
	if err == nil || !strings.Contains(err.Error(), "is declared otherwise") {
		t.Errorf("another definition: %v", err)
	}
}

func TestPartPath(t *testing.T) {
	for path, want := range map[string]string{
		"o.parquet": "o.train.parquet", "a.b/o.csv.gz": "a.b/o.train.csv.gz", "o.jsonl.zst": "o.train.jsonl.zst", "/x.y/o.arrow": "/x.y/o.train.arrow",
	} {
		if got := partPath(path, "train"); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestManifestOf finds the manifest of a table, and that of a split from each of its parts.
func TestManifestOf(t *testing.T) {
	dir := t.TempDir()
	for _, out := range []string{"a.csv", "b.c.csv.zst"} {
		m := Manifest{Version: ManifestVersion, Statistics: &Statistics{}, Rows: int64(len(out))}
		for _, part := range []string{"train", "test"} {
			m.Out = append(m.Out, FileReport{Path: partPath(out, part)})
		}
		var b bytes.Buffer
		if err := m.encode(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, out+ManifestSuffix), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{out, partPath(out, "train"), partPath(out, "test")} {
			if got, err := ManifestOf(filepath.Join(dir, name)); err != nil || got.Rows != m.Rows {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		for _, name := range []string{partPath(out, "other"), "x" + out, "train." + out} {
			if got, err := ManifestOf(filepath.Join(dir, name)); err == nil {
				t.Errorf("%s: a manifest is found: %+v", name, got)
			}
		}
	}
}
