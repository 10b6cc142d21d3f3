package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
)

const parityPipeline = `pipeline: parity
state: {memory: 256MiB, flush: 200ms}
sources:
  e:
    file: {path: "part-*.jsonl"}
    schema: {file: e.avsc}
    time: ts
entities:
  user: {user: string}
views:
  v:
    source: e
    entity: user
    history: 4000d
    features:
      n: {count: "*"}
      n_1h: {count: "*", window: 1h}
      sum_1d: {sum: amount, window: 1d}
      avg_1h: {avg: amount, window: 1h}
      sd_1d: {stddev: amount, window: 1d}
      least: {min: amount, window: {calendar: day, zone: America/New_York}}
      most: {max: amount, window: {from: 2d, to: 1d}}
      word: {last: word}
      visit: {count: "*", window: {session: 10m}}
      words: {count: "*", by: {column: word, top: 3, rest: other}, window: 6h}
      recent: {last_k: word, k: 3, distinct: true}
      median: {median: amount, window: {tumbling: 6h}}
      fading: {decayed_sum: amount, half_life: 1h}
      fresh: {avg: amount, window: 7d, ttl: 2h}
`

// TestParity asks for many pairs of an entity and an instant twice, of one running process: in an export, and in
// look-ups. Every value and every status must be the same text. `make parity` asks for a million.
func TestParity(t *testing.T) {
	beside(t)
	const users, perAsk, files = 3000, 1000, 4
	rows, instants := 25_000, 40
	if !full() {
		rows, instants = 5_000, 10
	}
	if s := os.Getenv("PENSTOCK_PAIRS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < perAsk {
			t.Fatalf("PENSTOCK_PAIRS=%s: a number from %d on", s, perAsk)
		}
		instants = n / perAsk
	}
	rng := rand.New(rand.NewPCG(seed(t), 5))
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("e.avsc", fileSchema)
	file := write("pipeline.yaml", parityPipeline)
	at := event.Time(firstInstant)
	for n := range files {
		var b strings.Builder
		for range rows {
			at = at.Add(event.Duration(rng.Int64N(int64(4 * event.Second))))
			amount := "null"
			if rng.IntN(9) > 0 {
				amount = fmt.Sprint(float64(rng.IntN(20000)-5000) / 100)
			}
			fmt.Fprintf(&b, "{\"user\":\"u%d\",\"amount\":%s,\"word\":\"w%d\",\"ts\":%q}\n",
				rng.IntN(1+rng.IntN(users)), amount, rng.IntN(9), at.Add(-event.Duration(rng.Int64N(int64(event.Hour)))))
		}
		write(fmt.Sprintf("part-%d.jsonl", n), b.String())
	}
	// The first instants are before all events, the last behind; one user in a hundred has no event.
	type ask struct {
		at    event.Time
		users []string
	}
	asks := make([]ask, instants)
	var spine strings.Builder
	spine.WriteString("user,event_time\n")
	span := at.Sub(event.Time(firstInstant))
	for i := range asks {
		asks[i].at = event.Time(firstInstant).Add(event.Duration(rng.Int64N(int64(span)*11/10) - int64(span)/50))
		for range perAsk {
			user := fmt.Sprint("u", rng.IntN(users*101/100))
			asks[i].users = append(asks[i].users, user)
			fmt.Fprintf(&spine, "%s,%s\n", user, asks[i].at)
		}
	}
	asked := write("spine.csv", spine.String())

	proc := start(t, file, filepath.Join(dir, "state"))
	eventually(t, 2*time.Minute, func() error {
		m, err := proc.metrics()
		if n := m[`penstock_records_read_total{source="e"}`]; err == nil && n != float64(files*rows) {
			err = fmt.Errorf("%v of %d rows are read", n, files*rows)
		}
		return err
	})
	table := filepath.Join(dir, "table.jsonl")
	if code, _, errs := penstock(t, "export", file, "--server", proc.url, "--spine", asked, "--view", "v", "--out", table, "--with-status"); code != 0 {
		t.Fatalf("export: %d %s", code, errs)
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	cells, seen := 0, map[string]int{}
	for _, a := range asks {
		entities := make([]map[string]string, len(a.users))
		for i, user := range a.users {
			entities[i] = map[string]string{"user": user}
		}
		code, body, err := proc.post("/v1/features", map[string]any{"view": "v", "entities": entities, "as_of": a.at.String()})
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %v %s", code, err, body)
		}
		var answer struct {
			Features []string
			Rows     []struct {
				Values []json.RawMessage
				Status []string
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatal(err)
		}
		for i, row := range answer.Rows {
			if !lines.Scan() {
				t.Fatal(errors.Join(lines.Err(), errors.New("the table has too few rows")))
			}
			var cell map[string]json.RawMessage
			if err := json.Unmarshal(lines.Bytes(), &cell); err != nil {
				t.Fatal(err)
			}
			for k, name := range answer.Features {
				status := `"` + row.Status[k] + `"`
				if !bytes.Equal(cell[name], row.Values[k]) || string(cell[name+"__status"]) != status {
					t.Fatalf("%s of %s as of %s: the export has %s (%s), the look-up %s (%s)",
						name, a.users[i], a.at, cell[name], cell[name+"__status"], row.Values[k], status)
				}
				cells++
				seen[row.Status[k]]++
			}
		}
	}
	if lines.Scan() {
		t.Error("the table has too many rows")
	}
	for _, s := range []string{"present", "null", "not_found", "expired"} {
		if seen[s] == 0 {
			t.Errorf("no cell is %s: the pairs are drawn too narrowly", s)
		}
	}
	t.Logf("%d pairs, %d cells: %v", instants*perAsk, cells, seen)
	proc.stop(t)
}
