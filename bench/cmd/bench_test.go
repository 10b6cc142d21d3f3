package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/penstock-ml/penstock/bench/workload"
	"github.com/penstock-ml/penstock/pipeline"
)

// TestPipelineHasTheFeaturesThatAreCompared loads the pipeline file as the bench does.
func TestPipelineHasTheFeaturesThatAreCompared(t *testing.T) {
	env := map[string]string{"KAFKA_BROKERS": "127.0.0.1:9092", "BENCH_TOPIC": "t"}
	plan, problems := pipeline.Load("../pipeline.yaml", pipeline.Options{
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	if plan == nil || len(problems) > 0 {
		t.Fatalf("bench/pipeline.yaml: %v", problems)
	}
	got := map[string]bool{}
	for _, f := range plan.Views[0].Features {
		got[f.Name] = true
	}
	want := map[string]bool{}
	for name := range naive(nil, time.Time{}) {
		want[name] = true
	}
	if !reflect.DeepEqual(got, want) || len(got) != 12 {
		t.Errorf("the pipeline's features are %v, the oracle's %v, want the same 12", got, want)
	}
}

func TestNaive(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	events := []paid{
		{at.Add(-25 * time.Hour), 7, "US"},
		{at.Add(-time.Hour), 0.1, "DE"},      // the edge belongs to the window
		{at.Add(-time.Minute), 0.2, "FR"},    // of equal times
		{at.Add(-time.Minute), 0.3, "GB"},    // the later in the log is the last
		{at.Add(-2 * time.Hour), 1e16, "NL"}, // out of order
		{at, 1000, "PL"},                     // at the instant: not in it
		{at.Add(-time.Hour - time.Millisecond), 1, "ES"},
	}
	got := naive(events, at)
	want := map[string]any{
		"transactions": int64(6), "last_country": "GB",
		"amount_count_1h": int64(3), "amount_sum_1h": 0.6, "amount_avg_1h": 0.2, "amount_min_1h": 0.1, "amount_max_1h": 0.3,
		"amount_count_24h": int64(5), "amount_sum_24h": 1e16 + 2, "amount_avg_24h": 2e15 + 0.25, "amount_min_24h": 0.1, "amount_max_24h": 1e16,
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s is %v, want %v", name, got[name], w)
		}
	}
	if empty := naive(nil, at); empty["transactions"] != int64(0) || empty["amount_sum_1h"] != nil || empty["amount_count_1h"] != int64(0) {
		t.Errorf("over nothing: %v", empty)
	}
}

// row is a row of a training table as the exporter would write it.
type row struct {
	UserID       string   `parquet:"user_id"`
	Transactions int64    `parquet:"transactions"`
	LastCountry  *string  `parquet:"last_country,optional"`
	Count1h      int64    `parquet:"amount_count_1h"`
	Sum1h        *float64 `parquet:"amount_sum_1h,optional"`
	Avg1h        *float64 `parquet:"amount_avg_1h,optional"`
	Min1h        *float64 `parquet:"amount_min_1h,optional"`
	Max1h        *float64 `parquet:"amount_max_1h,optional"`
	Count24h     int64    `parquet:"amount_count_24h"`
	Sum24h       *float64 `parquet:"amount_sum_24h,optional"`
	Avg24h       *float64 `parquet:"amount_avg_24h,optional"`
	Min24h       *float64 `parquet:"amount_min_24h,optional"`
	Max24h       *float64 `parquet:"amount_max_24h,optional"`
}

func nullable(v any) *float64 {
	if v == nil {
		return nil
	}
	x := v.(float64)
	return &x
}

func rowOf(l label, f map[string]any) row {
	r := row{
		UserID: workload.UserID(l.user), Transactions: f["transactions"].(int64),
		Count1h: f["amount_count_1h"].(int64), Count24h: f["amount_count_24h"].(int64),
		Sum1h: nullable(f["amount_sum_1h"]), Avg1h: nullable(f["amount_avg_1h"]), Min1h: nullable(f["amount_min_1h"]), Max1h: nullable(f["amount_max_1h"]),
		Sum24h: nullable(f["amount_sum_24h"]), Avg24h: nullable(f["amount_avg_24h"]), Min24h: nullable(f["amount_min_24h"]), Max24h: nullable(f["amount_max_24h"]),
	}
	if c, ok := f["last_country"].(string); ok {
		r.LastCountry = &c
	}
	return r
}

// TestCompareFindsOneWrongCell writes the right table, then one with a single cell an ulp off.
func TestCompareFindsOneWrongCell(t *testing.T) {
	c := &config{events: 5_000, users: 50, spine: 300}
	o := c.options(workload.Zipf)
	labels := spine(c, workload.Zipf)
	users := map[uint32]bool{}
	for _, l := range labels {
		users[l.user] = true
	}
	events := history(o, users)
	rows := make([]row, len(labels))
	for i, l := range labels {
		rows[i] = rowOf(l, naive(events[l.user], l.at))
	}
	path := filepath.Join(t.TempDir(), "t.parquet")
	write := func() {
		if err := parquet.WriteFile(path, rows); err != nil {
			t.Fatal(err)
		}
	}
	write()
	n, cells, err := compare(path, labels, o, "")
	if err != nil || n != 300 || cells != 300*12 {
		t.Errorf("right table: %d rows, %d cells, %v", n, cells, err)
	}
	for i := range rows {
		if rows[i].Avg1h != nil {
			*rows[i].Avg1h *= 1 + 1e-15
			break
		}
	}
	write()
	if _, _, err = compare(path, labels, o, ""); err == nil || !strings.Contains(err.Error(), "amount_avg_1h") {
		t.Errorf("a wrong cell: %v", err)
	}
	rows = rows[1:]
	write()
	if _, _, err = compare(path, labels, o, ""); err == nil {
		t.Error("a missing row was not found")
	}
}

func TestReached(t *testing.T) {
	ends := map[int32]int64{0: 10, 1: 20}
	for _, c := range []struct {
		text    string
		read    bool
		durable bool
	}{
		{`[{"partition":0,"next":10,"restart":10},{"partition":1,"next":20,"restart":20}]`, true, true},
		{`[{"partition":0,"next":10,"restart":10},{"partition":1,"next":20,"restart":19}]`, true, false},
		{`[{"partition":0,"next":10,"restart":10},{"partition":1,"next":19,"restart":19}]`, false, false},
		{`[{"partition":0,"next":10,"restart":10}]`, false, false},
	} {
		var p progress
		text := `{"ready":true,"sources":[{"read":30,"partitions":` + c.text + `}],"views":[{"counts":{"applied":30}}]}`
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if p.reached(ends, false) != c.read || p.reached(ends, true) != c.durable {
			t.Errorf("%s: read %t, durable %t", c.text, p.reached(ends, false), p.reached(ends, true))
		}
		if p.countedOnce(30) != nil || p.countedOnce(31) == nil {
			t.Errorf("%s: counted once: %v, %v", c.text, p.countedOnce(30), p.countedOnce(31))
		}
	}
}

// TestProcess measures a program that is known: its peak memory, its end, its failure.
func TestProcess(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	var out bytes.Buffer
	p, err := start(t.Context(), log, &out, []string{"X=1"}, "sh", "-c", `echo $X; x=$(head -c 60000000 /dev/zero | tr '\0' a); sleep 0.2; echo ${#x}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	if out.String() != "1\n60000000\n" || p.peak() < 50<<20 || p.cpu() <= 0 {
		t.Errorf("answered %q with %d MiB in %f s", out.String(), p.peak()>>20, p.cpu())
	}
	p, err = start(t.Context(), log, nil, nil, "sh", "-c", "echo broken >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.wait(time.Minute); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a failed program: %v", err)
	}
}

func TestReport(t *testing.T) {
	var r report
	own := &ingested{events: 1000, seconds: 10, cpu: 10, peak: 100 << 20}
	r.ingested(workload.Zipf, penstockTitle, own)
	p := peers(&config{})[0]
	r.compared(workload.Zipf, &p, own, &ingested{events: 100, seconds: 10, cpu: 20, peak: 200 << 20})
	r.compared(workload.Uniform, &p, own, &ingested{events: 100, seconds: 10, warm: 20, cpu: 20, peak: 200 << 20})
	r.table("Empty", "nothing | here")
	r.atMost("bytes", 2, " MiB", 2.5)
	var out bytes.Buffer
	r.write(&out)
	for _, want := range []string{
		"| zipf | Penstock: 12 features | 1000 | 10.0 | 100 |  | 100 | 100 |  |\n",
		"| zipf | Kafka Streams | 10.0 | 20.0 | 0.50 |\n", "| uniform | Kafka Streams | 5.00 |",
		"| ingest, zipf keys: times Kafka Streams | at least 10.0 | 10.0 | yes |\n",
		"| ingest, uniform keys: times Kafka Streams | at least 10.0 | 5.00 | no |\n",
		"| bytes | at most 2.00 MiB | 2.50 MiB | no |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "Empty") {
		t.Error("the report has a section without figures")
	}
}

func TestOneBenchInAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "work")
	unlock, err := emptied(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := emptied(dir); err == nil {
		t.Error("two benches use one folder")
	}
	unlock()
	unlock, err = emptied(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
