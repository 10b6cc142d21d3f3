package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
)

// TestLog: a served value is right at one of the points between the positions that were logged and what had arrived
// when it was served; any other is a difference.
func TestLog(t *testing.T) {
	plan, cut := fixture(t)
	sel := feature.Selection{View: "users", Features: []string{"n"}}
	selector, err := cut.Select(sel)
	if err != nil {
		t.Fatal(err)
	}
	v := plan.View("users")
	keys := []event.Value{event.StringOf("a")}
	raw, err := cut.RawRows(v, keys)
	if err != nil {
		t.Fatal(err)
	}
	at := event.Time(1_700_000_000_000_000).Add(500 * event.Minute)
	line := func(n int64, next int64, servedAt event.Time, version string) string {
		return fmt.Sprintf(`{"event_time":%q,"user":"a","served_n":%d,"_status":"present","_served_at":%q,"_positions":"e/0@%d","_selection":"view users: n","_versions":"shops@%s users@%s"}`+"\n",
			at, n, servedAt, next, plan.View("shops").Version, version)
	}
	count := func(next int64) (n int64) { // without copies: the fixture's amounts of an entity seldom meet within 10 minutes
		q := Question{Keys: keys, Names: selector.Keys, AsOf: at, Past: func(r *event.Row) bool { return r.Pos.Offset < next }}
		cells, err := OfState(plan, cut).Answer(Columns(plan, sel), &q)
		if err != nil {
			t.Fatal(err)
		}
		return cells[0].Value.Long()
	}
	end := raw[0].Arrival
	for _, r := range raw {
		end = max(end, r.Arrival)
	}
	if count(400) >= count(450) {
		t.Fatalf("%d rows below 400, %d below 450", count(400), count(450))
	}
	for name, c := range map[string]struct {
		line                   string
		cells, differ, unknown int64
	}{
		"at its positions":      {line(count(400), 400, at.Add(-100*event.Minute), v.Version), 1, 0, 0},
		"with what had arrived": {line(count(450), 400, end, v.Version), 1, 0, 0},
		"beyond what had":       {line(count(450), 400, at.Add(-100*event.Minute), v.Version), 1, 1, 0},
		"wrong":                 {line(count(400)-1, 400, end, v.Version), 1, 1, 0},
		"of another version":    {line(1, 400, end, "0000"), 0, 0, 1},
	} {
		path := filepath.Join(t.TempDir(), "view-users.000000000.jsonl")
		if err := os.WriteFile(path, []byte(c.line+`{"half a li`), 0o600); err != nil {
			t.Fatal(err)
		}
		rep, _, err := Log(t.Context(), cut, OfState(plan, cut), LogConfig{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Cells != c.cells || rep.Differ != c.differ || rep.Unknown != c.unknown {
			t.Errorf("%s: %d cells, %d differ, %d unknown", name, rep.Cells, rep.Differ, rep.Unknown)
		}
		if c.differ > 0 && !strings.Contains(rep.First.String(), path+":1") {
			t.Error(rep.First)
		}
	}
}
