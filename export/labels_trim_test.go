package export

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// TestTrimmingChangesNoTable makes tables, trims what no answer within the history needs, and makes them again.
func TestTrimmingChangesNoTable(t *testing.T) {
	yaml := strings.Replace(labelYAML, "history: 30d", "history: 8h", 1)
	yaml = strings.ReplaceAll(yaml, `, from: "2013-01-02T06:00:00Z", to: "2013-01-02T08:00:00Z"`, "")
	f := newFixtureOf(t, yaml)
	f.history(6000, 41)
	horizon := f.watermark().Add(-8 * event.Hour)
	var spine strings.Builder
	spine.WriteString("user_id,event_time\n")
	for _, user := range []string{"busy", "u1", "u2", "nobody"} {
		for i := range 12 {
			spine.WriteString(user + "," + horizon.Add(event.Duration(i-2)*event.Hour).String() + "\n")
		}
	}
	f.write("spine.csv", spine.String())
	export := exporters(f)["store"]
	names := []string{"events", "of_label", "kept", "asked"}
	before := map[string]string{}
	for _, name := range names {
		if rep, _ := f.declared(name, export); rep.Rows == 0 {
			t.Fatalf("export %s has no rows", name)
		}
		before[name] = f.read(f.out(name + ".csv"))
	}
	if err := f.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	trimmed := int64(0)
	for _, s := range f.store.Stats().Stored {
		trimmed += s.Trimmed
	}
	if trimmed == 0 {
		t.Fatal("nothing is trimmed: the test shows less than it should")
	}
	for _, name := range names {
		f.declared(name, export)
		if f.read(f.out(name+".csv")) != before[name] {
			t.Errorf("after %d rows were trimmed, export %s is another", trimmed, name)
		}
	}
}

// never keeps a store from sweeping by itself.
func never(time.Duration) <-chan time.Time { return nil }
