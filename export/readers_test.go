package export

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

//go:embed testdata/readers.py
var readersScript []byte

// pythonReaders runs testdata/readers.py. It skips the test, loudly, without a Python that has pyarrow, duckdb,
// pandas and numpy (PENSTOCK_READERS_PYTHON, else python3), unless PENSTOCK_REQUIRE_READERS=1 makes that a failure.
func pythonReaders(t *testing.T) func(verb, dir string) {
	t.Helper()
	name := os.Getenv("PENSTOCK_READERS_PYTHON")
	if name == "" {
		name = "python3"
	}
	if out, err := exec.Command(name, "-c", "import duckdb, numpy, pandas, pyarrow").CombinedOutput(); err != nil {
		if os.Getenv("PENSTOCK_REQUIRE_READERS") == "1" {
			t.Fatalf("PENSTOCK_REQUIRE_READERS=1: %s: %v: %s", name, err, out)
		}
		const line = "SKIPPED: no Python with pyarrow, duckdb, pandas and numpy: tests with other readers did not run"
		fmt.Fprintln(os.Stderr, line)
		t.Skip(line)
	}
	script := filepath.Join(t.TempDir(), "readers.py")
	if err := os.WriteFile(script, readersScript, 0o600); err != nil {
		t.Fatal(err)
	}
	return func(verb, dir string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, script, verb, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("readers.py %s: %v\n%s", verb, err, out)
		}
		t.Logf("%s", out)
	}
}

// TestOtherReaders: every cell of every format, as pyarrow, DuckDB, pandas and numpy read it, is what the
// store's reader answers.
func TestOtherReaders(t *testing.T) {
	run := pythonReaders(t)
	store, dir := richStore(t)
	spine := filepath.Join(dir, "spine.jsonl")
	lines, kinds := jsonSpine(t, richSpine(1200))
	if err := os.WriteFile(spine, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	expected, kinds := answersOf(t, store, richSpine(1200), kinds)
	for name, text := range map[string]string{"expected.jsonl": expected, "kinds.json": kinds} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, ext := range []string{"arrow", "feather", "parquet", "jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst"} {
		out := filepath.Join(dir, "table."+ext)
		if _, err := FromStore(t.Context(), store, Request{Selection: feature.Selection{View: "v"}, Spine: spine, Out: out}); err != nil {
			t.Fatalf("%s: %v", ext, err)
		}
	}
	run("check", dir)
}

// jsonSpine is the CSV spine of richSpine as JSONL, and the kinds of its columns.
func jsonSpine(t *testing.T, text string) (lines, kinds string) {
	t.Helper()
	var b strings.Builder
	for _, row := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		f := strings.Split(row, ",")
		fmt.Fprintf(&b, "{\"id\": %s, \"user_id\": %q, \"event_time\": %q}\n", f[0], f[1], f[2])
	}
	return b.String(), `"id":"long","user_id":"string","event_time":"string"`
}

// answersOf is what the reader of the store answers for a spine, a JSON object a line, and the kinds of all columns.
func answersOf(t *testing.T, store *feature.Store, text, spineKinds string) (lines, kinds string) {
	t.Helper()
	sel, err := store.Select(feature.Selection{View: "v"})
	if err != nil {
		t.Fatal(err)
	}
	kinds = "{" + spineKinds
	for _, c := range sel.Columns {
		name, _ := json.Marshal(c.Name)
		kinds += fmt.Sprintf(",%s:%q", name, c.Type.Kind)
	}
	kinds += "}"
	reader := store.NewReader()
	var v feature.Vector
	var b []byte
	for _, row := range strings.Split(strings.TrimSpace(text), "\n")[1:] {
		f := strings.Split(row, ",")
		err := reader.Read(t.Context(), sel, []event.Value{event.StringOf(f[1])}, nil, feature.Instant{AsOf: at(f[2])}, &v)
		if err != nil {
			t.Fatal(err)
		}
		b = fmt.Appendf(b, `{"id":%s,"user_id":%q,"event_time":%q`, f[0], f[1], f[2])
		for i, c := range sel.Columns {
			b = fmt.Appendf(b, ",%q:%s", c.Name, event.AppendJSON(nil, v.Values[i]))
		}
		b = append(b, '}', '\n')
	}
	return string(b), kinds
}

// TestOtherWriters: spines that pandas and pyarrow wrote give the table that the same spine as CSV gives.
func TestOtherWriters(t *testing.T) {
	run := pythonReaders(t)
	f := newFixture(t)
	f.some()
	run("write", f.dir)
	view := feature.Selection{View: "spend", Features: []string{"n_1h", "sum_1h"}}
	export := func(spine, out string) string {
		t.Helper()
		if _, err := FromStore(t.Context(), f.store, Request{Selection: view, Spine: f.out(spine), Out: f.out(out)}); err != nil {
			t.Fatalf("%s: %v", spine, err)
		}
		return f.read(f.out(out))
	}
	first := export("lz4.feather", "lz4.csv")
	const head = `id,user_id,event_time,small,ratio,label,vec,tags,note,price,inner,n_1h,sum_1h
0,u0,2013-01-05T10:00:00.000000Z,0,0,,"[0,null]",,é0,0.00,"{""a"":0,""b"":null}",0,
1,u1,2013-01-05T10:00:01.000000Z,1,0.5,false,"[1,null]","{""a"":1}",é1,0.01,"{""a"":1,""b"":null}",2,12.6
`
	if !strings.HasPrefix(first, head) || strings.Count(first, "\n") != 5001 {
		t.Errorf("got\n%.600s\nwant\n%s", first, head)
	}
	for _, spine := range []string{"zstd.arrow", "stream.arrow", "views.arrow"} {
		if got := export(spine, spine+".csv"); got != first {
			t.Errorf("%s gives another table:\n%.600s", spine, got)
		}
	}
	export("lz4.feather", "lz4.parquet")
	// To Arrow and back, with one feature more: the same columns before it.
	export("lz4.feather", "again.arrow")
	view.Features = []string{"last_country"}
	export("again.arrow", "again.csv")
	var rows [][]string
	for _, r := range f.csv(f.out("again.csv")) {
		rows = append(rows, r[:len(r)-1])
	}
	if want := f.csv(f.out("lz4.csv")); !reflect.DeepEqual(rows, want) {
		t.Errorf("an Arrow table as spine gives %q, want %q …", rows[:3], want[:3])
	}
	view.Features = []string{"n_1h", "sum_1h"}
	got := export("lines.jsonl.gz", "lines.csv")
	if !strings.HasPrefix(got, "id,user_id,event_time,small,ratio,label,n_1h,sum_1h\n0,u0,2013-01-05T10:00:00+00:00,0,0,,0,\n1,u1,2013-01-05T10:00:01+00:00,1,0.5,false,2,12.6\n") {
		t.Errorf("lines.jsonl.gz gives\n%.600s", got)
	}
	if _, err := FromStore(t.Context(), f.store, Request{Selection: view, Spine: f.out("v1.feather"), Out: f.out("v1.csv")}); err == nil || !strings.Contains(err.Error(), "is Feather V1") {
		t.Errorf("a Feather V1 spine gives %v", err)
	}
}
