package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/event"
)

const fileSchema = `{"type":"record","name":"e","fields":[
 {"name":"user","type":"string"},{"name":"amount","type":["null","double"]},{"name":"word","type":"string"},
 {"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}}]}`

const filePipeline = `pipeline: files
state: {memory: 256MiB, flush: 50ms}
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
      sum: {sum: amount}
      sd_1h: {stddev: amount, window: 1h}
      visit: {count: "*", window: {session: 10m}}
      yesterday: {avg: amount, window: {calendar: day, zone: America/New_York}}
      words: {count: "*", by: {column: word, top: 3, rest: other}, window: 1d}
      recent: {last_k: word, k: 3, distinct: true}
      median: {median: amount, window: {tumbling: 6h}}
      fading: {decayed_sum: amount, half_life: 1h}
      days: {max: {sum: amount, window: {tumbling: 1d}}, window: 7d}
      drop: {drawdown: amount, last: 50}
`

// writeFiles makes a few files of rows, some of them no rows at all, and a spine.
func writeFiles(t *testing.T, rng *rand.Rand, dir string, files, rows int) (pipeline, spine string) {
	t.Helper()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("e.avsc", []byte(fileSchema))
	var ask bytes.Buffer
	ask.WriteString("user,event_time\n")
	at := event.Time(firstInstant)
	for n := range files {
		var b bytes.Buffer
		for range rows {
			at = at.Add(event.Duration(rng.Int64N(int64(8 * event.Second))))
			user, amount := fmt.Sprint("u", rng.IntN(40)), "null"
			if rng.IntN(9) > 0 {
				amount = fmt.Sprint(float64(rng.IntN(20000)-5000) / 100)
			}
			if rng.IntN(500) == 0 {
				b.WriteString("{\"user\": 7\n")
				continue
			}
			fmt.Fprintf(&b, "{\"user\":%q,\"amount\":%s,\"word\":\"w%d\",\"ts\":%q}\n", user, amount, rng.IntN(9), at.Add(-event.Duration(rng.Int64N(int64(event.Hour)))))
			if rng.IntN(rows/40) == 0 {
				fmt.Fprintf(&ask, "%s,%s\n", user, at.Add(event.Duration(rng.Int64N(int64(event.Day)))))
			}
		}
		write(fmt.Sprintf("part-%d.jsonl", n), b.Bytes())
	}
	return write("pipeline.yaml", []byte(filePipeline)), write("spine.csv", ask.Bytes())
}

// TestKillFiles kills the process while it reads files, again and again until they are read, and then begins
// anew. Every time all is read, the export has the bytes of that of a process that nobody killed.
func TestKillFiles(t *testing.T) {
	beside(t)
	kills := killsFrom(t, 150)
	rng := rand.New(rand.NewPCG(seed(t), 2))
	dir := t.TempDir()
	const files, rows = 3, 8_000
	file, spine := writeFiles(t, rng, dir, files, rows)
	read := func(s *server) error {
		m, err := s.metrics()
		if err != nil {
			return err
		}
		if n := m[`penstock_records_read_total{source="e"}`]; n != files*rows {
			return fmt.Errorf("%v of %d rows are read", n, files*rows)
		}
		return nil
	}
	export := func(state string) []byte {
		out := filepath.Join(dir, "out.csv")
		if code, _, errs := penstock(t, "export", file, "--state", state, "--spine", spine, "--view", "v", "--out", out, "--with-status", "--force"); code != 0 {
			t.Fatalf("export: %d %s", code, errs)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	finish := func(state string) []byte {
		proc := start(t, file, state)
		eventually(t, time.Minute, func() error { return read(proc) })
		proc.stop(t)
		return export(state)
	}
	want := finish(filepath.Join(dir, "calm"))
	k := &killer{rng: rng, died: map[string]int{}}
	for round := 0; k.n < kills; round++ {
		state := filepath.Join(dir, fmt.Sprint("state", round))
		for life := 0; k.n < kills && life < 8; life++ {
			proc, point := k.launch(t, file, state)
			k.end(t, proc, point)
		}
		if got := finish(state); !bytes.Equal(got, want) {
			t.Fatalf("round %d: the export of %d bytes differs from that of a process that nobody killed, of %d", round, len(got), len(want))
		}
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
	}
	k.check(t)
}
