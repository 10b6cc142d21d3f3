package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPipeline(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.Status = func() []SourceStatus {
			return []SourceStatus{{Source: "tx", Partitions: []PartitionStatus{{Partition: 0, Lag: 5}}}}
		}
	})
	f.some()
	res, body := f.do("GET", "/v1/pipeline", "")
	var d Description
	if err := json.Unmarshal([]byte(body), &d); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v %s", res.StatusCode, err, body)
	}
	if d.Latest == nil || *d.Latest != "2013-01-05T09:59:00.000001Z" {
		t.Errorf("latest: %s", body)
	}
	if d.Pipeline != "card-fraud" || !d.Ready || len(d.Sources) != 1 || len(d.Views) != 2 || len(d.Sets) != 1 {
		t.Fatalf("%s", body)
	}
	s := d.Sources[0]
	if s.Kind != "kafka" || s.From != "transactions" || s.Read != 4 || s.Lag == nil || *s.Lag != 5 || *s.Watermark != "2013-01-05T09:59:00.000000Z" ||
		len(s.Partitions) != 1 || s.Partitions[0].Next != 4 || s.Partitions[0].Restart != 4 || *s.Partitions[0].Lag != 5 {
		t.Errorf("source: %s", body)
	}
	for _, v := range d.Views {
		sum := int64(0)
		for _, n := range v.Counts {
			sum += n
		}
		if sum != s.Read || len(v.Counts) != 5 {
			t.Errorf("view %s: counts %v do not add up to %d", v.Name, v.Counts, s.Read)
		}
	}
	if v := d.Views[0]; v.Counts["applied"] != 3 || v.Counts["filtered"] != 1 || v.Features[0].Window != "1h" || v.Features[0].Doc == "" || v.Keys[0].Name != "user_id" {
		t.Errorf("view: %s", body)
	}
	if v := d.Views[0]; v.Stored != nil {
		t.Errorf("what was never counted is shown: %s", body)
	}
	if err := f.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x := f.server.describe().Views[0].Stored; x == nil || x.Keys != 2 || x.Rows != 3 || x.Bytes <= 0 || x.Counted == "" {
		t.Errorf("stored: %+v", x)
	}
	if set := d.Sets[0]; len(set.Features) != 2 || set.Request[0].Name != "amount" || set.Features[1].Name != "ratio" {
		t.Errorf("set: %s", body)
	}
	if strings.Contains(body, "localhost") {
		t.Errorf("addresses are nobody's business: %s", body)
	}
}

func TestCountsOfSeveralSources(t *testing.T) {
	file := strings.Replace(pipelineYAML, "entities:\n", "  refunds: {kafka: {brokers: [\"localhost:9092\"], topic: refunds}, schema: {file: tx.avsc}, time: ts}\nentities:\n", 1)
	file = strings.Replace(file, "views:\n", "views:\n  both: {sources: [tx, refunds], entity: user, where: points >= 0, features: {n: {count: \"*\"}}}\n", 1)
	f := newFixtureOf(t, file, nil)
	f.some()
	v := f.server.describe().Views[0]
	if v.Name != "both" || v.Counts["applied"] != 3 || v.Counts["filtered"] != 1 {
		t.Errorf("view %s of two sources: %v, want 3 applied and 1 filtered, all of the first", v.Name, v.Counts)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.Status = func() []SourceStatus {
			return []SourceStatus{{Source: "tx", Partitions: []PartitionStatus{{Partition: 0, Lag: 5}, {Partition: 1, Lag: -1}}}}
		}
	})
	f.some()
	if _, body := f.do("GET", "/metrics", ""); strings.Contains(body, "penstock_view_keys{") {
		t.Error("what was never counted is shown")
	}
	if err := f.store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.ask(`{"view": "spend", "entities": [{"user_id": "u1"}]}`)
	f.ask(`{"view": "spent", "entities": [{"user_id": "u1"}]}`)
	f.do("GET", "/some/where", "")
	res, body := f.do("GET", "/metrics", "")
	if res.StatusCode != 200 {
		t.Fatal(body)
	}
	for _, line := range []string{
		`penstock_records_total{outcome="applied",source="tx",view="spend"} 3`,
		`penstock_records_total{outcome="filtered",source="tx",view="spend"} 1`,
		`penstock_records_total{outcome="duplicate",source="tx",view="spend"} 0`,
		`penstock_records_total{outcome="late",source="tx",view="by_shop"} 0`,
		`penstock_records_total{outcome="dead",source="tx",view="by_shop"} 0`,
		`penstock_records_read_total{source="tx"} 4`,
		`penstock_lag_records{partition="0",source="tx"} 5`,
		`penstock_watermark_delay_seconds{source="tx"} 7260`,
		`penstock_ready 1`,
		`penstock_request_seconds_count{code="200",route="/v1/features"} 1`,
		`penstock_request_seconds_count{code="404",route="/v1/features"} 1`,
		`penstock_request_seconds_count{code="404",route="other"} 1`,
		`penstock_freshness_seconds_bucket{le="0.01"}`,
		`penstock_state_bytes{kind="disk"}`,
		`penstock_view_keys{view="spend"} 2`, `penstock_view_rows{view="spend"} 3`, `penstock_view_blocks{view="by_shop"} 0`,
		`penstock_view_counted_timestamp_seconds{view="spend"} `, `penstock_trimmed_rows_total{view="spend"} 0`, `penstock_unjoined_rows_total{view="spend"} 0`,
		`go_goroutines`, `process_open_fds`,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(body, `partition="1"`) {
		t.Error("an unknown lag is shown")
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (penstock_\w+) `).FindAllStringSubmatch(body, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	if want := MetricNames(); !slices.Equal(names, want) {
		t.Errorf("metrics %v\nwant %v", names, want)
	}
	commits := regexp.MustCompile(`(?m)^penstock_commit_seconds_count (\d+)$`).FindStringSubmatch(body)
	if commits == nil || commits[1] == "0" {
		t.Errorf("commits were not observed: %v", commits)
	}
}

func TestPage(t *testing.T) {
	f := newFixture(t, nil)
	res, body := f.do("GET", "/", "")
	if res.StatusCode != 200 || !strings.Contains(body, "<title>Penstock</title>") {
		t.Fatal(res.StatusCode)
	}
	if from := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]|<script [^>]*src|@import|url\(`).FindString(body); from != "" {
		t.Errorf("the page takes something from elsewhere: %s", from)
	}
	if p := res.Header.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") || strings.Count(p, "sha256-") != 2 {
		t.Error(p)
	}
	for _, attribute := range regexp.MustCompile(`\s(on[a-z]+|style)="`).FindAllString(body, -1) {
		t.Errorf("the policy forbids%s", attribute)
	}
}

func TestExtra(t *testing.T) {
	f := newFixture(t, func(c *Config) {
		c.Extra = map[string]http.Handler{"/internal/x": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
				t.Error(err)
			}
			panic("a mistake")
		})}
	})
	if res, body := f.do("POST", "/internal/x", ""); res.StatusCode != 500 || !strings.Contains(body, `"internal"`) || strings.Contains(body, "a mistake") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// TestServe: a request that is running when the server is told to stop is answered.
func TestServe(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	f := newFixture(t, func(c *Config) {
		c.Extra = map[string]http.Handler{"/slow": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			<-finish
			_, _ = io.WriteString(w, "done")
		})}
	})
	f.some()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("http://%s%s", l.Addr(), path), nil)
		if err != nil {
			return "", err
		}
		res, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		return string(b), err
	}
	if body, err := get("/healthz"); err != nil || body != "ok\n" {
		t.Fatal(body, err)
	}
	slow := make(chan string, 1)
	go func() {
		body, err := get("/slow")
		slow <- fmt.Sprint(body, err)
	}()
	<-begun
	cancel()
	close(finish)
	if got := <-slow; got != "done<nil>" {
		t.Errorf("the running request got %s", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := get("/healthz"); err == nil {
		t.Error("the server still answers")
	}
}

const exportsYAML = `
labels:
  n_1h: {source: tx, entity: user, label: {count: "*", window: {after: 1h}}}
exports:
  plain: {view: spend, spine: {file: rows.csv}}
  events:
    set: fraud
    spine: {source: tx, columns: [amount], from: 2013-01-01, where: points > 1}
    labels: [n_1h]
    split: {by: user_id, train: 80%, test: rest, files: true}
    as_served: true
    out: events.parquet
  grid: {features: [spend.n_1h], spine: {grid: {every: 1d, zone: Europe/Berlin}}}
  of_label: {view: spend, spine: {label: n_1h}}
  of_view: {view: spend, spine: {view: spend}}
`

// TestDescribeExports: what the file declares of training tables, and which views only keep rows for them.
func TestDescribeExports(t *testing.T) {
	f := newFixtureOf(t, pipelineYAML+exportsYAML, nil)
	_, body := f.do("GET", "/v1/pipeline", "")
	var d Description
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range d.Exports {
		text := fmt.Sprintf("%s: %s, %s, %d keys, parts %v %v, served %v, out %q", x.Name, x.Of, x.Spine, len(x.Keys), x.Parts, x.Files, x.AsServed, x.Out)
		for _, l := range x.Labels {
			text += fmt.Sprintf(", label %s (%s) %s", l.Name, l.Type, l.Doc)
		}
		got = append(got, text)
	}
	want := []string{
		`plain: view spend, each row of rows.csv, 1 keys, parts [] false, served false, out ""`,
		`events: set fraud, each event of tx where points > 1 from 2013-01-01, 1 keys, parts [train test] true, served true, out "events.parquet", label n_1h (long) count of events over the 1h after`,
		`grid: features spend.n_1h, each known entity every 1d of Europe/Berlin, 1 keys, parts [] false, served false, out ""`,
		`of_label: view spend, each event of label n_1h, 1 keys, parts [] false, served false, out ""`,
		`of_view: view spend, each event of view spend, 1 keys, parts [] false, served false, out ""`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	hidden := 0
	for _, v := range d.Views {
		if v.Hidden != f.plan.View(v.Name).Hidden {
			t.Errorf("view %s is hidden: %v", v.Name, v.Hidden)
		}
		if v.Hidden {
			hidden++
		}
	}
	if hidden != 1 {
		t.Errorf("%d views are hidden", hidden)
	}
}
