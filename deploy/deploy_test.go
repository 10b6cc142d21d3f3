// Package deploy has tests only: what stands in this folder must fit the binary and itself.
package deploy

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
	"github.com/penstock-ml/penstock/serve"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unmarshal(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

type compose struct {
	Services map[string]struct {
		Image    string            `yaml:"image"`
		Build    map[string]string `yaml:"build"`
		Command  []string          `yaml:"command"`
		Volumes  []string          `yaml:"volumes"`
		User     string            `yaml:"user"`
		ReadOnly bool              `yaml:"read_only"`
	} `yaml:"services"`
}

// mounts answers SERVICE:PLACE in the container for each path of this repository that is mounted there.
func mounts(t *testing.T, c compose) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, s := range c.Services {
		for _, v := range s.Volumes {
			parts := strings.Split(v, ":")
			if !strings.HasPrefix(parts[0], "./") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", parts[0])); err != nil {
				t.Errorf("service %s mounts what is not there: %v", name, err)
			}
			out[name+":"+parts[1]] = parts[0]
		}
	}
	return out
}

func TestComposeFitsTheFolder(t *testing.T) {
	var c compose
	unmarshal(t, "../docker-compose.yml", &c)
	for _, name := range []string{"kafka", "registry", "penstock", "prometheus", "grafana"} {
		s, ok := c.Services[name]
		if !ok {
			t.Errorf("no service %s", name)
			continue
		}
		if _, tag, ok := strings.Cut(s.Image, ":"); !ok || tag == "latest" {
			t.Errorf("service %s: image %q is not pinned", name, s.Image)
		}
	}
	p := c.Services["penstock"]
	if !p.ReadOnly || p.User != "65532:65532" {
		t.Errorf("penstock runs with read_only %t as %q", p.ReadOnly, p.User)
	}
	if _, err := os.Stat(filepath.Join("..", p.Build["dockerfile"])); err != nil {
		t.Error(err)
	}
	m := mounts(t, c)
	if len(p.Command) < 2 || p.Command[0] != "run" || m["penstock:"+p.Command[1]] != "./deploy/pipeline.yaml" {
		t.Errorf("penstock's command %v does not run the pipeline that is mounted: %v", p.Command, m)
	}
	for _, target := range []string{
		"prometheus:/etc/prometheus/prometheus.yml", "prometheus:/etc/prometheus/alerts.yml",
		"grafana:/etc/grafana/provisioning", "grafana:/var/lib/grafana/dashboards",
	} {
		if m[target] == "" {
			t.Errorf("nothing is mounted at %s", target)
		}
	}
}

// TestComposeConfig has compose itself validate the file, where it is installed.
func TestComposeConfig(t *testing.T) {
	args := []string{"docker-compose"}
	if _, err := exec.LookPath(args[0]); errors.Is(err, exec.ErrNotFound) {
		if exec.Command("docker", "compose", "version").Run() != nil {
			t.Skip("SKIPPED: neither docker-compose nor docker compose is installed")
		}
		args = []string{"docker", "compose"}
	}
	args = append(args, "-f", "../docker-compose.yml", "config", "--quiet")
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", args, err, out)
	}
}

func TestPipelineCompiles(t *testing.T) {
	schema, err := schemas.Parse([]byte(read(t, "transactions.avsc")))
	if err != nil {
		t.Fatal(err)
	}
	plan, problems := pipeline.Load("pipeline.yaml", pipeline.Options{
		Subject: func(pipeline.RegistryRef) (*schemas.Schema, error) { return schema, nil },
	})
	if plan == nil || len(problems) > 0 {
		t.Fatalf("pipeline.yaml: %v", problems)
	}
}

func TestPrometheusScrapesPenstock(t *testing.T) {
	var c compose
	unmarshal(t, "../docker-compose.yml", &c)
	var p struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Static []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	unmarshal(t, "prometheus.yml", &p)
	if len(p.Scrape) != 1 || len(p.Scrape[0].Static) != 1 || len(p.Scrape[0].Static[0].Targets) != 1 {
		t.Fatalf("prometheus.yml: %+v, want one target", p)
	}
	host, port, _ := strings.Cut(p.Scrape[0].Static[0].Targets[0], ":")
	if !slices.Contains(c.Services[host].Command, "0.0.0.0:"+port) {
		t.Errorf("prometheus scrapes %s:%s, which no service listens on", host, port)
	}
	for _, f := range p.RuleFiles {
		if mounts(t, c)["prometheus:"+f] == "" {
			t.Errorf("rule file %s is not mounted", f)
		}
	}
}

// labels are those that a query over each metric may name, le aside.
var labels = map[string][]string{
	"penstock_records_total":                  {"source", "view", "outcome"},
	"penstock_records_read_total":             {"source"},
	"penstock_lag_records":                    {"source", "partition"},
	"penstock_watermark_delay_seconds":        {"source"},
	"penstock_state_bytes":                    {"kind"},
	"penstock_request_seconds":                {"route", "code"},
	"penstock_view_keys":                      {"view"},
	"penstock_view_rows":                      {"view"},
	"penstock_view_blocks":                    {"view"},
	"penstock_view_bytes":                     {"view"},
	"penstock_view_bytes_per_feature":         {"view"},
	"penstock_view_counted_timestamp_seconds": {"view"},
	"penstock_trimmed_rows_total":             {"view"},
	"penstock_unjoined_rows_total":            {"view"},
	"penstock_serving_log_rows_total":         {"outcome"},
	"penstock_build_info":                     {"version", "goversion", "pipeline"},
}

var (
	metric   = regexp.MustCompile(`penstock_[a-z_]+`)
	grouping = regexp.MustCompile(`\bby \(([a-z_, ]*)\)`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	legend   = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)
)

// checkQuery checks that a query names metrics and labels that exist, and returns the metrics.
func checkQuery(t *testing.T, where, query, text string) []string {
	t.Helper()
	var names, allowed []string
	for _, name := range metric.FindAllString(query, -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if !slices.Contains(serve.MetricNames(), name) {
			t.Errorf("%s: %s: no metric %s", where, query, name)
		}
		names = append(names, name)
		allowed = append(allowed, labels[name]...)
	}
	if strings.Count(query, "(") != strings.Count(query, ")") {
		t.Errorf("%s: %s: parentheses do not match", where, query)
	}
	var used []string
	for _, m := range grouping.FindAllStringSubmatch(query, -1) {
		used = append(used, strings.Split(m[1], ", ")...)
	}
	for _, re := range []*regexp.Regexp{matcher, legend} {
		for _, m := range re.FindAllStringSubmatch(query+" "+text, -1) {
			used = append(used, m[1])
		}
	}
	allowed = append(allowed, "le", "job", "instance")
	for _, l := range used {
		if !slices.Contains(allowed, l) {
			t.Errorf("%s: %s %s: no label %s", where, query, text, l)
		}
	}
	return names
}

func TestAlertsUseMetricsThatExist(t *testing.T) {
	var a struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	unmarshal(t, "alerts.yml", &a)
	n := 0
	for _, g := range a.Groups {
		for _, r := range g.Rules {
			checkQuery(t, "alert "+r.Alert, r.Expr, r.Annotations["summary"])
			n++
		}
	}
	if n == 0 {
		t.Error("no alerts")
	}
}

// TestDashboardUsesMetricsThatExist checks every query, and that every metric is shown.
func TestDashboardUsesMetricsThatExist(t *testing.T) {
	type ds struct {
		UID string `json:"uid"`
	}
	var d struct {
		Panels []struct {
			Title      string `json:"title"`
			Datasource ds     `json:"datasource"`
			Targets    []struct {
				Expr         string `json:"expr"`
				LegendFormat string `json:"legendFormat"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/dashboards/penstock.json")), &d); err != nil {
		t.Fatal(err)
	}
	var provisioned struct {
		Datasources []struct {
			UID string `yaml:"uid"`
		} `yaml:"datasources"`
	}
	unmarshal(t, "grafana/provisioning/datasources/prometheus.yml", &provisioned)
	shown := map[string]bool{}
	for _, p := range d.Panels {
		if p.Datasource.UID != provisioned.Datasources[0].UID {
			t.Errorf("panel %q: data source %q is not provisioned", p.Title, p.Datasource.UID)
		}
		for _, q := range p.Targets {
			for _, name := range checkQuery(t, "panel "+p.Title, q.Expr, q.LegendFormat) {
				shown[name] = true
			}
		}
	}
	for _, name := range serve.MetricNames() {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestDockerfile(t *testing.T) {
	text := read(t, "Dockerfile")
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	for _, want := range []string{"FROM golang:" + goVersion + "-", "CGO_ENABLED=0", "-trimpath", "\nUSER 65532:65532\n", "\nFROM scratch\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("Dockerfile lacks %q", want)
		}
	}
}
