package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

func openTestLog(t testing.TB, cfg LogConfig) *Log {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.FileBytes == 0 {
		cfg.FileBytes, cfg.KeepBytes = 1<<20, 1<<20
	}
	l, err := OpenLog(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// lines are the objects of all files of a folder, in the order of the files' names.
func lines(t *testing.T, dir string) (out []map[string]any) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		scan := bufio.NewScanner(bytes.NewReader(b))
		for scan.Scan() {
			var x map[string]any
			if err := json.Unmarshal(scan.Bytes(), &x); err != nil {
				t.Fatalf("%s: %v in %s", p, err, scan.Text())
			}
			out = append(out, x)
		}
	}
	return out
}

func TestServingLog(t *testing.T) {
	dir := t.TempDir()
	l := openTestLog(t, LogConfig{Dir: dir, Sample: 1})
	f := newFixture(t, func(c *Config) { c.ServingLog = l })
	f.some()
	f.ask(`{"set": "fraud", "entities": [{"user_id": "u1"}, {"user_id": "no\"body"}], "request": [{"amount": 25.2}, {"amount": null}], "as_of": "2013-01-05T10:00:00Z"}`)
	f.ask(`{"view": "spend", "features": ["n_1h"], "entities": [{"user_id": "u1"}], "as_of": "latest"}`)
	f.ask(`{"view": "spend", "features": ["n_2h"], "entities": [{"user_id": "u1"}]}`) // refused
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := lines(t, dir)
	if len(got) != 3 {
		t.Fatalf("%d lines: %v", len(got), got)
	}
	version := f.plan.View("spend").Version
	for i, want := range []map[string]any{
		{
			"event_time": "2013-01-05T10:00:00.000000Z", "user_id": "u1", "amount": 25.2, "served_sum_1h": 12.6, "served_ratio": 2.0,
			"_status": "present,present", "_served_at": "2013-01-05T12:00:00.000000Z", "_positions": "tx/0@4", "_selection": "set fraud", "_versions": "spend@" + version,
		},
		{
			"event_time": "2013-01-05T10:00:00.000000Z", "user_id": `no"body`, "amount": nil, "served_sum_1h": nil, "served_ratio": -1.0,
			"_status": "not_found,not_found", "_served_at": "2013-01-05T12:00:00.000000Z", "_positions": "tx/0@4", "_selection": "set fraud", "_versions": "spend@" + version,
		},
		{
			"event_time": "2013-01-05T09:59:00.000001Z", "user_id": "u1", "served_n_1h": 2.0,
			"_status": "present", "_served_at": "2013-01-05T12:00:00.000000Z", "_positions": "tx/0@4", "_selection": "view spend: n_1h", "_versions": "spend@" + version,
		},
	} {
		if fmt.Sprint(got[i]) != fmt.Sprint(want) {
			t.Errorf("line %d:\n%v\nwant\n%v", i, got[i], want)
		}
	}
	if _, text := f.do("GET", "/metrics", ""); !strings.Contains(text, `penstock_serving_log_rows_total{outcome="written"} 3`) {
		t.Error("the rows written are not counted")
	}
}

// TestServingLogSamples: the sample is of entities, about as large as asked, and the same every time.
func TestServingLogSamples(t *testing.T) {
	l := openTestLog(t, LogConfig{Sample: 0.25})
	defer func() { _ = l.Close() }()
	n := 0
	for i := range 4000 {
		keys := []event.Value{event.StringOf(fmt.Sprint("user", i))}
		_, a := l.chosen(keys, nil)
		_, b := l.chosen(keys, []byte("other"))
		if a != b {
			t.Fatalf("entity %d is chosen %v, then %v", i, a, b)
		}
		if a {
			n++
		}
	}
	if n < 800 || n > 1200 {
		t.Errorf("%d of 4000 entities are chosen for a quarter", n)
	}
}

// TestServingLogIsBounded: files follow each other, and the oldest go; after a restart too.
func TestServingLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	line := append(bytes.Repeat([]byte(" "), 99), '\n')
	for range 2 {
		l := openTestLog(t, LogConfig{Dir: dir, Sample: 1, FileBytes: 1000, KeepBytes: 5000})
		for range 200 {
			l.queue <- logged{"view-v", line}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	paths, err := filepath.Glob(filepath.Join(dir, "view-v.*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 5000 || len(paths) != 5 || filepath.Base(paths[4]) != "view-v.000000039.jsonl" {
		t.Errorf("%d bytes are kept in %v", size, paths)
	}
}

// TestServingLogNeverWaits: what does not fit the queue is dropped and counted.
func TestServingLogNeverWaits(t *testing.T) {
	l := &Log{queue: make(chan logged, 2)} // nobody takes anything out
	for range 5 {
		l.put("view-v", []byte("{}\n"))
	}
	if n := l.dropped.Load(); n != 3 {
		t.Errorf("%d of 3 lines are counted as dropped", n)
	}
}
